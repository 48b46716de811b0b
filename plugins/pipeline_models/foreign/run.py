"""A network of others as one of ours: called with a tensor, and telling what it can be used for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_core import OperationError

LARGEST = 1 << 26
"""Pixels of a picture that a network may insist on: a file must not take the machine's memory by saying so."""

REACH = 32
"""What a foreign network is taken to look at, in pixels on each side; how far it does look is not known."""


class Foreign(nn.Module):
    """`run` takes tensors and gives one, or a tuple.

    channels  how many its picture has
    multiple  sides of a picture are multiples of this
    size      width and height of every picture, where it takes no other
    purpose   what it is made for, in a word, where that is known
    """

    def __init__(
        self,
        run: Callable[..., Any],
        *,
        channels: int = 3,
        multiple: int = 1,
        size: tuple[int, int] | None = None,
        factor: int | None = None,
        purpose: str = "",
    ) -> None:
        super().__init__()
        self.run, self.channels, self.multiple, self.purpose = run, channels, multiple, purpose
        self.size, self.reach = size, REACH
        self._factor = factor

    def forward(self, *given: Tensor) -> Any:
        return self.run(*given)

    @cached_property
    def factor(self) -> int | None:
        """How many times it enlarges, tried on a small picture where it is not told; None where it does something else."""
        if self._factor is not None:
            return self._factor
        width, height = self.size or (max(32, self.multiple * 2),) * 2
        given = torch.zeros((1, self.channels, height, width))
        try:
            found = self.run(given)
        except Exception:  # whatever a network of another purpose says of a picture it does not take
            return None
        if not isinstance(found, Tensor) or found.ndim != 4 or found.shape[:2] != given.shape[:2]:
            return None
        times, rest = divmod(found.shape[-1], width)
        return times if not rest and times and found.shape[-2] == times * height else None


def fixed(sizes: Sequence[Any]) -> tuple[int, int] | None:
    """Width and height of `(B, C, H, W)` where both are told."""
    height, width = sizes[2:] if len(sizes) == 4 and sizes[1] in (1, 3) else (None, None)
    if not (isinstance(width, int) and isinstance(height, int) and min(width, height) > 0):
        return None
    if width * height > LARGEST:
        raise OperationError(f"the model takes pictures of {width}x{height} alone; {LARGEST:,} pixels are the most")
    return width, height

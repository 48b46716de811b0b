"""A small network that adds to a smooth fill of a hole what it lacks.

A U of gated blocks: what a hole has to offer is let through by a gate that is learnt (J. Yu et al., Free-Form Image
Inpainting with Gated Convolution, 2019). It begins on every second pixel, with four planes for each (W. Shi et al.,
Real-Time Single Image and Video Super-Resolution, 2016), so that few of its multiplications are at full size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

AT_ONCE = 1 << 14
"""Pixels of a block's features that are worked on together: what is between its convolutions takes six times as much."""


class GatedInpainter(nn.Module):
    """`(B, channels, H, W)` filled smoothly, and where the holes are `(B, 1, H, W)`: the same with better holes.

    Height and width are multiples of `step`. It sees zeros beyond the edges.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], down: Sequence[int], middle: int, up: Sequence[int]
    ) -> None:
        super().__init__()
        if not len(down) == len(up) == len(widths) - 1:
            raise ValueError(f"{len(widths)} widths need {len(widths) - 1} counts of blocks down and up")
        self.step = 1 << len(widths)
        # At its fullest: the finest features three times, and what is given and made.
        self.bytes_per_pixel = 3 * widths[0] + 4 * (2 * channels + 1)
        self.first = nn.Conv2d(4 * (channels + 1), widths[0], 3, padding=1)
        self.down = nn.ModuleList(_blocks(width, count) for width, count in zip(widths, down, strict=False))
        pairs = list(pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.middle = _blocks(widths[-1], middle)
        self.grow = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in pairs)
        self.up = nn.ModuleList(_blocks(width, count) for width, count in zip(widths, up, strict=False))
        self.last = nn.Conv2d(widths[0], 4 * channels, 3, padding=1)
        with torch.no_grad():  # begin as the smooth fill
            self.last.weight.mul_(0.1)
            cast("Tensor", self.last.bias).zero_()

    @property
    def reach(self) -> int:
        """How far, in pixels, what an output pixel depends on may lie from it."""
        counts = [len(cast("nn.Sequential", blocks)) for blocks in (*self.down, self.middle, *self.up)]
        scales = [2 << level for level in range(len(self.down))]
        around = sum(2 * count * scale for count, scale in zip(counts, [*scales, self.step, *scales], strict=True))
        return around + 2 * 2 + self.step  # first and last; and where in its cell of `step` pixels it lies

    def forward(self, filled: Tensor, hole: Tensor) -> Tensor:
        """The filled picture with better holes; what is no hole stays, nearly."""
        features = self.first(functional.pixel_unshuffle(torch.cat((filled, hole), 1), 2))
        kept = []
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            features = blocks(features)
            kept.append(features)
            features = shrink(features)
        features = self.middle(features)
        for blocks, grow in reversed(list(zip(self.up, self.grow, strict=True))):
            features = functional.pixel_shuffle(grow(features), 2)
            features += kept.pop()  # in place, and let go of: what is kept is most of the memory
            features = blocks(features)
        added: Tensor = functional.pixel_shuffle(self.last(features), 2)
        return filled + hole * added


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gated = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.mixed = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Of many pixels, so many rows at a time: what is between the convolutions is six times as much as `features`."""
        height, width = features.shape[2:]
        many = max(8, AT_ONCE // width)
        if height <= many:
            return features + self._added(features)
        result = torch.empty_like(features)
        for top in range(0, height, many):
            bottom = min(top + many, height)
            first = max(0, top - 2)  # two convolutions look two rows farther
            added = self._added(features[:, :, first : bottom + 2])[:, :, top - first : bottom - first]
            result[:, :, top:bottom] = features[:, :, top:bottom] + added
        return result

    def _added(self, features: Tensor) -> Tensor:
        offer, gate = self.gated(features).chunk(2, 1)
        added: Tensor = self.mixed(torch.relu(offer) * torch.sigmoid(gate))
        return added


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(width) for _ in range(count)))


def network(
    *,
    channels: int = 3,
    widths: Sequence[int] = (32, 64, 96),
    down: Sequence[int] = (1, 2),
    middle: int = 3,
    up: Sequence[int] = (2, 2),
) -> GatedInpainter:
    """One with random numbers."""
    return GatedInpainter(channels, widths, down, middle, up)

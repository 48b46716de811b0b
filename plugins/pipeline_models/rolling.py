"""A network of convolutions run over a picture some rows at a time, from the top down, without computing anything twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class Roll:
    """One way down a picture, a band of rows after the other, with what is still needed of those before.

    A network that computes through it gives, band by band, the rows that it would give of the whole; they come as many
    rows late as it looks down. `ends` is said with the last band; without `rows` there is but one, the whole.
    """

    def __init__(self, rows: int | None = None) -> None:
        self.rows = rows
        self.ends = rows is None
        self._held: dict[nn.Module, Tensor] = {}
        self._kept: dict[nn.Module, list[Tensor]] = {}

    def convolved(self, layer: nn.Module, band: Tensor) -> Tensor:
        """The rows that a convolution (`nn.Conv2d`, zeros around) can give now."""
        assert isinstance(layer, nn.Conv2d)
        held = self._held.pop(layer, None)
        if held is None and self.ends:
            return layer(band)  # type: ignore[no-any-return]  # a module's answer has no type
        (kernel, _), (stride, _), (above, beside) = layer.kernel_size, layer.stride, _pair(layer.padding)
        outside = band.new_zeros((*band.shape[:2], above, band.shape[3]))
        rows = _joined([outside if held is None else held, band, *([outside] if self.ends else [])])
        count = max(0, (rows.shape[2] - kernel) // stride + 1)
        self._held[layer] = rows[:, :, count * stride :].clone()
        if not count:
            return band.new_empty((len(band), layer.out_channels, 0, band.shape[3] // stride))
        return functional.conv2d(rows, layer.weight, layer.bias, layer.stride, (0, beside))

    def parts(self, band: Tensor, stride: int) -> Iterator[Tensor]:
        """A band that may hold all that came late, in parts no larger than the others; `stride` pixels of the picture a row."""
        ends = self.ends
        parts = torch.split(band, max(1, self.rows // stride), 2) if ends and self.rows else (band,)
        for i, part in enumerate(parts, 1):
            self.ends = ends and i == len(parts)
            yield part

    def keep(self, layer: nn.Module, band: Tensor) -> None:
        """Rows for later; under a name of which there is one."""
        self._kept.setdefault(layer, []).append(band)

    def take(self, layer: nn.Module, count: int) -> Tensor:
        """The first so many of the rows kept."""
        kept, taken = self._kept[layer], []
        while True:
            first = kept.pop(0)
            if first.shape[2] > count:  # of a part the rest is copied: the whole is to be let go of
                kept.insert(0, first[:, :, count:].clone())
                first = first[:, :, :count]
            taken.append(first)
            count -= first.shape[2]
            if not count:
                return taken[0] if len(taken) == 1 else _joined(taken)


def rolled(
    network: Callable[[Tensor, Roll], Iterable[Tensor]], bands: Iterable[Tensor], rows: int
) -> Iterator[tuple[int, Tensor]]:
    """What a network makes of a picture, given so many rows at a time: some rows, and which is the first of them."""
    roll, top = Roll(rows), 0
    for band, after in pairwise(chain(bands, [None])):
        assert band is not None
        roll.ends = after is None
        for found in network(band, roll):
            yield top, found
            top += found.shape[2]


def _joined(bands: list[Tensor]) -> Tensor:
    """In the order that convolutions want, which torch.cat would drop for a single part (an empty one, even) of another."""
    batch, channels, _, width = bands[0].shape
    rows = sum(band.shape[2] for band in bands)
    joined = torch.empty(
        (batch, channels, rows, width), dtype=bands[0].dtype, device=bands[0].device, memory_format=torch.channels_last
    )
    return torch.cat(bands, 2, out=joined)


def _pair(padding: str | tuple[int, ...]) -> tuple[int, int]:
    assert isinstance(padding, tuple)
    return padding[0], padding[1]

"""A small network that adds to a smooth fill of a hole what it lacks.

A U of gated blocks: what a hole has to offer is let through by a gate that is learnt (J. Yu et al., Free-Form Image
Inpainting with Gated Convolution, 2019). It begins on every second pixel, with four planes for each (W. Shi et al.,
Real-Time Single Image and Video Super-Resolution, 2016), so that few of its multiplications are at full size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_models.rolling import Roll, rolled


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
        # A band at its fullest: the finest features (four bytes for every fourth pixel, so `widths[0]`) nine times.
        self.bytes_per_pixel = 9 * widths[0] + 4 * (2 * channels + 1)
        self.first = nn.Conv2d(4 * (channels + 1), widths[0], 3, padding=1)
        self.down = nn.ModuleList(_blocks(width, count) for width, count in zip(widths, down, strict=False))
        pairs = list(pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.middle = _blocks(widths[-1], middle)
        self.grow = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in pairs)
        self.up = nn.ModuleList(_blocks(width, count) for width, count in zip(widths, up, strict=False))
        self.last = nn.Conv2d(widths[0], 4 * channels, 3, padding=1)
        # What waits until the coarser levels have looked as far down as they do, and two rows for every convolution.
        self.bytes_per_column = 2 * widths[0] * self.reach
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

    def forward(self, filled: Tensor, hole: Tensor, rows: int | None = None) -> Tensor:
        """The filled picture with better holes, worked on so many `rows` at a time; what is no hole stays."""
        given = torch.cat((filled, hole), 1)
        if rows is None:
            (added,) = self.added(given, Roll())
            return filled + hole * added
        result = filled.clone()
        for top, added in rolled(self.added, torch.split(given, rows, 2), rows):
            bottom = top + added.shape[2]
            result[:, :, top:bottom] += added * hole[:, :, top:bottom]
        return result

    def added(self, given: Tensor, roll: Roll) -> Iterator[Tensor]:
        """What is to be added in holes; of all rows of `(B, channels + 1, H, W)`, the picture and its holes, or of some.

        These are a multiple of `step`, but for the last.
        """
        features = roll.convolved(self.first, functional.pixel_unshuffle(given, 2))
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            features = _through(blocks, features, roll)
            roll.keep(shrink, features)
            features = roll.convolved(shrink, features)
        yield from self._grown(_through(self.middle, features, roll), len(self.up), roll)

    def _grown(self, features: Tensor, level: int, roll: Roll) -> Iterator[Tensor]:
        """From a level up to the picture."""
        for part in roll.parts(features, 2 << level):
            if level == 0:
                yield functional.pixel_shuffle(roll.convolved(self.last, part), 2)
                continue
            finer = functional.pixel_shuffle(roll.convolved(self.grow[level - 1], part), 2)
            finer += roll.take(self.shrink[level - 1], finer.shape[2])
            yield from self._grown(_through(self.up[level - 1], finer, roll), level - 1, roll)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gated = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.mixed = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor, roll: Roll) -> Tensor:
        roll.keep(self, features)
        added = roll.convolved(self.mixed, _let_through(roll.convolved(self.gated, features)))
        return added.add_(roll.take(self, added.shape[2]))


def _let_through(both: Tensor) -> Tensor:
    offer, gate = both.chunk(2, 1)
    return torch.relu(offer) * torch.sigmoid(gate)


def _through(blocks: nn.Module, features: Tensor, roll: Roll) -> Tensor:
    for block in blocks.children():
        features = block(features, roll)
    return features


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

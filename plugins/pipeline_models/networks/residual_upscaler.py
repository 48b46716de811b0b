"""A small network that adds to a bicubic enlargement what it lacks.

Residual blocks without normalisation and one shuffle of pixels at the end: Lim et al., Enhanced Deep Residual Networks
for Single Image Super-Resolution, 2017; Shi et al., Real-Time Single Image and Video Super-Resolution, 2016.

Where a picture is smooth there is nothing to add, and what a network adds nevertheless is its answer to the rounding to 8
bits. So what it adds passes a garrote (L. Breiman, Better Subset Regression Using the Nonnegative Garrote, 1995): less than
`quiet` becomes nothing, much more stays nearly as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline_models.rolling import Roll, rolled


class ResidualUpscaler(nn.Module):
    """`(B, channels, H, W)` to `(B, channels, factor H, factor W)`; sees zeros beyond the edges."""

    def __init__(self, factor: int, channels: int, width: int, blocks: int, quiet: float) -> None:
        super().__init__()
        self.factor, self.channels, self.quiet = factor, channels, quiet
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.last = nn.Conv2d(width, channels * factor**2, 3, padding=1)
        # A band at its fullest: features five times, and what is added a few times; and two rows for every convolution.
        self.bytes_per_pixel = 20 * width + 16 * channels * factor**2
        self.bytes_per_column = 4 * width * (8 * blocks + 8)

    @property
    def reach(self) -> int:
        """How far, in input pixels, what an output pixel depends on lies from it."""
        return 2 + 2 * len(self.blocks)

    def forward(self, pixels: Tensor, rows: int | None = None) -> Tensor:
        """The pixels enlarged, so many `rows` at a time."""
        # Antialiasing changes nothing when enlarging, but picks the sharper cubic, a = -0.5.
        result = functional.interpolate(pixels, scale_factor=self.factor, mode="bicubic", antialias=True)
        if rows is None:
            (added,) = self.added(pixels, Roll())
            return result + added
        for top, added in rolled(self.added, torch.split(pixels, rows, 2), rows):
            result[:, :, top : top + added.shape[2]] += added
        return result

    def added(self, pixels: Tensor, roll: Roll) -> Iterator[Tensor]:
        """What a bicubic enlargement of these rows lacks."""
        features = roll.convolved(self.first, pixels)
        roll.keep(self.first, features)
        for block in self.blocks:
            features = block(features, roll)
        features = features + roll.take(self.first, features.shape[2])
        added: Tensor = functional.pixel_shuffle(roll.convolved(self.last, features), self.factor)
        if self.quiet and not self.training:  # in training all that is added is to be learnt from
            added = torch.where(added.abs() > self.quiet, added - self.quiet**2 / added, 0.0)
        yield added


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor, roll: Roll) -> Tensor:
        roll.keep(self, features)
        inner = roll.convolved(self.second, torch.relu(roll.convolved(self.first, features)))
        return inner.add_(roll.take(self, inner.shape[2]))


def network(
    *, factor: int, channels: int = 3, width: int = 32, blocks: int = 5, quiet: float = 0.0
) -> ResidualUpscaler:
    """One with random numbers."""
    return ResidualUpscaler(factor, channels, width, blocks, quiet)

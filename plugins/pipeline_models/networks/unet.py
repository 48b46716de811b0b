"""A U-Net: for every pixel how much it looks like each class.

O. Ronneberger, P. Fischer and T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015; with
batch normalisation, and with a first step that folds 2x2 pixels into channels (W. Shi et al., "Real-Time Single Image
and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", 2016, the other way round), so that
nothing but the last two layers works at full size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import max_pool2d

FOLD = 2


class Trunk(nn.Module):
    """From pixels `(B, C, H, W)` to features of the first width at `1 / stride` of the size.

    H and W are multiples of `2 ** len(widths)`.
    """

    def __init__(self, channels: int, widths: Sequence[int], *, stride: int = FOLD) -> None:
        super().__init__()
        self.fold = nn.PixelUnshuffle(FOLD)
        entering = [channels * FOLD**2, *widths]
        self.down = nn.ModuleList(_block(a, b) for a, b in zip(entering, widths, strict=False))
        kept = range(len(widths) - 2, stride.bit_length() - 3, -1)
        self.up = nn.ModuleList(nn.ConvTranspose2d(widths[i + 1], widths[i], 2, 2) for i in kept)
        self.join = nn.ModuleList(_block(2 * widths[i], widths[i]) for i in kept)
        self.multiple = 2 ** len(widths)
        strides = [FOLD * 2**i for i in range(len(widths))]
        # Two convolutions of 3x3 each way, and the cell that a pixel falls into.
        self.reach = 3 * (sum(strides) + sum(strides[: len(self.up)]))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        found = self.fold(pixels)
        levels = []
        for i, block in enumerate(self.down):
            found = block(max_pool2d(found, 2) if i else found)
            levels.append(found)
        for up, join, level in zip(self.up, self.join, levels[-2::-1], strict=False):
            found = join(torch.cat([up(found), level], dim=1))
        features: torch.Tensor = found
        return features


class UNet(nn.Module):
    """From pixels `(B, channels, H, W)` to scores `(B, classes, H, W)`; their softmax are probabilities.

    `reach` is how far, in pixels, what a score depends on lies from it, at most.
    """

    def __init__(self, *, channels: int, classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.trunk = Trunk(channels, widths)
        self.multiple = self.trunk.multiple
        # In whole cells of the coarsest level, so that pieces fall on the cells of the whole.
        self.reach = -(-(self.trunk.reach + FOLD) // self.multiple) * self.multiple
        fine = max(12, 2 * channels)
        self.unfold = nn.Sequential(nn.Conv2d(widths[0], fine * FOLD**2, 1), nn.PixelShuffle(FOLD))
        self.fine = nn.Sequential(
            nn.Conv2d(fine + channels, fine, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(fine, classes, 1)
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.fine(torch.cat([self.unfold(self.trunk(pixels)), pixels], dim=1))
        return scores


def network(*, channels: int, labels: Sequence[str], widths: Sequence[int]) -> UNet:
    """One with random numbers; a class for each label."""
    return UNet(channels=channels, classes=len(labels), widths=widths)


def _block(entering: int, leaving: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(entering, leaving, 3, padding=1, bias=False),
        nn.BatchNorm2d(leaving),
        nn.ReLU(inplace=True),
        nn.Conv2d(leaving, leaving, 3, padding=1, bias=False),
        nn.BatchNorm2d(leaving),
        nn.ReLU(inplace=True),
    )

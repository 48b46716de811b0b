"""A detector of one stage and no anchors: where the middles of things are, and how far their edges lie from there.

Middles as peaks of a heat map for each class: X. Zhou, D. Wang and P. Krähenbühl, "Objects as Points", 2019. Edges as
distances from the cell: Z. Tian, C. Shen, H. Chen and T. He, "FCOS: Fully Convolutional One-Stage Object Detection", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from pipeline_models.networks.unet import Trunk

STRIDE = 4
RARE = -4.0
"""The heat that a network not yet trained gives everywhere: a probability of about 0.02."""


class Found(NamedTuple):
    """`heat` `(B, classes, H, W)`, of which the sigmoid is a probability; `reach` `(B, 4, H, W)`, pixels from the middle
    of each cell to the left, top, right and bottom edge. A cell is `STRIDE` pixels wide."""

    heat: torch.Tensor
    reach: torch.Tensor


class CenterDetector(nn.Module):
    """From pixels `(B, channels, H, W)` to a `Found` at a quarter of the size."""

    def __init__(self, *, channels: int, classes: int, widths: Sequence[int], threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.trunk = Trunk(channels, widths, stride=STRIDE)
        self.multiple = self.trunk.multiple
        self.heat = _head(widths[1], classes)
        self.reach = _head(widths[1], 4)
        nn.init.constant_(self.heat[-1].bias, RARE)  # type: ignore[arg-type]  # a Conv2d, which has one

    def forward(self, pixels: torch.Tensor) -> Found:
        found = self.trunk(pixels)
        return Found(self.heat(found), STRIDE * torch.exp(self.reach(found).clamp(-4, 6)))


def network(*, channels: int, labels: Sequence[str], widths: Sequence[int], threshold: float = 0.3) -> CenterDetector:
    """One with random numbers; a class for each label. Below `threshold` it is more often wrong than it misses something."""
    return CenterDetector(channels=channels, classes=len(labels), widths=widths, threshold=threshold)


def _head(entering: int, leaving: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(entering, entering, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(entering, leaving, 1)
    )

"""A small convolutional classifier of small pictures, all of one size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class SmallClassifier(nn.Module):
    """From pixels `(B, channels, H, W)` to scores `(B, classes)`; `features` gives what they are made of."""

    def __init__(self, *, channels: int, classes: int, size: Sequence[int], width: int, features: int) -> None:
        super().__init__()
        across, down = size
        self.body = nn.Sequential(
            *_layer(channels, width), *_layer(width, width), nn.MaxPool2d(2),
            *_layer(width, 2 * width), *_layer(2 * width, 2 * width), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(2 * width * (across // 4) * (down // 4), features), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.scores = nn.Linear(features, classes)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """`(B, features)`, at least 0."""
        found: torch.Tensor = self.body(pixels)
        return found

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.scores(self.features(pixels))
        return scores


def network(
    *, channels: int, labels: Sequence[str], size: Sequence[int], width: int = 24, features: int = 64
) -> SmallClassifier:
    """One with random numbers; a class for each label, for pictures of `size` (width, height)."""
    return SmallClassifier(channels=channels, classes=len(labels), size=size, width=width, features=features)


def _layer(entering: int, leaving: int) -> list[nn.Module]:
    return [nn.Conv2d(entering, leaving, 3, padding=1, bias=False), nn.BatchNorm2d(leaving), nn.ReLU(inplace=True)]

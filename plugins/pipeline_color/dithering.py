"""Few levels that look like many."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from pipeline_color.straight import on_colors
from pipeline_core import Image, operation


@operation(aliases=("ordered_dither", "bayer"))
def dither(
    image: Image,
    *,
    levels: Annotated[int, Field(ge=2, le=65536, description="steps from 0 to 1; 256 for 8 bits")] = 256,
) -> Image:
    """Round to a number of levels between 0 and 1, by a pattern that keeps the average.

    Ordered dither by the 8x8 matrix of Bayer 1973, "An optimum method for two-level rendition of continuous-tone
    pictures"; `posterize` rounds without a pattern.

    Convention: the pattern begins at the top left pixel and is one for all channels; a value that is a level stays.
    Nothing is clipped: values outside 0..1 get levels of the same step. Alpha is divided out and multiplied in again.
    """
    steps = float(levels - 1)

    def change(color: Tensor) -> Tensor:
        height, width = color.shape[-2:]
        pattern = _bayer(8).repeat(-(-height // 8), -(-width // 8))[:height, :width].to(color)
        return torch.floor(color * steps + pattern) / steps

    return on_colors(image, change)


def _bayer(size: int) -> Tensor:
    """Thresholds between 0 and 1, each of (n + 1/2) / size^2 once."""
    ranks = torch.zeros(1, 1)
    while len(ranks) < size:
        ranks = torch.cat([torch.cat([4 * ranks, 4 * ranks + 2], 1), torch.cat([4 * ranks + 3, 4 * ranks + 1], 1)], 0)
    return (ranks + 0.5) / size**2

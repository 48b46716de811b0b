"""Few levels that look like many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from pipeline_color.diffusion import Floats, diffused, visible
from pipeline_color.straight import on_colors
from pipeline_core import Image, operation

if TYPE_CHECKING:
    from torch import Tensor


def _like(image: Image, **_: object) -> Image:
    return image.like()


@operation(infer=_like, aliases=("ordered_dither", "bayer", "floyd_steinberg", "error_diffusion"))
def dither(
    image: Image,
    *,
    levels: Annotated[int, Field(ge=2, le=65536, description="steps from 0 to 1; 256 for 8 bits")] = 256,
    method: Annotated[
        Literal["ordered", "floyd-steinberg"], Field(description="a pattern, or errors handed on to the next pixels")
    ] = "ordered",
) -> Image:
    """Round to a number of levels between 0 and 1, so that areas keep their average.

    ordered          by the 8x8 matrix of Bayer 1973, "An optimum method for two-level rendition of continuous-tone
                     pictures"
    floyd-steinberg  the error of a pixel is shared among the next: 7/16 to the right, 3/16, 5/16 and 1/16 below (Floyd and
                     Steinberg 1976, "An adaptive algorithm for spatial greyscale"); left to right, row by row

    `posterize` rounds alone.

    Convention: the pattern begins at the top left pixel and is one for all channels; a value that is a level stays.
    Nothing is clipped: values outside 0..1 get levels of the same step. Alpha is divided out and multiplied in again.
    """
    import torch

    steps = float(levels - 1)
    if method == "floyd-steinberg":
        seen = visible(image)
        return on_colors(image, lambda color: diffused(color, lambda values: (_levels(values, steps), values), seen))

    def change(color: Tensor) -> Tensor:
        height, width = color.shape[-2:]
        pattern = _bayer(8).repeat(-(-height // 8), -(-width // 8))[:height, :width].to(color)
        return torch.floor(color * steps + pattern) / steps

    return on_colors(image, change)


def _levels(values: Floats, steps: float) -> Floats:
    found: Floats = np.rint(values * np.float32(steps)) / np.float32(steps)
    return found


def _bayer(size: int) -> Tensor:
    """Thresholds between 0 and 1, each of (n + 1/2) / size^2 once."""
    import torch

    ranks = torch.zeros(1, 1)
    while len(ranks) < size:
        ranks = torch.cat([torch.cat([4 * ranks, 4 * ranks + 2], 1), torch.cat([4 * ranks + 3, 4 * ranks + 1], 1)], 0)
    return (ranks + 0.5) / size**2

"""Masks: coverage, 1 is inside."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_core import Image, Mask, OperationError, empty, operation
from pipeline_core import opencv as cv2

if TYPE_CHECKING:
    from torch import Tensor

Array = Any
LARGEST_DISC = 32
"""Pixels of radius up to which looking at every pixel of a disc is faster than run by run."""
Steps = Annotated[int, Field(ge=0, le=4096, description="pixels")]


@operation(support=0, aliases=("channel_to_mask", "ImageToMask"))
def mask_from_channel(image: Image, *, channel: Annotated[str, Field(description="its name: A, R, Y, Z, ...")]) -> Mask:
    """One channel of an image as a mask.

    The values are taken as they are, in the image's own type: not clipped, and colour not divided by alpha.
    """
    if channel not in image.channels:
        raise OperationError(f"the image has no channel '{channel}', only {', '.join(image.channels)}")
    return Mask(image.buffer[..., [image.index(channel)]], wrap=image.wrap, meta=image.meta)


@operation(support=0, aliases=("negate_mask", "invert_selection"))
def invert_mask(mask: Mask) -> Mask:
    """Turn a mask inside out: 1 - value."""
    return mask.with_pixels(1 - mask.pixels)


@operation(
    version=2, support=lambda radius, **_: math.ceil(radius), aliases=("blur_mask", "soften_mask", "feather_selection")
)
def feather_mask(
    mask: Mask, *, radius: Annotated[float, Field(ge=0, le=4096, description="pixels that an edge may reach")]
) -> Mask:
    """Soften a mask's edges with a Gaussian.

    Convention: the standard deviation is a third of the radius and the kernel ends at the radius, so nothing farther
    from an edge than that changes. Beyond the frame the edge pixels are repeated, or the mask tiles where it wraps.
    """
    reach = math.ceil(radius)
    if reach == 0:
        return mask
    weights = [math.exp(-0.5 * (3 * i / radius) ** 2) if abs(i) <= radius else 0.0 for i in range(-reach, reach + 1)]
    if mask.device == "cpu":
        line = np.array([weight / sum(weights) for weight in weights])
        return _by_opencv(
            mask, reach, lambda plane: cv2.sepFilter2D(plane, -1, line, line, borderType=cv2.BORDER_REPLICATE)
        )
    pixels = mask.pixels
    for dim, wraps in ((2, mask.wrap[1]), (3, mask.wrap[0])):
        pixels = _blur(_extend(pixels, dim, reach, wraps), dim, [w / sum(weights) for w in weights])
    return mask.with_pixels(pixels)


@operation(support=lambda radius, **_: radius, aliases=("expand_mask", "dilate_mask", "grow_selection"))
def grow_mask(mask: Mask, *, radius: Steps) -> Mask:
    """Grow a mask by a number of pixels (grey dilation).

    Convention: the neighbourhood is a disc, all pixels whose centre is within `radius`. Beyond the frame the edge
    pixels are repeated, or the mask tiles where it wraps.
    """
    if radius == 0:
        return mask
    if _suits_opencv(mask, radius):
        return _by_opencv(mask, radius, lambda plane: cv2.dilate(plane, _disc(radius)))
    return mask.with_pixels(_largest_nearby(mask, mask.pixels, radius))


@operation(support=lambda radius, **_: radius, aliases=("contract_mask", "erode_mask", "shrink_selection", "choke"))
def shrink_mask(mask: Mask, *, radius: Steps) -> Mask:
    """Shrink a mask by a number of pixels (grey erosion).

    Convention: the neighbourhood and the frame's edge are those of `grow_mask`.
    """
    if radius == 0:
        return mask
    if _suits_opencv(mask, radius):
        return _by_opencv(mask, radius, lambda plane: cv2.erode(plane, _disc(radius)))
    return mask.with_pixels(-_largest_nearby(mask, -mask.pixels, radius))


def _suits_opencv(mask: Mask, radius: int) -> bool:
    return mask.device == "cpu" and radius <= LARGEST_DISC


def _disc(radius: int) -> Array:
    steps = np.arange(-radius, radius + 1)
    return (steps * steps + (steps * steps)[:, None] <= radius * radius).astype(np.uint8)


def _by_opencv(mask: Mask, reach: int, change: Callable[[Array], Array]) -> Mask:
    """A change of each plane, which looks so far and continues the edge (or leaves out what is beyond, for extremes)."""
    array = mask.array
    result = empty(array.shape)
    x, y = (reach if wraps else 0 for wraps in mask.wrap)
    for item, out in zip(array[..., 0], result[..., 0], strict=True):
        around = item
        if x or y:
            around = np.pad(item, ((y, y), (x, x)), "wrap")
        out[:] = change(around)[y : y + mask.height, x : x + mask.width]
    return mask.with_buffer(result)


def _extend(pixels: Tensor, dim: int, reach: int, wraps: bool) -> Tensor:
    """`reach` more rows or columns on both sides: around the tile, or the edge's repeated."""
    import torch

    length = pixels.shape[dim]
    where = torch.arange(-reach, length + reach, device=pixels.device)
    return pixels.index_select(dim, where % length if wraps else where.clamp(0, length - 1))


def _blur(extended: Tensor, dim: int, weights: list[float]) -> Tensor:
    """The weighted sum of shifted views. Not a convolution: those may round to TF32 on a GPU."""
    length = extended.shape[dim] - len(weights) + 1
    total = extended.narrow(dim, 0, length) * weights[0]
    for start, weight in enumerate(weights[1:], 1):
        total.add_(extended.narrow(dim, start, length), alpha=weight)
    return total


def _largest_nearby(mask: Mask, pixels: Tensor, radius: int) -> Tensor:
    """The largest value in a disc: of the chord in each of its rows, each the larger of two overlapping runs."""
    import torch

    extended = _extend(_extend(pixels, 2, radius, mask.wrap[1]), 3, radius, mask.wrap[0])
    # runs[n]: at each place the largest of the n values that begin there; n doubles.
    runs, length = {1: extended}, 1
    while 2 * length <= 2 * radius + 1:
        shorter = runs[length]
        runs[2 * length] = torch.maximum(shorter[..., :-length], shorter[..., length:])
        length *= 2
    best = pixels
    for row in range(radius + 1):
        half = math.isqrt(radius * radius - row * row)
        chord = 2 * half + 1
        length = 1 << (chord.bit_length() - 1)
        begin, end = radius - half, radius + half + 1 - length
        largest = torch.maximum(*(runs[length].narrow(3, start, mask.width) for start in (begin, end)))
        for offset in (radius - row, radius + row):
            best = torch.maximum(best, largest.narrow(2, offset, mask.height))
    return best

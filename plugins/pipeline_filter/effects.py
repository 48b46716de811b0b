"""Looks: a darker rim, light that spills over, a shadow behind a figure, a mosaic of blocks."""

from __future__ import annotations

import math
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_core import (
    AnyRaster,
    Color,
    Image,
    Mask,
    OperationError,
    Unit,
    each_tile,
    empty,
    kernels_for,
    operation,
    stored,
)
from pipeline_filter.arrays import Array
from pipeline_filter.associated import Floats, as_floats, filtered
from pipeline_filter.blur import blur
from pipeline_filter.light import shadowed
from pipeline_filter.weights import gaussian

if TYPE_CHECKING:
    import torch


LUMA = (0.2126, 0.7152, 0.0722)  # Rec. ITU-R BT.709-6, item 3.2
Offset = Annotated[int, Field(ge=-8192, le=8192, description="pixels to the right (x) and down (y)")]


@operation(version=2, infer=as_floats, aliases=("pixelate", "pixelize_image", "block_average"))
def pixelize(image: AnyRaster, *, size: Annotated[int, Field(ge=1, le=4096, description="pixels")] = 8) -> AnyRaster:
    """Show a picture in blocks, each the mean of the pixels in it: to hide a face or a sign, or as a look.

    Colours are weighted by alpha and the alpha state is handed back. What is hidden so can be guessed where blocks are
    small; `fill` hides for good.

    Convention: the first block is in the upper left corner; those at the right and lower edge are what is left over.
    """
    source = image.associate() if isinstance(image, Image) and image.coverage != "none" else image
    if source.device == "cpu":
        result = source.with_array(_blocks(source.array, size))
        return (
            result.with_alpha_state(image.alpha) if isinstance(result, Image) and isinstance(image, Image) else result
        )
    from torch.nn import functional

    blocks = functional.avg_pool2d(source.pixels, size, ceil_mode=True, count_include_pad=False)
    large = blocks.repeat_interleave(size, dim=2)[:, :, : image.height].repeat_interleave(size, dim=3)
    result = source.with_pixels(large[..., : image.width])
    return result.with_alpha_state(image.alpha) if isinstance(result, Image) and isinstance(image, Image) else result


def _blocks(array: Floats, size: int) -> Floats:
    """`(B, H, W, C)` in blocks: sums of rows, then of columns, over as many pixels as there are."""
    _, height, width, channels = array.shape
    result = empty(array.shape)
    starts = np.arange(0, width, size)
    widths = np.diff(starts, append=width).astype(np.float32)[:, None]

    def work(rows: slice, _: slice) -> None:
        for item, out in zip(array[:, rows], result[:, rows], strict=True):
            lines = item.sum(0).reshape(width, channels)
            means = np.add.reduceat(lines, starts) / (widths * len(item))
            out[:] = np.repeat(means, size, axis=0)[:width]

    each_tile(width, height, (width, size), work)
    return result


@operation(aliases=("darken_corners", "lens_vignette"))
def vignette(
    image: Image,
    *,
    amount: Annotated[
        float, Field(ge=-1, le=1, description="how much of the light the corners lose; below 0 they gain")
    ] = 0.5,
    start: Annotated[Unit, Field(description="where it begins: 0 in the middle, 1 in the corners")] = 0.3,
    roundness: Annotated[Unit, Field(description="0 follows the frame's shape, 1 is a circle")] = 0.0,
) -> Image:
    """Darken a picture towards its corners, as lenses do, and as painters do to hold the eye.

    Colour is multiplied by 1 - amount (3u² - 2u³), where u rises from 0 at `start` to 1 in the corners. Alpha
    and other channels stay; a picture that tiles does so no more. For a lens's own fall-off work on linear colour.

    Convention: the distance is 1 in the corners: ((x/w)² + (y/h)²)^½ by the half sides, over √2; a circle's is in halves
    of the diagonal.
    """
    import torch

    pixels = image.pixels.clone()
    height, width = image.height, image.width
    y = (torch.arange(height, device=pixels.device) + 0.5 - height / 2).view(1, 1, -1, 1)
    x = (torch.arange(width, device=pixels.device) + 0.5 - width / 2).view(1, 1, 1, -1)
    oval = ((x / (width / 2)) ** 2 + (y / (height / 2)) ** 2).sqrt() / math.sqrt(2)
    circle = (x**2 + y**2).sqrt() / (math.hypot(width, height) / 2)
    far = oval + roundness * (circle - oval)
    rise = ((far - start) / max(1 - start, 1e-6)).clamp(0, 1)
    colored = image.color_indices
    pixels[:, colored] *= 1 - amount * (3 * rise**2 - 2 * rise**3)
    return image.with_pixels(pixels, wrap=(False, False))


def _glow_reach(sigma: float = 12.0, **_: Any) -> int:
    return len(gaussian(sigma)) // 2 if sigma else 0


@operation(infer=as_floats, support=_glow_reach, aliases=("glow", "soft_glow", "halation", "light_bleed"))
def bloom(
    image: Image,
    *,
    threshold: Annotated[float, Field(description="light beyond this value spills over")] = 0.8,
    sigma: Annotated[
        float, Field(ge=0, le=512, description="how far, as the standard deviation of a Gaussian in pixels")
    ] = 12.0,
    amount: Annotated[float, Field(ge=0, description="how much of it")] = 1.0,
) -> Image:
    """Let bright light spill over what is around it, as in a lens, on film, or in the eye.

    image + amount blur(what each colour has beyond the threshold). Nothing is clipped; works best on linear colour, where
    lamps are brighter than 1. Alpha stays: over what is transparent the spilled light is in the associated values alone.

    Convention: the threshold is of straight values, channel by channel. Beyond the frame the edge pixels are repeated,
    or the image tiles where it wraps.
    """
    colored, weights = image.color_indices, gaussian(sigma) if sigma else np.ones(1)
    at = image.index("A") if image.coverage != "none" else None

    def change(kernels: ModuleType, buffer: Any) -> Any:
        cover = 1.0 if at is None else buffer[..., [at]]
        every = len(colored) == buffer.shape[3]
        bright = ((buffer if every else buffer[..., colored]) - threshold * cover).clip(0)
        spilled = kernels.separable(bright, weights, weights, image.wrap)
        if every:
            spilled *= amount
            spilled += buffer
            return spilled
        result = buffer.copy() if isinstance(buffer, np.ndarray) else buffer.clone()
        result[..., colored] += amount * spilled
        return result

    return filtered(image, change)


@operation(version=2, aliases=("shadow", "layer_shadow", "cast_shadow"))
def drop_shadow(
    image: Image,
    *,
    x: Offset = 6,
    y: Offset = 6,
    sigma: Annotated[
        float, Field(ge=0, le=512, description="how soft, as the standard deviation of a Gaussian in pixels")
    ] = 6.0,
    color: Annotated[Color, Field(description="in the image's colour space")] = (0.0, 0.0, 0.0, 1.0),
    opacity: Unit = 0.6,
) -> Image:
    """Put a soft shadow behind a figure, from its alpha.

    The alpha, moved by x and y, blurred, times the opacity and the colour's own alpha, lies under the picture as a layer of
    one colour. The frame stays: `pad` first where the shadow needs room. Channels that are no colour (Z, ...) stay.

    Convention: nothing beyond the frame casts a shadow, but of an image that tiles, its repetitions. A Y image gets the
    colour's luma.
    """
    if image.coverage == "none":
        raise OperationError("without alpha there is no figure that could cast a shadow: set_alpha or a key gives one")
    named = dict(zip("RGBY", (*color[:3], sum(w * c for w, c in zip(LUMA, color[:3], strict=True))), strict=True))
    colors = [named[image.channels[i].rpartition(".")[2]] for i in image.color_indices]
    kernels = kernels_for(__file__, image)
    if kernels is not None:
        soft = _shade(stored(image)[..., image.index("A")], (x, y), sigma, image.wrap)
        return shadowed(kernels, image, soft, colors, opacity * color[3])
    lit = image.associate()
    alpha = lit.channel("A")
    cast = _moved(alpha, (x, y), image.wrap, _glow_reach(sigma))
    shade = _blurred(cast, sigma, image) * (opacity * color[3])
    pixels = lit.pixels.clone()
    clear = 1 - alpha
    for i, value in zip(lit.color_indices, colors, strict=True):
        pixels[:, i : i + 1] += clear * shade * value
    at = lit.index("A")
    pixels[:, at : at + 1] += clear * shade
    return lit.with_pixels(pixels).with_alpha_state(image.alpha)


def _shade(alpha: Array, by: tuple[int, int], sigma: float, wrap: tuple[bool, bool]) -> Floats:
    """Alpha `(B, H, W)` moved and blurred, with nothing around it where it does not tile: `(B, H, W, 1)`."""
    across, down = (0 if wraps else _glow_reach(sigma) for wraps in wrap)
    height, width = alpha.shape[1:]
    cast = empty((len(alpha), height + 2 * down, width + 2 * across, 1), alpha.dtype)
    cast[:] = 0
    for axis, shift, wraps in ((2, by[0], wrap[0]), (1, by[1], wrap[1])):
        if wraps:
            alpha = np.roll(alpha, shift, axis)
    (to_x, from_x), (to_y, from_y) = (
        (slice(0, size), slice(0, size)) if wraps else _overlap(size, size + 2 * room, shift + room)
        for size, room, shift, wraps in ((width, across, by[0], wrap[0]), (height, down, by[1], wrap[1]))
    )
    cast[:, to_y, to_x, 0] = alpha[:, from_y, from_x]
    soft = blur(Mask(cast, wrap=wrap), sigma=sigma)
    return stored(soft)[:, down : down + height, across : across + width]


def _overlap(size: int, room: int, at: int) -> tuple[slice, slice]:
    """Where in a line of `room` one of `size` lies that is put at a place, and which part of it does."""
    start, stop = min(max(at, 0), room), min(max(at + size, 0), room)
    return slice(start, stop), slice(start - at, stop - at)


def _moved(alpha: torch.Tensor, by: tuple[int, int], wrap: tuple[bool, bool], room: int) -> torch.Tensor:
    """The alpha moved, with room around it that is clear, where it does not tile."""
    from torch.nn import functional

    for dim, shift, wraps in ((3, by[0], wrap[0]), (2, by[1], wrap[1])):
        if wraps:
            alpha = alpha.roll(shift, dims=dim)
            continue
        length = alpha.shape[dim]
        before, after = room + max(shift, 0), room + max(-shift, 0)
        sides = (before, after, 0, 0) if dim == 3 else (0, 0, before, after)
        alpha = functional.pad(alpha, sides).narrow(dim, before - room - shift, length + 2 * room)
    return alpha


def _blurred(cast: torch.Tensor, sigma: float, image: Image) -> torch.Tensor:
    """Blurred, and cut to the frame again."""
    soft = blur(Mask(cast.permute(0, 2, 3, 1), wrap=image.wrap), sigma=sigma).pixels
    for dim, length, wraps in ((3, image.width, image.wrap[0]), (2, image.height, image.wrap[1])):
        if not wraps:
            soft = soft.narrow(dim, (soft.shape[dim] - length) // 2, length)
    return soft

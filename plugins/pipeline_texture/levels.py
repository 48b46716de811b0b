"""Sizes that graphics cards like: levels of detail, powers of two."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, Image, Mask, OperationError, operation
from pipeline_texture.coverage import associated, handed_back
from pipeline_texture.resampling import X_AXIS, Y_AXIS, Filter, means, resized
from pipeline_texture.vectors import unit, vectors, with_vectors

Content = Literal["color", "normal"]
Rounding = Literal["nearest", "up", "down"]


def _infer_level(
    image: AnyRaster,
    *,
    level: int,
    filter: str = "box",  # noqa: A002  as in `mip_level`
    content: Content = "color",
) -> AnyRaster:
    width, height = _size_of(image, level)
    prepared = _prepared(image.to("meta"), content)
    return prepared.with_buffer(np.broadcast_to(np.float32(0), (image.batch, height, width, len(image.channels))))


@operation(version=2, infer=_infer_level, aliases=("mip_chain", "mipmap", "maketx", "level_of_detail"))
def mip_level(
    image: AnyRaster,
    *,
    level: Annotated[int, Field(ge=0, le=30, description="0 is the image itself, each further one half as large")],
    filter: Annotated[Filter, Field(description="mean of the pixels, or a sharper windowed sinc")] = "box",  # noqa: A002
    content: Annotated[Content, Field(description="`normal` brings vectors to length 1 on each level")] = "color",
) -> AnyRaster:
    """Make one level of a texture's mip chain.

    Each level is made of the one before: half as wide and high, rounded down, at least 1. `box` is the exact mean of
    the covered area, odd sizes too; `kaiser` (a sinc under Kaiser's window, 3 pixels to each side) keeps more detail
    and may over- and undershoot. Colours are weighted by alpha and the alpha state is handed back; in colour `data` A is a
    channel like the others. An image that tiles is filtered across its seams.

    Works on the values as they are: for correct brightness give linear colour (`color_convert` before and after).
    `normal` wants R, G and B of a normal map, and gives colour `data`.

    Convention: sizes are rounded down, as in OpenGL, Vulkan and Direct3D; the last level is 1x1.
    """
    _size_of(image, level)
    image = _prepared(image, content)
    for _ in range(level):
        width, height = _size_of(image, 1)
        image = _prepared(_resampled(image, width, height, filter, image.wrap), content)
    return image


def _prepared(image: AnyRaster, content: Content) -> AnyRaster:
    """A level as it is handed on: in float32, normals of length 1."""
    if content == "color":
        return image.with_array(image.array) if image.device == "cpu" else image.with_pixels(image.pixels)
    if isinstance(image, Image):
        return with_vectors(image, unit(vectors(image)))
    raise OperationError("content 'normal' is for images: a mask has no normals")


def _size_of(image: Image | Mask, level: int) -> tuple[int, int]:
    last = max(image.size).bit_length() - 1
    if level > last:
        raise OperationError(f"level {level}: the chain of {image.width}x{image.height} ends with level {last}")
    return max(1, image.width >> level), max(1, image.height >> level)


def _resampled(image: AnyRaster, width: int, height: int, kind: Filter, wrap: tuple[bool, bool]) -> AnyRaster:
    source = associated(image)
    if kind == "box" and source.device == "cpu":
        return handed_back(source.with_array(means(source.array, width, height)), image)
    buffer = source.pixels.permute(0, 2, 3, 1)
    buffer = resized(buffer, Y_AXIS, height, kind, wrap[1])
    return handed_back(source.with_buffer(resized(buffer, X_AXIS, width, kind, wrap[0])), image)


def _infer_power(image: AnyRaster, *, method: str = "resize", rounding: Rounding = "nearest") -> AnyRaster:
    width, height = _powers(image, method, rounding)
    if (width, height) == image.size:
        return image
    dtype = image.dtype if method == "pad" else "float32"
    shape = (image.batch, height, width, len(image.channels))
    return image.with_buffer(
        np.broadcast_to(np.zeros((), dtype), shape), wrap=_wrap_after(image, width, height, method)
    )


@operation(infer=_infer_power, aliases=("pot", "npot", "resize_pot", "next_power_of_two"))
def power_of_two(
    image: AnyRaster,
    *,
    method: Annotated[
        Literal["resize", "pad"], Field(description="resample, or add pixels on the right and at the bottom")
    ] = "resize",
    rounding: Annotated[Rounding, Field(description="which power of two each side becomes")] = "nearest",
) -> AnyRaster:
    """Bring both sides to powers of two, as textures for block compression and mip chains want them.

    `resize` uses a Kaiser-windowed sinc, on colours weighted by alpha (not in colour `data`), across the seams of an image that tiles, and
    gives float32; values may over- and undershoot. `pad` repeats the last column and row, keeps the dtype, and wants
    `rounding: up`; a side that was padded tiles no more. An image that has such a size is given back as it is.

    Convention: `nearest` is by difference, and up where both are equally near (48 becomes 64), as in Unity.
    """
    width, height = _powers(image, method, rounding)
    if (width, height) == image.size:
        return image
    wrap = _wrap_after(image, width, height, method)
    if method == "resize":
        return _resampled(image, width, height, "kaiser", image.wrap)
    buffer = _edges_repeated(image.buffer, Y_AXIS, height)
    return image.with_buffer(_edges_repeated(buffer, X_AXIS, width), wrap=wrap)


def _powers(image: Image | Mask, method: str, rounding: Rounding) -> tuple[int, int]:
    if method == "pad" and rounding != "up":
        raise OperationError(f"padding only makes larger: 'rounding' must be up, not {rounding}")
    return _power(image.width, rounding), _power(image.height, rounding)


def _power(side: int, rounding: Rounding) -> int:
    down = 1 << (side.bit_length() - 1)
    up = down if down == side else 2 * down
    return {"up": up, "down": down, "nearest": up if up - side <= side - down else down}[rounding]


def _wrap_after(image: Image | Mask, width: int, height: int, method: str) -> tuple[bool, bool]:
    kept = (method == "resize" or width == image.width, method == "resize" or height == image.height)
    return image.wrap[0] and kept[0], image.wrap[1] and kept[1]


def _edges_repeated(buffer: Any, axis: int, count: int) -> Any:
    import torch

    place = np.arange(count).clip(0, buffer.shape[axis] - 1)
    if isinstance(buffer, np.ndarray):
        return buffer.take(place, axis)
    return buffer.index_select(axis, torch.from_numpy(place).to(buffer.device))

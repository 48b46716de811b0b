"""Cutting out, adding borders, moving round: exact, in the buffer's own type."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, Color, OperationError, Rows, operation
from pipeline_transform.moves import X_AXIS, framed, framed_rows, picked_rows, rolled, taken, taken_both
from pipeline_transform.paint import TRANSPARENT, channel_values, encoded

Position = Annotated[int, Field(ge=0, description="pixels from the left (x) or the top (y)")]
Length = Annotated[int, Field(ge=1, description="pixels")]
Border = Annotated[int, Field(ge=0, description="pixels added on this side")]
PadMode = Literal["constant", "edge", "repeat", "mirror"]


def _same(image: AnyRaster, **_: Any) -> AnyRaster:
    return image


def _cropped(image: AnyRaster, **params: Any) -> AnyRaster:
    return crop(image, **params)  # a slice of a stand-in is a stand-in


def _padded(
    image: AnyRaster, *, left: int = 0, right: int = 0, top: int = 0, bottom: int = 0, mode: str = "constant", **_: Any
) -> AnyRaster:
    wrap = _wrap_after_pad(image, left + right, top + bottom, mode)
    width, height = image.width + left + right, image.height + top + bottom
    return image.like(width=width, height=height, dtype=image.dtype, wrap=wrap)


def _wrap_after_pad(image: AnyRaster, across: int, down: int, mode: str) -> tuple[bool, bool]:
    """A side that was padded tiles no more, unless by whole repeats of a tile."""
    whole = (across % image.width == 0, down % image.height == 0) if mode == "repeat" else (across == 0, down == 0)
    return image.wrap[0] and whole[0], image.wrap[1] and whole[1]


def _crop_in_rows(image: AnyRaster, *, x: int, y: int, width: int, height: int) -> Rows:
    result = crop(image, x=x, y=y, width=width, height=height)

    def make(start: int, stop: int, strip: AnyRaster) -> AnyRaster:
        return strip.with_buffer(strip.buffer[:, :, x : x + width], wrap=result.wrap)

    return Rows(result, make, lambda start, stop: (start + y, stop + y))


@operation(infer=_cropped, rows=_crop_in_rows, aliases=("ImageCrop", "cut"))
def crop(image: AnyRaster, *, x: Position, y: Position, width: Length, height: Length) -> AnyRaster:
    """Cut out a rectangle.

    `x`, `y` is its top left pixel. Exact, in the image's own dtype. The rectangle must lie inside the image; `pad`
    adds room. A side that is cut tiles no more.
    """
    if x + width > image.width or y + height > image.height:
        raise OperationError(
            f"a crop of {width}x{height} at ({x}, {y}) reaches outside the image, which is "
            f"{image.width}x{image.height}; make it smaller, or 'pad' the image first"
        )
    wrap = (image.wrap[0] and width == image.width, image.wrap[1] and height == image.height)
    return image.with_buffer(image.buffer[:, y : y + height, x : x + width], wrap=wrap)


def _pad_in_rows(
    image: AnyRaster,
    *,
    left: int = 0,
    right: int = 0,
    top: int = 0,
    bottom: int = 0,
    mode: PadMode = "constant",
    color: Color = TRANSPARENT,
) -> Rows:
    result = _padded(image, left=left, right=right, top=top, bottom=bottom, mode=mode)
    if mode == "constant":
        border = encoded(channel_values(color, image), image.dtype)
        return framed_rows(
            result, image.height, top, lambda strip: framed(strip, border, (0, 0), (left, right)), border
        )
    index = _continued(image.height, top, bottom, mode)
    return picked_rows(result, index, lambda strip: taken(strip, _continued(image.width, left, right, mode), X_AXIS))


@operation(infer=_padded, rows=_pad_in_rows, aliases=("extend", "canvas_size", "add_border", "expand_canvas"))
def pad(
    image: AnyRaster,
    *,
    left: Border = 0,
    right: Border = 0,
    top: Border = 0,
    bottom: Border = 0,
    mode: Annotated[PadMode, Field(description="what the new pixels show")] = "constant",
    color: Annotated[Color, Field(description="of the new pixels, in mode 'constant'")] = TRANSPARENT,
) -> AnyRaster:
    """Add a border of pixels.

    Modes: `constant` (a colour), `edge` (the outermost pixel goes on), `repeat` (the picture again), `mirror` (the
    picture turned over and over). A border may be wider than the picture.

    `color` is in the image's own colour space. An image without alpha takes its RGB and drops its alpha, so that
    `transparent` gives black; a mask takes its alpha, so that `transparent` is outside; Y takes its luma; other
    channels get 0. Integer images take the nearest code. Exact, in the image's own dtype.

    Convention: `mirror` repeats the outermost pixel (b a | a b c | c b), as textures do.
    """
    wrap = _wrap_after_pad(image, left + right, top + bottom, mode)
    if mode == "constant":
        border = encoded(channel_values(color, image), image.dtype)
        return image.with_buffer(framed(image.buffer, border, (top, bottom), (left, right)), wrap=wrap)
    rows, columns = _continued(image.height, top, bottom, mode), _continued(image.width, left, right, mode)
    return image.with_buffer(taken_both(image.buffer, rows, columns), wrap=wrap)


def _continued(size: int, before: int, after: int, mode: PadMode) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Which row or column of a picture of this size stands at each place from -before to size + after."""
    place = np.arange(-before, size + after, dtype=np.int64)
    if mode == "edge":
        return place.clip(0, size - 1)
    if mode == "repeat":
        return place % size
    folded = place % (2 * size)
    return np.minimum(folded, 2 * size - 1 - folded)


def _offset_in_rows(image: AnyRaster, *, x: int = 0, y: int = 0) -> Rows | None:
    if y % image.height:  # the rows of one strip come from both ends
        return None
    return Rows(image, lambda start, stop, strip: strip.with_buffer(rolled(strip.buffer, (0, x))))


@operation(infer=_same, rows=_offset_in_rows, aliases=("cshift", "roll", "wrap_shift"))
def offset(
    image: AnyRaster,
    *,
    x: Annotated[int, Field(description="pixels to the right")] = 0,
    y: Annotated[int, Field(description="pixels down")] = 0,
) -> AnyRaster:
    """Shift round: what leaves on one side comes in on the other.

    Exact, in the image's own dtype. By half the size it brings the seams of a tile into the middle.
    """
    return image.with_buffer(rolled(image.buffer, (y, x)))

"""Turning a picture over and round: exact, in the buffer's own type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pipeline_core import AnyRaster, Rows, operation
from pipeline_transform.moves import X_AXIS, Y_AXIS, reversed_along, transposed, turned


def _same(image: AnyRaster, **_: Any) -> AnyRaster:
    return image


def _turned(image: AnyRaster, *, turns: int = 1) -> AnyRaster:
    if turns == 2:
        return image
    return image.like(width=image.height, height=image.width, dtype=image.dtype, wrap=(image.wrap[1], image.wrap[0]))


def _from_below(image: AnyRaster, turn: Callable[[Any], Any]) -> Rows:
    """The last row first."""
    return Rows(
        image,
        lambda start, stop, strip: strip.with_buffer(turn(strip.buffer)),
        lambda start, stop: (image.height - stop, image.height - start),
    )


def _flip_in_rows(image: AnyRaster) -> Rows:
    return _from_below(image, lambda buffer: reversed_along(buffer, Y_AXIS))


def _flop_in_rows(image: AnyRaster) -> Rows:
    return Rows(image, lambda start, stop, strip: flop(strip))


def half_turn_in_rows(image: AnyRaster, *, turns: int = 1) -> Rows | None:
    return _from_below(image, lambda buffer: turned(buffer, 2)) if turns == 2 else None


@operation(infer=_same, rows=_flip_in_rows, aliases=("flip_vertical", "mirror_vertical", "upside_down"))
def flip(image: AnyRaster) -> AnyRaster:
    """Upside down: the top row becomes the bottom row.

    Convention: flip is vertical and flop is horizontal, as in Nuke, ImageMagick and OpenImageIO.
    Exact, in the image's own dtype.
    """
    return image.with_buffer(reversed_along(image.buffer, Y_AXIS))


@operation(infer=_same, rows=_flop_in_rows, aliases=("flip_horizontal", "mirror"))
def flop(image: AnyRaster) -> AnyRaster:
    """Left to right, as in a mirror: the first column becomes the last.

    Convention: flip is vertical and flop is horizontal, as in Nuke, ImageMagick and OpenImageIO.
    Exact, in the image's own dtype.
    """
    return image.with_buffer(reversed_along(image.buffer, X_AXIS))


@operation(infer=_turned, aliases=("swap_axes",))
def transpose(image: AnyRaster) -> AnyRaster:
    """Rows become columns: mirrored along the diagonal from the top left.

    Exact, in the image's own dtype.
    """
    return image.with_buffer(transposed(image.buffer), wrap=(image.wrap[1], image.wrap[0]))


@operation(infer=_turned, rows=half_turn_in_rows, aliases=("quarter_turn", "ImageRotate", "rot90"))
def rotate90(image: AnyRaster, *, turns: Literal[1, 2, 3] = 1) -> AnyRaster:
    """Turn by quarter turns, clockwise; the size turns with the picture.

    Exact, in the image's own dtype. `rotate` turns by any angle.
    """
    wrap = image.wrap if turns == 2 else image.wrap[::-1]
    return image.with_buffer(turned(image.buffer, turns), wrap=wrap)

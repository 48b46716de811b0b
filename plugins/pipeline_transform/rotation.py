"""Turning a picture by any angle."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, Color, Rows, operation
from pipeline_transform.paint import TRANSPARENT
from pipeline_transform.turns import half_turn_in_rows, rotate90
from pipeline_transform.warping import Point, Warp, WarpFilter, through, warped, warped_in_rows, warped_size


class Turn(NamedTuple):
    """Where an output pixel comes from: (x, y) - to, turned back by the angle, + `origin`."""

    cos: float
    sin: float
    origin: Point
    to: Point
    width: int
    height: int

    @property
    def warp(self) -> Warp:
        # Turned back: y points down, so (cos, sin) turns clockwise and (cos, -sin) counterclockwise.
        (x, y), (x0, y0) = self.to, self.origin
        across = (self.cos, self.sin, x0 - x * self.cos - y * self.sin)
        down = (-self.sin, self.cos, y0 + x * self.sin - y * self.cos)
        back = np.array([across, down, (0.0, 0.0, 1.0)])
        return Warp(self.width, self.height, through(back), matrix=back)


def _inferred(
    image: AnyRaster,
    *,
    angle: float,
    expand: bool = False,
    filter: str = "bicubic",  # noqa: A002  as in `rotate`
    center: Point | None = None,
    **_: Any,
) -> AnyRaster:
    turns = _exact_turns(image, angle, expand, center)
    if turns is not None:
        swapped = turns % 2 == 1
        width, height = (image.height, image.width) if swapped else image.size
        wrap = image.wrap[::-1] if swapped else image.wrap
        return image.like(width=width, height=height, dtype=image.dtype, wrap=wrap)
    turn = _turn(image, angle, expand, center)
    return warped_size(image, turn.width, turn.height, filter)


def _in_rows(
    image: AnyRaster,
    *,
    angle: float,
    expand: bool = False,
    filter: str = "bicubic",  # noqa: A002  as in `rotate`
    center: Point | None = None,
    fill: Color = TRANSPARENT,
) -> Rows | None:
    turns = _exact_turns(image, angle, expand, center)
    if turns == 0:
        return Rows(image, lambda start, stop, strip: strip)
    if turns is not None:
        return half_turn_in_rows(image, turns=turns)
    turn = _turn(image, angle, expand, center)
    return warped_in_rows(image, turn.warp, filter, fill)


@operation(version=5, infer=_inferred, rows=_in_rows, aliases=("turn",))
def rotate(
    image: AnyRaster,
    *,
    angle: Annotated[float, Field(description="degrees, clockwise")],
    expand: Annotated[bool, Field(description="grow the size so that nothing is cut off")] = False,
    filter: WarpFilter = "bicubic",  # noqa: A002  the word of the field
    center: Annotated[Point, Field(description="x, y that stays in place; the middle by default")] | None = None,
    fill: Annotated[Color, Field(description="of the corners that the picture does not reach")] = TRANSPARENT,
) -> AnyRaster:
    """Turn by any angle, about the middle or another point.

    With `expand` the size grows to hold the whole picture, and `center` makes no difference. Quarter turns that fit the
    size are exact and keep the dtype (see `rotate90`); else all filters but `nearest` give float32.
    Filters as in `resize`.

    Outside the picture is `fill`, in the image's own colour space; the edge blends into it. An image without alpha
    takes its RGB and drops its alpha, so that `transparent` gives black; a mask takes its alpha, so that `transparent`
    is outside. Colours are weighted by alpha and the alpha state is handed back as it was. An image that tiles has no
    outside: the corners show the next tiles; the result tiles no more.

    Convention: a positive angle turns clockwise as one sees it, as in OpenImageIO; pixel centres are at half pixels, so
    the middle is (width / 2, height / 2).
    """
    turns = _exact_turns(image, angle, expand, center)
    if turns == 0:
        return image
    if turns is not None:
        return rotate90(image, turns=turns)
    turn = _turn(image, angle, expand, center)
    return warped(image, turn.warp, filter, fill)


def _exact_turns(image: AnyRaster, angle: float, expand: bool, center: Point | None) -> Literal[0, 1, 2, 3] | None:
    """How many quarter turns this is, if whole pixels land on whole pixels and the size fits; else None."""
    turns = angle / 90 % 4
    if turns != 0 and center is not None and not expand:
        return None
    fits = expand or turns in (0, 2) or image.width == image.height
    for whole in (0, 1, 2, 3):
        if turns == whole and fits:
            return whole  # type: ignore[return-value]  # mypy widens the literals to int
    return None


def _turn(image: AnyRaster, angle: float, expand: bool, center: Point | None) -> Turn:
    cos, sin = _cos_sin(angle)
    middle = (image.width / 2, image.height / 2)
    if not expand:
        return Turn(cos, sin, center or middle, center or middle, image.width, image.height)
    # A hair less than the exact size, so that rounding errors add no empty row.
    width = math.ceil(image.width * abs(cos) + image.height * abs(sin) - 1e-6)
    height = math.ceil(image.width * abs(sin) + image.height * abs(cos) - 1e-6)
    return Turn(cos, sin, middle, (width / 2, height / 2), width, height)


def _cos_sin(angle: float) -> Point:
    """Exact for quarter turns, so that whole pixels land on whole pixels."""
    exact = {0.0: (1.0, 0.0), 90.0: (0.0, 1.0), 180.0: (-1.0, 0.0), 270.0: (0.0, -1.0)}
    radians = math.radians(angle)
    return exact.get(angle % 360, (math.cos(radians), math.sin(radians)))

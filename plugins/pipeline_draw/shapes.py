"""Masks of free shapes: polygons and lines."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline_core import Mask, OperationError, operation
from pipeline_draw import outlines
from pipeline_draw.masks import Feather, Invert
from pipeline_draw.paint import Length
from pipeline_draw.plane import Plane

Point = tuple[float, float]
EXAMPLE = [(2.0, 1.0), (21.0, 6.0), (12.0, 13.0), (4.0, 10.0)]
Rule = Literal["nonzero", "even_odd"]


def _blank(*, width: int, height: int, points: list[Point], **_: Any) -> Mask:
    _check(points)
    return Mask.stand_in(width, height)


def _check(points: list[Point]) -> None:
    wrong = next((point for point in points if not all(map(math.isfinite, point))), None)
    if wrong is not None:
        raise OperationError(f"a point must have finite coordinates, got {wrong}")


def _mask(plane: Plane) -> Mask:
    return Mask(plane[None, ..., None])


@operation(version=2, infer=_blank, device="cpu", aliases=("polygon", "lasso", "roto", "free_select"))
def polygon_mask(
    *,
    width: Length,
    height: Length,
    points: Annotated[
        list[Point], Field(min_length=3, max_length=10_000, description="x, y in pixels, in turn", examples=[EXAMPLE])
    ],
    rule: Annotated[Rule, Field(description="what is inside where the outline crosses itself")] = "nonzero",
    invert: Invert = False,
) -> Mask:
    """A mask of a polygon; the last point is joined to the first. May reach outside.

    `nonzero` fills whatever the outline goes round; `even_odd` leaves holes where it goes round twice. A soft edge is
    made by `feather_mask`.

    Convention: a pixel that the polygon covers in part has that part as its value, exactly, unless the outline crosses
    itself inside the pixel. (0, 0) is the outer corner of the top left pixel.
    """
    _check(points)
    return _mask(outlines.polygon(width, height, points, even_odd=rule == "even_odd", invert=invert))


@operation(infer=_blank, device="cpu", aliases=("line", "polyline", "stroke", "brush_path"))
def line_mask(
    *,
    width: Length,
    height: Length,
    points: Annotated[
        list[Point], Field(min_length=1, max_length=10_000, description="x, y in pixels, in turn", examples=[EXAMPLE])
    ],
    thickness: Annotated[float, Field(gt=0, description="pixels")] = 1.0,
    closed: Annotated[bool, Field(description="join the last point to the first")] = False,
    feather: Feather = 0.0,
    invert: Invert = False,
) -> Mask:
    """A mask of a line through points, with round ends and corners: a brush's path. One point is a dot.

    Convention: coverage by distance, the edge taken as straight within a pixel; lines thinner than a pixel are as faint
    as they are thin. (0, 0) is the outer corner of the top left pixel. The feather is a linear ramp, half of it inside.
    """
    _check(points)
    path = [*points, points[0]] if closed else points
    return _mask(outlines.stroke(width, height, path, thickness, feather=feather, invert=invert))

"""Masks from nothing: coverage, 1 inside, with exact antialiasing and soft edges."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pipeline_core import Mask, OperationError, operation
from pipeline_draw import coverage
from pipeline_draw.paint import Length
from pipeline_draw.plane import Plane

Feather = Annotated[float, Field(ge=0, description="width of the soft edge in pixels, half of it outside")]
Invert = Annotated[bool, Field(description="inside becomes outside")]
Edge = Annotated[float, Field(description="pixels from the left (left, right) or the top (top, bottom)")]
Point = Annotated[tuple[float, float], Field(description="x, y in pixels")]


def _blank(*, width: int, height: int, **_: Any) -> Mask:
    return Mask.stand_in(width, height)


def _mask(plane: Plane) -> Mask:
    return Mask(plane[None, ..., None])


@operation(infer=_blank, device="cpu", aliases=("rectangle", "rectangle_select", "box_mask"))
def rectangle_mask(
    *,
    width: Length,
    height: Length,
    left: Edge,
    top: Edge,
    right: Edge,
    bottom: Edge,
    feather: Feather = 0.0,
    invert: Invert = False,
) -> Mask:
    """A mask of a rectangle, given by its edges in pixels; may reach outside.

    Convention: a pixel that the rectangle covers in part has that part as its value. The feather is a linear ramp,
    half of it inside the edge and half outside.
    """
    if right <= left or bottom <= top:
        raise OperationError(
            f"the rectangle is empty: left {left:g}, right {right:g}, top {top:g}, bottom {bottom:g}; "
            "right must be above left, and bottom above top"
        )
    edges = {"left": left, "top": top, "right": right, "bottom": bottom}
    return _mask(coverage.rectangle(width, height, **edges, feather=feather, invert=invert))


@operation(version=2, infer=_blank, device="cpu", aliases=("circle_mask", "ellipse", "circle", "ellipse_select"))
def ellipse_mask(
    *,
    width: Length,
    height: Length,
    center: Point | None = None,
    radius_x: Annotated[float, Field(gt=0, description="pixels")],
    radius_y: Annotated[float, Field(gt=0, description="pixels; a circle by default")] | None = None,
    feather: Feather = 0.0,
    invert: Invert = False,
) -> Mask:
    """A mask of an ellipse or a circle, in the middle unless told otherwise.

    Convention: pixel centres are at half pixels, so the middle is (width / 2, height / 2); a pixel that the ellipse
    covers in part has that part as its value. The feather is a linear ramp, half of it inside the edge.
    """
    x, y = center or (width / 2, height / 2)
    radii = {"radius_x": radius_x, "radius_y": radius_y or radius_x}
    return _mask(coverage.ellipse(width, height, x=x, y=y, **radii, feather=feather, invert=invert))


@operation(infer=_blank, device="cpu", aliases=("gradient_mask",))
def linear_mask(*, width: Length, height: Length, start: Point, end: Point) -> Mask:
    """A mask that rises from 0 at `start` to 1 at `end`, straight, and stays so beyond.

    Convention: pixel centres are at half pixels.
    """
    if start == end:
        raise OperationError(f"a ramp needs two different points, got {start} twice")
    return _mask(coverage.ramp(width, height, start=start, end=end))

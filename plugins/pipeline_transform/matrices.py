"""Moving pictures by matrices: shift, affine and perspective."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, Color, OperationError, Rows, operation
from pipeline_transform.moves import framed, framed_rows, rolled
from pipeline_transform.paint import TRANSPARENT, channel_values, encoded
from pipeline_transform.warping import (
    Antialias,
    Fill,
    Point,
    Side,
    Warp,
    WarpFilter,
    through,
    warped,
    warped_in_rows,
    warped_size,
)

Matrix = np.ndarray[Any, np.dtype[np.float64]]
Row = tuple[float, float, float]
MatrixRows = Annotated[
    list[Row],
    Field(
        min_length=2,
        max_length=3,
        description="2 or 3 rows of 3, of the picture's points to the result's",
        examples=[[[0.9, -0.3, 4.0], [0.3, 0.9, -2.0]]],
    ),
]
Corners = tuple[Point, Point, Point, Point]
Shift = Annotated[float, Field(ge=-(2**20), le=2**20)]


def _shifted(
    image: AnyRaster,
    *,
    x: float = 0.0,
    y: float = 0.0,
    filter: str = "bicubic",  # noqa: A002  the word of the field
    **_: Any,
) -> AnyRaster:
    exact = x == round(x) and y == round(y)
    return warped_size(image, None, None, "nearest" if exact else filter, wrap=image.wrap)


def _shifted_in_rows(
    image: AnyRaster,
    *,
    x: float = 0.0,
    y: float = 0.0,
    filter: str = "bicubic",  # noqa: A002  the word of the field
    fill: Color = TRANSPARENT,
) -> Rows | None:
    if x != round(x) or y != round(y):
        return warped_in_rows(image, _shift(image, x, y), filter, fill)
    across, down = round(x), round(y)
    if image.wrap[1]:
        return Rows(
            image,
            lambda start, stop, strip: _moved(strip, across, 0, fill),
            lambda start, stop: (start - down, stop - down),
        )
    border = encoded(channel_values(fill, image), image.dtype)

    def moved_across(buffer: Any) -> Any:
        return _moved(image.with_buffer(buffer), across, 0, fill).buffer if buffer.shape[1] else buffer

    return framed_rows(image, image.height, down, moved_across, border)


@operation(version=5, infer=_shifted, rows=_shifted_in_rows, aliases=("move", "position", "shift"))
def translate(
    image: AnyRaster,
    *,
    x: Annotated[Shift, Field(description="pixels to the right")] = 0.0,
    y: Annotated[Shift, Field(description="pixels down")] = 0.0,
    filter: WarpFilter = "bicubic",  # noqa: A002  the word of the field
    fill: Fill = TRANSPARENT,
) -> AnyRaster:
    """Move the picture inside its frame, by parts of a pixel too.

    Whole pixels are moved exactly, in the image's own dtype; else all filters but `nearest` give float32. What leaves
    the frame is gone, and `fill` comes in; an image that tiles goes round, and still tiles (`offset` does that to
    any). Filters as in `resize`, `fill` as in `rotate`; colours are weighted by alpha, whose state is handed back.

    Convention: x points right and y down.
    """
    if x == round(x) and y == round(y):
        return _moved(image, round(x), round(y), fill)
    return warped(image, _shift(image, x, y), filter, fill)


def _shift(image: AnyRaster, x: float, y: float) -> Warp:
    back = np.array([(1.0, 0.0, -x), (0.0, 1.0, -y), (0.0, 0.0, 1.0)])
    return Warp(image.width, image.height, through(back), wrap=image.wrap, matrix=back)


def _moved(image: AnyRaster, x: int, y: int, fill: Color) -> AnyRaster:
    """By whole pixels: rolled round, and what came round painted over where the image does not tile."""
    width, height = image.size
    buffer = rolled(image.buffer, (y % height, x % width))
    if image.wrap == (True, True):
        return image.with_buffer(buffer)
    left, right = (0, 0) if image.wrap[0] else (min(max(x, 0), width), min(max(-x, 0), width))
    top, bottom = (0, 0) if image.wrap[1] else (min(max(y, 0), height), min(max(-y, 0), height))
    kept = buffer[:, top : height - bottom, left : width - right]
    if kept.shape[1] < 1 or kept.shape[2] < 1:
        kept, top, bottom, left, right = buffer[:, :0, :0], height, 0, width, 0
    border = encoded(channel_values(fill, image), image.dtype)
    return image.with_buffer(framed(kept, border, (top, bottom), (left, right)))


def _placed(
    image: AnyRaster,
    *,
    width: int | None = None,
    height: int | None = None,
    filter: str = "bicubic",  # noqa: A002  the word of the field
    **params: Any,
) -> AnyRaster:
    if "matrix" in params:
        _inverse(_square(params["matrix"]))
    else:
        _pinned(image, params["corners"], params.get("source"))
    return warped_size(image, width, height, filter)


def _placed_in_rows(
    image: AnyRaster,
    *,
    width: int | None = None,
    height: int | None = None,
    filter: str = "bicubic",  # noqa: A002  the word of the field
    antialias: bool = True,
    fill: Color = TRANSPARENT,
    **params: Any,
) -> Rows | None:
    if "matrix" in params:
        back = _inverse(_square(params["matrix"]))
    else:
        back = _pinned(image, params["corners"], params.get("source"))
    warp = _warp(image, back, width, height, antialias)
    if warp.antialias and back[2, :2].any():  # how far the filter reaches differs from place to place
        return None
    return warped_in_rows(image, warp, filter, fill)


@operation(
    version=5, infer=_placed, rows=_placed_in_rows, aliases=("warp", "transform", "transform_matrix", "free_transform")
)
def affine(
    image: AnyRaster,
    *,
    matrix: MatrixRows,
    width: Side | None = None,
    height: Side | None = None,
    filter: WarpFilter = "bicubic",  # noqa: A002  the word of the field
    antialias: Antialias = True,
    fill: Fill = TRANSPARENT,
) -> AnyRaster:
    """Transform by a matrix: scale, turn, shear, move, with a third row also perspective.

    The point (x, y) of the picture comes to `matrix` times (x, y, 1), in pixels, divided by the third part where there
    are three rows. All filters but `nearest` give float32; where the picture shrinks, the filter widens, up to 8 times
    (`resize` shrinks further). `fill` as in `rotate`; an image that tiles covers the whole plane; the result tiles no
    more. Colours are weighted by alpha, whose state is handed back.

    Convention: column vectors, rows as written: x' = m[0][0] x + m[0][1] y + m[0][2] (OpenImageIO's `warp` and Imath
    write the same numbers column by column). y points down, pixel centres are at half pixels.
    """
    back = _inverse(_square(matrix))
    return warped(image, _warp(image, back, width, height, antialias), filter, fill)


def _warp(image: AnyRaster, back: Matrix, width: int | None, height: int | None, antialias: bool) -> Warp:
    """By a matrix from the result to the picture."""
    if not back[2, :2].any():
        back = back / back[2, 2]
    back = np.ascontiguousarray(back)
    return Warp(width or image.width, height or image.height, through(back), antialias and _shrinks(back), matrix=back)


@operation(
    version=5,
    infer=_placed,
    rows=_placed_in_rows,
    aliases=("perspective", "corner_pin_2d", "distort_perspective", "homography"),
)
def corner_pin(
    image: AnyRaster,
    *,
    corners: Annotated[
        Corners,
        Field(
            description="where the top left, top right, bottom right, bottom left come to: x, y in pixels",
            examples=[((3.0, 2.0), (20.0, 4.0), (18.0, 13.0), (5.0, 11.0))],
        ),
    ],
    source: Annotated[Corners, Field(description="points that come there; the picture's corners by default")]
    | None = None,
    width: Side | None = None,
    height: Side | None = None,
    filter: WarpFilter = "bicubic",  # noqa: A002  the word of the field
    antialias: Antialias = True,
    fill: Fill = TRANSPARENT,
) -> AnyRaster:
    """Pin four points to four places, in perspective: a picture onto a screen or a wall, or back off it.

    With `source` set to a screen's corners in a plate and `corners` to a rectangle, the screen is straightened out.
    Filters, `fill`, alpha and tiling as in `affine`; beyond the horizon is `fill`.

    Convention: corners are the outer corners of pixels, not centres: (0, 0) and (width, height). The matrix is that of
    P. Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989, section 2.2.3.
    """
    matrix = _pinned(image, corners, source)
    return warped(image, _warp(image, matrix, width, height, antialias), filter, fill)


def _square(rows: list[Row]) -> Matrix:
    found = np.array([*rows, (0, 0, 1)][:3], np.float64)
    if not np.isfinite(found).all():
        raise OperationError("the matrix has a number that is not finite")
    return found


def _inverse(matrix: Matrix) -> Matrix:
    """By cofactors, so that every machine gets the same bits."""
    a, b, c = matrix
    cofactors = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)], axis=1)
    determinant = float(a @ cofactors[:, 0])
    size = float(np.prod([np.abs(row).max() for row in matrix]))
    if not abs(determinant) > 1e-12 * size:
        raise OperationError("the matrix squeezes the picture into a line or a point: it has no inverse")
    return cofactors / determinant


def _shrinks(back: Matrix) -> bool:
    """Whether the picture shrinks somewhere, as far as a matrix from the result to the picture tells at once."""
    (a, b, _), (d, e, _), (g, h, i) = back.tolist()
    return bool(g or h or max(np.hypot(a, b), np.hypot(d, e)) / abs(i) > 1)


def _cross(a: Any, b: Any) -> Matrix:
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _pinned(image: AnyRaster, corners: Corners, source: Corners | None) -> Matrix:
    """From places of the result to places of the picture."""
    width, height = float(image.width), float(image.height)
    whole = ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height))
    return _from_unit_square(source or whole, "source") @ _inverse(_from_unit_square(corners, "corners"))


def _from_unit_square(corners: Corners, name: str) -> Matrix:
    """The perspective that takes (0, 0), (1, 0), (1, 1), (0, 1) to the corners."""
    first, second, third, fourth = (np.array(point, np.float64) for point in corners)
    u, v, rest = second - third, fourth - third, first - second + third - fourth
    area = u[0] * v[1] - u[1] * v[0]
    if area == 0:
        g = h = -1.0
    else:
        g, h = (rest[0] * v[1] - rest[1] * v[0]) / area, (u[0] * rest[1] - u[1] * rest[0]) / area
    if not min(1 + g, 1 + h, 1 + g + h) > 0:  # the depths of the corners, beside the first one's
        raise OperationError(
            f"'{name}' {_shown(corners)} make no quadrilateral that bulges outward everywhere; "
            "give them in turn: top left, top right, bottom right, bottom left"
        )
    x, y = np.stack([second - first + g * second, fourth - first + h * fourth, first], axis=1)
    return np.array([x, y, (g, h, 1.0)])


def _shown(corners: Corners) -> str:
    return ", ".join(f"({x:g}, {y:g})" for x, y in corners)

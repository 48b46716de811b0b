"""How much of each pixel a shape covers, with a soft edge if asked: the arithmetic of antialiasing.

A pixel i covers i to i + 1, its centre is at i + 0.5. Everything is reckoned in float64; planes are float32, `(H, W)`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_core import each_tile, empty
from pipeline_draw.plane import Pieces, Plane, between, plane

Array = NDArray[np.floating[Any]]
THINNEST = 1e-3  # pixels of feather; less would divide rounding errors by next to nothing


def soft_step(distance: Array, feather: float = 0) -> Array:
    """A step from 0 to 1 at distance 0, as pixels see it: blurred by a box of 1, and by one of `feather`.

    A step blurred by n boxes w is the sum over all signs s of prod(s) R(d + s.w / 2) / prod(w), R(t) = max(t, 0)^n / n!
    (C. de Boor, K. Hoellig, S. Riemenschneider, "Box Splines", 1993).
    """
    if feather < THINNEST:
        return (distance + 0.5).clip(0, 1)
    near, far = (1 + feather) / 2, abs(1 - feather) / 2
    at = distance.clip(-near, near)  # beyond, it is 0 and 1
    area: Array = np.zeros_like(at)
    for sign, corner in ((1, near), (-1, far), (-1, -far), (1, -near)):
        area += sign * np.square((at + corner).clip(0))
    return (area / (2 * feather)).clip(0, 1)


def rectangle(
    width: int,
    height: int,
    *,
    left: float,
    top: float,
    right: float,
    bottom: float,
    feather: float = 0,
    invert: bool = False,
) -> Plane:
    """Exact coverage of each pixel by a rectangle, blurred by a box of `feather` pixels."""
    across = soft_step(_centers(width) - left, feather) - soft_step(_centers(width) - right, feather)
    down = soft_step(_centers(height) - top, feather) - soft_step(_centers(height) - bottom, feather)
    found = empty((height, width))
    # Rows above, within and below the rectangle are alike.
    for start, stop in pairwise([0, *(np.flatnonzero(np.diff(down)) + 1).tolist(), height]):
        covered = down[start] * across
        found[start:stop] = (1 - covered if invert else covered).astype(np.float32)
    return found


def ellipse(
    width: int,
    height: int,
    *,
    x: float,
    y: float,
    radius_x: float,
    radius_y: float,
    feather: float = 0,
    invert: bool = False,
) -> Plane:
    """Exact coverage of each pixel by an ellipse; feathered, its edge is taken as straight within a pixel."""
    crisp = feather < THINNEST
    # f = |(u, v)|, with u and v in radii from the middle, is 1 on the edge, and changes by 1 / min(radii) a pixel at most:
    # what is further than this from 1 lies wholly on one side.
    margin = (0.75 if crisp else (1 + feather) / 2) / min(radius_x, radius_y)
    v = (_centers(height) - y) / radius_y
    outer, inner = (np.sqrt((f * f - v * v).clip(0)) * radius_x for f in (1 + margin, max(0, 1 - margin)))
    first, last = (np.ceil(x + side * outer - 0.5) for side in (-1, 1))
    full, end = (np.ceil(x + side * inner - 0.5) for side in (-1, 1))
    first, full, end, last = (columns.clip(0, width).astype(np.int64) for columns in (first, full, end, last))
    rows = np.arange(height)
    row, column = np.hstack([between(rows, first, full), between(rows, end, last)])
    if crisp:
        covered = _areas(row, column, x, y, radius_x, radius_y)
    else:
        covered = soft_step(_inside((column + 0.5 - x) / radius_x, v[row], radius_x, radius_y), feather)
    filled = full < end
    starts = rows * width
    return plane(
        width,
        height,
        [
            Pieces(starts + last, np.zeros(height)),
            Pieces((starts + full)[filled], np.ones(filled.sum())),
            Pieces(row * width + column, covered),
        ],
        invert=invert,
    )


def _inside(u: Array, v: Array, radius_x: float, radius_y: float) -> Array:
    """The distance to the edge, to first order: (1 - f) / |grad f| (G. Taubin, 1994)."""
    f, slope = np.hypot(u, v), np.hypot(u / radius_x, v / radius_y)
    distance: Array = (1 - f) * np.divide(f, slope, out=np.full_like(f, min(radius_x, radius_y)), where=slope > 0)
    return distance


def _areas(row: Any, column: Any, x: float, y: float, radius_x: float, radius_y: float) -> Array:
    """What an ellipse covers of each of some pixels."""
    (above, below), (left, right) = (
        [(line + side - middle) / radius for side in (0, 1)]
        for line, middle, radius in ((row, y, radius_y), (column, x, radius_x))
    )
    areas = _disc_area(right, below) - _disc_area(right, above) - (_disc_area(left, below) - _disc_area(left, above))
    # Differences of areas leave some 1e-10 where there is nothing.
    covered: Array = (areas * (radius_x * radius_y)).round(6).clip(0, 1)
    return covered


def _disc_area(x: Array, y: Array) -> Array:
    """The area of the unit disc to the left of x and above y: the integral of its columns' heights, in closed form."""
    x, y = x.clip(-1, 1), y.clip(-1, 1)
    reach = np.sqrt(1 - y * y)  # columns from -reach to reach cross the line y; those beyond lie all above or below it
    # The integral of the half height rises with x, so it can be clipped in place of x and stays one row and one column.
    at_x, at_reach = _half_disc(x), _half_disc(reach)
    area: Array = y * (x.clip(-reach, reach) + reach) + at_x.clip(-at_reach, at_reach) + at_reach
    beyond = np.minimum(at_x, -at_reach) - _half_disc(np.float64(-1)) + np.maximum(at_x, at_reach) - at_reach
    return np.where(y >= 0, area + 2 * beyond, area)


def _half_disc(x: Any) -> Any:
    """The integral of sqrt(1 - t^2) from 0 to x."""
    return (x * np.sqrt(1 - x * x) + np.arcsin(x)) / 2


def ramp(width: int, height: int, *, start: tuple[float, float], end: tuple[float, float]) -> Plane:
    """0 at `start` and before, 1 at `end` and after, linear between, sampled at pixel centres."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = dx * dx + dy * dy
    across, down = (_centers(width) - start[0]) * dx, (_centers(height) - start[1]) * dy
    found = empty((height, width))

    def work(rows: slice, _: slice) -> None:
        found[rows] = ((across + down[rows, None]) / length).clip(0, 1)

    each_tile(width, height, (width, 16), work)
    return found


def _centers(count: int) -> Array:
    return np.arange(count) + 0.5

"""How much of each pixel polygons and strokes cover. As in `coverage`: pixel centres at i + 0.5, planes in float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline_draw.coverage import Array, soft_step
from pipeline_draw.plane import Numbers, Pieces, Plane, between, plane

Point = tuple[float, float]


def polygon(width: int, height: int, points: list[Point], *, even_odd: bool = False, invert: bool = False) -> Plane:
    """Exact coverage of each pixel by a polygon whose edges do not cross within the pixel.

    Each edge adds to the pixels that it passes the area on its right, with the sign of its direction, and its height to
    all further right: summed up along rows, that is the mean winding number of each pixel. The method of FreeType's
    smooth rasterizer (D. Turner) and of R. Levien's font-rs, 2016. Winding numbers become coverage by rule at the end.
    """
    edges = [_steps(width, height, start, end) for start, end in zip(points, [*points[1:], points[0]], strict=True)]
    # What is right of the picture stands behind its row's last pixel, so that every row adds up to 0.
    passed, which = np.unique(np.concatenate([at for at, _ in edges]), return_inverse=True)
    steps = np.bincount(which, np.concatenate([step for _, step in edges]), len(passed))
    row, column = np.divmod(passed, width + 1)
    winding = steps.cumsum()
    first = np.flatnonzero(np.diff(row, prepend=-1))
    # Rows begin anew: rounding errors of one are not carried into the next.
    winding -= np.repeat((winding - steps)[first], np.diff(first, append=len(row)))
    covered: Array = 1 - np.abs(1 - np.mod(winding, 2)) if even_odd else np.abs(winding).clip(0, 1)
    covered = covered.round(9)  # sums leave some 1e-13 where there is nothing
    below = Pieces((np.unique(row) + 1) * width, np.zeros(len(first)))
    seen = column < width
    return plane(width, height, [below, Pieces((row * width + column)[seen], covered[seen])], invert=invert)


def _steps(width: int, height: int, start: Point, end: Point) -> tuple[Numbers, Array]:
    """Differences along the rows that an edge makes: places, in rows of width + 1, and by how much."""
    sign = 1.0 if start[1] < end[1] else -1.0
    (x0, y0), (x1, y1) = (start, end) if start[1] < end[1] else (end, start)
    low, high = max(y0, 0.0), min(y1, float(height))
    if low >= high:
        return np.zeros(0, np.int64), np.zeros(0)  # level, or above or below the picture
    slope = (x1 - x0) / (y1 - y0)
    rows = np.arange(int(low), int(np.ceil(high)))
    top, bottom = np.maximum(rows, low), np.minimum(rows + 1, high)
    # The edge's x where it enters and leaves each row. Left of the picture it counts as on its left side.
    enters, leaves = x0 + (top - y0) * slope, x0 + (bottom - y0) * slope
    left, right = np.minimum(enters, leaves), np.maximum(enters, leaves)
    tall = sign * (bottom - top)
    # What of each row's height lies right of the edge, in each column from the edge's leftmost until it is all of it.
    first = np.floor(left).clip(0, width).astype(np.int64)
    columns = first[:, None] + np.arange(min(int(np.ceil(abs(slope))) + 2, width + 1))
    covered = _integral(columns + 1.0, left, right) - _integral(columns + 0.0, left, right)
    # Differences along the row, so that what goes on to the right needs one number.
    steps = np.diff(covered * tall[:, None], axis=1, prepend=0.0)
    places = rows[:, None] * (width + 1) + np.minimum(columns, width)
    return places.ravel(), steps.ravel()


def _integral(x: Array, left: Array, right: Array) -> Array:
    """The integral up to x of a ramp from 0 at `left` to 1 at `right`, for each row."""
    run = np.maximum(right - left, 1e-9)[:, None]
    past = x - left[:, None]
    inside = past.clip(0, run)
    found: Array = inside * inside / (2 * run) + (past - run).clip(0)
    return found


def stroke(
    width: int, height: int, points: list[Point], thickness: float, *, feather: float = 0, invert: bool = False
) -> Plane:
    """Coverage by lines between the points, with round ends and corners; edges are taken as straight within a pixel."""
    reach = thickness / 2 + feather + 2
    passed = [_near(start, end, reach, width, height) for start, end in _segments(points)]
    at, which = np.unique(np.concatenate([row * width + column for row, column, _ in passed]), return_inverse=True)
    nearest = np.full(len(at), np.inf)
    np.minimum.at(nearest, which, np.concatenate([distance for _, _, distance in passed]))
    # A line is what is inside one edge less what is beyond the other: a hair line is as faint as it is thin.
    covered = soft_step(thickness / 2 - nearest, feather) - soft_step(-thickness / 2 - nearest, feather)
    return plane(width, height, [Pieces(at + 1, np.zeros(len(at))), Pieces(at, covered)], invert=invert)


def _segments(points: list[Point]) -> Iterator[tuple[Point, Point]]:
    return zip(points, points[1:] or points, strict=False)


def _near(start: Point, end: Point, reach: float, width: int, height: int) -> tuple[Numbers, Numbers, Array]:
    """Row and column of the pixels near the line between two points, and their distances from it."""
    (left, right), (top, bottom) = ((min(pair), max(pair)) for pair in zip(start, end, strict=True))
    rows = np.arange(max(0, int(top - reach)) if top < height + reach else height, height)
    rows = rows[rows < bottom + reach]
    low, high = np.full(len(rows), left - reach), np.full(len(rows), right + reach)
    dx, dy = end[0] - start[0], end[1] - start[1]
    if dy:
        # Within a row the line, as wide as it reaches, is so far to both sides of its middle; it may go beyond its ends.
        middle = start[0] + (rows + 0.5 - start[1]) * (dx / dy)
        side = reach * float(np.hypot(dx, dy)) / abs(dy)
        low, high = np.maximum(low, middle - side), np.minimum(high, middle + side)
    first, last = (edge.clip(0, width).astype(np.int64) for edge in (low, np.ceil(high)))
    row, column = between(rows, first, last)
    return row, column, _distance(column + 0.5, row + 0.5, start, end)


def _distance(x: Any, y: Any, start: Point, end: Point) -> Array:
    """From pixel centres to the nearest place between two points."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = dx * dx + dy * dy
    along = ((x - start[0]) * dx + (y - start[1]) * dy) / length if length else np.zeros(1)
    along = along.clip(0, 1)
    distance: Array = np.hypot(x - start[0] - along * dx, y - start[1] - along * dy)
    return distance

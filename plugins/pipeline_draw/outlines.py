"""How much of each pixel polygons and strokes cover. As in `coverage`: float64, `(H, W)`, pixel centres at i + 0.5."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline_draw.coverage import Array, soft_step

Point = tuple[float, float]


def polygon(width: int, height: int, points: list[Point], *, even_odd: bool = False) -> Array:
    """Exact coverage of each pixel by a polygon whose edges do not cross within the pixel.

    Each edge adds to the pixels that it passes the area on its right, with the sign of its direction, and its height to
    all further right: summed up along rows, that is the mean winding number of each pixel. The method of FreeType's
    smooth rasterizer (D. Turner) and of R. Levien's font-rs, 2016. Winding numbers become coverage by rule at the end.
    """
    area = np.zeros((height, width + 1))  # the last column is never looked at
    for start, end in zip(points, [*points[1:], points[0]], strict=True):
        _add_edge(area, width, height, start, end)
    winding = area[:, :width].cumsum(1)
    covered: Array = 1 - np.abs(1 - np.mod(winding, 2)) if even_odd else np.abs(winding).clip(0, 1)
    return covered.round(9)  # sums leave some 1e-13 where there is nothing


def _add_edge(area: Array, width: int, height: int, start: Point, end: Point) -> None:
    sign = 1.0 if start[1] < end[1] else -1.0
    (x0, y0), (x1, y1) = (start, end) if start[1] < end[1] else (end, start)
    low, high = max(y0, 0.0), min(y1, float(height))
    if low >= high:
        return  # level, or above or below the picture
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
    # `area` holds differences along the row, so that what goes on to the right needs one number.
    steps = np.diff(covered * tall[:, None], axis=1, prepend=0.0)
    area[rows[:, None], np.minimum(columns, width)] += steps


def _integral(x: Array, left: Array, right: Array) -> Array:
    """The integral up to x of a ramp from 0 at `left` to 1 at `right`, for each row."""
    run = np.maximum(right - left, 1e-9)[:, None]
    past = x - left[:, None]
    inside = past.clip(0, run)
    found: Array = inside * inside / (2 * run) + (past - run).clip(0)
    return found


def stroke(width: int, height: int, points: list[Point], thickness: float, *, feather: float = 0) -> Array:
    """Coverage by lines between the points, with round ends and corners; edges are taken as straight within a pixel."""
    nearest = np.full((height, width), np.inf)
    x, y = (np.arange(width) + 0.5)[None, :], (np.arange(height) + 0.5)[:, None]
    reach = thickness / 2 + feather + 2
    for start, end in _segments(points):
        box = _box(start, end, reach, width, height)
        nearest[box] = np.minimum(nearest[box], _distance(x[:, box[1]], y[box[0]], start, end))
    # A line is what is inside one edge less what is beyond the other: a hair line is as faint as it is thin.
    return soft_step(thickness / 2 - nearest, feather) - soft_step(-thickness / 2 - nearest, feather)


def _segments(points: list[Point]) -> Iterator[tuple[Point, Point]]:
    return zip(points, points[1:] or points, strict=False)


def _box(start: Point, end: Point, reach: float, width: int, height: int) -> tuple[slice, slice]:
    def span(a: float, b: float, size: int) -> slice:
        low, high = max(0.0, min(a, b) - reach), min(float(size), max(a, b) + reach)
        return slice(int(min(low, size)), int(np.ceil(max(high, 0.0))))

    return span(start[1], end[1], height), span(start[0], end[0], width)


def _distance(x: Any, y: Any, start: Point, end: Point) -> Array:
    """From pixel centres to the nearest place between two points."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = dx * dx + dy * dy
    along = ((x - start[0]) * dx + (y - start[1]) * dy) / length if length else np.zeros(1)
    along = along.clip(0, 1)
    distance: Array = np.hypot(x - start[0] - along * dx, y - start[1] - along * dy)
    return distance

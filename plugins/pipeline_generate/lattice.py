"""Noise of one octave: values of 0 to 1 at places in a lattice of unit cells.

All functions take columns `(1, W)` and rows `(H, 1)` in cells, float64, and a period in cells after which the lattice
repeats (None: never), and give `(H, W)` float32. Sums and products alone, in a fixed order: the same on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline_generate.hashing import hashed, unit

Floats = NDArray[Any]  # float32 throughout; numpy's stubs widen it
Places = NDArray[np.float64]
Feature = Literal["f1", "f2", "f2-f1", "cell"]

DIRECTIONS = np.array([[math.cos(i * math.tau / 256), math.sin(i * math.tau / 256)] for i in range(256)], np.float32)
SIMPLEX_MOST = 0.09151  # of (0.8 - r^2)^4 r over the corners of a triangle, at its worst
REACH = 2  # cells around a place that may hold the nearest or second nearest point: both lie nearer than 2 cells


@dataclass(frozen=True)
class Lattice:
    """Which random numbers the lattice points have."""

    seed: int
    stream: int
    period: tuple[int, int] | None = None

    def numbers(self, x: NDArray[np.int64], y: NDArray[np.int64]) -> Any:
        if self.period is not None:
            x, y = x % self.period[0], y % self.period[1]
        return hashed(x, y, self.seed, self.stream)


@dataclass(frozen=True)
class _Axis:
    """Places along an axis as lattice lines: `lines` first to last, the line before each place, and how far past it."""

    lines: NDArray[np.int64]
    index: NDArray[np.int64]
    past: Floats

    @classmethod
    def of(cls, places: Places) -> _Axis:
        line = np.floor(places.ravel())
        first = int(line.min())
        lines = np.arange(first, int(line.max()) + 2)
        return cls(lines, line.astype(np.int64) - first, (places.ravel() - line).astype(np.float32))


def white(x: Places, y: Places, lattice: Lattice) -> Floats:
    """One random value per cell."""
    return unit(lattice.numbers(np.floor(x).astype(np.int64), np.floor(y).astype(np.int64))[0])


def value(x: Places, y: Places, lattice: Lattice) -> Floats:
    """Random values at the lattice points, and a smooth curve between them."""
    across, down = _Axis.of(x), _Axis.of(y)
    values = unit(lattice.numbers(across.lines[None, :], down.lines[:, None])[0])
    # Along x first, on the few lattice rows, then along y.
    rows = _between(values[:, across.index], values[:, across.index + 1], _fade(across.past)[None, :])
    return _between(rows[down.index], rows[down.index + 1], _fade(down.past)[:, None])


def perlin(x: Places, y: Places, lattice: Lattice) -> Floats:
    """Random slopes at the lattice points: K. Perlin, "Improving Noise", SIGGRAPH 2002, with slopes of length 1.

    Such noise lies within sqrt(1/2) on both sides of 0, and is brought to 0..1 by that bound.
    """
    across, down = _Axis.of(x), _Axis.of(y)
    slopes = DIRECTIONS[lattice.numbers(across.lines[None, :], down.lines[:, None])[0] >> np.uint32(24)]
    left, right = slopes[:, across.index], slopes[:, across.index + 1]
    fade, past = _fade(across.past)[None, :], across.past[None, :]
    # On each lattice row, what the slopes give there, and how it changes with the way down from it.
    level = _between(left[..., 0] * past, right[..., 0] * (past - 1), fade)
    change = _between(left[..., 1], right[..., 1], fade)
    way = down.past[:, None]
    above = level[down.index] + change[down.index] * way
    below = level[down.index + 1] + change[down.index + 1] * (way - 1)
    noise: Floats = _between(above, below, _fade(way)) * np.float32(math.sqrt(0.5)) + np.float32(0.5)
    return noise


def simplex(x: Places, y: Places, lattice: Lattice) -> Floats:
    """Random slopes at the corners of triangles: K. Perlin 2001, "Noise hardware".

    On the grid of S. Gustavson and I. McEwan, "Tiling simplex noise and flow noise in two and three dimensions", JCGT
    11(1), 2022: rows one cell apart, each half a cell further left than the one above, so that it can repeat. Such noise lies
    within `SIMPLEX_MOST` on both sides of 0, and is brought to 0..1 by that bound.
    """
    down = np.floor(y)
    skewed = x + y / 2
    across = np.floor(skewed)
    v = (y - down).astype(np.float32)
    u = (skewed - across).astype(np.float32)
    columns = np.arange(int(across.min()), int(across.max()) + 2)
    rows = np.arange(int(down.min()), int(down.max()) + 2)
    # A corner's place in halves of a cell, which a whole number of cells further is the same corner again.
    period = None if lattice.period is None else (2 * lattice.period[0], lattice.period[1])
    numbers = Lattice(lattice.seed, lattice.stream, period).numbers(2 * columns - rows[:, None], rows[:, None])[0]
    slopes = DIRECTIONS[numbers >> np.uint32(24)]
    i, j = across.astype(np.int64) - columns[0], down.astype(np.int64) - rows[0]
    right = u >= v  # the middle corner lies to the right of the first, or below it
    total = np.zeros(u.shape, np.float32)
    for a, b in ((np.zeros_like(right),) * 2, (right, ~right), (np.ones_like(right),) * 2):
        over, under = a.astype(np.float32), b.astype(np.float32)
        dx, dy = u - v / 2 - (over - under / 2), v - under
        near = np.maximum(np.float32(0.8) - dx * dx - dy * dy, 0)
        slope = slopes[j + b, i + a]
        total += near * near * near * near * (slope[..., 0] * dx + slope[..., 1] * dy)
    noise: Floats = total * np.float32(0.5 / SIMPLEX_MOST) + np.float32(0.5)
    return noise


def worley(x: Places, y: Places, lattice: Lattice, feature: Feature) -> Floats:
    """One random point in each cell: S. Worley, "A Cellular Texture Basis Function", SIGGRAPH 1996.

    `f1` and `f2` are the distances to the nearest and second nearest point; in cells, over the farthest that they can
    be (sqrt 2 and sqrt 2.5). `cell` is a random value of the nearest point.
    """
    across, down = _Axis.of(x), _Axis.of(y)
    columns = np.arange(across.lines[0] - REACH, across.lines[-1] + REACH)
    rows = np.arange(down.lines[0] - REACH, down.lines[-1] + REACH)
    to_right, to_below, own = (unit(part) for part in lattice.numbers(columns[None, :], rows[:, None]))
    first = np.full((y.shape[0], x.shape[1]), np.inf, np.float32)
    second, found, distance = first.copy(), first.copy(), first.copy()
    for i in range(2 * REACH + 1):
        # How far off across is known on the few rows of cells, and down it changes with the row alone.
        at = across.index + i
        dx = to_right[:, at] + (np.float32(i - REACH) - across.past)[None, :]
        across_squared, below, numbers = dx * dx, to_below[:, at], own[:, at]
        for j in range(2 * REACH + 1):
            row = down.index + j
            dy = below[row]
            dy += (np.float32(j - REACH) - down.past)[:, None]
            dy *= dy
            np.add(across_squared[row], dy, out=distance)
            if feature == "cell":
                np.copyto(found, numbers[row], where=distance < first)
            elif feature != "f1":
                np.minimum(second, np.maximum(first, distance, out=dy), out=second)
            np.minimum(first, distance, out=first)
    if feature == "cell":
        return found
    nearest, next_one = np.sqrt(first), np.sqrt(second)
    if feature == "f1":
        return nearest / np.float32(math.sqrt(2))
    if feature == "f2":
        return next_one / np.float32(math.sqrt(2.5))
    return (next_one - nearest) / np.float32(math.sqrt(2.5))


def _between(low: Floats, high: Floats, share: Floats) -> Floats:
    found: Floats = low + (high - low) * share
    return found


def _fade(t: Floats) -> Floats:
    """6 t^5 - 15 t^4 + 10 t^3: no jump of slope or curvature at the lattice points (Perlin 2002)."""
    found: Floats = t * t * t * (t * (t * 6 - 15) + 10)
    return found

"""A smooth curve through points, of many values."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from pipeline_color.pointwise import Array, namespace

MOST = 1 << 16
"""Entries of a table, which a core's cache still holds."""
EXACT = 2.0**-23  # of the largest output


class Curve:
    """Cubics between the points `x`, `y` (Hermite's, by the slopes there), straight lines beyond them."""

    def __init__(self, x: np.ndarray, y: np.ndarray, slopes: np.ndarray) -> None:
        self.x, self.y, self.slopes = x, y, slopes

    @cached_property
    def table(self) -> np.ndarray | None:
        """Values at even steps, and once more the last: linear between them is no further off than rounding is.

        None where that would take too many.
        """
        # The second derivative is linear between two points, so it is largest at one of them.
        widths, rises = np.diff(self.x), np.diff(self.y) / np.diff(self.x)
        left, right = self.slopes[:-1], self.slopes[1:]
        sharpest = np.abs([6 * rises - 4 * left - 2 * right, 2 * left + 4 * right - 6 * rises] / widths).max()
        steps = (self.x[-1] - self.x[0]) * math.sqrt(sharpest / (8 * EXACT * np.abs(self.y).max() or 1))
        if steps > MOST - 2:
            return None
        values = self(np.linspace(self.x[0], self.x[-1], max(1, math.ceil(steps)) + 1))
        return np.append(values, values[-1]).astype(np.float32)

    def __call__(self, values: Array) -> Array:
        xp = namespace(values)

        def numbers(given: np.ndarray) -> Array:
            return given.astype(values.dtype) if xp is np else values.new_tensor(given.tolist())

        xs, ys, ms, ws = (numbers(one) for one in (self.x, self.y, self.slopes, np.diff(self.x)))
        flat = values.reshape(-1)
        left = xp.searchsorted(xs[1:-1], flat, side="right").reshape(values.shape)
        right = left + 1
        width = ws[left]
        t = ((values - xs[left]) / width).clip(0, 1)
        u = 1 - t
        inside = u * u * ((1 + 2 * t) * ys[left] + t * width * ms[left])
        inside = inside + t * t * ((1 + 2 * u) * ys[right] - u * width * ms[right])
        below, above = ys[0] + (values - xs[0]) * ms[0], ys[-1] + (values - xs[-1]) * ms[-1]
        return xp.where(values < xs[0], below, xp.where(values > xs[-1], above, inside))

"""A smooth curve through points, of many values."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from pipeline_color.pointwise import Array, namespace
from pipeline_core import Scratch

ENTRIES = 32765  # OpenCV looks up in tables of 32767 at most, and there is one entry beyond the last
EXACT = 2.0**-22  # of the largest output


class Curve:
    """Cubics between the points `x`, `y` (Hermite's, by the slopes there), straight lines beyond them.

    On the CPU it is looked up in a table, with linear interpolation, where that differs by no more than rounding does.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, slopes: np.ndarray) -> None:
        self.x, self.y, self.slopes, self.scratch = x, y, slopes, Scratch()
        step = (x[-1] - x[0]) / (ENTRIES - 1)
        if self._sharpest() * step**2 / 8 <= EXACT * np.abs(y).max():
            values = self._between(np.append(np.linspace(x[0], x[-1], ENTRIES), x[-1]))
            self.table: Any = np.stack([values, values]).astype(np.float32)
        else:
            self.table = None

    def __call__(self, values: Array) -> Array:
        if self.table is not None and isinstance(values, np.ndarray):
            return self._looked_up(values)
        return self._between(values)

    def _sharpest(self) -> float:
        """The largest second derivative: it is linear between two points, so it is at one of them."""
        widths, rises = np.diff(self.x), np.diff(self.y) / np.diff(self.x)
        left, right = self.slopes[:-1], self.slopes[1:]
        return float(np.abs([6 * rises - 4 * left - 2 * right, 2 * left + 4 * right - 6 * rises] / widths).max())

    def _looked_up(self, values: Array) -> Array:
        first, last = self.x[[0, -1]].tolist()
        picture = values.transpose(0, 2, 3, 1)
        flat = np.ascontiguousarray(picture).reshape(-1, values.shape[3] * values.shape[1])
        scale = (ENTRIES - 1) / (last - first)
        place = flat * np.float32(scale)
        place += np.float32(-first * scale)
        lowest, highest, _, _ = cv2.minMaxLoc(place)
        np.clip(place, 0, ENTRIES - 1, out=place)
        row = self.scratch.array("row", place.shape)
        row.fill(0)
        found = cv2.remap(self.table, place, row, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, (np.nan,))
        for outside, end, slope, beyond in (
            (lowest < 0, first, self.slopes[0], np.less),
            (highest > ENTRIES - 1, last, self.slopes[-1], np.greater),
        ):
            if outside:
                where = beyond(flat, np.float32(end))
                found[where] += (flat[where] - np.float32(end)) * np.float32(slope)
        return found.reshape(picture.shape).transpose(0, 3, 1, 2)

    def _between(self, values: Array) -> Array:
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

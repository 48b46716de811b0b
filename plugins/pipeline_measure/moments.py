"""Means, deviations and extremes of all channels in one pass, a few rows at a time; sums are in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np

from pipeline_core import Scratch, each_tile

Floats = np.ndarray[Any, np.dtype[np.float32]]
STRIP = 32
AT_ONCE = 4
"""Channels that OpenCV's sums take together."""


class Moments(NamedTuple):
    """Of one channel; not a number where it has one that is none."""

    low: float
    high: float
    mean: float
    deviation: float


def moments(shape: tuple[int, ...], values: Callable[[slice, Scratch], Floats]) -> list[Moments]:
    """Of every channel of `(H, W, C)`, whose rows `values` gives."""
    height, width, channels = shape
    parts: list[Any] = [None] * -(-height // STRIP)
    scratch = Scratch()

    def work(rows: slice, columns: slice) -> None:
        found = np.ascontiguousarray(values(rows, scratch))
        lines = found.reshape(len(found), -1)
        low, high = (pick(lines, 0).reshape(width, channels) for pick in (np.min, np.max))
        parts[rows.start // STRIP] = (len(found) * width, low.min(0), high.max(0), *_sums(found))

    with np.errstate(all="ignore"):
        each_tile(width, height, (width, STRIP), work)
        return [_joined([[part[0], *(one[i] for one in part[1:])] for part in parts]) for i in range(channels)]


def _sums(found: Floats) -> tuple[Any, Any]:
    """Mean and deviation of each channel."""
    channels = found.shape[2]
    if channels <= AT_ONCE:
        mean, deviation = cv2.meanStdDev(found)
        return mean.ravel(), deviation.ravel()
    pairs = [cv2.meanStdDev(np.ascontiguousarray(found[..., i])) for i in range(channels)]
    return tuple(np.array([pair[which].item() for pair in pairs]) for which in (0, 1))  # type: ignore[return-value]  # two


def _joined(parts: list[list[float]]) -> Moments:
    """Of several parts together: their number, low, high, mean, deviation."""
    total = sum(part[0] for part in parts)
    mean = _sum(count * average for count, _, _, average, _ in parts) / total
    variance = _sum(count * (spread**2 + (average - mean) ** 2) for count, _, _, average, spread in parts) / total
    low, high = (float(pick([part[at] for part in parts])) for pick, at in ((np.min, 1), (np.max, 2)))
    return Moments(low, high, mean, math.sqrt(variance) if variance == variance else math.nan)


def _sum(numbers: Any) -> float:
    found = [float(number) for number in numbers]
    return math.fsum(found) if np.isfinite(found).all() else float(np.sum(found))

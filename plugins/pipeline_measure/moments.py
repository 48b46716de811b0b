"""Means, deviations and extremes of all channels in one pass, a few rows at a time; sums are in float64."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pipeline_core import Scratch, each_tile
from pipeline_core import opencv as cv2

Floats = np.ndarray[Any, np.dtype[np.float32]]
STRIP = 16
AT_ONCE = 4
"""Channels that OpenCV's sums take together."""


class Moments(NamedTuple):
    """Of one channel; not a number where it has one that is none."""

    low: float
    high: float
    mean: float
    deviation: float


def moments(
    shape: tuple[int, ...], values: Callable[[slice, Scratch], Floats], *, with_low: bool = True
) -> list[Moments]:
    """Of every channel of `(H, W, C)`, whose rows `values` gives; without `low` it is what `high` is."""
    height, width, channels = shape
    parts: list[Any] = [None] * -(-height // STRIP)
    scratch = Scratch()
    ends: dict[int, tuple[Floats, Floats]] = {}
    """Of every column of what a worker has seen: which channel a number is of is asked at the end."""

    def work(rows: slice, columns: slice) -> None:
        found = np.ascontiguousarray(values(rows, scratch))
        lines = found.reshape(len(found), -1)
        high = np.maximum.reduce(lines, axis=0)
        low = np.minimum.reduce(lines, axis=0) if with_low else high
        lowest, highest = ends.setdefault(threading.get_ident(), (low, high))
        np.maximum(highest, high, out=highest)
        if with_low:
            np.minimum(lowest, low, out=lowest)
        parts[rows.start // STRIP] = (len(found) * width, *_sums(found))

    with np.errstate(all="ignore"):
        each_tile(width, height, (width, STRIP), work)
        low, high = (
            pick([one[at] for one in ends.values()], axis=0).reshape(width, channels)
            for at, pick in ((0, np.min), (1, np.max))
        )
        return [
            Moments(
                float(low[:, i].min()),
                float(high[:, i].max()),
                *_joined([(count, mean[i], deviation[i]) for count, mean, deviation in parts]),
            )
            for i in range(channels)
        ]


def _sums(found: Floats) -> tuple[Any, Any]:
    """Mean and deviation of each channel."""
    channels = found.shape[2]
    if channels <= AT_ONCE:
        mean, deviation = cv2.meanStdDev(found)
        return mean.ravel(), deviation.ravel()
    pairs = [cv2.meanStdDev(np.ascontiguousarray(found[..., i])) for i in range(channels)]
    return tuple(np.array([pair[which].item() for pair in pairs]) for which in (0, 1))  # type: ignore[return-value]  # two


def _joined(parts: list[tuple[int, float, float]]) -> tuple[float, float]:
    """Mean and deviation of several parts together, of each their number, mean and deviation."""
    total = sum(part[0] for part in parts)
    mean = _sum(count * average for count, average, _ in parts) / total
    variance = _sum(count * (spread**2 + (average - mean) ** 2) for count, average, spread in parts) / total
    return mean, math.sqrt(variance) if variance == variance else math.nan


def _sum(numbers: Any) -> float:
    found = [float(number) for number in numbers]
    return math.fsum(found) if np.isfinite(found).all() else float(np.sum(found))

"""The line along which two pictures differ least: the minimum error boundary cut of image quilting."""

from __future__ import annotations

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float32]]
Array = np.ndarray[Any, np.dtype[np.float64]]


def cut_weights(lines: Floats, copy: Floats, reach: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Where to take `lines`, `(L, N)`: all but what lies between the ends of N and a cut within `reach` of each.

    A. Efros and W. Freeman, "Image Quilting for Texture Synthesis and Transfer", SIGGRAPH 2001, section 2.1: the cut
    is the path of least squared difference, found by dynamic programming.
    """
    size = lines.shape[1]
    error = np.square(lines.astype(np.float64) - copy).sum(2)
    place = np.arange(size)
    left = closed_path(error[:, :reach])
    right = size - 1 - closed_path(error[:, ::-1][:, :reach])
    inside: np.ndarray[Any, np.dtype[np.bool_]] = (place > left[:, None]) & (place < right[:, None])
    return inside


def closed_path(error: Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """For each of L rows the place, of N, where a cheap path runs: steps of at most one, the last to the first too.

    The cheapest path tells where it should begin; the cheapest of those that begin there and end beside it is taken.
    The cheapest of all closed paths would take N times as long to find, and looks no better.
    """
    error = np.where(np.isfinite(error), error, np.finfo(np.float64).max / (4 * len(error)))
    begin = _path(error, None)[0]
    return _path(error, int(begin))


def _path(error: Array, begin: int | None) -> np.ndarray[Any, np.dtype[np.int64]]:
    count, width = error.shape
    cost = np.full((count, width + 2), np.inf)  # a border that no path takes
    cost[0, 1:-1] = error[0] if begin is None else np.where(np.arange(width) == begin, error[0], np.inf)
    for i in range(1, count):
        before = cost[i - 1]
        cost[i, 1:-1] = error[i] + np.minimum(np.minimum(before[:-2], before[1:-1]), before[2:])
    path = np.empty(count, np.int64)
    last = cost[-1, 1:-1]
    if begin is not None:
        last = np.where(np.abs(np.arange(width) - begin) <= 1, last, np.inf)
    path[-1] = int(last.argmin())
    for i in range(count - 1, 0, -1):
        here = path[i]
        path[i - 1] = here - 1 + int(cost[i - 1, here : here + 3].argmin())
    return path

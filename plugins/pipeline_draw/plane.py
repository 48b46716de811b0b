"""Planes of which most is of one value, 0 or 1: the few pixels at an outline are given, and what lies between them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline_draw.compiled import in_pieces

Plane = NDArray[np.float32]
Numbers = NDArray[np.int64]


class Pieces(NamedTuple):
    """From the pixel `start`, counted along the rows, on to the start of another piece the plane has this value."""

    start: Numbers
    value: NDArray[np.floating[Any]]


def plane(width: int, height: int, pieces: list[Pieces], *, invert: bool = False) -> Plane:
    """`(H, W)` of these pieces, of which later ones count where they start alike, and 0 before the first."""
    size = width * height
    start = np.concatenate([np.zeros(1, np.int64), *(piece.start for piece in pieces)])[::-1]
    value = np.concatenate([np.zeros(1), *(piece.value for piece in pieces)])[::-1]
    start, latest = np.unique(start, return_index=True)
    value = value[latest]
    fresh = (np.diff(value, prepend=np.nan) != 0) & (start < size)
    start, value = start[fresh], value[fresh]
    shades = (1 - value if invert else value).astype(np.float32)
    found = in_pieces(start, shades, size)
    if found is None:
        found = np.repeat(shades, np.diff(start, append=size))
    return found.reshape(height, width)


def between(rows: Numbers, first: Numbers, last: Numbers) -> tuple[Numbers, Numbers]:
    """Row and column of every pixel from `first` until before `last` in each of these rows."""
    count = (last - first).clip(0)
    before = count.cumsum() - count
    return np.repeat(rows, count), np.arange(count.sum()) + np.repeat(first - before, count)

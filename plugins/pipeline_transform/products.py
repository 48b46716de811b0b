"""Weighted sums along an axis of planes as matrix products, on the CPU: several sums side by side, of the lines that any of them needs.

Where sums repeat themselves along the axis, as they do at half the size, one call makes all of them: numpy goes over
the products on its own, beside other threads. A sum is the same to the bit whatever is made with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from pipeline_core import empty

Array = np.ndarray[Any, Any]
ONE_CORE = 1 << 18
"""Products of two numbers in a matrix product that numpy leaves to the core that asks for it."""
ACROSS = 16
"""Sums of neighbouring columns in a product, at most: as many as one instruction makes."""
DOWN = 4
"""Sums of rows in a product, or a few times as many."""
SAME = 1e-7
"""Up to here weights differ by how they were rounded."""


class Run(NamedTuple):
    """Products that differ in nothing but where they are: `matrix` times as many lines as it is wide.

    So many `times`, `step` lines after each other from `line` on; they make the sums from `sums` on.
    """

    matrix: Array
    line: int
    step: int
    sums: int
    times: int


def sums_down(taps: int, step: float, period: int) -> int:
    """How many sums of rows are best made in a product, `step` lines from each other, of so many lines each.

    After `period` of them they begin anew.
    """
    wanted = DOWN * min(max(round(taps / step / (2 * DOWN)), 1), 4)
    return period * max(1, round(wanted / period)) if period <= 2 * wanted else wanted


def sums_across(period: int) -> int:
    """The same of columns."""
    return ACROSS // period * period if period <= ACROSS else ACROSS


def runs(place: Array, weights: Array, lines: int, size: int) -> list[Run]:
    """Of sums `(count, taps)` of lines at `place`, 0 to `lines`: `size` of them in a product."""
    count = len(place)
    starts = np.arange(0, count, size)
    first = np.minimum.reduceat(place.min(1), starts)
    length = int((np.maximum.reduceat(place.max(1), starts) - first).max()) + 1
    first = np.minimum(first, lines - length)
    block, row = np.divmod(np.arange(count), size)
    matrices = np.zeros((len(starts), size, length), np.float32)
    np.add.at(matrices, (block[:, None], row[:, None], place - first[block, None]), weights)
    steps, whole = np.diff(first), count // size
    found, i = [], 0
    while i < len(starts):
        j = i + 1
        while j < whole and steps[j - 1] == steps[i] and np.abs(matrices[j] - matrices[i]).max() <= SAME:
            j += 1
        step = int(steps[i]) if j - i > 1 else 0
        found.append(Run(matrices[i, : count - i * size], int(first[i]), step, i * size, j - i))
        i = j
    return found


def down(planes: Array, found: Sequence[Run], count: int) -> Array:
    """`(P, H, W)` to `(P, count, W)`."""
    made = empty((len(planes), count, planes.shape[2]))
    for matrix, line, step, sums, times in found:
        rows, used = matrix.shape
        for left, width, pieces in _pieces(planes.shape[2], max(16, ONE_CORE // matrix.size // 16 * 16)):
            columns = slice(left, left + pieces * width)
            source = _overlapping(planes[:, line : line + (times - 1) * step + used, columns], 1, times, step, used)
            result = made[:, sums : sums + times * rows, columns].reshape(len(planes), times, rows, pieces, width)
            source = source.reshape(len(planes), times, used, pieces, width)
            np.matmul(matrix, source.swapaxes(2, 3), out=result.swapaxes(2, 3))
    return made


def across(planes: Array, found: Sequence[Run], count: int) -> Array:
    """`(P, H, W)` to `(P, H, count)`."""
    made = empty((*planes.shape[:2], count))
    for matrix, line, step, sums, times in found:
        columns, used = matrix.shape
        weights = np.ascontiguousarray(matrix.T)
        for top, height, pieces in _pieces(planes.shape[1], max(1, ONE_CORE // matrix.size)):
            rows = slice(top, top + pieces * height)
            source = _overlapping(planes[:, rows, line : line + (times - 1) * step + used], 2, times, step, used)
            result = made[:, rows, sums : sums + times * columns]
            source = source.reshape(len(planes), pieces, height, times, used)
            result = result.reshape(len(planes), pieces, height, times, columns)
            np.matmul(source.swapaxes(2, 3), weights, out=result.swapaxes(2, 3))
    return made


def _overlapping(planes: Array, axis: int, times: int, step: int, length: int) -> Array:
    """An axis as two: `times` pieces of a length, `step` from each other; a view."""
    if times == 1:
        return np.expand_dims(planes, axis)
    shape, strides = list(planes.shape), list(planes.strides)
    shape[axis : axis + 1], strides[axis : axis + 1] = (times, length), (step * strides[axis], strides[axis])
    return as_strided(planes, shape, strides, writeable=False)


def one_by_one(planes: Array, place: Array, weights: Array) -> Array:
    """`(P, H, W)` to `(P, count, W)`, each sum of its own lines alone: what is not finite stays where it is."""
    sums = empty((len(planes), len(place), planes.shape[2]))
    for i, (at, weight) in enumerate(zip(place, weights, strict=True)):
        np.matmul(weight, planes[:, at], out=sums[:, i])
    return sums


def _pieces(length: int, most: int) -> Iterator[tuple[int, int, int]]:
    """(start, length, how many) of pieces of at most that length: of one length, and what is left over."""
    size = -(-length // -(-length // most))
    yield 0, size, length // size
    if length % size:
        yield length - length % size, length % size, 1

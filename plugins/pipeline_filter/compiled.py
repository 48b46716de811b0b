"""The kernels in C: equalizing and stretching, as `tone` and `ranks` have it in Python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import byref
from functools import reduce
from typing import Any, TypeVar

import numpy as np

from pipeline_core import Image, Layout, Pixels, each_tile, empty, kernels_for, pass_over, stored
from pipeline_filter.arrays import Array
from pipeline_filter.ranks import Steps

MOST_COLORS = 12
ROWS = 64
"""At once."""
T = TypeVar("T")


class _Tones(ctypes.Structure):
    """`Tones` of kernels.c."""

    _fields_ = (
        ("layout", Layout),
        ("coverage", ctypes.c_int),
        ("by_luma", ctypes.c_int),
        ("weights", ctypes.c_float * 3),
    )


class _Change(ctypes.Structure):
    """`Change` of kernels.c."""

    _fields_ = (
        ("table", ctypes.c_void_p),
        *((name, ctypes.c_float) for name in ("low", "high", "shift")),
        ("first", ctypes.c_int32),
        ("scale", ctypes.c_float),
    )


class _Tail(ctypes.Structure):
    """`Tail` of kernels.c."""

    _fields_ = (("values", ctypes.c_void_p), ("number", ctypes.c_int64))


class _Picture:
    """One item of a batch, and what is asked of it: `(H, W, C)`, by the weights of luma or each of its colours."""

    def __init__(self, kernels: Any, image: Image, item: Array, luma: Sequence[float] | None) -> None:
        self.kernels, self.item = kernels, item
        coverage = -1 if image.coverage == "none" else image.index("A")
        weights = (ctypes.c_float * 3)(*(luma or (0, 0, 0)))
        self.tones = _Tones(Layout.of(image), coverage, int(luma is not None), weights)
        self.planes = 1 if luma else len(image.color_indices)
        found = self._gathered(kernels.ends, lambda: (_repeated([np.inf, -np.inf], self.planes), np.zeros(1, np.int64)))
        ends = np.stack([one for one, _ in found])
        self.ends = [(float(ends[:, 2 * k].min()), float(ends[:, 2 * k + 1].max())) for k in range(self.planes)]
        self.number = int(sum(number[0] for _, number in found))
        """How many pixels count."""

    def histograms(self, steps: Sequence[Steps | None]) -> list[Array | None]:
        """How many values of each plane are nearest to each step."""

        def fresh() -> list[Array | None]:
            return [None if one is None else np.zeros(one.number + 1, np.uint32) for one in steps]

        changes = _changes([_change(one) for one in steps])
        found = self._gathered(
            lambda pixels, tones, *rest: self.kernels.count(pixels, tones, changes, _pointers(rest[:-2]), *rest[-2:]),
            fresh,
        )
        return [_sum([one for one in plane if one is not None]) for plane in zip(*found, strict=True)]

    def quantiles(self, which: int | None, share: float) -> tuple[float, float] | None:
        """With `share` of what counts below, and above; of one plane or of all together. None of no values."""
        chosen = range(self.planes) if which is None else [which]
        number = self.number * len(chosen)
        if not number:
            return None
        low, high = min(self.ends[k][0] for k in chosen), max(self.ends[k][1] for k in chosen)
        steps, place = Steps.between(low, high), share * (number - 1)
        if place == 0 or steps is None:
            return low, high
        wanted = [steps if k in chosen else None for k in range(self.planes)]
        histogram = _sum([one.astype(np.int64) for one in self.histograms(wanted) if one is not None])
        assert histogram is not None, "of one plane at least"
        whole = int(place)
        low_step, low_tail = _tail(histogram, whole)
        high_step, high_tail = _tail(histogram[::-1], whole)
        limits = ctypes.c_int32(low_step), ctypes.c_int32(len(histogram) - 1 - high_step)
        change, plane = _change(steps), -1 if which is None else which
        tails = _Tail(low_tail.ctypes.data), _Tail(high_tail.ctypes.data)

        def work(rows: slice, _: slice) -> None:
            pixels, sides = self._part(rows)
            self.kernels.tails(
                byref(pixels), byref(self.tones), byref(change), plane, *limits, *map(byref, tails), *sides
            )

        self._each(work)
        return _placed(low_tail, place), -_placed(-high_tail, place)

    def _gathered(self, kernel: Callable[..., Any], make: Callable[[], T]) -> list[T]:
        """What every worker has gathered: arrays that `make` makes, for a kernel to add to."""
        idle: list[Any] = []
        made: list[T] = []

        def work(rows: slice, _: slice) -> None:
            try:
                mine = idle.pop()
            except IndexError:
                made.append(mine := make())
            pixels, sides = self._part(rows)
            kernel(byref(pixels), byref(self.tones), *map(_at, mine), *sides)
            idle.append(mine)

        self._each(work)
        return made

    def _part(self, rows: slice) -> tuple[Pixels, tuple[Any, Any]]:
        part = self.item[rows]
        return Pixels.of(part), (ctypes.c_ssize_t(part.shape[0]), ctypes.c_ssize_t(part.shape[1]))

    def _each(self, work: Callable[[slice, slice], None]) -> None:
        height, width, _ = self.item.shape
        each_tile(width, height, (width, ROWS), work)


def equalized(image: Image, luma: Sequence[float] | None) -> Image | None:
    """Values, or luma by these weights, by rank; None where no kernel does it."""
    tables: list[Array] = []

    def find(picture: _Picture) -> list[_Change]:
        steps = [Steps.between(*ends) if picture.number else None for ends in picture.ends]
        changes = []
        for one, histogram in zip(steps, picture.histograms(steps), strict=True):
            if one is None or histogram is None:
                changes.append(_Change())
                continue
            table = np.empty(one.number + 1, np.float32)
            number = ctypes.c_ssize_t(picture.number)
            picture.kernels.ranks(_at(histogram), _at(table), ctypes.c_ssize_t(one.number), number)
            tables.append(table)  # which the change points to
            changes.append(_change(one, table))
        return changes

    return _changed(image, luma, find)


def stretched(image: Image, clip: float, *, together: bool) -> Image | None:
    """Values with 0 and 1 where the ends of those that count are; None where no kernel does it."""

    def find(picture: _Picture) -> list[_Change]:
        wanted = [None] if together else range(picture.planes)
        ends = [picture.quantiles(which, clip) for which in wanted]
        changes = [
            _Change() if pair is None or pair[0] == pair[1] else _Change(low=pair[0], scale=1 / (pair[1] - pair[0]))
            for pair in ends
        ]
        return changes * picture.planes if together else changes

    return _changed(image, None, find)


def _changed(image: Image, luma: Sequence[float] | None, find: Callable[[_Picture], list[_Change]]) -> Image | None:
    kernels = kernels_for(__file__, image)
    if kernels is None or len(image.color_indices) > MOST_COLORS:
        return None
    array, result = stored(image), empty((image.batch, image.height, image.width, len(image.channels)))
    for i in range(image.batch):
        picture = _Picture(kernels, image, array[i], luma)
        changes = _changes(find(picture))
        pass_over(kernels.tone, [array[i : i + 1], result[i : i + 1]], byref(picture.tones), changes)
    return image.with_buffer(result)


def _tail(histogram: Array, place: int) -> tuple[int, Array]:
    """The step up to which there are values for this place and the next one, and memory for all that are there."""
    number = histogram.cumsum()
    step = int(np.searchsorted(number, min(place + 2, number[-1])))
    return step, np.empty(number[step], np.float32)


def _placed(values: Array, place: float) -> float:
    """The value at a place in their order, between whole ones linear."""
    whole = int(place)
    after = min(whole + 1, len(values) - 1)
    values = np.partition(values, [whole, after])
    return float(values[whole] + (values[after] - values[whole]) * (place - whole))


def _change(steps: Steps | None, table: Array | None = None) -> _Change:
    if steps is None:
        return _Change()
    return _Change(None if table is None else table.ctypes.data, steps.low, steps.high, steps.shift, steps.first)


def _changes(changes: Sequence[_Change]) -> Any:
    return (_Change * len(changes))(*changes)


def _sum(arrays: Sequence[Array]) -> Array | None:
    """In their own type."""
    return reduce(np.add, arrays) if arrays else None


def _repeated(values: Sequence[float], times: int) -> Array:
    return np.array([*values] * times, np.float32)


def _at(array: Array | None) -> Any:
    return ctypes.c_void_p(None if array is None else array.ctypes.data)


def _pointers(at: Sequence[Any]) -> Any:
    return (ctypes.c_void_p * len(at))(*(one.value for one in at))

"""What share of a picture's values is smaller than a value, and which value has a given share below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from pipeline_core import Scratch, each_tile
from pipeline_filter.arrays import Array
from pipeline_filter.associated import Floats

Curve = Callable[[slice, Scratch], Floats]
"""The changed values of some rows, in memory of their own."""

STEPS = 1 << 14  # in an octave, that are told apart: rounding errors of an even area (of a division by alpha, say)
MANTISSA = 23  # are not, and so are not spread into noise
DARKEST = 2.0**-16  # of the largest value: below that steps get no finer
EQUAL = 1e-5  # relative to the values
ROWS = 256  # at once for a histogram
STRIP = 16
BINS = 1 << 16


def by_rank(values: Floats, counts: Array) -> Curve:
    """The share of the counted `(H, W)` values that are smaller, and half of those that are equal."""
    low, high, _, _ = cv2.minMaxLoc(values, counts)
    if not counts.any() or high - low <= EQUAL * max(abs(low), abs(high)):
        return lambda rows, scratch: values[rows].copy()
    places = _Places(low, high)
    table = places.table(_midranks(places, values, counts))

    def curve(rows: slice, scratch: Scratch) -> Floats:
        x, y = places.of(values[rows], scratch)
        # There is a place for every value but NaN.
        return np.asarray(cv2.remap(table, x, y, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, (np.nan,)))

    return curve


class _Places:
    """Where values lie in a table with a row for each octave: a float32's exponent, and its mantissa.

    Values are moved up to be above 0: all of them where there are some below, else by next to nothing.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = np.float32(low), np.float32(high)
        finest = high * DARKEST if low >= 0 else max(high * DARKEST, -low / 64) - low
        self.shift = np.float32(finest)
        self.first, last = (int((end + self.shift).view(np.int32) >> MANTISSA) for end in (self.low, self.high))
        self.rows = last - self.first + 1

    def of(self, values: Floats, scratch: Scratch) -> tuple[Floats, Floats]:
        """Column and row of each; those of NaN are beyond the table."""
        moved = np.clip(values, self.low, self.high, out=scratch.array("moved", values.shape))
        moved += self.shift
        bits: Array = moved.view(np.int32)
        octave = np.right_shift(bits, MANTISSA, out=scratch.array("octave", values.shape, np.int32))
        octave -= self.first
        y = scratch.array("y", values.shape)
        y[:] = octave
        bits &= (1 << MANTISSA) - 1
        x = np.multiply(
            bits, np.float32(STEPS / (1 << MANTISSA)), out=scratch.array("x", values.shape), casting="unsafe"
        )
        return x, y

    def table(self, nodes: Array) -> Floats:
        """The value at every step of every octave, in the form for bilinear look-up: both ends of a row, and a last row."""
        table = np.empty((self.rows + 1, STEPS + 1), np.float32)
        table[:-1, :-1] = nodes.reshape(self.rows, STEPS)
        table[-1] = nodes[-1]
        table[:-1, -1] = table[1:, 0]
        return table


def _midranks(places: _Places, values: Floats, counts: Array) -> Array:
    """For each step the share of values before it and half of those nearest to it; linear where there are none."""
    steps = places.rows * STEPS
    found: list[Array] = []
    scratch = Scratch()

    def work(rows: slice, columns: slice) -> None:
        x, y = places.of(values[rows], scratch)
        y *= STEPS
        y += x
        found.append(cv2.calcHist([y], [0], counts[rows], [steps], [-0.5, steps - 0.5]))

    each_tile(values.shape[1], values.shape[0], (values.shape[1], ROWS), work)
    histogram = np.sum(found, axis=0, dtype=np.float64).ravel()  # of whole numbers: exact in any order
    filled = np.flatnonzero(histogram)
    before = histogram.cumsum()
    ranks: Array = np.interp(np.arange(steps), filled, (before[filled] - histogram[filled] / 2) / before[-1])
    return ranks


def tails(planes: Sequence[Floats], counts: Array, share: float) -> tuple[float, float] | None:
    """Quantiles of all counted values, as `numpy.quantile`: with `share` of them below, and above. None of no values."""
    number = int(np.count_nonzero(counts)) * len(planes)
    if not number:
        return None
    ends = [cv2.minMaxLoc(plane, counts)[:2] for plane in planes]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    place = share * (number - 1)
    if place == 0 or low == high:
        return low, high
    histogram = np.sum([cv2.calcHist([plane], [0], counts, [BINS], [low, high]) for plane in planes], axis=0).ravel()
    wanted = int(place) + 2
    return (
        _lower_tail(planes, counts, _edge(histogram, wanted, low, high), place),
        -_lower_tail([-plane for plane in planes], counts, -_edge(histogram[::-1], wanted, high, low), place),
    )


def _edge(histogram: Array, wanted: int, start: float, end: float) -> float:
    """A value that at least so many lie before, and few more."""
    step = int(np.searchsorted(histogram.cumsum(dtype=np.float64), wanted)) + 2  # one more: bins round
    return start + (end - start) * step / BINS if step < BINS else end


def _lower_tail(planes: Sequence[Floats], counts: Array, edge: float, place: float) -> float:
    """The value at a place, between whole ones linear, in the order of all that are counted; it is not above `edge`."""
    tail = np.sort(np.concatenate([plane[(plane <= np.float32(edge)) & counts.astype(bool)] for plane in planes]))
    whole = int(place)
    return float(tail[whole] + (tail[min(whole + 1, tail.size - 1)] - tail[whole]) * (place - whole))

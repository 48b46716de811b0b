"""What share of a picture's values is smaller than a value, and which value has a given share below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pipeline_core import Scratch
from pipeline_filter.arrays import Array
from pipeline_filter.associated import Floats

Curve = Callable[[slice, Scratch], Floats]
"""The changed values of some rows, in memory of their own."""

WITHIN = 9  # bits of a float32 that are less than a step. There are 16384 in an octave that are told apart: rounding
# errors of an even area (of a division by alpha, say) are not, and so are not spread into noise.
DARKEST = 2.0**-16  # of the largest value: below that steps get no finer
EQUAL = 1e-5  # relative to the values


class Steps(NamedTuple):
    """Values from `low` to `high` in steps: their bits, counted from `first` on.

    Values are moved up to be above 0: all of them where there are some below, else by next to nothing.
    """

    low: np.float32
    high: np.float32
    shift: np.float32
    first: int
    number: int

    @classmethod
    def between(cls, low: float, high: float) -> Steps | None:
        """None where all values are equal."""
        if not high - low > EQUAL * max(abs(low), abs(high)):
            return None
        shift = np.float32(high * DARKEST if low >= 0 else max(high * DARKEST, -low / 64) - low)
        first, last = (int((np.float32(end) + shift).view(np.int32)) for end in (low, high))
        return cls(np.float32(low), np.float32(high), shift, first, ((last - first) >> WITHIN) + 2)

    def of(self, values: Floats) -> Array:
        """How far above the first step values are, in parts of a step."""
        held: Array = values.clip(self.low, self.high) + self.shift
        return held.view(np.int32) - self.first

    def nearest(self, values: Floats) -> Array:
        return (self.of(values) + (1 << (WITHIN - 1))) >> WITHIN


def by_rank(values: Floats, counts: Array) -> Curve:
    """The share of the counted `(H, W)` values that are smaller, and half of those that are equal."""
    counted = values[counts != 0]
    steps = Steps.between(float(counted.min()), float(counted.max())) if counted.size else None
    if steps is None:
        return lambda rows, scratch: values[rows].copy()
    histogram = np.bincount(steps.nearest(counted), minlength=steps.number)
    filled = np.flatnonzero(histogram)
    # For each step the share of values before it and half of those nearest to it; linear where there are none.
    shares = (histogram.cumsum() - histogram / 2)[filled] / counted.size
    table = np.interp(np.arange(steps.number + 1), filled, shares).astype(np.float32)

    def curve(rows: slice, scratch: Scratch) -> Floats:
        part = values[rows]
        place = steps.of(np.where(np.isnan(part), steps.low, part))
        below, above = place >> WITHIN, (place & ((1 << WITHIN) - 1)).astype(np.float32)
        found: Floats = table[below] + (table[below + 1] - table[below]) * (above * np.float32(2.0**-WITHIN))
        return np.where(np.isnan(part), part, found)

    return curve


def tails(planes: Sequence[Floats], counts: Array, share: float) -> tuple[float, float] | None:
    """Quantiles of all counted values, with `share` of them below, and above. None of no values."""
    values = np.concatenate([plane[counts != 0] for plane in planes])
    if not values.size:
        return None
    low, high = np.quantile(values.astype(np.float64), [share, 1 - share])
    return float(low), float(high)

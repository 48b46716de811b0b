"""Measures of one picture."""

from __future__ import annotations

import math
import threading
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_core import Image, Mask, OperationError, Table, each_tile, operation
from pipeline_core import opencv as cv2
from pipeline_measure.moments import moments
from pipeline_measure.planes import Array, one_picture, plane

MOST_CHANNELS = 32  # OpenCV takes a few more, all of its versions take these
STRIP = 64
STATISTICS = ("channel", "min", "max", "mean", "std", "nan", "infinite")


def _infer_statistics(image: Image | Mask) -> Table:
    one_picture(image, "statistics")
    return Table(STATISTICS, ())


@operation(
    version=3, device="cpu", infer=_infer_statistics, aliases=("stats", "CurveTool", "image_info", "levels_info")
)
def statistics(image: Image | Mask) -> Table:
    """Measure least, largest and mean value and standard deviation of each channel.

    A row for each channel, of the values as they are (integers as 0 to 1), in float64. NaN and infinite values are
    counted and left out of all else; where nothing is left, the others are empty.

    Convention: the standard deviation is that of all pixels (divided by n, not n - 1).
    """
    one_picture(image, "statistics")
    rows = [(name, *row) for name, row in zip(image.channels, _summaries(image), strict=True)]
    return Table(STATISTICS, tuple(rows))


def _summaries(image: Image | Mask) -> list[tuple[Any, ...]]:
    if image.dtype == "float32":
        array = image.array[0]
        found = moments(array.shape, lambda rows, _: array[rows])
        if np.isfinite([one[:2] for one in found]).all():
            return [(*one, 0, 0) for one in found]
    return [_summary(plane(image, i)) for i in range(len(image.channels))]


def _summary(values: Array) -> tuple[Any, ...]:
    finite = np.isfinite(values)
    nan = int(np.isnan(values).sum())
    infinite = int(values.size - finite.sum()) - nan
    known = values if finite.all() else values[finite]
    if not known.size:
        return None, None, None, None, nan, infinite
    return float(known.min()), float(known.max()), float(known.mean()), float(known.std()), nan, infinite


def _infer_histogram(image: Image | Mask, *, bins: int = 256, low: float = 0.0, high: float = 1.0) -> Table:
    one_picture(image, "histogram")
    _check_range(low, high)
    return Table(("low", "high", *image.channels), ())


@operation(device="cpu", infer=_infer_histogram, aliases=("ImageHistogram", "histo"))
def histogram(
    image: Image | Mask,
    *,
    bins: Annotated[int, Field(ge=1, le=65536, description="how many equal parts of the range")] = 256,
    low: Annotated[float, Field(description="where the range begins")] = 0.0,
    high: Annotated[float, Field(description="where it ends")] = 1.0,
) -> Table:
    """Count how many pixels of each channel lie in each part of a range.

    A row for each bin with its `low` and `high` and a column of counts for each channel, between a row of what lies
    below the range (its `low` is empty) and one of what lies above (its `high` is empty); infinities are among them,
    NaN nowhere. With the defaults every code of an 8-bit image has a bin of its own.

    Convention: a bin includes its low end and not its high one, but the last includes both.
    """
    one_picture(image, "histogram")
    _check_range(low, high)
    # A power of two times a value is exact, and so are OpenCV's bins then; where NaN falls is another matter.
    exact = image.dtype == "float32" and low == 0 and math.frexp(bins / high)[0] == 0.5
    found = _counts_by_opencv(image.array[0], bins, high) if exact else [None] * len(image.channels)
    counts = [_counts(plane(image, i), bins, low, high) if one is None else one for i, one in enumerate(found)]
    edges = [None, *np.linspace(low, high, bins + 1).tolist(), None]
    return Table(("low", "high", *image.channels), tuple(zip(edges, edges[1:], *counts, strict=False)))


def _check_range(low: float, high: float) -> None:
    if not (np.isfinite([low, high]).all() and low < high):
        raise OperationError(f"the range is {low:g} to {high:g}: 'low' must be below 'high', and both finite")


def _counts(values: Array, bins: int, low: float, high: float) -> list[int]:
    inside = values[(values >= low) & (values <= high)]
    counts, _ = np.histogram(inside, bins, (low, high))
    return [int((values < low).sum()), *counts.tolist(), int((values > high).sum())]


def _counts_by_opencv(array: np.ndarray[Any, np.dtype[np.float32]], bins: int, high: float) -> list[list[int] | None]:
    """Of every channel of `(H, W, C)`; None of those that are not finite everywhere."""
    height, width, channels = array.shape
    counts = np.zeros((channels, bins + 2), np.int64)
    finite, adding = np.ones(channels, bool), threading.Lock()

    def work(rows: slice, _: slice) -> None:
        part = array[rows]
        planes = cv2.split(part) if channels <= MOST_CHANNELS else np.ascontiguousarray(np.moveaxis(part, 2, 0))
        for i, values in enumerate(planes):
            with np.errstate(invalid="ignore"):
                least, most = values.min(), values.max()
            if not np.isfinite([least, most]).all():
                finite[i] = False
                continue
            inside = cv2.calcHist([values], [0], None, [bins], [0, high]).ravel().astype(np.int64)
            below = np.count_nonzero(values < 0) if least < 0 else 0
            above = np.count_nonzero(values > high) if most > high else 0
            inside[-1] += values.size - below - above - inside.sum()  # those that are `high`
            with adding:
                counts[i] += [below, *inside, above]

    each_tile(width, height, (width, STRIP), work)
    return [one if known else None for one, known in zip(counts.tolist(), finite, strict=True)]

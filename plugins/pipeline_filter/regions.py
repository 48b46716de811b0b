"""Curves by region, between which values are blended: what contrast limited equalisation does."""

from __future__ import annotations

import numpy as np

from pipeline_core import Scratch, each_tile
from pipeline_core import opencv as cv2
from pipeline_filter.arrays import Array
from pipeline_filter.associated import Floats
from pipeline_filter.ranks import Curve

BINS = 256
BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))


def by_regions(values: Floats, counts: Array, limit: float, tiles: int, wrap: tuple[bool, bool]) -> Curve:
    """Each of the `(H, W)` values on the curves of the four regions around it, blended."""
    height, width = values.shape
    curves = _curves(values, counts, limit, tiles)
    row, next_row, down = _regions(height, tiles, wrap[1])
    curves = curves[:, [-1 if wrap[0] else 0, *range(tiles), 0 if wrap[0] else -1]]
    across = ((np.arange(width) + 0.5) * tiles / width + 0.5).astype(np.float32)  # in the curves of a row

    def curve(rows: slice, scratch: Scratch) -> Floats:
        part = values[rows]
        inside = np.clip(part, 0, 1, out=scratch.array("inside", part.shape))
        cv2.patchNaNs(inside, 0.0)
        # A row of pixels has curves of its own, and they lie below each other: one bilinear look-up does both blends.
        weight = down[rows, None, None]
        own = curves[row[rows]] * (1 - weight) + curves[next_row[rows]] * weight
        first = np.arange(len(part), dtype=np.float32) * (tiles + 2)
        x = np.multiply(inside, np.float32(BINS), out=scratch.array("x", part.shape))
        y = np.add(first[:, None], across, out=scratch.array("y", part.shape))
        found = cv2.remap(own.reshape(-1, BINS + 1), x, y, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT)
        found += np.subtract(part, inside, out=inside)
        return np.asarray(found)

    return curve


def _curves(values: Floats, counts: Array, limit: float, tiles: int) -> Floats:
    """`(tiles, tiles, BINS + 1)`: what 0, 1 / BINS, ... 1 become in each region."""
    rows, columns = (np.linspace(0, size, tiles + 1).round().astype(int) for size in values.shape)
    histograms = np.empty((tiles, tiles, BINS))
    scratch = Scratch()

    def work(down: slice, across: slice) -> None:
        y, x = down.start, across.start
        region = np.s_[rows[y] : rows[y + 1], columns[x] : columns[x + 1]]
        inside = scratch.array("inside", values[region].shape)
        np.clip(values[region], 0, BELOW_ONE, out=inside)
        histograms[y, x] = cv2.calcHist([inside], [0], counts[region], [BINS], [0, 1]).ravel()

    each_tile(tiles, tiles, (1, 1), work)
    whole = _curve(histograms.sum((0, 1)), limit)
    curves = [_curve(histogram, limit) if histogram.any() else whole for histogram in histograms.reshape(-1, BINS)]
    return np.stack(curves).reshape(tiles, tiles, BINS + 1)


def _curve(histogram: Array, limit: float) -> Floats:
    """The cumulated histogram, from 0 to 1, nowhere steeper than `limit`."""
    curve = np.linspace(0, 1, BINS + 1)
    if histogram.any():
        most = limit / BINS
        curve[1:] = np.minimum(histogram / histogram.sum() + _filling(histogram / histogram.sum(), most), most).cumsum()
    return np.asarray(curve / curve[-1], np.float32)


def _filling(shares: Array, most: float) -> float:
    """How much is added to every share, none becoming more than `most`, so that they add up to 1."""
    falling = np.sort(shares)[::-1]
    full = np.arange(shares.size)  # so many of the largest are full
    left = 1 - full * most - falling[::-1].cumsum()[::-1]
    added = left / (shares.size - full)
    fits = falling + added <= most
    return float(max(added[np.argmax(fits)], 0.0)) if fits.any() else most


def _regions(size: int, tiles: int, wraps: bool) -> tuple[Array, Array, Floats]:
    """For each pixel of a side the region whose middle is before it, the next one, and how far it is on its way."""
    place = (np.arange(size) + 0.5) * tiles / size - 0.5
    before = np.floor(place).astype(np.intp)
    on_its_way = (place - before).astype(np.float32)
    if wraps:
        return before % tiles, (before + 1) % tiles, on_its_way
    return before.clip(0, tiles - 1), (before + 1).clip(0, tiles - 1), on_its_way

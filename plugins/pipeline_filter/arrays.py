"""Neighbourhood kernels on numpy `(B, H, W, C)` buffers: OpenCV on views. `tensors` has the same for accelerators.

Beyond the frame the edge pixels are repeated, or the picture tiles where it wraps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline_core import each_tile, empty
from pipeline_core import opencv as cv2
from pipeline_filter.weights import Weights

Array = np.ndarray[Any, Any]
Wrap = tuple[bool, bool]

MOST_CHANNELS = 32  # OpenCV takes a few more (128), all of its versions take these
DIRECT_WEIGHTS = (
    129  # from 130 weights on filter2D goes by way of the DFT, which spreads one NaN over the whole picture
)
BLOCK = 11
SPARSE_WEIGHTS = 300  # up to here summing one by one is faster than the DFT
CHORDS_FROM = 6  # from this radius on discs and crosses are faster run by run than pixel by pixel

STRIP = 16
NEAR = 8  # rows above and below that strips may need: with more, much of them is margin

where = np.where


def on_items(array: Array, reach: tuple[int, int], wrap: Wrap, kernel: Callable[[Array], Array]) -> Array:
    """`kernel`, which maps `(H, W, C)` to the same, on each item; continued by (x, y) pixels where it wraps."""
    if array.shape[3] > MOST_CHANNELS:
        groups = np.split(array, range(MOST_CHANNELS, array.shape[3], MOST_CHANNELS), axis=3)
        return np.concatenate([on_items(group, reach, wrap, kernel) for group in groups], axis=3)
    results = [_on_item(np.ascontiguousarray(item), reach, wrap, kernel) for item in array]
    return results[0][None] if len(results) == 1 else np.stack(results)


def _on_item(item: Array, reach: tuple[int, int], wrap: Wrap, kernel: Callable[[Array], Array]) -> Array:
    height, width, _ = item.shape
    x, y = (distance if wraps else 0 for distance, wraps in zip(reach, wrap, strict=True))
    if not (x or y):
        return kernel(item).reshape(item.shape)  # OpenCV drops a single channel's axis
    around = extended(item, (x, y), (True, True))
    result = kernel(around).reshape(around.shape)
    return np.ascontiguousarray(result[y : y + height, x : x + width])


def in_strips(
    array: Array, reach: tuple[int, int], wrap: Wrap, change: Callable[[Array, slice, slice, Array], Array]
) -> Array:
    """`change(rows with those around, which of them, which columns, out)` gives `(rows, W, C)` floats: a few rows at a time.

    What is made on the way stays in a core's cache, and the result lies in memory that was used before.
    """
    result = empty(array.shape)
    height, width = array.shape[1:3]
    x, y = (distance if wraps else 0 for distance, wraps in zip(reach, wrap, strict=True))
    columns = slice(x, x + width)
    for item, out in zip(array, result, strict=True):
        around = extended(item, (x, y), (True, True)) if x or y else np.ascontiguousarray(item)

        def work(rows: slice, _: slice, around: Array = around, out: Array = out) -> None:
            first = max(rows.start + y - reach[1], 0)
            last = min(rows.stop + y + reach[1], around.shape[0])
            inner = slice(rows.start + y - first, rows.stop + y - first)
            into = out[rows]
            _put(into, change(around[first:last], inner, columns, into))

        each_tile(width, height, (width, STRIP), work)
    return result


def with_sums(
    change: Callable[[Array, Array, Any], Array], array: Array, weights: Weights | tuple[Weights, Weights], wrap: Wrap
) -> Array:
    """`change(values, weighted sums around them, out)`, all `(H, W, C)`; weights as `correlate` or `separable` take them.

    It may write what it gives to `out`, where the result is.
    """
    across, down = weights if isinstance(weights, tuple) else (weights[0], weights[:, 0])
    reach = (len(across) // 2, len(down) // 2)
    if (isinstance(weights, tuple) or weights.size <= DIRECT_WEIGHTS) and _in_strips(array, reach):
        return in_strips(
            array,
            reach,
            wrap,
            lambda part, rows, columns, out: change(part[rows, columns], _sums(part, weights)[rows, columns], out),
        )
    whole = separable(array, *weights, wrap) if isinstance(weights, tuple) else correlate(array, weights, wrap)
    result = empty(array.shape)
    for item, around, out in zip(array, whole, result, strict=True):

        def work(rows: slice, _: slice, item: Array = item, around: Array = around, out: Array = out) -> None:
            into = out[rows]
            _put(into, change(item[rows], around[rows], into))

        each_tile(array.shape[2], array.shape[1], (array.shape[2], STRIP), work)
    return result


def _put(out: Array, found: Array) -> None:
    if found is not out:
        out[:] = found


def _in_strips(array: Array, reach: tuple[int, int]) -> bool:
    return reach[1] <= NEAR and array.shape[3] <= MOST_CHANNELS


def _sums(part: Array, weights: Weights | tuple[Weights, Weights]) -> Array:
    """`(H, W, C)`, with the edge repeated."""
    if isinstance(weights, tuple):
        return cv2.sepFilter2D(part, -1, *weights, borderType=cv2.BORDER_REPLICATE).reshape(part.shape)
    return cv2.filter2D(part, -1, weights, borderType=cv2.BORDER_REPLICATE).reshape(part.shape)


def weighted(one: Array, factor: float, other: Array, other_factor: float, plus: float) -> Array:
    """The sum of two arrays `(H, W, C)`, each times a number, and a number."""
    total: Array = np.asarray(cv2.addWeighted(one, factor, other, other_factor, plus))
    return total.reshape(one.shape)


def shown(alpha: Array) -> Array:
    """1 where there is some alpha."""
    ones: Array = (alpha != 0).astype(np.float32)
    return ones


def spread(plane: Array, where: Sequence[int], channels: int) -> Array:
    """`(H, W)` for the channels at these places, 0 for the others; written out, as numpy is slow along so short an axis."""
    filled, rest = np.ascontiguousarray(plane), np.zeros(plane.shape, np.float32)
    planes = [filled if i in where else rest for i in range(channels)]
    if channels > MOST_CHANNELS:
        return np.stack(planes, axis=-1)
    return cv2.merge(planes).reshape(*plane.shape, channels)


def kept(result: Array, values: Array, where: Sequence[int]) -> Array:
    """The result with the channels of `values` at these places."""
    for i in where:
        result[..., i] = values[..., i]
    return result


def apart(part: Array) -> list[Array]:
    """The planes of `(H, W, C)`, in memory of their own."""
    if part.shape[2] > MOST_CHANNELS:
        return list(np.ascontiguousarray(part.transpose(2, 0, 1)))
    return list(cv2.split(part))


def joined(planes: list[Array], out: Array) -> None:
    """Write planes to `(H, W, C)`."""
    if len(planes) > MOST_CHANNELS:
        np.stack(planes, axis=2, out=out)
    else:
        cv2.merge(planes, out)


def extended(item: Array, reach: tuple[int, int], wrap: Wrap) -> Array:
    """`(H, W, C)` with a border of (x, y) pixels."""
    (x, y), shape = reach, item.shape
    for border, wraps in (((y, y, 0, 0), wrap[1]), ((0, 0, x, x), wrap[0])):
        if any(border):
            item = cv2.copyMakeBorder(item, *border, cv2.BORDER_WRAP if wraps else cv2.BORDER_REPLICATE)
    return item.reshape(shape[0] + 2 * y, shape[1] + 2 * x, shape[2])


def separable(array: Array, across: Weights, down: Weights, wrap: Wrap) -> Array:
    """Weighted sums, along the rows and then along the columns."""
    reach = (len(across) // 2, len(down) // 2)

    if flat(across) and flat(down):
        sides = (len(across), len(down))
        return on_items(array, reach, wrap, lambda item: cv2.blur(item, sides, borderType=cv2.BORDER_REPLICATE))
    if _in_strips(array, reach):
        return with_sums(lambda values, sums, out: sums, array, (across, down), wrap)
    return on_items(array, reach, wrap, lambda item: _sums(item, (across, down)))


def flat(weights: Weights) -> bool:
    """Whether these weights are a plain mean, for which running sums do."""
    return bool((weights == weights[0]).all())


def correlate(array: Array, weights: Weights, wrap: Wrap) -> Array:
    """Weighted sums over a neighbourhood with odd sides; the weights are not turned round."""
    height, width = weights.shape
    reach = (width // 2, height // 2)
    if weights.size <= DIRECT_WEIGHTS and _in_strips(array, reach):
        return with_sums(lambda values, sums, out: sums, array, weights, wrap)
    if weights.size <= DIRECT_WEIGHTS:
        return on_items(array, reach, wrap, lambda item: _sums(item, weights))
    if np.count_nonzero(weights) > SPARSE_WEIGHTS and np.isfinite(array).all():
        return on_items(
            array, reach, wrap, lambda item: cv2.filter2D(item, -1, weights, borderType=cv2.BORDER_REPLICATE)
        )
    return on_items(array, (0, 0), wrap, lambda item: _in_blocks(extended(item, reach, wrap), weights))


def _in_blocks(around: Array, weights: Weights) -> Array:
    """As `correlate`, without the border: a sum over small kernels, of which the empty ones cost nothing."""
    height, width = (size - taken + 1 for size, taken in zip(around.shape, weights.shape, strict=False))
    total = np.zeros((height, width, around.shape[2]), np.float32)
    for y in range(0, weights.shape[0], BLOCK):
        for x in range(0, weights.shape[1], BLOCK):
            block = weights[y : y + BLOCK, x : x + BLOCK]
            if block.any():
                part = around[y : y + height + block.shape[0] - 1, x : x + width + block.shape[1] - 1]
                sums = cv2.filter2D(part, -1, block, anchor=(0, 0)).reshape(part.shape)
                total += sums[:height, :width]
    return total


def extreme(array: Array, shape: str, radius: int, wrap: Wrap, *, largest: bool) -> Array:
    """The largest or smallest value in a `square`, `disc` or `cross`, in the array's own dtype."""
    if array.dtype == np.float16:  # OpenCV has no kernel for it
        return extreme(array.astype(np.float32), shape, radius, wrap, largest=largest).astype(np.float16)
    change = cv2.dilate if largest else cv2.erode
    pick: Callable[..., Array] = np.maximum if largest else np.minimum
    long, short = 2 * radius + 1, 1

    # What OpenCV does beyond the frame, leaving it out, is what repeating the edge gives.
    def kernel(item: Array) -> Array:
        if shape == "square":
            return change(item, np.ones((long, long), np.uint8))
        if radius < CHORDS_FROM:
            return change(item, footprint(shape, radius))
        if shape == "cross":
            return pick(change(item, np.ones((short, long), np.uint8)), change(item, np.ones((long, short), np.uint8)))
        best: Array = chords(extended(item, (radius, radius), (False, False)), radius, pick)
        return best

    return on_items(array, (radius, radius), wrap, kernel)


def footprint(shape: str, radius: int) -> Array:
    """1 where a disc or cross is."""
    steps = np.arange(-radius, radius + 1)
    x, y = steps, steps[:, None]
    return (x * x + y * y <= radius * radius if shape == "disc" else x * y == 0).astype(np.uint8)


def chords(around: Any, radius: int, pick: Callable[..., Any]) -> Any:
    """The picked value in a disc around each pixel that has `radius` more on all sides: `(..., H, W, C)`, any library.

    Of the chord in each of its rows, and that is picked of two overlapping runs with a power of two for a length.
    """
    height, width = (size - 2 * radius for size in around.shape[-3:-1])
    runs, length = {1: around}, 1
    while 2 * length <= 2 * radius + 1:
        shorter = runs[length]
        runs[2 * length] = pick(shorter[..., :-length, :], shorter[..., length:, :])
        length *= 2
    best = around[..., radius : radius + height, radius : radius + width, :]
    for row in range(radius + 1):
        half = math.isqrt(radius * radius - row * row)
        length = 1 << ((2 * half + 1).bit_length() - 1)
        first, last = radius - half, radius + half + 1 - length
        run = runs[length]
        chord = pick(run[..., first : first + width, :], run[..., last : last + width, :])
        for top in {radius - row, radius + row}:
            best = pick(best, chord[..., top : top + height, :, :])
    return best

"""Detail made larger, by a kernel or on planes of arrays in CPU memory, some rows at a time; colours are divided by no alpha.

With c for a straight colour, a for its alpha and m() for the mean around it, detail is c - m(c a) / m(a).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pipeline_core import Image, Mask, Scratch, each_tile, empty
from pipeline_core import opencv as cv2
from pipeline_filter.arrays import MOST_CHANNELS, extended
from pipeline_filter.associated import guides
from pipeline_filter.compiled_detail import detail_changed
from pipeline_filter.weights import Weights

Array = np.ndarray[Any, Any]
STRIP = 64


class Change(NamedTuple):
    """`color` times the colour, plus `amount` times its detail lessened by the threshold, plus `middle`."""

    amount: float
    color: float = 1.0
    middle: float = 0.0
    threshold: float = 0.0


def changed(image: Image | Mask, weights: Weights, change: Change) -> Array:
    """`(B, H, W, C)` floats, in the alpha state of the image."""
    colors, coverage = guides(image)
    straight = isinstance(image, Image) and image.coverage == "straight" and bool(image.color_indices)
    made = detail_changed(image, weights, change, colors, coverage[0] if coverage else -1, straight=straight)
    if made is not None:
        return made
    buffer = image.buffer if isinstance(image.buffer, np.ndarray) else image.array
    order = [*colors, *coverage, *sorted(set(range(buffer.shape[3])) - {*colors, *coverage})]
    result, scratch, reach = empty(buffer.shape), Scratch(), len(weights) // 2
    x, y = (reach if wraps else 0 for wraps in image.wrap)
    for item, out in zip(buffer, result, strict=True):
        around = extended(item, (x, y), (True, True)) if x or y else item

        def work(rows: slice, _: slice, around: Array = around, out: Array = out) -> None:
            first, last = max(rows.start + y - reach, 0), min(rows.stop + y + reach, len(around))
            inner = slice(rows.start + y - first, rows.stop + y - first), slice(x, x + out.shape[1])
            planes = _apart(around[first:last], order, scratch)
            alpha = planes[len(colors)] if coverage else None
            _change(planes[: len(colors)], alpha, inner, weights, change, straight, scratch)
            _together([plane[inner] for plane in planes], order, out[rows])

        each_tile(image.width, image.height, (image.width, STRIP), work)
    return result


def _change(
    colors: Array,
    alpha: Array | None,
    inner: tuple[slice, slice],
    weights: Weights,
    change: Change,
    straight: bool,
    scratch: Scratch,
) -> None:
    """Changes the inner part of colours `(C, H, W)` in place."""
    amount, color, middle, threshold = change
    around = scratch.array("around", (len(colors), *colors.shape[1:]))
    for plane, out in zip(colors, around, strict=True):
        weighted = np.multiply(plane, alpha, out=out) if straight and alpha is not None else plane
        _blur(weighted, weights, out)
    values, means = colors[:, inner[0], inner[1]], around[:, inner[0], inner[1]]
    shown: Array | float = 1.0
    if alpha is not None:
        mean = _blur(alpha, weights, scratch.array("mean", alpha.shape))[inner]
        alpha = alpha[inner]
        mean[mean == 0] = 1
        if straight:
            np.divide(means, mean, out=means)
        else:
            means *= alpha / mean
            middle, threshold = middle * alpha, threshold * alpha  # type: ignore[assignment]  # of each pixel
        if not alpha.all():
            shown = (alpha != 0).astype(np.float32)
    if change.threshold:
        detail = np.subtract(values if straight else values * shown, means, out=means)
        detail -= detail.clip(-threshold, threshold)
        detail *= amount
        values *= color
        values += detail
    else:
        means *= amount
        values *= color + amount if straight else color + amount * shown
        values -= means
    if change.middle:
        values += middle
    if straight:
        values *= shown


def _blur(plane: Array, weights: Weights, out: Array) -> Array:
    cv2.sepFilter2D(plane, -1, weights, weights, out, borderType=cv2.BORDER_REPLICATE)
    return out


def _apart(part: Array, order: list[int], scratch: Scratch) -> Array:
    """The channels of `(H, W, C)` in this order, as planes of floats."""
    stored = scratch.array(part.dtype.name, (len(order), *part.shape[:2]), part.dtype)
    if _is_plain(part):
        cv2.split(part, [stored[order.index(channel)] for channel in range(len(order))])
    else:
        stored[:] = part.transpose(2, 0, 1)[order]
    if part.dtype == np.float32:
        return stored
    floats = scratch.array("floats", stored.shape)
    if part.dtype.kind == "u":
        np.divide(stored, np.float32(np.iinfo(part.dtype).max), out=floats, dtype=np.float32)
    else:
        floats[:] = stored
    return floats


def _together(planes: list[Array], order: list[int], out: Array) -> None:
    """Writes planes to the channels of `(H, W, C)`."""
    if _is_plain(out):
        cv2.merge([planes[order.index(channel)] for channel in range(len(order))], out)
    else:
        for plane, channel in zip(planes, order, strict=True):
            out[..., channel] = plane


def _is_plain(part: Array) -> bool:
    """Whether OpenCV takes channels out of it, and puts some in: several, next to each other."""
    channels, itemsize = part.shape[2], part.itemsize
    beside = part.strides[1:] == (itemsize * channels, itemsize)
    return bool(beside and 1 < channels <= MOST_CHANNELS and part.dtype != np.float16)

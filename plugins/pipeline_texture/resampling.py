"""Weighted sums along one axis, for smaller levels and other sizes.

A pixel i covers i to i + 1, its centre is at i + 0.5. Weights are made in float64 and add up to 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline_core import empty
from pipeline_core import opencv as cv2

if TYPE_CHECKING:
    from torch import Tensor

Filter = Literal["box", "kaiser"]
Array = np.ndarray[Any, np.dtype[np.float64]]

Y_AXIS, X_AXIS = 1, 2
MOST_CHANNELS = 4  # OpenCV takes more only for some sizes
KAISER_RADIUS, KAISER_ALPHA = 3, 4.0


def resized(buffer: Tensor, axis: int, count: int, kind: Filter, wrap: bool) -> Tensor:
    """A `(B, H, W, C)` float tensor with another number of rows or columns.

    Pixels beyond the ends are left out of the sum and the rest weighted up, or, with `wrap`, taken from the other end.
    """
    import torch

    size = buffer.shape[axis]
    if count == size:
        return buffer
    place, weights = (_overlaps if kind == "box" else _kaiser)(size, count)
    if not wrap:
        weights = np.where((place >= 0) & (place < size), weights, 0.0)
    place = place % size if wrap else place.clip(0, size - 1)
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    lines = buffer.movedim(axis, 0)
    # What torch calls an embedding bag is a weighted sum of lines, with a fast kernel on every device.
    sums = torch.nn.functional.embedding_bag(
        torch.from_numpy(place).to(buffer.device),
        lines.reshape(size, -1),
        per_sample_weights=torch.from_numpy(weights).to(buffer.device),
        mode="sum",
    )
    return sums.reshape(count, *lines.shape[1:]).movedim(0, axis)


def means(array: np.ndarray[Any, Any], width: int, height: int) -> np.ndarray[Any, Any]:
    """A `(B, H, W, C)` float array made smaller by the mean of the area that each pixel covers: `box`, by OpenCV."""
    result = empty((len(array), height, width, array.shape[3]))
    for item, out in zip(array, result, strict=True):
        for first in range(0, array.shape[3], MOST_CHANNELS):
            part = np.ascontiguousarray(item[..., first : first + MOST_CHANNELS])
            smaller = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
            out[..., first : first + MOST_CHANNELS] = smaller.reshape(height, width, -1)
    return result


def _overlaps(size: int, count: int) -> tuple[np.ndarray[Any, np.dtype[np.int64]], Array]:
    """How much of each input pixel an output pixel covers: the polyphase box filter of odd sizes."""
    edges = np.arange(count + 1) * (size / count)
    low, high = edges[:-1, None], edges[1:, None]
    place = np.floor(low) + np.arange(math.ceil(size / count) + 1)
    return place.astype(np.int64), np.clip(np.minimum(high, place + 1) - np.maximum(low, place), 0, None)


def _kaiser(size: int, count: int) -> tuple[np.ndarray[Any, np.dtype[np.int64]], Array]:
    """A sinc under Kaiser's window, 3 pixels to each side, alpha = 4: J. Kaiser and R. Schafer, "On the Use of the
    I0-sinh Window for Spectrum Analysis", IEEE Transactions on Acoustics, Speech and Signal Processing 28(1), 1980."""
    step = size / count
    stretch = max(1.0, step)
    center = (np.arange(count) + 0.5) * step
    reach = KAISER_RADIUS * stretch
    first = np.ceil(center - reach - 0.5)
    place = first[:, None] + np.arange(math.ceil(2 * reach) + 1)
    x = (place + 0.5 - center[:, None]) / stretch
    inside = np.clip(1 - (x / KAISER_RADIUS) ** 2, 0, None)
    window = np.where(np.abs(x) < KAISER_RADIUS, np.i0(KAISER_ALPHA * np.sqrt(inside)) / np.i0(KAISER_ALPHA), 0.0)
    return place.astype(np.int64), np.sinc(x) * window

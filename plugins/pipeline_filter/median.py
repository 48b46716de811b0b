"""The median of a neighbourhood."""

from __future__ import annotations

from types import ModuleType
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, each_tile, empty, operation
from pipeline_core import opencv as cv2
from pipeline_filter.arrays import Array, Wrap, extended, on_items
from pipeline_filter.associated import on_stored, picked

OPENCV_RADIUS = 2  # of its kernels for other types than 8-bit
VALUES_AT_ONCE = 1 << 19


@operation(
    device="cpu",
    infer=picked,
    support=lambda radius, **_: radius,
    aliases=("median_filter", "despeckle", "remove_noise", "Median"),
)
def median(
    image: AnyRaster, *, radius: Annotated[int, Field(ge=0, le=63, description="pixels; 1 is 3x3")] = 1
) -> AnyRaster:
    """Replace each pixel by the median of its square neighbourhood: removes specks and keeps edges.

    Channel by channel, alpha too. Straight colours are multiplied by alpha before and divided after: a colour can then
    never become larger than its alpha allows. Otherwise the values are picked, exact, in the image's own dtype. NaN has
    no place in an order: run `fix_nan` first. Fast up to a radius of 2 (5x5), and at any radius on 8-bit images.

    Convention: beyond the frame the edge pixels are repeated, or the image tiles where it wraps.
    """

    def change(kernels: ModuleType, buffer: Any) -> Array:
        return _median(buffer, radius, image.wrap)

    return on_stored(image, change)


def _median(array: Array, radius: int, wrap: Wrap) -> Array:
    if array.dtype == np.float16:  # OpenCV has no kernel for it
        return _median(array.astype(np.float32), radius, wrap).astype(np.float16)
    if radius > OPENCV_RADIUS and array.dtype != np.uint8:
        return on_items(
            array, (0, 0), wrap, lambda item: _by_partition(extended(item, (radius, radius), wrap), 2 * radius + 1)
        )
    channels = array.shape[3]
    at_once = channels if channels in (1, 3, 4) else 1  # what OpenCV takes
    groups = np.split(array, range(at_once, channels, at_once), axis=3)
    size = 2 * radius + 1

    def kernel(item: Array) -> Array:
        return cv2.medianBlur(item, size, empty(item.shape, item.dtype))

    medians = [on_items(group, (radius, radius), wrap, kernel) for group in groups]
    return medians[0] if len(medians) == 1 else np.concatenate(medians, axis=3)


def _by_partition(around: Array, size: int) -> Array:
    """The medians of all windows of `size` in `(H, W, C)`."""
    planes = np.ascontiguousarray(around.transpose(2, 0, 1))
    windows = np.lib.stride_tricks.sliding_window_view(planes, (size, size), (1, 2))
    channels, height, width = windows.shape[:3]
    result = np.empty((height, width, channels), around.dtype)
    middle = size * size // 2

    def work(rows: slice, columns: slice) -> None:
        values = windows[:, rows, columns].reshape(channels, rows.stop - rows.start, columns.stop - columns.start, -1)
        values.partition(middle, axis=-1)
        result[rows, columns] = values[..., middle].transpose(1, 2, 0)

    side = max(1, VALUES_AT_ONCE // (size * size * channels))
    each_tile(width, height, (min(side, width), max(1, side // width)), work)
    return result

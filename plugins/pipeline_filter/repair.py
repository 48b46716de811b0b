"""NaN and infinity made finite."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, OperationError, each_tile, empty, operation
from pipeline_filter.arrays import STRIP, Array, Wrap

Mode = Literal["box3", "black", "refuse"]


def _same(image: AnyRaster, **_: Any) -> AnyRaster:
    return image


def _reach(*, mode: Mode, **_: Any) -> float | None:
    return {"box3": 1, "black": 0}.get(mode)


@operation(
    version=2, device="cpu", infer=_same, support=_reach, aliases=("fixnan", "fix_non_finite", "killnan", "remove_nan")
)
def fix_nan(
    image: AnyRaster, *, mode: Annotated[Mode, Field(description="what becomes of values that are not finite")] = "box3"
) -> AnyRaster:
    """Repair NaN and infinity.

    `box3`: the mean of the finite values of that channel in the 3x3 pixels around; 0 where there are none. `black`: 0.
    `refuse`: an error that says how many there are and where. All other values stay as they are, to the bit, in the
    image's own dtype; integer images have nothing to repair.

    Convention: beyond the frame there is nothing to be counted, or the image tiles where it wraps; as OpenImageIO's
    fixNonFinite, but that a repaired value never counts for the next one.
    """
    if image.dtype.startswith("uint"):
        return image
    stored = image.buffer if isinstance(image.buffer, np.ndarray) else image.buffer.numpy()
    finite = np.isfinite(stored)
    if finite.all():
        return image
    if mode == "refuse":
        raise OperationError(_found(stored, finite, image.channels))
    result = empty(stored.shape, stored.dtype)

    def work(rows: slice, columns: slice) -> None:
        result[:, rows] = stored[:, rows]
        item, y, x, channel = np.nonzero(~finite[:, rows])
        if y.size:
            broken = item, y + rows.start, x, channel
            result[broken] = 0 if mode == "black" else _means(stored, finite, broken, image.wrap)

    each_tile(image.width, image.height, (image.width, STRIP), work)
    return image.with_buffer(result)


def _means(stored: Array, finite: Array, broken: tuple[Array, ...], wrap: Wrap) -> Array:
    """Of the finite values in the 3x3 pixels around each of the broken ones; 0 where there are none."""
    item, y, x, channel = broken
    height, width = stored.shape[1:3]
    total, count = np.zeros(len(y)), np.zeros(len(y))
    for down, across in np.ndindex(3, 3):
        row, column = y + down - 1, x + across - 1
        inside = (wrap[1] | ((row >= 0) & (row < height))) & (wrap[0] | ((column >= 0) & (column < width)))
        place = item, row % height, column % width, channel
        counts = inside & finite[place]
        total += np.where(counts, stored[place], 0)
        count += counts
    return np.asarray(total / np.maximum(count, 1))


def _found(stored: Array, finite: Array, channels: tuple[str, ...]) -> str:
    """How many values are not finite, and where the first one is."""
    bad = int(finite.size - np.count_nonzero(finite))
    item, y, x, channel = (int(i) for i in np.argwhere(~finite)[0])
    place = f"x={x}, y={y}" + (f" of image {item}" if len(stored) > 1 else "")
    values = "1 value is" if bad == 1 else f"{bad} values are"
    return (
        f"{values} not finite, the first at {place}: {stored[item, y, x, channel]} in {channels[channel]}; "
        "mode 'box3' or 'black' repairs them"
    )

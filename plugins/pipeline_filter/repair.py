"""NaN and infinity made finite."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, OperationError, operation
from pipeline_filter.arrays import Array, Wrap, on_items

Mode = Literal["box3", "black", "refuse"]


def _same(image: AnyRaster, **_: Any) -> AnyRaster:
    return image


def _reach(*, mode: Mode, **_: Any) -> float | None:
    return {"box3": 1, "black": 0}.get(mode)


@operation(device="cpu", infer=_same, support=_reach, aliases=("fixnan", "fix_non_finite", "killnan", "remove_nan"))
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
    repaired = np.zeros((), np.float32) if mode == "black" else _means(stored, finite, image.wrap)
    return image.with_buffer(np.where(finite, stored, repaired).astype(stored.dtype))


def _means(stored: Array, finite: Array, wrap: Wrap) -> Array:
    """Of the finite values in the 3x3 pixels around."""

    def sums(item: Array) -> Array:
        return cv2.boxFilter(item, cv2.CV_64F, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)

    total = on_items(np.where(finite, stored, 0).astype(np.float32), (1, 1), wrap, sums)
    count = on_items(finite.astype(np.float32), (1, 1), wrap, sums)
    return np.where(count > 0.5, total / np.maximum(count, 1), 0)


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

"""What all measures share: one channel in float64, and what must be alike in what is compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline_core import Image, Mask, OperationError

Array = np.ndarray[Any, np.dtype[np.float64]]


def plane(raster: Image | Mask, index: int) -> Array:
    """One channel of the first picture, `(H, W)` float64, contiguous: sums are the same wherever the buffer was."""
    return np.ascontiguousarray(raster.array[0, ..., index], np.float64)


def one_picture(raster: Image | Mask, what: str) -> None:
    """A table is of one picture; OperationError for a batch of more."""
    if raster.batch > 1:
        raise OperationError(f"'{what}' measures one picture, this is a batch of {raster.batch}: give them one by one")


def difference_of(a: Image | Mask, b: Image | Mask) -> str:
    """What keeps the values of two pictures from being compared, and what mends it; empty where nothing does."""
    if a.channels != b.channels:
        return f"a has {', '.join(a.channels)}, b has {', '.join(b.channels)}: 'select_channels' from one of them"
    if not (isinstance(a, Image) and isinstance(b, Image)):
        return ""
    if a.alpha != b.alpha:
        return f"a is {a.alpha}, b is {b.alpha}: 'premultiply' or 'unpremultiply' one of them"
    if a.color != b.color:
        return f"a is {a.color}, b is {b.color}: 'color_convert' or 'set_color' one of them"
    return ""

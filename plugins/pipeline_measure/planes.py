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


def both_wrap(a: Image | Mask, b: Image | Mask) -> tuple[bool, bool]:
    """In which directions both tile."""
    return a.wrap[0] and b.wrap[0], a.wrap[1] and b.wrap[1]


def check_alike(a: Image | Mask, b: Image | Mask) -> None:
    """OperationError that says what keeps two pictures from being compared, and what mends it."""
    if a.size != b.size:
        raise OperationError(f"a is {a.width}x{a.height}, b is {b.width}x{b.height}: 'resize' or 'crop' one of them")
    if a.channels != b.channels:
        found = f"a has {', '.join(a.channels)}, b has {', '.join(b.channels)}"
        raise OperationError(f"{found}: 'select_channels' from one of them")
    if not (isinstance(a, Image) and isinstance(b, Image)):
        return
    if a.alpha != b.alpha:
        raise OperationError(f"a is {a.alpha}, b is {b.alpha}: 'premultiply' or 'unpremultiply' one of them")
    if a.color != b.color:
        raise OperationError(f"a is {a.color}, b is {b.color}: 'color_convert' or 'set_color' one of them")

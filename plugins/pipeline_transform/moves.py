"""Moving pixels in either kind of buffer, numpy or torch, without touching their type or value."""

from __future__ import annotations

from typing import Any

import numpy as np

Y_AXIS, X_AXIS = 1, 2


def reversed_along(buffer: Any, axis: int) -> Any:
    """The buffer turned round along one axis, without negative strides (torch has none)."""
    if isinstance(buffer, np.ndarray):
        return np.ascontiguousarray(np.flip(buffer, axis))
    import torch

    if buffer.dtype == torch.uint16:  # torch has no `flip` for it
        return buffer.view(torch.int16).flip(axis).view(torch.uint16)
    return buffer.flip(axis)


def transposed(buffer: Any) -> Any:
    """Rows become columns; a view."""
    return buffer.swapaxes(Y_AXIS, X_AXIS)


def rolled(buffer: Any, shifts: tuple[int, int]) -> Any:
    """Moved down and right by whole pixels; what leaves on one side enters on the other."""
    if isinstance(buffer, np.ndarray):
        return np.roll(buffer, shifts, (Y_AXIS, X_AXIS))
    return buffer.roll(shifts, (Y_AXIS, X_AXIS))


def taken(buffer: Any, index: np.ndarray[Any, np.dtype[np.int64]], axis: int) -> Any:
    """The rows or columns with these numbers, in this order."""
    if isinstance(buffer, np.ndarray):
        return buffer.take(index, axis)
    import torch

    return buffer.index_select(axis, torch.from_numpy(index).to(buffer.device))


def framed(buffer: Any, border: np.ndarray[Any, Any], rows: tuple[int, int], columns: tuple[int, int]) -> Any:
    """The buffer with (before, after) rows and columns around it, each pixel `border` (one value per channel)."""
    batch, height, width, channels = buffer.shape
    top, left = rows[0], columns[0]
    shape = (batch, height + sum(rows), width + sum(columns), channels)
    if isinstance(buffer, np.ndarray):
        canvas: Any = np.empty(shape, buffer.dtype)
        canvas[:] = border
    else:
        import torch

        canvas = torch.from_numpy(border).to(buffer.device, buffer.dtype).expand(shape).clone()
    canvas[:, top : top + height, left : left + width] = buffer
    return canvas

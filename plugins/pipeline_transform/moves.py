"""Moving pixels in either kind of buffer, numpy or torch, without touching their type or value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline_core import AnyRaster, Rows, each_tile, empty
from pipeline_core import opencv as cv2

Array = np.ndarray[Any, Any]
Index = np.ndarray[Any, np.dtype[np.int64]]

Y_AXIS, X_AXIS = 1, 2
MOST_CHANNELS = 4
ROWS = 64  # at once, by one worker


def reversed_along(buffer: Any, axis: int) -> Any:
    """The buffer turned round along one axis, without negative strides (torch has none)."""
    if isinstance(buffer, np.ndarray):
        return _item_by_item(buffer, buffer.shape, lambda item, out: cv2.flip(item, 1 if axis == X_AXIS else 0, out))
    return movable(buffer).flip(axis).view(buffer.dtype)


def transposed(buffer: Any) -> Any:
    """Rows become columns; a view."""
    return buffer.swapaxes(Y_AXIS, X_AXIS)


def turned(buffer: Any, turns: int) -> Any:
    """Turned clockwise by so many quarters, 1 to 3."""
    if not isinstance(buffer, np.ndarray):
        flipped = reversed_along(buffer if turns == 2 else transposed(buffer), Y_AXIS if turns == 3 else X_AXIS)
        return reversed_along(flipped, Y_AXIS) if turns == 2 else flipped
    batch, height, width, channels = buffer.shape
    shape = (batch, height, width, channels) if turns == 2 else (batch, width, height, channels)
    code = (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)[turns - 1]
    return _item_by_item(buffer, shape, lambda item, out: cv2.rotate(item, code, out))


def _item_by_item(buffer: Array, shape: tuple[int, ...], move: Callable[[Array, Array], object]) -> Array:
    """A move of `(H, W, C)` by OpenCV, which only looks at how large a value is, four channels at a time."""
    stored = buffer.view(np.uint16) if buffer.dtype == np.float16 else buffer
    result = empty(shape, stored.dtype)
    for item, out in zip(stored, result, strict=True):
        if shape[3] <= MOST_CHANNELS:
            move(np.ascontiguousarray(item), out)
            continue
        for start in range(0, shape[3], MOST_CHANNELS):
            part = np.ascontiguousarray(item[..., start : start + MOST_CHANNELS])
            moved = np.empty((*shape[1:3], part.shape[2]), part.dtype)
            move(part, moved)
            out[..., start : start + MOST_CHANNELS] = moved
    return result.view(buffer.dtype)


def rolled(buffer: Any, shifts: tuple[int, int]) -> Any:
    """Moved down and right by whole pixels; what leaves on one side enters on the other."""
    if isinstance(buffer, np.ndarray):
        return np.roll(buffer, shifts, (Y_AXIS, X_AXIS))
    return movable(buffer).roll(shifts, (Y_AXIS, X_AXIS)).view(buffer.dtype)


def movable(buffer: Any) -> Any:
    """A tensor under a type that torch moves on every device: it has hardly a kernel for uint16."""
    import torch

    return buffer.view(torch.int16) if buffer.dtype == torch.uint16 else buffer


def taken(buffer: Any, index: Index, axis: int) -> Any:
    """The rows or columns with these numbers, in this order."""
    if isinstance(buffer, np.ndarray):
        return buffer.take(index, axis)
    import torch

    return buffer.index_select(axis, torch.from_numpy(index).to(buffer.device))


def taken_both(buffer: Any, rows: Index, columns: Index) -> Any:
    """The rows and columns with these numbers, in this order."""
    if not isinstance(buffer, np.ndarray):
        return taken(taken(buffer, rows, Y_AXIS), columns, X_AXIS)
    result = empty((len(buffer), len(rows), len(columns), buffer.shape[3]), buffer.dtype)

    def work(part: slice, _: slice) -> None:
        for item, out in zip(buffer, result, strict=True):
            for y in range(part.start, part.stop):
                item[rows[y]].take(columns, 0, out=out[y], mode="clip")  # the only mode that writes to `out` at once

    each_tile(1, len(rows), (1, ROWS), work)
    return result


def framed(buffer: Any, border: np.ndarray[Any, Any], rows: tuple[int, int], columns: tuple[int, int]) -> Any:
    """The buffer with (before, after) rows and columns around it, each pixel `border` (one value per channel)."""
    batch, height, width, channels = buffer.shape
    top, left = rows[0], columns[0]
    shape = (batch, height + sum(rows), width + sum(columns), channels)
    if isinstance(buffer, np.ndarray):
        canvas: Any = empty(shape, buffer.dtype)
        beside = canvas[:, top : top + height]
        for part in (canvas[:, :top], canvas[:, top + height :], beside[:, :, :left], beside[:, :, left + width :]):
            part[:] = border
    else:
        import torch

        canvas = torch.from_numpy(border).to(buffer.device, buffer.dtype).expand(shape).clone()
    canvas[:, top : top + height, left : left + width] = buffer
    return canvas


def picked_rows(result: AnyRaster, index: Index, along: Callable[[Any], Any]) -> Rows:
    """A result whose rows are the input's with these numbers, each of them as `along` changes it."""

    def needs(start: int, stop: int) -> tuple[int, int]:
        rows = index[start:stop]
        return int(rows.min()), int(rows.max()) + 1

    def make(start: int, stop: int, strip: AnyRaster) -> AnyRaster:
        rows = index[start:stop] - needs(start, stop)[0]
        there = np.array_equal(rows, np.arange(strip.height))
        buffer = strip.buffer if there else taken(strip.buffer, rows, Y_AXIS)
        return strip.with_buffer(along(buffer), wrap=result.wrap)

    return Rows(result, make, needs)


def framed_rows(
    result: AnyRaster, height: int, shift: int, along: Callable[[Any], Any], border: np.ndarray[Any, Any]
) -> Rows:
    """A result whose rows are the input's, of which there are so many, moved down; elsewhere `border` (one value per channel)."""

    def needs(start: int, stop: int) -> tuple[int, int]:
        low = min(max(start - shift, 0), height - 1)
        return low, max(min(stop - shift, height), low + 1)

    def make(start: int, stop: int, strip: AnyRaster) -> AnyRaster:
        above = min(max(shift - start, 0), stop - start)
        below = min(max(stop - shift - height, 0), stop - start)
        kept = along(strip.buffer[:, : stop - start - above - below])
        return strip.with_buffer(framed(kept, border, (above, below), (0, 0)), wrap=result.wrap)

    return Rows(result, make, needs)

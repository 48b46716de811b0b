"""Where one image lies on another: named positions, and rectangles cut to the frame or coming in on the other side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from pipeline_core import AnyRaster, OperationError

Position = Literal[
    "top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right",
]  # fmt: skip
Size = tuple[int, int]  # width, height
Window = tuple[slice, slice]  # rows, columns

# Halves of the space left over that are on top's left and above it.
_HALVES: dict[Position, tuple[int, int]] = {
    "top-left": (0, 0), "top": (1, 0), "top-right": (2, 0),
    "left": (0, 1), "center": (1, 1), "right": (2, 1),
    "bottom-left": (0, 2), "bottom": (1, 2), "bottom-right": (2, 2),
}  # fmt: skip


class Patch(NamedTuple):
    """A rectangle of base and the one of top that lies on it, of one size."""

    base: Window
    top: Window


def corner(position: Position, base: Size, top: Size) -> tuple[int, int]:
    """Where (x, y) top's upper left corner is at a named position."""
    across, down = _HALVES[position]
    return (base[0] - top[0]) * across // 2, (base[1] - top[1]) * down // 2


def patches_of(at: tuple[int, int], top: Size, base: Size, wrap: tuple[bool, bool]) -> list[Patch]:
    """What lies on base of a top with its upper left corner at (x, y). None where they don't meet."""
    for axis, wraps, given, length in zip("xy", wrap, top, base, strict=True):
        if wraps and given > length:
            raise OperationError(f"base tiles in {axis} at {length} pixels, top has {given}: resize top to fit")
    columns, rows = (list(_spans(*axis)) for axis in zip(at, top, base, wrap, strict=True))
    return [Patch((down[0], across[0]), (down[1], across[1])) for down in rows for across in columns]


def _spans(at: int, size: int, length: int, wraps: bool) -> Iterator[tuple[slice, slice]]:
    """The parts of base and of top that meet along one axis."""
    first = at % length if wraps else at
    for start in (first, first - length) if wraps else (first,):
        low, high = max(start, 0), min(start + size, length)
        if low < high:
            yield slice(low, high), slice(low - start, high - start)


def cut(raster: AnyRaster, window: Window) -> AnyRaster:
    """Rows and columns of a raster, without a copy."""
    return raster.with_buffer(raster.buffer[:, window[0], window[1]], wrap=(False, False))

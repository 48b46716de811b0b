"""The kernel of `detail`, in C: pixels as they lie in memory, without planes."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import Structure, byref, c_float, c_int, c_ssize_t, c_void_p
from typing import Any

import numpy as np

from pipeline_core import Image, Mask, Pixels, Scratch, each_tile, empty, kernels_for, stored

Array = np.ndarray[Any, Any]
ROWS = 64
"""At a time, by one worker."""
TILE = 128
"""Columns at a time, as kernels.c has it."""


class _Field(Structure):
    _fields_ = (
        ("pixels", Pixels),
        ("height", c_ssize_t),
        ("width", c_ssize_t),
        *((name, c_int) for name in ("channels", "coverage", "straight", "wraps")),
        ("is_color", c_void_p),
    )


class _Detail(Structure):
    _fields_ = tuple((name, c_float) for name in ("amount", "color", "middle", "threshold"))


def detail_changed(
    image: Image | Mask,
    weights: Array,
    change: Sequence[float],
    colors: Sequence[int],
    coverage: int,
    *,
    straight: bool,
) -> Array | None:
    """As `detail.changed`; `weights` are symmetrical, `coverage` is where alpha is or -1. None where no kernel does it."""
    kernels = kernels_for(__file__, image)
    if kernels is None:
        return None
    buffer = stored(image)
    channels = buffer.shape[3]
    if not Pixels.are_packed(buffer):
        buffer = np.ascontiguousarray(buffer)
    result, scratch = empty(buffer.shape), Scratch()
    radius = len(weights) // 2
    half = np.ascontiguousarray(weights[radius:], np.float32)
    is_color = np.zeros(channels, np.uint8)
    is_color[list(colors)] = 1
    wraps = image.wrap[0] + 2 * image.wrap[1]
    detail = _Detail(*change)
    for item, out in zip(buffer, result, strict=True):
        field = _Field(
            Pixels.of(item), *item.shape[:2], channels, coverage, straight, wraps, is_color.ctypes.data
        )  # fmt: skip

        def work(rows: slice, _: slice, field: _Field = field, out: Array = out) -> None:
            room = scratch.array("room", (6 + rows.stop - rows.start + 2 * radius, (TILE + 2 * radius) * channels + 64))
            kernels.detail(
                byref(field), c_void_p(half.ctypes.data), radius, byref(detail), c_void_p(room.ctypes.data),
                byref(Pixels.of(out[rows])), c_ssize_t(rows.start), c_ssize_t(rows.stop),
            )  # fmt: skip

        each_tile(image.width, image.height, (image.width, ROWS), work)
    return result

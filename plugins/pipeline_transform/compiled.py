"""The kernels of kernels.c, in C: what there is for pictures as they lie in memory."""

from __future__ import annotations

from ctypes import Structure, byref, c_int, c_ssize_t, c_void_p
from typing import Any

import numpy as np

from pipeline_core import AnyRaster, Image, Pixels, Scratch, load_kernels
from pipeline_transform.resampling import Sums

Array = np.ndarray[Any, Any]

SPAN = 4096
"""Samples of a row that are summed at once, as many as stay in a core's cache for all rows of a block."""
LANES = 16
"""Of the widest vectors."""
_scratch = Scratch()


class _Sums(Structure):
    _fields_ = (("first", c_void_p), ("number", c_void_p), ("weights", c_void_p), ("taps", c_ssize_t))

    @classmethod
    def of(cls, sums: Sums) -> _Sums:
        return cls(*(array.ctypes.data for array in (sums.first, sums.number, sums.weights)), sums.weights.shape[1])


class _Picture(Structure):
    _fields_ = (
        ("pixels", Pixels),
        ("height", c_ssize_t),
        ("width", c_ssize_t),
        ("low", c_ssize_t),
        ("channels", c_int),
        ("alpha", c_int),
        ("is_color", c_void_p),
    )


def has_kernels() -> bool:
    return load_kernels(__file__) is not None


def resample(image: AnyRaster, low: int, down: Sums, along: Sums, start: int, out: Array) -> None:
    """Rows of a result from `start` on into `(B, rows, W, C)`; row `low` of the picture is the first that `image` has."""
    kernels = load_kernels(__file__)
    assert kernels is not None, "asked for before"
    buffer = packed(image)
    channels = buffer.shape[3]
    tiles, span = _tiles(along, channels)
    room = _aligned("room", 52 * span)
    colors = np.zeros(channels, np.uint8)
    alpha = -1
    if isinstance(image, Image) and image.coverage == "straight":
        colors[image.color_indices], alpha = 1, image.index("A")
    for item, result in zip(buffer, out, strict=True):
        picture = _Picture(Pixels.of(item), *item.shape[:2], low, channels, alpha, colors.ctypes.data)
        kernels.resample(
            byref(picture),
            byref(_Sums.of(down)),
            byref(_Sums.of(along)),
            c_void_p(tiles.ctypes.data),
            c_ssize_t(len(tiles) - 1),
            c_ssize_t(span),
            c_void_p(room.ctypes.data),
            byref(Pixels.of(result)),
            c_ssize_t(start),
            c_ssize_t(start + len(result)),
        )


def packed(image: AnyRaster) -> Array:
    """Its pixels without gaps within a row."""
    buffer = image.buffer if isinstance(image.buffer, np.ndarray) else image.array
    if Pixels.fits(buffer) and buffer.strides[2] == buffer.itemsize * buffer.shape[3]:
        return buffer
    return np.ascontiguousarray(buffer)


def _tiles(along: Sums, channels: int) -> tuple[Array, int]:
    """Where the columns of a result are divided so that few samples are needed at once, and how many that are."""
    ends = along.first + along.number
    most = max(1, SPAN // channels)
    tiles, span = [0], 0
    while tiles[-1] < len(ends):
        left = tiles[-1]
        right = int(np.searchsorted(ends, along.first[left] + most, "right"))
        right = min(max(right, left + 1), left + most)
        span = max(span, int(ends[right - 1] - along.first[left]), right - left)
        tiles.append(right)
    return np.array(tiles, np.int32), -(-span * channels // LANES) * LANES


def _aligned(name: str, size: int) -> Array:
    """Floats that begin where vectors do."""
    memory = _scratch.array(name, (size + LANES,))
    start = -memory.ctypes.data % (4 * LANES) // 4
    return memory[start : start + size]

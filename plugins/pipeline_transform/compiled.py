"""The kernels of kernels.c, in C: what there is for pictures as they lie in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from ctypes import Structure, byref, c_int, c_ssize_t, c_void_p
from functools import cache
from typing import Any

import numpy as np

from pipeline_core import Image, Mask, Pixels, Scratch, load_kernels
from pipeline_transform.resampling import KERNELS, Sums

Array = np.ndarray[Any, Any]

SPAN = 640
"""Samples of a row that are summed at once, as many as stay in a core's cache for all rows of a block."""
LANES = 16
"""Of the widest vectors."""
PHASES = 1024
"""As kernels.c has it; a filter is within a millionth of itself on lines between so many of its weights."""
MOST_OF_BYTES = 257
"""So many add up to 16 bits."""
ROOM = 1 << 18
"""Floats of a picture that a part of a result may need."""
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


class _Map(Structure):
    _fields_ = (
        ("matrix", c_void_p),
        ("across", c_void_p),
        ("down", c_void_p),
        ("row", c_ssize_t),
        ("left", c_ssize_t),
        ("top", c_ssize_t),
    )


class _Filter(Structure):
    _fields_ = (("weights", c_void_p), ("taps", c_int))


def has_kernels() -> bool:
    return load_kernels(__file__) is not None


def resample(image: Image | Mask, low: int, down: Sums, along: Sums, start: int, out: Array) -> None:
    """Rows of a result from `start` on into `(B, rows, W, C)`; row `low` of the picture is the first that `image` has."""
    is_weighted = isinstance(image, Image) and image.coverage == "straight"
    few = len(image.channels) <= 4 and 1 < along.block * down.block <= MOST_OF_BYTES
    if image.dtype == "uint8" and few and not is_weighted:
        _block_means(image, low, down, along, start, out)
        return
    kernels = load_kernels(__file__)
    assert kernels is not None, "asked for before"
    tiles, span = _tiles(along, len(image.channels))
    room = _aligned("room", 64 * span)
    for picture, result in zip(_pictures(image, packed(image), low), out, strict=True):
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


def _block_means(image: Image | Mask, low: int, down: Sums, along: Sums, start: int, out: Array) -> None:
    """`resample` of bytes where each pixel is the mean of a block of others, none of them shared."""
    kernels = load_kernels(__file__)
    assert kernels is not None, "asked for before"
    width, channels = out.shape[2:]
    room = _scratch.array("blocks", (2 * width * along.block * channels + 8,), np.uint16)
    for picture, result in zip(_pictures(image, packed(image), low), out, strict=True):
        kernels.block_means(
            byref(picture),
            along.block,
            down.block,
            c_ssize_t(int(along.first[0])),
            c_ssize_t(int(down.first[0])),
            c_void_p(room.ctypes.data),
            byref(Pixels.of(result)),
            c_ssize_t(width),
            c_ssize_t(start),
            c_ssize_t(start + len(result)),
        )


class Warper:
    """Makes parts of a warped picture over `behind`, which is associated."""

    def __init__(self, image: Image | Mask, kind: str, behind: Array, *, low: int, wraps: tuple[bool, bool]) -> None:
        """Row `low` of the picture is the first that `image` has."""
        channels = len(image.channels)
        self._image: Image | Mask = image
        self._low: int = low
        self._wraps: int = wraps[0] + 2 * wraps[1]
        self._groups: list[tuple[int, int]] = [(first, min(4, channels - first)) for first in range(0, channels, 4)]
        self._behind: Array = np.zeros(-(-channels // 4) * 4, np.float32)
        self._behind[:channels] = behind
        self._weights = _weights(kind)
        self._filter = _Filter(self._weights.ctypes.data, self._weights.shape[1])
        self._pictures = _pictures(image, packed(image), low)
        self._whole: list[list[_Picture]] = []
        self._preparing = threading.Lock()

    def through_matrix(self, matrix: Array, left: int, top: int, out: Array) -> None:
        """`out` is `(B, rows, columns, C)`, its first pixel that at (left, top) of the result."""
        self._make(_Map(matrix.ctypes.data, None, None, 0, left, top), out)

    def from_places(self, across: Array, down: Array, out: Array) -> None:
        """Places `(rows, columns)` in pixels."""
        self._make(_Map(None, across.ctypes.data, down.ctypes.data, across.shape[1], 0, 0), out)

    def _make(self, places: _Map, out: Array) -> None:
        kernels = load_kernels(__file__)
        assert kernels is not None, "asked for before"
        room, done = _aligned("room", ROOM), c_int(1)
        height, width = (c_ssize_t(length) for length in out.shape[1:3])
        for item, result in enumerate(out):
            for number, (first, count) in enumerate(self._groups):
                some = Pixels.of(result[..., first : first + count])
                for picture, group in self._ways(item, number, first):
                    kernels.warp(
                        byref(picture), group, count, byref(places), byref(self._filter), self._wraps,
                        c_void_p(self._behind[first:].ctypes.data), c_void_p(room.ctypes.data), c_ssize_t(ROOM),
                        byref(some), height, width, byref(done),
                    )  # fmt: skip
                    if done:
                        break
            picture = self._pictures[item]
            if picture.alpha >= 0:
                kernels.unassociate(
                    byref(Pixels.of(result)), picture.channels, picture.alpha, c_void_p(picture.is_color), height, width
                )

    def _ways(self, item: int, number: int, first: int) -> Iterator[tuple[_Picture, int]]:
        """The picture as it is; and where that would take too much room, made ready as a whole."""
        yield self._pictures[item], first
        with self._preparing:
            if not self._whole:
                image = self._image.associate() if isinstance(self._image, Image) else self._image
                array = np.zeros((*image.array.shape[:3], len(self._behind)), np.float32)
                array[..., : len(image.channels)] = image.array
                self._parts = [np.ascontiguousarray(array[..., at : at + 4]) for at, _ in self._groups]
                self._whole = [_pictures(None, part, self._low) for part in self._parts]
        yield self._whole[number][item], 0


def _pictures(image: Image | Mask | None, buffer: Array, low: int) -> list[_Picture]:
    """Of the items of `(B, H, W, C)`, which must outlive them; colours of an image with straight alpha are to be weighted."""
    colors = np.zeros(buffer.shape[3], np.uint8)
    alpha = -1
    if isinstance(image, Image) and image.coverage == "straight":
        colors[image.color_indices], alpha = 1, image.index("A")
    found = []
    for item in buffer:
        picture = _Picture(Pixels.of(item), *item.shape[:2], low, item.shape[2], alpha, colors.ctypes.data)
        picture.kept = item, colors
        found.append(picture)
    return found


@cache
def _weights(kind: str) -> Array:
    """The filter's weights at fractions of a pixel, `(PHASES + 1, taps)`."""
    kernel = KERNELS[kind]
    steps = np.arange(1 - kernel.radius, kernel.radius + 1)
    weights = kernel.weight(steps - np.linspace(0, 1, PHASES + 1)[:, None])
    return np.ascontiguousarray(weights / weights.sum(1, keepdims=True), np.float32)


def packed(image: Image | Mask) -> Array:
    """Its pixels without gaps within a row."""
    buffer = image.buffer if isinstance(image.buffer, np.ndarray) else image.array
    return buffer if Pixels.are_packed(buffer) else np.ascontiguousarray(buffer)


def _tiles(along: Sums, channels: int) -> tuple[Array, int]:
    """Where the columns of a result are divided so that few samples are needed at once, and how many that are."""
    if found := along.divided.get((SPAN, channels)):
        return found
    ends = along.first + along.number
    most = max(1, SPAN // channels)
    tiles, span = [0], 0
    while tiles[-1] < len(ends):
        left = tiles[-1]
        right = int(np.searchsorted(ends, along.first[left] + most, "right"))
        right = min(max(right, left + 1), left + most)
        span = max(span, int(ends[right - 1] - along.first[left]), right - left)
        tiles.append(right)
    found = along.divided[SPAN, channels] = np.array(tiles, np.int32), -(-span * channels // (2 * LANES)) * 2 * LANES
    return found


def _aligned(name: str, size: int) -> Array:
    """Floats that begin where vectors do."""
    memory = _scratch.array(name, (size + LANES,))
    start = -memory.ctypes.data % (4 * LANES) // 4
    return memory[start : start + size]

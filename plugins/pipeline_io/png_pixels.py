"""The pixels of a PNG out of its zlib stream, from the top to the bottom, some rows at a time.

What is inflated is unfiltered at once, by a kernel in C, into the rows that were asked for: there is never more of it than
fits a core's cache. Sources: Portable Network Graphics (PNG) Specification (Third Edition), W3C, section 9; RFC 1950.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ctypes import c_ssize_t, c_void_p
from typing import Any

import numpy as np
from isal import igzip_lib

from pipeline_core import OperationError, load_kernels

Array = np.ndarray[Any, Any]

_READ = 1 << 18
"""Bytes of the file that are inflated at a time."""
_CACHED = 1 << 19
"""Bytes of rows that are inflated, then unfiltered."""
_MOST_FILTER = 4
_STEPS = (1, 2, 3, 4, 6, 8)
"""Bytes of a pixel."""


def can_unfilter() -> bool:
    return load_kernels(__file__) is not None


class Unpacker:
    """Pixels of 8 or 16 bits, not interlaced, of the bodies of IDAT chunks that are asked for as rows are."""

    def __init__(self, bodies: Iterable[memoryview], width: int, samples: int, dtype: str) -> None:
        self._shape, self._dtype = (width, samples), np.dtype(dtype)
        self._step = samples * self._dtype.itemsize
        assert self._step in _STEPS
        self._length = width * self._step
        self._above = np.zeros(self._length, np.uint8)
        self._inflated = _Inflated(bodies)

    def read(self, out: Array) -> None:
        """The next rows, into `(rows, W, C)` without gaps; OperationError for what is damaged or cut off."""
        kernels = load_kernels(__file__)
        assert kernels is not None
        assert out.shape[1:] == self._shape
        assert out.flags.c_contiguous
        rows = max(1, _CACHED // self._length)
        for top in range(0, len(out), rows):
            part = out[top : top + rows]
            lines = np.frombuffer(self._inflated.take(len(part) * (self._length + 1)), np.uint8)
            filters = lines[:: self._length + 1]
            if filters.max() > _MOST_FILTER:
                raise OperationError(f"damaged png file: a row of filter {filters.max()}, of 0 to {_MOST_FILTER}")
            kernels.unfilter(
                c_void_p(lines.ctypes.data),
                c_void_p(part.ctypes.data),
                c_void_p(self._above.ctypes.data),
                c_ssize_t(len(part)),
                c_ssize_t(self._length),
                self._step,
                self._dtype.itemsize == 2 and np.little_endian,
            )

    def finish(self) -> None:
        """After the last row: that the stream's checksum is right. What more there is than rows is let be, as libpng does."""
        self._inflated.finish()


class _Inflated:
    """A zlib stream in pieces, inflated as it is asked for and no further."""

    def __init__(self, bodies: Iterable[memoryview]) -> None:
        self._read = _gathered(bodies)
        self._inflater = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_ZLIB)

    def take(self, size: int) -> bytes:
        """Exactly so many bytes more."""
        parts = [self._next(size)]
        while (size := size - len(parts[-1])) > 0:
            parts.append(self._next(size))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def finish(self) -> None:
        while not self._inflater.eof and not self._next(1):
            pass

    def _next(self, most: int) -> bytes:
        inflater = self._inflater
        piece = next(self._read, b"") if inflater.needs_input else b""
        if inflater.eof or (inflater.needs_input and not piece):
            raise OperationError("damaged png file: it has fewer pixels than its header says")
        try:
            return inflater.decompress(piece, most)
        except igzip_lib.error as error:  # type: ignore[misc]  # its stub takes the class for an instance
            raise OperationError(f"damaged png file: {error}") from None


def _gathered(bodies: Iterable[memoryview]) -> Iterator[bytes]:
    """The same bytes in pieces of one size: libpng writes chunks of 8 KiB, others one of many megabytes."""
    waiting: list[memoryview] = []
    size = 0
    for body in bodies:
        at = 0
        while at < len(body):
            part = body[at : at + _READ - size]
            waiting.append(part)
            size, at = size + len(part), at + len(part)
            if size == _READ:
                yield b"".join(waiting)
                waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)

"""Large buffers that are used again: fresh memory costs a page fault every few kilobytes, more than most operations.

Nobody gives a buffer back. It is free again when no array, tensor or memory view of it is left, and that is asked of
the memory itself: a view that a plugin keeps is safe.
"""

from __future__ import annotations

import math
import mmap
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

IDLE = 512 << 20
"""Bytes that may wait for their next use in a process that runs one pipeline after the other."""
FEW = 32 << 20
"""In one that ends with this one."""
ALIGNMENT = 1 << 21
STRIP = 8 << 20
"""Bytes up to which a map does for all that is smaller: strips of one group differ from those of the next."""


class Pool:
    """Anonymous memory maps, of whole huge pages where the system has them."""

    def __init__(self, idle: int = IDLE) -> None:
        self.idle = idle
        """Bytes that may wait for their next use; as many as are in use always may, up to `IDLE`. With less than that no other run comes."""
        self._lock = threading.Lock()
        self._maps: list[tuple[mmap.mmap, weakref.ref[Any]]] = []

    def empty(self, shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
        """As `numpy.empty`."""
        kind = np.dtype(dtype)
        count = math.prod(shape)
        size = -(-count * kind.itemsize // ALIGNMENT) * ALIGNMENT
        with self._lock:
            mapped = self._take(size)
            array = np.frombuffer(mapped, kind, count)
            # Every view of the array, and every tensor on it, keeps the array's base alive.
            self._maps.append((mapped, weakref.ref(array.base)))
        return array.reshape(shape)

    def rest(self) -> None:
        """Between groups: the strips of one are not those of the next, and nothing waits for another run where none comes."""
        if self.idle < IDLE:
            with self._lock:
                self._maps = [entry for entry in self._maps if entry[1]() is not None]

    def _take(self, size: int) -> mmap.mmap:
        """The idle map that fits best, or a fresh one; of the others the longest idle go while there are too many.

        Of those alike the one that was used last: it may lie in a cache.
        """
        idle = [entry for entry in self._maps if entry[1]() is None]
        best, waiting, least = None, 0, max(size + size // 4, STRIP) + 1
        for entry in reversed(idle):
            length = len(entry[0])
            waiting += length
            if size <= length < least:
                best, least = entry, length
        if best is not None:
            waiting -= least
            self._maps.remove(best)
        if waiting > self.idle:
            in_use = sum([len(mapped) for mapped, owner in self._maps if owner() is not None])
            for entry in idle:
                if entry is not best and waiting > min(max(self.idle, in_use), IDLE):
                    waiting -= len(entry[0])
                    self._maps.remove(entry)
        return best[0] if best is not None else _fresh(size)


def _fresh(size: int) -> mmap.mmap:
    """Private, if the system knows that: memory that may be shared has no huge pages as a rule, and costs seven times as much."""
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
    mapped = mmap.mmap(-1, size, **private)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without huge pages
            mapped.madvise(mmap.MADV_HUGEPAGE)
    return mapped


pool = Pool()
"""The process's own."""


LARGE = 1 << 20


def empty(shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    """As `numpy.empty`; what is large lies in memory that was used before, where some is free, and costs no faults.

    For results and for planes as large as a picture. It is free again when nothing looks at it any more.
    """
    if math.prod(shape) * np.dtype(dtype).itemsize < LARGE:
        return np.empty(shape, dtype)
    return pool.empty(shape, dtype)


KEPT = 31 << 20
"""The largest block of freed memory that the C library keeps for later."""


def keep_freed_memory() -> None:
    """Files and strips come and go in blocks of some MiB, and to get them from the system each time is dear.

    The C library keeps what is freed once it has seen a block of such a size come and go (mallopt(3) on the dynamic
    M_MMAP_THRESHOLD); the pages of this one are never touched.
    """
    np.empty(KEPT, np.uint8)

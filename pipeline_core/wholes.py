"""A value that is put together of its strips, in memory that is used again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from ctypes import c_ssize_t, c_void_p
from typing import Any

import numpy as np

from pipeline_core.buffers import pool
from pipeline_core.frames import NotInStrips
from pipeline_core.image import Raster
from pipeline_core.kernels import load_kernels
from pipeline_core.marks import look, rows_in_memory
from pipeline_core.rows import Span
from pipeline_core.values import as_array, is_tensor, memory_order

BEYOND_CACHES = 32 << 20
"""Bytes of a whole of which, once it is there, its first rows lie in no cache any more."""


class Whole:
    """Strips may come in any order, and side by side. Where it is large they go past the caches, straight into memory."""

    def __init__(self, first: Raster, height: int, *, marked: bool = False) -> None:
        """In the memory order that the first strip has, so that it is as if it had been made whole.

        `marked` has its rows looked at while they are in a core's cache.
        """
        self.first = first
        array = as_array(first.buffer)
        self.shape = (array.shape[0], height, *array.shape[2:])
        self.order = memory_order(array)
        memory = pool.empty([self.shape[axis] for axis in self.order], array.dtype)
        self.array = memory.transpose(np.argsort(self.order).tolist())
        self._kernels = load_kernels(__file__) if memory.nbytes > BEYOND_CACHES else None
        self._place = memory.ctypes.data
        self._row = self.array.strides[1]
        rows = self.order.index(1)
        self._inside = [(axis, self.array.strides[axis]) for axis in self.order[rows:] if self.shape[axis] > 1]
        """The strides of rows that lie as those of the whole do."""
        outside = [axis for axis in self.order[:rows] if self.shape[axis] > 1]
        self._parts = [
            tuple(zip(outside, where, strict=True))
            for where in itertools.product(*(range(self.shape[axis]) for axis in outside))
        ]
        """Where the parts are of which some rows lie without gaps: for a picture of pixels one, for planes one each."""
        self.marked = marked
        self.seen: dict[Span, list[int]] = {}

    def put(self, value: Raster, start: int, stop: int) -> None:
        buffer, (batch, _, width, channels) = value.buffer, self.shape
        if (
            not _same_facts(value, self.first)
            or value.dtype != self.first.dtype
            or value.shape != (batch, stop - start, width, channels)
        ):
            raise NotInStrips
        place, strides = _in_memory(buffer)
        if self._kernels is None or any(strides[axis] != wanted for axis, wanted in self._inside):
            np.copyto(self.array[:, start:stop], as_array(buffer))
            if self.marked:
                self.seen[start, stop] = look(rows_in_memory((self.value(),)), start, stop)
            return
        if self.marked:
            self.seen[start, stop] = look(rows_in_memory((value,)), 0, stop - start)
        size = c_ssize_t((stop - start) * self._row)
        for part in self._parts:
            to, came = self._place + start * self._row, place
            for axis, number in part:
                to += number * self.array.strides[axis]
                came += number * strides[axis]
            self._kernels.stream(c_void_p(to), c_void_p(came), size)

    def value(self) -> Raster:
        if not is_tensor(self.first.buffer):
            return self.first.with_buffer(self.array)
        import torch

        return self.first.with_buffer(torch.from_numpy(self.array))


def _in_memory(buffer: Any) -> tuple[int, Sequence[int]]:
    """Where it begins, and its strides in bytes. A view as an array would let other threads in, twice."""
    if isinstance(buffer, np.ndarray):
        return buffer.ctypes.data, buffer.strides
    size = buffer.element_size()
    return buffer.data_ptr(), [size * stride for stride in buffer.stride()]


def _same_facts(value: Raster, other: Raster) -> bool:
    """All but the buffers."""
    return _facts(value) == _facts(other)


def _facts(value: Raster) -> tuple[Any, ...]:
    return value.channels, value.wrap, value.meta, getattr(value, "color", None), getattr(value, "alpha", None)

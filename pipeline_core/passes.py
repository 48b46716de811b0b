"""A kernel in C over whole pictures: a few rows at a time, on all cores."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline_core.devices import cores
from pipeline_core.image import Image, Mask
from pipeline_core.kernels import Kernels, Pixels, load_kernels
from pipeline_core.tiles import each_tile

Array = np.ndarray[Any, Any]
PARTS = 4
"""For each core: a kernel keeps what it makes on the way in the first cache by itself, and calling it takes time."""
LEAST = 1 << 16
"""Pixels of a part."""


class Layout(ctypes.Structure):
    """Which of an image's channels are colours, and what they are multiplied by: `Layout` of include/colors.h."""

    _fields_ = (
        ("channels", ctypes.c_int),
        ("count", ctypes.c_int),
        ("colors", ctypes.POINTER(ctypes.c_int)),
        ("alpha", ctypes.c_int),
    )

    @classmethod
    def of(cls, image: Image, colors: Sequence[int] | None = None) -> Layout:
        """Of its colours in the order of `color_indices`, or in another."""
        where = image.color_indices if colors is None else colors
        alpha = image.index("A") if image.coverage == "associated" else -1
        return cls(len(image.channels), len(where), (ctypes.c_int * len(where))(*where), alpha)


def kernels_for(file: str, *rasters: Image | Mask | None) -> Kernels | None:
    """What `load_kernels` finds, if all of these are in the CPU's memory."""
    if any(raster is not None and raster.device != "cpu" for raster in rasters):
        return None
    return load_kernels(file)


def stored(raster: Image | Mask) -> Array:
    """A raster in the CPU's memory as an array `(B, H, W, C)` that kernels take: its buffer as it is wherever that will do."""
    buffer = raster.buffer if isinstance(raster.buffer, np.ndarray) else raster.buffer.numpy()
    return buffer if Pixels.fits(buffer) else raster.array


def pass_over(kernel: Any, arrays: Sequence[Array], *arguments: Any) -> None:
    """`kernel(pixels of each array, *arguments, height, width)` for all items of arrays `(B, H, W, C)`, rows by rows.

    The last array is what is written; where another has one item, that goes with all of the last one's. Arguments are
    what ctypes takes, in memory that lasts.
    """
    batch, height, width, _ = arrays[-1].shape

    def work(rows: slice, _: slice) -> None:
        for item in range(batch):
            parts = [Pixels.of(array[item % len(array), rows]) for array in arrays]
            sides = ctypes.c_ssize_t(rows.stop - rows.start), ctypes.c_ssize_t(width)
            kernel(*map(ctypes.byref, parts), *arguments, *sides)

    rows = max(1, LEAST // width, math.ceil(height / (PARTS * cores())))
    each_tile(width, height, (width, rows), work)

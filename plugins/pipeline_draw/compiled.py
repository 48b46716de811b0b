"""The kernels in C: paint, holes, and planes that are nearly all of one value."""

from __future__ import annotations

import ctypes
from ctypes import byref
from typing import Any

import numpy as np

from pipeline_core import Alpha, Image, Layout, empty, kernels_for, load_kernels, pass_over, stored

Array = np.ndarray[Any, Any]
_STATES: dict[Alpha, int] = {"none": 0, "straight": 1, "associated": 2}


def painted(image: Image, region: Array, paint: Array, strength: float, *, invert: bool) -> Image | None:
    """A value for every channel over what is there, where a region `(B or 1, H, W, 1)` is; None where no kernel does it."""
    kernels = kernels_for(__file__, image)
    if kernels is None:
        return None
    layout = Layout.of(image)
    colors = np.ascontiguousarray(paint[image.color_indices], np.float32)
    result = empty((max(image.batch, len(region)), image.height, image.width, len(image.channels)))
    last = image.index("A") if image.alpha != "none" else 0
    told = byref(layout), _STATES[image.alpha], last, _at(colors), ctypes.c_float(strength), int(invert)
    pass_over(kernels.paint, [stored(image), region, result], *told)
    return image.with_buffer(result)


def faded(image: Image, region: Array, fading: list[int], channels: int, *, invert: bool) -> Array | None:
    """Channels times what is not covered, and one more of ones if there are to be more than the image's."""
    kernels = kernels_for(__file__, image)
    if kernels is None:
        return None
    layout = Layout(channels, len(fading), (ctypes.c_int * len(fading))(*fading), -1)
    result = empty((max(image.batch, len(region)), image.height, image.width, channels))
    told = byref(layout), len(image.channels), int(invert)
    pass_over(kernels.fade, [stored(image), region, result], *told)
    return result


def in_pieces(starts: Array, shades: Array, size: int) -> Array | None:
    """From each start up to the next one shade."""
    kernels = load_kernels(__file__)
    if kernels is None:
        return None
    plane = empty((size,))
    starts, shades = np.ascontiguousarray(starts, np.int64), np.ascontiguousarray(shades, np.float32)
    sides = ctypes.c_ssize_t(len(starts)), ctypes.c_ssize_t(size)
    kernels.pieces(_at(starts), _at(shades), _at(plane), *sides)
    return plane


def _at(array: Array) -> Any:
    return ctypes.c_void_p(array.ctypes.data)

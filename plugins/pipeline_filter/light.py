"""The kernels in C of what light makes: reliefs and shadows."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import byref
from typing import Any

import numpy as np

from pipeline_core import Image, Layout, Pixels, empty, load_kernels, pass_over, stored

Array = np.ndarray[Any, Any]


def relief(values: Array, slopes: Array, out: Array, colors: Sequence[int], alpha: int | None, middle: float) -> bool:
    """Write the relief that `emboss` has the formula of, all `(H, W, C)`. Whether a kernel did it."""
    kernels = load_kernels(__file__)
    if kernels is None:
        return False
    where = (ctypes.c_int * len(colors))(*colors)
    layout = Layout(slopes.shape[2], len(colors), where, -1 if alpha is None else alpha)
    sides = ctypes.c_ssize_t(slopes.shape[0]), ctypes.c_ssize_t(slopes.shape[1])
    pixels = (byref(Pixels.of(array)) for array in (values, slopes, out))
    kernels.relief(*pixels, byref(layout), ctypes.c_float(middle), *sides)
    return True


def shadowed(kernels: Any, image: Image, shade: Array, colors: Sequence[float], strength: float) -> Image:
    """A layer of one colour, a value for each of the image's, below it, as opaque as the shade `(B, H, W, 1)`."""
    result = empty((image.batch, image.height, image.width, len(image.channels)))
    told = byref(Layout.of(image)), image.index("A"), (ctypes.c_float * len(colors))(*colors), ctypes.c_float(strength)
    pass_over(kernels.shadow, [stored(image), shade, result], *told)
    return image.with_buffer(result)

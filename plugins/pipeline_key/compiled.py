"""The kernel in C: a ramp over one number per pixel."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import byref
from typing import Literal

from pipeline_core import Image, Layout, Mask, empty, kernels_for, pass_over, stored

Measure = Literal["weighted", "farthest", "distance"]
_MEASURES: dict[Measure, int] = {"weighted": 0, "farthest": 1, "distance": 2}


class _Ramp(ctypes.Structure):
    """`Ramp` of kernels.c."""

    _fields_ = (
        ("measure", ctypes.c_int),
        ("numbers", ctypes.c_float * 3),
        ("low", ctypes.c_float),
        ("slope", ctypes.c_float),
        ("invert", ctypes.c_int),
        ("blank", ctypes.c_int),
    )


def measured(
    sources: Sequence[tuple[Image, list[int]]],
    measure: Measure,
    numbers: Sequence[float],
    ends: tuple[float, float],
    *,
    invert: bool = False,
    blank: bool = False,
) -> Mask | None:
    """A mask that rises from the first end to the other over a number per pixel of the colours at these places.

    The number is a weighted sum (of one colour, itself), the largest difference between two images, or the distance
    from a colour. Where both ends are one it is a step. None where no kernel does it.
    """
    (image, where), (other, other_where) = sources[0], sources[-1]
    kernels = kernels_for(__file__, image, other)
    if kernels is None:
        return None
    low, high = ends
    ramp = _Ramp(
        _MEASURES[measure], (ctypes.c_float * 3)(*numbers), low, 1 / (high - low) if high != low else 0, invert, blank
    )
    result = empty((max(image.batch, other.batch), image.height, image.width, 1))
    layouts = Layout.of(image, where), Layout.of(other, other_where)
    pass_over(kernels.key, [stored(image), stored(other), result], *map(byref, layouts), byref(ramp))
    return Mask(result, wrap=image.wrap)

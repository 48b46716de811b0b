"""The kernels in C: curves and cubes looked up."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline_color.cube import Cube
from pipeline_color.cubic import Curve
from pipeline_core import Image, Layout, empty, kernels_for, pass_over, stored

_FLOATS = ctypes.POINTER(ctypes.c_float)


class _Curve(ctypes.Structure):
    """`Curve` of kernels.c."""

    _fields_ = (
        ("table", _FLOATS),
        *((name, ctypes.c_float) for name in ("first", "last", "scale", "end", "slope_before", "slope_after")),
    )


class _Cube(ctypes.Structure):
    """`Cube` of kernels.c."""

    _fields_ = (
        ("entries", _FLOATS),
        ("size", ctypes.c_int),
        ("low", ctypes.c_float * 3),
        ("length", ctypes.c_float * 3),
    )


def curved(image: Image, own: Sequence[Curve | None], then: Curve | None) -> Image | None:
    """Each colour by its own curve, and all by another after that; None where no kernel does it."""
    kernels = kernels_for(__file__, image)
    if kernels is None or any(curve is not None and curve.table is None for curve in (*own, then)):
        return None
    array, result = stored(image), empty((image.batch, image.height, image.width, len(image.channels)))
    tables = {curve: _table(curve) for curve in {*own, then} if curve is not None}
    everything = len(own) == len(image.channels) and len(set(own)) == 1 and array.flags.c_contiguous
    sides = [array, result]
    if everything:  # channels are as good as pixels
        sides = [one.reshape(image.batch, image.height, -1, 1) for one in sides]
        own, layout = own[:1], Layout(1, 1, (ctypes.c_int * 1)(0), -1)
    else:
        layout = Layout.of(image)
    chains = [_pointers([tables.get(curve) for curve in chain]) for chain in (own, [then] * len(own))]  # type: ignore[arg-type]  # None is in no table
    pass_over(kernels.curved, sides, ctypes.byref(layout), *chains)
    return image.with_buffer(result)


def cubed(image: Image, cube: Cube, triples: Sequence[Sequence[int]], *, tetrahedral: bool) -> Image | None:
    """R, G and B of each layer, whose places in the image these are, by a table of three dimensions."""
    kernels = kernels_for(__file__, image)
    if kernels is None:
        return None
    size = len(cube.table)
    entries = np.zeros((size**3, 4), np.float32)
    entries[:, :3] = cube.table.reshape(-1, 3)
    lengths = (high - low for low, high in zip(cube.low, cube.high, strict=True))
    table = _Cube(
        entries.ctypes.data_as(_FLOATS), size, (ctypes.c_float * 3)(*cube.low), (ctypes.c_float * 3)(*lengths)
    )
    layout = Layout.of(image, [i for where in triples for i in where])
    result = empty((image.batch, image.height, image.width, len(image.channels)))
    pass_over(kernels.cubed, [stored(image), result], ctypes.byref(layout), ctypes.byref(table), int(tetrahedral))
    return image.with_buffer(result)


def _table(curve: Curve) -> _Curve:
    table, (first, last) = curve.table, curve.x[[0, -1]].tolist()
    assert table is not None, "asked for before"
    end = len(table) - 2
    slopes = curve.slopes[[0, -1]].tolist()
    return _Curve(table.ctypes.data_as(_FLOATS), first, last, end / (last - first), end, *slopes)


def _pointers(tables: Sequence[_Curve | None]) -> Any:
    kind = ctypes.POINTER(_Curve)
    return (kind * len(tables))(*(kind() if table is None else ctypes.pointer(table) for table in tables))

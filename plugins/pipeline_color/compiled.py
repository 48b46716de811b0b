"""The kernels in C: lines, matrices, curves and cubes."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline_color.cube import Cube
from pipeline_color.cubic import Curve
from pipeline_core import Image, Layout, empty, kernels_for, pass_over, stored

Array = np.ndarray[Any, Any]
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


def scaled(
    image: Image,
    slopes: Sequence[float],
    offsets: Sequence[float],
    low: float = -math.inf,
    high: float = math.inf,
    *,
    as_stored: bool = False,
) -> Image | None:
    """Each straight colour times a slope, plus an offset, held within two values; None where no kernel does it.

    `as_stored` leaves alpha out of it.
    """
    kernels = kernels_for(__file__, image)
    if kernels is None:
        return None
    array, result = stored(image), empty((image.batch, image.height, image.width, len(image.channels)))
    layout = Layout.of(image)
    if as_stored:
        layout.alpha = -1
    sides = [array, result]
    if layout.alpha < 0 and _is_one(image, array, list(zip(slopes, offsets, strict=True))):
        sides, layout = _flat(sides), Layout(1, 1, (ctypes.c_int * 1)(0), -1)
    numbers = ((ctypes.c_float * len(some))(*some) for some in (slopes, offsets))
    pass_over(kernels.scaled, sides, ctypes.byref(layout), *numbers, ctypes.c_float(low), ctypes.c_float(high))
    return image.with_buffer(result)


def mixed(image: Image, matrix: Array, triples: Sequence[Sequence[int]]) -> Image | None:
    """R, G and B of each layer, whose places in the image these are, times a matrix; None where no kernel does it."""
    kernels = kernels_for(__file__, image)
    if kernels is None:
        return None
    layout = Layout.of(image, [i for where in triples for i in where])
    result = empty((image.batch, image.height, image.width, len(image.channels)))
    numbers = (ctypes.c_float * 9)(*matrix.ravel().tolist())
    pass_over(kernels.mixed, [stored(image), result], ctypes.byref(layout), numbers)
    return image.with_buffer(result)


def _is_one(image: Image, array: Array, changes: Sequence[object]) -> bool:
    """Whether all channels change alike, so that they are as good as pixels."""
    return len(changes) == len(image.channels) and len(set(changes)) == 1 and bool(array.flags.c_contiguous)


def _flat(sides: list[Array]) -> list[Array]:
    return [one.reshape(*one.shape[:2], -1, 1) for one in sides]


def curved(image: Image, own: Sequence[Curve | None], then: Curve | None) -> Image | None:
    """Each colour by its own curve, and all by another after that; None where no kernel does it."""
    kernels = kernels_for(__file__, image)
    if kernels is None or any(curve is not None and curve.table is None for curve in (*own, then)):
        return None
    array, result = stored(image), empty((image.batch, image.height, image.width, len(image.channels)))
    tables = {curve: _table(curve) for curve in {*own, then} if curve is not None}
    sides, layout = [array, result], Layout.of(image)
    if _is_one(image, array, own):
        sides, own, layout = _flat(sides), own[:1], Layout(1, 1, (ctypes.c_int * 1)(0), -1)
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

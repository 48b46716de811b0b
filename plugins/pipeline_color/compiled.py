"""The kernels in C: lines, matrices, curves and cubes."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from pipeline_color.cube import Cube
from pipeline_color.cubic import Curve
from pipeline_core import Image, Layout, empty, kernels_for, pass_over, stored

Array = np.ndarray[Any, Any]
MOST_BITS = 14
"""Of a mantissa: a table that a core's first cache holds most of."""
_FLOATS = ctypes.POINTER(ctypes.c_float)


class _Curve(ctypes.Structure):
    """`Curve` of kernels.c."""

    _fields_ = (
        ("table", _FLOATS),
        *((name, ctypes.c_float) for name in ("first", "last", "scale", "end", "slope_before", "slope_after")),
    )


class _Power(ctypes.Structure):
    """`Power` of kernels.c."""

    _fields_ = (("mantissas", ctypes.c_void_p), ("exponents", ctypes.c_void_p), ("bits", ctypes.c_int))


class _Raise(ctypes.Structure):
    """`Raise` of kernels.c."""

    _fields_ = (
        ("power", _Power),
        *((name, ctypes.c_float) for name in ("slope", "offset", "low", "high", "then_slope", "then_offset")),
    )


class _Transfer(ctypes.Structure):
    """`Transfer` of kernels.c."""

    _fields_ = (("power", _Power), *((name, ctypes.c_float) for name in ("limit", "slope", "scale", "offset")))


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
    sides, layout = _sides(image), Layout.of(image)
    array, result = sides
    if as_stored:
        layout.alpha = -1
    if layout.alpha < 0 and _is_one(image, array, list(zip(slopes, offsets, strict=True))):
        sides, layout = _flat(sides), Layout(1, 1, (ctypes.c_int * 1)(0), -1)
    numbers = ((ctypes.c_float * len(some))(*some) for some in (slopes, offsets))
    pass_over(kernels.scaled, sides, ctypes.byref(layout), *numbers, ctypes.c_float(low), ctypes.c_float(high))
    return image.with_buffer(result)


class Raise(NamedTuple):
    """value slope + offset, held within two values, to a power where that is above 0, and a line once more."""

    exponent: float
    slope: float = 1.0
    offset: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    then_slope: float = 1.0
    then_offset: float = 0.0


def raised(image: Image, changes: Sequence[Raise]) -> Image | None:
    """Each straight colour by its own change; None where no kernel does it."""
    kernels = kernels_for(__file__, image)
    tables = {change.exponent: _powers(change.exponent) for change in changes}
    if kernels is None or any(table is None for table in tables.values()):
        return None
    sides, layout = _sides(image), Layout.of(image)
    array, result = sides
    if layout.alpha < 0 and _is_one(image, array, changes):
        sides, changes, layout = _flat(sides), changes[:1], Layout(1, 1, (ctypes.c_int * 1)(0), -1)
    told = (_Raise * len(changes))(*(_Raise(_power(tables[one.exponent]), *one[1:]) for one in changes))
    pass_over(kernels.raised, sides, ctypes.byref(layout), told)
    return image.with_buffer(result)


class Transfer(NamedTuple):
    """The curve of a colour space: up to a limit a line; beyond, from encoded values (x scale + offset)^exponent.

    And to them x^exponent scale + offset.
    """

    exponent: float
    limit: float = -1.0
    slope: float = 0.0
    scale: float = 1.0
    offset: float = 0.0


def converted(
    image: Image, decode: Transfer | None, matrix: Array | None, encode: Transfer | None, where: Sequence[int]
) -> Image | None:
    """The straight colours at these places decoded, times a matrix by threes, and encoded; None where no kernel does it."""
    kernels = kernels_for(__file__, image)
    if kernels is None or sorted(where) != sorted(image.color_indices):
        return None
    layout = Layout.of(image, where)
    sides = _sides(image)
    numbers = None if matrix is None else (ctypes.c_float * 9)(*matrix.ravel().tolist())
    told = ctypes.byref(layout), ctypes.byref(_transfer(decode)), numbers, ctypes.byref(_transfer(encode))
    pass_over(kernels.converted, sides, *told)
    return image.with_buffer(sides[1])


def _transfer(curve: Transfer | None) -> _Transfer:
    return _Transfer() if curve is None else _Transfer(_power(_powers(curve.exponent)), *curve[1:])


@lru_cache(16)
def _powers(exponent: float) -> tuple[Array, Array] | None:
    """Powers of 1 to 2 at even steps, and of 2^-151 to 2^127 and infinity. None where steps would have to be too small.

    Between steps of 1/n of a value, a line is off by p (p - 1) / (8 n^2) of it at most: less than rounding is.
    """
    bits = max(4, math.ceil(math.log2(abs(exponent * (exponent - 1)) * 2**22 + 1) / 2))
    if bits > MOST_BITS:
        return None
    with np.errstate(over="ignore", under="ignore"):
        mantissas = (1 + np.arange(2**bits + 1) / 2**bits) ** exponent
        exponents = np.exp2(np.append(np.arange(-151, 128), np.inf if exponent else 0) * exponent)
        return mantissas.astype(np.float32), exponents.astype(np.float32)


def _power(tables: tuple[Array, Array] | None) -> _Power:
    assert tables is not None, "asked for before"
    mantissas, exponents = tables
    return _Power(mantissas.ctypes.data, exponents.ctypes.data, (len(mantissas) - 1).bit_length() - 1)


def mixed(image: Image, matrix: Array, triples: Sequence[Sequence[int]]) -> Image | None:
    """R, G and B of each layer, whose places in the image these are, times a matrix; None where no kernel does it."""
    kernels = kernels_for(__file__, image)
    if kernels is None:
        return None
    layout = Layout.of(image, [i for where in triples for i in where])
    sides = _sides(image)
    numbers = (ctypes.c_float * 9)(*matrix.ravel().tolist())
    pass_over(kernels.mixed, sides, ctypes.byref(layout), numbers)
    return image.with_buffer(sides[1])


def _sides(image: Image) -> list[Array]:
    """What is read, and room for what is written."""
    array = stored(image)
    return [array, empty(array.shape)]


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
    tables = {curve: _table(curve) for curve in {*own, then} if curve is not None}
    sides, layout = _sides(image), Layout.of(image)
    array, result = sides
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
    sides = _sides(image)
    pass_over(kernels.cubed, sides, ctypes.byref(layout), ctypes.byref(table), int(tetrahedral))
    return image.with_buffer(sides[1])


def _table(curve: Curve) -> _Curve:
    table, (first, last) = curve.table, curve.x[[0, -1]].tolist()
    assert table is not None, "asked for before"
    end = len(table) - 2
    slopes = curve.slopes[[0, -1]].tolist()
    return _Curve(table.ctypes.data_as(_FLOATS), first, last, end / (last - first), end, *slopes)


def _pointers(tables: Sequence[_Curve | None]) -> Any:
    kind = ctypes.POINTER(_Curve)
    return (kind * len(tables))(*(kind() if table is None else ctypes.pointer(table) for table in tables))

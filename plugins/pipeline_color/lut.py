"""Look-up tables applied to pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pipeline_color.compiled import cubed
from pipeline_color.cube import Cube, read_cube
from pipeline_color.mixing import layers
from pipeline_color.pointwise import Array, namespace, on_colors
from pipeline_core import Image, operation


@operation(version=3, support=0, aliases=("OCIOFileTransform", "Vectorfield", "cube_lut", "lut_3d"))
def apply_lut(
    image: Image,
    *,
    path: Annotated[Path, Field(description="a .cube file, of one dimension or three")],
    interpolation: Annotated[
        Literal["tetrahedral", "trilinear"], Field(description="between the entries of a table of three dimensions")
    ] = "tetrahedral",
) -> Image:
    """Apply a look-up table of a .cube file.

    Tables of one dimension change each channel by itself, those of three all of them together (Adobe, Cube LUT
    Specification 1.0). Tetrahedral interpolation (Sakamoto and Itooka, US patent 4275413) keeps the gray axis clean.

    Convention: values are taken as they are, in whatever space the table wants, and the label stays: `set_color` says
    what came out. Values outside the table's domain are limited to it. Alpha is divided out and multiplied in again.
    """
    cube = read_cube(path)
    triples = layers(image, gray_too=True)
    if cube.table.ndim == 4:
        where = [[image.color_indices[i] for i in triple] for triple in triples]
        if (done := cubed(image, cube, where, tetrahedral=interpolation == "tetrahedral")) is not None:
            return done
    find = _line if cube.table.ndim == 2 else _tetrahedral if interpolation == "tetrahedral" else _trilinear

    def change(color: Array) -> Array:
        planes = [color[:, i : i + 1] for i in range(color.shape[1])]
        table = cube.table
        if namespace(color) is not np:
            table = color.new_tensor(table)
        for where in triples:
            places = [_place(planes[i], cube, channel) for channel, i in enumerate(where)]
            for i, plane in zip(where, find(table, places), strict=True):
                planes[i] = plane
        return namespace(color).concatenate(planes, 1)

    return on_colors(image, change)


def _place(values: Array, cube: Cube, channel: int) -> Array:
    """Where values lie between the entries, from 0 to n - 1; no number lies at 0."""
    low, high = cube.low[channel], cube.high[channel]
    last = cube.table.shape[0] - 1
    return namespace(values).nan_to_num((values - low) / (high - low) * last, nan=0.0).clip(0, last)


def _split(place: Array, size: int) -> tuple[Array, Array]:
    """The entry below, and how far above it."""
    xp = namespace(place)
    below = xp.floor(place).clip(max=size - 2)
    return (below.astype(np.intp) if xp is np else below.long()), place - below


def _line(table: Array, places: list[Array]) -> list[Array]:
    found = []
    for channel, place in enumerate(places):
        below, part = _split(place, len(table))
        entries = table[:, channel]
        found.append(entries[below] * (1 - part) + entries[below + 1] * part)
    return found


def _trilinear(table: Array, places: list[Array]) -> list[Array]:
    (r, x), (g, y), (b, z) = (_split(place, len(table)) for place in places)
    x, y, z = (part[..., None] for part in (x, y, z))

    def along_red(blue: Array, green: Array) -> Array:
        return table[blue, green, r] * (1 - x) + table[blue, green, r + 1] * x

    near = along_red(b, g) * (1 - y) + along_red(b, g + 1) * y
    far = along_red(b + 1, g) * (1 - y) + along_red(b + 1, g + 1) * y
    mixed = near * (1 - z) + far * z
    return [mixed[..., i] for i in range(3)]


def _tetrahedral(table: Array, places: list[Array]) -> list[Array]:
    """From the corner below to the corner above along the edges of one of six tetrahedra: the largest part first."""
    xp, size = namespace(table), len(table)
    steps = (1, size, size * size)
    below = [xp.floor(place).clip(max=size - 2) for place in places]
    x, y, z = (place - whole for place, whole in zip(places, below, strict=True))
    larger, smaller = xp.maximum(x, y), xp.minimum(x, y)
    most, least = xp.maximum(larger, z), xp.minimum(smaller, z)
    middle = xp.maximum(smaller, xp.minimum(larger, z))
    # Numbers of entries are whole and small enough for float32.
    corner = below[0] + below[1] * steps[1] + below[2] * steps[2]
    first = xp.where(z >= larger, float(steps[2]), xp.where(x >= y, float(steps[0]), float(steps[1])))
    last = xp.where(z <= smaller, float(steps[2]), xp.where(x <= y, float(steps[0]), float(steps[1])))
    numbers = corner, corner + first, corner + (sum(steps) - last), corner + sum(steps)
    weights = 1 - most, most - middle, middle - least, least
    entries = table.reshape(-1, 3)
    total = sum(
        entries[number.astype(np.intp) if xp is np else number.long()] * weight[..., None]
        for number, weight in zip(numbers, weights, strict=True)
    )
    return [total[..., i] for i in range(3)]

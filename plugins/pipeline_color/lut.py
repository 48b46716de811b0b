"""Look-up tables applied to pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from pipeline_color.cube import Cube, read_cube
from pipeline_color.mixing import layers
from pipeline_color.straight import on_colors
from pipeline_core import Image, operation


@operation(support=0, aliases=("OCIOFileTransform", "Vectorfield", "cube_lut", "lut_3d"))
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

    def change(color: Tensor) -> Tensor:
        planes = list(color.unbind(1))
        table = torch.from_numpy(cube.table).to(color.device)
        for where in triples:
            places = [_place(planes[i], cube, channel) for channel, i in enumerate(where)]
            if cube.table.ndim == 2:
                found = [_line(table[:, channel], place) for channel, place in enumerate(places)]
            else:
                found = list((_tetrahedral if interpolation == "tetrahedral" else _trilinear)(table, places).unbind(-1))
            for i, plane in zip(where, found, strict=True):
                planes[i] = plane
        return torch.stack(planes, dim=1)

    return on_colors(image, change)


def _place(values: Tensor, cube: Cube, channel: int) -> Tensor:
    """Where values lie between the entries, from 0 to n - 1; no number lies at 0."""
    low, high = cube.low[channel], cube.high[channel]
    last = cube.table.shape[0] - 1
    place: Tensor = (values - low) / (high - low) * last
    return place.nan_to_num(nan=0.0).clamp(0, last)


def _split(place: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The entry below, and how far above it."""
    below = place.floor().clamp(max=size - 2)
    return below.long(), place - below


def _line(column: Tensor, place: Tensor) -> Tensor:
    below, part = _split(place, len(column))
    found: Tensor = column[below] * (1 - part) + column[below + 1] * part
    return found


def _trilinear(table: Tensor, places: list[Tensor]) -> Tensor:
    (r, x), (g, y), (b, z) = (_split(place, len(table)) for place in places)
    x, y, z = (part.unsqueeze(-1) for part in (x, y, z))

    def along_red(blue: Tensor, green: Tensor) -> Tensor:
        return table[blue, green, r] * (1 - x) + table[blue, green, r + 1] * x

    near = along_red(b, g) * (1 - y) + along_red(b, g + 1) * y
    far = along_red(b + 1, g) * (1 - y) + along_red(b + 1, g + 1) * y
    return near * (1 - z) + far * z


def _tetrahedral(table: Tensor, places: list[Tensor]) -> Tensor:
    """From the corner below to the corner above in three steps, the axis with the largest part first."""
    split = [_split(place, len(table)) for place in places]
    corner = torch.stack([below for below, _ in split], dim=-1)
    parts, order = torch.sort(torch.stack([part for _, part in split], dim=-1), dim=-1, descending=True, stable=True)
    found = table[corner[..., 2], corner[..., 1], corner[..., 0]]
    before = found
    for step in range(3):
        axis = order[..., step : step + 1]
        corner = corner + (torch.arange(3, device=corner.device) == axis)
        here = table[corner[..., 2], corner[..., 1], corner[..., 0]]
        found = found + (here - before) * parts[..., step : step + 1]
        before = here
    return found

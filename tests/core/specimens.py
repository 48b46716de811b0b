"""Small operations that the tests of the core wire together; plain numpy, so that they are quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, Color, File, Image, Mask, OperationError, Seed, Table, Unit, operation


def filled(width: int, height: int, value: float) -> Image:
    return Image(np.full((1, height, width, 3), value, np.float32))


def _flat_facts(*, value: float, width: int, height: int) -> Image:
    return Image.stand_in(width, height)


@operation(infer=_flat_facts)
def flat(*, value: float = 0.5, width: Annotated[int, Field(ge=1, le=64)] = 4, height: int = 3) -> Image:
    """One grey."""
    return filled(width, height, value)


@operation(infer=lambda image: image)
def double(image: Image) -> Image:
    """Twice the light."""
    return image.with_array(image.array * 2)


def _add_facts(base: Image, top: Image) -> Image:
    if base.size != top.size:
        raise OperationError(f"base is {base.width}x{base.height}, top is {top.width}x{top.height}; resize one")
    if base.color != top.color:
        raise OperationError(f"base is {base.color}, top is {top.color}; color_convert one")
    return base


@operation(infer=_add_facts)
def add(base: Image, top: Image) -> Image:
    """The sum of two."""
    _add_facts(base, top)
    return base.with_array(base.array + top.array)


@operation(infer=lambda images, weight: images[0])
def total(images: list[Image], *, weight: float = 1.0) -> Image:
    """The sum of many."""
    return images[0].with_array(sum(image.array for image in images) * np.float32(weight))


def tinted(
    image: Image,
    mask: Mask | None = None,
    *,
    color: Color = (1.0, 0.0, 0.0, 1.0),
    mode: Literal["over", "under"] = "over",
    opacity: Unit = 1.0,
    seed: Seed = 0,
) -> Image:
    """A tint."""
    return image if mask is None else image.with_array(image.array * mask.array)


class Parts(NamedTuple):
    image: Image
    coverage: Mask


def split(image: Image) -> Parts:
    """Picture and coverage."""
    return Parts(image, Mask(np.ones((1, image.height, image.width, 1), np.float32)))


def whole(mask: Mask) -> Mask:
    """Everything outside."""
    return mask.with_array(1 - mask.array)


def same(raster: AnyRaster) -> AnyRaster:
    """Whatever comes."""
    return raster


def measured(image: Image) -> Table:
    """The mean of each channel."""
    return Table(("channel", "mean"), tuple((c, float(image.array[..., i].mean())) for i, c in enumerate("RGB")))


def from_file(*, path: Path) -> Image:
    """A grey as light as a file is long."""
    return filled(2, 2, len(path.read_bytes()) / 100)


def as_file(image: Image, *, format: Literal["txt", "dat"], digits: Annotated[int, Field(ge=1, le=9)] = 3) -> File:  # noqa: A002  the name that encoders have
    """The mean as text."""
    return File(f"{float(image.array.mean()):.{digits}f}".encode(), "text/plain")


ALL = [flat, double, add, total, tinted, split, whole, same, measured, from_file, as_file]

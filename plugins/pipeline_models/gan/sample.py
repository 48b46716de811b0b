"""Pictures from random numbers, and from what lies between them."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field

from pipeline_core import Image, Model, OperationError, Seed, Table, operation
from pipeline_models.gan import chance
from pipeline_models.gan.generators import TILE, Generator, Places

Label = Annotated[
    str | int | None, Field(description="what to make, of those it was trained on; by default all of them in turn")
]
Truncation = Annotated[
    float, Field(ge=0, le=2, description="below 1: nearer to the average picture, less variety; 0: that alone")
]
Length = Annotated[int | None, Field(ge=1, le=2**15, description="pixels; the model's own, or 256 for textures")]
Wrap = Annotated[bool, Field(description="seamless when repeated; for textures")]
Tile = Annotated[int, Field(ge=16, le=2**15, description="pixels that are made at a time: less takes less memory")]
LATENT = "z"
"""Columns of latents are called z0, z1, ..."""


def _infer_sample(
    model: Model,
    latents: Table | None = None,
    *,
    count: int = 1,
    label: str | int | None = None,
    width: int | None = None,
    height: int | None = None,
    wrap: bool = False,
    **_: Any,
) -> Image:
    generator = Generator(model)
    generator.label(label, 0)
    return generator.stand_in(len(latents.rows) if latents else count, generator.size(width, height, wrap), wrap)


@operation(version=2, infer=_infer_sample, aliases=("generate", "sample", "texture_synthesis"))
def gan_sample(
    model: Model,
    latents: Table | None = None,
    *,
    seed: Seed = 0,
    count: Annotated[int, Field(ge=1, le=4096, description="pictures")] = 1,
    label: Label = None,
    truncation: Truncation = 1.0,
    width: Length = None,
    height: Length = None,
    wrap: Wrap = False,
    tile: Tile = TILE,
) -> Image:
    """Make pictures with a trained generator: `load_model` with name digits or textures, or what 'gan_train' gives.

    Picture i depends on `seed` and i alone: with a larger `count` the first ones stay as they are. With `latents`, the
    table of 'gan_project', these are made instead of random ones, as their labels say where `label` does not.

    Models of textures make any size, and with `wrap` what tiles without a seam; they do so in parts of `tile` pixels, whose
    pixels are those of the whole. What tiles may begin anywhere: it is rolled so that its seams are like other lines.

    Convention: random numbers are multiplied by `truncation`. Pictures have the colour and alpha of those trained on.
    """
    generator = Generator(model)
    size = generator.size(width, height, wrap)
    numbers, told = _numbers(latents, generator) if latents is not None else (None, [None] * count)
    labels = [generator.label(own if label is None else label, item) for item, own in enumerate(told)]

    def noise(item: int, rows: Places, columns: Places) -> torch.Tensor:
        if numbers is not None:
            return truncation * numbers[item][:, None, None]
        return truncation * chance.normal(seed, item, generator.latent_channels, rows, columns)

    return generator.make(noise, labels, size, wrap=wrap, tile=tile, device=model.device)


def _infer_interpolate(
    model: Model,
    latents: Table | None = None,
    *,
    seeds: list[int] | None = None,
    frames: int = 8,
    closed: bool = False,
    label: str | int | None = None,
    width: int | None = None,
    height: int | None = None,
    wrap: bool = False,
    **_: Any,
) -> Image:
    generator = Generator(model)
    generator.label(label, 0)
    ends = len(latents.rows) if latents else len(seeds or (0, 1))
    return generator.stand_in(len(_places(ends, frames, closed)), generator.size(width, height, wrap), wrap)


@operation(version=2, infer=_infer_interpolate, aliases=("slerp", "latent_walk"))
def gan_interpolate(
    model: Model,
    latents: Table | None = None,
    *,
    seeds: Annotated[
        list[Annotated[int, Field(ge=0)]] | None,
        Field(min_length=2, max_length=256, description="what to go past; 0 and 1"),
    ] = None,
    frames: Annotated[int, Field(ge=1, le=1024, description="pictures from one to before the next")] = 8,
    closed: Annotated[bool, Field(description="from the last back to the first, for a loop")] = False,
    label: Label = None,
    truncation: Truncation = 1.0,
    width: Length = None,
    height: Length = None,
    wrap: Wrap = False,
    tile: Tile = TILE,
) -> Image:
    """Pictures between pictures, as a batch: from what one of the `seeds` gives to what the next one does.

    The way is along a great circle, so that what lies between is as probable as the ends (K. Shoemake, "Animating Rotation
    with Quaternion Curves", 1985; T. White, "Sampling Generative Networks", 2016). Picture 0 is that of 'gan_sample'
    with the first seed. With `latents`, the table of 'gan_project', the way goes past its rows.

    Convention: all pictures are of one label, the first if none is said. The last end is included unless `closed`. Each cell of
    a texture goes its own way; those that tile are rolled as the first one is.
    """
    generator = Generator(model)
    size = generator.size(width, height, wrap)
    numbers, told = _numbers(latents, generator) if latents is not None else (None, [None])
    ends = [*range(len(numbers))] if numbers is not None else list(seeds or (0, 1))
    places = _places(len(ends), frames, closed)

    def at(end: int, rows: Places, columns: Places) -> torch.Tensor:
        if numbers is not None:
            return numbers[end][:, None, None]
        return chance.normal(ends[end], 0, generator.latent_channels, rows, columns)

    def noise(item: int, rows: Places, columns: Places) -> torch.Tensor:
        first, share = places[item]
        return truncation * slerp(at(first, rows, columns), at((first + 1) % len(ends), rows, columns), share)

    of_all = generator.label(label if label is not None else told[0], 0)
    return generator.make(noise, [of_all] * len(places), size, wrap=wrap, tile=tile, device=model.device, together=True)


def slerp(one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
    """Along the great circle between their directions, lengths going evenly; vectors are along the first axis."""
    lengths = [part.double().norm(dim=0, keepdim=True).clamp_min(1e-12) for part in (one, other)]
    ways = [part.double() / length for part, length in zip((one, other), lengths, strict=True)]
    angle = (ways[0] * ways[1]).sum(0, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    straight = sine < 1e-6
    safe = torch.where(straight, torch.ones_like(sine), sine)
    shares = [torch.where(straight, part, (part * angle).sin() / safe) for part in (1 - share, share)]
    length = lengths[0] * (1 - share) + lengths[1] * share
    found: torch.Tensor = (length * (shares[0] * ways[0] + shares[1] * ways[1])).float()
    return found


def _places(ends: int, frames: int, closed: bool) -> list[tuple[int, float]]:
    """For each picture the end before it, and how far on the way to the next it is."""
    stretches = ends if closed else ends - 1
    found = [(first, i / frames) for first in range(stretches) for i in range(frames)]
    return found if closed else [*found, (ends - 1, 0.0)]


def _numbers(latents: Table, generator: Generator) -> tuple[list[torch.Tensor], list[str | None]]:
    """The random numbers that a table holds, and the labels beside them."""
    if generator.spatial:
        raise OperationError(f"'{generator.model.name}' makes pictures of cells; a table of latents can't hold them")
    names = [f"{LATENT}{i}" for i in range(generator.latent_channels)]
    missing = next((name for name in names if name not in latents.columns), None)
    if missing or not latents.rows:
        raise OperationError(
            f"the latents have {f'no column {missing}' if missing else 'no rows'}; 'gan_project' gives those of a picture"
        )
    where = [latents.columns.index(name) for name in names]
    label = latents.columns.index("label") if "label" in latents.columns else None
    try:
        numbers = [torch.tensor([float(row[i]) for i in where]) for row in latents.rows]  # type: ignore[arg-type]  # None is caught
    except (TypeError, ValueError):
        raise OperationError(
            "the latents have cells that are no numbers; 'gan_project' gives those of a picture"
        ) from None
    return numbers, [None if label is None or row[label] is None else str(row[label]) for row in latents.rows]

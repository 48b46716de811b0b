"""Pictures of noise."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from pipeline_core import Image, Seed, each_tile, empty, operation
from pipeline_generate.lattice import Feature, Floats, Lattice, perlin, simplex, value, white, worley
from pipeline_generate.sizes import Length, Space

Kind = Literal["white", "value", "perlin", "simplex", "worley"]
Channels = Literal["Y", "RGB"]
BAND = 32
"""Rows made at a time: they stay in a core's cache."""
STREAMS = 64  # per channel: more than there are octaves
SHIFT = 0.375, 0.625  # cells, per octave: lattice points of two octaves in one place would show


def _blank(
    *, width: int, height: int, channels: Channels = "Y", seamless: bool = False, space: str = "data", **_: Any
) -> Image:
    return Image.stand_in(width, height, tuple(channels), color=space, wrap=(seamless, seamless))


@operation(
    infer=_blank,
    device="cpu",
    aliases=("fbm", "fractal", "turbulence", "clouds", "worley", "perlin", "simplex", "Noise", "white_noise"),
)
def noise(
    *,
    width: Length,
    height: Length,
    kind: Kind = "perlin",
    scale: Annotated[float, Field(gt=0, description="pixels per cell of the coarsest octave")] = 64.0,
    octaves: Annotated[int, Field(ge=1, le=16, description="layers added up, each finer and weaker")] = 1,
    lacunarity: Annotated[float, Field(ge=1, le=8, description="how much finer each octave is")] = 2.0,
    gain: Annotated[float, Field(ge=0, le=1, description="how strong each octave is, of the one before")] = 0.5,
    feature: Annotated[Feature, Field(description="of worley: distance to a point, or a value per point")] = "f1",
    x: Annotated[float, Field(ge=-(2**30), le=2**30, description="pixels that the noise is moved left")] = 0.0,
    y: Annotated[float, Field(ge=-(2**30), le=2**30, description="pixels that the noise is moved up")] = 0.0,
    seed: Seed = 0,
    seamless: Annotated[bool, Field(description="let the picture tile, in whole cells")] = False,
    channels: Annotated[Channels, Field(description="RGB: three independent noises")] = "Y",
    space: Space = "data",
) -> Image:
    """Noise: white, value, gradient (Perlin, simplex) or cells (Worley), in octaves (fBm).

    float32, 0 to 1. `white` is one random number per pixel (scale and octaves make no difference), `value` smooth hills
    between random values, `perlin` even bumps around 0.5, `simplex` the same on triangles, with less of a grid, `worley` distances to scattered points. Octaves are added,
    each at `lacunarity` times the frequency and `gain` times the strength of the one before, over the sum of strengths
    (fractional Brownian motion: K. Musgrave, in "Texturing and Modeling", 1994).

    The noise is an endless plane, of which the picture shows the part from (`x`, `y`): a pixel depends on its place in
    it and the seed alone, not on the size. `seamless` takes the plane's cells again after each width and height, so
    cells are stretched until a whole number of them fits.

    Convention: pixel centres are at half pixels. Random numbers are pcg4d hashes of lattice places and seed (Jarzynski
    and Olano 2020).
    """
    picture = _blank(width=width, height=height, channels=channels, seamless=seamless, space=space)
    if kind == "white":
        x, y, scale, octaves = math.floor(x), math.floor(y), 1.0, 1
    across = (np.arange(width) + (0.5 + x))[None, :]
    down = (np.arange(height) + (0.5 + y))[:, None]
    layers = _layers((width, height), kind, scale, octaves, lacunarity, gain, seamless)
    buffer = empty(picture.buffer.shape)

    def work(rows: slice, _: slice) -> None:
        for channel in range(len(channels)):
            buffer[0, rows, :, channel] = _plane(kind, across, down[rows], layers, seed, channel, feature)

    each_tile(width, height, (width, BAND), work)
    return picture.with_buffer(buffer)


class Layer(NamedTuple):
    """One octave: pixels per cell, across and down, the period in cells, where it lies in cells, how much it counts."""

    cells: tuple[float, float]
    period: tuple[int, int] | None
    shift: tuple[float, float]
    strength: float


def _layers(
    size: tuple[int, int], kind: Kind, scale: float, octaves: int, lacunarity: float, gain: float, seamless: bool
) -> list[Layer]:
    layers, strength = [], 1.0
    for octave in range(octaves):
        rows = 2 if kind == "simplex" else 1  # every other row of triangles begins half a cell further
        down = max(1, round(size[1] / (rows * scale))) * rows
        period = (max(1, round(size[0] / scale)), down) if seamless else None
        cells = (size[0] / period[0], size[1] / period[1]) if period else (scale, scale)
        layers.append(Layer(cells, period, (octave * SHIFT[0], octave * SHIFT[1]), strength))
        scale, strength = scale / lacunarity, strength * gain
    return layers


def _plane(kind: Kind, x: Any, y: Any, layers: list[Layer], seed: int, channel: int, feature: Feature) -> Floats:
    """The octaves of one channel, added up; x and y are the pixel centres."""
    total = np.zeros((y.size, x.size), np.float32)
    for octave, layer in enumerate(layers):
        lattice = Lattice(seed, channel * STREAMS + octave, layer.period)
        across, down = x / layer.cells[0] + layer.shift[0], y / layer.cells[1] + layer.shift[1]
        total += np.float32(layer.strength) * _octave(kind, across, down, lattice, feature)
    return total / np.float32(sum(layer.strength for layer in layers))


def _octave(kind: Kind, x: Any, y: Any, lattice: Lattice, feature: Feature) -> Floats:
    if kind == "worley":
        return worley(x, y, lattice, feature)
    return {"white": white, "value": value, "perlin": perlin, "simplex": simplex}[kind](x, y, lattice)

"""Turning colours: hue, white balance, and the ASC's colour decision list."""

from __future__ import annotations

import math
from typing import Annotated, get_args

import numpy as np
from pydantic import Field

from pipeline_color import compiled
from pipeline_color.compiled import Raise
from pipeline_color.convert import SceneColor
from pipeline_color.grade import Channels
from pipeline_color.mixing import layers, mix, mixed
from pipeline_color.pointwise import Array, column, on_colors
from pipeline_color.power import raised
from pipeline_color.primaries import D65, Matrix, adaptation, to_xyz_d65, white_xyz
from pipeline_color.straight import REC709_LUMA, per_channel
from pipeline_core import Color, Image, OperationError, operation

_LUMA = np.array(REC709_LUMA)


@operation(version=3, support=0, aliases=("HueShift", "hue_rotate"))
def hue_shift(
    image: Image, *, degrees: Annotated[float, Field(description="120 turns red to green, and green to blue")]
) -> Image:
    """Turn all hues by an angle; luma stays.

    A rotation about the gray axis of the RGB cube, then a shear along it that gives back the luma (Haeberli 1993,
    "Matrix Operations for Image Processing"); gray stays as it is, and the opposite angle goes back.

    Convention: luma is 0.2126 R + 0.7152 G + 0.0722 B of the values as they are (ITU-R BT.709-6). Nothing is clipped:
    a saturated colour may leave 0..1. Gray (Y) images stay as they are.
    """
    return mix(image, _hue_rotation(degrees))


@operation(version=3, support=0, aliases=("color_temperature", "chromatic_adaptation"))
def white_balance(
    image: Image,
    *,
    neutral: Annotated[Color | None, Field(description="a colour of the picture that should be gray")] = None,
    temperature: Annotated[
        float | None, Field(ge=1667, le=25000, description="kelvin of the light; 6504 changes nothing")
    ] = None,
) -> Image:
    """Balance colours for the light of the picture, known by a neutral colour or by its temperature.

    Bradford chromatic adaptation, with the primaries of the image's colour space: the neutral colour becomes gray and
    keeps its luminance; or light of a black body of `temperature` becomes that of one of 6504 K, the temperature of
    D65 (chromaticities by the cubics of Kim et al., US patent 7024034). `gray_world` finds the light itself.

    Convention: the values are taken as they are; that is right for linear light (`color_convert` first). Without
    either param nothing changes. Gray (Y) images stay as they are.
    """
    if neutral is not None and temperature is not None:
        raise OperationError("neutral and temperature are both given: one of them says what the light is")
    to_xyz = to_xyz_d65(_primaries(image))
    if neutral is not None:
        light, target = to_xyz @ np.array(neutral[:3]), white_xyz(*D65)
        if not light[1] > 0:
            raise OperationError(f"neutral is {neutral[:3]}: it must have some luminance")
        light = light / light[1]
    elif temperature is not None:
        light, target = white_xyz(*_black_body(temperature)), white_xyz(*_black_body(6504))
    else:
        return image
    return mix(image, np.linalg.solve(to_xyz, adaptation(light, target) @ to_xyz))


@operation(aliases=("auto_white_balance",))
def gray_world(image: Image) -> Image:
    """Balance colours so that their average is gray.

    Each of R, G and B is multiplied by the picture's average luma over the channel's own average (Buchsbaum 1980,
    "A spatial processor model for object colour perception": the gray-world assumption, with von Kries' scaling).

    Convention: averages are weighted by alpha; a channel whose average is not above 0 stays as it is.
    """
    import torch

    pixels = image.pixels.clone()
    weighed = image.associate().pixels
    for where in layers(image):
        at = [image.color_indices[i] for i in where]
        # One item at a time, in double precision: an item's average does not depend on the batch.
        average = torch.stack([item[at].double().mean((1, 2)) for item in weighed])
        luma = (average * average.new_tensor(REC709_LUMA)).sum(1, keepdim=True)
        factors = torch.where((average > 0) & (luma > 0), luma / average, 1.0)
        pixels[:, at] *= factors.to(pixels)[:, :, None, None]
    return image.with_pixels(pixels)


@operation(version=3, support=0, aliases=("OCIOCDLTransform", "asc_cdl", "ColorCorrect"))
def cdl(
    image: Image,
    *,
    slope: Annotated[Channels, Field(description="a factor")] = 1.0,
    offset: Annotated[Channels, Field(description="added after the factor")] = 0.0,
    power: Annotated[Channels, Field(description="an exponent; above 1 darkens the mid-tones")] = 1.0,
    saturation: Annotated[float, Field(ge=0, description="0 gray, 1 unchanged")] = 1.0,
    clamp: Annotated[bool, Field(description="limit to 0..1 before the power and at the end, as v1.2 says")] = False,
) -> Image:
    """Grade by the colour decision list of the ASC: slope, offset, power and saturation.

    (input slope + offset) ^ power, then luma + saturation (value - luma), with luma of ITU-R BT.709 (ASC CDL v1.2).

    Convention: without `clamp` nothing is clipped and negative values pass the power unchanged, as in OpenColorIO's
    `noClamp`. Alpha is divided out and multiplied in again; where it is 0, black stays black.
    """
    slopes, offsets, powers = (
        per_channel(image, name, value) for name, value in (("slope", slope), ("offset", offset), ("power", power))
    )
    if min(slopes) < 0 or min(powers) <= 0:
        raise OperationError(f"slope is {slope}, power is {power}: slope must be at least 0, power above 0")
    gray = np.outer(np.ones(3), _LUMA)
    matrix = gray + saturation * (np.eye(3) - gray)
    triples = layers(image) if saturation != 1 else []
    limits = (0.0, 1.0) if clamp else (-math.inf, math.inf)
    if not triples:
        changes = [Raise(*numbers, *limits) for numbers in zip(powers, slopes, offsets, strict=True)]
        if (done := compiled.raised(image, changes)) is not None:
            return done

    def change(color: Array) -> Array:
        color = color * column(slopes, color) + column(offsets, color)
        color = _powered(color.clip(0, 1) if clamp else color, powers)
        for where in triples:
            color = mixed(color, where, matrix)
        return color.clip(0, 1) if clamp else color

    return on_colors(image, change)


def _primaries(image: Image) -> str:
    if image.color not in get_args(SceneColor):
        raise OperationError(f"the image is {image.color}: set_color says what its primaries are")
    return image.color.split("_")[1]


def _powered(color: Array, exponents: list[float]) -> Array:
    if all(one == 1 for one in exponents):
        return color
    return raised(color, exponents)


def _hue_rotation(degrees: float) -> Matrix:
    angle = np.radians(degrees)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)  # product with the unit vector of gray
    along = np.full((3, 3), 1 / 3)
    turned: Matrix = along + np.cos(angle) * (np.eye(3) - along) + np.sin(angle) * cross
    return turned + np.outer(np.ones(3), _LUMA - _LUMA @ turned)


def _black_body(kelvin: float) -> tuple[float, float]:
    """Chromaticity x, y of a black body of 1667 to 25000 K."""
    t = 1000 / kelvin
    if kelvin <= 4000:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    if kelvin <= 2222:
        return x, -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    if kelvin <= 4000:
        return x, -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    return x, 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483

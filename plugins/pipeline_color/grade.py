"""Pointwise grading. All of it works on straight values, leaves alpha alone and clips nothing (but `clamp`)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline_color import compiled
from pipeline_color.compiled import Raise
from pipeline_color.lines import on_lines, times
from pipeline_color.mixing import mix
from pipeline_color.pointwise import Array, column, on_colors
from pipeline_color.power import raised
from pipeline_color.straight import REC709_LUMA, per_channel
from pipeline_core import Image, OperationError, operation

Channels = float | Annotated[list[float], Field(min_length=3, max_length=3)]
"""One number, or one for each of R, G and B."""


@operation(version=3, support=0, aliases=("lift_gamma_gain", "mulc", "addc"))
def grade(
    image: Image,
    *,
    blackpoint: Annotated[Channels, Field(description="the value that becomes `lift`")] = 0.0,
    whitepoint: Annotated[Channels, Field(description="the value that becomes `gain`")] = 1.0,
    lift: Annotated[Channels, Field(description="where black goes")] = 0.0,
    gain: Annotated[Channels, Field(description="where white goes")] = 1.0,
    multiply: Annotated[Channels, Field(description="a factor")] = 1.0,
    offset: Annotated[Channels, Field(description="added after the factor")] = 0.0,
    gamma: Annotated[Channels, Field(description="above 1 brightens the mid-tones")] = 1.0,
) -> Image:
    """Grade with black and white point, lift, gain, multiply, offset and gamma.

    The formula of Nuke's Grade (Foundry, Nuke Reference Guide): with
    A = multiply (gain - lift) / (whitepoint - blackpoint) and B = offset + lift - A blackpoint,
    the output is (A input + B) ^ (1 / gamma). Every setting is one number or a list of three for R, G and B.

    Convention: negative values pass the gamma unchanged, and nothing is clipped. Alpha is divided out and multiplied
    in again; where it is 0, black stays black.
    """
    numbers = {
        name: per_channel(image, name, value)
        for name, value in (
            ("blackpoint", blackpoint), ("whitepoint", whitepoint), ("lift", lift), ("gain", gain),
            ("multiply", multiply), ("offset", offset), ("gamma", gamma),
        )
    }  # fmt: skip
    slopes, offsets = [], []
    for black, white, low, high, factor, plus, _ in zip(*numbers.values(), strict=True):
        if white == black:
            raise OperationError(f"whitepoint and blackpoint are both {white:g}: they must differ")
        slopes.append(factor * (high - low) / (white - black))
        offsets.append(plus + low - slopes[-1] * black)

    if all(one == 1 for one in numbers["gamma"]):
        return on_lines(image, slopes, offsets)

    exponents = _exponents(numbers["gamma"])
    changes = [Raise(*numbers) for numbers in zip(exponents, slopes, offsets, strict=True)]
    if (done := compiled.raised(image, changes)) is not None:
        return done

    def change(color: Array) -> Array:
        return raised(color * column(slopes, color) + column(offsets, color), exponents)

    return on_colors(image, change)


@operation(version=2, support=0, aliases=("EXPTool", "stops"))
def exposure(
    image: Image, *, stops: Annotated[float, Field(ge=-64, le=64, description="+1 doubles the light")]
) -> Image:
    """Make brighter or darker by stops: multiply by 2 ** stops.

    Convention: the values are multiplied as they are; that is exposure on linear light (`color_convert` first).
    """
    # No alpha to divide out: a factor is the same for associated and straight values.
    return times(image, 2.0**stops)


@operation(version=3, support=0, aliases=("saturate",))
def saturation(
    image: Image, *, amount: Annotated[float, Field(ge=0, description="0 gray, 1 unchanged, 2 twice as far from gray")]
) -> Image:
    """Strengthen or weaken colours: luma + amount (value - luma).

    Luma is 0.2126 R + 0.7152 G + 0.0722 B of the values as they are (ITU-R BT.709-6). Gray (Y) images stay as they are.
    """
    gray = np.outer(np.ones(3), REC709_LUMA)
    names = [image.channels[i] for i in image.color_indices]
    triples = [[f"{name[:-1]}{letter}" for letter in "RGB"] for name in names if name[-1] == "R"]
    whole = [[names.index(name) for name in wanted] for wanted in triples if set(wanted) <= set(names)]
    return mix(image, gray + amount * (np.eye(3) - gray), whole)


@operation(version=2, support=0, aliases=("powc",))
def gamma(image: Image, *, value: Annotated[Channels, Field(description="above 1 brightens the mid-tones")]) -> Image:
    """Apply a power curve: value ^ (1 / gamma).

    Convention: negative values pass unchanged. Alpha is divided out and multiplied in again.
    """
    exponents = _exponents(per_channel(image, "value", value))
    done = compiled.raised(image, [Raise(one) for one in exponents])
    return on_colors(image, lambda color: raised(color, exponents)) if done is None else done


@operation(version=3, support=0, aliases=("input_levels", "black_and_white_point"))
def levels(
    image: Image,
    *,
    in_low: Annotated[Channels, Field(description="the value that becomes `out_low`")] = 0.0,
    in_high: Annotated[Channels, Field(description="the value that becomes `out_high`")] = 1.0,
    gamma: Annotated[Channels, Field(description="above 1 brightens the mid-tones")] = 1.0,
    out_low: Channels = 0.0,
    out_high: Channels = 1.0,
) -> Image:
    """Stretch a range of values to another, with a gamma between.

    out_low + (out_high - out_low) ((input - in_low) / (in_high - in_low)) ^ (1 / gamma).

    Convention: nothing is clipped (`clamp` does that); below `in_low` the gamma has no effect. Alpha is divided out
    and multiplied in again; where it is 0, black stays black.
    """
    low, high = per_channel(image, "in_low", in_low), per_channel(image, "in_high", in_high)
    floor, ceiling = per_channel(image, "out_low", out_low), per_channel(image, "out_high", out_high)
    exponents = per_channel(image, "gamma", gamma)
    if any(a == b for a, b in zip(low, high, strict=True)):
        raise OperationError("in_low and in_high must differ")
    ranges = [b - a for a, b in zip(low, high, strict=True)]
    targets = [b - a for a, b in zip(floor, ceiling, strict=True)]

    if all(one == 1 for one in exponents):
        slopes = [target / length for target, length in zip(targets, ranges, strict=True)]
        offsets = [start - slope * black for start, slope, black in zip(floor, slopes, low, strict=True)]
        return on_lines(image, slopes, offsets)

    powers = _exponents(exponents)
    changes = [
        Raise(power, 1 / length, -black / length, then_slope=target, then_offset=start)
        for power, length, black, target, start in zip(powers, ranges, low, targets, floor, strict=True)
    ]
    if (done := compiled.raised(image, changes)) is not None:
        return done

    def change(color: Array) -> Array:
        part = raised((color - column(low, color)) / column(ranges, color), powers)
        return part * column(targets, color) + column(floor, color)

    return on_colors(image, change)


@operation(support=0, aliases=("negative", "ImageInvert"))
def invert(image: Image) -> Image:
    """Turn light to dark and colours to their opposites: 1 - value. Alpha stays."""
    return on_lines(image, -1.0, 1.0)


@operation(version=2, support=0, aliases=("clip",))
def clamp(image: Image, *, low: float = 0.0, high: float = 1.0) -> Image:
    """Limit colour to a range. Alpha stays.

    Convention: the limits hold for straight values; an associated image's alpha is divided out first.
    """
    if low > high:
        raise OperationError(f"low is {low:g}, high is {high:g}: low must not be above high")
    return on_lines(image, 1.0, 0.0, low, high)


def _exponents(gammas: list[float]) -> list[float]:
    if min(gammas) <= 0:
        raise OperationError(f"gamma must be above 0, got {min(gammas):g}")
    return [1 / one for one in gammas]

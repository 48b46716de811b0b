"""Tone: curves through points, operators for high dynamic range, and fewer steps."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_color.compiled import curved
from pipeline_color.cubic import Curve
from pipeline_color.pointwise import Array, namespace, on_colors
from pipeline_color.straight import color_channels
from pipeline_core import Image, OperationError, operation

Points = Annotated[list[Annotated[list[float], Field(min_length=2, max_length=2)]], Field(min_length=2, max_length=256)]
"""Points [input, output] of a curve."""


@operation(version=3, support=0, aliases=("ColorLookup", "tone_curve", "rgb_curves"))
def curves(
    image: Image,
    *,
    points: Annotated[Points | None, Field(description="[input, output] pairs of the curve of all channels")] = None,
    red: Annotated[Points | None, Field(description="a curve of R alone, applied before that of all")] = None,
    green: Annotated[Points | None, Field(description="of G alone")] = None,
    blue: Annotated[Points | None, Field(description="of B alone")] = None,
) -> Image:
    """Change tones by smooth curves through points.

    Cubics whose slopes never overshoot: between two points the curve stays between their outputs (Fritsch and Butland
    1984, "A method for constructing local monotone piecewise cubic interpolants").

    Convention: beyond its first and last point a curve goes on as a straight line, and nothing is clipped. Alpha is
    divided out and multiplied in again; where it is 0, black stays black.
    """
    own = {"R": red, "G": green, "B": blue}
    letters = [image.channels[i][-1] for i in color_channels(image)]
    if "Y" in letters and any(curve is not None for curve in own.values()):
        raise OperationError("red, green and blue have curves, but the image has Y: give 'points' alone, or use to_rgb")
    master = None if points is None else _curve(points)
    of_channel = {letter: _curve(curve) for letter, curve in own.items() if curve is not None}
    if (done := curved(image, [of_channel.get(letter) for letter in letters], master)) is not None:
        return done

    def change(color: Array) -> Array:
        if of_channel:
            planes = [of_channel.get(letter, _same)(color[:, i : i + 1]) for i, letter in enumerate(letters)]
            color = namespace(color).concatenate(planes, 1)
        return color if master is None else master(color)

    return on_colors(image, change)


@operation(support=0, aliases=("tone_map", "hdr_to_sdr"))
def tonemap(
    image: Image,
    *,
    method: Literal["reinhard", "aces", "hable"] = "reinhard",
    white: Annotated[
        float | None, Field(gt=0, description="the value that becomes 1; reinhard: none, hable: 11.2 by default")
    ] = None,
) -> Image:
    """Bring high dynamic range into 0..1 by a curve on each channel.

    reinhard  x (1 + x / white^2) / (1 + x) (Reinhard et al. 2002, "Photographic Tone Reproduction for Digital Images",
              equations 3 and 4)
    aces      x (2.51 x + 0.03) / (x (2.43 x + 0.59) + 0.14), limited to 1: Narkowicz's fit (2016, "ACES Filmic Tone
              Mapping Curve") of the Academy's look
    hable     the curve of Uncharted 2 (Hable 2010, "Filmic Tonemapping Operators"), without its exposure

    Convention: linear light in and linear light out, for `color_convert` to encode. Only `aces` limits: above `white`
    the others go on above 1. Negative values pass unchanged. Alpha is divided out and multiplied in again.
    """
    if method == "aces" and white is not None:
        raise OperationError("white is given, but the curve of aces has its own: leave it out")
    curve = {"reinhard": _reinhard, "aces": _aces, "hable": _hable}[method]
    return on_colors(image, lambda color: namespace(color).where(color > 0, curve(color.clip(min=0), white), color))


@operation(support=0)
def posterize(image: Image, *, levels: Annotated[int, Field(ge=2, le=65536, description="steps from 0 to 1")]) -> Image:
    """Leave a few tones of each channel: round to a number of levels between 0 and 1.

    Convention: half a step rounds to the even one. Values outside 0..1 are rounded to steps of the same size, nothing
    is clipped. Alpha is divided out and multiplied in again.
    """
    steps = float(levels - 1)
    return on_colors(image, lambda color: (color * steps).round() / steps)


def _same(x: Array) -> Array:
    return x


def _curve(points: Points) -> Curve:
    """The monotone cubic through points, straight beyond them."""
    knots = np.array(sorted(points), np.float64)
    x, y = knots.T
    widths = np.diff(x)
    if not np.isfinite(knots).all() or (widths <= 0).any():
        raise OperationError(f"points of a curve need finite inputs that differ, got {', '.join(map(str, points))}")
    return Curve(x, y, _slopes(widths, np.diff(y) / widths))


def _slopes(widths: np.ndarray, rises: np.ndarray) -> np.ndarray:
    """The curve's slope at each point: a weighted harmonic mean of its neighbours', 0 at a turning point."""
    slopes = np.empty(len(rises) + 1)
    slopes[0], slopes[-1] = rises[0], rises[-1]
    for i, (one, other) in enumerate(pairwise(rises), start=1):
        a, b = 2 * widths[i] + widths[i - 1], widths[i] + 2 * widths[i - 1]
        slopes[i] = (a + b) * one * other / (a * other + b * one) if one * other > 0 else 0.0
    return slopes


def _reinhard(x: Array, white: float | None) -> Array:
    part = 1 - 1 / (1 + x)  # x / (1 + x), for infinity too
    return part if white is None else part * (1 + x / white**2)


def _aces(x: Array, white: float | None) -> Array:
    x = x.clip(max=1e4)  # infinity over infinity is no number; the limit is reached long before
    return ((x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14)).clip(max=1)


def _hable(x: Array, white: float | None) -> Array:
    return _filmic(x.clip(max=1e6)) / _filmic(white or 11.2)


def _filmic(x: Any) -> Any:
    return (x * (0.15 * x + 0.05) + 0.004) / (x * (0.15 * x + 0.5) + 0.06) - 0.02 / 0.3

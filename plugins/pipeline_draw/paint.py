"""Colours as the values of channels, and mixtures of colours."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Color, Image

LUMA = (0.2126, 0.7152, 0.0722)  # Rec. ITU-R BT.709-6, item 3.2
MAX_SIDE = 2**20
Channels = Literal["auto", "Y", "YA", "RGB", "RGBA"]

Length = Annotated[int, Field(ge=1, le=MAX_SIDE, description="pixels")]
Space = Annotated[str, Field(min_length=1, description="colour id of the new image; values are taken as they are")]


def channel_values(color: Color, channels: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """One float per channel, straight: the colour, its luma in Y, its alpha in A, 0 in all others."""
    *rgb, alpha = color
    luma = sum(weight * part for weight, part in zip(LUMA, rgb, strict=True))
    named = dict(zip("RGBYA", (*rgb, luma, alpha), strict=True))
    return np.array([named.get(name.rpartition(".")[2], 0.0) for name in channels], np.float32)


def names_for(channels: Channels, *colors: Color) -> tuple[str, ...]:
    """The channels asked for; `auto` is RGB, with A when a colour is not opaque."""
    if channels == "auto":
        channels = "RGBA" if any(color[3] != 1 for color in colors) else "RGB"
    return tuple(channels)


def canvas(width: int, height: int, names: tuple[str, ...], space: str) -> Image:
    """A stand-in for a new image."""
    return Image.stand_in(width, height, names, color=space, alpha="straight" if "A" in names else "none")


def mixed(share: np.ndarray[Any, Any], start: Color, end: Color, names: tuple[str, ...]) -> np.ndarray[Any, Any]:
    """`(1, H, W, C)` float32: `start` where the share `(H, W)` is 0, `end` where it is 1, linear between.

    Colours are weighted by their alpha (CSS Images Module Level 3, "Coloring the Gradient Line"), so that a ramp to
    transparent keeps its hue.
    """
    first, last = channel_values(start, names), channel_values(end, names)
    part = share.astype(np.float32)
    weight, result = part, np.empty((1, *part.shape, len(names)), np.float32)
    if "A" in names and first[-1] != last[-1]:
        alpha = first[-1] * (1 - part) + last[-1] * part
        weight = np.divide(last[-1] * part, alpha, out=part.copy(), where=alpha != 0)
    for i, (one, other) in enumerate(zip(first, last, strict=True)):
        by = part if names[i] == "A" else weight
        result[..., i] = one if one == other else one * (1 - by) + other * by
    return result

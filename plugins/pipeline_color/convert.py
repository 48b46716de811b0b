"""Colour spaces: converting values, relabelling them, and going between gray and RGB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from pipeline_color.power import power
from pipeline_color.straight import REC709_LUMA, column, on_colors
from pipeline_core import Image, OperationError, operation

Rec709 = Literal["srgb_rec709_scene", "lin_rec709_scene", "g22_rec709_scene", "g18_rec709_scene"]
"""The colour spaces of Rec. 709 primaries, by their Colour Interop Forum ids."""

AnyColor = Literal[
    "srgb_rec709_scene", "lin_rec709_scene", "g22_rec709_scene", "g18_rec709_scene",
    "lin_ap1_scene", "srgb_ap1_scene", "g22_ap1_scene", "lin_ap0_scene",
    "lin_p3d65_scene", "srgb_p3d65_scene", "lin_rec2020_scene", "lin_adobergb_scene", "g22_adobergb_scene",
    "lin_ciexyzd65_scene", "data", "unknown",
]  # fmt: skip
"""The Colour Interop Forum's ids of scene-referred texture spaces (Color Space Encodings for Texture Assets and CG)."""


@operation(support=0, aliases=("linearize", "colorspace"))
def color_convert(image: Image, *, to: Rec709) -> Image:
    """Convert an image to another colour space.

    Between linear light and the encodings of Rec. 709: sRGB by its exact two-part curve (IEC 61966-2-1:1999), `g22`
    and `g18` by a power of 2.2 and 1.8. An image that is there already is given back as it is.

    Convention: negative values are mirrored (-f(-x)) and values above 1 follow the same curve, so that nothing is
    clipped and back is always possible. Alpha is divided out and multiplied in again.
    """
    if image.color == to:
        return image
    if image.color not in _CURVES:
        mend = "set_color relabels it, if that is what it really holds" if image.color in ("data", "unknown") else ""
        known = f"color_convert converts between {', '.join(_CURVES)}"
        raise OperationError(f"the image is {image.color}: {mend or known}")
    decode, encode = _CURVES[image.color][0], _CURVES[to][1]
    converted = on_colors(image, lambda color: _mirrored(color, lambda x: encode(decode(x))))
    return converted.with_buffer(converted.buffer, color=to)


@operation(support=0, aliases=("relabel", "assign_color"))
def set_color(image: Image, *, color: AnyColor) -> Image:
    """Say what colour space an image's values are in; the values stay as they are.

    For a file that was labelled wrongly, or to mark normals and depth as "data". `color_convert` changes values.
    """
    return image.with_buffer(image.buffer, color=color)


@operation(support=0, aliases=("grayscale", "desaturate", "luminance"))
def to_gray(image: Image) -> Image:
    """Turn R, G and B into one channel Y; the others stay.

    Convention: Y = 0.2126 R + 0.7152 G + 0.0722 B of the values as they are (ITU-R BT.709-6): luminance where they are
    linear, luma where they are encoded. A gray image is given back as it is.
    """
    if "Y" in image.channels and "R" not in image.channels:
        return image
    if not {"R", "G", "B"} <= set(image.channels) or "Y" in image.channels:
        raise OperationError(f"to_gray wants an image with R, G and B, this has {', '.join(image.channels)}")
    color = image.pixels[:, [image.index(name) for name in "RGB"]]
    planes = {"Y": (color * column(REC709_LUMA, color)).sum(1, keepdim=True)}
    names = ["Y" if name == "R" else name for name in image.channels if name not in ("G", "B")]
    return _of_planes(image, names, planes)


@operation(support=0)
def to_rgb(image: Image) -> Image:
    """Turn a gray image (Y) into R, G and B of equal values; the others stay.

    An image that has R, G and B is given back as it is.
    """
    if {"R", "G", "B"} <= set(image.channels):
        return image
    if "Y" not in image.channels or {"R", "G", "B"} & set(image.channels):
        raise OperationError(f"to_rgb wants an image with Y, this has {', '.join(image.channels)}")
    names = [letter for name in image.channels for letter in ("RGB" if name == "Y" else (name,))]
    return _of_planes(image, names, dict.fromkeys("RGB", image.channel("Y")))


def _of_planes(image: Image, names: list[str], planes: dict[str, Tensor]) -> Image:
    stacked = torch.cat([planes[name] if name in planes else image.channel(name) for name in names], dim=1)
    return image.with_pixels(stacked, channels=tuple(names))


def _mirrored(values: Tensor, curve: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.copysign(curve(values.abs()), values)


def _srgb_decode(x: Tensor) -> Tensor:
    return torch.where(x <= 0.04045, x / 12.92, power((x + 0.055) / 1.055, 2.4))


def _srgb_encode(x: Tensor) -> Tensor:
    return torch.where(x <= 0.0031308, x * 12.92, 1.055 * power(x, 1 / 2.4) - 0.055)


def _same(x: Tensor) -> Tensor:
    return x


# To linear Rec. 709, and from it, for values from 0 up.
_CURVES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "lin_rec709_scene": (_same, _same),
    "srgb_rec709_scene": (_srgb_decode, _srgb_encode),
    "g22_rec709_scene": (lambda x: power(x, 2.2), lambda x: power(x, 1 / 2.2)),
    "g18_rec709_scene": (lambda x: power(x, 1.8), lambda x: power(x, 1 / 1.8)),
}

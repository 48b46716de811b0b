"""Colour spaces: converting values, relabelling them, and going between gray and RGB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from pipeline_color import compiled
from pipeline_color.compiled import Transfer
from pipeline_color.mixing import layers, mix, mixed
from pipeline_color.pointwise import Array, namespace, on_colors, picked, to_luma
from pipeline_color.power import power
from pipeline_color.primaries import XYZ, between
from pipeline_color.straight import REC709_LUMA, color_channels
from pipeline_core import Image, OperationError, operation

SceneColor = Literal[
    "srgb_rec709_scene", "lin_rec709_scene", "g22_rec709_scene", "g18_rec709_scene",
    "lin_ap1_scene", "srgb_ap1_scene", "g22_ap1_scene", "lin_ap0_scene",
    "lin_p3d65_scene", "srgb_p3d65_scene", "lin_rec2020_scene", "lin_adobergb_scene", "g22_adobergb_scene",
    "lin_ciexyzd65_scene",
]  # fmt: skip
"""The Colour Interop Forum's ids of scene-referred texture spaces (Color Space Encodings for Texture Assets and CG)."""

AnyColor = SceneColor | Literal["data", "unknown"]
"""Those, and what is no colour or of none known."""


@operation(version=3, support=0, aliases=("linearize", "colorspace", "convert_to_profile", "tocolorspace"))
def color_convert(image: Image, *, to: SceneColor) -> Image:
    """Convert an image to another colour space.

    Its curve is undone, a matrix takes it to the other primaries, and their curve is applied: sRGB's exact two-part one
    (IEC 61966-2-1:1999), a power of 2.2 (`g22`; Adobe RGB's is 563/256, by its specification) or 1.8 (`g18`), or none
    (`lin`). The matrices come from the published chromaticities. An image that is there already is given back as it is.

    Convention: white goes to white, between D65 and the white of ACES by the Bradford transform. Negative values are
    mirrored by curves (-f(-x)) and values above 1 follow the same curve, so that nothing is clipped and back is always
    possible. Alpha is divided out and multiplied in again. R, G and B hold the X, Y and Z of `lin_ciexyzd65_scene`.
    """
    if image.color == to:
        return image
    if image.color not in get_args(SceneColor):
        mend = "set_color relabels it, if that is what it really holds" if image.color in ("data", "unknown") else ""
        known = f"color_convert converts between {', '.join(get_args(SceneColor))}"
        raise OperationError(f"the image is {image.color}: {mend or known}")
    (curve, primaries), (to_curve, to_primaries) = _parts(image.color), _parts(to)
    decode, encode = _CURVES[curve][0], _CURVES[to_curve][1]
    color_channels(image)
    triples = [] if primaries == to_primaries else layers(image, gray_too=XYZ in (primaries, to_primaries))

    matrix = between(primaries, to_primaries)
    if not curve == to_curve == "lin":
        where = [image.color_indices[i] for triple in triples for i in triple] if triples else image.color_indices
        transfers = _TRANSFERS[curve][0], matrix if triples else None, _TRANSFERS[to_curve][1]
        if (done := compiled.converted(image, *transfers, where)) is not None:
            return done.with_buffer(done.buffer, color=to)

    def change(color: Array) -> Array:
        linear = _mirrored(color, decode)
        for where in triples:
            linear = mixed(linear, where, matrix)
        return _mirrored(linear, encode)

    converted = mix(image, matrix, triples) if curve == to_curve == "lin" else on_colors(image, change)
    return converted.with_buffer(converted.buffer, color=to)


@operation(support=0, aliases=("relabel", "assign_color", "assign_profile", "iscolorspace"))
def set_color(image: Image, *, color: AnyColor) -> Image:
    """Say what colour space an image's values are in; the values stay as they are.

    For a file that was labelled wrongly, or to mark normals and depth as "data". `color_convert` changes values.
    """
    return image.with_buffer(image.buffer, color=color)


@operation(version=2, support=0, aliases=("grayscale", "desaturate", "luminance", "to_luma", "black_and_white"))
def to_gray(image: Image) -> Image:
    """Turn R, G and B into one channel Y; the others stay.

    Convention: Y = 0.2126 R + 0.7152 G + 0.0722 B of the values as they are (ITU-R BT.709-6): luminance where they are
    linear, luma where they are encoded. A gray image is given back as it is.
    """
    if "Y" in image.channels and "R" not in image.channels:
        return image
    if not {"R", "G", "B"} <= set(image.channels) or "Y" in image.channels:
        raise OperationError(f"to_gray wants an image with R, G and B, this has {', '.join(image.channels)}")
    names = ["Y" if name == "R" else name for name in image.channels if name not in ("G", "B")]
    return to_luma(image, names, REC709_LUMA)


@operation(support=0, aliases=("gray_to_rgb",))
def to_rgb(image: Image) -> Image:
    """Turn a gray image (Y) into R, G and B of equal values; the others stay.

    An image that has R, G and B is given back as it is.
    """
    if {"R", "G", "B"} <= set(image.channels):
        return image
    if "Y" not in image.channels or {"R", "G", "B"} & set(image.channels):
        raise OperationError(f"to_rgb wants an image with Y, this has {', '.join(image.channels)}")
    names = [letter for name in image.channels for letter in ("RGB" if name == "Y" else (name,))]
    return picked(image, [image.index("Y" if name in "RGB" else name) for name in names], tuple(names))


def _parts(color: str) -> tuple[str, str]:
    """The curve and the primaries of an id."""
    curve, primaries, _ = color.split("_")
    return ("g22_adobergb" if (curve, primaries) == ("g22", "adobergb") else curve), primaries


def _mirrored(values: Array, curve: Callable[[Array], Array]) -> Array:
    if curve is _same:
        return values
    return namespace(values).copysign(curve(abs(values)), values)


def _srgb_decode(x: Array) -> Array:
    return namespace(x).where(x <= 0.04045, x / 12.92, power((x + 0.055) / 1.055, 2.4))


def _srgb_encode(x: Array) -> Array:
    return namespace(x).where(x <= 0.0031308, x * 12.92, 1.055 * power(x, 1 / 2.4) - 0.055)


def _same(x: Array) -> Array:
    return x


_TRANSFERS: dict[str, tuple[Transfer | None, Transfer | None]] = {
    "lin": (None, None),
    "srgb": (
        Transfer(2.4, 0.04045, 1 / 12.92, 1 / 1.055, 0.055 / 1.055),
        Transfer(1 / 2.4, 0.0031308, 12.92, 1.055, -0.055),
    ),
    "g22": (Transfer(2.2), Transfer(1 / 2.2)),
    "g22_adobergb": (Transfer(563 / 256), Transfer(256 / 563)),
    "g18": (Transfer(1.8), Transfer(1 / 1.8)),
}
"""As the kernel has `_CURVES`."""

# To linear light, and from it, for values from 0 up.
_CURVES: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "lin": (_same, _same),
    "srgb": (_srgb_decode, _srgb_encode),
    "g22": (lambda x: power(x, 2.2), lambda x: power(x, 1 / 2.2)),
    "g22_adobergb": (lambda x: power(x, 563 / 256), lambda x: power(x, 256 / 563)),
    "g18": (lambda x: power(x, 1.8), lambda x: power(x, 1 / 1.8)),
}

"""Pictures from files."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Image, Mask, OperationError, Rows, operation
from pipeline_io.facts import Facts
from pipeline_io.source import Choice, content_of, facts_of, pixels_of, readable

Array = np.ndarray[Any, Any]

AlphaParam = Annotated[
    Literal["auto", "straight", "associated", "ignore"],
    Field(description="what the alpha is, where the file is wrong about it; ignore leaves it out"),
]
ColorParam = Annotated[
    str,
    Field(
        min_length=1,
        description="auto, or the colour space where the file is wrong or silent: srgb_rec709_scene, lin_ap1_scene, data, ...",
    ),
]
OrientParam = Annotated[bool, Field(description="turn the picture as its Exif orientation says")]
LayerParam = Annotated[
    str,
    Field(
        description="a layer of exr (diffuse; a part's name or one channel, Z, too; * all channels) or of psd; empty is the main picture"
    ),
]
PartParam = Annotated[str, Field(description="of exr: which part, by name or number; of psd: which layer by number")]
ShrinkParam = Annotated[
    Literal[1, 2, 4, 8],
    Field(description="of jpeg: decode only a half, a quarter or an eighth of the size, several times as fast"),
]
_LARGE = 2**26
WindowParam = Annotated[
    Literal["display", "data"], Field(description="of exr: the picture's frame, or the pixels that the file holds")
]


def infer_image(
    *,
    path: Path,
    color: str = "auto",
    alpha: str = "auto",
    orient: bool = True,
    layer: str = "",
    part: str = "",
    window: str = "display",
    shrink: Literal[1, 2, 4, 8] = 1,
) -> Image:
    """What `load_image` would give, without its pixels."""
    if _is_large(path):
        from pipeline_io.rows import open_rows

        given: dict[str, Any] = {
            "color": color,
            "alpha": alpha,
            "orient": orient,
            "layer": layer,
            "part": part,
            "window": window,
        }
        with open_rows(path, **given) or nullcontext() as reader:
            if reader is not None and shrink == 1:
                return reader.facts.like(dtype=reader.facts.dtype)
    facts = facts_of(path, content_of(path), Choice(layer, part, window, shrink))
    channels = tuple(name for name in facts.channels if name != "A" or alpha != "ignore")
    width, height = facts.size if orient else (facts.width, facts.height)
    return Image.stand_in(width, height, channels, dtype=facts.dtype, **fields_of(facts, color, alpha))


def _image_in_rows(*, path: Path, shrink: int = 1, **params: Any) -> Rows | None:
    from pipeline_io.rows import image_in_rows

    return image_in_rows(path, **params) if shrink == 1 else None


def _is_large(path: Path) -> bool:
    """Whether even the file's bytes are better left where they are."""
    with readable(path):
        return path.stat().st_size > _LARGE


@operation(
    version=2,
    device="cpu",
    infer=infer_image,
    rows=_image_in_rows,
    aliases=("read", "open_image", "imread", "Read", "LoadImage", "input", "load_exr"),
)
def load_image(
    *,
    path: Path,
    color: ColorParam = "auto",
    alpha: AlphaParam = "auto",
    orient: OrientParam = True,
    layer: LayerParam = "",
    part: PartParam = "",
    window: WindowParam = "display",
    shrink: ShrinkParam = 1,
) -> Image:
    """Load a picture: PNG, JPEG, TIFF, OpenEXR, PSD, HDR and more, by its content.

    Read are PNG, JPEG, WebP, TIFF, BMP, OpenEXR, Radiance HDR, Photoshop PSD and PSB, DDS (BC1 to BC7 and plain pixels),
    TGA, QOI, JPEG XL, AVIF of 8 bits and the portable maps (PBM, PGM, PPM, PAM, PFM).

    The pixels stay in the file's own type, `(1, H, W, C)` of uint8, uint16, float16 or float32, and are what the file
    holds: nothing is multiplied by alpha, converted or clipped, and colour under alpha 0 is kept. Palettes and 1, 2 and
    4 bits become 8 bits; 10 to 14 bits become 16; CMYK and YCbCr become RGB. Channels are Y, YA, RGB or RGBA; of an
    OpenEXR file those of one layer, R, G, B, A first. Half stays half; a layer of several types is float32. A layer of a
    Photoshop file comes on a canvas of the picture's size, its mask in its alpha. `list_layers` says which there are.

    Colour is what the file says (cICP, an ICC profile of a named space, gAMA 1.0), else srgb_rec709_scene for integers
    and lin_rec709_scene for floats. A profile of no named space is not applied; its name is in `meta` as icc_profile.
    An OpenEXR's colour is its colorInteropID, else the space of its chromaticities; layers without colour are data.
    One and two channels of a DDS are data. Alpha is associated in OpenEXR and straight in the others, where TIFF, TGA and
    DDS do not say otherwise. Texts of the file are in `meta`.

    Convention: `shrink` keeps of each 8x8 block of a JPEG its lower frequencies; sizes are rounded up. That is near to
    what `resize` with `area` makes of the whole picture, but not equal to it.
    Convention: the first page of a TIFF, and of a moving picture the first frame.
    Convention: an extra TIFF sample whose meaning the file does not say is straight alpha.
    Convention: the first extra channel of a Photoshop file is its alpha; of the transparency of layers the white is taken off.
    Convention: of a DDS the first level of the first picture; the scale of a PFM is not applied.
    Convention: an OpenEXR picture has the size of its display window; where the file has no pixels, all channels are 0.

    Refused: files above 2 GiB and pictures above 2**28 pixels, unless all that reads them works row by row; damaged or
    cut-off files, other formats.
    """
    content = content_of(path)
    facts = facts_of(path, content, Choice(layer, part, window, shrink))
    pixels = pixels_of(path, content, facts)
    channels = facts.channels
    if alpha == "ignore" and "A" in channels:
        pixels = np.delete(pixels, channels.index("A"), axis=2)
        channels = tuple(name for name in channels if name != "A")
    if orient:
        pixels = oriented(pixels, facts.orientation)
    fields = fields_of(facts, color, alpha)
    return Image(np.ascontiguousarray(pixels)[None], channels=channels, meta=facts.meta, **fields)


def _infer_mask(*, path: Path, channel: str = "auto", orient: bool = True, layer: str = "", part: str = "") -> Mask:
    facts = facts_of(path, content_of(path), Choice(layer, part))
    _chosen(facts, channel)
    width, height = facts.size if orient else (facts.width, facts.height)
    return Mask.stand_in(width, height, dtype="float32" if _is_luma(facts, channel) else facts.dtype)


@operation(device="cpu", infer=_infer_mask, aliases=("LoadImageMask", "read_mask"))
def load_mask(
    *,
    path: Path,
    channel: Annotated[
        Literal["auto", "alpha", "luma", "red", "green", "blue"],
        Field(description="auto: alpha if the file has one, else grey, else luma"),
    ] = "auto",
    orient: OrientParam = True,
    layer: LayerParam = "",
    part: PartParam = "",
) -> Mask:
    """Load a mask: the alpha of a picture, or how bright it is; white is inside.

    Values are taken as the file holds them, in its own type. Luma of a coloured picture is float32,
    0.2126 R + 0.7152 G + 0.0722 B (ITU-R BT.709, on the coded values).
    """
    content = content_of(path)
    facts = facts_of(path, content, Choice(layer, part))
    index = _chosen(facts, channel)
    pixels = pixels_of(path, content, facts)
    if _is_luma(facts, channel):
        scale = {"uint8": 255, "uint16": 65535}.get(facts.dtype, 1)
        weights = np.array([0.2126, 0.7152, 0.0722]) / scale
        pixels = (pixels[:, :, :3] @ weights).astype(np.float32)[:, :, None]
    else:
        pixels = pixels[:, :, index : index + 1]
    if orient:
        pixels = oriented(pixels, facts.orientation)
    return Mask(np.ascontiguousarray(pixels)[None], meta=facts.meta)


def oriented(pixels: Array, orientation: int) -> Array:
    """Turned and mirrored so that row 0 is the top and column 0 the left (Exif 2.32, tag 274; 1 is upright already)."""
    if orientation > 4:
        pixels = pixels.transpose(1, 0, 2)
    rows = slice(None, None, -1) if orientation in (3, 4, 7, 8) else slice(None)
    columns = slice(None, None, -1) if orientation in (2, 3, 6, 7) else slice(None)
    return pixels[rows, columns]


def fields_of(facts: Facts, color: str, alpha: str) -> dict[str, Any]:
    """An image's colour and alpha state, as the file says or as it is told."""
    state = facts.alpha
    if state != "none" and alpha != "auto":
        state = "none" if alpha == "ignore" else alpha  # type: ignore[assignment]  # a Literal of these
    return {"color": facts.color if color == "auto" else color, "alpha": state}


def _chosen(facts: Facts, channel: str) -> int:
    """The position of the channel asked for; of the first where luma is asked for."""
    if channel == "auto":
        return facts.channels.index("A") if "A" in facts.channels else 0
    name = {"alpha": "A", "red": "R", "green": "G", "blue": "B"}.get(channel)
    if name is None:
        return 0
    if name not in facts.channels:
        raise OperationError(f"no channel '{channel}': the picture has {', '.join(facts.channels)}")
    return facts.channels.index(name)


def _is_luma(facts: Facts, channel: str) -> bool:
    return facts.channels[:3] == ("R", "G", "B") and (
        channel == "luma" or (channel == "auto" and "A" not in facts.channels)
    )

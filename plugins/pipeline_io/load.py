"""Pictures from files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Image, Mask, OperationError, operation
from pipeline_io import bmp, jpeg, native, png, tiff, webp
from pipeline_io.facts import MAX_FILE_BYTES, Facts, sniff, within_limits

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

_PROBES = {"png": png.probe, "jpeg": jpeg.probe, "webp": webp.probe, "tiff": tiff.probe, "bmp": bmp.probe}


def _infer_image(*, path: Path, color: str = "auto", alpha: str = "auto", orient: bool = True) -> Image:
    facts = _facts(path, _content(path))
    channels = tuple(name for name in facts.channels if name != "A" or alpha != "ignore")
    width, height = facts.size if orient else (facts.width, facts.height)
    return Image.stand_in(width, height, channels, dtype=facts.dtype, **_fields(facts, color, alpha))


@operation(device="cpu", infer=_infer_image, aliases=("read", "open", "imread"))
def load_image(
    *, path: Path, color: ColorParam = "auto", alpha: AlphaParam = "auto", orient: OrientParam = True
) -> Image:
    """Load a picture: PNG, JPEG, WebP, TIFF or BMP, by its content.

    The pixels stay in the file's own type, `(1, H, W, C)` of uint8, uint16, float16 or float32, and are what the file
    holds: nothing is multiplied by alpha, converted or clipped, and colour under alpha 0 is kept. Palettes and 1, 2 and
    4 bits become 8 bits; 10 to 14 bits become 16; CMYK and YCbCr become RGB. Channels are Y, YA, RGB or RGBA.

    Colour is what the file says (cICP, an ICC profile of a named space, gAMA 1.0), else srgb_rec709_scene for integers
    and lin_rec709_scene for floats. A profile of no named space is not applied; its name is in `meta` as icc_profile.
    Alpha is straight in PNG, WebP and BMP; a TIFF says itself. Texts of the file are in `meta`.

    Convention: the first page of a TIFF, and of a moving picture the first frame.
    Convention: an extra TIFF sample whose meaning the file does not say is straight alpha.

    Refused: files above 2 GiB, pictures above 2**28 pixels, damaged or cut-off files, other formats.
    """
    content = _content(path)
    facts = _facts(path, content)
    pixels = _decode(path, content, facts)
    if alpha == "ignore" and "A" in facts.channels:
        pixels = pixels[:, :, :-1]
    if orient:
        pixels = oriented(pixels, facts.orientation)
    channels = facts.channels[: pixels.shape[2]]
    fields = _fields(facts, color, alpha)
    return Image(np.ascontiguousarray(pixels)[None], channels=channels, meta=facts.meta, **fields)


def _infer_mask(*, path: Path, channel: str = "auto", orient: bool = True) -> Mask:
    facts = _facts(path, _content(path))
    _chosen(facts, channel)
    width, height = facts.size if orient else (facts.width, facts.height)
    return Mask.stand_in(width, height, dtype="float32" if _is_luma(facts, channel) else facts.dtype)


@operation(device="cpu", infer=_infer_mask)
def load_mask(
    *,
    path: Path,
    channel: Annotated[
        Literal["auto", "alpha", "luma", "red", "green", "blue"],
        Field(description="auto: alpha if the file has one, else grey, else luma"),
    ] = "auto",
    orient: OrientParam = True,
) -> Mask:
    """Load a mask: the alpha of a picture, or how bright it is; white is inside.

    Values are taken as the file holds them, in its own type. Luma of a coloured picture is float32,
    0.2126 R + 0.7152 G + 0.0722 B (ITU-R BT.709, on the coded values).
    """
    content = _content(path)
    facts = _facts(path, content)
    index = _chosen(facts, channel)
    pixels = _decode(path, content, facts)
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


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise OperationError(f"{path}: {size:,} bytes, above the limit of {MAX_FILE_BYTES:,}")
        return path.read_bytes()
    except FileNotFoundError:
        raise OperationError(f"file not found: {path}") from None
    except IsADirectoryError:
        raise OperationError(f"{path} is a folder, not a file") from None
    except OSError as error:
        raise OperationError(f"{path} can't be read: {error.strerror or error}") from None


def _facts(path: Path, content: bytes) -> Facts:
    try:
        return within_limits(_PROBES[sniff(content)](content))
    except OperationError as error:
        raise OperationError(f"{path}: {error}") from None


def _decode(path: Path, content: bytes, facts: Facts) -> Array:
    try:
        return bmp.decode(content, facts) if facts.format == "bmp" else native.decode(content, facts)
    except OperationError as error:
        raise OperationError(f"{path}: {error}") from None


def _fields(facts: Facts, color: str, alpha: str) -> dict[str, Any]:
    state = facts.alpha
    if state != "none" and alpha != "auto":
        state = "none" if alpha == "ignore" else alpha  # type: ignore[assignment]  # a Literal of these
    return {"color": facts.color if color == "auto" else color, "alpha": state}


def _chosen(facts: Facts, channel: str) -> int:
    """The position of the channel asked for; of the first where luma is asked for."""
    if channel == "auto":
        return len(facts.channels) - 1 if "A" in facts.channels else 0
    name = {"alpha": "A", "red": "R", "green": "G", "blue": "B"}.get(channel)
    if name is None:
        return 0
    if name not in facts.channels:
        raise OperationError(f"no channel '{channel}': the picture has {', '.join(facts.channels)}")
    return facts.channels.index(name)


def _is_luma(facts: Facts, channel: str) -> bool:
    return facts.channels[0] == "R" and (channel == "luma" or (channel == "auto" and "A" not in facts.channels))

"""What each kind of file can hold, and what is therefore refused before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipeline_core import Alpha, File, Image, Mask, OperationError
from pipeline_io import icc, png

Depth = Literal["auto", 8, 16, "half", "float"]
ExrCodec = Literal["none", "rle", "zips", "zip", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab"]
DdsBlocks = Literal["none", "bc1", "bc3", "bc4", "bc5", "bc7"]

_DTYPES = {8: "uint8", 16: "uint16", "half": "float16", "float": "float32"}
_GREY, _GREY_ALPHA, _RGB, _RGBA = ("Y",), ("Y", "A"), ("R", "G", "B"), ("R", "G", "B", "A")
_RG = ("R", "G")
_WHOLE = ("uint8", "uint16")
_ALL = (_GREY, _GREY_ALPHA, _RGB, _RGBA)


@dataclass(frozen=True)
class Kind:
    """A kind of file: the types of its samples (the first is for what fits none), its channels, its alpha.

    `channels` is empty where any will do; `alpha` is the state that the file means, None for the image's own. `colors`
    are the spaces that a file can be in beside those it says by an ICC profile (`profiles`); empty for any.
    """

    name: str
    dtypes: tuple[str, ...] = ("uint8",)
    channels: tuple[tuple[str, ...], ...] = _ALL
    alpha: Alpha | None = "straight"
    colors: frozenset[str] = frozenset({"srgb_rec709_scene"})
    profiles: bool = False
    media_type: str = ""

    def file(self, content: bytes) -> File:
        return File(content, media_type=self.media_type or f"image/{self.name}")


_LINEAR = frozenset({"lin_rec709_scene"})
_PNG = Kind("png", ("uint8", "uint16"), colors=png.NAMED, profiles=True)
_JPEG = Kind("jpeg", channels=(_GREY, _RGB), alpha="none", profiles=True)
_TIFF = Kind("tiff", ("uint8", "uint16", "float16", "float32"), alpha=None, profiles=True)

KINDS = {
    "png": _PNG,
    "jpg": _JPEG,
    "jpeg": _JPEG,
    "webp": Kind("webp", profiles=True),
    "tif": _TIFF,
    "tiff": _TIFF,
    "bmp": Kind("bmp"),
    "hdr": Kind("hdr", ("float32",), (_RGB,), "none", _LINEAR, media_type="image/vnd.radiance"),
    "tga": Kind("tga", media_type="image/x-tga"),
    "dds": Kind("dds", channels=(_GREY, _RG, _RGB, _RGBA), media_type="image/vnd-ms.dds"),
    "jxl": Kind("jxl", ("uint8", "uint16", "float16", "float32"), colors=png.NAMED),
    "avif": Kind("avif", profiles=True),
    "qoi": Kind("qoi", colors=_LINEAR | {"srgb_rec709_scene"}),
    "pgm": Kind("pgm", _WHOLE, (_GREY,), "none", media_type="image/x-portable-graymap"),
    "ppm": Kind("ppm", _WHOLE, (_GREY, _RGB), "none", media_type="image/x-portable-pixmap"),
    "pnm": Kind("pnm", _WHOLE, (_GREY, _RGB), "none", media_type="image/x-portable-anymap"),
    "pam": Kind("pam", _WHOLE, media_type="image/x-portable-arbitrarymap"),
    "pfm": Kind("pfm", ("float32",), (_GREY, _RGB), "none", _LINEAR, media_type="image/x-portable-floatmap"),
    "exr": Kind("exr", ("float16", "float32"), (), "associated", frozenset(), media_type="image/x-exr"),
}


@dataclass(frozen=True)
class Target:
    """A file about to be written; made, with every refusal that needs no pixels, before anything runs."""

    kind: Kind
    dtype: str
    color: str
    channels: tuple[str, ...] = field(default=_GREY)

    @property
    def empty(self) -> File:
        return self.kind.file(b"")


def for_image(image: Image, suffix: str, depth: Depth, *, drop: bool) -> Target:
    """What an image becomes; OperationError for what the file can't hold."""
    kind = KINDS[suffix]
    _one(image)
    channels = tuple(name for name in image.channels if name != "A" or not drop)
    if "A" in channels and kind.alpha == "none":
        raise OperationError(
            f"a {kind.name} file holds no alpha: merge the image over a background first, save as png, "
            "or set alpha: drop"
        )
    if kind.channels and channels not in kind.channels:
        holds = ", ".join("".join(names) for names in kind.channels)
        raise OperationError(
            f"a {kind.name} file holds {holds}, but the channels are {', '.join(image.channels)}; "
            "pick some of them with select_channels"
        )
    dtype = _dtype(image, kind, depth)
    _nameable(image, kind, dtype)
    return Target(kind, dtype, image.color, channels)


def for_mask(mask: Mask, suffix: str, depth: Depth) -> Target:
    """What a mask becomes: grey, without a colour space."""
    _one(mask)
    return Target(KINDS[suffix], _dtype(mask, KINDS[suffix], depth), "data")


def _one(image: Image | Mask) -> None:
    if image.batch > 1:
        raise OperationError(f"a file holds one picture, but this is a batch of {image.batch}: save them one by one")


def _dtype(image: Image | Mask, kind: Kind, depth: Depth) -> str:
    if depth == "auto":
        if image.dtype in kind.dtypes:
            return image.dtype
        # 16 bits need a float to come back; 8 are at home in half.
        return kind.dtypes[-1] if image.dtype == "uint16" and kind.dtypes[-1] == "float32" else kind.dtypes[0]
    dtype = _DTYPES[depth]
    if dtype not in kind.dtypes:
        bits = [str(word) for word, other in _DTYPES.items() if other in kind.dtypes]
        raise OperationError(
            f"a {kind.name} file holds {' or '.join(bits)} bits, not {depth}; save as tiff, or set depth: auto"
        )
    return dtype


def _nameable(image: Image, kind: Kind, dtype: str) -> None:
    """Refuses a colour space that would be lost: by too few bits, or by a file that can't say which it is."""
    color = image.color
    mend = "use color_convert to srgb_rec709_scene first"
    if color.startswith("lin_") and dtype.startswith("uint") and image.dtype.startswith("float"):
        raise OperationError(
            f"linear light ({color}) in {dtype} would band in the dark: {mend}, or save a tiff with depth: half or float"
        )
    if color in ("data", "unknown") or not kind.colors or color in kind.colors:
        return
    if kind.colors.isdisjoint({"srgb_rec709_scene"}):
        mend = f"use color_convert to {min(kind.colors)} first, or save as exr"
    if not (kind.profiles and icc.named(color)):
        raise OperationError(f"a {kind.name} file has no way to say that its colours are {color}: {mend}")

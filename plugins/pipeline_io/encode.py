"""Pictures as files, in memory; the run writes them where they belong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import File, Image, Mask, OperationError, operation
from pipeline_io import bmp, icc, jpeg, png, tiff, webp
from pipeline_io.facts import FormatName
from pipeline_io.samples import Nan, samples

Suffix = Literal["png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp"]
Depth = Literal["auto", 8, 16, "half", "float"]

FormatParam = Annotated[Suffix, Field(description="the kind of file, by its suffix")]
DepthParam = Annotated[
    Depth, Field(description="bits of a sample; auto: the image's own integers, for floats 8, in tiff half or float")
]
NanParam = Annotated[Nan, Field(description="what becomes of NaN and infinity; keep is for half and float")]
Quality = Annotated[int, Field(ge=1, le=100, description="of jpeg and lossy webp: 100 is largest and best")]
Compression = Annotated[
    int, Field(ge=0, le=9, description="of png and tiff: 0 none, 1 fastest, 9 smallest; the pixels are the same")
]

_FORMATS: dict[str, FormatName] = {"jpg": "jpeg", "tif": "tiff", "jpeg": "jpeg", "tiff": "tiff", "png": "png",
                                   "webp": "webp", "bmp": "bmp"}  # fmt: skip
_DTYPES = {8: "uint8", 16: "uint16", "half": "float16", "float": "float32"}
_HOLDS = {"png": ("uint8", "uint16"), "tiff": ("uint8", "uint16", "float16", "float32")}
_WRITABLE = (("Y",), ("Y", "A"), ("R", "G", "B"), ("R", "G", "B", "A"))


@dataclass(frozen=True)
class _Target:
    """What is about to be written; made, with every refusal that needs no pixels, before anything runs."""

    format: FormatName
    dtype: str
    color: str
    alpha: bool

    @property
    def empty(self) -> File:
        return self.file(b"")

    def file(self, content: bytes) -> File:
        return File(content, media_type=f"image/{self.format}")


def _infer_image(
    image: Image,
    *,
    format: Suffix,  # noqa: A002  what the run looks for
    depth: Depth = "auto",
    alpha: str = "keep",
    **_: Any,
) -> File:
    return _target(image, _FORMATS[format], depth, drop=alpha == "drop").empty


def _infer_mask(
    mask: Mask,
    *,
    format: Suffix,  # noqa: A002  what the run looks for
    depth: Depth = "auto",
    **_: Any,
) -> File:
    _one(mask)
    return _Target(_FORMATS[format], _dtype(mask, _FORMATS[format], depth), "data", alpha=False).empty


@operation(device="cpu", infer=_infer_image, aliases=("save", "write", "export"))
def encode_image(
    image: Image,
    *,
    format: FormatParam,  # noqa: A002  what the run looks for
    depth: DepthParam = "auto",
    quality: Quality = 92,
    subsampling: Annotated[
        Literal["4:4:4", "4:2:2", "4:2:0"], Field(description="of jpeg: how much less of colour is kept than of light")
    ] = "4:4:4",
    compression: Compression = 4,
    lossless: Annotated[bool, Field(description="of webp: keep every pixel as it is")] = False,
    nan: NanParam = "refuse",
    dither: Annotated[bool, Field(description="hide the steps of 8 bits under fine, always equal noise")] = False,
    alpha: Annotated[
        Literal["keep", "drop"], Field(description="drop leaves alpha out; the colours stay as they are")
    ] = "keep",
    metadata: Annotated[bool, Field(description="put the image's texts into the file")] = True,
) -> File:
    """An image as a PNG, JPEG, WebP, TIFF or BMP file.

    Nothing is converted on the way: colour is written as it is and named in the file (sRGB, cICP and gAMA in PNG; an
    ICC profile else). Alpha is straight in all formats but TIFF, which is written with the image's own state; an
    associated image is divided by its alpha for the others. WebP has no grey and stores it as RGB. The same image and
    params give the same bytes.

    Texts (`meta`) go into iTXt chunks of a PNG and into the XMP of JPEG, TIFF and WebP; BMP has no place for them.

    Convention: floats are clamped to 0..1 and rounded to the nearest integer, halves to even; nothing wraps.

    Refused: batches; channels other than Y, YA, RGB, RGBA; alpha in a JPEG; linear floats as integers, which would band
    (`color_convert` to srgb_rec709_scene first); colour spaces that the file can't name; values that are not finite.
    """
    target = _target(image, _FORMATS[format], depth, drop=alpha == "drop")
    straight = target.alpha and target.format != "tiff"
    pixels = samples(image, target.dtype, straight=straight, nan=_checked(nan, target.dtype), dither=dither)
    if "A" in image.channels and not target.alpha:
        pixels = pixels[..., :-1]
    meta = image.meta if metadata else {}
    settings = _Settings(quality, subsampling, compression, lossless)
    return target.file(_encoded(pixels, target, image.alpha == "associated", meta, settings))


@operation(device="cpu", infer=_infer_mask)
def encode_mask(
    mask: Mask,
    *,
    format: FormatParam,  # noqa: A002  what the run looks for
    depth: DepthParam = "auto",
    quality: Quality = 92,
    compression: Compression = 4,
    lossless: bool = True,
    nan: NanParam = "refuse",
    metadata: bool = True,
) -> File:
    """A mask as a greyscale file: white is inside.

    As `encode_image`; no colour space is named in the file.
    """
    _one(mask)
    name = _FORMATS[format]
    target = _Target(name, _dtype(mask, name, depth), "data", alpha=False)
    pixels = samples(mask, target.dtype, straight=False, nan=_checked(nan, target.dtype), dither=False)
    settings = _Settings(quality, "4:4:4", compression, lossless)
    return target.file(_encoded(pixels, target, False, mask.meta if metadata else {}, settings))


@dataclass(frozen=True)
class _Settings:
    quality: int
    subsampling: str
    compression: int
    lossless: bool


def _encoded(
    pixels: np.ndarray[Any, Any], target: _Target, associated: bool, meta: Mapping[str, str], settings: _Settings
) -> bytes:
    color = target.color
    match target.format:
        case "png":
            return png.encode(pixels, color=color, meta=meta, compression=settings.compression)
        case "tiff":
            return tiff.encode(pixels, associated=associated, color=color, meta=meta, compression=settings.compression)
        case "jpeg":
            return jpeg.encode(
                pixels, color=color, meta=meta, quality=settings.quality, subsampling=settings.subsampling
            )
        case "webp":
            return webp.encode(
                _colored(pixels), color=color, meta=meta, quality=settings.quality, lossless=settings.lossless
            )
        case "bmp":
            return bmp.encode(_colored(pixels) if pixels.shape[2] == 2 else pixels)


def _colored(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Grey as three equal channels, alpha behind."""
    return pixels if pixels.shape[2] > 2 else pixels[..., [0, 0, 0, 1][: pixels.shape[2] + 2]]


def _target(image: Image, name: FormatName, depth: Depth, drop: bool) -> _Target:
    _one(image)
    if image.channels not in _WRITABLE:
        raise OperationError(
            f"a {name} file holds Y, YA, RGB or RGBA, but the channels are {', '.join(image.channels)}; "
            "pick some of them with channel_select"
        )
    keeps = "A" in image.channels and not drop
    if keeps and name == "jpeg":
        raise OperationError(
            "a jpeg file holds no alpha: merge the image over a background first, save as png, or set alpha: drop"
        )
    dtype = _dtype(image, name, depth)
    _nameable(image, name, dtype)
    return _Target(name, dtype, image.color, keeps)


def _one(image: Image | Mask) -> None:
    if image.batch > 1:
        raise OperationError(f"a file holds one picture, but this is a batch of {image.batch}: save them one by one")


def _dtype(image: Image | Mask, name: FormatName, depth: Depth) -> str:
    holds = _HOLDS.get(name, ("uint8",))
    if depth == "auto":
        return image.dtype if image.dtype in holds else "uint8"
    dtype = _DTYPES[depth]
    if dtype not in holds:
        bits = [str(word) for word, other in _DTYPES.items() if other in holds]
        raise OperationError(
            f"a {name} file holds {' or '.join(bits)} bits, not {depth}; save as tiff, or set depth: auto"
        )
    return dtype


def _nameable(image: Image, name: FormatName, dtype: str) -> None:
    """Refuses a colour space that would be lost: by too few bits, or by a file that can't say which it is."""
    color = image.color
    mend = "use color_convert to srgb_rec709_scene first"
    if color.startswith("lin_") and dtype.startswith("uint") and image.dtype.startswith("float"):
        raise OperationError(
            f"linear light ({color}) in {dtype} would band in the dark: {mend}, or save a tiff with depth: half or float"
        )
    if color in ("data", "unknown", "srgb_rec709_scene"):
        return
    if name == "bmp" or not (icc.named(color) or (name == "png" and color in png.NAMED)):
        raise OperationError(f"a {name} file has no way to say that its colours are {color}: {mend}")


def _checked(nan: Nan, dtype: str) -> Nan:
    if nan == "keep" and dtype.startswith("uint"):
        raise OperationError("nan: keep is for half and float files, but this one holds integers; use nan: zero")
    return nan

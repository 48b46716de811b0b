"""Pictures as files, in memory; the run writes them where they belong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import File, Image, Mask, OperationError, RowFile, operation
from pipeline_io.samples import Nan, samples
from pipeline_io.target import DdsBlocks, Depth, ExrCodec, Target, for_image, for_mask

if TYPE_CHECKING:
    from pipeline_io.row_writer import RowWriter

Suffix = Literal[
    "png",
    "jpg",
    "jpeg",
    "webp",
    "avif",
    "jxl",
    "tif",
    "tiff",
    "bmp",
    "exr",
    "hdr",
    "tga",
    "dds",
    "qoi",
    "pgm",
    "ppm",
    "pnm",
    "pam",
    "pfm",
]

FormatParam = Annotated[Suffix, Field(description="the kind of file, by its suffix")]
DepthParam = Annotated[
    Depth,
    Field(
        description="bits of a sample; auto: the image's own where the file can hold them, else 8; in exr half or float"
    ),
]
NanParam = Annotated[Nan, Field(description="what becomes of NaN and infinity; keep is for half and float")]
Quality = Annotated[
    int, Field(ge=1, le=100, description="of jpeg, avif and lossy webp and jxl: 100 is largest and best")
]
Compression = Annotated[
    int,
    Field(
        ge=0, le=9, description="of png, tiff and zipped exr: 0 none, 1 fastest, 9 smallest; the pixels are the same"
    ),
]


def _infer_image(
    image: Image,
    *,
    format: Suffix,  # noqa: A002  what the run looks for
    depth: Depth = "auto",
    alpha: str = "keep",
    **_: Any,
) -> File:
    return for_image(image, format, depth, drop=alpha == "drop").empty


def _infer_mask(
    mask: Mask,
    *,
    format: Suffix,  # noqa: A002  what the run looks for
    depth: Depth = "auto",
    **_: Any,
) -> File:
    return for_mask(mask, format, depth).empty


def _image_in_rows(image: Image, **params: Any) -> RowFile | None:
    from pipeline_io.row_writer import can_write, write_rows

    if not can_write(**params):
        return None

    def opened(path: Path, whole: Image) -> RowWriter:
        writer = write_rows(path, whole, **params)
        assert writer is not None  # as `can_write` has it
        return writer

    return RowFile(opened)


@operation(
    device="cpu",
    infer=_infer_image,
    rows=_image_in_rows,
    aliases=("save", "write", "export", "imwrite", "Write", "SaveImage", "output"),
)
def encode_image(
    image: Image,
    *,
    format: FormatParam,  # noqa: A002  what the run looks for
    depth: DepthParam = "auto",
    quality: Quality = 92,
    subsampling: Annotated[
        Literal["4:4:4", "4:2:2", "4:2:0"],
        Field(description="of jpeg and avif: how much less of colour is kept than of light"),
    ] = "4:4:4",
    compression: Compression = 4,
    exr_compression: Annotated[
        ExrCodec, Field(description="of exr; pxr24, b44 and dwa change the values a little")
    ] = "zip",
    dds_compression: Annotated[
        DdsBlocks,
        Field(
            description="of dds: blocks of 4x4 pixels; bc1 colour, bc3 with alpha, bc4 one channel, bc5 red and green, bc7 the best of both (needs etcpak)"
        ),
    ] = "none",
    lossless: Annotated[bool, Field(description="of webp and jxl: keep every pixel as it is")] = False,
    nan: NanParam = "refuse",
    dither: Annotated[bool, Field(description="hide the steps of 8 bits under fine, always equal noise")] = False,
    alpha: Annotated[
        Literal["keep", "drop"], Field(description="drop leaves alpha out; the colours stay as they are")
    ] = "keep",
    metadata: Annotated[bool, Field(description="put the image's texts into the file")] = True,
) -> File:
    """An image as a file: PNG, JPEG, WebP, AVIF, JPEG XL, TIFF, OpenEXR, HDR, DDS and more.

    Also BMP, TGA, QOI, PGM, PPM, PNM, PAM and PFM. Nothing is converted on the way: colour is written as it is and named
    in the file (sRGB, cICP and gAMA in PNG, CICP in JPEG XL, colorInteropID and chromaticities in OpenEXR; an ICC
    profile in JPEG, WebP, AVIF and TIFF). Alpha is straight in all formats but OpenEXR, where it is associated, and
    TIFF, which has the image's own state; an image of the other state is divided or multiplied by its alpha; from 4
    GiB of pixels on it is a BigTIFF. OpenEXR holds channels of any names, so layers too (`stack_layers`); WebP, AVIF and
    QOI store grey as RGB. The same image and params give the same bytes on one kind of machine.

    KTX2 is not written: no library that is kept up offers it to Python on Linux. DDS holds the same blocks (BC1 to BC7), which
    engines and the KTX tools read.

    Texts (`meta`) go into iTXt chunks of a PNG, attributes of an OpenEXR and the XMP of JPEG, WebP, AVIF, JPEG XL and
    TIFF; the others have no place for them.

    Convention: floats are clamped to 0..1 and rounded to the nearest integer, halves to even; nothing wraps.
    Convention: HDR's common exponent: rounded to the nearest, negative values become 0. A PFM is little-endian, scale 1.

    Refused: batches; channels other than Y, YA, RGB, RGBA (but in OpenEXR); alpha in JPEG, HDR, PGM, PPM and PFM; linear
    floats as integers, which would band (`color_convert` to srgb_rec709_scene first); colour spaces that the file can't
    name; values that are not finite.
    """
    target = for_image(image, format, depth, drop=alpha == "drop")
    pixels = pixels_for(target, image, nan, dither)
    settings = _Settings(quality, subsampling, compression, exr_compression, dds_compression, lossless)
    meta = image.meta if metadata else {}
    return target.kind.file(
        _encoded(pixels, target, (target.kind.alpha or image.alpha) == "associated", meta, settings)
    )


def pixels_for(target: Target, image: Image, nan: Nan, dither: bool) -> np.ndarray[Any, Any]:
    """An image's `(H, W, C)` samples as its file holds them."""
    keeps = "A" in target.channels
    state = (target.kind.alpha or image.alpha) if keeps else "none"
    pixels = samples(image, target.dtype, state=state, nan=_checked(nan, target.dtype), dither=dither)
    return np.delete(pixels, image.index("A"), axis=2) if "A" in image.channels and not keeps else pixels


@operation(device="cpu", infer=_infer_mask, aliases=("save_mask",))
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
    target = for_mask(mask, format, depth)
    pixels = samples(mask, target.dtype, state="none", nan=_checked(nan, target.dtype), dither=False)
    settings = _Settings(quality, "4:4:4", compression, "zip", "none", lossless)
    return target.kind.file(_encoded(pixels, target, False, mask.meta if metadata else {}, settings))


@dataclass(frozen=True)
class _Settings:
    quality: int
    subsampling: str
    compression: int
    exr_compression: ExrCodec
    dds_compression: DdsBlocks
    lossless: bool


def _encoded(
    pixels: np.ndarray[Any, Any], target: Target, associated: bool, meta: Mapping[str, str], settings: _Settings
) -> bytes:
    """The bytes, by the format's own module, which is imported here: most runs write one or two of them."""
    color, level = target.color, settings.compression
    match target.kind.name:
        case "png":
            from pipeline_io import png

            return png.encode(pixels, color=color, meta=meta, compression=level)
        case "tiff":
            from pipeline_io import tiff

            return tiff.encode(pixels, associated=associated, color=color, meta=meta, compression=level)
        case "jpeg":
            from pipeline_io import jpeg

            return jpeg.encode(
                pixels, color=color, meta=meta, quality=settings.quality, subsampling=settings.subsampling
            )
        case "webp":
            from pipeline_io import webp

            return webp.encode(
                _colored(pixels), color=color, meta=meta, quality=settings.quality, lossless=settings.lossless
            )
        case "exr":
            from pipeline_io import exr_write

            return exr_write.encode(
                pixels, target.channels, color=color, meta=meta, codec=settings.exr_compression, level=level
            )
        case "jxl":
            from pipeline_io import jxl

            return jxl.encode(
                _plain(pixels), color=color, meta=meta, quality=settings.quality, lossless=settings.lossless
            )
        case "avif":
            from pipeline_io import avif

            return avif.encode(
                _colored(pixels), color=color, meta=meta, quality=settings.quality, subsampling=settings.subsampling
            )
        case "hdr":
            from pipeline_io import hdr

            return hdr.encode(pixels)
        case "qoi":
            from pipeline_io import qoi

            return qoi.encode(_colored(pixels), color=color)
        case "dds":
            from pipeline_io import dds

            return dds.encode(pixels, blocks=settings.dds_compression, srgb=color != "data")
        case "tga":
            from pipeline_io import tga

            return tga.encode(_plain(pixels))
        case "pgm" | "ppm" | "pnm" | "pam" | "pfm":
            from pipeline_io import pnm

            return pnm.encode(_colored(pixels) if target.kind.name == "ppm" else pixels, target.kind.name)
        case _:
            from pipeline_io import bmp

            return bmp.encode(_plain(pixels))


def _colored(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Grey as three equal channels, alpha behind."""
    return pixels if pixels.shape[2] > 2 else pixels[..., [0, 0, 0, 1][: pixels.shape[2] + 2]]


def _plain(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Grey with alpha as colour with alpha, for formats that have none of the former."""
    return _colored(pixels) if pixels.shape[2] == 2 else pixels


def _checked(nan: Nan, dtype: str) -> Nan:
    if nan == "keep" and dtype.startswith("uint"):
        raise OperationError("nan: keep is for half and float files, but this one holds integers; use nan: zero")
    return nan

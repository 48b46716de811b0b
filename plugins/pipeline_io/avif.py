"""AVIF of 8 bits, by Pillow: facts as its decoder tells them, and writing.

Source: the AV1 Image File Format, version 1.1; the AV1 Codec ISO Media File Format Binding (`av1C`); ISO/IEC 23000-22
(`colr`).
"""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Mapping

import numpy as np

from pipeline_core import OperationError
from pipeline_io import apart, exif, icc, png, xmp
from pipeline_io.facts import CHANNELS, Facts

_DEEP = 0x40  # of av1C's third byte: more than 8 bits
_HEAD = 65536


def probe(content: bytes) -> Facts:
    """What the header's boxes say, and the decoder in a process of its own."""
    head = content[:_HEAD]
    at = head.find(b"av1C")
    if at < 0 or at + 7 > len(head):
        raise OperationError("damaged avif file: no picture in it")
    if head[at + 6] & _DEEP:
        raise OperationError("an avif file of more than 8 bits; what is read is 8 bits")
    told = apart.describe(content, "avif")
    width, height = told["size"]
    profile, block, packet = (base64.b64decode(told[name]) for name in ("icc", "exif", "xmp"))
    color = icc.identify(profile) if profile else _named(head)
    directory = exif.exif_directory(block)
    channels = CHANNELS[told["samples"]]
    return Facts(
        "avif",
        width,
        height,
        channels,
        alpha=("associated" if b"prem" in head else "straight") if "A" in channels else "none",
        color=color or "srgb_rec709_scene",
        orientation=directory.orientation,
        meta=({} if color or not profile else icc.note(profile)) | directory.texts | xmp.read_packet(packet),
    )


def encode(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    *,
    color: str,
    meta: Mapping[str, str],
    quality: int,
    subsampling: str,
) -> bytes:
    """An AVIF of `(H, W, 3 or 4)` uint8 pixels with straight alpha."""
    import PIL.Image

    out = io.BytesIO()
    tagged = color != "srgb_rec709_scene" and icc.named(color)
    PIL.Image.fromarray(np.ascontiguousarray(pixels)).save(
        out,
        "AVIF",
        quality=quality,
        subsampling=subsampling,
        speed=6,
        icc_profile=icc.build(color) if tagged else b"",
        xmp=xmp.write_packet(meta),
    )
    return out.getvalue()


def _named(head: bytes) -> str | None:
    at = head.find(b"colrnclx")
    return png.BY_CODES.get(struct.unpack_from(">HH", head, at + 8)) if 0 <= at < len(head) - 12 else None

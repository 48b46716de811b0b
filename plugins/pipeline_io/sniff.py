"""Which format a file is in, by its content."""

from __future__ import annotations

import re

from pipeline_core import OperationError
from pipeline_io.facts import READ, FormatName

_MAGIC: tuple[tuple[bytes, FormatName], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"BM", "bmp"),
    (b"\x76\x2f\x31\x01", "exr"),
    (b"#?", "hdr"),
    (b"8BPS", "psd"),
    (b"DDS ", "dds"),
    (b"qoif", "qoi"),
    (b"\xff\x0a", "jxl"),
    (b"\0\0\0\x0cJXL ", "jxl"),
)
_PNM = re.compile(rb"P(?:[1-6fF]\s|7\n)")
_UNKNOWN = "no known image"
_OTHERS = (
    (b"GIF8", "a GIF"),
    (b"\0\0\1\0", "an ICO"),
    (b"\0\0\2\0", "a CUR"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"\x01\xda", "an SGI"),
    (b"SDPX", "a DPX"),
    (b"XPDS", "a DPX"),
    (b"SIMPLE", "a FITS"),
    (b"%PDF", "a PDF"),
    (b"<svg", "an SVG"),
    (b"<?xml", "an XML"),
)


def format_of(content: bytes) -> FormatName:
    """The format by the file's first bytes; its name has no say. OperationError for one that is not read."""
    if not content:
        raise OperationError("the file is empty")
    head = content[:16]
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:12] == b"ftypavif":
        return "avif"
    if _PNM.match(head):
        return "pnm"
    from pipeline_io import tga

    if tga.looks_like(content):
        return "tga"
    raise OperationError(f"{_other(head)} file; what is read is {READ}: convert it to one of these")


def _other(head: bytes) -> str:
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        return {b"avis": "a moving AVIF", b"heic": "an HEIC"}.get(head[8:12], "an MP4-like")
    return _UNKNOWN

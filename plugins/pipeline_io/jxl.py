"""JPEG XL, by OpenImageIO: facts as its decoder tells them, and writing; the texts are in a box of XMP of our own.

Source: ISO/IEC 18181-2 (the container).
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_core import OperationError
from pipeline_io import apart, png, xmp
from pipeline_io.facts import CHANNELS, Facts

_BOXED = b"\0\0\0\x0cJXL \r\n\x87\n"
_XMP = b"xml "
# The first level packs 16-bit 4K in 0.7 s where the third takes 7 and the seventh 70, for some per cent of the size.
# What it makes of grey (libjxl 0.12) its own decoder refuses.
_EFFORT_LOSSLESS, _EFFORT_GREY, _EFFORT = 1, 3, 4


def probe(content: bytes) -> Facts:
    """What the decoder says of the header, in a process of its own."""
    told = apart.describe(content, "jxl")
    width, height = told["size"]
    channels = CHANNELS.get(told["samples"])
    if channels is None:
        raise OperationError(f"a jxl file of {told['samples']} channels; what is read is grey and RGB, with one alpha")
    codes = tuple(told["cicp"][:2])
    color = "lin_rec709_scene" if codes[1:] == (8,) and codes[0] in (0, 1, 2) else png.BY_CODES.get(codes)
    return Facts(
        "jxl",
        width,
        height,
        channels,
        dtype=told["dtype"],
        alpha="straight" if "A" in channels else "none",
        color=color or "srgb_rec709_scene",
        meta=xmp.read_packet(next((body for kind, body in _boxes(content) if kind == _XMP), b"")),
    )


def encode(pixels: np.ndarray[Any, Any], *, color: str, meta: Mapping[str, str], quality: int, lossless: bool) -> bytes:
    """A JPEG XL of `(H, W, 1, 3 or 4)` uint8, uint16, float16 or float32 pixels with straight alpha."""
    import OpenImageIO

    usual = "lin_rec709_scene" if pixels.dtype.kind == "f" else "srgb_rec709_scene"
    if pixels.shape[2] == 1 and color in png.CODES and color != usual:
        pixels = pixels.repeat(3, axis=2)  # only colour can be named
    height, width, samples = pixels.shape
    kind = {"float16": "half", "float32": "float"}.get(pixels.dtype.name, pixels.dtype.name)
    spec = OpenImageIO.ImageSpec(width, height, samples, kind)
    spec.attribute("compression", f"jpegxl:{100 if lossless else min(quality, 99)}")
    lossless_effort = _EFFORT_LOSSLESS if samples > 1 else _EFFORT_GREY
    spec.attribute("jpegxl:effort", lossless_effort if lossless else _EFFORT)
    spec.attribute("oiio:UnassociatedAlpha", 1)
    if color in png.CODES and samples > 1:
        spec.attribute("CICP", OpenImageIO.TypeDesc("int[4]"), (*png.CODES[color], 0, 1))
    with tempfile.TemporaryDirectory(prefix="pipeline-") as folder:
        path = Path(folder) / "file.jxl"
        out = OpenImageIO.ImageOutput.create(str(path))
        written = out and out.open(str(path), spec) and out.write_image(np.ascontiguousarray(pixels)) and out.close()
        if out is None or not written:
            raise OperationError(f"the jxl file can not be made: {(out or OpenImageIO).geterror()}")
        content = path.read_bytes()
    packet = xmp.write_packet(meta)
    return content + struct.pack(">I4s", len(packet) + 8, _XMP) + packet if packet else content


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while content.startswith(_BOXED) and at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        start = at + 8
        if size == 1 and at + 16 <= len(content):
            size, start = struct.unpack_from(">Q", content, at + 8)[0], at + 16
        end = at + size if size else len(content)
        if end <= at:
            return
        yield kind, content[start:end]
        at = end

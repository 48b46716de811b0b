"""WebP: the header's facts, and writing. Source: RFC 9649 (container and bitstreams)."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping

import numpy as np

from pipeline_core import OperationError
from pipeline_io import exif, icc, xmp
from pipeline_io.facts import CHANNELS, Facts

MOST = 16383
"""The most pixels on a side that the format can hold."""


def probe(content: bytes) -> Facts:
    """What the chunks say. A moving picture counts with the size of its canvas."""
    chunks: dict[bytes, bytes] = {}
    for name, body in _chunks(content):
        chunks.setdefault(name, body)
    width, height, alpha = _size(chunks)
    directory = exif.exif_directory(chunks.get(b"EXIF", b""))
    profile = chunks.get(b"ICCP", b"")
    color = icc.identify(profile)
    return Facts(
        "webp",
        width,
        height,
        CHANNELS[4 if alpha else 3],
        alpha="straight" if alpha else "none",
        color=color or "srgb_rec709_scene",
        orientation=directory.orientation,
        meta=({} if color or not profile else icc.note(profile))
        | directory.texts
        | xmp.read_packet(chunks.get(b"XMP ", b"")),
    )


def encode(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    *,
    color: str,
    meta: Mapping[str, str],
    quality: int,
    lossless: bool,
) -> bytes:
    """A WebP of `(H, W, 3 or 4)` uint8 pixels with straight alpha; colour under alpha 0 is kept."""
    import PIL.Image

    if max(pixels.shape[:2]) > MOST:
        raise OperationError(f"webp holds at most {MOST} pixels on a side, got {pixels.shape[1]}x{pixels.shape[0]}")
    out = io.BytesIO()
    tagged = color != "srgb_rec709_scene" and icc.named(color)
    PIL.Image.fromarray(np.ascontiguousarray(pixels)).save(
        out,
        "WEBP",
        # For a lossless file this is the effort, which 50 keeps within seconds at 4K.
        quality=50 if lossless else quality,
        lossless=lossless,
        method=2 if lossless else 4,
        exact=True,
        icc_profile=icc.build(color) if tagged else b"",
        xmp=xmp.write_packet(meta),
    )
    return out.getvalue()


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    end = 8 + struct.unpack_from("<I", content, 4)[0] if len(content) >= 12 else 0
    if end > len(content) + 1:  # some writers leave out the last byte of padding
        raise OperationError("the webp file is cut off")
    while at + 8 <= min(end, len(content)):
        name, length = struct.unpack_from("<4sI", content, at)
        yield name, content[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _size(chunks: Mapping[bytes, bytes]) -> tuple[int, int, bool]:
    """Width, height and whether there is alpha."""
    if len(extended := chunks.get(b"VP8X", b"")) >= 10:
        width, height = (1 + int.from_bytes(extended[i : i + 3], "little") for i in (4, 7))
        return width, height, bool(extended[0] & 0x10)
    if len(lossless := chunks.get(b"VP8L", b"")) >= 5 and lossless[0] == 0x2F:
        bits = int.from_bytes(lossless[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), bool(bits >> 28 & 1)
    if len(lossy := chunks.get(b"VP8 ", b"")) >= 10 and lossy[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", lossy, 6)
        return width & 0x3FFF, height & 0x3FFF, False
    raise OperationError("damaged webp file: no picture in it")

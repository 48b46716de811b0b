"""JPEG: the header's facts, the pixels by libjpeg-turbo, and metadata put into an encoded file.

Sources: ITU-T T.81 (segments, frame headers); Exif 2.32; ICC.1:2022, annex B.4 (profiles in APP2); Adobe's XMP
specification, part 3, section 1.1.3 (packets above 64 KiB are split, with the MD5 digest of the whole as their name).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping

import numpy as np
import simplejpeg

from pipeline_core import OperationError
from pipeline_io import exif, icc, native, xmp
from pipeline_io.facts import CHANNELS, Facts

_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED = b"http://ns.adobe.com/xmp/extension/\0"
_ICC = b"ICC_PROFILE\0"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MOST = 65000

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def probe(content: bytes) -> Facts:
    """What the segments before the first scan say."""
    frame, directory, packet, comment = b"", exif.EMPTY, b"", ""
    profile: dict[int, bytes] = {}
    extended: dict[int, bytes] = {}
    for marker, body in _segments(content):
        if marker in _FRAMES:
            frame = body
        elif marker == 0xE1 and body.startswith(_EXIF):
            directory = exif.exif_directory(body)
        elif marker == 0xE1 and body.startswith(_XMP):
            packet = body[len(_XMP) :]
        elif marker == 0xE1 and body.startswith(_EXTENDED) and len(body) > len(_EXTENDED) + 40:
            at = len(_EXTENDED) + 36
            extended[struct.unpack_from(">I", body, at)[0]] = body[at + 4 :]
        elif marker == 0xE2 and body.startswith(_ICC) and len(body) > 14:
            profile[body[12]] = body[14:]
        elif marker == 0xFE:
            comment = exif.decode_text(body)
    if len(frame) < 6:
        raise OperationError("the jpeg file is cut off before its first scan")
    depth, height, width, components = struct.unpack_from(">BHHB", frame)
    if depth != 8 or components not in (1, 3, 4):
        raise OperationError(
            f"a jpeg file of {components} components of {depth} bits; what is read is 8 bits, grey or colour"
        )
    whole = b"".join(profile[i] for i in sorted(profile))
    color = icc.identify(whole)
    return Facts(
        "jpeg",
        width,
        height,
        CHANNELS[1 if components == 1 else 3],
        color=color or "srgb_rec709_scene",
        orientation=directory.orientation,
        meta=({} if color or not whole else icc.note(whole))
        | ({"comment": comment} if comment else {})
        | directory.texts
        | xmp.read_packet(packet)
        | xmp.read_packet(b"".join(extended[at] for at in sorted(extended))),
        # A block of 64 samples takes at least one bit, and colour adds two samples to each.
        room=len(content) * 8 * 64 * 3,
    )


def decode(content: bytes, facts: Facts) -> Pixels:
    """`(H, W, C)` pixels, exactly of the facts' size; what is not sound to the last byte is OpenImageIO's to judge.

    The same libjpeg-turbo is behind both, but this way it is given memory instead of a file, and lets other threads run.
    Smaller pictures are made of the lower frequencies of each block of 8x8.
    """
    grey = facts.channels == ("Y",)
    smaller = {} if facts.shrink == 1 else {"min_factor": facts.shrink, "min_height": facts.height, "min_width": facts.width}  # fmt: skip
    reason = "its colours are of four components"
    try:
        if simplejpeg.decode_jpeg_header(content)[2] not in ("CMYK", "YCCK"):
            pixels: Pixels = simplejpeg.decode_jpeg(content, "GRAY" if grey else "RGB", **smaller)
            if pixels.shape == (facts.height, facts.width, 1 if grey else 3):
                return pixels
            reason = "it holds other pixels than its header says"
    except ValueError as error:
        reason = " ".join(str(error).split())
    if smaller:
        raise OperationError(f"the jpeg file can't be shrunk while it is decoded ({reason}); leave shrink at 1")
    return native.decode(content, facts)


def encode(pixels: Pixels, *, color: str, meta: Mapping[str, str], quality: int, subsampling: str) -> bytes:
    """A baseline JPEG of `(H, W, 1 or 3)` uint8 pixels."""
    grey = pixels.shape[2] == 1
    content: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels),
        quality,
        "GRAY" if grey else "RGB",
        "Gray" if grey else subsampling.replace(":", ""),
        fastdct=False,
    )
    # After the start of image and the JFIF segment, which has to come first.
    at = 4 + struct.unpack_from(">H", content, 4)[0] if content[2:4] == b"\xff\xe0" else 2
    return content[:at] + b"".join((*_xmp_segments(meta), *_icc_segments(color, grey))) + content[at:]


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and body of each segment up to the first scan."""
    at = 2
    while at + 4 <= len(content):
        if content[at] != 0xFF:
            raise OperationError("damaged jpeg file: no marker where one should be")
        marker = content[at + 1]
        if marker == 0xFF or marker == 1 or 0xD0 <= marker <= 0xD7:  # fill byte, or a marker without a body
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (0xDA, 0xD9):
            return
        length = struct.unpack_from(">H", content, at + 2)[0]
        yield marker, content[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _xmp_segments(meta: Mapping[str, str]) -> list[bytes]:
    packet = xmp.write_packet(meta)
    if not packet:
        return []
    if len(packet) <= _MOST:
        return [_segment(0xE1, _XMP + packet)]
    name = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper()
    parts = [
        _segment(0xE1, _EXTENDED + name.encode() + struct.pack(">II", len(packet), at) + packet[at : at + _MOST])
        for at in range(0, len(packet), _MOST)
    ]
    return [_segment(0xE1, _XMP + xmp.extension_note(name)), *parts]


def _icc_segments(color: str, grey: bool) -> list[bytes]:
    if color == "srgb_rec709_scene" or not icc.named(color):
        return []
    return [_segment(0xE2, _ICC + b"\1\1" + icc.build(color, grey))]

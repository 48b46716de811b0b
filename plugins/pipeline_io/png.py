"""PNG: the header's facts, the pixels, and a writer for all bit depths with or without alpha.

Source: Portable Network Graphics (PNG) Specification (Third Edition), W3C.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from isal import isal_zlib

from pipeline_core import OperationError, empty
from pipeline_io import exif, icc, native, png_pixels, png_rows, xmp
from pipeline_io.facts import CHANNELS, Facts

Array = np.ndarray[Any, Any]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_PALETTE = 3
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# ITU-T H.273: (primaries, transfer) of RGB at full range
CODES = {
    "srgb_rec709_scene": (1, 13),
    "lin_rec709_scene": (1, 8),
    "srgb_p3d65_scene": (12, 13),
    "lin_p3d65_scene": (12, 8),
    "lin_rec2020_scene": (9, 8),
    "pq_rec2020_display": (9, 16),
    "hlg_rec2020_display": (9, 18),
}
NAMED = frozenset(CODES)
BY_CODES = {codes: color for color, codes in CODES.items()}
# Keywords that the specification names, under the names that other formats have for them.
_KEYWORDS = {
    "title": "Title",
    "description": "Description",
    "artist": "Author",
    "copyright": "Copyright",
    "software": "Software",
}
_NAMES = {keyword: name for name, keyword in _KEYWORDS.items()}
_XMP = "XML:com.adobe.xmp"
_RAW = "Raw profile type "
_MAX_TEXT = 2**24


def probe(content: bytes) -> Facts:
    """What the chunks before and after the pixels say."""
    header = b""
    chunks: dict[bytes, bytes] = {}
    texts: dict[str, str] = {}
    packed = 0
    for name, body in _chunks(content):
        if name == b"IHDR":
            header = bytes(body)
        elif name == b"IDAT":
            packed += len(body)
        elif name in (b"tEXt", b"zTXt", b"iTXt"):
            texts.update(_text(name, bytes(body)))
        else:
            chunks.setdefault(name, bytes(body))
    if len(header) != 13:
        raise OperationError("damaged png file: no header")
    width, height, depth, kind, *_ = struct.unpack(">IIBBBBB", header)
    if depth not in _DEPTHS.get(kind, ()):
        raise OperationError(f"damaged png file: colour type {kind} with {depth} bits")
    channels = CHANNELS[_SAMPLES[kind] + (b"tRNS" in chunks and kind in (0, 2, 3))]
    raw = {key: texts.pop(key) for key in [*texts] if key.startswith(_RAW)}
    directory = exif.exif_directory(chunks.get(b"eXIf") or _raw_exif(raw))
    color, profile = _color(chunks)
    packet = texts.pop(_XMP, "")
    return Facts(
        "png",
        width,
        height,
        channels,
        dtype="uint16" if depth == 16 else "uint8",
        alpha="straight" if "A" in channels else "none",
        color=color,
        orientation=directory.orientation,
        meta=profile | directory.texts | texts | xmp.read_packet(packet.encode()),
        # Deflate makes at most 1032 bytes of one; a pixel of a palette or of few bits grows to bytes on top.
        room=packed * 1032 * (32 if depth < 8 else 4 if kind == 3 else 2),
    )


def decode(content: bytes, facts: Facts) -> Array:
    """`(H, W, C)` pixels, exactly of the facts' size, channels and type."""
    unpacker = unpacked(content, facts)
    if unpacker is None:
        return native.decode(content, facts)
    pixels = empty((facts.height, facts.width, len(facts.channels)), facts.dtype)
    unpacker.read(pixels)
    unpacker.finish()
    return pixels


def unpacked(content: bytes, facts: Facts) -> png_pixels.Unpacker | None:
    """What gives its rows in order; None for what is left to libpng: interlaced rows, palettes, colours that stand for
    alpha, pixels of fewer than 8 bits, and all where there is no kernel."""
    depth, kind, _, _, interlaced = content[24:29]
    plain = depth >= 8 and not interlaced and kind != _PALETTE and len(facts.channels) == _SAMPLES[kind]
    if content[12:16] != b"IHDR" or not plain or not png_pixels.can_unfilter():
        return None
    bodies = (body for name, body in _chunks(content) if name == b"IDAT")
    return png_pixels.Unpacker(bodies, facts.width, len(facts.channels), facts.dtype)


def encode(pixels: Array, *, color: str, meta: Mapping[str, str], compression: int) -> bytes:
    """A PNG of `(H, W, C)` uint8 or uint16 pixels with straight alpha; the same bytes for the same arguments on one kind of machine."""
    parts: list[bytes] = []
    stream = Stream(parts.append, pixels.shape, pixels.dtype.itemsize, color=color, meta=meta, compression=compression)
    stream.add(pixels)
    stream.finish()
    return b"".join(parts)


class Stream:
    """A PNG that is written while its rows come; the same bytes as `encode` makes."""

    def __init__(
        self,
        write: Callable[[bytes], object],
        shape: tuple[int, ...],
        itemsize: int,
        *,
        color: str,
        meta: Mapping[str, str],
        compression: int,
    ) -> None:
        height, width, samples = shape
        self._write = write
        self._packer = png_rows.Packer(height, width, samples * itemsize, compression)
        header = struct.pack(">IIBBBBB", width, height, itemsize * 8, _COLOR_TYPES[samples], 0, 0, 0)
        for part in (_SIGNATURE, _chunk(b"IHDR", header), *_color_chunks(color, grey=samples < 3), *_text_chunks(meta)):
            write(part)

    def add(self, pixels: Array) -> None:
        for block in self._packer.pack(pixels):
            self._write(_chunk(b"IDAT", block))

    def finish(self) -> None:
        self._write(_chunk(b"IEND", b""))


def _chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Name and body of each chunk; those that may be ignored (a small first letter) are, where they are damaged."""
    view = memoryview(content)
    at = len(_SIGNATURE)
    while at + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        if name == b"IEND":
            return
        if at + 12 + length > len(content):
            break
        body = view[at + 8 : at + 8 + length]
        at += 12 + length
        if isal_zlib.crc32(body, isal_zlib.crc32(name)) == struct.unpack_from(">I", content, at - 4)[0]:
            yield name, body
        elif not name.isalpha() or name[:1].isupper() or name == b"tRNS":
            raise OperationError(f"damaged png file: a chunk {ascii(bytes(name))[2:-1]} of wrong checksum")
    raise OperationError("the png file is cut off")


def _color(chunks: Mapping[bytes, bytes]) -> tuple[str, dict[str, str]]:
    """The colour space, and the name of a profile that is no named space; cICP goes before iCCP, sRGB and gAMA."""
    default = "srgb_rec709_scene"
    codes = chunks.get(b"cICP", b"")
    if len(codes) == 4 and codes[2:] == b"\0\1" and (codes[0], codes[1]) in BY_CODES:
        return BY_CODES[codes[0], codes[1]], {}
    if b"iCCP" in chunks:
        profile = _inflate(chunks[b"iCCP"].partition(b"\0")[2][1:])
        color = icc.identify(profile)
        return color or default, {} if color else icc.note(profile)
    if b"sRGB" not in chunks and chunks.get(b"gAMA") == struct.pack(">I", 100_000):
        return "lin_rec709_scene", {}
    return default, {}


def _color_chunks(color: str, grey: bool) -> list[bytes]:
    if color == "srgb_rec709_scene":
        return [_chunk(b"sRGB", b"\0")]
    if color in CODES:
        linear = [_chunk(b"gAMA", struct.pack(">I", 100_000))] if color == "lin_rec709_scene" else []
        return [_chunk(b"cICP", bytes((*CODES[color], 0, 1))), *linear]
    if icc.named(color):
        return [_chunk(b"iCCP", b"ICC\0\0" + zlib.compress(icc.build(color, grey)))]
    return []


def _text(name: bytes, body: bytes) -> dict[str, str]:
    """One text chunk as key and text; nothing for one that can't be read."""
    keyword, _, rest = body.partition(b"\0")
    try:
        if name == b"tEXt":
            text = rest.decode("latin-1")
        elif name == b"zTXt":
            text = _inflate(rest[1:]).decode("latin-1")
        else:
            _language, _translated, packed = rest[2:].split(b"\0", 2)
            text = (_inflate(packed) if rest[:1] == b"\1" else packed).decode()
    except ValueError:  # also UnicodeDecodeError
        return {}
    key = keyword.decode("latin-1")
    return {_NAMES.get(key, key): text} if key and text else {}


def _raw_exif(raw: Mapping[str, str]) -> bytes:
    """EXIF as ImageMagick wrote it before the chunk for it existed: a name, a length, and hexadecimal digits."""
    digits = "".join((raw.get(f"{_RAW}exif") or raw.get(f"{_RAW}APP1") or "").split()[2:])
    try:
        return bytes.fromhex(digits).removeprefix(b"Exif\0\0")
    except ValueError:
        return b""


def _text_chunks(meta: Mapping[str, str]) -> list[bytes]:
    """Plain text chunks, read by every program; keys that a keyword can't hold go into a packet of XMP."""
    fits = {key: text for key, text in meta.items() if _is_keyword(key) and _is_text(text)}
    odd = {key: text for key, text in meta.items() if key not in fits}
    texts = {_KEYWORDS.get(key, key): text for key, text in sorted(fits.items())}
    if odd:
        texts[_XMP] = xmp.write_packet(odd).decode()
    return [_chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + text.encode()) for key, text in texts.items()]


def _is_keyword(key: str) -> bool:
    """1 to 79 printable Latin-1 characters, without spaces at the ends or two in a row; none that means another key."""
    printable = all(" " <= c <= "~" or "\xa1" <= c <= "\xff" for c in key)
    return (
        printable
        and 0 < len(key) < 80
        and key == " ".join(key.split(" ")).strip()
        and "  " not in key
        and key not in {*_NAMES, _XMP}
    )


def _is_text(text: str) -> bool:
    return bool(text) and "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def _inflate(packed: bytes) -> bytes:
    """Decompressed, at most `_MAX_TEXT` bytes; nothing where it is damaged or larger."""
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(packed, _MAX_TEXT)
    except zlib.error:
        return b""
    return b"" if inflater.unconsumed_tail else text


def _chunk(name: bytes, body: bytes) -> bytes:
    return b"".join(
        (struct.pack(">I", len(body)), name, body, struct.pack(">I", isal_zlib.crc32(body, isal_zlib.crc32(name))))
    )

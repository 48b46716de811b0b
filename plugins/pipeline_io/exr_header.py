"""OpenEXR headers: the parts of a file, their channels, windows, colour and texts.

Source: "OpenEXR File Layout", Academy Software Foundation; the Color Interop Forum's `colorInteropID`.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline_core import OperationError
from pipeline_io import icc
from pipeline_io.exif import decode_text

COMPRESSIONS = ("none", "rle", "zips", "zip", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab", "htj2k256", "htj2k32")
LINES = (1, 1, 1, 16, 32, 16, 32, 32, 32, 256, 256, 32)
"""Rows of pixels in one chunk, by compression."""
TEXTS = {"description": "comments", "copyright": "owner"}
"""Our names for texts that OpenEXR has standard names for."""
REST = "pipelineMeta"
"""The attribute that holds, as JSON, the texts whose keys can't be attributes."""

_KINDS = ("uint", "half", "float")
_MOST_PARTS, _MOST_ATTRIBUTES, _MOST_CHANNELS = 1024, 4096, 2048
_FARTHEST = 2**30
_ID = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")
_NAMES = {attribute: name for name, attribute in TEXTS.items()}

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Part:
    """One part's header. Windows are (left, top, right, bottom), the last two inclusive."""

    index: int
    name: str
    channels: tuple[tuple[str, str], ...]
    compression: int
    data: Box
    display: Box
    attributes: Mapping[str, tuple[str, bytes]]
    tiles: tuple[int, int, int, int] | None
    deep: bool

    def text(self, name: str) -> str:
        kind, value = self.attributes.get(name, ("", b""))
        return decode_text(value) if kind == "string" else ""

    @property
    def layers(self) -> dict[str, list[tuple[str, str]]]:
        """Channels by layer: what stands before the last dot of their names."""
        found: dict[str, list[tuple[str, str]]] = {}
        for name, kind in self.channels:
            found.setdefault(name.rpartition(".")[0], []).append((name, kind))
        return found

    @property
    def color(self) -> str:
        identifier = self.text("colorInteropID")
        if _ID.fullmatch(identifier):
            return identifier
        return _gamut(self.attributes) or "lin_rec709_scene"

    @property
    def texts(self) -> dict[str, str]:
        """The text attributes, under our names."""
        texts = {_NAMES.get(name, name): self.text(name) for name, (kind, _) in self.attributes.items()
                 if kind == "string" and name not in _STRUCTURE}  # fmt: skip
        texts |= _from_json(self.text(REST))
        if "chromaticities" in self.attributes and not self.text("colorInteropID") and not _gamut(self.attributes):
            texts["chromaticities"] = " ".join(f"{n:.5g}" for n in _chromaticities(self.attributes))
        return {name: text for name, text in texts.items() if text}


def structure(content: bytes) -> tuple[Part, int]:
    """The first part of a sound file, and where the tables of chunks begin."""
    found, tables = read(content)
    return found[0], tables


def parts(content: bytes) -> list[Part]:
    """The headers of all parts."""
    try:
        return read(content)[0]
    except (struct.error, IndexError, OverflowError):
        raise OperationError("the exr file is cut off") from None


def read(content: bytes) -> tuple[list[Part], int]:
    """The parts, and where the tables of their chunks begin."""
    version = struct.unpack_from("<I", content, 4)[0]
    if version & 0xFF != 2:
        raise OperationError(f"an exr file of version {version & 0xFF}; what is read is version 2")
    at, found = 8, list[Part]()
    while True:
        attributes, at = _attributes(content, at)
        if not attributes:
            break
        found.append(_part(len(found), attributes, version))
        if len(found) > _MOST_PARTS:
            raise OperationError(f"an exr file of more than {_MOST_PARTS} parts")
        if not version & 0x1000:
            break
    if not found:
        raise OperationError("damaged exr file: no header")
    return found, at


def _attributes(content: bytes, at: int) -> tuple[dict[str, tuple[str, bytes]], int]:
    found: dict[str, tuple[str, bytes]] = {}
    while content[at]:
        name, at = _word(content, at)
        kind, at = _word(content, at)
        size = struct.unpack_from("<i", content, at)[0]
        at += 4
        if size < 0 or at + size > len(content) or len(found) > _MOST_ATTRIBUTES:
            raise OperationError(f"damaged exr file: attribute {name!a} of {size} bytes")
        found[name] = (kind, content[at : at + size])
        at += size
    return found, at + 1


def _word(content: bytes, at: int) -> tuple[str, int]:
    end = content.find(b"\0", at, at + 256)
    if end < 0:
        raise OperationError("damaged exr file: a name without an end")
    return content[at:end].decode("utf-8", "replace"), end + 1


def _part(index: int, attributes: Mapping[str, tuple[str, bytes]], version: int) -> Part:
    def value(name: str, kind: str, length: int) -> bytes:
        found = attributes.get(name, ("", b""))
        if found[0] != kind or len(found[1]) < length:
            raise OperationError(f"damaged exr file: no attribute '{name}'")
        return found[1]

    kind = decode_text(attributes.get("type", ("", b""))[1])
    tiled = kind in ("tiledimage", "deeptile") if kind else bool(version & 0x200)
    tiles = None
    if tiled:
        width, height, mode = struct.unpack_from("<IIB", value("tiles", "tiledesc", 9))
        tiles = (width, height, mode & 15, mode >> 4)
        if not (0 < width < _FARTHEST and 0 < height < _FARTHEST) or tiles[2] > 2 or tiles[3] > 1:
            raise OperationError(f"damaged exr file: tiles of {width}x{height}")
    compression = value("compression", "compression", 1)[0]
    if compression >= len(COMPRESSIONS):
        raise OperationError(f"an exr file of unknown compression {compression}")
    return Part(
        index,
        decode_text(attributes.get("name", ("", b""))[1]),
        _channels(value("channels", "chlist", 1)),
        compression,
        _box(value("dataWindow", "box2i", 16), "data window"),
        _box(value("displayWindow", "box2i", 16), "display window"),
        attributes,
        tiles,
        kind.startswith("deep") or bool(version & 0x800 and not kind),
    )


def _box(value: bytes, what: str) -> Box:
    left, top, right, bottom = struct.unpack_from("<4i", value)
    if right < left or bottom < top or max(map(abs, (left, top, right, bottom))) > _FARTHEST:
        raise OperationError(f"damaged exr file: its {what} is from {left}, {top} to {right}, {bottom}")
    return left, top, right, bottom


def _channels(value: bytes) -> tuple[tuple[str, str], ...]:
    """Names and types, those that a colour is made of first."""
    at, found = 0, dict[str, str]()
    while value[at]:
        name, at = _word(value, at)
        kind, x, y = struct.unpack_from("<I4xII", value, at)
        at += 16
        if kind >= len(_KINDS) or len(found) >= _MOST_CHANNELS or name in found:
            raise OperationError(f"damaged exr file: its list of channels is wrong at {name!a}")
        if (x, y) != (1, 1):
            raise OperationError(
                f"an exr file whose channel {name!a} is subsampled {x}x{y}; what is read is full resolution"
            )
        found[name] = _KINDS[kind]
    if not found:
        raise OperationError("damaged exr file: no channels in it")
    return tuple(sorted(found.items(), key=lambda channel: _rank(channel[0])))


def _rank(name: str) -> tuple[str, int, str]:
    layer, _, short = name.rpartition(".")
    return layer, "RGBA".index(short) if short in ("R", "G", "B", "A") else 4, short


def chunk_count(part: Part) -> int:
    """Chunks of all levels of resolution; where the file says how many, that is the number."""
    kind, value = part.attributes.get("chunkCount", ("", b""))
    if part.deep and kind == "int" and len(value) == 4:
        return max(int.from_bytes(value, "little", signed=True), 0)
    width, height = part.data[2] - part.data[0] + 1, part.data[3] - part.data[1] + 1
    if not part.tiles:
        return -(-height // LINES[part.compression])
    tile_width, tile_height, mode, up = part.tiles

    def sizes(length: int, levels: int) -> list[int]:
        return [max(-(-length >> level) if up else length >> level, 1) for level in range(levels)]

    def levels(length: int) -> int:
        return (length - 1).bit_length() + 1 if up else length.bit_length()

    if mode == 0:
        return -(-width // tile_width) * -(-height // tile_height)
    many_x, many_y = (
        levels(width if mode == 2 else max(width, height)),
        levels(height if mode == 2 else max(width, height)),
    )
    across = [-(-n // tile_width) for n in sizes(width, many_x)]
    down = [-(-n // tile_height) for n in sizes(height, many_y)]
    return sum(across) * sum(down) if mode == 2 else sum(x * y for x, y in zip(across, down, strict=True))


def _chromaticities(attributes: Mapping[str, tuple[str, bytes]]) -> tuple[float, ...]:
    kind, value = attributes.get("chromaticities", ("", b""))
    return struct.unpack_from("<8f", value) if kind == "chromaticities" and len(value) >= 32 else ()


def _gamut(attributes: Mapping[str, tuple[str, bytes]]) -> str | None:
    """The linear space of these primaries and white, where it has a name."""
    numbers = _chromaticities(attributes)
    for name, corners in icc.GAMUTS.items():
        known = [n for corner in corners for n in corner]
        if numbers and name != "adobergb" and max(abs(a - b) for a, b in zip(numbers, known, strict=True)) < 0.002:
            return f"lin_{name}_scene"
    return None


def _from_json(text: str) -> dict[str, str]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


_STRUCTURE = frozenset({"name", "type", "view", "colorInteropID", REST})

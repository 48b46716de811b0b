"""OpenEXR: the header's facts, its layers, and whether all of its pixels are there.

Source: "OpenEXR File Layout" and "Technical Introduction to OpenEXR", Academy Software Foundation; the Color Interop
Forum's `colorInteropID`. A file holds one part or several; a part's channels form layers by the dots in their names.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_core import OperationError
from pipeline_io import icc
from pipeline_io.exif import decode_text
from pipeline_io.facts import MAX_PIXELS, Facts, Stored

MAIN, EVERYTHING = "", "*"
COMPRESSIONS = ("none", "rle", "zips", "zip", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab", "htj2k256", "htj2k32")
LINES = (1, 1, 1, 16, 32, 16, 32, 32, 32, 256, 256, 32)
"""Rows of pixels in one chunk, by compression."""
TEXTS = {"description": "comments", "copyright": "owner"}
"""Our names for texts that OpenEXR has standard names for."""
REST = "pipelineMeta"
"""The attribute that holds, as JSON, the texts whose keys can't be attributes."""

# Bytes of pixels per byte of chunk at the most. Deflate: 1032; a run of RLE: 128 of 2; PIZ: 256 samples of a run in
# some 9 bits; B44: 32 of 3. The transforms of DWA and JPEG 2000 have no bound that would tell a bomb.
_GROWTH = (1, 64, 1032, 1032, 512, 1376, 11, 11, None, None, None, None)
_KINDS = ("uint", "half", "float")
_BYTES = {"uint": 4, "half": 2, "float": 4}
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


def probe(content: bytes, *, layer: str = MAIN, part: str = "", window: str = "display") -> Facts:
    """What the headers say of one layer, and that all of its part's chunks are there."""
    try:
        found, tables = _parts(content)
        chosen, channels = _layer(found, layer, part)
        room = _whole(content, found, chosen, tables)
    except (struct.error, IndexError, OverflowError):
        raise OperationError("the exr file is cut off") from None
    if layer == EVERYTHING:
        names = tuple(name for name, _ in channels)
    else:
        names = tuple(name.rpartition(".")[2] for name, _ in channels)
    left, top, right, bottom = chosen.data
    x0, y0, x1, y1 = chosen.display if window == "display" else chosen.data
    stored = Stored(chosen.index, channels, left - x0, top - y0, right - left + 1, bottom - top + 1)
    if stored.width * stored.height > MAX_PIXELS:
        raise OperationError(f"{stored.width}x{stored.height} is above the limit of {MAX_PIXELS:,} pixels")
    needed = stored.width * stored.height * sum(_BYTES[kind] for _, kind in chosen.channels)
    if room is not None and needed > room:
        raise OperationError(
            f"damaged exr file: its header says {stored.width}x{stored.height} pixels, more than its bytes can hold"
        )
    seen = any(name.rpartition(".")[2] in ("R", "G", "B", "Y") for name in names)
    return Facts(
        "exr",
        x1 - x0 + 1,
        y1 - y0 + 1,
        names,
        dtype="float16" if all(kind == "half" for _, kind in channels) else "float32",
        alpha="associated" if "A" in names else "none",
        color=chosen.color if seen else "data",
        meta=chosen.texts,
        stored=stored,
    )


def structure(content: bytes) -> tuple[Part, int]:
    """The first part of a sound file, and where the tables of chunks begin."""
    found, tables = _parts(content)
    return found[0], tables


def parts(content: bytes) -> list[Part]:
    """The headers of all parts."""
    try:
        return _parts(content)[0]
    except (struct.error, IndexError, OverflowError):
        raise OperationError("the exr file is cut off") from None


def place(pixels: np.ndarray[Any, Any], facts: Facts) -> np.ndarray[Any, Any]:
    """The data window's pixels within the display window; 0 outside of it, and what lies beyond is cut."""
    stored = facts.stored
    assert stored is not None
    if (stored.left, stored.top, stored.width, stored.height) == (0, 0, facts.width, facts.height):
        return pixels
    out = np.zeros((facts.height, facts.width, pixels.shape[2]), pixels.dtype)
    left, top = max(stored.left, 0), max(stored.top, 0)
    right = max(min(stored.left + stored.width, facts.width), left)
    bottom = max(min(stored.top + stored.height, facts.height), top)
    out[top:bottom, left:right] = pixels[
        top - stored.top : bottom - stored.top, left - stored.left : right - stored.left
    ]
    return out


def _parts(content: bytes) -> tuple[list[Part], int]:
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


def _layer(found: list[Part], layer: str, part: str) -> tuple[Part, tuple[tuple[str, str], ...]]:
    """The part and the channels that a layer's name stands for; OperationError with what there is."""
    among = [p for p in found if part in (p.name, str(p.index))] if part else found
    if not among:
        raise OperationError(f"no part '{part}'; the parts are {', '.join(p.name or str(p.index) for p in found)}")
    matches = list(_matches(among, layer))
    if not matches:
        raise OperationError(f"no layer '{layer}'; {_listing(among)}" if layer else _listing(among))
    if len({p.index for p, _ in matches}) > 1 and layer not in (MAIN, EVERYTHING):
        names = ", ".join(p.name or str(p.index) for p, _ in matches)
        raise OperationError(f"layer '{layer}' is in more than one part: set part to one of {names}")
    chosen, channels = matches[0]
    if chosen.deep:
        raise OperationError(
            f"part '{chosen.name or chosen.index}' is deep, with many samples in a pixel: use load_deep"
        )
    return chosen, channels


def _matches(among: list[Part], layer: str) -> Iterator[tuple[Part, tuple[tuple[str, str], ...]]]:
    """Parts and channels that answer to a name, whole layers before single channels."""
    for part in among:
        layers = part.layers
        if layer == EVERYTHING:
            yield part, part.channels
        elif layer in layers:
            yield part, tuple(layers[layer])
        elif layer in (MAIN, part.name) and (len(layers) == 1 or MAIN in layers):
            yield part, tuple(layers.get(MAIN) or next(iter(layers.values())))
        if layer == MAIN:
            return  # the main layer is the first part's
    for part in among:
        yield from ((part, (channel,)) for channel in part.channels if channel[0] == layer and layer not in part.layers)


def _listing(among: list[Part]) -> str:
    names = [name or part.name or "the main one" for part in among for name in part.layers]
    shown = ", ".join(names[:30]) + (", ..." if len(names) > 30 else "")
    return f"set layer to one of the file's: {shown}"


def _whole(content: bytes, found: list[Part], chosen: Part, tables: int) -> int | None:
    """The most bytes of pixels that the chosen part's chunks can hold; OperationError where some are not there."""
    counts = [chunk_count(part) for part in found[: chosen.index + 1]]
    start = tables + 8 * sum(counts[:-1])
    if start + 8 * counts[-1] > len(content):
        raise OperationError("the exr file is cut off: not all of its chunks are listed")
    offsets = np.frombuffer(content, "<u8", counts[-1], start)
    lead = (4 if len(found) > 1 or _multipart(content) else 0) + (16 if chosen.tiles else 4)
    if offsets.size and (int(offsets.min()) < start or int(offsets.max()) > len(content) - lead - 4):
        raise OperationError("the exr file is cut off: some of its pixels were never written")
    raw = np.frombuffer(content, np.uint8)
    at = offsets.astype(np.int64)

    def word(shift: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.stack([raw[at + shift + i] for i in range(4)], axis=-1).view("<i4")[:, 0].astype(np.int64)

    sizes = word(lead)
    if (sizes < 0).any() or (at + lead + 4 + sizes > len(content)).any():
        raise OperationError("the exr file is cut off")
    if not chosen.tiles:
        expected = chosen.data[1] + LINES[chosen.compression] * np.arange(len(at))
        if not np.array_equal(word(lead - 4), expected):
            raise OperationError("damaged exr file: its list of chunks is wrong")
    growth = _GROWTH[chosen.compression]
    return None if growth is None else min(int(sizes.sum()), len(content)) * growth + 65536


def _multipart(content: bytes) -> bool:
    return bool(struct.unpack_from("<I", content, 4)[0] & 0x1000)


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

"""The headers of an OpenEXR file, as far as deep parts need them.

Source: "OpenEXR File Layout" (openexr.com), and for deep parts its section "Deep Data".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pipeline_core import OperationError

MAGIC = b"\x76\x2f\x31\x01"
NON_IMAGE, MULTI_PART = 0x800, 0x1000
MAX_PIXELS = 2**26
MAX_PARTS = 1000
PIXEL_TYPES = ("uint", "half", "float")
COMPRESSIONS = ("none", "rle", "zips", "zip")  # the only ones that deep parts may use
LINES = {"none": 1, "rle": 1, "zips": 1, "zip": 16}

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Channel:
    name: str
    type: str


@dataclass(frozen=True)
class Part:
    """One part: its attributes (type name and bytes) and where its table of chunk offsets starts."""

    number: int
    attributes: Mapping[str, tuple[str, bytes]]
    table: int = 0

    def text(self, name: str) -> str:
        """A string attribute; empty where there is none."""
        kind, value = self.attributes.get(name, ("", b""))
        return value.decode("utf-8", "replace") if kind == "string" else ""

    @property
    def is_deep(self) -> bool:
        return self.text("type") in ("deepscanline", "deeptile")

    def box(self, name: str) -> Box:
        """(left, top, width, height) of a window."""
        kind, value = self.attributes.get(name, ("", b""))
        if kind != "box2i" or len(value) != 16:
            raise OperationError(f"damaged: the header has no {name}")
        left, top, right, bottom = struct.unpack("<4i", value)
        width, height = right - left + 1, bottom - top + 1
        if width < 1 or height < 1:
            raise OperationError(f"damaged: {name} is empty ({width}x{height})")
        if width * height > MAX_PIXELS:
            raise OperationError(f"{width}x{height} pixels in {name}, above the limit of {MAX_PIXELS:,}")
        return left, top, width, height

    @cached_property
    def compression(self) -> str:
        value = self.attributes.get("compression", ("", b""))[1][:1]
        if not value or value[0] >= len(COMPRESSIONS):
            raise OperationError(f"a deep part can't be compressed by method {value.hex() or 'none given'}")
        return COMPRESSIONS[value[0]]

    @property
    def block(self) -> tuple[int, int]:
        """Width and height of a chunk: a tile's, or of so many lines (width 0)."""
        if self.text("type") == "deepscanline":
            return 0, LINES[self.compression]
        value = self.attributes.get("tiles", ("", b""))[1]
        if len(value) != 9:
            raise OperationError("damaged: the header does not say how large the tiles are")
        width, height, _mode = struct.unpack("<IIB", value)
        if not (0 < width < 2**31 and 0 < height < 2**31):
            raise OperationError(f"damaged: tiles of {width}x{height}")
        return width, height

    @property
    def chunks(self) -> int:
        kind, value = self.attributes.get("chunkCount", ("", b""))
        count = int.from_bytes(value, "little", signed=True) if kind == "int" else 0
        if not 0 < count <= MAX_PIXELS:
            raise OperationError(f"damaged: the header names {count} chunks")
        return count

    @cached_property
    def channels(self) -> list[Channel]:
        """In the order in which the file stores them."""
        value = _Reader(self.attributes.get("channels", ("", b""))[1])
        found = []
        while value.at < len(value.content) and (name := value.name()):
            kind, _linear, x, y = struct.unpack("<iB3xii", value.take(16))[:4]
            if not 0 <= kind < 3 or (x, y) != (1, 1):
                raise OperationError(f"damaged: channel '{name}' has pixel type {kind} and sampling {x}x{y}")
            found.append(Channel(name, PIXEL_TYPES[kind]))
        return found


class _Reader:
    """Bytes taken one piece after another; an OperationError at the end instead of fewer bytes."""

    def __init__(self, content: bytes, at: int = 0) -> None:
        self.content, self.at = content, at

    def take(self, length: int) -> bytes:
        if length < 0 or self.at + length > len(self.content):
            raise OperationError("damaged: the file ends inside its header")
        self.at += length
        return self.content[self.at - length : self.at]

    def name(self) -> str:
        end = self.content.find(b"\0", self.at, self.at + 256)
        if end < 0:
            raise OperationError("damaged: a name in the header does not end")
        return self.take(end + 1 - self.at)[:-1].decode("utf-8", "replace")

    def attributes(self) -> dict[str, tuple[str, bytes]]:
        found = {}
        while name := self.name():
            kind = self.name()
            found[name] = (kind, self.take(int.from_bytes(self.take(4), "little", signed=True)))
        return found


def read_parts(content: bytes) -> tuple[list[Part], bool]:
    """All parts of a file, and whether it is of the kind that numbers its chunks by part."""
    if content[:4] != MAGIC or len(content) < 8:
        raise OperationError("not an OpenEXR file")
    flags = int.from_bytes(content[4:8], "little")
    reader = _Reader(content, 8)
    many = bool(flags & MULTI_PART)
    headers: list[dict[str, tuple[str, bytes]]] = []
    while len(headers) < MAX_PARTS and (header := reader.attributes()):
        headers.append(header)
        if not many:
            break
    parts, at = [], reader.at
    for number, header in enumerate(headers):
        part = Part(number, header, at)
        parts.append(part)
        if many or part.is_deep:
            at += 8 * part.chunks
    return parts, many


def choose_part(parts: list[Part], wanted: str) -> Part:
    """The deep part of this name or number; the first deep one where nothing is wanted."""
    deep = [part for part in parts if part.is_deep]
    if not deep:
        raise OperationError("no deep samples in this file: load_image loads flat pictures")
    if not wanted:
        return deep[0]
    for part in deep:
        if wanted in (part.text("name"), str(part.number)):
            return part
    names = ", ".join(part.text("name") or str(part.number) for part in deep)
    raise OperationError(f"no deep part '{wanted}': the file has {names}")

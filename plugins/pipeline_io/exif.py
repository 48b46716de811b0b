"""Image file directories: the structure that TIFF files and Exif blocks share.

Source: TIFF 6.0, section 2; the BigTIFF design; Exif 2.32 (CIPA DC-008).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ORIENTATION = 274
_TEXTS = {270: "description", 305: "software", 315: "artist", 33432: "copyright"}
_CODES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "s", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d",
          13: "I", 16: "Q", 17: "q", 18: "Q"}  # fmt: skip
_MAX_ENTRIES = 4096


@dataclass(frozen=True, slots=True)
class Directory:
    """The entries of one directory, by tag: numbers as tuples, text and opaque bytes as bytes.

    `broken` names tags whose values lie outside the file.
    """

    entries: Mapping[int, tuple[int | float, ...] | bytes]
    broken: frozenset[int] = frozenset()

    def numbers(self, tag: int) -> tuple[int, ...]:
        found = self.entries.get(tag, ())
        return () if isinstance(found, bytes) else tuple(int(n) for n in found if n == n and abs(n) < 2**64)

    def number(self, tag: int, default: int = 0) -> int:
        return next(iter(self.numbers(tag)), default)

    def opaque(self, tag: int) -> bytes:
        found = self.entries.get(tag, b"")
        return found if isinstance(found, bytes) else bytes(n & 255 for n in self.numbers(tag))

    @property
    def orientation(self) -> int:
        found = self.number(ORIENTATION, 1)
        return found if 1 <= found <= 8 else 1

    @property
    def texts(self) -> dict[str, str]:
        """Description, software, artist and copyright, where they say something."""
        texts = {name: decode_text(self.opaque(tag)) for tag, name in _TEXTS.items()}
        return {name: text for name, text in texts.items() if text}


EMPTY = Directory({})


def first_directory(block: bytes) -> Directory | None:
    """The first directory of a TIFF file or Exif block; None where there is none to be read."""
    order: Literal["<", ">"] = ">" if block[:2] == b"MM" else "<"
    try:
        version = struct.unpack_from(order + "H", block, 2)[0]
        if block[:2] not in (b"II", b"MM") or version not in (42, 43):
            return None
        big = version == 43
        offset = struct.unpack_from(order + ("Q" if big else "I"), block, 8 if big else 4)[0]
        count = struct.unpack_from(order + ("Q" if big else "H"), block, offset)[0]
        if count > _MAX_ENTRIES:
            return None
        return _read(block, order, offset + (8 if big else 2), count, big)
    except (struct.error, OverflowError):
        return None


def _read(block: bytes, order: str, start: int, count: int, big: bool) -> Directory:
    length, inline = (20, 8) if big else (12, 4)
    entries: dict[int, tuple[int | float, ...] | bytes] = {}
    broken: set[int] = set()
    for at in range(start, start + count * length, length):
        tag, kind, number = struct.unpack_from(order + ("HHQ" if big else "HHI"), block, at)
        code = _CODES.get(kind)
        if code is None:
            continue
        size = struct.calcsize("=" + code) * number
        value_at = at + length - inline
        if size > inline:
            value_at = struct.unpack_from(order + ("Q" if big else "I"), block, value_at)[0]
        if value_at + size > len(block):
            broken.add(tag)
        elif code == "s":
            entries.setdefault(tag, block[value_at : value_at + size])
        else:
            entries.setdefault(tag, struct.unpack_from(f"{order}{number * len(code)}{code[0]}", block, value_at))
    return Directory(entries, frozenset(broken))


def exif_directory(block: bytes) -> Directory:
    """The first directory of an Exif block, with or without its 'Exif' introduction; an empty one if unreadable."""
    return first_directory(block.removeprefix(b"Exif\0\0")) or EMPTY


def decode_text(text: bytes) -> str:
    """Text of unknown encoding: UTF-8 where it is that, else Latin-1; up to the first NUL."""
    text = text.partition(b"\0")[0]
    try:
        return text.decode().strip()
    except UnicodeDecodeError:
        return text.decode("latin-1").strip()

"""Truevision TGA: reading and writing. Source: the Truevision TGA File Format Specification, version 2.0.

The format has no mark at its beginning; `looks_like` tells it by a header that makes sense.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_core import Alpha, OperationError
from pipeline_io.facts import CHANNELS, Facts

Array = np.ndarray[Any, Any]

_HEADER = struct.Struct("<BBBHHBHHHHBB")
_FOOTER = b"TRUEVISION-XFILE.\0"
_PALETTE, _COLOR, _GREY, _RLE = 1, 2, 3, 8
_DEPTHS = {_PALETTE: (8, 16), _COLOR: (15, 16, 24, 32), _GREY: (8, 16)}


@dataclass(frozen=True)
class _Header:
    kind: int
    packed: bool
    width: int
    height: int
    bits: int
    alpha_bits: int
    upside_down: bool
    mirrored: bool
    first: int
    entries: int
    entry_bits: int
    palette: int

    @property
    def step(self) -> int:
        return (self.bits + 7) // 8

    @property
    def start(self) -> int:
        return self.palette + self.entries * ((self.entry_bits + 7) // 8)


def looks_like(content: bytes) -> bool:
    """Whether the file ends as a TGA does, or begins with a header that only a TGA would have."""
    if content[-len(_FOOTER) :] == _FOOTER:
        return True
    if len(content) < _HEADER.size:
        return False
    _, has_map, kind, first, entries, entry_bits, _, _, width, height, bits, flags = _HEADER.unpack_from(content)
    mapped = has_map == 1 and entries > 0 and entry_bits in (15, 16, 24, 32)
    bare = has_map == 0 and (first, entries, entry_bits) == (0, 0, 0)
    depths = _DEPTHS.get(kind & ~_RLE, ())
    return (
        (mapped if kind & ~_RLE == _PALETTE else mapped or bare)
        and bits in depths
        and width * height > 0
        and flags < 64
    )


def probe(content: bytes) -> Facts:
    """What the header says, and the extension area of what the alpha is."""
    header = _header(content)
    alpha = _alpha(content, header)
    if not header.packed and header.start + header.width * header.height * header.step > len(content):
        raise OperationError("the tga file is cut off")
    if header.start >= len(content):
        raise OperationError("the tga file is cut off")
    count = (1 if header.kind == _GREY else 3) + (alpha != "none")
    return Facts(
        "tga", header.width, header.height, CHANNELS[count], alpha=alpha,
        room=(len(content) - header.start) * 128 * 4,
    )  # fmt: skip


def decode(content: bytes, facts: Facts) -> Array:
    """`(H, W, C)` uint8 pixels; fields of 5 bits stretched to 8."""
    header = _header(content)
    count = header.width * header.height
    raw = (_unpacked(content, header, count) if header.packed
           else np.frombuffer(content, np.uint8, count * header.step, header.start))  # fmt: skip
    pixels = raw.reshape(-1, header.step)
    if header.kind == _PALETTE:
        size = header.entries * ((header.entry_bits + 7) // 8)
        palette = _colors(np.frombuffer(content, np.uint8, size, header.palette).reshape(header.entries, -1))
        index = pixels[:, 0].astype(np.int64) if header.step == 1 else pixels.view("<u2")[:, 0].astype(np.int64)
        index -= header.first
        if index.min() < 0 or index.max() >= header.entries:
            raise OperationError("damaged tga file: a pixel beyond its palette")
        pixels = palette[index]
    elif header.kind == _COLOR:
        pixels = _colors(pixels)
    pixels = pixels.reshape(header.height, header.width, -1)[:, :, : len(facts.channels)]
    pixels = pixels if header.upside_down else pixels[::-1]
    return np.ascontiguousarray(pixels[:, ::-1] if header.mirrored else pixels)


def encode(pixels: Array) -> bytes:
    """A version 2 TGA of `(H, W, 1, 3 or 4)` uint8 pixels, upper left first, not packed; alpha is straight."""
    height, width, samples = pixels.shape
    if max(width, height) > 65535:
        raise OperationError(f"tga holds at most 65535 pixels on a side, got {width}x{height}")
    alpha = samples == 4
    kind = _GREY if samples == 1 else _COLOR
    head = _HEADER.pack(0, 0, kind, 0, 0, 0, 0, 0, width, height, samples * 8, 0x20 | (8 if alpha else 0))
    body = (pixels if samples == 1 else pixels[..., [2, 1, 0, 3][:samples]]).tobytes()
    extension = struct.pack("<H492xB", 495, 3 if alpha else 0)
    return b"".join((head, body, extension, struct.pack("<II", len(head) + len(body), 0), _FOOTER))


def _header(content: bytes) -> _Header:
    if len(content) < _HEADER.size:
        raise OperationError("the tga file is cut off")
    comment, has_map, kind, first, entries, entry_bits, _, _, width, height, bits, flags = _HEADER.unpack_from(content)
    plain = kind & ~_RLE
    if bits not in _DEPTHS.get(plain, ()) or (plain == _PALETTE and (has_map != 1 or not entries)):
        raise OperationError(f"damaged tga file: image type {kind} of {bits} bits")
    if not has_map:
        entries = 0
    return _Header(
        plain, bool(kind & _RLE), width, height, bits, flags & 15, bool(flags & 0x20), bool(flags & 0x10),
        first, entries, entry_bits, _HEADER.size + comment,
    )  # fmt: skip


def _alpha(content: bytes, header: _Header) -> Alpha:
    bits = header.entry_bits if header.kind == _PALETTE else header.bits
    full = {32: 8, 16: 8 if header.kind == _GREY else 1}.get(bits, 0)
    if not full or not (header.alpha_bits or (header.kind == _PALETTE and bits == 32)):
        return "none"
    if content[-len(_FOOTER) :] == _FOOTER:
        at = struct.unpack_from("<I", content, len(content) - 26)[0]
        if 0 < at < len(content) - 494:
            return {0: "none", 1: "none", 2: "none", 4: "associated"}.get(content[at + 494], "straight")  # type: ignore[return-value]  # Literals
    return "straight"


def _unpacked(content: bytes, header: _Header, count: int) -> Array:
    """The bytes of `count` pixels from packets of runs and of literals."""
    step, at, missing = header.step, header.start, count
    parts: list[bytes] = []
    while missing > 0:
        if at >= len(content):
            raise OperationError("the tga file is cut off")
        length = min((content[at] & 127) + 1, missing)
        if content[at] & 128:
            parts.append(content[at + 1 : at + 1 + step] * length)
            at += 1 + step
        else:
            parts.append(content[at + 1 : at + 1 + step * length])
            at += 1 + step * length
        missing -= length
    if at > len(content):
        raise OperationError("the tga file is cut off")
    return np.frombuffer(b"".join(parts), np.uint8)


def _colors(pixels: Array) -> Array:
    """Blue, green, red (and alpha) of 8 bits, or of 5 and 1, as red, green, blue, alpha."""
    if pixels.shape[1] != 2:
        return np.asarray(pixels[:, [2, 1, 0, 3][: pixels.shape[1]]])
    words = np.ascontiguousarray(pixels).view("<u2")[:, 0]
    fields = np.stack([words >> 10 & 31, words >> 5 & 31, words & 31], axis=1).astype(np.uint8)
    return np.concatenate((fields << 3 | fields >> 2, (words >> 15).astype(np.uint8)[:, None] * np.uint8(255)), axis=1)

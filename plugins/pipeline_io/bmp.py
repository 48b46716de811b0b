"""BMP: reading and writing, here rather than by a library: none of those tried reads its alpha or bit fields right.

Source: Microsoft's "Bitmap Header Types" and "Bitmap Compression" (headers of 12, 40, 52, 56, 108 and 124 bytes), and
OS/2's headers of 16 and 64. Alpha counts where the header has a mask for it; a fourth byte without one is padding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_core import OperationError
from pipeline_io.facts import CHANNELS, Facts

Array = np.ndarray[Any, Any]

_RGB, _RLE8, _RLE4, _FIELDS, _ALPHA_FIELDS = 0, 1, 2, 3, 6
_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_DEFAULT_MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
_GREYS = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    top_down: bool
    bits: int
    coding: int
    masks: tuple[int, int, int, int]
    palette: Array
    start: int

    @property
    def stride(self) -> int:
        return (self.width * self.bits + 31) // 32 * 4

    @property
    def grey(self) -> bool:
        return self.bits == 8 and np.array_equal(self.palette, _GREYS)

    @property
    def deep(self) -> bool:
        return any(mask.bit_count() > 8 for mask in self.masks)


def probe(content: bytes) -> Facts:
    """What the header says. Fields of more than 8 bits become 16-bit samples."""
    header = _header(content)
    size = len(content) - header.start
    if header.coding not in (_RLE4, _RLE8) and header.stride * header.height > size:
        raise OperationError("the bmp file is cut off")
    alpha = bool(header.masks[3])
    return Facts(
        "bmp",
        header.width,
        header.height,
        CHANNELS[1 if header.grey else 4 if alpha else 3],
        dtype="uint16" if header.deep else "uint8",
        alpha="straight" if alpha else "none",
        room=size * 128 * 3,
    )


def decode(content: bytes, facts: Facts) -> Array:
    """`(H, W, C)` pixels of the facts' type. Palette indices beyond the palette are black."""
    header = _header(content)
    if header.coding in (_RLE4, _RLE8):
        rows = _run_lengths(content, header)
    else:
        count = header.stride * header.height
        rows = np.frombuffer(content, np.uint8, count, header.start).reshape(header.height, header.stride)
    if header.bits <= 8:
        indices = rows if header.coding in (_RLE4, _RLE8) else _indices(rows, header)
        pixels = indices[:, :, None] if header.grey else header.palette[indices]
    elif header.bits == 24:
        pixels = rows[:, : header.width * 3].reshape(header.height, header.width, 3)[:, :, ::-1]
    else:
        words = rows.view("<u2" if header.bits == 16 else "<u4")[:, : header.width]
        masks = header.masks[: len(facts.channels)]
        pixels = np.stack([field(words, mask, facts.dtype) for mask in masks], axis=2)
    return np.ascontiguousarray(pixels if header.top_down else pixels[::-1])


def encode(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """A bottom-up BMP of `(H, W, 1, 3 or 4)` uint8 pixels: grey by palette, alpha (straight) by a version 4 header."""
    height, width, samples = pixels.shape
    stride = (width * samples + 3) // 4 * 4
    rows = np.zeros((height, stride), np.uint8)
    order = [0] if samples == 1 else [2, 1, 0, 3][:samples]
    rows[:, : width * samples] = pixels[::-1, :, order].reshape(height, -1)
    coding = _FIELDS if samples == 4 else _RGB
    size = 108 if samples == 4 else 40
    header = struct.pack("<IiiHHIIiiII", size, width, height, 1, samples * 8, coding, rows.nbytes, 2835, 2835, 0, 0)
    if samples == 4:
        header += struct.pack("<4I4s48x", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs")
    palette = np.pad(_GREYS, ((0, 0), (0, 1))).tobytes() if samples == 1 else b""
    start = 14 + len(header) + len(palette)
    whole = start + rows.nbytes
    if whole >= 2**32:
        raise OperationError(f"{whole:,} bytes are more than a bmp file can hold; save as png or tiff")
    return struct.pack("<2sI4xI", b"BM", whole, start) + header + palette + rows.tobytes()


def _header(content: bytes) -> _Header:
    try:
        return _parse(content)
    except struct.error:
        raise OperationError("the bmp file is cut off within its header") from None


def _parse(content: bytes) -> _Header:
    start, size = struct.unpack_from("<II", content, 10)
    if size not in _HEADERS:
        raise OperationError(f"damaged bmp file: a header of {size} bytes")
    coding = used = 0
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", content, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", content, 18)
        if size >= 40:
            coding, used = struct.unpack_from("<I", content, 30)[0], struct.unpack_from("<I", content, 46)[0]
    known = {1: (_RGB,), 2: (_RGB,), 4: (_RGB, _RLE4), 8: (_RGB, _RLE8), 24: (_RGB,)}
    fields = (_RGB, _FIELDS, _ALPHA_FIELDS)
    if coding not in known.get(bits, fields if bits in (16, 32) else ()) or (size == 64 and coding == _FIELDS):
        raise OperationError(f"a bmp file of {bits} bits, compression {coding}, which is not read: save it as png")
    if width < 1 or height == 0:
        raise OperationError(f"damaged bmp file: its header says {width}x{height} pixels")
    masks, after = _masks(content, size, bits, coding)
    step = 3 if size == 12 else 4
    if bits <= 8 and start <= after:  # some writers leave the palette out of account
        start = after + (used or 1 << bits) * step
    palette = _palette(content[after:start], step, bits, used) if bits <= 8 else _GREYS[:0]
    return _Header(width, abs(height), height < 0, bits, coding, masks, palette, start)


def _masks(content: bytes, size: int, bits: int, coding: int) -> tuple[tuple[int, int, int, int], int]:
    """Masks of red, green, blue and alpha, and where the header with them ends."""
    end = 14 + size
    if bits not in (16, 32):
        return (0, 0, 0, 0), end
    red, green, blue, alpha = _DEFAULT_MASKS[bits]
    if coding in (_FIELDS, _ALPHA_FIELDS):
        red, green, blue = struct.unpack_from("<3I", content, 54)
        end = max(end, 54 + (16 if coding == _ALPHA_FIELDS else 12))
    if coding == _ALPHA_FIELDS or 56 <= size != 64:
        alpha = struct.unpack_from("<I", content, 66)[0]
    for mask in (red, green, blue, alpha):
        run = mask // (mask & -mask) if mask else 0
        if run & (run + 1) or mask >> bits:
            raise OperationError(f"damaged bmp file: a bit field of {mask:#x} in {bits} bits")
    return (red, green, blue, alpha), end


def _palette(table: bytes, step: int, bits: int, used: int) -> Array:
    """`(256, 3)` RGB; black beyond the file's own entries."""
    count = min(len(table) // step, used or 1 << bits, 256)
    palette = np.zeros((256, 3), np.uint8)
    palette[:count] = np.frombuffer(table, np.uint8, count * step).reshape(count, step)[:, 2::-1]
    return palette


def _indices(rows: Array, header: _Header) -> Array:
    if header.bits == 8:
        return rows[:, : header.width]
    parts = [rows >> shift & (1 << header.bits) - 1 for shift in range(8 - header.bits, -1, -header.bits)]
    return np.stack(parts, axis=2).reshape(len(rows), -1)[:, : header.width]


def field(words: Array, mask: int, dtype: str) -> Array:
    """One bit field scaled to the whole range of the type, rounded; 0 for an empty field."""
    if not mask:
        return np.zeros(words.shape, dtype)
    top = np.uint64(mask // (mask & -mask))
    full = np.uint64(np.iinfo(dtype).max)
    values = (words & words.dtype.type(mask)).astype(np.uint64) >> np.uint64((mask & -mask).bit_length() - 1)
    return np.asarray((values * full + top // np.uint64(2)) // top).astype(dtype)


def _run_lengths(content: bytes, header: _Header) -> Array:
    """Palette indices `(H, W)` of a run-length coded picture, which has to say every pixel."""
    shape = (header.height, header.width)
    if shape[0] * shape[1] > 128 * len(content):
        raise OperationError("the bmp file is cut off")
    indices, said = np.zeros(shape, np.uint8), np.zeros(shape, bool)
    for y, x, values in _runs(content, header.start, half=header.coding == _RLE4):
        if y >= header.height:
            break
        fitting = values[: max(header.width - x, 0)]
        indices[y, x : x + len(fitting)] = fitting
        said[y, x : x + len(fitting)] = True
    if not said.all():
        left = said.size - int(np.count_nonzero(said))
        raise OperationError(f"the bmp file is cut off, or leaves pixels out ({left:,} of them)")
    return indices


def _runs(content: bytes, at: int, half: bool) -> Iterator[tuple[int, int, Array]]:
    """Row, column and indices of each run; `half` tells that two indices share a byte."""
    x = y = 0
    while at + 2 <= len(content):
        count, value = content[at], content[at + 1]
        at += 2
        if count:
            yield y, x, np.resize(np.array((value >> 4, value & 15) if half else (value,), np.uint8), count)
            x += count
        elif value == 0:
            x, y = 0, y + 1
        elif value == 1:
            return
        elif value == 2:
            moved = content[at : at + 2]
            if len(moved) < 2:
                return
            x, y, at = x + moved[0], y + moved[1], at + 2
        else:
            size = (value + 1) // 2 if half else value
            packed = np.frombuffer(content[at : at + size], np.uint8)
            yield y, x, np.stack((packed >> 4, packed & 15), axis=1).reshape(-1)[:value] if half else packed
            x, at = x + value, at + size + size % 2

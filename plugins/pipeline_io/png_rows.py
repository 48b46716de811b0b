"""The pixels of a PNG as one zlib stream of filtered rows, made on several cores.

Sources: Portable Network Graphics (PNG) Specification (Third Edition), W3C, section 9 (filters); RFC 1950; RFC 1951.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from isal import isal_zlib

from pipeline_io.blocks import map_blocks

Array = np.ndarray[Any, Any]

START = b"\x78\x01"
_BLOCK_BYTES = 2**20
_ISAL_LEVELS = (1, 2, 3)
_CACHED_BYTES = 2**16
# Every so many rows and bytes are looked at to choose a filter; prime, so that all channels have their turn.
_SAMPLED, _SPARSE = 5, 7
_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)


class Packer:
    """One zlib stream of `(H, W, C)` pixels that come some rows at a time; its bytes do not depend on how many."""

    def __init__(self, height: int, width: int, step: int, level: int) -> None:
        self._height = height
        self._level = level
        self._rows = max(1, _BLOCK_BYTES // (width * step))
        self._waiting: Array | None = None  # behind the last row of those that are done
        self._done = 0
        self._checksum = 1

    def pack(self, pixels: Array) -> Iterator[bytes]:
        """The parts of the stream that are whole with these rows."""
        if self._waiting is not None:
            pixels = np.concatenate((self._waiting, pixels))
        above = int(self._done > 0)
        count = len(pixels) - above
        if self._done + count < self._height:
            count -= count % self._rows
        if not self._done and count:
            yield START

        def block(start: int, stop: int) -> tuple[bytes, int, int]:
            seen = above or min(start, 1)
            rows = pixels[above + start - seen : above + stop]
            return packed_rows(rows, bool(seen), self._done + stop == self._height, self._level)

        if count:
            for packed, part, length in map_blocks(block, count, self._rows):
                self._checksum = adler32_combine(self._checksum, part, length)
                yield packed
        self._done += count
        if self._done == self._height:
            yield struct.pack(">I", self._checksum)
        else:
            self._waiting = pixels[max(above + count - 1, 0) :].copy()


def packed_rows(pixels: Array, above: bool, last: bool, level: int) -> tuple[bytes, int, int]:
    """Rows as deflate blocks that end at a byte, with the checksum and the length of what they hold.

    With `above` the first row is not packed but only what the filters look at. The blocks refer to nothing before them,
    so that any number can be made at once; a window of 32 KiB in a MiB costs less than a hundredth in bytes.
    """
    lines = _lines(pixels)
    before = lines[:1] if above else np.zeros_like(lines[:1])
    plain = _filtered(lines[1:] if above else lines, before, pixels.shape[2] * pixels.dtype.itemsize, level)
    deflater: Any
    if level in _ISAL_LEVELS:
        # Three to five times as fast as zlib, and no larger at these levels.
        deflater = isal_zlib.compressobj(level, zlib.DEFLATED, -15)
    else:
        deflater = zlib.compressobj(level, zlib.DEFLATED, -15, 9, zlib.Z_FILTERED)
    ending = zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH
    return deflater.compress(plain) + deflater.flush(ending), isal_zlib.adler32(plain), plain.nbytes


def adler32_combine(first: int, second: int, length: int) -> int:
    """The checksum of two texts in a row, from theirs and the second's length (RFC 1950, section 8.2)."""
    prime = 65521
    low = (first & 0xFFFF) + (second & 0xFFFF) - 1
    high = (first >> 16) + (second >> 16) + length * ((first & 0xFFFF) - 1)
    return high % prime << 16 | low % prime


def _lines(pixels: Array) -> Array:
    """Rows of bytes, the high one of a sample first."""
    ordered = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder(">"))
    return ordered.view(np.uint8).reshape(len(pixels), -1)


def _filtered(lines: Array, above: Array, step: int, level: int) -> Array:
    """Each row behind its filter's number.

    At level 1 all rows have one; above it each has that of least sum of absolute differences (the specification's
    advice).
    """
    out = np.empty((len(lines), lines.shape[1] + 1), np.uint8)
    if level == 0:
        out[:, 0], out[:, 1:] = _NONE, lines
        return out
    before = np.concatenate((above, lines[:-1]))
    if level == 1:
        sample = slice(len(lines) // 2 % _SAMPLED, None, _SAMPLED)
        out[:, 0] = number = _quick(lines[sample], before[sample], step)
        # Some rows at a time, so that what lies between stays in the cache.
        rows = max(1, _CACHED_BYTES // lines.shape[1])
        for at in range(0, len(lines), rows):
            part = slice(at, at + rows)
            out[part, 1:] = _differences(lines[part], before[part], step, number)
        return out
    candidates = [_differences(lines, before, step, number) for number in range(5)]
    best = np.argmin([_cost(rows[:, ::_SPARSE]) for rows in candidates], axis=0)
    out[:, 0] = best
    for number, rows in enumerate(candidates):
        np.copyto(out[:, 1:], rows, where=best[:, None] == number)
    return out


def _quick(lines: Array, before: Array, step: int) -> int:
    """The filter of least entropy among those that vector instructions make in no time.

    Up is the best of all where most of it is 0, for what else it leaves repeats from row to row; and elsewhere a little
    better than its entropy.
    """
    up = lines - before
    if 2 * np.count_nonzero(up[:, ::_SPARSE]) < up[:, ::_SPARSE].size:
        return _UP
    entropies = {_UP: _entropy(up) * 0.97}
    for number in (_SUB, _AVERAGE, _NONE):
        entropies[number] = _entropy(_differences(lines, before, step, number))
    return min(entropies, key=lambda number: entropies[number])


def _differences(lines: Array, before: Array, step: int, number: int) -> Array:
    """Rows less what a filter foretells of them, from the pixel to the left and the row above."""
    if number == _NONE:
        return lines
    if number == _UP:
        return lines - before
    if number == _SUB:
        rows = lines.copy()
        rows[:, step:] -= lines[:, :-step]
        return rows
    left = np.zeros_like(lines)
    left[:, step:] = lines[:, :-step]
    if number == _PAETH:
        left = _paeth(left, before, step)
    else:
        # Half the sum, without the ninth bit: what both have, and half of what one has.
        odd = left ^ before
        np.right_shift(odd, 1, out=odd)
        left &= before
        left += odd
    return np.subtract(lines, left, out=left)


def _entropy(rows: Array) -> float:
    """Bits per byte, were each byte coded alone."""
    counts = np.bincount(rows.reshape(-1)[::_SPARSE], minlength=256)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def _cost(rows: Array) -> Array:
    """The sum of each row's bytes as numbers from -128 to 127, without their sign."""
    return np.asarray(np.minimum(rows, 0 - rows).sum(axis=1, dtype=np.uint32))


def _paeth(left: Array, before: Array, step: int) -> Array:
    """The neighbour nearest to left + above - corner; on a tie left, then above."""
    corner = np.zeros_like(before)
    corner[:, step:] = before[:, :-step]
    to_left = before.astype(np.int16) - corner
    to_above = left.astype(np.int16) - corner
    to_corner = np.abs(to_left + to_above)
    to_left, to_above = np.abs(to_left), np.abs(to_above)
    nearest = np.where(to_above <= to_corner, before, corner)
    return np.where((to_left <= to_above) & (to_left <= to_corner), left, nearest)

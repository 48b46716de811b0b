"""The samples of a deep OpenEXR part, scan lines or tiles, read in bulk.

OpenImageIO's Python binding hands deep values out one by one only, which takes several times as long. Source of the
layout: "OpenEXR File Layout", section "Deep Data": a chunk is the running counts of its lines, then per line and channel
all samples.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_core import OperationError, progress
from pipeline_depth.deep_image import MAX_SAMPLES, Floats, Integers
from pipeline_depth.exr_header import Part

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
WIDTHS = {"uint": 4, "half": 2, "float": 4}
FORMATS = {"half": "<f2", "float": "<f4"}


@dataclass(frozen=True)
class Chunk:
    """A rectangle of the data window, in pixels from its upper left, and the packed bytes of it.

    size        bytes of the unpacked samples
    full_table  bytes of the counts of a chunk that no edge cuts
    """

    x: int
    y: int
    width: int
    height: int
    counts: bytes
    samples: bytes
    size: int
    full_table: int


def read_samples(content: bytes, part: Part, numbered: bool, channels: list[str]) -> tuple[Integers, Floats]:
    """(pixel in the data window of every sample, samples `(N, len(channels))`), in the order of the pixels."""
    _, _, width, height = part.box("dataWindow")
    pixels, blocks, total, done = [], [], 0, 0
    for chunk in _chunks(content, part, numbered, width, height):
        counts = _counts(chunk, part.compression)
        total += int(counts.sum())
        if total > MAX_SAMPLES:
            raise OperationError(f"more than {MAX_SAMPLES:,} deep samples")
        rows = (chunk.y + np.arange(chunk.height)) * width
        pixel = rows[:, None] + chunk.x + np.arange(chunk.width)
        pixels.append(np.repeat(pixel.ravel(), counts.ravel()))
        blocks.append(_values(chunk, part, counts.sum(axis=1), channels))
        done += chunk.width * chunk.height
        progress(done, width * height)
    if done != width * height:
        raise OperationError(f"cut off: chunks for {done:,} of {width * height:,} pixels")
    pixel, samples = np.concatenate(pixels), np.concatenate(blocks)
    if (np.diff(pixel) < 0).any():
        order = np.argsort(pixel, kind="stable")
        pixel, samples = pixel[order], samples[order]
    return pixel, samples


def _chunks(content: bytes, part: Part, numbered: bool, width: int, height: int) -> Iterator[Chunk]:
    """The chunks of the full size, in the order of the table; of smaller levels none."""
    table = content[part.table : part.table + 8 * part.chunks]
    if len(table) < 8 * part.chunks:
        raise OperationError("cut off: the file ends inside its table of chunks")
    tile_width, tile_height = part.block
    full_table = 4 * (tile_width or width) * tile_height
    seen = set()
    layout = struct.Struct("<" + "i" * numbered + ("4i" if tile_width else "i") + "3Q")
    top = part.attributes["dataWindow"][1]
    first_line = struct.unpack_from("<i", top, 4)[0]
    for offset in np.frombuffer(table, "<u8").tolist():
        if not 0 < offset <= len(content) - layout.size:
            raise OperationError("cut off: a chunk lies beyond the end of the file")
        *place, packed_counts, packed, size = layout.unpack_from(content, offset)
        place = place[1:] if numbered else place
        if tile_width:
            if place[2:] != [0, 0]:
                continue
            x, y = place[0] * tile_width, place[1] * tile_height
        else:
            x, y = 0, place[0] - first_line
        if (x, y) in seen or not (0 <= x < width and 0 <= y < height) or y % tile_height:
            raise OperationError(f"damaged: a chunk at {x}, {y} of {width}x{height} pixels")
        seen.add((x, y))
        start = offset + layout.size
        end = start + packed_counts + packed
        if end > len(content):
            raise OperationError("cut off: the file ends inside a chunk")
        size_here = min(tile_width or width, width - x), min(tile_height, height - y)
        counts = content[start : start + packed_counts]
        yield Chunk(x, y, *size_here, counts, content[start + packed_counts : end], size, full_table)


def _counts(chunk: Chunk, compression: str) -> Integers:
    """How many samples each pixel has, `(height, width)`: the file holds the running sums of each line."""
    wanted = 4 * chunk.width * chunk.height
    # The OpenEXR library stores the table of a tile cut by the edge in full length where it is not packed.
    stored = chunk.counts[:wanted] if len(chunk.counts) == chunk.full_table else chunk.counts
    sums = np.frombuffer(unpack(stored, wanted, compression), "<i4").reshape(chunk.height, chunk.width)
    counts: Integers = sums.astype(np.int64)
    counts[:, 1:] -= sums[:, :-1]
    if (counts < 0).any():
        raise OperationError("damaged: a pixel with fewer than no samples")
    return counts


def _values(chunk: Chunk, part: Part, lines: Integers, channels: list[str]) -> Floats:
    """The samples of a chunk, `(N, len(channels))`, from the number of those in each line."""
    total = int(lines.sum())
    widths = [WIDTHS[channel.type] for channel in part.channels]
    wanted = total * sum(widths)
    if chunk.size != wanted:
        raise OperationError(f"damaged: a chunk of {chunk.size:,} bytes, where its counts need {wanted:,}")
    values = unpack(chunk.samples, wanted, part.compression)
    samples = np.empty((total, len(channels)), np.float32)
    at, start = 0, 0
    for count in lines.tolist():
        for channel, width in zip(part.channels, widths, strict=True):
            if channel.name in channels:
                column = np.frombuffer(values, FORMATS[channel.type], count, at)
                samples[start : start + count, channels.index(channel.name)] = column
            at += count * width
        start += count
    return samples


def unpack(packed: bytes, size: int, compression: str) -> bytes:
    """Bytes as they were before compression; what did not shrink is stored as it is."""
    if len(packed) == size or compression == "none":
        if len(packed) != size:
            raise OperationError(f"damaged: {len(packed):,} bytes in a chunk of {size:,}")
        return packed
    found = _runs(packed, size) if compression == "rle" else _inflate(packed, size)
    if len(found) != size:
        raise OperationError(f"damaged: a chunk of {size:,} bytes unpacks to another size")
    return _restored(np.frombuffer(found, np.uint8))


def _inflate(packed: bytes, size: int) -> bytes:
    try:
        # One byte more than there may be: a longer stream is found out without being unpacked.
        return zlib.decompressobj().decompress(packed, size + 1)
    except zlib.error as error:
        raise OperationError(f"damaged: a chunk does not unpack ({error})") from None


def _runs(packed: bytes, size: int) -> bytes:
    """Run lengths: n < 0 is -n bytes as they are, n >= 0 is the next byte n + 1 times."""
    found = bytearray()
    at = 0
    while at < len(packed) and len(found) <= size:
        count = packed[at] - 256 if packed[at] > 127 else packed[at]
        if count < 0:
            found += packed[at + 1 : at + 1 - count]
            at += 1 - count
        else:
            found += packed[at + 1 : at + 2] * (count + 1)
            at += 2
    return bytes(found)


def _restored(coded: Bytes) -> bytes:
    """Differences summed up (each is stored plus 128), then the two halves taken in turns."""
    steps = coded.copy()
    steps[1:] += np.uint8(128)
    summed = np.cumsum(steps, dtype=np.uint8)
    result = np.empty_like(summed)
    half = (len(summed) + 1) // 2
    result[0::2], result[1::2] = summed[:half], summed[half:]
    return result.tobytes()

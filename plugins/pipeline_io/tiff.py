"""TIFF: the header's facts, and a writer for 8 and 16 bit, half and float, with the image's own alpha state.

Sources: TIFF 6.0; Adobe Photoshop TIFF Technical Notes (deflate); TIFF Technical Note 3 (the predictor for floats).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from pipeline_core import Alpha, OperationError
from pipeline_io import exif, icc, xmp
from pipeline_io.blocks import map_blocks
from pipeline_io.facts import CHANNELS, Facts

Array = np.ndarray[Any, Any]

# Bytes of pixels per byte of file at the most: a run of PackBits makes 128 of 2, a code of LZW stands for a string
# that grows by one with each code until the table is full.
_COMPRESSIONS = {1: 1, 5: 1400, 8: 1032, 32946: 1032, 32773: 64}
_FAX = (2, 3, 4)
_GREY, _RGB, _PALETTE, _CMYK, _YCBCR = ((0, 1), 2, 3, 5, 6)
_FLOAT = 3
_STRIP_BYTES = 2**19
_MOST = 2**32 - 2**24  # of pixels; deflating noise, and the tags, take a little more


def probe(content: bytes) -> Facts:
    """What the first page's directory says."""
    page = exif.first_directory(content)
    if page is None:
        raise OperationError("damaged tiff file: its directory lies outside the file")
    samples = page.number(277, 1)
    depth, sample_format = page.number(258, 1), page.number(339, 1)
    channels, alpha = _channels(page, samples)
    dtype = _dtype(depth, sample_format)
    _whole(page, len(content))
    profile = page.opaque(34675)
    color = icc.identify(profile)
    floats = dtype.startswith("float")
    growth = _COMPRESSIONS.get(page.number(259, 1))
    return Facts(
        "tiff",
        page.number(256),
        page.number(257),
        channels,
        dtype=dtype,
        alpha=alpha,
        color=color or ("lin_rec709_scene" if floats else "srgb_rec709_scene"),
        orientation=page.orientation,
        meta=({} if color or not profile else icc.note(profile)) | page.texts | xmp.read_packet(page.opaque(700)),
        # Bits and palettes grow when they become bytes; subsampled colour does, too.
        room=None if growth is None else len(content) * growth * (32 if depth < 8 else 4),
    )


def encode(pixels: Array, *, associated: bool, color: str, meta: Mapping[str, str], compression: int) -> bytes:
    """A little-endian TIFF of `(H, W, C)` uint8, uint16, float16 or float32 pixels, deflated unless `compression` is 0.

    A BigTIFF where the pixels have 4 GiB.
    """
    file = io.BytesIO()
    stream = Stream(
        file,
        pixels.shape,
        pixels.dtype.name,
        associated=associated,
        color=color,
        meta=meta,
        compression=compression,
    )
    stream.add(pixels)
    stream.finish()
    return file.getvalue()


class Stream:
    """A TIFF that is written while its rows come; the same bytes as `encode` makes. The file is one to seek in."""

    def __init__(
        self,
        file: BinaryIO,
        shape: tuple[int, ...],
        dtype: str,
        *,
        associated: bool,
        color: str,
        meta: Mapping[str, str],
        compression: int,
    ) -> None:
        height, width, samples = shape
        self._itemsize = np.dtype(dtype).itemsize
        self._big = height * width * samples * self._itemsize > _MOST
        self._file = file
        self._shape = height, width, samples
        self._floats = dtype.startswith("float")
        self._associated, self._color, self._meta, self._level = associated, color, meta, compression
        self._rows = max(1, _STRIP_BYTES // (width * samples * self._itemsize))
        self._counts: list[int] = []
        self._done = 0
        self._waiting: Array | None = None
        self._start = 16 if self._big else 8
        file.write(bytes(self._start))

    def add(self, pixels: Array) -> None:
        if self._waiting is not None:
            pixels = np.concatenate((self._waiting, pixels))
        count = len(pixels)
        if self._done + count < self._shape[0]:
            count -= count % self._rows
        if count:
            for strip in map_blocks(lambda start, stop: _strip(pixels[start:stop], self._level), count, self._rows):
                self._counts.append(len(strip))
                self._file.write(strip + bytes(len(strip) % 2))
        self._done += count
        self._waiting = pixels[count:].copy() if count < len(pixels) else None

    def finish(self) -> None:
        at = self._start + sum(n + n % 2 for n in self._counts)
        self._file.write(_directory(self._tags(), at, big=self._big))
        self._file.seek(0)
        self._file.write(
            struct.pack("<2sHHHQ", b"II", 43, 8, 0, at) if self._big else struct.pack("<2sHI", b"II", 42, at)
        )

    def _tags(self) -> dict[int, tuple[str, tuple[int, ...] | bytes]]:
        height, width, samples = self._shape
        offsets = np.cumsum([self._start, *(n + n % 2 for n in self._counts[:-1])])
        tags: dict[int, tuple[str, tuple[int, ...] | bytes]] = {
            256: ("I", (width,)),
            257: ("I", (height,)),
            258: ("H", (self._itemsize * 8,) * samples),
            259: ("H", (8 if self._level else 1,)),
            262: ("H", (2 if samples > 2 else 1,)),
            273: ("Q" if self._big else "I", tuple(int(n) for n in offsets)),
            277: ("H", (samples,)),
            278: ("I", (self._rows,)),
            279: ("I", tuple(self._counts)),
            284: ("H", (1,)),
            339: ("H", (_FLOAT if self._floats else 1,) * samples),
        }
        if self._level:
            tags[317] = ("H", (3 if self._floats else 2,))
        if samples in (2, 4):
            tags[338] = ("H", (1 if self._associated else 2,))
        if packet := xmp.write_packet(self._meta):
            tags[700] = ("B", packet)
        color = self._color
        if icc.named(color) and color != ("lin_rec709_scene" if self._floats else "srgb_rec709_scene"):
            tags[34675] = ("s", icc.build(color, samples < 3))
        return tags


def _channels(page: exif.Directory, samples: int) -> tuple[tuple[str, ...], Alpha]:
    """Channels and alpha state. An extra sample of unsaid meaning is taken for straight alpha, as Photoshop writes it."""
    kind = page.number(262, 1)
    colors = 1 if kind in _GREY else 4 if kind == _CMYK else 3 if kind in (_RGB, _YCBCR) else 0
    if kind == _PALETTE and samples == 1:
        return CHANNELS[3], "none"
    extra = samples - colors
    if colors == 0 or extra not in ((0, 1) if kind != _CMYK else (0,)):
        raise OperationError(
            f"a tiff file of {samples} samples, photometric interpretation {kind}; "
            "what is read is grey, RGB, palette, CMYK and YCbCr, with one alpha at most"
        )
    if not extra:
        return CHANNELS[min(colors, 3)], "none"
    return CHANNELS[colors + 1], "associated" if page.number(338) == 1 else "straight"


def _dtype(depth: int, sample_format: int) -> str:
    if sample_format == _FLOAT and depth in (16, 24, 32):
        return "float16" if depth == 16 else "float32"
    if sample_format in (1, 4) and 0 < depth <= 16:
        return "uint8" if depth <= 8 else "uint16"
    kind = {2: "signed integer", 3: "float", 5: "complex", 6: "complex"}.get(sample_format, "integer")
    raise OperationError(
        f"a tiff file of {depth}-bit {kind} samples; what is read is integers of up to 16 bits, half and float"
    )


def _whole(page: exif.Directory, size: int) -> None:
    """Refuses a file whose strips or tiles, or the tags that say where they are, lie outside it."""
    offsets, counts = (
        (page.numbers(324), page.numbers(325)) if 324 in page.entries else (page.numbers(273), page.numbers(279))
    )
    if page.broken & {273, 279, 324, 325} or any(o + c > size for o, c in zip(offsets, counts, strict=False)):
        raise OperationError("the tiff file is cut off")
    if not offsets:
        raise OperationError("damaged tiff file: no pixels in it")


def _strip(rows: Array, level: int) -> bytes:
    rows = np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("<"))
    if not level:
        return rows.tobytes()
    differences = _float_differences(rows) if rows.dtype.kind == "f" else rows.copy()
    if rows.dtype.kind != "f":
        differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.tobytes(), level)


def _float_differences(rows: Array) -> Array:
    """Each row's bytes by significance, highest first, then the difference to the byte of the pixel before."""
    height, width, samples = rows.shape
    size = rows.dtype.itemsize
    planes = rows.view(np.uint8).reshape(height, width * samples, size)[:, :, ::-1].transpose(0, 2, 1)
    line = np.ascontiguousarray(planes).reshape(height, -1)
    differences = line.copy()
    differences[:, samples:] -= line[:, :-samples]
    return differences


def _directory(tags: Mapping[int, tuple[str, tuple[int, ...] | bytes]], start: int, *, big: bool) -> bytes:
    """A directory to be written at `start`, with the values that don't fit into it behind; `big` with 64-bit numbers."""
    kinds = {"B": 1, "H": 3, "I": 4, "s": 7, "Q": 16}
    few, many, room = ("Q", "Q", 8) if big else ("H", "I", 4)
    entries, values = struct.pack(f"<{few}", len(tags)), b""
    behind = start + len(entries) + (4 + 2 * room) * len(tags) + room
    for tag, (code, given) in sorted(tags.items()):
        value = given if isinstance(given, bytes) else struct.pack(f"<{len(given)}{code}", *given)
        entries += struct.pack(f"<HH{many}", tag, kinds[code], len(given))
        if len(value) <= room:
            entries += value.ljust(room, b"\0")
        else:
            entries += struct.pack(f"<{many}", behind + len(values))
            values += value + bytes(len(value) % 2)
    return entries + bytes(room) + values

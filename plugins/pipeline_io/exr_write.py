"""Writing OpenEXR: OpenImageIO compresses the pixels, the header is ours.

OpenImageIO's own header would name its version and the time, and the same picture would never be the same file twice.
"""

from __future__ import annotations

import json
import mmap
import re
import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pipeline_core import OperationError
from pipeline_io import exr_header, icc
from pipeline_io.target import ExrCodec

if TYPE_CHECKING:
    import OpenImageIO


_STRUCTURE = (
    "channels", "compression", "dataWindow", "displayWindow", "lineOrder", "pixelAspectRatio", "screenWindowCenter",
    "screenWindowWidth",
)  # fmt: skip
# Names with a meaning and a type of their own, which a text can't have.
_TAKEN = frozenset({
    *_STRUCTURE, *exr_header.TEXTS.values(), exr_header.REST, "adoptedNeutral", "altitude", "aperture", "chromaticities", "chunkCount",
    "colorInteropID", "deepImageState", "dwaCompressionLevel", "envmap", "expTime", "focus", "framesPerSecond",
    "imageCounter", "isoSpeed", "keyCode", "latitude", "longitude", "maxSamplesPerPixel", "multiView", "name",
    "originalDataWindow", "preview", "tiles", "timeCode", "type", "utcOffset", "version", "view", "whiteLuminance",
    "worldToCamera", "worldToNDC", "wrapmodes", "xDensity",
})  # fmt: skip
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,254}")
_LONG_NAMES = 0x400
_PIECE = 2**24


def encode(
    pixels: np.ndarray[Any, Any],
    channels: tuple[str, ...],
    *,
    color: str,
    meta: Mapping[str, str],
    codec: ExrCodec,
    level: int,
) -> bytes:
    """A scanline file of `(H, W, C)` float16 or float32 pixels with associated alpha, of one part."""
    with tempfile.TemporaryDirectory(prefix="pipeline-") as folder:
        stream = Stream(
            Path(folder), pixels.shape, channels, pixels.dtype.name, color=color, meta=meta, codec=codec, level=level
        )
        stream.add(pixels)
        return b"".join(stream.parts())


class Stream:
    """A file whose rows come some at a time; the same bytes as `encode` makes.

    OpenImageIO, which writes to paths only, has its file in `folder`.
    """

    def __init__(
        self,
        folder: Path,
        shape: tuple[int, ...],
        channels: tuple[str, ...],
        dtype: str,
        *,
        color: str,
        meta: Mapping[str, str],
        codec: ExrCodec,
        level: int,
    ) -> None:
        import OpenImageIO

        height, width, samples = shape
        spec = OpenImageIO.ImageSpec(width, height, samples, "half" if dtype == "float16" else "float")
        spec.channelnames = channels
        spec.attribute("compression", f"{codec}:{max(level, 1)}" if codec.startswith("zip") else codec)
        self._path = folder / "packed.exr"
        self._channels, self._color, self._meta = channels, color, meta
        self._done = 0
        out = OpenImageIO.ImageOutput.create(str(self._path))
        if out is None or not out.open(str(self._path), spec):
            raise _failed(out)
        self._out = out

    def add(self, pixels: np.ndarray[Any, Any]) -> None:
        rows = np.ascontiguousarray(pixels)
        if not self._out.write_scanlines(self._done, self._done + len(rows), 0, rows):
            raise _failed(self._out)
        self._done += len(rows)

    def parts(self) -> Iterator[bytes]:
        """The bytes of the whole file, with a header of ours in front of OpenImageIO's chunks."""
        if not self._out.close():
            raise _failed(self._out)
        with self._path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as packed:
            part, tables = exr_header.structure(cast(bytes, packed))
            attributes = {name: part.attributes[name] for name in _STRUCTURE} | _color(self._color) | _texts(self._meta)
            version = 2 | (_LONG_NAMES if max(len(name) for name in (*attributes, *self._channels)) > 31 else 0)
            header = struct.pack("<4sI", b"\x76\x2f\x31\x01", version)
            for name, (kind, value) in sorted(attributes.items()):
                header += name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value
            header += b"\0"
            count = exr_header.chunk_count(part)
            table = np.frombuffer(packed[tables : tables + 8 * count], "<u8")
            yield header
            yield (table + np.uint64(len(header)) - np.uint64(tables)).astype("<u8").tobytes()
            for at in range(tables + 8 * count, len(packed), _PIECE):
                yield packed[at : at + _PIECE]


def _failed(out: OpenImageIO.ImageOutput | None) -> OperationError:
    import OpenImageIO

    return OperationError(f"the exr file can not be made: {(out or OpenImageIO).geterror()}")


def _color(color: str) -> dict[str, tuple[str, bytes]]:
    """The colour space by its name, and by its primaries where it has some."""
    if color in ("data", "unknown"):
        return {"colorInteropID": ("string", color.encode())}
    found = {"colorInteropID": ("string", color.encode())}
    gamut = color.partition("_")[2].rpartition("_")[0]
    if color.startswith("lin_") and gamut in icc.GAMUTS:
        corners = [n for corner in icc.GAMUTS[gamut] for n in corner]
        found["chromaticities"] = ("chromaticities", struct.pack("<8f", *corners))
    return found


def _texts(meta: Mapping[str, str]) -> dict[str, tuple[str, bytes]]:
    """A text attribute for each text; together as JSON those that can't be one."""
    fits = {key: text for key, text in meta.items() if _is_plain(key, text)}
    rest = {key: text for key, text in meta.items() if key not in fits}
    found = {exr_header.TEXTS.get(key, key): ("string", text.encode()) for key, text in fits.items()}
    if rest:
        found[exr_header.REST] = ("string", json.dumps(rest, sort_keys=True).encode())
    return found


def _is_plain(key: str, text: str) -> bool:
    return bool(
        _NAME.fullmatch(key)
        and key not in _TAKEN
        and text == text.strip()
        and text
        and "\0" not in text
        and not any("\ud800" <= c <= "\udfff" for c in text)
    )

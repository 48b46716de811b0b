"""A picture's rows from a file as they are needed, for pictures that are larger than the memory.

`open_rows` gives a `RowReader` for what can be read that way: TIFF (strips or tiles), OpenEXR, PNG without interlacing and
JPEG, upright. Its `facts` are a stand-in of what `load_image` would give, and all rows put together are its pixels.
"""

from __future__ import annotations

import mmap
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import numpy as np

from pipeline_core import Image, OperationError, Rows, empty
from pipeline_io import apart, exr, png
from pipeline_io.exr_header import LINES, parts
from pipeline_io.facts import MAX_STREAMED_PIXELS, Facts, within_limits
from pipeline_io.load import fields_of
from pipeline_io.sniff import format_of
from pipeline_io.source import Choice, named, probe, readable

Array = np.ndarray[Any, Any]
Read = Callable[[int, int], Array]

FORMATS = ("tiff", "exr", "png", "jpeg")
_MOST_AT_ONCE = 2**28
_SKIPPED = 64
_PAYS_FROM = 2**27
"""Samples from which on rows are read as they are needed, unless they come as fast as the whole: to open a file takes time."""
"""Rows at a time on the way down to those that are wanted."""


class RowReader:
    """Rows of one picture. Going down is cheap, going up may begin anew; what was read last is kept for the next halo.

    `facts` is a stand-in: size, channels, type, colour, alpha and texts, no memory. Not for several threads at once.
    """

    def __init__(
        self, facts: Image, read: Read, unit: int, closing: ExitStack, *, downward: bool = False, cheap: bool = False
    ) -> None:
        self.facts = facts
        self.downward = downward
        """Whether going up begins anew."""
        self.cheap = cheap
        """Whether rows come as fast as the whole."""
        self.unit = unit
        """Rows that the file stores together, in a strip or a row of tiles: strips of a multiple of it waste nothing."""
        self._read = read
        self._closing = closing
        self._top = 0
        self._kept = np.empty((0, *facts.buffer.shape[2:]), facts.dtype)

    def read(self, top: int, bottom: int) -> Image:
        """Rows `top` to `bottom`, without the last, as `(1, bottom - top, W, C)`; OperationError for a damaged file."""
        if not 0 <= top < bottom <= self.facts.height:
            raise OperationError(f"rows {top} to {bottom} of a picture of {self.facts.height} rows")
        end = self._top + len(self._kept)
        if top < self._top or bottom > end:
            begin = top - top % self.unit
            stop = min(-(-bottom // self.unit) * self.unit, self.facts.height)
            if self._top <= begin < end:
                self._kept = np.concatenate((self._kept[begin - self._top :], self._read(end, stop)))
            else:
                self._kept = self._read(begin, stop)
            self._top = begin
        return self.facts.with_buffer(self._kept[None, top - self._top : bottom - self._top])

    def close(self) -> None:
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_rows(
    path: Path,
    *,
    color: str = "auto",
    alpha: str = "auto",
    orient: bool = True,
    layer: str = "",
    part: str = "",
    window: str = "display",
    pays_from: int = 0,
) -> RowReader | None:
    """A reader of the file's rows; None where they can only be had all at once, so that `load_image` is the way.

    The params are those of `load_image`, and so are the errors. Files may be larger than it takes. What is not cheap is
    opened for so many samples or more.
    """
    with readable(path):
        content = _mapped(path)
    with named(path), ExitStack() as closing:
        if format_of(content) not in FORMATS:
            return None
        facts = within_limits(probe(content, Choice(layer, part, window)), MAX_STREAMED_PIXELS)
        if (orient and facts.orientation > 1) or (alpha == "ignore" and "A" in facts.channels):
            return None
        found = _png(content, facts) if facts.format == "png" else None
        cheap = found is not None
        if found is None and facts.width * facts.height * len(facts.channels) < pays_from:
            return None
        if found is None:
            name = _called(path, facts.format, closing)
            found = _exr(content, name, facts) if facts.format == "exr" else _plain(name, facts, closing)
        if found is None:
            return None
        read, unit = found
        if facts.width * len(facts.channels) * 4 * unit > _MOST_AT_ONCE:
            return None
        image = Image.stand_in(
            facts.width, facts.height, facts.channels, dtype=facts.dtype, **fields_of(facts, color, alpha)
        )
        whole = image.with_buffer(image.buffer, meta=facts.meta)
        downward = facts.format in ("png", "jpeg")
        return RowReader(whole, _named(path, read), unit, closing.pop_all(), downward=downward, cheap=cheap)


def image_in_rows(path: Path, **params: Any) -> Rows | None:
    """How `load_image` gives some rows at a time. The file is open while they are asked for."""
    with open_rows(path, **params, pays_from=_PAYS_FROM) or nullcontext() as found:
        if found is None:
            return None
        facts, downward, cheap = found.facts, found.downward, found.cheap
    opened: list[RowReader] = []

    def make(start: int, stop: int) -> Image:
        if not opened:
            reader = open_rows(path, **params)
            if reader is None:
                raise OperationError(f"{path} changed while it was read")
            opened.append(reader)
        return opened[0].read(start, stop)

    def close() -> None:
        while opened:
            opened.pop().close()

    return Rows(facts, make, close=close, downward=downward, cheap=cheap)


def _mapped(path: Path) -> bytes:
    """The file as if it were read, of which only what is looked at comes into the memory."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise OperationError(f"{path}: the file is empty")
        # It is sliced, indexed and searched like bytes.
        return cast(bytes, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _let_go(content: bytes) -> None:
    """Of the pages of a mapped file that were read: they would count as this process's memory, as much as the file is large."""
    if isinstance(content, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        content.madvise(mmap.MADV_DONTNEED)


def _called(path: Path, name: str, closing: ExitStack) -> Path:
    """The file under a name of ours, so that only the decoder of its format is ever asked."""
    folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="pipeline-"))
    link = Path(folder) / f"file.{name}"
    try:
        link.symlink_to(path.absolute())
    except OSError:  # some systems have no links, or not for everybody
        shutil.copyfile(path, link)
    return link


def _named(path: Path, read: Read) -> Read:
    def reading(top: int, bottom: int) -> Array:
        with named(path):
            return read(top, bottom)

    return reading


def _png(content: bytes, facts: Facts) -> tuple[Read, int] | None:
    """As `png.decode` does it; None for the kinds that are libpng's."""
    unpacker, done = png.unpacked(content, facts), 0
    if unpacker is None:
        return None

    def rows(count: int) -> Array:
        nonlocal done
        assert unpacker is not None
        out = empty((count, facts.width, len(facts.channels)), facts.dtype)
        unpacker.read(out)
        _let_go(content)
        done += count
        if done == facts.height:
            unpacker.finish()
        return out

    def read(top: int, bottom: int) -> Array:
        nonlocal unpacker, done
        if top < done:
            unpacker, done = png.unpacked(content, facts), 0
        while done < top:
            rows(min(top - done, _SKIPPED))
        return rows(bottom - top)

    return read, 1


def _plain(path: Path, facts: Facts, closing: ExitStack) -> tuple[Read, int] | None:
    """By OpenImageIO in this process, as `native` does it; None where its rows are not those that the facts say."""
    import OpenImageIO

    from pipeline_io.decoder import read_rows

    settings = OpenImageIO.ImageSpec()
    settings.attribute("oiio:UnassociatedAlpha", 1)
    settings.attribute("oiio:reorient", 0)
    source = OpenImageIO.ImageInput.open(str(path), settings)
    if source is None:
        raise _damaged(facts, path, OpenImageIO.geterror())
    closing.callback(source.close)
    spec = source.spec()
    told = (spec.width, spec.height, spec.nchannels, {"half": "float16", "float": "float32"}.get(str(spec.format), str(spec.format)))  # fmt: skip
    if told != (facts.width, facts.height, len(facts.channels), facts.dtype) or spec.get("png:interlaced"):
        return None

    def read(top: int, bottom: int) -> Array:
        pixels = read_rows(source, 0, top, bottom, 0, spec.nchannels, spec.format)
        complaint = source.geterror()
        if pixels is None or complaint:
            raise _damaged(facts, path, complaint)
        return np.asarray(pixels).reshape(bottom - top, facts.width, len(facts.channels))

    return read, spec.tile_height or min(int(spec.get("tiff:RowsPerStrip") or 1), facts.height)


def _exr(content: bytes, path: Path, facts: Facts) -> tuple[Read, int] | None:
    """By a child process, within the frame that was asked for. The rows of a chunk, or of tiles, are read together."""
    stored = facts.stored
    assert stored is not None
    chosen = parts(content)[stored.part]
    unit = chosen.tiles[1] if chosen.tiles else LINES[chosen.compression]
    if chosen.tiles and stored.top % unit:
        return None  # the frame's strips would begin within a row of tiles

    def read(top: int, bottom: int) -> Array:
        out = np.zeros((bottom - top, facts.width, len(facts.channels)), facts.dtype)
        first, last = max(top - stored.top, 0), min(bottom - stored.top, stored.height)
        if first < last:
            held = apart.decode_rows(path, facts, first, last)
            exr.put(held, out, stored.left, first + stored.top - top)
        return out

    return read, unit


def _damaged(facts: Facts, path: Path, reason: str) -> OperationError:
    text = " ".join(reason.replace(f'("{path}")', "").replace(str(path), "file").split())
    return OperationError(f"damaged {facts.format} file: {text or 'it can not be decoded'}")

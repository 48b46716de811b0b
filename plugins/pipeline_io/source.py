"""From a path to pixels: the file's bytes once, what its header says, and the decoder of its format."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_core import OperationError
from pipeline_io import (
    apart,
    avif,
    bmp,
    dds,
    exr,
    hdr,
    jpeg,
    jxl,
    native,
    png,
    pnm,
    psd,
    psd_pixels,
    qoi,
    tga,
    tiff,
    webp,
)
from pipeline_io.facts import MAX_FILE_BYTES, Facts, within_limits
from pipeline_io.sniff import format_of

Array = np.ndarray[Any, Any]

_PROBES = {"png": png.probe, "jpeg": jpeg.probe, "webp": webp.probe, "tiff": tiff.probe, "bmp": bmp.probe,
           "hdr": hdr.probe, "dds": dds.probe, "tga": tga.probe, "qoi": qoi.probe, "pnm": pnm.probe, "jxl": jxl.probe, "avif": avif.probe}  # fmt: skip
# Formats whose decoders are ours, or the safe ones of OpenImageIO; the others are decoded apart.
_DECODERS = {"png": png.decode, "jpeg": jpeg.decode, "bmp": bmp.decode, "dds": dds.decode, "tga": tga.decode, "qoi": qoi.decode, "pnm": pnm.decode,
             "psd": psd_pixels.decode, "exr": apart.decode, "hdr": apart.decode, "jxl": apart.decode, "avif": apart.decode}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """Which picture of a file that holds several, and how small."""

    layer: str = exr.MAIN
    part: str = ""
    window: str = "display"
    shrink: int = 1


WHOLE = Choice()


def content_of(path: Path) -> bytes:
    """The file's bytes; OperationError in the user's words where there are none."""
    with readable(path):
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise OperationError(f"{path}: {size:,} bytes, above the limit of {MAX_FILE_BYTES:,}")
        return path.read_bytes()


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What the system says against reading a file, in the user's words."""
    try:
        yield
    except FileNotFoundError:
        raise OperationError(f"file not found: {path}") from None
    except IsADirectoryError:
        raise OperationError(f"{path} is a folder, not a file") from None
    except OSError as error:
        raise OperationError(f"{path} can't be read: {error.strerror or error}") from None


def facts_of(path: Path, content: bytes, choice: Choice = WHOLE) -> Facts:
    """What the header says, held to the limits; errors name the file."""
    with named(path):
        facts = within_limits(probe(content, choice))
        if choice.shrink == 1:
            return facts
        if facts.format != "jpeg":
            raise OperationError(f"shrink is for jpeg files, but this is a {facts.format}; use resize")
        width, height = -(-facts.width // choice.shrink), -(-facts.height // choice.shrink)
        return replace(facts, width=width, height=height, shrink=choice.shrink)


def pixels_of(path: Path, content: bytes, facts: Facts) -> Array:
    """`(H, W, C)` pixels, exactly of the facts' size, channels and type; errors name the file."""
    with named(path):
        pixels = _DECODERS.get(facts.format, native.decode)(content, facts)
        return exr.place(pixels, facts) if facts.format == "exr" else pixels


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Errors that name the file; what a number that makes no sense has led to is a damaged file, too."""
    try:
        yield
    except OperationError as error:
        raise OperationError(f"{path}: {error}") from None
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise OperationError(f"{path}: damaged file: {' '.join(str(error).split())}") from None
    except MemoryError:
        raise OperationError(f"{path}: not enough memory for its pixels") from None


def probe(content: bytes, choice: Choice) -> Facts:
    """What the header says, not yet held to any limit."""
    name = format_of(content)
    if name == "exr":
        return exr.probe(content, layer=choice.layer, part=choice.part, window=choice.window)
    if name == "psd":
        return psd.probe(content, layer=choice.layer, part=choice.part)
    if (choice.layer, choice.part) != (exr.MAIN, ""):
        raise OperationError(f"layer and part are for exr and psd files, but this is a {name}")
    return _PROBES[name](content)

"""From a path to pixels: the file's bytes once, what its header says, and the decoder of its format."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_core import OperationError
from pipeline_io.facts import MAIN, MAX_FILE_BYTES, Facts, within_limits
from pipeline_io.sniff import format_of

Array = np.ndarray[Any, Any]

_OURS = frozenset(("png", "jpeg", "bmp", "dds", "tga", "qoi", "pnm"))
"""Formats whose modules decode them, by decoders of ours or of a safe library; the others are decoded apart."""
_ELSEWHERE = {"psd": "psd_pixels", "exr": "apart", "hdr": "apart", "jxl": "apart", "avif": "apart"}


def _module(name: str) -> Any:
    """A format's own, imported when a file is of it: most runs see one or two."""
    return import_module(f"pipeline_io.{name}")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which picture of a file that holds several, and how small."""

    layer: str = MAIN
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
        home = facts.format if facts.format in _OURS else _ELSEWHERE.get(facts.format, "native")
        pixels: Array = _module(home).decode(content, facts)
        return _module("exr").place(pixels, facts) if facts.format == "exr" else pixels


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
    found: Facts
    if name == "exr":
        found = _module(name).probe(content, layer=choice.layer, part=choice.part, window=choice.window)
    elif name == "psd":
        found = _module(name).probe(content, layer=choice.layer, part=choice.part)
    elif (choice.layer, choice.part) != (MAIN, ""):
        raise OperationError(f"layer and part are for exr and psd files, but this is a {name}")
    else:
        found = _module(name).probe(content)
    return found

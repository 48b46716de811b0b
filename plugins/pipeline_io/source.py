"""From a path to pixels: the file's bytes once, what its header says, and the decoder of its format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_core import OperationError
from pipeline_io import apart, bmp, exr, jpeg, native, png, tiff, webp
from pipeline_io.facts import MAX_FILE_BYTES, Facts, sniff, within_limits

Array = np.ndarray[Any, Any]

_PROBES = {"png": png.probe, "jpeg": jpeg.probe, "webp": webp.probe, "tiff": tiff.probe, "bmp": bmp.probe}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which picture of a file that holds several."""

    layer: str = exr.MAIN
    part: str = ""
    window: str = "display"


WHOLE = Choice()


def content_of(path: Path) -> bytes:
    """The file's bytes; OperationError in the user's words where there are none."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise OperationError(f"{path}: {size:,} bytes, above the limit of {MAX_FILE_BYTES:,}")
        return path.read_bytes()
    except FileNotFoundError:
        raise OperationError(f"file not found: {path}") from None
    except IsADirectoryError:
        raise OperationError(f"{path} is a folder, not a file") from None
    except OSError as error:
        raise OperationError(f"{path} can't be read: {error.strerror or error}") from None


def facts_of(path: Path, content: bytes, choice: Choice = WHOLE) -> Facts:
    """What the header says, held to the limits; errors name the file."""
    try:
        return within_limits(_probe(content, choice))
    except OperationError as error:
        raise OperationError(f"{path}: {error}") from None


def pixels_of(path: Path, content: bytes, facts: Facts) -> Array:
    """`(H, W, C)` pixels, exactly of the facts' size, channels and type; errors name the file."""
    try:
        match facts.format:
            case "exr":
                return exr.place(apart.decode(content, facts), facts)
            case "bmp":
                return bmp.decode(content, facts)
            case _:
                return native.decode(content, facts)
    except OperationError as error:
        raise OperationError(f"{path}: {error}") from None


def _probe(content: bytes, choice: Choice) -> Facts:
    name = sniff(content)
    if name == "exr":
        return exr.probe(content, layer=choice.layer, part=choice.part, window=choice.window)
    if (choice.layer, choice.part) != (exr.MAIN, ""):
        raise OperationError(f"layer and part are for exr files, but this is a {name}")
    return _PROBES[name](content)

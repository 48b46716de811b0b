"""Deep images from files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline_core import OperationError, operation
from pipeline_depth.deep_image import DeepImage, Floats, Integers, offsets_of
from pipeline_depth.exr_deep import read_samples
from pipeline_depth.exr_header import Part, choose_part, read_parts

MAX_FILE_BYTES = 2**31
_ORDER = {name: place for place, name in enumerate(("R", "G", "B", "Y", "A", "Z", "ZBack"))}
_STRUCTURE = frozenset({"name", "type", "view", "colorInteropID"})


@operation(device="cpu", aliases=("DeepRead", "read_deep", "deep_load"))
def load_deep(
    *,
    path: Path,
    part: Annotated[str, Field(description="which deep part, by name or number; empty is the first")] = "",
    color: Annotated[
        str, Field(min_length=1, description="auto, or the colour space where the file is wrong or silent")
    ] = "auto",
) -> DeepImage:
    """Load a deep OpenEXR: scan lines or tiles, with any number of samples per pixel.

    Samples are float32 `(N, C)`, values as the file holds them, colour associated; channels are R, G, B, Y, A, Z, ZBack,
    then others by name. Colour is the file's colorInteropID, else lin_rec709_scene, or data where nothing is colour.

    Convention: the picture has the size of the display window: samples beyond it are left out.
    Convention: of a tiled file the full size. Channels of whole numbers (object ids) are left out: they can't be mixed.

    Refused: files above 2 GiB, windows above 2**26 pixels, more than 2**28 samples, damaged or cut-off files.
    """
    try:
        return _decode(_content(path), part, color)
    except OperationError as error:
        raise OperationError(f"{path}: {error}") from None


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise OperationError(f"{size:,} bytes, above the limit of {MAX_FILE_BYTES:,}")
        return path.read_bytes()
    except FileNotFoundError:
        raise OperationError("file not found") from None
    except OSError as error:
        raise OperationError(f"can't be read: {error.strerror or error}") from None


def _decode(content: bytes, wanted: str, color: str) -> DeepImage:
    parts, numbered = read_parts(content)
    part = choose_part(parts, wanted)
    names = [channel.name for channel in part.channels if channel.type != "uint"]
    channels = sorted(names, key=lambda name: (_ORDER.get(name, len(_ORDER)), name))
    if not channels or len(set(names)) != len(names):
        raise OperationError(f"damaged: the channels are {', '.join(names) or 'none'}")
    pixel, samples = read_samples(content, part, numbered, channels)
    pixel, samples, width, height = _in_display_window(pixel, samples, part)
    if color == "auto":
        colored = any(name.rpartition(".")[2] in ("R", "G", "B", "Y") for name in channels)
        color = part.text("colorInteropID") or ("lin_rec709_scene" if colored else "data")
    meta = {name: part.text(name) for name, (kind, _) in part.attributes.items() if kind == "string"}
    meta = {name: text for name, text in meta.items() if name not in _STRUCTURE}
    offsets = offsets_of(pixel, width * height)
    return DeepImage(offsets, samples, width, height, tuple(channels), color=color, meta=meta)


def _in_display_window(pixel: Integers, samples: Floats, part: Part) -> tuple[Integers, Floats, int, int]:
    """Pixels counted in the display window, without the samples beyond it, and its width and height."""
    data, display = part.box("dataWindow"), part.box("displayWindow")
    _, _, width, height = display
    if data == display:
        return pixel, samples, width, height
    y, x = np.divmod(pixel, data[2])
    x, y = x + (data[0] - display[0]), y + (data[1] - display[1])
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return (y * width + x)[inside], samples[inside], width, height

"""OpenEXR: what a layer holds, where its pixels lie, and whether all of them are there.

Source: "Technical Introduction to OpenEXR" and "OpenEXR File Layout", Academy Software Foundation. A file holds one
part or several; a part's channels form layers by the dots in their names.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline_core import Image, OperationError
from pipeline_io.exr_header import LINES, Part, chunk_count, read
from pipeline_io.facts import EVERYTHING, MAIN, MAX_PIXELS, Facts, Stored

_BYTES = {"uint": 4, "half": 2, "float": 4}
# Bytes of pixels per byte of chunk at the most. Deflate: 1032; a run of RLE: 128 of 2; PIZ: 256 samples of a run in
# some 9 bits; B44: 32 of 3. The transforms of DWA and JPEG 2000 have no bound that would tell a bomb.
_GROWTH = (1, 64, 1032, 1032, 512, 1376, 11, 11, None, None, None, None)


def probe(content: bytes, *, layer: str = MAIN, part: str = "", window: str = "display") -> Facts:
    """What the headers say of one layer, and that all of its part's chunks are there."""
    try:
        found, tables = read(content)
        chosen, channels = _layer(found, layer, part)
        room = _whole(content, found, chosen, tables)
    except (struct.error, IndexError, OverflowError):
        raise OperationError("the exr file is cut off") from None
    if layer == EVERYTHING:
        names = tuple(name for name, _ in channels)
    else:
        names = tuple(name.rpartition(".")[2] for name, _ in channels)
    left, top, right, bottom = chosen.data
    x0, y0, x1, y1 = chosen.display if window == "display" else chosen.data
    stored = Stored(chosen.index, channels, left - x0, top - y0, right - left + 1, bottom - top + 1)
    if stored.width * stored.height > MAX_PIXELS:
        raise OperationError(f"{stored.width}x{stored.height} is above the limit of {MAX_PIXELS:,} pixels")
    needed = stored.width * stored.height * sum(_BYTES[kind] for _, kind in chosen.channels)
    if room is not None and needed > room:
        raise OperationError(
            f"damaged exr file: its header says {stored.width}x{stored.height} pixels, more than its bytes can hold"
        )
    seen = shows_color(names)
    return Facts(
        "exr",
        x1 - x0 + 1,
        y1 - y0 + 1,
        names,
        dtype="float16" if all(kind == "half" for _, kind in channels) else "float32",
        alpha="associated" if "A" in names else "none",
        color=chosen.color if seen else "data",
        meta=chosen.texts,
        stored=stored,
    )


def shows_color(names: tuple[str, ...]) -> bool:
    """Whether a picture of these channels has colours, or depths, normals and numbers alone."""
    return bool(Image.stand_in(1, 1, names, alpha="associated" if "A" in names else "none").color_indices)


def place(pixels: np.ndarray[Any, Any], facts: Facts) -> np.ndarray[Any, Any]:
    """The data window's pixels within the display window; 0 outside of it, and what lies beyond is cut."""
    stored = facts.stored
    assert stored is not None
    if (stored.left, stored.top, stored.width, stored.height) == (0, 0, facts.width, facts.height):
        return pixels
    out = np.zeros((facts.height, facts.width, pixels.shape[2]), pixels.dtype)
    put(pixels, out, stored.left, stored.top)
    return out


def put(pixels: np.ndarray[Any, Any], out: np.ndarray[Any, Any], x: int, y: int) -> None:
    """Pixels into a larger or smaller picture, so that their first one comes to (x, y); what juts out is cut."""
    left, top = max(x, 0), max(y, 0)
    right = max(min(x + pixels.shape[1], out.shape[1]), left)
    bottom = max(min(y + pixels.shape[0], out.shape[0]), top)
    out[top:bottom, left:right] = pixels[top - y : bottom - y, left - x : right - x]


def _layer(found: list[Part], layer: str, part: str) -> tuple[Part, tuple[tuple[str, str], ...]]:
    """The part and the channels that a layer's name stands for; OperationError with what there is."""
    among = [p for p in found if part in (p.name, str(p.index))] if part else found
    if not among:
        raise OperationError(f"no part '{part}'; the parts are {', '.join(p.name or str(p.index) for p in found)}")
    matches = list(_matches(among, layer))
    if not matches:
        raise OperationError(f"no layer '{layer}'; {_listing(among)}" if layer else _listing(among))
    if len({p.index for p, _ in matches}) > 1 and layer not in (MAIN, EVERYTHING):
        names = ", ".join(p.name or str(p.index) for p, _ in matches)
        raise OperationError(f"layer '{layer}' is in more than one part: set part to one of {names}")
    chosen, channels = matches[0]
    if chosen.deep:
        raise OperationError(
            f"part '{chosen.name or chosen.index}' is deep, with many samples in a pixel: use load_deep"
        )
    return chosen, channels


def _matches(among: list[Part], layer: str) -> Iterator[tuple[Part, tuple[tuple[str, str], ...]]]:
    """Parts and channels that answer to a name, whole layers before single channels."""
    for part in among:
        layers = part.layers
        if layer == EVERYTHING:
            yield part, part.channels
        elif layer in layers:
            yield part, tuple(layers[layer])
        elif layer in (MAIN, part.name) and (len(layers) == 1 or MAIN in layers):
            yield part, tuple(layers.get(MAIN) or next(iter(layers.values())))
        if layer == MAIN:
            return  # the main layer is the first part's
    for part in among:
        yield from ((part, (channel,)) for channel in part.channels if channel[0] == layer and layer not in part.layers)


def _listing(among: list[Part]) -> str:
    names = [name or part.name or "the main one" for part in among for name in part.layers]
    shown = ", ".join(names[:30]) + (", ..." if len(names) > 30 else "")
    return f"set layer to one of the file's: {shown}"


def _whole(content: bytes, found: list[Part], chosen: Part, tables: int) -> int | None:
    """The most bytes of pixels that the chosen part's chunks can hold; OperationError where some are not there."""
    counts = [chunk_count(part) for part in found[: chosen.index + 1]]
    start = tables + 8 * sum(counts[:-1])
    if start + 8 * counts[-1] > len(content):
        raise OperationError("the exr file is cut off: not all of its chunks are listed")
    offsets = np.frombuffer(content, "<u8", counts[-1], start)
    lead = (4 if len(found) > 1 or _multipart(content) else 0) + (16 if chosen.tiles else 4)
    if offsets.size and (int(offsets.min()) < start or int(offsets.max()) > len(content) - lead - 4):
        raise OperationError("the exr file is cut off: some of its pixels were never written")
    raw = np.frombuffer(content, np.uint8)
    at = offsets.astype(np.int64)

    def word(shift: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.stack([raw[at + shift + i] for i in range(4)], axis=-1).view("<i4")[:, 0].astype(np.int64)

    sizes = word(lead)
    if (sizes < 0).any() or (at + lead + 4 + sizes > len(content)).any():
        raise OperationError("the exr file is cut off")
    if not chosen.tiles:
        expected = chosen.data[1] + LINES[chosen.compression] * np.arange(len(at))
        if not np.array_equal(word(lead - 4), expected):
            raise OperationError("damaged exr file: its list of chunks is wrong")
    growth = _GROWTH[chosen.compression]
    return None if growth is None else min(int(sizes.sum()), len(content)) * growth + 65536


def _multipart(content: bytes) -> bool:
    return bool(struct.unpack_from("<I", content, 4)[0] & 0x1000)

"""The pixels of a Photoshop file: its flattened picture, and its layers on the canvas."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from pipeline_core import OperationError
from pipeline_io import psd
from pipeline_io.facts import MAX_PIXELS, Facts

Array = np.ndarray[Any, Any]

_RAW, _PACKBITS, _DEFLATED, _PREDICTED = range(4)


def decode(content: bytes, facts: Facts) -> Array:
    """`(H, W, C)` pixels of the facts' type: of the flattened picture, or of the layer that the facts' part is."""
    document = psd.read(content)
    if facts.stored is not None:
        return layer_on_canvas(document, document.layers[facts.stored.part], facts)
    wanted = min(document.samples, psd.COLORS[document.mode] + 1)
    planes = _merged(document, wanted)
    colors = _colored(document, planes[: psd.COLORS[document.mode]])
    if "A" not in facts.channels:
        return colors
    alpha = planes[-1][:, :, None]
    if document.transparent:
        colors = _without_white(colors, alpha)
    return np.concatenate((colors, alpha), axis=2)


def _merged(document: psd.Document, wanted: int) -> list[Array]:
    at = document.merged
    compression = int.from_bytes(document.content[at : at + 2])
    rows, row_bytes = document.height, _row_bytes(document, document.width)
    block = memoryview(document.content)[at + 2 :]
    if compression == _PACKBITS:
        table = 4 if document.big else 2
        counts = (
            np.frombuffer(block, f">u{table}", rows * document.samples)
            if len(block) >= table * rows * document.samples
            else None
        )
        if counts is None:
            raise OperationError("the psd file is cut off")
        ends = table * counts.size + np.cumsum(counts.reshape(document.samples, rows).sum(axis=1, dtype=np.int64))
        starts = [table * counts.size, *ends[:-1]]
        raw = [_unpack(block[s:e], rows * row_bytes) for s, e in zip(starts[:wanted], ends[:wanted], strict=True)]
    else:
        size = rows * row_bytes
        whole = _plain(block, compression, size * document.samples, document, document.width)
        raw = [whole[i * size : (i + 1) * size] for i in range(wanted)]
    return [_plane(part, document, document.width, rows) for part in raw]


def layer_on_canvas(document: psd.Document, layer: psd.Layer, facts: Facts) -> Array:
    """A layer's own colours, and its alpha times its mask, on a canvas of the document's size; a group is white."""
    full = 1 if document.depth == 32 else np.iinfo(facts.dtype).max
    found = {identifier: (at, size) for identifier, at, size in layer.planes}
    canvas = np.zeros((document.height, document.width, len(facts.channels)), facts.dtype)
    box = layer.box
    if layer.is_group:
        canvas[:] = full
    elif box.width and box.height:
        planes = [_channel(document, found.get(i), box) for i in range(psd.COLORS[document.mode])]
        if any(plane is None for plane in planes):
            raise OperationError(f"damaged psd file: layer '{layer.name}' lacks a colour")
        alpha = _channel(document, found.get(psd.ALPHA), box)
        alpha = np.full((box.height, box.width), full, facts.dtype) if alpha is None else alpha
        colors = _colored(document, [plane for plane in planes if plane is not None])
        _paste(canvas, np.concatenate((colors, alpha[:, :, None]), axis=2), box)
    else:
        return canvas
    if layer.mask is not None and not layer.mask_off and psd.MASK in found:
        mask = np.full((*canvas.shape[:2], 1), layer.mask_outside / 255 * full, facts.dtype)
        inside = _channel(document, found[psd.MASK], layer.mask)
        if inside is not None:
            _paste(mask, inside[:, :, None], layer.mask)
        product = canvas[:, :, -1].astype(np.float64) * mask[:, :, 0] / full
        canvas[:, :, -1] = product if document.depth == 32 else np.rint(product)
    return canvas


def _channel(document: psd.Document, where: tuple[int, int] | None, box: psd.Box) -> Array | None:
    if where is None:
        return None
    if not 0 < box.width * box.height <= MAX_PIXELS:
        return None
    at, size = where
    compression = int.from_bytes(document.content[at : at + 2])
    block = memoryview(document.content)[at + 2 : at + max(size, 2)]
    row_bytes = _row_bytes(document, box.width)
    if compression == _PACKBITS:
        raw = _unpack(block[(4 if document.big else 2) * box.height :], box.height * row_bytes)
    else:
        raw = _plain(block, compression, box.height * row_bytes, document, box.width)
    return _plane(raw, document, box.width, box.height)


def _row_bytes(document: psd.Document, width: int) -> int:
    return (width * document.depth + 7) // 8


def _plain(block: memoryview, compression: int, size: int, document: psd.Document, width: int) -> bytes:
    if compression == _RAW:
        found = bytes(block[:size])
    elif compression in (_DEFLATED, _PREDICTED):
        try:
            found = zlib.decompressobj().decompress(block, size)
        except zlib.error:
            raise OperationError("damaged psd file: a plane that can't be inflated") from None
    else:
        raise OperationError(f"damaged psd file: compression {compression}")
    if len(found) < size:
        raise OperationError("the psd file is cut off")
    return _undifferenced(found, document, width) if compression == _PREDICTED else found


def _undifferenced(raw: bytes, document: psd.Document, width: int) -> bytes:
    """Rows of differences as rows of values; those of floats are by bytes, the highest of all first."""
    if document.depth == 16:
        words = np.frombuffer(raw, ">u2").astype(np.uint16).reshape(-1, width)
        return np.cumsum(words, axis=1, dtype=np.uint16).astype(">u2").tobytes()
    rows = np.cumsum(np.frombuffer(raw, np.uint8).reshape(-1, _row_bytes(document, width)), axis=1, dtype=np.uint8)
    if document.depth == 32:
        rows = rows.reshape(-1, 4, width).transpose(0, 2, 1)
    return rows.tobytes()


def _unpack(packed: memoryview, size: int) -> bytes:
    """PackBits: exactly `size` bytes, or an OperationError."""
    at, done, parts = 0, 0, list[bytes]()
    end = len(packed)
    while done < size:
        if at >= end:
            raise OperationError("the psd file is cut off")
        lead = packed[at]
        if lead == 128:
            at += 1
            continue
        if lead > 128:
            part = bytes(packed[at + 1 : at + 2]) * (257 - lead)
            at += 2
        else:
            part = bytes(packed[at + 1 : at + 2 + lead])
            at += 2 + lead
        done += len(part)
        parts.append(part)
    if done != size or at > end:
        raise OperationError("damaged psd file: a row of the wrong length")
    return b"".join(parts)


def _plane(raw: bytes, document: psd.Document, width: int, height: int) -> Array:
    if document.depth == 1:
        bits = np.unpackbits(np.frombuffer(raw, np.uint8).reshape(height, -1), axis=1, count=width)
        return np.asarray((1 - bits) * np.uint8(255))  # 1 is black
    kind = {8: "u1", 16: ">u2", 32: ">f4"}[document.depth]
    return np.frombuffer(raw, kind).reshape(height, width).astype(document.dtype)


def _colored(document: psd.Document, planes: list[Array]) -> Array:
    if document.mode == psd.INDEXED:
        palette = np.frombuffer(document.palette[:768].ljust(768, b"\0"), np.uint8).reshape(3, 256).T
        return np.asarray(palette[planes[0]])
    stacked = np.stack(planes, axis=2)
    if document.mode != psd.CMYK:
        return stacked
    # Stored as what the ink leaves: red is what cyan and black leave of it.
    full = 1 if document.depth == 32 else np.iinfo(stacked.dtype).max
    left = stacked[:, :, :3].astype(np.float64) * stacked[:, :, 3:] / full
    return np.asarray((left if document.depth == 32 else np.rint(left)).astype(stacked.dtype))


def _without_white(colors: Array, alpha: Array) -> Array:
    """The colours themselves: a flattened picture with transparency is stored over white."""
    full = 1.0 if colors.dtype.kind == "f" else float(np.iinfo(colors.dtype).max)
    weight = np.where(alpha == 0, full, alpha).astype(np.float64) / full
    found: Array = full - (full - colors) / weight
    if colors.dtype.kind != "f":
        found = np.rint(np.clip(found, 0, full))
    return np.asarray(found.astype(colors.dtype))


def _paste(canvas: Array, pixels: Array, box: psd.Box) -> None:
    height, width = canvas.shape[:2]
    top, left = max(box.top, 0), max(box.left, 0)
    bottom, right = max(min(box.bottom, height), top), max(min(box.right, width), left)
    canvas[top:bottom, left:right] = pixels[top - box.top : bottom - box.top, left - box.left : right - box.left]

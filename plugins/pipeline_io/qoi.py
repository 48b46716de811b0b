"""QOI, the "Quite OK Image": reading and writing. Source: the QOI specification, version 1.0."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from pipeline_core import OperationError
from pipeline_io.facts import CHANNELS, Facts

Array = np.ndarray[Any, Any]

_HEADER = struct.Struct(">4sIIBB")
_END = bytes(7) + b"\1"
_LONGEST = 62


def probe(content: bytes) -> Facts:
    """What the header says."""
    if len(content) < _HEADER.size + len(_END):
        raise OperationError("the qoi file is cut off")
    _, width, height, samples, linear = _HEADER.unpack_from(content)
    if samples not in (3, 4) or linear > 1:
        raise OperationError(f"damaged qoi file: {samples} channels, colour space {linear}")
    return Facts(
        "qoi",
        width,
        height,
        CHANNELS[samples],
        alpha="straight" if samples == 4 else "none",
        color="lin_rec709_scene" if linear else "srgb_rec709_scene",
        room=len(content) * _LONGEST * 4,
    )


def decode(content: bytes, facts: Facts) -> Array:
    """`(H, W, 3 or 4)` uint8 pixels. One after the other: a pixel may point at any before it."""
    total = facts.width * facts.height
    out = np.empty((total, 4), np.uint8)
    seen = [(0, 0, 0, 0)] * 64
    r, g, b, a = 0, 0, 0, 255
    at, end, done = _HEADER.size, len(content) - len(_END), 0
    while done < total:
        if at >= end:
            raise OperationError("the qoi file is cut off")
        tag = content[at]
        at += 1
        if tag >= 0xFE:
            r, g, b = content[at : at + 3]
            at += 3
            if tag == 0xFF:
                a = content[at]
                at += 1
        elif tag < 0x40:
            r, g, b, a = seen[tag]
        elif tag < 0x80:
            r, g, b = (r + (tag >> 4 & 3) - 2) & 255, (g + (tag >> 2 & 3) - 2) & 255, (b + (tag & 3) - 2) & 255
        elif tag < 0xC0:
            green, rest = (tag & 63) - 32, content[at]
            at += 1
            r, g, b = (r + green + (rest >> 4) - 8) & 255, (g + green) & 255, (b + green + (rest & 15) - 8) & 255
        else:
            count = (tag & 63) + 1
            out[done : done + count] = r, g, b, a
            done += count
            continue
        seen[(r * 3 + g * 5 + b * 7 + a * 11) & 63] = (r, g, b, a)
        out[done] = r, g, b, a
        done += 1
    return out.reshape(facts.height, facts.width, 4)[:, :, : len(facts.channels)]


def encode(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], *, color: str) -> bytes:
    """A QOI of `(H, W, 3 or 4)` uint8 pixels with straight alpha.

    Runs, small differences and whole colours; without pointers to colours seen before, so that all pixels are coded at
    once.
    """
    height, width, samples = pixels.shape
    flat = pixels.reshape(-1, samples)
    if samples == 3:
        flat = np.concatenate((flat, np.full((len(flat), 1), 255, np.uint8)), axis=1)
    before = np.concatenate((np.array([[0, 0, 0, 255]], np.uint8), flat[:-1]))
    change = (flat - before).view(np.int8).astype(np.int16)
    red, green, blue, alpha = change.T
    same = np.asarray(~change.any(axis=1))
    opaque = alpha == 0
    small = opaque & ~same & ((change[:, :3] >= -2) & (change[:, :3] <= 1)).all(axis=1)
    to_green = np.stack((red - green, blue - green), axis=1)
    luma = opaque & ~same & ~small & (np.abs(green * 2 + 1) <= 63) & ((to_green >= -8) & (to_green <= 7)).all(axis=1)
    place, last = _runs(same)
    codes = np.zeros((len(flat), 5), np.uint8)
    codes[:, 0] = np.where(opaque, 0xFE, 0xFF)
    codes[:, 1:] = flat
    lengths = np.where(opaque, 4, 5)
    codes[small, 0] = (0x40 | red + 2 << 4 | green + 2 << 2 | blue + 2)[small]
    codes[luma, 0] = (0x80 | green + 32)[luma]
    codes[luma, 1] = (to_green[:, 0] + 8 << 4 | to_green[:, 1] + 8)[luma]
    codes[same, 0] = (0xC0 | place)[same]
    lengths[small] = 1
    lengths[luma] = 2
    lengths[same] = last[same]
    body = codes[np.arange(5) < lengths[:, None]].tobytes()
    linear = color.startswith("lin_")
    return _HEADER.pack(b"qoif", width, height, samples, linear) + body + _END


def _runs(same: Array) -> tuple[Array, Array]:
    """For pixels like the one before: how many such come before it in its run (of 62 at most), and 1 for a run's last."""
    index = np.arange(len(same))
    start = np.maximum.accumulate(np.where(same, -1, index))
    place = (index - start - 1) % _LONGEST
    ends = np.append(~same[1:], True) | (place == _LONGEST - 1)
    return place, (same & ends).astype(np.int64)

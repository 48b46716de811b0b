"""Textures in blocks of 4x4 pixels: BC1 (colour), BC3 (colour and alpha), BC4 (one channel), BC5 (two).

Source: Microsoft's "Texture Block Compression in Direct3D 11". The ends of a block's colours are those of its pixels
along the axis of greatest variance, then once adjusted by least squares to the steps that were chosen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_WEIGHTS = np.array([1, 0, 2 / 3, 1 / 3], np.float32)
"""How much of its first end each of a colour block's four steps has."""
_ORDER = np.array([1, 7, 6, 5, 4, 3, 2, 0])
"""A channel block's index of each step, from the smallest value to the largest."""


def bc1(pixels: Array) -> Array:
    """`(H, W, 3)` uint8 as `(N, 8)` bytes, opaque."""
    colors = _blocks(pixels).astype(np.float32)
    low, high = _ends(colors)
    for _ in range(2):
        first, second = _packed(high), _packed(low)
        first, second = np.maximum(first, second), np.minimum(first, second)
        steps = _unpacked(first)[:, None] * _WEIGHTS[:, None] + _unpacked(second)[:, None] * (1 - _WEIGHTS[:, None])
        index = np.square(colors[:, :, None] - steps[:, None]).sum(axis=3).argmin(axis=2)
        high, low = _fitted(colors, _WEIGHTS[index])
    # Where both ends are one, the order would mean a block with holes: all pixels take the first.
    index[first == second] = 0
    bits = (index.astype(np.uint32) << np.arange(0, 32, 2, dtype=np.uint32)).sum(axis=1, dtype=np.uint32)
    ends = np.stack([first, second], axis=1).astype("<u2")
    return np.concatenate((ends.view(np.uint8), bits[:, None].astype("<u4").view(np.uint8)), axis=1)


def bc4(channel: Array) -> Array:
    """`(H, W)` uint8 as `(N, 8)` bytes."""
    values = _blocks(channel[:, :, None])[:, :, 0].astype(np.int64)
    high, low = values.max(axis=1), values.min(axis=1)
    span = np.maximum(high - low, 1)
    step = ((values - low[:, None]) * 14 + span[:, None]) // (2 * span[:, None])
    index = np.where((high == low)[:, None], 0, _ORDER[step]).astype(np.uint64)
    bits = (index << np.arange(0, 48, 3, dtype=np.uint64)).sum(axis=1, dtype=np.uint64)
    ends = np.stack([high, low], axis=1).astype(np.uint8)
    return np.concatenate((ends, bits[:, None].astype("<u8").view(np.uint8)[:, :6]), axis=1)


def bc3(pixels: Array) -> Array:
    """`(H, W, 4)` uint8 as `(N, 16)` bytes."""
    return np.concatenate((bc4(pixels[:, :, 3]), bc1(pixels[:, :, :3])), axis=1)


def bc5(pixels: Array) -> Array:
    """The first two channels of `(H, W, C)` uint8 as `(N, 16)` bytes."""
    return np.concatenate((bc4(pixels[:, :, 0]), bc4(pixels[:, :, 1])), axis=1)


def _blocks(pixels: Array) -> Array:
    """`(N, 16, C)`, row by row; pixels beyond the picture repeat its last."""
    height, width, samples = pixels.shape
    padded = np.pad(pixels, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="edge")
    split = padded.reshape(padded.shape[0] // 4, 4, padded.shape[1] // 4, 4, samples)
    return split.transpose(0, 2, 1, 3, 4).reshape(-1, 16, samples)


def _ends(colors: Array) -> tuple[Array, Array]:
    """The least and greatest colour of each block along its main axis, found by power iteration."""
    mean = colors.mean(axis=1, keepdims=True)
    centred = colors - mean
    spread = np.einsum("nij,nik->njk", centred, centred)
    axis = colors.max(axis=1) - colors.min(axis=1) + np.float32(1e-3)
    # The signs of the covariances with the widest channel, without which opposite channels would cancel.
    widest = axis.argmax(axis=1)
    axis = axis * np.where(np.take_along_axis(spread, widest[:, None, None], axis=1)[:, 0] < 0, -1, 1).astype(
        np.float32
    )
    for _ in range(4):
        axis = np.einsum("njk,nk->nj", spread, axis)
        axis /= np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-6)
    along = np.einsum("nij,nj->ni", centred, axis)
    low, high = (mean[:, 0] + axis * f(axis=1)[:, None] for f in (along.min, along.max))
    return low, high


def _fitted(colors: Array, weight: Array) -> tuple[Array, Array]:
    """The two ends that least squares give for the steps chosen; where there is but one step, that colour twice."""
    other = 1 - weight
    a, b, c = (weight * weight).sum(1), (weight * other).sum(1), (other * other).sum(1)
    p, q = (np.einsum("ni,nij->nj", w, colors) for w in (weight, other))
    determinant = a * c - b * b
    safe = np.where(np.abs(determinant) < 1e-4, 1, determinant)[:, None]
    high, low = (c[:, None] * p - b[:, None] * q) / safe, (a[:, None] * q - b[:, None] * p) / safe
    mean, flat = colors.mean(axis=1), (np.abs(determinant) < 1e-4)[:, None]
    return np.where(flat, mean, high), np.where(flat, mean, low)


def _packed(colors: Array) -> Array:
    """Colours of 0 to 255 as 5, 6 and 5 bits."""
    scaled = np.rint(np.clip(colors, 0, 255) * (np.array([31, 63, 31], np.float32) / 255)).astype(np.int64)
    return np.asarray(scaled[:, 0] << 11 | scaled[:, 1] << 5 | scaled[:, 2])


def _unpacked(words: Array) -> Array:
    fields = np.stack([words >> 11, words >> 5 & 63, words & 31], axis=1).astype(np.float32)
    return fields * (255 / np.array([31, 63, 31], np.float32))

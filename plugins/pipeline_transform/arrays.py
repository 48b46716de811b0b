"""Warps on the CPU, some rows or tiles at a time: by kernels in C, and by OpenCV where a pixel is only picked.

`tensors` has the same for accelerators, for filters that widen, and for where there are no kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline_core import AnyRaster, Scratch, each_tile, empty, progress
from pipeline_core import opencv as cv2
from pipeline_transform.compiled import Warper
from pipeline_transform.paint import encoded
from pipeline_transform.resampling import KERNELS, associated, handed_back
from pipeline_transform.warping import Warp

Array = np.ndarray[Any, Any]

STRIP = 16  # rows at once where places are made by numpy
BAND = 64  # where they are made on the way
TILE = 128  # pixels of a side where parts of a picture may be made in another way
NO_SHRINK = 1 + 1e-6  # a turn is no stretch, but for rounding errors


def sampled(image: AnyRaster, warp: Warp, kind: str, background: Array) -> AnyRaster:
    """The warped picture over the background, which is associated; in the alpha state that the picture has."""
    result = empty((image.batch, warp.height, warp.width, len(image.channels)))
    warper = Warper(image, kind, background, low=warp.low, wraps=image.wrap)
    others: list[tuple[slice, slice]] = []

    def work(rows: slice, columns: slice) -> None:
        part = result[:, rows, columns]
        if warp.antialias and _shrinks(warp, *_centers(columns, rows)):
            others.append((rows, columns))
        elif warp.matrix is not None:
            warper.through_matrix(warp.matrix, columns.start, rows.start + warp.top, part)
        else:
            places = _source(warp, *_centers(columns, rows))
            across, down = (
                np.ascontiguousarray(np.broadcast_to(place, part.shape[1:3]), np.float64) for place in places
            )
            warper.from_places(across, down, part)

    side = (TILE, TILE) if warp.antialias else (warp.width, STRIP if warp.matrix is None else BAND)
    each_tile(warp.width, warp.height, side, work)
    if others:
        from pipeline_transform import tensors

        source = associated(image)
        sampler = tensors.Sampler(source, warp, KERNELS[kind], background)
        for done, (rows, columns) in enumerate(others):
            progress(done, len(others), "tiles")
            made = sampler.part(rows, columns).permute(2, 0, 1, 3).numpy()
            result[:, rows, columns] = handed_back(source.with_array(made), image).array
    return image.with_buffer(result, wrap=warp.wrap)


def picked(image: AnyRaster, warp: Warp, background: Array) -> AnyRaster:
    """The warped picture in its own dtype, each pixel the one under the place it comes from."""
    buffer = image.buffer if isinstance(image.buffer, np.ndarray) else image.buffer.numpy()
    stored = buffer.view(np.uint16) if buffer.dtype == np.float16 else buffer  # OpenCV has no kernel for it
    result = empty((image.batch, warp.height, warp.width, buffer.shape[3]), stored.dtype)
    behind, scratch = encoded(background, image.dtype).view(stored.dtype), Scratch()
    groups = [slice(first, first + 4) for first in range(0, buffer.shape[3], 4)]
    parts = [[np.ascontiguousarray(item[..., group]) for group in groups] for item in stored]

    def work(rows: slice, columns: slice) -> None:
        x, y = _centers(columns, rows)
        maps = []
        for name, place, size, wraps in zip("xy", _source(warp, x, y), image.size, image.wrap, strict=True):
            under = np.floor(place, out=scratch.array(name, (y.size, x.size)), casting="same_kind")
            maps.append(np.remainder(under, size, out=under) if wraps else under)
        for pixels, out in zip(parts, result, strict=True):
            for part, group in zip(pixels, groups, strict=True):
                found = cv2.remap(
                    part,
                    maps[0],
                    maps[1],
                    cv2.INTER_NEAREST,
                    borderMode=cv2.BORDER_CONSTANT,
                    borderValue=tuple(map(float, behind[group])),
                )
                out[rows, columns, group] = found.reshape(*maps[0].shape, -1)

    each_tile(warp.width, warp.height, (warp.width, STRIP), work)
    return image.with_buffer(result.view(buffer.dtype), wrap=warp.wrap)


def _centers(columns: slice, rows: slice) -> tuple[Array, Array]:
    x, y = (np.arange(part.start, part.stop) + 0.5 for part in (columns, rows))
    return x[None, :], y[:, None]


def _source(warp: Warp, x: Array, y: Array) -> tuple[Array, Array]:
    with np.errstate(all="ignore"):  # there are places at infinity and none
        return warp.source(x, y)


def _shrinks(warp: Warp, x: Array, y: Array) -> bool:
    """Whether a pixel of the result covers more than one of the picture somewhere here."""
    if warp.matrix is not None and _grows(warp.matrix, x, y + warp.top):
        return False
    right, below = np.append(x - 0.5, x[:, -1:] + 0.5, 1), np.append(y - 0.5, y[-1:] + 0.5, 0)
    beside = [np.broadcast_to(place, (y.size, right.size)) for place in _source(warp, right, y)]
    under = [np.broadcast_to(place, (below.size, x.size)) for place in _source(warp, x, below)]
    with np.errstate(invalid="ignore", over="ignore"):
        return any(
            bool((np.diff(across, axis=1) ** 2 + np.diff(down, axis=0) ** 2 > NO_SHRINK**2).any())
            for across, down in zip(beside, under, strict=True)
        )


def _grows(matrix: Array, x: Array, y: Array) -> bool:
    """Whether slopes of a map by a matrix stay below 1, as far as can be told by the corners: each is a line over depth squared."""
    x, y = (np.array([at.min() - 0.5, at.max() + 0.5]) for at in (x, y))
    g, h, i = matrix[2]
    depth = float((g * x[:, None] + h * y + i).min())
    if depth <= 0:
        return False
    slopes = [
        np.hypot(
            np.abs((a * h - b * g) * y + (a * i - c * g)).max(), np.abs((b * g - a * h) * x + (b * i - c * h)).max()
        )
        for a, b, c in matrix[:2]
    ]
    return bool(max(slopes) <= depth * depth)

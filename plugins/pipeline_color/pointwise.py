"""Changes of colours that look at one pixel at a time: by numpy on the CPU, a few rows at a time, elsewhere by torch.

A change is one function for both: it gets colours `(B, n, H, W)` of either library and gives back as many. On the CPU
the values of a pixel lie beside each other in memory, as in the picture, and what is made of them does too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline_color.straight import color_channels
from pipeline_color.straight import on_colors as on_all_colors
from pipeline_core import Image, each_tile, empty
from pipeline_core import opencv as cv2

Array = Any
"""A numpy array or a torch tensor."""
Floats = np.ndarray[Any, np.dtype[np.float32]]

STRIP = 1 << 17
"""Pixels at once: what is made on the way lies in a core's cache."""
WHOLE = 1 << 18
"""Pixels up to which a picture (or the strip of one that it is) is no work for several cores."""
MOST_CHANNELS = 32
BLOCK = 64
"""More pixels than OpenCV's matrix product takes at once, on every machine."""


def on_colors(image: Image, change: Callable[[Array], Array]) -> Image:
    """`change` of the straight colours, in the order of `color_indices`; alpha is divided out and multiplied in again.

    Where an associated image's alpha is 0 there is nothing to divide by: light there (a flame's) is changed as it is,
    and black stays black, so that no empty pixel begins to glow.
    """
    if not _by_numpy(image):
        return on_all_colors(image, change)
    where = color_channels(image)
    alpha = image.index("A") if image.coverage == "associated" else None

    def work(given: Floats, out: Floats) -> None:
        color = _picked(given, where)
        if alpha is None:
            _put(given, where, _changed(color, change), out)
            return
        cover = np.ascontiguousarray(given[..., alpha])
        blank = cover == 0
        some_blank = bool(blank.any())
        if some_blank:
            cover[blank] = 1
        spread = cv2.merge([cover] * len(where)).reshape(color.shape)
        changed = _changed(color / spread, change)
        changed = np.multiply(changed, spread, out=spread)
        if some_blank:
            changed[blank[..., None] & (color == 0)] = 0
        _put(given, where, changed, out)

    return _in_strips(image, work)


def on_values(image: Image, change: Callable[[Array], Array]) -> Image:
    """`change` of the colours as they are: for what is the same with associated and with straight values."""
    where = color_channels(image)
    if not _by_numpy(image):
        pixels = image.pixels.clone()
        pixels[:, where] = change(pixels[:, where])
        return image.with_pixels(pixels)
    return _in_strips(image, lambda given, out: _put(given, where, _changed(_picked(given, where), change), out))


def namespace(array: Array) -> Any:
    """numpy or torch, whichever the array is of."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def to_luma(image: Image, names: Sequence[str], weights: Sequence[float]) -> Image:
    """The image with these channels, Y being the weighted sum of R, G and B."""
    colors = [image.index(name) for name in "RGB"]
    if not _by_numpy(image):
        import torch

        pixels = image.pixels
        luma = sum(weight * pixels[:, i : i + 1] for weight, i in zip(weights, colors, strict=True))
        planes = [luma if name == "Y" else image.channel(name) for name in names]
        return image.with_pixels(torch.cat(planes, dim=1), channels=tuple(names))  # type: ignore[arg-type]  # sum's 0

    def work(given: Floats, out: Floats) -> None:
        if len(names) == 1:
            cv2.transform(_picked(given, colors), np.array([weights], np.float32), out)
            return
        luma = cv2.transform(_picked(given, colors), np.array([weights], np.float32))
        for i, name in enumerate(names):
            out[..., i] = luma if name == "Y" else given[..., image.index(name)]

    return _in_strips(image, work, tuple(names))


def picked(image: Image, where: list[int], channels: tuple[str, ...]) -> Image:
    """The image with the channels at these places, under other names."""
    if not _by_numpy(image):
        return image.with_pixels(image.pixels[:, where], channels=channels)

    def work(given: Floats, out: Floats) -> None:
        out[:] = _picked(given, where)

    return _in_strips(image, work, channels)


def column(numbers: Sequence[float], like: Array) -> Array:
    """Numbers per channel in a shape that spreads over `(B, C, H, W)`; one number where they are all the same."""
    if len(set(numbers)) == 1:
        return float(numbers[0])
    if not isinstance(like, np.ndarray):
        return like.new_tensor(numbers).view(1, -1, 1, 1)
    # Written out for a row: numpy is slow where its innermost loop runs over three channels.
    row = np.tile(np.array(numbers, np.float32), like.shape[3])
    return row.reshape(1, 1, like.shape[3], len(numbers)).transpose(0, 3, 1, 2)


def product(color: Floats, matrix: np.ndarray[Any, Any]) -> Floats:
    """`(B, 3, H, W)` times a 3x3 matrix, by OpenCV; a pixel's bits do not depend on where it stands."""
    picture = np.ascontiguousarray(color.transpose(0, 2, 3, 1))
    pixels, weights = picture.reshape(-1, 1, 3), matrix.astype(np.float32)
    result = np.empty_like(picture)
    cv2.transform(pixels, weights, result.reshape(-1, 1, 3))
    # OpenCV rounds the last few otherwise: here they are not the last.
    last = np.zeros((2 * BLOCK, 1, 3), np.float32)
    count = min(len(pixels), BLOCK)
    last[:count] = pixels[-count:]
    result.reshape(-1, 1, 3)[-count:] = cv2.transform(last, weights)[:count]
    return result.transpose(0, 3, 1, 2)


def _by_numpy(image: Image) -> bool:
    return image.device == "cpu"


def _in_strips(image: Image, work: Callable[[Floats, Floats], None], channels: tuple[str, ...] = ()) -> Image:
    """`work(given, out)` for `(H, W, C)` of every few rows; `channels` of the result, if they are others."""
    channels = channels or image.channels
    result = empty((image.batch, image.height, image.width, len(channels)))

    def strip(rows: slice, columns: slice) -> None:
        given = image.with_buffer(image.buffer[:, rows]).array
        with np.errstate(all="ignore"):  # infinities are values like others
            for item, out in zip(given, result[:, rows], strict=True):
                work(item, out)

    if image.width * image.height <= WHOLE:
        strip(slice(0, image.height), slice(0, image.width))
    else:
        each_tile(image.width, image.height, (image.width, max(1, STRIP // image.width)), strip)
    return image.with_buffer(result, channels=channels)


def _changed(color: Floats, change: Callable[[Array], Array]) -> Floats:
    """A change of `(H, W, n)`."""
    changed: Floats = change(color.transpose(2, 0, 1)[None])[0].transpose(1, 2, 0)
    return changed


def _picked(given: Floats, where: list[int]) -> Floats:
    """These channels of `(H, W, C)`; all of them as they are."""
    if where == list(range(given.shape[2])):
        return given
    if given.shape[2] > MOST_CHANNELS:
        return np.ascontiguousarray(given[..., where])
    result = np.empty((*given.shape[:2], len(where)), np.float32)
    cv2.mixChannels(
        [given], [result], [number for pair in zip(where, range(len(where)), strict=True) for number in pair]
    )
    return result


def _put(given: Floats, where: list[int], color: Floats, out: Floats) -> None:
    """`given` with other colours."""
    if where == list(range(given.shape[2])):
        out[:] = color
    elif given.shape[2] > MOST_CHANNELS:
        out[:] = given
        out[..., where] = color
    else:
        source = [given, np.ascontiguousarray(color)]
        taken = {i: given.shape[2] + at for at, i in enumerate(where)}
        cv2.mixChannels(source, [out], [number for i in range(given.shape[2]) for number in (taken.get(i, i), i)])

"""Pixels as the compositing formulas want them: chosen channels, associated, alpha last, each in a plane of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline_compose.arrays import Array, empty, namespace, pixels_of
from pipeline_core import Alpha, Image


def with_alpha_last(image: Image, names: Sequence[str]) -> Array:
    """`(B, len(names) + 1, H, W)`, fresh: these colour channels, associated, and alpha; without alpha it is 1.

    An array of an image in CPU memory, else a tensor.
    """
    planes = _planes(image, names)
    if image.alpha == "straight":
        planes[:, :-1] *= planes[:, -1:]
    return planes


def both_ways(image: Image, names: Sequence[str]) -> tuple[Array, Array]:
    """As `with_alpha_last`, and the same colours straight: what the image has is not made of the other."""
    planes = _planes(image, names)
    if image.alpha != "straight":
        return planes, planes[:, :-1] if image.alpha == "none" else straightened(planes)
    associated = empty(tuple(planes.shape), like=planes)
    namespace(planes).multiply(planes[:, :-1], planes[:, -1:], out=associated[:, :-1])
    associated[:, -1:] = planes[:, -1:]
    return associated, planes[:, :-1]


def straightened(planes: Array) -> Array:
    """The colour planes divided by alpha, the last one; where alpha is 0 colour stays as it is."""
    return planes[:, :-1] / _divisor(planes[:, -1:])


def write(merged: Array, out: Array, channels: Sequence[str], names: Sequence[str], alpha: Alpha) -> None:
    """Put what `with_alpha_last` took out where it belongs in `out` (B, H, W, C), its alpha in the state asked for."""
    divisor = _divisor(merged[:, -1]) if alpha == "straight" else None
    for i, name in enumerate(names):
        place = out[..., channels.index(name)]
        if divisor is None:
            place[:] = merged[:, i]
        else:
            namespace(merged).divide(merged[:, i], divisor, out=place)
    if alpha != "none":
        out[..., channels.index("A")] = merged[:, -1]


def with_alpha_channel(channels: tuple[str, ...]) -> tuple[str, ...]:
    """The names with an "A" after the last of R, G, B and Y, where there is none yet."""
    if "A" in channels:
        return channels
    after = max((i + 1 for i, name in enumerate(channels) if name in "RGBY"), default=len(channels))
    return (*channels[:after], "A", *channels[after:])


def _planes(image: Image, names: Sequence[str]) -> Array:
    """Planes of their own, so that alpha times colour is many times faster than between neighbours in a pixel."""
    where = [image.index(name) for name in names]
    if image.alpha != "none":
        where.append(image.index("A"))
    is_array = isinstance(image.buffer, np.ndarray)
    pixels = image.buffer.transpose(0, 3, 1, 2) if is_array else pixels_of(image)
    planes = empty((image.batch, len(names) + 1, image.height, image.width), like=pixels)
    for i, channel in enumerate(where):
        if is_array and pixels.dtype.kind == "u":  # as `image.array` does it, without the array
            np.divide(pixels[:, channel], np.float32(np.iinfo(pixels.dtype).max), out=planes[:, i], dtype=np.float32)
        else:
            planes[:, i] = pixels[:, channel]
    if image.alpha == "none":
        planes[:, -1] = 1
    return planes


def _divisor(alpha: Array) -> Array:
    xp = namespace(alpha)
    return alpha if isinstance(alpha, np.ndarray) and alpha.all() else xp.where(alpha == 0, 1.0, alpha)

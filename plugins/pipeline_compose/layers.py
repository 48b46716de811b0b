"""Pixels as the compositing formulas want them: chosen channels, associated, alpha last, each in a plane of its own."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_compose.arrays import Array, empty, namespace, pixels_of
from pipeline_core import Alpha, Image


def with_alpha_last(image: Image, names: Sequence[str]) -> Array:
    """`(B, len(names) + 1, H, W)`, fresh: these colour channels, associated, and alpha; without alpha it is 1.

    An array of an image in CPU memory, else a tensor. Its planes are contiguous, so that alpha times colour is many
    times faster than between neighbours in a pixel.
    """
    pixels = pixels_of(image)
    planes = empty((image.batch, len(names) + 1, image.height, image.width), like=pixels)
    color, alpha = planes[:, :-1], planes[:, -1:]
    color[:] = _pick(pixels, [image.index(name) for name in names])
    alpha[:] = 1 if image.alpha == "none" else _pick(pixels, [image.index("A")])
    if image.alpha == "straight":
        color *= alpha
    return planes


def straightened(planes: Array) -> Array:
    """The colour planes divided by alpha, the last one; where alpha is 0 colour stays as it is."""
    alpha = planes[:, -1:]
    return planes[:, :-1] / namespace(planes).where(alpha == 0, 1.0, alpha)


def write(merged: Array, out: Array, channels: Sequence[str], names: Sequence[str], alpha: Alpha) -> None:
    """Put what `with_alpha_last` took out where it belongs in `out` (B, H, W, C), its alpha in the state asked for."""
    color = straightened(merged) if alpha == "straight" else merged[:, :-1]
    for i, name in enumerate(names):
        out[..., channels.index(name)] = color[:, i]
    if alpha != "none":
        out[..., channels.index("A")] = merged[:, -1]


def with_alpha_channel(channels: tuple[str, ...]) -> tuple[str, ...]:
    """The names with an "A" after the last of R, G, B and Y, where there is none yet."""
    if "A" in channels:
        return channels
    after = max((i + 1 for i, name in enumerate(channels) if name in "RGBY"), default=len(channels))
    return (*channels[:after], "A", *channels[after:])


def _pick(pixels: Array, where: list[int]) -> Array:
    first = where[0]
    return pixels[:, first : first + len(where)] if where == [*range(first, first + len(where))] else pixels[:, where]

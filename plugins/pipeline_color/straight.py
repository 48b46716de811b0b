"""Pointwise colour on straight values: alpha is divided out, left alone, and multiplied in again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline_core import Image, OperationError

if TYPE_CHECKING:
    from torch import Tensor

REC709_LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of linear Rec. 709 R, G and B in luminance (ITU-R BT.709-6, item 3.2); of luma where values are encoded."""


def on_colors(image: Image, change: Callable[[Tensor], Tensor]) -> Image:
    """The image with `change` applied to its colour channels, `(B, n, H, W)` straight, in the order of `color_indices`.

    Where an associated image's alpha is 0 there is nothing to divide by: light there (a flame's) is changed as it is,
    and black stays black, so that no empty pixel begins to glow.
    """
    import torch

    where = color_channels(image)
    pixels = image.pixels
    everything = len(where) == len(image.channels)
    color = pixels if everything else pixels[:, where]
    if image.coverage == "associated":
        alpha = image.channel("A")
        empty = alpha == 0
        changed = change(color / torch.where(empty, 1.0, alpha)) * torch.where(empty, (color != 0).to(color), alpha)
    else:
        changed = change(color)
    if everything:
        return image.with_pixels(changed)
    result = pixels.clone()
    result[:, where] = changed
    return image.with_pixels(result)


def color_channels(image: Image) -> list[int]:
    """`image.color_indices`; an error where there are none."""
    where = image.color_indices
    if not where:
        raise OperationError(f"the image has no colour channels, only {', '.join(image.channels)}")
    return where


def per_channel(image: Image, name: str, value: float | Sequence[float]) -> list[float]:
    """A param given once or for R, G and B, as one number for each colour channel."""
    letters = [image.channels[i].rpartition(".")[2] for i in color_channels(image)]
    if isinstance(value, int | float):
        return [float(value)] * len(letters)
    if "Y" in letters:
        raise OperationError(f"'{name}' has values for R, G and B, but the image has Y: give one number, or use to_rgb")
    return [float(value["RGB".index(letter)]) for letter in letters]

"""Matrices over R, G and B, of the picture and of each of its layers."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline_color.primaries import Matrix
from pipeline_color.straight import color_channels
from pipeline_core import Image, OperationError


def layers(image: Image, *, gray_too: bool = False) -> list[list[int]]:
    """Where R, G and B of each layer are among the colour channels.

    Gray is left out: a matrix that keeps white keeps it. With `gray_too` it is refused.
    """
    names = [image.channels[i] for i in color_channels(image)]
    prefixes = dict.fromkeys(name[:-1] for name in names if gray_too or name[-1] != "Y")
    triples = [[f"{prefix}{letter}" for letter in "RGB"] for prefix in prefixes]
    for wanted in triples:
        if missing := [name for name in wanted if name not in names]:
            mend = ": to_rgb makes them of Y" if "Y" in names else ""
            raise OperationError(f"this needs R, G and B, {', '.join(missing)} is not there{mend}")
    return [[names.index(name) for name in wanted] for wanted in triples]


def mixed(color: Tensor, where: list[int], matrix: Matrix) -> Tensor:
    """The channels at `where` times a 3x3 matrix. Plain products and sums, which round alike in strips and batches."""
    planes = list(color.split(1, dim=1))  # type: ignore[no-untyped-call]  # torch's
    red, green, blue = (planes[i] for i in where)
    for i, (a, b, c) in zip(where, matrix.tolist(), strict=True):
        planes[i] = red * a + green * b + blue * c
    return torch.cat(planes, dim=1)


def mix(image: Image, matrix: Matrix) -> Image:
    """The image with every layer's R, G and B times a matrix: the same for associated and straight values."""
    pixels = image.pixels
    for where in layers(image):
        pixels = mixed(pixels, [image.color_indices[i] for i in where], matrix)
    return image.with_pixels(pixels)

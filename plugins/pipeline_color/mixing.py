"""Matrices over R, G and B, of the picture and of each of its layers."""

from __future__ import annotations

import numpy as np

from pipeline_color import compiled
from pipeline_color.pointwise import Array, namespace, on_values, product
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


def mixed(color: Array, where: list[int], matrix: Matrix) -> Array:
    """The channels at `where` times a 3x3 matrix. All of this rounds alike in strips and batches."""
    if isinstance(color, np.ndarray):
        if where == [0, 1, 2] and color.shape[1] == 3:
            return product(color, matrix)
        result = color.copy()
        result[:, where] = product(color[:, where], matrix)
        return result
    planes = [color[:, i : i + 1] for i in range(color.shape[1])]
    red, green, blue = (planes[i] for i in where)
    for i, (a, b, c) in zip(where, matrix.tolist(), strict=True):
        planes[i] = red * a + green * b + blue * c
    return namespace(color).concatenate(planes, 1)


def mix(image: Image, matrix: Matrix, triples: list[list[int]] | None = None) -> Image:
    """The image with every layer's R, G and B times a matrix: the same for associated and straight values."""
    triples = layers(image) if triples is None else triples
    colors = image.color_indices
    if triples and (done := compiled.mixed(image, matrix, [[colors[i] for i in where] for where in triples])):
        return done

    def change(color: Array) -> Array:
        for where in triples:
            color = mixed(color, where, matrix)
        return color

    return on_values(image, change) if triples else image

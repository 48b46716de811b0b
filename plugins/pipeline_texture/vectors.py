"""Normal maps as vectors: R, G and B of 0 to 1 stand for x, y and z of -1 to 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline_core import Image, OperationError, each_tile, empty
from pipeline_core import opencv as cv2

if TYPE_CHECKING:
    from torch import Tensor

BAND = 16
"""Rows made at a time."""
Z_UP = (0.0, 0.0, 1.0)


def check_rgb(image: Image, name: str = "the normal map") -> None:
    """OperationError for what can't hold vectors."""
    if not {"R", "G", "B"} <= set(image.channels):
        raise OperationError(f"{name} must have R, G and B, this has {', '.join(image.channels)}")


def vectors(image: Image, name: str = "the normal map") -> Tensor:
    """`(B, 3, H, W)`, as they are stored, not of unit length. Colour is divided by alpha where it is associated."""
    check_rgb(image, name)
    pixels = image.unassociate().pixels
    return pixels[:, [image.index(letter) for letter in "RGB"]] * 2 - 1


def unit(normals: Tensor) -> Tensor:
    """Of length 1; a vector of length 0 points up. Not `normalize`: that divides by a small number there."""
    import torch

    length = normals.square().sum(1, keepdim=True).sqrt()
    up = normals.new_tensor(Z_UP).view(1, 3, 1, 1)
    return torch.where(length > 0, normals / torch.where(length > 0, length, 1.0), up)


def of_length_1(image: Image) -> Image:
    """The image with `unit` vectors, by OpenCV, a few rows at a time."""
    check_rgb(image)
    straight = image.unassociate()
    where, given, result = [image.index(letter) for letter in "RGB"], straight.array, empty(straight.buffer.shape)
    every = where == list(range(len(image.channels)))

    def work(rows: slice, _: slice) -> None:
        for item, out in zip(given[:, rows], result[:, rows], strict=True):
            with np.errstate(invalid="ignore", over="ignore"):
                found = np.subtract(item if every else item[..., where], np.float32(0.5), order="C")
                squares = cv2.transform(found * found, np.ones((1, 3), np.float32))
                length = 2 * np.sqrt(np.asarray(squares, np.float32).reshape(found.shape[:2]))
                flat = length == 0
                length[flat] = 1
                found /= np.asarray(cv2.merge([length] * 3)).reshape(found.shape)
                found += 0.5
                found[flat] = 0.5, 0.5, 1
            if every:
                out[:] = found
            else:
                out[:] = item
                out[..., where] = found

    each_tile(image.width, image.height, (image.width, BAND), work)
    state = "straight" if image.alpha == "associated" else image.alpha
    return straight.with_array(result, color="data", alpha=state).with_alpha_state(image.alpha)


def with_vectors(image: Image, normals: Tensor) -> Image:
    """The image with these normals in R, G and B; its other channels and its alpha state stay. Of colour `data`."""
    pixels = image.unassociate().pixels
    if len(normals) > len(pixels):
        pixels = pixels.expand(len(normals), -1, -1, -1)
    pixels = pixels.clone()
    pixels[:, [image.index(letter) for letter in "RGB"]] = normals * 0.5 + 0.5
    state = "straight" if image.alpha == "associated" else image.alpha
    return image.with_pixels(pixels, color="data", alpha=state).with_alpha_state(image.alpha)

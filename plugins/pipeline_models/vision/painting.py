"""Colour laid over a picture."""

from __future__ import annotations

import colorsys
from zlib import crc32

import torch

from pipeline_core import Color, Image

LUMA = (0.2126, 0.7152, 0.0722)  # Rec. ITU-R BT.709-6, item 3.2
BLACK, WHITE = (0.0, 0.0, 0.0, 1.0), (1.0, 1.0, 1.0, 1.0)
GOLDEN = 0.6180339887498949
"""Its multiples, without whole turns, lie evenly around the circle of hues."""


def color_of(label: str) -> Color:
    """A clear colour that is the same for a label everywhere."""
    red, green, blue = colorsys.hls_to_rgb(crc32(label.encode()) * GOLDEN % 1, 0.6, 0.95)
    return red, green, blue, 1.0


def readable_on(color: Color) -> Color:
    """Black or white, whichever stands out more."""
    return BLACK if sum(weight * part for weight, part in zip(LUMA, color, strict=False)) > 0.5 else WHITE


def laid_over(image: Image, pixels: torch.Tensor, cover: torch.Tensor, color: Color) -> torch.Tensor:
    """Pixels `(B, C, H, W)` of an image with a colour over them where `cover` `(B, 1, H, W)` says: Porter-Duff over.

    The colour is in the image's own space, straight; Y gets its luma. Channels that are no colour stay.
    """
    cover = cover * color[3]
    red, green, blue = color[:3]
    luma = sum(weight * part for weight, part in zip(LUMA, color, strict=False))
    named = {"R": red, "G": green, "B": blue, "Y": luma}
    where = image.color_indices
    paint = pixels.new_tensor([named[image.channels[i].rpartition(".")[2]] for i in where]).view(1, -1, 1, 1)
    pixels = pixels.clone()
    share = cover
    if image.alpha != "none":
        at = image.index("A")
        after = cover + pixels[:, at : at + 1] * (1 - cover)
        if image.alpha == "straight":
            share = torch.where(after > 0, cover / torch.where(after > 0, after, 1), 0)
        pixels[:, at : at + 1] = after
    pixels[:, where] = pixels[:, where] * (1 - share) + paint * share
    return pixels

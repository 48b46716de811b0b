"""What a network that knows photographs is given of an image, and how its answer becomes one again.

It knows values from 0 to 1 (or a little `beyond`), encoded as in sRGB, three channels, no alpha. Everything here works on a piece of an image
and looks no farther than its own margin, so that pieces are as the whole.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline_core import Image
from pipeline_models.upscale.resampling import TRIANGLE, enlarge, enlarge_coverage, fill_hidden, repeat
from pipeline_models.upscale.tiles import Enlarger, enlarged

HIDDEN = 16
"""How far colour is carried into what alpha hides, in pixels."""


def enlarge_image(image: Image, enlarger: Enlarger) -> Tensor:
    """All channels of an image, enlarged, `(B, C, H, W)`; colour as it was, associated or straight."""
    factor = enlarger.factor
    pixels = image.pixels
    height, width = (side * factor for side in pixels.shape[-2:])
    result = pixels.new_empty((pixels.shape[0], pixels.shape[1], height, width))
    color, alpha = _straight(image), None
    if image.alpha != "none":
        at = image.index("A")
        result[:, [at]] = alpha = enlarge_coverage(pixels[:, [at]], factor)
    for where in color_groups(image):
        found = _enlarge_color(color[:, where], enlarger, image.color.startswith("lin_"))
        result[:, where] = found * alpha if alpha is not None and image.coverage == "associated" else found
    others = [i for i, name in enumerate(image.channels) if i not in image.color_indices and name != "A"]
    if others:
        result[:, others] = repeat(pixels[:, others], factor)
    return result


def color_groups(image: Image) -> list[list[int]]:
    """Positions of channels that are one colour together, R, G and B of one layer; every other colour is alone."""
    layers: dict[str, dict[str, int]] = {}
    for i in image.color_indices:
        layer, _, name = image.channels[i].rpartition(".")
        layers.setdefault(layer, {})[name] = i
    groups: list[list[int]] = []
    for found in layers.values():
        whole = [found.pop(name) for name in "RGB"] if {"R", "G", "B"} <= set(found) else []
        groups += [whole] if whole else []
        groups += [[i] for i in found.values()]
    return groups


def _straight(image: Image) -> Tensor:
    """Colour with alpha divided out, and carried into what is hidden; other channels as they are."""
    if image.coverage == "none":  # of data an A is a channel like others: it hides nothing
        return image.pixels
    straight = image.unassociate()
    pixels, where = straight.pixels, straight.color_indices
    shown = straight.channel("A") > 0
    if bool(shown.all()) or not where:
        return pixels
    pixels = pixels.clone()
    pixels[:, where] = fill_hidden(pixels[:, where], shown, HIDDEN)
    return pixels


def _enlarge_color(color: Tensor, enlarger: Enlarger, linear: bool) -> Tensor:
    edges = color.new_tensor([-enlarger.beyond, 1 + enlarger.beyond])
    low, high = (decoded(edges) if linear and enlarger.beyond else edges).tolist()
    known = color.nan_to_num(0.0).clamp(low, high)  # what is no number comes back below, and goes no farther
    found = _by_network(encoded(known) if linear else known, enlarger)
    if linear:
        found = decoded(found)
    beyond = color - known
    # What lies beyond is added by a kernel that never rings: next to a lamp nothing becomes negative.
    return found + enlarge(beyond, enlarger.factor, TRIANGLE) if bool((beyond != 0).any()) else found


def _by_network(color: Tensor, enlarger: Enlarger) -> Tensor:
    batch, channels = color.shape[:2]
    if channels == enlarger.channels:
        return enlarged(color, enlarger)
    if enlarger.channels == 3:
        return enlarged(color.expand(-1, 3, -1, -1), enlarger).mean(1, keepdim=True)
    planes = color.reshape(batch * channels, 1, 1, *color.shape[-2:])
    one_by_one = torch.cat([enlarged(plane, enlarger) for plane in planes])  # others may take one picture only
    return one_by_one.reshape(batch, channels, *one_by_one.shape[-2:])


def encoded(linear: Tensor) -> Tensor:
    """The curve of sRGB (IEC 61966-2-1:1999), for values from 0 on; straight on below."""
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def decoded(encoded: Tensor) -> Tensor:
    """Its inverse, mirrored for values below 0."""
    size = encoded.abs()
    return (
        torch.where(size <= 0.04045, size / 12.92, ((size.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4) * encoded.sign()
    )

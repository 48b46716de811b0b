"""What is a hole, what is known around it, and a fill put in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline_core import Image, Mask, OperationError
from pipeline_models.inpaint.diffusion import diffused

Fill = Callable[[Image, Tensor], Tensor]
"""Fills one picture: straight, float32, finite, 0 where it is not known (1, else 0: `(1, 1, H, W)`). Gives all pixels."""

_FULL_SCALE = {"uint8": 255, "uint16": 65535}


def check_pair(image: Image, mask: Mask) -> int:
    """How many pictures come out. OperationError where image and mask do not fit."""
    if mask.size != image.size:
        found = f"the mask is {mask.width}x{mask.height}, the image {image.width}x{image.height}"
        raise OperationError(f"{found}: resize or crop the mask")
    if len({image.batch, mask.batch} - {1}) > 1:
        raise OperationError(f"batches of {image.batch} images and {mask.batch} masks: must be equal, or one")
    return max(image.batch, mask.batch)


def filled(image: Image, cover: Tensor, fill: Fill) -> Image:
    """The image with what `cover` `(B, 1, H, W)` lies over filled; every picture by itself."""
    batch = max(image.batch, len(cover))
    parts = []
    for i in range(batch):
        one = image.with_buffer(image.buffer[i : i + 1] if image.batch > 1 else image.buffer)
        parts.append(_filled(one, cover[i : i + 1] if len(cover) > 1 else cover, fill))
    if isinstance(image.buffer, np.ndarray):
        return image.with_buffer(np.concatenate(parts))
    return image.with_buffer(torch.cat(parts))


def _filled(image: Image, cover: Tensor, fill: Fill) -> Any:
    """The buffer of one picture."""
    hole = cover > 0
    straight = image.unassociate()
    known = (~hole & straight.pixels.isfinite().all(1, keepdim=True)).float()
    if not bool(hole.any()) or not bool(known.any()):
        return image.buffer
    values = _with_hidden_colors(straight, torch.where(known > 0, straight.pixels, 0.0), known)
    found = fill(straight.with_pixels(values), known)
    if image.alpha != "none":
        at = image.index("A")
        found[:, at] = found[:, at].clamp(0, 1)
    return _stored(_blended(image, found, cover), hole, image)


def _with_hidden_colors(image: Image, values: Tensor, known: Tensor) -> Tensor:
    """What alpha hides has no colour of its own; it gets that of what is seen beside it."""
    if image.alpha == "none" or not image.color_indices:
        return values
    hidden = (values[:, [image.index("A")]] == 0) & (known > 0)
    seen = (~hidden & (known > 0)).float()
    if not bool(hidden.any()) or not bool(seen.any()):
        return values
    where = image.color_indices
    values[:, where] = torch.where(hidden, diffused(values[:, where], seen, image.wrap), values[:, where])
    return values


def _blended(image: Image, found: Tensor, cover: Tensor) -> Tensor:
    """The fill (straight) over the image by the cover, in the image's alpha state; mixed as associated colour."""
    fill = image.unassociate().with_pixels(found)
    whole = cover >= 1
    if bool((whole | (cover <= 0)).all()):
        return fill.with_alpha_state(image.alpha).pixels
    old, new = image.associate().pixels, fill.associate().pixels
    mixed = torch.where(old.isfinite(), old + (new - old) * cover, new)
    blended = image.associate().with_pixels(mixed).with_alpha_state(image.alpha).pixels
    if image.alpha == "straight":  # a colour that nothing is left of can't be had by dividing
        blended = torch.where(mixed[:, [image.index("A")]] > 0, blended, found)
    return torch.where(whole, fill.with_alpha_state(image.alpha).pixels, blended)


def _stored(pixels: Tensor, hole: Tensor, image: Image) -> Any:
    """The image's buffer with these pixels in the hole, in its own type; all others stay, to the bit."""
    scale = _FULL_SCALE.get(image.dtype)
    if scale:
        pixels = (pixels.clamp(0, 1) * scale).round()
    elif image.dtype == "float16":
        pixels = pixels.clamp(-65504, 65504)
    last, where = pixels.permute(0, 2, 3, 1), hole.permute(0, 2, 3, 1)
    if isinstance(image.buffer, np.ndarray):
        return np.where(where.numpy(), last.numpy().astype(image.buffer.dtype), image.buffer)
    if image.dtype == "uint16":  # torch selects no uint16, but its bits
        bits = last.to(torch.int32).to(torch.uint16).view(torch.int16)
        return torch.where(where, bits, image.buffer.view(torch.int16)).view(torch.uint16)
    return torch.where(where, last.to(image.buffer.dtype), image.buffer)

"""Pixels as the compositing formulas want them: chosen channels, associated, alpha last; and back into an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline_core import Alpha, Image


def with_alpha_last(image: Image, names: Sequence[str]) -> Tensor:
    """`(B, len(names) + 1, H, W)`: these colour channels, associated, and alpha; without alpha it is 1."""
    pixels = image.pixels
    if image.alpha == "none":
        color = _pick(pixels, [image.index(name) for name in names])
        return torch.cat([color, torch.ones_like(pixels[:, :1])], dim=1)
    found = _pick(pixels, [image.index(name) for name in (*names, "A")])
    if image.alpha == "associated":
        return found
    associated = found * found[:, -1:]
    associated[:, -1:] = found[:, -1:]
    return associated


def rebuild(image: Image, names: Sequence[str], merged: Tensor, alpha: Alpha) -> Image:
    """`image` with what `with_alpha_last` took out of it replaced by `merged`, its alpha in the state asked for."""
    coverage = merged[:, -1:]
    if alpha == "straight":
        merged = merged / torch.where(coverage == 0, 1.0, coverage)
        merged[:, -1:] = coverage
    if alpha != "none" and image.channels == (*names, "A"):
        return image.with_pixels(merged, alpha=alpha)
    order = image.channels if alpha == "none" else with_alpha_channel(image.channels)
    planes = {name: merged[:, i : i + 1] for i, name in enumerate(names)} | {"A": coverage}
    batch = len(merged)
    parts = [planes[name] if name in planes else image.channel(name).expand(batch, -1, -1, -1) for name in order]
    return image.with_pixels(torch.cat(parts, dim=1), channels=order, alpha=alpha)


def with_alpha_channel(channels: tuple[str, ...]) -> tuple[str, ...]:
    """The names with an "A" after the last of R, G, B and Y, where there is none yet."""
    if "A" in channels:
        return channels
    after = max((i + 1 for i, name in enumerate(channels) if name in "RGBY"), default=len(channels))
    return (*channels[:after], "A", *channels[after:])


def _pick(pixels: Tensor, where: list[int]) -> Tensor:
    return pixels if where == list(range(pixels.shape[1])) else pixels[:, where]

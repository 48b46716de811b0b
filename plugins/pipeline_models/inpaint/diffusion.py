"""Holes filled smoothly from their edges, on tensors `(B, C, H, W)` of any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

Wrap = tuple[bool, bool]

SWEEPS = 12
"""On every level. More change a picture by less than its grain."""


def diffused(color: Tensor, known: Tensor, wrap: Wrap = (False, False), sweeps: int = SWEEPS) -> Tensor:
    """`color` where it is `known` (1, else 0; `(B, 1, H, W)`), and a membrane through it where it is not.

    First by push and pull: means of what is known on ever coarser levels (S. Gortler et al., The Lumigraph, 1996). On
    the way back each level is relaxed towards Laplace's equation: every unknown pixel the mean of its four neighbours.
    No value leaves the range of those known. Items of which nothing is known become 0.
    """
    levels = [(torch.where(known > 0, color, 0.0), known.to(color.dtype))]
    while max(levels[-1][0].shape[2:]) > 1:
        total, weight = (_halved(values, wrap) for values in (levels[-1][0] * levels[-1][1], levels[-1][1]))
        known_here = (weight > 0).to(color.dtype)
        levels.append((total / torch.where(weight > 0, weight, 1.0), known_here))
    filled = levels.pop()[0]
    for color_here, known_here in reversed(levels):
        unknown = known_here == 0
        filled = torch.where(unknown, _doubled(filled, color_here, wrap), color_here)
        for _ in range(sweeps):
            filled.copy_(torch.where(unknown, _means(filled, wrap), filled))
    return filled


def _means(values: Tensor, wrap: Wrap) -> Tensor:
    """Of the four neighbours; at the edge of the frame of those that there are and the pixel itself."""
    padded = _bordered(values, wrap, 1)
    total = padded[:, :, 1:-1, :-2] + padded[:, :, 1:-1, 2:]  # one sum in place: large pictures are short of memory
    return total.add_(padded[:, :, :-2, 1:-1]).add_(padded[:, :, 2:, 1:-1]).mul_(0.25)


def _bordered(values: Tensor, wrap: Wrap, border: int) -> Tensor:
    for wraps, pad in ((wrap[0], (border, border, 0, 0)), (wrap[1], (0, 0, border, border))):
        values = functional.pad(values, pad, mode="circular" if wraps else "replicate")
    return values


def _halved(values: Tensor, wrap: Wrap) -> Tensor:
    """Means of two by two pixels; the last one of an odd side is alone, or meets the first where it tiles."""
    height, width = values.shape[2:]
    for odd, wraps, pad in ((width % 2, wrap[0], (0, 1, 0, 0)), (height % 2, wrap[1], (0, 0, 0, 1))):
        if odd:
            values = functional.pad(values, pad, mode="circular") if wraps else functional.pad(values, pad)
    return functional.avg_pool2d(values, 2)


def _doubled(values: Tensor, like: Tensor, wrap: Wrap) -> Tensor:
    """Twice the size, linear between pixel centres, cut to the size of `like`."""
    grown = functional.interpolate(_bordered(values, wrap, 1), scale_factor=2, mode="bilinear", align_corners=False)
    return grown[:, :, 2 : 2 + like.shape[2], 2 : 2 + like.shape[3]]

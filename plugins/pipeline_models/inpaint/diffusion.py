"""Holes filled smoothly from their edges, on tensors `(B, C, H, W)` of any device."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

Wrap = tuple[bool, bool]

SWEEPS = 12
"""On every level. More change a picture by less than its grain."""


def diffused(
    color: Tensor,
    known: Tensor,
    wrap: Wrap = (False, False),
    sweeps: int = SWEEPS,
    *,
    into: Tensor | None = None,
) -> Tensor:
    """`color` where it is `known` (1, else 0; `(B, 1, H, W)`), and a membrane through it where it is not.

    First by push and pull: means of what is known on ever coarser levels (S. Gortler et al., The Lumigraph, 1996). On
    the way back each level is relaxed towards Laplace's equation: every unknown pixel the mean of its four neighbours.
    No value leaves the range of those known. Items of which nothing is known become 0. The result is written `into` a
    tensor, which may be `color` itself: large pictures are short of memory.
    """
    weights = [known.to(color.dtype)]
    while max(weights[-1].shape[2:]) > 1:
        weights.append(_halved((weights[-1] > 0).to(color.dtype), wrap))
    filled = torch.empty_like(color) if into is None else into
    for i in range(color.shape[1]):
        filled[:, [i]] = _membrane(color[:, [i]], weights, wrap, sweeps)
    return filled


def _membrane(color: Tensor, weights: list[Tensor], wrap: Wrap, sweeps: int) -> Tensor:
    """One channel. `weights` are how much of each pixel is known, on all levels from the finest on."""
    levels = [torch.where(weights[0] > 0, color, 0.0)]
    for finer, weight in pairwise(weights):
        total = _halved(levels[-1] * (finer > 0), wrap)
        levels.append(total / torch.where(weight > 0, weight, 1.0))
    filled = levels.pop()
    for weight in reversed(weights[:-1]):
        color, unknown = levels.pop(), weight == 0
        filled = _relaxed(torch.where(unknown, _doubled(filled, color, wrap), color), unknown, wrap, sweeps)
    return filled


def _relaxed(values: Tensor, unknown: Tensor, wrap: Wrap, sweeps: int) -> Tensor:
    """Every unknown pixel the mean of its four neighbours, so many times; at the frame of those that there are and itself."""
    bordered, means = _bordered(values, wrap, 1), torch.empty_like(values)
    inner = bordered[:, :, 1:-1, 1:-1]
    ends = [(bordered, wrap[0]), (bordered.mT, wrap[1])]
    for _ in range(sweeps):
        torch.add(bordered[:, :, 1:-1, :-2], bordered[:, :, 1:-1, 2:], out=means)
        means.add_(bordered[:, :, :-2, 1:-1]).add_(bordered[:, :, 2:, 1:-1]).mul_(0.25)
        torch.where(unknown, means, inner, out=inner)
        for columns, wraps in ends:
            columns[..., 0] = columns[..., -2 if wraps else 1]
            columns[..., -1] = columns[..., 1 if wraps else -2]
    return inner


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

"""Changes that pictures go through before they are judged, so that few of them can't be learnt by heart.

S. Zhao, Z. Liu, J. Lin, J.-Y. Zhu and S. Han, "Differentiable Augmentation for Data-Efficient GAN Training", 2020: real and
made pictures alike, with gradients. Only their moves, by up to an eighth: colours of gray pictures on black would not survive
changes, and where parts are covered the generator learns to make pictures with parts missing.
"""

from __future__ import annotations

import torch
from torch import Tensor


def augmented(pixels: Tensor, chance: torch.Generator) -> Tensor:
    """`(B, C, H, W)`, each picture moved; what comes in from outside is black."""
    count, _, height, width = pixels.shape
    numbers = torch.rand(2, count, 1, 1, generator=chance).to(pixels.device)
    down, across = ((2 * numbers[i] - 1) * length / 8 for i, length in enumerate((height, width)))
    rows = torch.arange(height, device=pixels.device)[None, :, None] + down.round().long()
    columns = torch.arange(width, device=pixels.device)[None, None, :] + across.round().long()
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    where = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    moved = pixels.flatten(2).gather(2, where.flatten(1)[:, None].expand(-1, pixels.shape[1], -1)).view_as(pixels)
    return moved * inside[:, None]

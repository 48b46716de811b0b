"""Enlarging by whole factors with a kernel: for what no network is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Kernel = tuple[int, Callable[[float], float]]


def _lanczos(x: float) -> float:
    """Lanczos with three lobes (Duchon 1979, "Lanczos filtering in one and two dimensions")."""
    if x == 0:
        return 1.0
    return 3 * math.sin(math.pi * x) * math.sin(math.pi * x / 3) / (math.pi * x) ** 2 if abs(x) < 3 else 0.0


LANCZOS: Kernel = (3, _lanczos)
TRIANGLE: Kernel = (1, lambda x: max(0.0, 1 - abs(x)))


def enlarge(pixels: Tensor, factor: int, kernel: Kernel, wrap: tuple[bool, bool] = (False, False)) -> Tensor:
    """`(B, C, H, W)` enlarged in both directions, with pixel centres at half pixels.

    Beyond an edge there are no pixels to be weighted; an axis that tiles (x, y) goes on.
    """
    across = _along_rows(pixels, factor, kernel, wrap[0])
    return _along_rows(across.transpose(2, 3), factor, kernel, wrap[1]).transpose(2, 3)


def _along_rows(pixels: Tensor, factor: int, kernel: Kernel, wrap: bool) -> Tensor:
    radius, weight = kernel
    # The place of each new pixel in its old one, from the old one's centre.
    places = [(phase + 0.5) / factor - 0.5 for phase in range(factor)]
    taps = range(-radius, radius + 1)
    weights = torch.tensor([[weight(tap - place) for tap in taps] for place in places], dtype=torch.float64)
    weights = (weights / weights.sum(1, keepdim=True)).to(pixels).view(factor, 1, 1, -1)
    batch, channels, height, width = pixels.shape
    rows = pixels.reshape(batch * channels, 1, height, width)
    if wrap:
        columns = torch.arange(-radius, width + radius, device=pixels.device) % width
        found = functional.conv2d(rows[..., columns], weights)
    else:
        found = functional.conv2d(rows, weights, padding=(0, radius))
        inside = functional.conv2d(torch.ones_like(rows[:1, :, :1]), weights, padding=(0, radius))
        found = found / inside
    return found.permute(0, 2, 3, 1).reshape(batch, channels, height, width * factor)


def enlarge_coverage(alpha: Tensor, factor: int) -> Tensor:
    """Coverage enlarged by Lanczos, held between the least and the most of its neighbours: it never rings.

    What is wholly inside or outside stays so, exactly.
    """
    if factor == 1:
        return alpha
    found = enlarge(alpha, factor, LANCZOS)
    around = _padded(alpha)
    most = functional.max_pool2d(around, 3, 1)
    least = -functional.max_pool2d(-around, 3, 1)
    return torch.minimum(torch.maximum(found, repeat(least, factor)), repeat(most, factor))


def repeat(pixels: Tensor, factor: int) -> Tensor:
    """Every pixel as a square of them."""
    return pixels.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def _padded(pixels: Tensor) -> Tensor:
    return functional.pad(pixels, (1, 1, 1, 1), mode="replicate")


def fill_hidden(color: Tensor, shown: Tensor, distance: int) -> Tensor:
    """Colour where nothing is shown, taken from what is shown next to it, so far as `distance` pixels.

    color `(B, C, H, W)`, shown `(B, 1, H, W)` true where there is something to be seen. What lies farther off is 0.
    """
    known = shown.to(color.dtype)
    color = color * known
    for _ in range(distance):
        if bool(known.all()):
            break
        around = functional.avg_pool2d(_padded(torch.cat([color * known, known], 1)), 3, 1)
        count = around[:, -1:]
        found = around[:, :-1] / count.clamp(min=1e-6)
        reached = (count > 0.05) & (known == 0)
        color = torch.where(reached, found, color)
        known = torch.where(reached, torch.ones_like(known), known)
    return color

"""Laplacian pyramids, and patches drawn from them.

P. Burt and E. Adelson, "The Laplacian Pyramid as a Compact Image Code", IEEE Transactions on Communications 31(4), 1983:
weights 1, 4, 6, 4, 1 over 16 (their a = 0.375).
"""

from __future__ import annotations

import torch
from torch.nn.functional import conv2d, pad

SMALLEST = 16
"""No level has a side below this: T. Karras et al. 2018, section 5."""
WEIGHTS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def level_count(height: int, width: int) -> int:
    """How many levels a pyramid has: halved as long as the smaller side stays at 16 or more."""
    count = 1
    while min(height, width) // 2 >= SMALLEST:
        height, width, count = height // 2, width // 2, count + 1
    return count


def laplacian(pixels: torch.Tensor, count: int, wrap: tuple[bool, bool]) -> list[torch.Tensor]:
    """`count` levels, finest first: what halving loses at each size, and the smallest picture itself."""
    levels = []
    for _ in range(count - 1):
        # An odd row or column has no partner: it is left out, as half sizes are rounded down.
        pixels = pixels[..., : pixels.shape[-2] // 2 * 2, : pixels.shape[-1] // 2 * 2]
        half = _blurred(pixels, wrap, 1)[..., ::2, ::2]
        levels.append(pixels - _doubled(half, wrap))
        pixels = half
    return [*levels, pixels]


def _doubled(half: torch.Tensor, wrap: tuple[bool, bool]) -> torch.Tensor:
    spread = half.new_zeros(*half.shape[:2], 2 * half.shape[2], 2 * half.shape[3])
    spread[..., ::2, ::2] = half
    return _blurred(spread, wrap, 2)


def _blurred(pixels: torch.Tensor, wrap: tuple[bool, bool], gain: int) -> torch.Tensor:
    """Weighted along x and y; beyond the frame it is mirrored about the outermost pixel, or the picture tiles."""
    weights = pixels.new_tensor(WEIGHTS) * gain
    batch, channels, height, width = pixels.shape
    planes = pixels.reshape(batch * channels, 1, height, width)
    planes = pad(planes, (2, 2, 0, 0), "circular" if wrap[0] else "reflect")
    planes = pad(planes, (0, 0, 2, 2), "circular" if wrap[1] else "reflect")
    planes = conv2d(conv2d(planes, weights.view(1, 1, 1, 5)), weights.view(1, 1, 5, 1))
    return planes.reshape(batch, channels, height, width)


def patches(
    level: torch.Tensor, size: int, which: torch.Tensor, where: torch.Tensor, wrap: tuple[bool, bool]
) -> torch.Tensor:
    """`(N, C, size, size)`: from picture `which[i]`, at the share `where[i]` of all places in y and in x."""
    height, width = level.shape[-2:]
    reach = torch.arange(size)
    places = []
    for share, length, wraps in ((where[:, 0], height, wrap[1]), (where[:, 1], width, wrap[0])):
        room = length if wraps else length - size + 1
        first = (share * room).long().clamp_max(room - 1)
        places.append((first[:, None] + reach) % length)
    rows, columns = places
    found = level.permute(0, 2, 3, 1)[
        which[:, None, None].to(level.device), rows[:, :, None].to(level.device), columns[:, None, :].to(level.device)
    ]
    return found.permute(0, 3, 1, 2)

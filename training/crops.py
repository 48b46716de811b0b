"""Random crops of pictures, turned and mirrored, drawn on the device that trains: one look-up for a whole batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from training.photographs import photographs

FLAT, TRIES = 0.04, 4
"""Crops of photographs with less contrast teach little: another is taken, of so many."""


class Crops:
    """Of pictures `(C, H, W)`, all at least `size` wide and high."""

    def __init__(self, pictures: Sequence[Tensor], size: int, device: str) -> None:
        self.size = size
        self.numbers = torch.cat([part.flatten(1) for part in pictures], 1).to(device)
        sides = torch.tensor([part.shape[1:] for part in pictures])
        areas = sides.prod(1)
        self.starts = (areas.cumsum(0) - areas).to(device)
        self.sides = sides.to(device)
        self.shares = areas.sqrt().to(device)
        self.symmetries = torch.tensor([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)], device=device).bool()

    def some(self, count: int, which: Tensor | None = None, ways: Tensor | None = None, tries: int = TRIES) -> Tensor:
        """`(count, C, size, size)`; of picture `which[i]`, in one of the 8 symmetries, `ways[i]`, by chance if not said."""
        device = self.numbers.device
        if which is None:
            which = torch.multinomial(self.shares, count * tries, replacement=True)
        else:
            which = which.repeat_interleave(tries)
        room = self.sides[which] - self.size + 1
        corner = (torch.rand(len(which), 2, device=device) * room).long().minimum(room - 1)
        first = self.starts[which] + corner[:, 0] * self.sides[which, 1] + corner[:, 1]
        if tries > 1:
            stride = self.sides[which, 1].view(-1, 1, 1)
            sparse = torch.arange(0, self.size, 4, device=device)
            seen = self.numbers[:, first.view(-1, 1, 1) + sparse.view(-1, 1) * stride + sparse]
            good = (seen.std((2, 3)).mean(0) > FLAT).view(count, tries)
            best = good.long().argmax(1) + torch.arange(count, device=device) * tries
            first, which = first[best], which[best]
        if ways is None:
            ways = torch.randint(8, (count,), device=device)
        down, across, turned = self.symmetries[ways].view(count, 3, 1, 1).unbind(1)
        along = torch.arange(self.size, device=device)
        rows, columns = along.view(1, -1, 1), along.view(1, 1, -1)
        rows, columns = torch.where(turned, columns, rows), torch.where(turned, rows, columns)
        rows, columns = (torch.where(flip, self.size - 1 - at, at) for flip, at in ((down, rows), (across, columns)))
        where = first.view(-1, 1, 1) + rows * self.sides[which, 1].view(-1, 1, 1) + columns
        return self.numbers[:, where].transpose(0, 1)


def of_photographs(size: int, scales: Sequence[float], device: str) -> Crops:
    """Of all that may be trained on, at several sizes."""
    found = []
    for pixels in photographs().values():
        whole = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
        for scale in scales:
            sides = [round(side * scale) for side in whole.shape[-2:]]
            if min(sides) >= size:
                smaller = functional.interpolate(whole, size=sides, mode="bicubic", antialias=True).clamp(0, 1)
                found.append((whole if scale == 1 else smaller)[0])
    return Crops(found, size, device)


def swapped(crops: Tensor) -> Tensor:
    """With their colours in another order, half of them."""
    count, channels = crops.shape[:2]
    order = torch.rand(count, channels, device=crops.device).argsort(1)
    own = torch.arange(channels, device=crops.device).expand(count, -1)
    order = torch.where(torch.rand(count, 1, device=crops.device) < 0.5, order, own)
    return crops.gather(1, order.view(count, channels, 1, 1).expand_as(crops))


def between(low: float, high: float, *shape: int, device: torch.device) -> Tensor:
    """Random numbers."""
    return torch.rand(*shape, device=device) * (high - low) + low

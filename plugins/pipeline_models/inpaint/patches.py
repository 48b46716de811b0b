"""Holes filled with patches of what is around them, from coarse to fine.

Which known patch looks most like each patch of the hole is found by trying what serves its neighbours, and at random
(C. Barnes et al., PatchMatch, 2009); from these every pixel takes the mean that its patches vote for, and the search
goes on (Y. Wexler et al., Space-Time Completion of Video, 2007; A. Newson et al., Video Inpainting of Complex Scenes,
2014). All patches are tried at once, so a GPU does it too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pipeline_core import progress
from pipeline_models.inpaint.diffusion import Wrap, diffused

RADIUS = 3
FEWEST, SHARE = 64, 0.1
"""Patches that a level must offer, and for how many of its pixels; with fewer it would lead astray."""
ROUNDS = (8, 4, 3, 2)
"""Of search and vote, on the coarsest level and the next ones; the last number holds for all others."""
FAINT, FALLING = 0.02, 2.0
"""How far what is only guessed at first is trusted; and how many times less with every pixel farther into the hole."""
AT_ONCE = 1 << 12
MOST_PAIRS = 1 << 25


@dataclass
class _Level:
    """One size of the picture, with a border of RADIUS pixels.

    look      `(pixels, channels)`: what patches are compared by
    inside    `(count,)`: the places of the hole's pixels
    offered   `(pixels,)`: whether a patch that is known in full has its middle there
    border    `(H, W)` of places: where each pixel with its border comes from, for an image that tiles
    """

    look: Tensor
    inside: Tensor
    offered: Tensor
    height: int
    width: int
    wrap: Wrap

    @property
    def stride(self) -> int:
        return self.width + 2 * RADIUS

    def around(self) -> Tensor:
        """How far the places of a patch lie from its middle: every second one, like the black fields of a board."""
        steps = torch.arange(-RADIUS, RADIUS + 1, device=self.look.device)
        return (steps[:, None] * self.stride + steps).reshape(-1)[::2]

    def place(self, y: Tensor, x: Tensor) -> Tensor:
        """Of these rows and columns; brought back into the frame, round it where it tiles."""
        y = y % self.height if self.wrap[1] else y.clamp(0, self.height - 1)
        x = x % self.width if self.wrap[0] else x.clamp(0, self.width - 1)
        return (y + RADIUS) * self.stride + x + RADIUS

    def row_and_column(self, place: Tensor) -> tuple[Tensor, Tensor]:
        return place // self.stride - RADIUS, place % self.stride - RADIUS


def sources(look: Tensor, known: Tensor, wrap: Wrap, random: torch.Generator) -> tuple[Tensor, Tensor] | None:
    """Where each unknown pixel is best copied from: `(rows, columns)` of the unknown ones in order, and of the others.

    `look` is `(1, C, H, W)`, finite and in units in which 1 is a large difference; `known` is `(1, 1, H, W)`. None where
    no whole patch is known.
    """
    levels = [(look, known)]
    while min(levels[-1][0].shape[2:]) > 1:
        smaller = _halved(*levels[-1])
        if int(_offered(smaller[1], wrap).sum()) < max(FEWEST, smaller[1].numel() * SHARE):
            break
        if bool((smaller[1] > 0).all()):
            break
        levels.append(smaller)
        if _thickness(smaller[1]) <= RADIUS:
            break
    levels.reverse()
    found: Tensor | None = None
    before: _Level | None = None
    for number, (look_here, known_here) in enumerate(levels):
        offered = _offered(known_here, wrap)
        if not bool(offered.any()):
            return None
        level = _level(look_here, known_here, offered, wrap)
        rounds = ROUNDS[min(number, len(ROUNDS) - 1)]
        if found is None or before is None:
            found = _peeled(level, random)
        else:
            found = _refined(before, level, found, random)
            _vote(level, found, torch.ones(len(found), device=look.device))
        found = _searched(level, found, rounds, random, (number + 1) / len(levels), number == 0)
        before = level
    assert found is not None
    assert before is not None
    return before.row_and_column(found)


def _level(look: Tensor, known: Tensor, offered: Tensor, wrap: Wrap) -> _Level:
    height, width = look.shape[2:]
    smooth = _bordered(diffused(look, known, wrap), wrap)
    hole = functional.pad(known == 0, (RADIUS,) * 4)[0, 0]
    inside = torch.nonzero(hole.reshape(-1))[:, 0]
    flat = smooth[0].permute(1, 2, 0).reshape(-1, look.shape[1]).contiguous()
    return _Level(flat, inside, functional.pad(offered, (RADIUS,) * 4).reshape(-1), height, width, wrap)


def _peeled(level: _Level, random: torch.Generator) -> Tensor:
    """A first guess for the smallest level: all patches that are offered tried, layer by layer from the edge inwards.

    A layer looks at what is known and at the layers before it, so that the smooth fill that is there at first, which
    looks like what is flat, has no say. Where the level is too large for it, any patches.
    """
    offers = torch.nonzero(level.offered)[:, 0]
    found = _anywhere(level, len(level.inside), random)
    if len(offers) * len(found) > MOST_PAIRS:
        return found
    depth = _depth(level)
    around = level.around()
    given = level.look[offers[:, None] + around].flatten(1)
    for layer in range(1, int(depth.max()) + 1):
        which = torch.nonzero(depth[level.inside] == layer)[:, 0]
        places = level.inside[which][:, None] + around
        weight = torch.where(depth[places] < layer, torch.pow(FALLING, -depth[places]), 1e-6)
        weight = weight.repeat_interleave(level.look.shape[1], 1)
        wanted = level.look[places].flatten(1)
        # The square of a difference, multiplied out; what does not depend on the offer is left out.
        error = weight @ (given * given).T - 2 * (weight * wanted) @ given.T
        found[which] = offers[error.argmin(1)]
        level.look[level.inside[which]] = level.look[found[which]]
    _renew_border(level)
    return found


def _searched(
    level: _Level, found: Tensor, rounds: int, random: torch.Generator, share: float, first: bool = False
) -> Tensor:
    """Search and vote in turn; the last search is not voted on, so that what it found can be copied."""
    rows, columns = level.row_and_column(level.inside)
    trust = _trust(level)
    at = torch.full((len(level.look),), -1, dtype=torch.long, device=found.device)
    at[level.inside] = torch.arange(len(found), device=found.device)
    for turn in range(rounds):
        progress(int(1000 * share * (turn + 1) / rounds), 1000, "patches")
        # The smooth fill that is there at first looks like what is flat; what is known shall decide.
        guessed = first and turn == 0
        search = _Search(level, torch.where(trust < 1, FAINT * trust, 1.0) if guessed else trust, found)
        for jump in (1, 4, 2, 1) if turn == 0 else (2, 1):
            for down, right in ((0, jump), (jump, 0), (0, -jump), (-jump, 0)):
                beside = at[level.place(rows + down, columns + right)]
                y, x = level.row_and_column(search.found[beside.clamp(min=0)])
                search.attempt(y - down, x - right, beside >= 0)
        reach = max(level.height, level.width)
        while reach >= 1:
            y, x = level.row_and_column(search.found)
            shift = torch.rand((2, len(found)), generator=random).to(found.device) * 2 - 1
            y, x = (old + (step * reach).round().long() for old, step in zip((y, x), shift, strict=True))
            search.attempt(y, x, torch.ones_like(beside, dtype=torch.bool))
            reach //= 2 if level.height * level.width < 1 << 16 else 4
        found = search.found
        if turn < rounds - 1:
            ordered = search.error.sort().values
            spread = ordered[(len(ordered) * 3) // 4].clamp(min=1e-8)
            _vote(level, found, trust[level.inside] * torch.exp(-search.error / (2 * spread)))
    return found


class _Search:
    """What was found so far for the patches of a hole, and how far each is from it."""

    def __init__(self, level: _Level, trust: Tensor, found: Tensor) -> None:
        self.level = level
        self.found = found.clone()
        self.around = level.around()
        places = level.inside[:, None] + self.around
        self.wanted = level.look[places].reshape(len(found), -1)
        weight = trust[places]
        weight = weight / (weight.sum(1, keepdim=True) * level.look.shape[1])
        self.weight = weight.repeat_interleave(level.look.shape[1], 1)
        self.error = self._difference(torch.arange(len(found), device=found.device), self.found)

    def attempt(self, y: Tensor, x: Tensor, asked: Tensor) -> None:
        """Takes the patches in these rows and columns where they are asked for, offered, and look more alike."""
        level = self.level
        inside = (level.wrap[1] or ((y >= 0) & (y < level.height))) & (level.wrap[0] or ((x >= 0) & (x < level.width)))
        other = level.place(y, x)
        which = torch.nonzero(asked & inside & level.offered[other] & (other != self.found))[:, 0]
        error = self._difference(which, other[which])
        better = error < self.error[which]
        which = which[better]
        self.found[which], self.error[which] = other[which], error[better]

    def _difference(self, which: Tensor, other: Tensor) -> Tensor:
        """Mean square difference of these patches and those around other places, by how far each pixel is trusted."""
        parts = []
        for begin in range(0, len(which), AT_ONCE):
            some, middles = which[begin : begin + AT_ONCE], other[begin : begin + AT_ONCE]
            # One flat index is several times as fast as an index of two axes.
            places = (middles[:, None] + self.around).reshape(-1)
            apart = self.level.look.index_select(0, places).view(len(some), -1)
            apart -= self.wanted[some]
            parts.append((apart.square_() * self.weight[some]).sum(1))
        return torch.cat(parts) if parts else self.error[:0]


def _vote(level: _Level, found: Tensor, weight: Tensor) -> None:
    """Every pixel of the hole becomes the mean of what the patches over it would put there."""
    # A row more than there are pixels: what is no patch of the hole votes with the weight 0.
    count = len(level.look)
    source = torch.zeros(count, dtype=torch.long, device=found.device)
    source[level.inside] = found
    weights = torch.zeros(count, device=found.device)
    weights[level.inside] = weight.clamp(min=1e-12)
    rows, columns = level.row_and_column(level.inside)
    total = torch.zeros((len(found), level.look.shape[1]), device=found.device)
    sums = torch.zeros((len(found), 1), device=found.device)
    steps = range(-RADIUS, RADIUS + 1)
    for down in steps:
        for right in steps:
            middle = level.place(rows - down, columns - right)
            # Beyond a frame that does not tile there is no patch; its place came back as another's.
            here = torch.ones_like(rows, dtype=torch.bool)
            if not level.wrap[1]:
                here &= (rows - down >= 0) & (rows - down < level.height)
            if not level.wrap[0]:
                here &= (columns - right >= 0) & (columns - right < level.width)
            share = (weights[middle] * here)[:, None]
            total += share * level.look[(source[middle] + down * level.stride + right).clamp(min=0)]
            sums += share
    level.look[level.inside] = total / sums
    _renew_border(level)


def _renew_border(level: _Level) -> None:
    inner = level.look.reshape(level.height + 2 * RADIUS, level.stride, -1)[RADIUS:-RADIUS, RADIUS:-RADIUS]
    planes = _bordered(inner.permute(2, 0, 1)[None], level.wrap)
    level.look = planes[0].permute(1, 2, 0).reshape(len(level.look), -1).contiguous()


def _trust(level: _Level) -> Tensor:
    """How far each pixel is trusted: 1 where it is known, less with every pixel farther into the hole."""
    return torch.pow(FALLING, -_depth(level).clamp(max=24))


def _depth(level: _Level) -> Tensor:
    """How many pixels each lies inside the hole; 0 where it is known."""
    plane = torch.zeros(len(level.look), device=level.look.device)
    plane[level.inside] = 1
    left = plane.reshape(1, 1, -1, level.stride)
    depth = torch.zeros_like(left)
    # What is behind the frame is neither known nor a hole: the nearest pixel in it stands for it.
    inner = left[..., RADIUS:-RADIUS, RADIUS:-RADIUS]
    while bool((inner > 0).any()):
        depth[..., RADIUS:-RADIUS, RADIUS:-RADIUS] += inner
        if bool((inner > 0).all()):
            break
        inner = -functional.max_pool2d(-_bordered(inner, level.wrap), 3, 1)[
            ..., RADIUS - 1 : 1 - RADIUS or None, RADIUS - 1 : 1 - RADIUS or None
        ]
    return _bordered(depth[..., RADIUS:-RADIUS, RADIUS:-RADIUS], level.wrap).reshape(-1)


def _anywhere(level: _Level, count: int, random: torch.Generator) -> Tensor:
    offers = torch.nonzero(level.offered)[:, 0]
    picked = torch.rand(count, generator=random).to(offers.device) * len(offers)
    return offers[picked.long().clamp(max=len(offers) - 1)]


def _refined(coarse: _Level, fine: _Level, found: Tensor, random: torch.Generator) -> Tensor:
    """What was found on the coarser level, for the finer one's pixels."""
    at = torch.zeros(len(coarse.look), dtype=torch.long, device=found.device)
    at[coarse.inside] = torch.arange(len(found), device=found.device)
    rows, columns = fine.row_and_column(fine.inside)
    up, left = (rows // 2).clamp(max=coarse.height - 1), (columns // 2).clamp(max=coarse.width - 1)
    y, x = coarse.row_and_column(found[at[coarse.place(up, left)]])
    place = fine.place(2 * y + rows - 2 * up, 2 * x + columns - 2 * left)
    return torch.where(fine.offered[place], place, _anywhere(fine, len(place), random))


def _halved(look: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Half the size; a pixel is known where all four are. An odd last row or column is left out."""
    weight = functional.avg_pool2d(known.to(look.dtype), 2)
    mean = functional.avg_pool2d(torch.where(known > 0, look, 0.0), 2) / weight.clamp(min=0.25)
    return mean, (weight == 1).to(look.dtype)


def _offered(known: Tensor, wrap: Wrap) -> Tensor:
    """`(H, W)`: whether all pixels of the patch around each are known."""
    if min(known.shape[2:]) <= 2 * RADIUS:
        return torch.zeros(known.shape[2:], dtype=torch.bool, device=known.device)
    unknown = (known == 0).float()
    for wraps, pad in ((wrap[0], (RADIUS, RADIUS, 0, 0)), (wrap[1], (0, 0, RADIUS, RADIUS))):
        unknown = functional.pad(unknown, pad, "circular") if wraps else functional.pad(unknown, pad, value=1.0)
    return functional.max_pool2d(unknown, 2 * RADIUS + 1, 1)[0, 0] == 0


def _bordered(planes: Tensor, wrap: Wrap) -> Tensor:
    for wraps, pad in ((wrap[0], (RADIUS, RADIUS, 0, 0)), (wrap[1], (0, 0, RADIUS, RADIUS))):
        planes = functional.pad(planes, pad, mode="circular" if wraps else "replicate")
    return planes


def _thickness(known: Tensor) -> int:
    """How many pixels the middle of the thickest hole lies from its edge."""
    left, depth = (known == 0).float(), 0
    while bool((left > 0).any()) and depth < max(known.shape[2:]):
        left = -functional.max_pool2d(-left, 3, 1, 1)
        depth += 1
    return depth

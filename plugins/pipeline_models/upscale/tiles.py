"""A network run over a picture in tiles, each with the margin that it needs, so that no seam is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline_core import OperationError, progress
from pipeline_models.memory import bytes_per_pixel, give_back, is_out_of_memory
from pipeline_models.precision import Precision, computing

Sides = tuple[int, int]
"""Height and width."""

SMALLEST = 16

BAND = 1 << 18
"""Pixels that our networks work on at a time on the CPU. What is between their convolutions is then small enough for the C library to use the
same memory again: a quarter of the time goes into getting more from the system where it is not."""
SHARE = 4
"""Of memory that is short a band on the CPU is to take so small a part: what large blocks leave behind fits nothing (`room`)."""
LEAST_ROWS = 16
"""Rows that our networks work on at a time where memory is short. Fewer cost time."""


@dataclass(frozen=True)
class Enlarger:
    """A network as it is used here.

    reach     how far, in input pixels, what an output pixel depends on lies from it
    channels  how many it takes: 3 or 1
    multiple  tiles begin and end at multiples of this
    beyond    how far below 0 and above 1 it knows colours
    size      sides of every picture, where it takes no other
    precision as in `computing`
    band      pixels that it works on at a time, where it can (`Roll`)
    """

    network: nn.Module
    factor: int
    reach: int
    channels: int = 3
    multiple: int = 1
    beyond: float = 0.0
    size: Sides | None = None
    precision: Precision = "full"
    band: int = BAND

    def margin(self, more: int = 0) -> int:
        """What a tile is read with around it, where `more` pixels than the network's own reach are looked at."""
        if self.size:  # half of what it sees is to be kept
            return min(self.reach + more, min(self.size) // 4)
        return math.ceil((self.reach + more) / self.multiple) * self.multiple

    def cost(self, device: str) -> Cost:
        """What it takes of a tile, its margin's pixels too."""
        if hasattr(self.network, "bytes_per_column"):
            return Cost(0, in_bands(self.network, LEAST_ROWS))
        side = math.ceil(64 / self.multiple) * self.multiple
        return Cost(bytes_per_pixel(self.network, torch.zeros((1, self.channels, side, side), device=device)), 0)


@dataclass(frozen=True)
class Cost:
    """Bytes for each pixel of a tile, and for each of its columns."""

    pixel: float
    column: float


def rows_of(network: Any, width: int, most: float, device: str) -> int:
    """How many rows our networks work on at a time, where so many bytes are to be had; all of them on an accelerator."""
    if device == "cpu":
        most = most / SHARE
    rows = int((most / width - network.bytes_per_column) / network.bytes_per_pixel)
    if device == "cpu":
        rows = min(rows, BAND // width)
    return max(1, rows // LEAST_ROWS) * LEAST_ROWS


def in_bands(network: Any, rows: int) -> float:
    """Bytes for each column that one of our networks takes when it works on so many rows at a time (`Roll`)."""
    return float(network.bytes_per_column + rows * network.bytes_per_pixel)


@dataclass(frozen=True)
class Tile:
    """A box of the picture, in input pixels."""

    top: int
    left: int
    height: int
    width: int


def fitting(size: Sides, most: float, cost: Cost, margin: int, multiple: int = 1) -> Sides:
    """The tiles of a picture of `size` that read the fewest pixels together, none taking more than `most` bytes."""
    (height, width), best = size, (math.inf, (max(SMALLEST, multiple),) * 2)
    for count in range(1, math.ceil(height / max(SMALLEST, multiple)) + 1):
        tall = _even(height, count, multiple)
        wide = int(most / (cost.column + cost.pixel * (tall + 2 * margin))) - 2 * margin
        if wide < width:
            wide = wide // multiple * multiple
        if wide < min(max(SMALLEST, multiple), width):
            continue
        wide = min(wide, width)
        wide = _even(width, math.ceil(width / wide), multiple)
        down, across = (
            length + 2 * margin * math.ceil(length / side) for length, side in ((height, tall), (width, wide))
        )
        best = min(best, (down * across, (tall, wide)))
    return best[1]


def tiles(size: Sides, sides: Sides, multiple: int = 1) -> Iterator[Tile]:
    """Boxes of at most `sides` that cover the picture, row by row, as even as can be: a sliver costs its whole margin."""
    for top, tall in _parts(size[0], sides[0], multiple):
        for left, wide in _parts(size[1], sides[1], multiple):
            yield Tile(top, left, tall, wide)


def _parts(length: int, side: int, multiple: int) -> Iterator[tuple[int, int]]:
    step = _even(length, math.ceil(length / side), multiple)
    yield from ((begin, min(step, length - begin)) for begin in range(0, length, step))


def _even(length: int, count: int, multiple: int) -> int:
    return math.ceil(math.ceil(length / count) / multiple) * multiple


def in_tiles(work: Callable[[Tile], None], size: Sides, sides: Sides, multiple: int = 1) -> Sides:
    """Calls `work` with every tile of a picture of `size`; gives the sides that fitted into memory.

    Where memory does not suffice the tiles are halved, and what is done already stays.
    """
    smallest = max(SMALLEST, multiple)
    # No larger than the picture, so that to halve them makes a difference.
    tall, wide = (
        max(multiple, min(side, math.ceil(length / multiple) * multiple) // multiple * multiple)
        for side, length in zip(sides, size, strict=True)
    )
    waiting = list(tiles(size, (tall, wide), multiple))
    area, covered = size[0] * size[1], 0
    while waiting:
        tile, failed = waiting[0], ""
        try:
            work(tile)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            failed = str(error).partition("\n")[0]
        if failed:  # not in the except block: until its end the failed attempt is still held
            give_back()
            if max(tall, wide) <= smallest:
                raise OperationError(
                    f"not even a tile of {tile.width}x{tile.height} pixels fits into memory: {failed[:120]}"
                )
            tall, wide = (max(smallest, side // 2 // multiple * multiple) for side in (tall, wide))
            waiting = [part for whole in waiting for part in _split(whole, (tall, wide), multiple)]
            continue
        waiting.pop(0)
        covered += tile.height * tile.width
        progress(covered, area)
    return tall, wide


def _split(tile: Tile, sides: Sides, multiple: int) -> Iterator[Tile]:
    for part in tiles((tile.height, tile.width), sides, multiple):
        yield Tile(tile.top + part.top, tile.left + part.left, part.height, part.width)


def enlarged(pixels: Tensor, enlarger: Enlarger) -> Tensor:
    """`(B, channels, H, W)` by the network; OperationError where it gives another size than it should."""
    rows = max(LEAST_ROWS, enlarger.band // pixels.shape[3] // LEAST_ROWS * LEAST_ROWS)
    rolls = rows < pixels.shape[2] and hasattr(enlarger.network, "bytes_per_column")
    with computing(enlarger.precision, str(pixels.device)):
        found: Tensor = enlarger.network(pixels, rows=rows) if rolls else enlarger.network(pixels)
    wanted = (*pixels.shape[:2], *(side * enlarger.factor for side in pixels.shape[-2:]))
    if tuple(found.shape) != wanted:
        raise OperationError(
            f"the model makes {tuple(found.shape)} of {tuple(pixels.shape)}, where {wanted} would be right"
        )
    return found.float()

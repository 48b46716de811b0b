"""Holes filled by a network that knows photographs: smoothly first, then with what is missing added."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline_core import Image, Model, OperationError
from pipeline_models import networks
from pipeline_models.foreign.run import Foreign
from pipeline_models.inpaint.diffusion import Wrap, diffused
from pipeline_models.inpaint.holes import Fill
from pipeline_models.memory import bytes_per_pixel, room
from pipeline_models.upscale.photograph import color_groups, decoded, encoded
from pipeline_models.upscale.tiles import Sides, Tile, fitting, in_tiles

LARGEST = 1 << 22
"""Pixels of a tile with its margin."""
BETWEEN = 16
"""MiB of the memory given that are left for what is between convolutions."""
SHAPES = 8
"""Tiles are multiples of so many steps: for each new shape torch makes programs, which take time and memory."""
SPREADS = (0.05, 0.4)
"""Colours are given to the network as differences from their mean, in units of their spread, which is held to these."""


@dataclass(frozen=True)
class Inpainter:
    """A network as it is used here.

    step    height and width of what it is given are multiples of this
    reach   how far, in pixels, what an output pixel depends on may lie from it
    whole   it looks at the whole picture, which is given to it in one piece, with colours from 0 to 1
    """

    network: nn.Module
    step: int
    reach: int
    whole: bool = False

    @property
    def margin(self) -> int:
        """What a tile is read with around it."""
        return math.ceil(self.reach / self.step) * self.step

    def __call__(self, pixels: Tensor, hole: Tensor) -> Tensor:
        """The picture, or a part of it, with its holes filled. OperationError where the network gives something else."""
        found: Tensor = self.network(pixels, hole)
        if not isinstance(found, Tensor) or found.shape != pixels.shape:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise OperationError(f"the model makes {shape} of {tuple(pixels.shape)}, which fills no holes")
        return found


def inpainter_of(model: Model, device: str) -> Inpainter:
    """The network of a model. OperationError where it does something else."""
    network = networks.build(model, device)
    if isinstance(network, Foreign) and network.channels == 3 and network.purpose in ("", "inpainting"):
        return Inpainter(network, network.multiple, network.reach, whole=True)
    step, reach = getattr(network, "step", None), getattr(network, "reach", None)
    if not (isinstance(step, int) and isinstance(reach, int)) or hasattr(network, "factor"):
        task = model.manifest.get("task", model.architecture)
        raise OperationError(f"'{model.name}' ({task}) does not fill holes")
    return Inpainter(network, step, reach)


def learned(inpainter: Inpainter, tile: int | None, memory: int, device: str) -> Fill:
    """Colours by the network, in tiles; all other channels smoothly."""
    room(memory, device)  # before anything is taken: where memory is short, all of it is to be given back

    def fill(image: Image, known: Tensor) -> Tensor:
        result = image.pixels  # our own, to be written to
        others = [i for i in range(len(image.channels)) if i not in image.color_indices]
        if others:
            result[:, others] = diffused(image.pixels[:, others], known, image.wrap)
        for where in color_groups(image):
            result[:, where] = _photograph(image, where, known, inpainter, tile, memory)
        return result

    return fill


def _sides(size: Sides, inpainter: Inpainter, memory: int, device: str) -> Sides:
    """Of tiles that take so many MiB with their margins."""
    edge = SHAPES * inpainter.step
    each = bytes_per_pixel(inpainter.network, torch.zeros((1, 3, edge, edge), device=device))
    return fitting(
        size, min(LARGEST, max(memory - BETWEEN, memory / 2) * 2**20 / each), inpainter.margin, edge, ends=True
    )


def _photograph(
    image: Image, where: list[int], known: Tensor, inpainter: Inpainter, tile: int | None, memory: int
) -> Tensor:
    """Channels that are one colour. The network sees them from 0 to 1; what lies beyond is filled smoothly, and added.

    Large pictures are short of memory: nothing is kept that is not read again.
    """
    color = image.pixels[:, where]  # a copy
    bright = not 0 <= float(color.amin()) <= float(color.amax()) <= 1
    beyond = diffused(color - color.clamp(0, 1), known, image.wrap) if bright else None
    color.clamp_(0, 1)
    linear = image.color.startswith("lin_")
    if linear:
        color = encoded(color)
    mean, spread = _spread(color, known)
    # A fill that is lighter or darker than all that is known is a ringing.
    low, high = _ends(color, known)
    if inpainter.whole:
        smooth = diffused(color, known, image.wrap, into=color)
        found = _in_one(smooth, 1 - known, image.wrap, inpainter)
    else:
        color.sub_(mean).div_(spread)
        smooth = diffused(color, known, image.wrap, into=color)
        device = str(known.device)
        sides = (tile, tile) if tile else _sides(image.size[::-1], inpainter, room(memory, device), device)
        found = _in_tiles(smooth, known == 0, image.wrap, inpainter, sides).mul_(spread).add_(mean)
    torch.clamp(found, low, high, out=found)
    if linear:
        found = decoded(found)
    return found if beyond is None else found.add_(beyond)


def _planes(color: Tensor) -> list[Tensor]:
    return [color[:, [i]] for i in range(color.shape[1])]


def _spread(color: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of each channel where it is known, and how far all are from it."""
    count = known.sum()
    means = [(plane * known).sum() / count for plane in _planes(color)]
    squares = [
        ((plane - mean) * known).square_().sum() / count for plane, mean in zip(_planes(color), means, strict=True)
    ]
    return torch.stack(means).view(1, -1, 1, 1), torch.stack(squares).mean().sqrt().clamp(*SPREADS)


def _ends(color: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the most of each channel where it is known."""
    low = [torch.where(known > 0, plane, math.inf).amin() for plane in _planes(color)]
    high = [torch.where(known > 0, plane, -math.inf).amax() for plane in _planes(color)]
    return torch.stack(low).view(1, -1, 1, 1), torch.stack(high).view(1, -1, 1, 1)


@torch.no_grad()
def _in_tiles(smooth: Tensor, open_: Tensor, wrap: Wrap, inpainter: Inpainter, sides: Sides) -> Tensor:
    """The network over every part of the picture in which there are holes (`open_`), written into `smooth`."""
    # Kept until all tiles have read: a network's answer is not to be given to it again. The pixels of holes, by number.
    number = open_.view(-1).cumsum(0, dtype=torch.int32).view(open_.shape)
    answers = smooth.new_empty((smooth.shape[1], int(number[0, 0, -1, -1])))
    height, width = smooth.shape[2:]
    step = inpainter.step
    coarse = SHAPES * step

    def work(tile: Tile) -> None:
        inside = open_[0, 0, tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
        if not bool(inside.any()):
            return
        top, bottom = _span(inside.any(1), tile.top, coarse)
        left, right = _span(inside.any(0), tile.left, coarse)
        rows, above = _places(top, bottom, height, wrap[1], inpainter)
        columns, before = _places(left, right, width, wrap[0], inpainter)
        rows, columns = rows.to(smooth.device), columns.to(smooth.device)
        pixels, holes = (part[:, :, rows][..., columns] for part in (smooth, open_))
        found = inpainter(pixels.expand(-1, 3, -1, -1), holes.float())
        if smooth.shape[1] == 1:
            found = found.mean(1, keepdim=True)
        bottom, right = min(bottom, height), min(right, width)
        found = found[..., above : above + bottom - top, before : before + right - left]
        here = open_[0, 0, top:bottom, left:right]
        answers[:, number[0, 0, top:bottom, left:right][here] - 1] = found[0][:, here]

    in_tiles(work, (height, width), sides, coarse)
    return smooth.masked_scatter_(open_, answers)


@torch.no_grad()
def _in_one(smooth: Tensor, hole: Tensor, wrap: Wrap, inpainter: Inpainter) -> Tensor:
    """A network of others over the whole picture."""
    height, width = smooth.shape[2:]
    rows, above = _places(0, height, height, wrap[1], inpainter)
    columns, before = _places(0, width, width, wrap[0], inpainter)
    pixels, holes = (part[:, :, rows.to(part.device)][..., columns.to(part.device)] for part in (smooth, hole))
    found = inpainter(pixels.expand(-1, 3, -1, -1), holes)[..., above : above + height, before : before + width]
    if bool(found.amax() > 8):  # some LaMa files answer in 0..255
        found = found / 255
    return found.mean(1, keepdim=True) if smooth.shape[1] == 1 else found


def _span(any_: Tensor, begin: int, step: int) -> tuple[int, int]:
    """From the first to behind the last that is true, widened to multiples of `step`."""
    where = torch.nonzero(any_)[:, 0]
    first, last = int(where[0]) + begin, int(where[-1]) + begin
    return first // step * step, (last // step + 1) * step


def _places(begin: int, end: int, length: int, wraps: bool, inpainter: Inpainter) -> tuple[Tensor, int]:
    """Rows or columns of a tile with its margin, and how many of them are before it.

    Round the image where it tiles; else the frame ends it, at a multiple of the network's step. There the smallest tiles see
    more of the other side instead, so that all are of one shape: memory is short then, and programs for shapes take some.
    """
    end, whole = (math.ceil(place / inpainter.step) * inpainter.step for place in (end, length))
    size = end - begin + 2 * inpainter.margin
    if wraps:
        return torch.arange(begin - inpainter.margin, begin - inpainter.margin + size) % length, inpainter.margin
    first, last = max(0, begin - inpainter.margin), min(whole, end + inpainter.margin)
    if end - begin <= SHAPES * inpainter.step:
        first, last = max(0, min(first, whole - size)), min(whole, max(last, size))
    return torch.arange(first, last).clamp(max=length - 1), begin - first

"""Holes filled by a network that knows photographs: smoothly first, then with what is missing added."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pipeline_core import Image, Model, OperationError
from pipeline_models import networks
from pipeline_models.foreign.run import Foreign
from pipeline_models.inpaint.diffusion import Wrap, diffused
from pipeline_models.inpaint.holes import Fill
from pipeline_models.memory import room
from pipeline_models.networks.gated_inpainter import GatedInpainter
from pipeline_models.precision import Precision, computing
from pipeline_models.rolling import rolled
from pipeline_models.upscale.photograph import color_groups, decoded, encoded
from pipeline_models.upscale.tiles import LEAST_ROWS, SMALLEST, Sides, Tile, in_bands, in_tiles, rows_of

BETWEEN = 16
"""MiB of the memory given that are left for what is between convolutions."""
ALL = 1 << 20
"""Rows: as many as there are."""
SPREADS = (0.05, 0.4)
"""Colours are given to the network as differences from their mean, in units of their spread, which is held to these."""


def inpainter_of(model: Model, device: str) -> nn.Module:
    """The network of a model: one of ours, or another's. OperationError where it does something else."""
    network = networks.build(model, device)
    if isinstance(network, Foreign) and network.channels == 3 and network.purpose in ("", "inpainting"):
        return network
    if not isinstance(network, GatedInpainter) or hasattr(network, "factor"):
        task = model.manifest.get("task", model.architecture)
        raise OperationError(f"'{model.name}' ({task}) does not fill holes")
    return network


def learned(network: nn.Module, tile: int | None, memory: int, precision: Precision, device: str) -> Fill:
    """Colours by the network, in tiles; all other channels smoothly."""
    room(memory, device)  # before anything is taken: where memory is short, all of it is to be given back

    def fill(image: Image, known: Tensor) -> Tensor:
        result = image.pixels  # our own, to be written to
        others = [i for i in range(len(image.channels)) if i not in image.color_indices]
        if others:
            result[:, others] = diffused(image.pixels[:, others], known, image.wrap)
        for where in color_groups(image):
            with computing(precision, device):
                result[:, where] = _photograph(image, where, known, network, tile, memory)
        return result

    return fill


def _fitted(size: Sides, network: GatedInpainter, memory: int, wrap: Wrap, device: str) -> tuple[Sides, int]:
    """Of tiles that take so many MiB their sides, and how many rows the network works on at a time."""
    most = max(memory - BETWEEN, memory / 2) * 2**20
    margin = _margin(network.reach, network.step)
    down, across = size[0] + 2 * margin * wrap[1], size[1] + 2 * margin * wrap[0]
    # Fewer bands make several cores wait for each other less often.
    if across * in_bands(network, down) <= most:
        return size, ALL
    if across * in_bands(network, LEAST_ROWS) <= most:
        return size, rows_of(network, across, most, device)
    wide = int(most / in_bands(network, LEAST_ROWS)) - 2 * margin
    return (size[0], max(SMALLEST, wide // network.step * network.step)), LEAST_ROWS


def _margin(reach: int, step: int) -> int:
    """What a tile is read with around it."""
    return math.ceil(reach / step) * step


def _photograph(
    image: Image, where: list[int], known: Tensor, network: nn.Module, tile: int | None, memory: int
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
    if isinstance(network, GatedInpainter):
        color.sub_(mean).div_(spread)
        smooth = diffused(color, known, image.wrap, into=color)
        size = (image.height, image.width)
        device = str(known.device)
        sides, rows = ((tile, tile), ALL) if tile else _fitted(size, network, room(memory, device), image.wrap, device)
        found = _in_tiles(smooth, known == 0, image.wrap, network, sides, rows).mul_(spread).add_(mean)
    else:
        assert isinstance(network, Foreign)
        smooth = diffused(color, known, image.wrap, into=color)
        found = _in_one(smooth, 1 - known, image.wrap, network)
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
def _in_tiles(smooth: Tensor, open_: Tensor, wrap: Wrap, network: GatedInpainter, sides: Sides, rows: int) -> Tensor:
    """The network over every part of the picture in which there are holes (`open_`), written into `smooth`."""
    # Kept until all tiles have read: a network's answer is not to be given to it again. The pixels of holes, by number.
    number = open_.view(-1).cumsum(0, dtype=torch.int32).view(open_.shape)
    answers = smooth.new_empty((smooth.shape[1], int(number[0, 0, -1, -1])))
    height, width = smooth.shape[2:]
    step, margin = network.step, _margin(network.reach, network.step)

    def work(tile: Tile) -> None:
        inside = open_[0, 0, tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
        if not bool(inside.any()):
            return
        top, bottom = _span(inside.any(1), tile.top, step)
        left, right = _span(inside.any(0), tile.left, step)
        down, above = _places(top, bottom, height, wrap[1], step, margin)
        across, before = _places(left, right, width, wrap[0], step, margin)
        bottom, right = min(bottom, height), min(right, width)
        for place, band in rolled(network.added, _bands(smooth, open_, down, across, rows), rows):
            first = top + place - above
            here = slice(max(first, top), min(first + band.shape[2], bottom))
            added = band[0, :, here.start - first : max(here.start, here.stop) - first, before : before + right - left]
            if smooth.shape[1] == 1:
                added = added.mean(0, keepdim=True)
            where = open_[0, 0, here, left:right]
            answers[:, number[0, 0, here, left:right][where] - 1] = (smooth[0, :, here, left:right] + added)[:, where]

    in_tiles(work, (height, width), sides, step)
    return smooth.masked_scatter_(open_, answers)


def _bands(smooth: Tensor, open_: Tensor, down: Tensor, across: Tensor, rows: int) -> Iterator[Tensor]:
    """Of these rows and columns so many rows at a time, as the network wants them."""
    across = across.to(smooth.device)
    for some in torch.split(down.to(smooth.device), rows):
        pixels, holes = (part[:, :, some][..., across] for part in (smooth, open_))
        yield torch.cat((pixels.expand(-1, 3, -1, -1), holes.float()), 1)


@torch.no_grad()
def _in_one(smooth: Tensor, hole: Tensor, wrap: Wrap, network: Foreign) -> Tensor:
    """A network of others over the whole picture, or over pieces of the one size that it takes."""
    if network.size:
        return _scaled(_in_pieces(smooth, hole, wrap, network, network.size), smooth.shape[1])
    height, width = smooth.shape[2:]
    step, margin = network.multiple, _margin(network.reach, network.multiple)
    rows, above = _places(0, height, height, wrap[1], step, margin)
    columns, before = _places(0, width, width, wrap[0], step, margin)
    pixels, holes = (part[:, :, rows.to(part.device)][..., columns.to(part.device)] for part in (smooth, hole))
    found = _answer(network, pixels.expand(-1, 3, -1, -1), holes)
    return _scaled(found[..., above : above + height, before : before + width], smooth.shape[1])


def _answer(network: Foreign, pixels: Tensor, holes: Tensor) -> Tensor:
    found = network(pixels, holes)
    if not isinstance(found, Tensor) or found.shape != pixels.shape:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise OperationError(f"the model makes {shape} of {tuple(pixels.shape)}, which fills no holes")
    return found.float()


def _scaled(found: Tensor, channels: int) -> Tensor:
    if bool(found.amax() > 8):  # some LaMa files answer in 0..255
        found = found / 255
    return found.mean(1, keepdim=True) if channels == 1 else found


def _in_pieces(smooth: Tensor, hole: Tensor, wrap: Wrap, network: Foreign, size: tuple[int, int]) -> Tensor:
    """Pieces that overlap by half, each fading into the next. Beyond the frame the picture is mirrored."""
    height, width = smooth.shape[2:]
    total, weights = smooth.new_zeros((1, 3, height, width)), smooth.new_zeros((1, 1, height, width))
    # Rising to the middle, never 0.
    fades = [1 - (torch.arange(side) - (side - 1) / 2).abs() * 2 / (side + 1) for side in size]
    fade = (fades[1][:, None] * fades[0]).to(smooth.device)
    for top in _starts(height, size[1], wrap[1]):
        rows = _around(top, size[1], height, wrap[1]).to(smooth.device)
        for left in _starts(width, size[0], wrap[0]):
            columns = _around(left, size[0], width, wrap[0]).to(smooth.device)
            pixels, holes = (part[:, :, rows][..., columns] for part in (smooth, hole))
            if bool(holes.any()):
                found = _answer(network, pixels.expand(-1, 3, -1, -1), holes)
                inside = (..., rows[:height, None], columns[:width])
                total[inside] += (found * fade)[..., :height, :width]
                weights[inside] += fade[:height, :width]
    return torch.where(weights > 0, total / weights.clamp(min=1e-6), smooth)


def _starts(length: int, side: int, wraps: bool) -> list[int]:
    """Where pieces begin that overlap by half, or a little more."""
    step = max(1, side // 2)
    if wraps:
        count = math.ceil(length / step) if length > side else 1
        return [i * length // count for i in range(count)]
    count = math.ceil(max(0, length - side) / step)
    return [0, *(i * (length - side) // count for i in range(1, count + 1))]


def _around(begin: int, side: int, length: int, wraps: bool) -> Tensor:
    places = torch.arange(begin, begin + side) % (length if wraps else 2 * length)
    return torch.minimum(places, 2 * length - 1 - places)


def _span(any_: Tensor, begin: int, step: int) -> tuple[int, int]:
    """From the first to behind the last that is true, widened to multiples of `step`."""
    where = torch.nonzero(any_)[:, 0]
    first, last = int(where[0]) + begin, int(where[-1]) + begin
    return first // step * step, (last // step + 1) * step


def _places(begin: int, end: int, length: int, wraps: bool, step: int, margin: int) -> tuple[Tensor, int]:
    """Rows or columns of a tile with its margin, and how many of them are before it.

    Round the image where it tiles; else the frame ends it, at a multiple of the network's step.
    """
    end, whole = (math.ceil(place / step) * step for place in (end, length))
    if wraps:
        return torch.arange(begin - margin, end + margin) % length, margin
    first, last = max(0, begin - margin), min(whole, end + margin)
    return torch.arange(first, last).clamp(max=length - 1), begin - first

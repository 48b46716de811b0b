"""Pictures of a few colours: those of a palette, or the best that a picture can be told in."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from pipeline_color.diffusion import diffused, visible
from pipeline_color.straight import REC709_LUMA, color_channels, on_colors
from pipeline_core import Color, Image, OperationError, operation

if TYPE_CHECKING:
    from torch import Tensor

Floats = np.ndarray[Any, Any]
Dither = Annotated[Literal["none", "floyd-steinberg"], Field(description="how what lies between the colours is shown")]
MOST = 4096
"""Colours of a palette."""
BITS = 5
"""Of a channel, when the colours of a picture are counted."""
ROUNDS = 8
AT_ONCE = 2**14


class Quantized(NamedTuple):
    image: Image
    palette: Image


def _mapped(image: Image, palette: Image | None = None, *, colors: list[Color] | None = None, **_: Any) -> Image:
    names = [image.channels[i] for i in color_channels(image)]
    if names not in (["Y"], ["R", "G", "B"]):
        raise OperationError(f"a palette is for R, G and B or Y, the image has {', '.join(names)}: pick them")
    if (palette is None) == (colors is None):
        raise OperationError("the palette is an image or 'colors': give one of them")
    if palette is not None:
        if missing := [name for name in names if name not in palette.channels]:
            raise OperationError(f"the palette has no {', '.join(missing)}: it has {', '.join(palette.channels)}")
        if palette.color != image.color:
            raise OperationError(f"the image is {image.color}, the palette {palette.color}: color_convert one of them")
        if palette.batch not in (1, image.batch):
            raise OperationError(f"{palette.batch} palettes for {image.batch} images: give one, or as many")
    return image.like()


@operation(device="cpu", infer=_mapped, aliases=("map_palette", "remap", "indexed", "convert_indexed", "ImagePalette"))
def palette_map(
    image: Image,
    palette: Image | None = None,
    *,
    colors: Annotated[
        list[Color] | None,
        Field(min_length=1, max_length=MOST, description="the palette, where no image is", examples=[None]),
    ] = None,
    dither: Dither = "none",
) -> Image:
    """Show an image in the colours of a palette: each pixel takes the nearest one.

    The palette is a picture, all of whose colours count (up to 4096 different ones; `quantize` makes one), or a list in the
    image's own colour space. `floyd-steinberg` hands the error of a pixel on to the next ones (Floyd and Steinberg 1976,
    "An adaptive algorithm for spatial greyscale"), so that areas keep their average.

    Convention: nearest by the sum of squared differences of R, G and B as they are; of two equally near the darker.
    Pixels of the palette whose alpha is 0 don't count. Alpha is divided out and multiplied in again.
    """
    _mapped(image, palette, colors=colors)
    return _in_colors(image, _tables(image, palette, colors), dither)


def _reduced(image: Image, *, colors: int = 16, **_: Any) -> Quantized:
    names = [image.channels[i] for i in color_channels(image)]
    if names not in (["Y"], ["R", "G", "B"]):
        raise OperationError(f"quantize takes R, G and B or Y, the image has {', '.join(names)}: pick them")
    return Quantized(
        image.like(), image.like(width=colors, height=1, channels=tuple(names), alpha="none", wrap=(False, False))
    )


@operation(device="cpu", infer=_reduced, aliases=("reduce_colors", "median_cut", "indexed_color", "ImageQuantize"))
def quantize(
    image: Image,
    *,
    colors: Annotated[int, Field(ge=2, le=256, description="how many")] = 16,
    dither: Dither = "none",
) -> Quantized:
    """Tell an image in a few colours, chosen for it.

    Boxes of colours are halved, the widest spread first (median cut: Heckbert 1982, "Color image quantization for frame
    buffer display", by variance), and their means moved to where they fit best (k-means: Lloyd 1982). `palette` is a
    picture of one row; a picture of fewer colours repeats its last. `posterize` rounds each channel by itself.

    Convention: differences are those of R, G and B as they are; pixels count by their alpha. Alpha is divided out and
    multiplied in again.
    """
    empty = _reduced(image, colors=colors).palette
    tables = [_chosen(_item(image, i), colors) for i in range(image.batch)]
    palette = np.stack([np.pad(table, ((0, colors - len(table)), (0, 0)), mode="edge") for table in tables])[:, None]
    return Quantized(_in_colors(image, tables, dither), empty.with_buffer(palette.astype(np.float32)))


def _in_colors(image: Image, tables: list[Floats], dither: str) -> Image:
    """The image in the colours of its tables, one for each item or one for all."""
    import torch

    items = []
    for i in range(image.batch):
        one, table = _item(image, i), tables[i % len(tables)]
        if dither == "floyd-steinberg":
            change = partial(_diffused, table=table, seen=visible(one))
        else:
            change = partial(_nearest_of, table=table)
        items.append(on_colors(one, change).pixels)
    return image.with_pixels(torch.cat(items))


def _diffused(color: Tensor, table: Floats, seen: Any) -> Tensor:
    """Values are held to the palette's range: what it can't show would pile up in errors."""
    low, high = table.min(0), table.max(0)

    def rounded(values: Floats) -> tuple[Floats, Floats]:
        held = np.clip(values, low, high)
        return table[_nearest(held, table)], held

    return diffused(color, rounded, seen)


def _item(image: Image, i: int) -> Image:
    return image.with_buffer(image.buffer[i : i + 1])


def _tables(image: Image, palette: Image | None, colors: list[Color] | None) -> list[Floats]:
    """Palettes of `(n, C)` different colours, the darkest first: one for all, or one for each."""
    names = [image.channels[i] for i in image.color_indices]
    if palette is None:
        rgb = np.array([color[:3] for color in colors or []], np.float32)
        return [np.unique(rgb if len(names) == 3 else rgb @ np.array(REC709_LUMA, np.float32)[:, None], axis=0)]
    found = palette.unassociate().array
    where = [palette.index(name) for name in names]
    tables = []
    for item in found:
        seen = item[..., palette.index("A")] > 0 if palette.coverage != "none" else np.ones(item.shape[:2], bool)
        table = np.unique(item[seen][:, where], axis=0)
        table = table[np.isfinite(table).all(1)]
        if not 1 <= len(table) <= MOST:
            raise OperationError(
                f"the palette has {len(table):,} colours: 1 to {MOST} can be mapped to; quantize it first"
            )
        tables.append(table)
    return tables


def _nearest_of(color: Tensor, table: Floats) -> Tensor:
    import torch

    pixels = color.permute(0, 2, 3, 1).reshape(-1, color.shape[1]).numpy()
    places = np.concatenate([_nearest(pixels[i : i + AT_ONCE], table) for i in range(0, len(pixels), AT_ONCE)])
    return torch.from_numpy(table[places].reshape(len(color), *color.shape[2:], -1)).permute(0, 3, 1, 2)


def _nearest(values: Floats, table: Floats) -> Any:
    """The place of the nearest colour: of |v - t|^2 the part that differs among colours."""
    import torch

    colors, given = torch.from_numpy(table), torch.from_numpy(np.ascontiguousarray(values))
    return torch.addmm(colors.square().sum(1), given, colors.T, alpha=-2).argmin(1).numpy()


def _chosen(image: Image, count: int) -> Floats:
    """Up to `count` colours, the darkest first."""
    straight = image.unassociate()
    values = straight.array[0][..., straight.color_indices].reshape(-1, len(straight.color_indices))
    weights = straight.array[0][..., straight.index("A")].ravel() if image.coverage != "none" else np.ones(len(values))
    counts = np.isfinite(values).all(1) & (weights > 0)
    if not counts.any():
        return np.zeros((1, values.shape[1]), np.float32)
    colors, shares = _counted(values[counts].astype(np.float64), weights[counts].astype(np.float64))
    boxes = [np.arange(len(colors))]
    spreads = [_spread(colors, shares, boxes[0])]
    while len(boxes) < count and max(spreads) > 0:
        box = boxes.pop(widest := int(np.argmax(spreads)))
        spreads.pop(widest)
        for part in _halves(colors, shares, box):
            boxes.append(part)
            spreads.append(_spread(colors, shares, part))
    table = np.stack([np.average(colors[box], axis=0, weights=shares[box]) for box in boxes])
    for _ in range(ROUNDS):
        owner = _nearest(colors, table)
        total = np.bincount(owner, shares, len(table))
        means = np.stack([np.bincount(owner, shares * part, len(table)) for part in colors.T], axis=1)
        table = np.where(total[:, None] > 0, means / np.maximum(total, 1e-300)[:, None], table)
    return np.unique(table.astype(np.float32), axis=0)


def _counted(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """The different colours of a picture, to 5 bits of a channel's range, as the means of their pixels; their weights."""
    low = values.min(0)
    codes = ((values - low) / np.maximum(values.max(0) - low, 1e-30) * (2**BITS - 1)).round().astype(np.int64)
    code = codes @ (1 << (BITS * np.arange(values.shape[1])))
    shares = np.bincount(code, weights)
    found = np.flatnonzero(shares)
    means = [np.bincount(code, weights * part)[found] / shares[found] for part in values.T]
    return np.stack(means, axis=1), shares[found]


def _spread(colors: Floats, shares: Floats, box: Any) -> float:
    """The weighted sum of squared distances from the mean; 0 of one colour."""
    if len(box) < 2:
        return 0.0
    mean = np.average(colors[box], axis=0, weights=shares[box])
    return float((shares[box, None] * np.square(colors[box] - mean)).sum())


def _halves(colors: Floats, shares: Floats, box: Any) -> tuple[Any, Any]:
    """A box cut where half of its weight lies on either side, across the channel that varies most."""
    mean = np.average(colors[box], axis=0, weights=shares[box])
    axis = int(np.argmax((shares[box, None] * np.square(colors[box] - mean)).sum(0)))
    order = box[np.argsort(colors[box, axis], kind="stable")]
    below = np.cumsum(shares[order])
    cut = int(np.clip(np.searchsorted(below, below[-1] / 2) + 1, 1, len(order) - 1))
    return order[:cut], order[cut:]

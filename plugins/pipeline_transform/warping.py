"""Pulling a picture through a map: every output pixel says which place of the picture it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from pipeline_core import AnyRaster, Color, progress
from pipeline_transform.paint import TRANSPARENT, channel_values, encoded
from pipeline_transform.resampling import KERNELS, Filter, Kernel, associated, handed_back, weighted_sums

if TYPE_CHECKING:
    import torch

    Tensors = tuple[torch.Tensor, torch.Tensor]

Point = tuple[float, float]
WarpFilter = Literal["nearest"] | Filter
Fill = Annotated[Color, Field(description="where the picture does not reach")]
Antialias = Annotated[bool, Field(description="widen the filter where the picture shrinks")]
Side = Annotated[int, Field(ge=1, le=2**20, description="pixels of the result; as the image by default")]

TAPS_AT_ONCE = {"cpu": 2**18}  # of 28 bytes each: the working memory of one strip, which stays in a CPU's cache
MANY_TAPS = 2**22  # on accelerators
WIDEST = 8.0  # input pixels per output pixel up to which the filter widens; `resize` does more, and faster
FAR = 2.0**30
NO_STRETCH = None, None, 1.0


class Warp(NamedTuple):
    """A map from output pixels to places of the picture, and the size of the output.

    `source` gets the pixel centres of some rows, x `(1, width)` and y `(rows, 1)`, and gives places that broadcast to
    `(rows, width)`, in pixels; NaN is nowhere.
    """

    width: int
    height: int
    source: Callable[[torch.Tensor, torch.Tensor], Tensors]
    antialias: bool = False
    wrap: tuple[bool, bool] = (False, False)


def warped(image: AnyRaster, warp: Warp, kind: str, fill: Color = TRANSPARENT) -> AnyRaster:
    """The picture through the map, over `fill`, with colours weighted by alpha; its state is handed back as it was."""
    if kind == "nearest":
        return _picked(image, warp, channel_values(fill, image))
    source = associated(image)
    return handed_back(_sampled(source, warp, KERNELS[kind], channel_values(fill, source)), image)


def warped_size(image: AnyRaster, width: int | None, height: int | None, kind: str, **changes: Any) -> AnyRaster:
    """What `warped` gives, as a stand-in."""
    changes = {"wrap": (False, False), **changes}
    return image.like(width=width, height=height, dtype=image.dtype if kind == "nearest" else "float32", **changes)


def _strips(warp: Warp, device: torch.device, rows_at_once: int) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
    """Strips of output rows, each with the centres of its pixels: x `(1, width)`, y `(rows, 1)`."""
    import torch

    exact = torch.float32 if device.type == "mps" else torch.float64  # float32 is a few ten-thousandths off at 4K
    x = torch.arange(warp.width, dtype=exact, device=device)[None, :] + 0.5
    for top in range(0, warp.height, rows_at_once):
        progress(top, warp.height, "rows")
        rows = slice(top, min(top + rows_at_once, warp.height))
        yield rows, x, torch.arange(rows.start, rows.stop, dtype=exact, device=device)[:, None] + 0.5


def _places(warp: Warp, x: torch.Tensor, y: torch.Tensor) -> Tensors:
    """Where these pixels come from, `(rows * width,)` each."""
    column, row = warp.source(x, y)
    shape = (y.numel(), x.numel())
    return column.expand(shape).flatten(), row.expand(shape).flatten()


def _sampled(image: AnyRaster, warp: Warp, kernel: Kernel, background: Any) -> AnyRaster:
    """The warped picture over the background, each pixel a weighted sum of those around the place it comes from."""
    import torch

    pixels = image.pixels
    batch, channels, height, width = pixels.shape
    lines = pixels.permute(2, 3, 0, 1).reshape(height * width, batch * channels)
    behind = torch.from_numpy(background).to(pixels.device).repeat(batch)
    result = pixels.new_empty(warp.height, warp.width, batch, channels)
    taps = TAPS_AT_ONCE.get(pixels.device.type, MANY_TAPS)
    for rows, x, y in _strips(warp, pixels.device, max(1, taps // (warp.width * (2 * kernel.radius) ** 2))):
        columns, lines_at = _places(warp, x, y)
        wide, high, most = _stretches(warp, x, y) if warp.antialias else NO_STRETCH
        for part in _parts(len(columns), int(taps / (4 * kernel.radius**2 * most))):
            column, across = _taps(columns[part], wide, part, kernel, width, wrap=image.wrap[0])
            row, down = _taps(lines_at[part], high, part, kernel, height, wrap=image.wrap[1])
            place = (row[:, :, None] * width + column[:, None, :]).flatten(1)
            weights = (down[:, :, None] * across[:, None, :]).flatten(1)
            sums = weighted_sums(lines, place, weights)
            # What the weights inside the picture lack to 1 is the background's share.
            sums += (1 - weights.sum(1, keepdim=True)) * behind
            result[rows].view(-1, batch, channels)[part] = sums.view(-1, batch, channels)
    return image.with_buffer(result.permute(2, 0, 1, 3), wrap=warp.wrap)


def _parts(count: int, most: int) -> Iterator[slice]:
    return (slice(start, start + max(1, most)) for start in range(0, count, max(1, most)))


def _stretches(warp: Warp, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """How many input pixels one output pixel covers, across and down, at least 1; and the most, both together."""
    import torch

    half = 0.5
    right, left = _places(warp, x + half, y), _places(warp, x - half, y)
    below, above = _places(warp, x, y + half), _places(warp, x, y - half)
    wide, high = (
        torch.hypot(right[axis] - left[axis], below[axis] - above[axis]).nan_to_num(1.0).clamp(1.0, WIDEST)
        for axis in (0, 1)
    )
    one = torch.ones_like(wide)  # a turn is no stretch: rounding errors must not cost a tap
    wide, high = one.where(wide < 1 + 1e-6, wide), one.where(high < 1 + 1e-6, high)
    return wide, high, float(wide.max() * high.max())


def _taps(
    at: torch.Tensor, stretches: torch.Tensor | None, part: slice, kernel: Kernel, size: int, *, wrap: bool
) -> Tensors:
    """The pixels within the kernel's reach of each place, `(N, taps)`, and their weights: 0 outside the picture."""
    import torch

    nowhere = at.isnan()
    at = at.nan_to_num(0.0).remainder(size) if wrap else at.nan_to_num(0.0).clamp(-FAR, FAR)
    stretch: Any = 1 if stretches is None else stretches[part, None]
    count = 2 * kernel.radius if stretches is None else math.ceil(2 * kernel.radius * float(stretches[part].max()))
    first = (at[:, None] - 0.5 - kernel.radius * stretch).ceil()
    steps = torch.arange(count, device=at.device, dtype=torch.int32)
    # Only the fraction goes on in float32: it is what the weights depend on.
    weights = kernel.weight(((steps + (first - at[:, None] + 0.5).to(torch.float32)) / stretch).to(torch.float32))
    weights = weights / weights.sum(1, keepdim=True)
    place = first.to(torch.int32) + steps
    inside = ~nowhere[:, None] if wrap else (place >= 0) & (place < size) & ~nowhere[:, None]
    return place % size if wrap else place.clamp(0, size - 1), weights.where(inside, weights.new_zeros(()))


def _picked(image: AnyRaster, warp: Warp, background: Any) -> AnyRaster:
    """The warped picture in its own dtype, each pixel the one under the place it comes from."""
    import numpy as np
    import torch

    buffer = image.buffer
    if isinstance(buffer, np.ndarray):
        buffer = torch.from_numpy(np.array(buffer))
    behind = torch.from_numpy(encoded(background, image.dtype)).to(buffer.device)
    result = buffer.new_empty(image.batch, warp.height, warp.width, buffer.shape[3])
    for rows, x, y in _strips(warp, buffer.device, max(1, MANY_TAPS // 16 // warp.width)):
        places = _places(warp, x, y)
        outside = places[0].isnan() | places[1].isnan()
        column, row = (place.nan_to_num(0.0).clamp(-FAR, FAR).floor().long() for place in places)
        if not image.wrap[0]:
            outside |= (column < 0) | (column >= image.width)
        if not image.wrap[1]:
            outside |= (row < 0) | (row >= image.height)
        strip = buffer[:, row % image.height, column % image.width]
        strip = torch.where(outside[:, None], behind, strip)
        result[:, rows] = strip.reshape(image.batch, -1, warp.width, buffer.shape[3])
    return image.with_buffer(result, wrap=warp.wrap)

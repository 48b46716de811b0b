"""Warps in torch: on accelerators, and everywhere where a filter widens because the picture shrinks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pipeline_core import AnyRaster, progress
from pipeline_transform.moves import movable
from pipeline_transform.paint import encoded
from pipeline_transform.resampling import Kernel, weighted_sums

if TYPE_CHECKING:
    from pipeline_transform.warping import Warp

Tensors = tuple[torch.Tensor, torch.Tensor]

TAPS_AT_ONCE = {"cpu": 2**18}  # of 28 bytes each: the working memory of one strip, which stays in a CPU's cache
MANY_TAPS = 2**22  # on accelerators
WIDEST = 8.0  # input pixels per output pixel up to which the filter widens; `resize` does more, and faster
FAR = 2.0**30


class Sampler:
    """Makes parts of a warped picture, each pixel a weighted sum of those around the place it comes from."""

    def __init__(self, image: AnyRaster, warp: Warp, kernel: Kernel, background: Any) -> None:
        pixels = image.pixels
        batch, channels, height, width = pixels.shape
        self.device, self.wrap, self.size = pixels.device, image.wrap, (width, height)
        self._warp, self._kernel = warp, kernel
        self._lines = pixels.permute(2, 3, 0, 1).reshape(height * width, batch * channels)
        self._behind = torch.from_numpy(background).to(pixels.device).repeat(batch)
        self._taps_at_once = TAPS_AT_ONCE.get(pixels.device.type, MANY_TAPS)
        self._shape = batch, channels

    @property
    def rows_at_once(self) -> int:
        return max(1, self._taps_at_once // (self._warp.width * (2 * self._kernel.radius) ** 2))

    def part(self, rows: slice, columns: slice) -> torch.Tensor:
        """These rows and columns of the result over the background, `(rows, columns, B, C)`."""
        kernel, warp, (width, height) = self._kernel, self._warp, self.size
        x, y = centers(columns, rows, self.device)
        columns_at, lines_at = _places(warp, x, y)
        wide, high, most = _stretches(warp, x, y) if warp.antialias else (None, None, 1.0)
        result = self._lines.new_empty(len(columns_at), self._lines.shape[1])
        for part in _parts(len(columns_at), int(self._taps_at_once / (4 * kernel.radius**2 * most))):
            column, across = _taps(columns_at[part], wide, part, kernel, width, wrap=self.wrap[0])
            row, down = _taps(lines_at[part], high, part, kernel, height, wrap=self.wrap[1])
            place = (row[:, :, None] * width + column[:, None, :]).flatten(1)
            weights = (down[:, :, None] * across[:, None, :]).flatten(1)
            sums = weighted_sums(self._lines, place, weights)
            # What the weights inside the picture lack to 1 is the background's share.
            sums += (1 - weights.sum(1, keepdim=True)) * self._behind
            result[part] = sums
        return result.view(y.numel(), x.numel(), *self._shape)


def sampled(image: AnyRaster, warp: Warp, kernel: Kernel, background: Any) -> AnyRaster:
    """The warped picture over the background."""
    sampler = Sampler(image, warp, kernel, background)
    result = torch.empty(warp.height, warp.width, image.batch, len(image.channels), device=sampler.device)
    for rows in _strips(warp, sampler.rows_at_once):
        result[rows] = sampler.part(rows, slice(0, warp.width))
    return image.with_buffer(result.permute(2, 0, 1, 3), wrap=warp.wrap)


def picked(image: AnyRaster, warp: Warp, background: Any) -> AnyRaster:
    """The warped picture in its own dtype, each pixel the one under the place it comes from."""
    buffer = image.buffer
    if isinstance(buffer, np.ndarray):
        buffer = torch.from_numpy(np.array(buffer))
    dtype, buffer = buffer.dtype, movable(buffer)
    behind = movable(torch.from_numpy(encoded(background, image.dtype))).to(buffer.device)
    result = buffer.new_empty(image.batch, warp.height, warp.width, buffer.shape[3])
    for rows in _strips(warp, max(1, MANY_TAPS // 16 // warp.width)):
        places = _places(warp, *centers(slice(0, warp.width), rows, buffer.device))
        outside = places[0].isnan() | places[1].isnan()
        column, row = (place.nan_to_num(0.0).clamp(-FAR, FAR).floor().long() for place in places)
        if not image.wrap[0]:
            outside |= (column < 0) | (column >= image.width)
        if not image.wrap[1]:
            outside |= (row < 0) | (row >= image.height)
        strip = buffer[:, row % image.height, column % image.width]
        strip = torch.where(outside[:, None], behind, strip)
        result[:, rows] = strip.reshape(image.batch, -1, warp.width, buffer.shape[3])
    return image.with_buffer(result.view(dtype), wrap=warp.wrap)


def centers(columns: slice, rows: slice, device: torch.device) -> Tensors:
    """The centres of pixels: x `(1, columns)`, y `(rows, 1)`."""
    exact = torch.float32 if device.type == "mps" else torch.float64  # float32 is a few ten-thousandths off at 4K
    x, y = (torch.arange(part.start, part.stop, dtype=exact, device=device) + 0.5 for part in (columns, rows))
    return x[None, :], y[:, None]


def _strips(warp: Warp, rows_at_once: int) -> Iterator[slice]:
    for top in range(0, warp.height, rows_at_once):
        progress(top, warp.height, "rows")
        yield slice(top, min(top + rows_at_once, warp.height))


def _places(warp: Warp, x: torch.Tensor, y: torch.Tensor) -> Tensors:
    """Where these pixels come from, `(rows * width,)` each."""
    column, row = warp.source(x, y)
    shape = (y.numel(), x.numel())
    return column.expand(shape).flatten().to(x.dtype), row.expand(shape).flatten().to(x.dtype)


def _parts(count: int, most: int) -> Iterator[slice]:
    return (slice(start, start + max(1, most)) for start in range(0, count, max(1, most)))


def _stretches(warp: Warp, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """How many input pixels one output pixel covers, across and down, at least 1; and the most, both together."""
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

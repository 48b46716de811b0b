"""Filters, and weighted sums of pixels: what resizing and rotating share.

A pixel i covers i to i + 1, its centre is at i + 0.5. All weights are made in float64 and add up to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from pipeline_core import AnyRaster, Image

if TYPE_CHECKING:
    import torch

Array = Any
"""A numpy array or a torch tensor."""
TOGETHER = 16
VALUES = 64
"""Sums and values of each in one matrix product, as many as one core multiplies by itself."""
Filter = Literal["bilinear", "bicubic", "mitchell", "lanczos3"]


@dataclass(frozen=True)
class Kernel:
    """A filter: its weight at a distance in pixels, 0 from `radius` on."""

    radius: int
    weight: Callable[[Array], Array]


def namespace(array: Array) -> Any:
    """numpy or torch, whichever the array is of."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def _triangle(x: Array) -> Array:
    return (1 - abs(x)).clip(min=0)


def _cubic(b: float, c: float) -> Callable[[Array], Array]:
    """The family of D. Mitchell and A. Netravali, "Reconstruction Filters in Computer Graphics", SIGGRAPH 1988."""

    def weight(x: Array) -> Array:
        xp, t = namespace(x), abs(x)
        near = ((12 - 9 * b - 6 * c) * t + (-18 + 12 * b + 6 * c)) * t * t + (6 - 2 * b)
        far = (((-b - 6 * c) * t + (6 * b + 30 * c)) * t + (-12 * b - 48 * c)) * t + (8 * b + 24 * c)
        return xp.where(t < 1, near, xp.where(t < 2, far, 0.0)) / 6

    return weight


def _lanczos(lobes: int) -> Callable[[Array], Array]:
    """sinc(x) sinc(x / lobes): C. Duchon, "Lanczos Filtering in One and Two Dimensions", J. Appl. Meteorology, 1979."""

    def weight(x: Array) -> Array:
        xp = namespace(x)
        return xp.where(abs(x) < lobes, xp.sinc(x) * xp.sinc(x / lobes), 0.0)

    return weight


KERNELS: dict[str, Kernel] = {
    "bilinear": Kernel(1, _triangle),
    "bicubic": Kernel(2, _cubic(0, 0.5)),  # Catmull-Rom; Keys' a = -0.5
    "mitchell": Kernel(2, _cubic(1 / 3, 1 / 3)),
    "lanczos3": Kernel(3, _lanczos(3)),
}


@dataclass(frozen=True)
class Span:
    """The stretch of an axis, from `start` over `length` input pixels, that becomes `count` output pixels."""

    start: float
    length: float
    count: int

    @property
    def step(self) -> float:
        """Input pixels per output pixel."""
        return self.length / self.count


@dataclass(frozen=True)
class Sums:
    """What each pixel along an axis of a result is made of: `place` and `weights`, `(count, taps)`; weights add up to 1.

    With `wrap` places lie beyond the ends of the axis too, where the picture goes on from the other end.
    """

    place: np.ndarray[Any, np.dtype[np.int64]]
    weights: np.ndarray[Any, np.dtype[np.float32]]
    size: int
    """Pixels of the axis that is resampled."""

    @classmethod
    def of(cls, span: Span, size: int, kind: str, *, antialias: bool, wrap: bool) -> Sums:
        """Pixels beyond the ends are left out of the sum and the rest weighted up, unless it wraps."""
        if kind == "area":
            place, weights = _overlaps(span)
        else:
            place, weights = _taps(span, KERNELS[kind], stretch=max(1.0, span.step) if antialias else 1.0)
        if not wrap:
            weights = np.where((place >= 0) & (place < size), weights, 0.0)
            place = place.clip(0, size - 1)
        return cls(place, (weights / weights.sum(1, keepdims=True)).astype(np.float32), size)

    def part(self, start: int, stop: int) -> Sums:
        """Of some pixels of the result, and counted from the first pixel that they need."""
        first, last = self.needs(start, stop)
        return Sums(self.place[start:stop] - first, self.weights[start:stop], last - first)

    def needs(self, start: int, stop: int) -> tuple[int, int]:
        place = self.place[start:stop]
        return int(place.min()), int(place.max()) + 1

    @cached_property
    def _blocks(self) -> list[_Block]:
        """Of a whole axis, whose strips all ask for them."""
        return _blocks(self.place % self.size, self.weights)

    def along(self, buffer: Array, axis: int) -> Array:
        """A `(B, H, W, C)` float array or tensor with one axis resampled."""
        lines = namespace(buffer).moveaxis(buffer, axis, 0)
        flat, place = lines.reshape(self.size, -1), self.place % self.size
        if isinstance(flat, np.ndarray):
            # A product with a weight of 0 would carry what is not finite to its neighbours.
            in_blocks = axis == 2 and np.isfinite(flat).all()
            sums = _sums_of_columns(flat, self._blocks) if in_blocks else _sums_of_rows(flat, place, self.weights)
        else:
            import torch

            sums = weighted_sums(flat, torch.from_numpy(place), torch.from_numpy(self.weights))
        return namespace(buffer).moveaxis(sums.reshape(len(place), *lines.shape[1:]), 0, axis)


def resampled(buffer: Array, axis: int, span: Span, kind: str, *, antialias: bool, wrap: bool) -> Array:
    """A `(B, H, W, C)` float array or tensor with one axis resampled."""
    return Sums.of(span, buffer.shape[axis], kind, antialias=antialias, wrap=wrap).along(buffer, axis)


def _taps(span: Span, kernel: Kernel, stretch: float) -> tuple[Array, Array]:
    """For each output pixel the input pixels within the kernel's reach, `(count, taps)`, and their weights."""
    center = span.start + (np.arange(span.count) + 0.5) * span.length / span.count
    reach = kernel.radius * stretch
    first = np.ceil(center - reach - 0.5)
    place = first[:, None] + np.arange(math.ceil(2 * reach) + 1)
    return place.astype(np.int64), kernel.weight((place + 0.5 - center[:, None]) / stretch)


def _overlaps(span: Span) -> tuple[Array, Array]:
    """As `_taps`; the weight is how much of an input pixel the output pixel covers."""
    edges = span.start + np.arange(span.count + 1) * span.length / span.count
    low, high = edges[:-1, None], edges[1:, None]
    place = np.floor(low) + np.arange(math.ceil(span.step) + 1)
    return place.astype(np.int64), (np.minimum(high, place + 1) - np.maximum(low, place)).clip(min=0)


def _sums_of_rows(lines: Array, place: Array, weights: Array) -> Array:
    """As `weighted_sums`, of arrays: long lines, of which a handful make one."""
    sums = np.empty((len(place), lines.shape[1]), np.float32)
    for at, weight, out in zip(place, weights, sums, strict=True):
        side_by_side = at[-1] - at[0] == len(at) - 1
        np.dot(weight, lines[at[0] : at[-1] + 1] if side_by_side else lines[at], out=out)
    return sums


class _Block(NamedTuple):
    """Some sums next to each other as one product: `matrix` times the lines `used`."""

    sums: slice
    used: slice | np.ndarray[Any, np.dtype[np.int64]]
    matrix: np.ndarray[Any, np.dtype[np.float32]]


def _blocks(place: Array, weights: Array) -> list[_Block]:
    found = []
    for start in range(0, len(place), TOGETHER):
        places = place[start : start + TOGETHER]
        used, inside = np.unique(places, return_inverse=True)
        matrix = np.zeros((len(places), len(used)), np.float32)
        np.add.at(
            matrix, (np.arange(len(places))[:, None], inside.reshape(places.shape)), weights[start : start + TOGETHER]
        )
        side_by_side = used[-1] - used[0] == len(used) - 1
        lines = slice(int(used[0]), int(used[-1]) + 1) if side_by_side else used
        found.append(_Block(slice(start, start + len(places)), lines, matrix))
    return found


def _sums_of_columns(lines: Array, blocks: list[_Block]) -> Array:
    """As `weighted_sums`, of finite arrays: columns of a few rows each, multiplied in blocks of one size.

    So a column comes out the same, to the last bit, whatever rows it is computed with.
    """
    values = lines.shape[1]
    padded = lines
    if values % VALUES:
        padded = np.zeros((len(lines), -(-values // VALUES) * VALUES), np.float32)
        padded[:, :values] = lines
    sums = np.empty((blocks[-1].sums.stop, padded.shape[1]), np.float32)
    for block in blocks:
        few = padded[block.used]
        for first in range(0, padded.shape[1], VALUES):
            part = slice(first, first + VALUES)
            sums[block.sums, part] = block.matrix @ few[:, part]
    return sums[:, :values]


def weighted_sums(lines: torch.Tensor, place: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """For each row of `place` and `weights`, `(N, taps)`, the sum of those `lines`, `(count, values)`: `(N, values)`.

    That is what torch calls an embedding bag, and has a fast kernel for on every device.
    """
    import torch

    number = torch.int32 if lines.shape[0] < 2**31 else torch.int64
    return torch.nn.functional.embedding_bag(
        place.to(lines.device, number), lines, per_sample_weights=weights.to(lines.device), mode="sum"
    )


def associated(image: AnyRaster) -> AnyRaster:
    """Ready to be blended with its neighbours: colour multiplied by alpha where there is alpha."""
    return image.associate() if isinstance(image, Image) else image


def handed_back(result: AnyRaster, given: AnyRaster) -> AnyRaster:
    """The result in the alpha state that the image was given in."""
    if isinstance(result, Image) and isinstance(given, Image):
        return result.with_alpha_state(given.alpha)
    return result

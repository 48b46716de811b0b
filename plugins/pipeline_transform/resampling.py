"""Filters, and weighted sums of pixels: what resizing and rotating share.

A pixel i covers i to i + 1, its centre is at i + 0.5. All weights are made in float64 and add up to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline_core import AnyRaster, Image
from pipeline_transform import products
from pipeline_transform.moves import Y_AXIS

if TYPE_CHECKING:
    import torch

Array = Any
"""A numpy array or a torch tensor."""
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
    period: int = 1
    """After so many sums weights are the same again, a whole number of pixels further."""

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
        period = Fraction(span.length).limit_denominator(1 << 20) / span.count
        return cls(place, (weights / weights.sum(1, keepdims=True)).astype(np.float32), size, period.denominator)

    def part(self, start: int, stop: int) -> Sums:
        """Of some pixels of the result, and counted from the first pixel that they need."""
        first, last = self.needs(start, stop)
        return Sums(self.place[start:stop] - first, self.weights[start:stop], last - first, self.period)

    def needs(self, start: int, stop: int) -> tuple[int, int]:
        place = self.place[start:stop]
        return int(place.min()), int(place.max()) + 1

    def along(self, buffer: torch.Tensor, axis: int) -> torch.Tensor:
        """A `(B, H, W, C)` float tensor with one axis resampled."""
        import torch

        lines = torch.moveaxis(buffer, axis, 0)
        place, weights = torch.from_numpy(self.place % self.size), torch.from_numpy(self.weights)
        sums = weighted_sums(lines.reshape(self.size, -1), place, weights)
        return torch.moveaxis(sums.reshape(len(place), *lines.shape[1:]), 0, axis)

    def of_planes(self, planes: Array, axis: int, *, finite: bool) -> Array:
        """`(P, H, W)` float arrays with one axis resampled. `finite` says that all is: a product with a weight of 0 would
        carry what is not to its neighbours."""
        if not finite:
            lines = planes if axis == Y_AXIS else planes.transpose(0, 2, 1)
            sums = products.one_by_one(lines, self.place % self.size, self.weights)
            return sums if axis == Y_AXIS else sums.transpose(0, 2, 1)
        low, high = self._span
        if (low, high) != (0, self.size):
            planes = planes.take(np.arange(low, high) % self.size, axis)
        if axis == Y_AXIS:
            return products.down(planes, self._of_rows, len(self.place))
        return products.across(planes, self._of_columns, len(self.place))

    @cached_property
    def _span(self) -> tuple[int, int]:
        """The lines that products are counted from and end with: more than there are where it wraps."""
        low, high = self.needs(0, len(self.place))
        return min(low, 0), max(high, self.size)

    @cached_property
    def _of_rows(self) -> list[products.Run]:
        count, taps = self.place.shape
        step = max(1e-6, (int(self.place[-1, 0]) - int(self.place[0, 0])) / count)
        return self._runs(products.sums_down(taps, step, self.period))

    @cached_property
    def _of_columns(self) -> list[products.Run]:
        return self._runs(products.sums_across(self.period))

    def _runs(self, size: int) -> list[products.Run]:
        low, high = self._span
        return products.runs(self.place - low, self.weights, high - low, size)


def summed(planes: Array, steps: Sequence[tuple[Sums, int]]) -> Array:
    """`(P, H, W)` float arrays resampled along these axes, one after the other."""
    with np.errstate(invalid="ignore", over="ignore"):
        result = planes
        for sums, axis in steps:
            result = sums.of_planes(result, axis, finite=True)
        if math.isfinite(result.sum()):
            return result
        for sums, axis in steps:
            planes = sums.of_planes(planes, axis, finite=False)
        return planes


def resampled(buffer: torch.Tensor, axis: int, span: Span, kind: str, *, antialias: bool, wrap: bool) -> torch.Tensor:
    """A `(B, H, W, C)` float tensor with one axis resampled."""
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

"""Filters, and weighted sums of pixels: what resizing and rotating share.

A pixel i covers i to i + 1, its centre is at i + 0.5. All weights are made in float64 and add up to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline_core import AnyRaster, Image

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
    """What each pixel along an axis of a result is made of: of `number` pixels from `first` on, by the first `weights` of its row.

    Weights add up to 1. Where the picture tiles, pixels lie beyond the ends of the axis too, and it goes on from the other.
    """

    first: np.ndarray[Any, np.dtype[np.int32]]
    number: np.ndarray[Any, np.dtype[np.int32]]
    weights: np.ndarray[Any, np.dtype[np.float32]]
    size: int
    """Pixels of the axis that is resampled."""

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, span: Span, size: int, kind: str, *, antialias: bool, wrap: bool) -> Sums:
        """Pixels beyond the ends are left out of the sum and the rest weighted up, unless it wraps."""
        if span == Span(0.0, size, size):  # as it is, whatever the filter would make of it
            return cls._trimmed(np.arange(size)[:, None], np.ones((size, 1)), size)
        if kind == "area":
            place, weights = _overlaps(span)
        else:
            place, weights = _taps(span, KERNELS[kind], stretch=max(1.0, span.step) if antialias else 1.0)
        if not wrap:
            weights = np.where((place >= 0) & (place < size), weights, 0.0)
        return cls._trimmed(place, weights / weights.sum(1, keepdims=True), size)

    @classmethod
    def _trimmed(cls, place: Array, weights: Array, size: int) -> Sums:
        """Without weights of 0 at the ends, but for those that keep both ends from ever going back along the axis."""
        weights = weights.astype(np.float32)
        count, taps = weights.shape
        first = place[np.arange(count), (weights != 0).argmax(1)]
        last = place[np.arange(count), taps - 1 - (weights[:, ::-1] != 0).argmax(1)]
        first = np.minimum.accumulate(first[::-1])[::-1]
        number = np.maximum.accumulate(last) - first + 1
        moved = (first - place[:, 0])[:, None] + np.arange(number.max())
        kept = np.ascontiguousarray(np.take_along_axis(weights, moved.clip(max=taps - 1), 1))
        return cls(first.astype(np.int32), number.astype(np.int32), kept, size)

    @cached_property
    def block(self) -> int:
        """How many pixels each is the mean of, none of them shared; 0 where it is something else."""
        count = int(self.number[0])
        apart = (self.number == count).all() and (np.diff(self.first) == count).all()
        alike = apart and (self.weights[:, :count] == self.weights[0, 0]).all()
        return count if alike and self.first[0] >= 0 and self.first[-1] + count <= self.size else 0

    @cached_property
    def divided(self) -> dict[tuple[int, int], tuple[Array, int]]:
        """What `compiled` remembers of it, by numbers of samples and of channels: it is asked for every few rows."""
        return {}

    def needs(self, start: int, stop: int) -> tuple[int, int]:
        """The pixels that some of the result are made of."""
        return int(self.first[start]), int(self.first[stop - 1] + self.number[stop - 1])

    def along(self, buffer: torch.Tensor, axis: int) -> torch.Tensor:
        """A `(B, H, W, C)` float tensor with one axis resampled."""
        import torch

        lines = torch.moveaxis(buffer, axis, 0)
        taps = np.arange(self.weights.shape[1])
        inside = taps < self.number[:, None]
        place = np.where(inside, self.first[:, None] + taps, 0).astype(np.int64) % self.size
        weights = torch.from_numpy(np.where(inside, self.weights, np.float32(0)))
        sums = weighted_sums(lines.reshape(self.size, -1), torch.from_numpy(place), weights)
        return torch.moveaxis(sums.reshape(len(place), *lines.shape[1:]), 0, axis)

    def of_lines(self, lines: Array, low: int, start: int, stop: int) -> Array:
        """These sums of float arrays `(count, ...)`, of which the first is that of pixel `low`; each of its own alone."""
        made = np.empty((stop - start, *lines.shape[1:]), np.float32)
        flat, out = lines.reshape(len(lines), -1), made.reshape(stop - start, -1)
        for i in range(start, stop):
            place = (self.first[i] - low + np.arange(self.number[i])) % len(lines)
            np.matmul(self.weights[i, : self.number[i]], flat[place], out=out[i - start])
        return made


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

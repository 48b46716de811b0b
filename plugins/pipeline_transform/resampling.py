"""Filters, and weighted sums of pixels: what resizing and rotating share.

A pixel i covers i to i + 1, its centre is at i + 0.5. All weights are made in float64 and add up to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline_core import AnyRaster, Image

if TYPE_CHECKING:
    import torch

Filter = Literal["bilinear", "bicubic", "mitchell", "lanczos3"]


@dataclass(frozen=True)
class Kernel:
    """A filter: its weight at a distance in pixels, 0 from `radius` on."""

    radius: int
    weight: Callable[[torch.Tensor], torch.Tensor]


def _triangle(x: torch.Tensor) -> torch.Tensor:
    return (1 - x.abs()).clamp(min=0)


def _cubic(b: float, c: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """The family of D. Mitchell and A. Netravali, "Reconstruction Filters in Computer Graphics", SIGGRAPH 1988."""

    def weight(x: torch.Tensor) -> torch.Tensor:
        t = x.abs()
        near = ((12 - 9 * b - 6 * c) * t + (-18 + 12 * b + 6 * c)) * t * t + (6 - 2 * b)
        far = (((-b - 6 * c) * t + (6 * b + 30 * c)) * t + (-12 * b - 48 * c)) * t + (8 * b + 24 * c)
        return near.where(t < 1, far.where(t < 2, far.new_zeros(()))) / 6

    return weight


def _lanczos(lobes: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """sinc(x) sinc(x / lobes): C. Duchon, "Lanczos Filtering in One and Two Dimensions", J. Appl. Meteorology, 1979."""

    def weight(x: torch.Tensor) -> torch.Tensor:
        return (x.sinc() * (x / lobes).sinc()).where(x.abs() < lobes, x.new_zeros(()))

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

    place: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def of(cls, span: Span, size: int, kind: str, *, antialias: bool, wrap: bool) -> Sums:
        """Pixels beyond the ends are left out of the sum and the rest weighted up, unless it wraps."""
        import torch

        if kind == "area":
            place, weights = _overlaps(span)
        else:
            place, weights = _taps(span, KERNELS[kind], stretch=max(1.0, span.step) if antialias else 1.0)
        if not wrap:
            weights = weights.where((place >= 0) & (place < size), 0.0)
            place = place.clamp(0, size - 1)
        return cls(place, (weights / weights.sum(1, keepdim=True)).to(torch.float32))

    def part(self, start: int, stop: int) -> Sums:
        """Of some pixels of the result, and counted from the first pixel that they need."""
        place = self.place[start:stop]
        return Sums(place - place.min(), self.weights[start:stop])

    def needs(self, start: int, stop: int) -> tuple[int, int]:
        place = self.place[start:stop]
        return int(place.min()), int(place.max()) + 1

    def along(self, buffer: torch.Tensor, axis: int) -> torch.Tensor:
        """A `(B, H, W, C)` float tensor with one axis resampled."""
        lines = buffer.movedim(axis, 0)
        sums = weighted_sums(lines.reshape(buffer.shape[axis], -1), self.place % buffer.shape[axis], self.weights)
        return sums.reshape(len(self.place), *lines.shape[1:]).movedim(0, axis)


def resampled(buffer: torch.Tensor, axis: int, span: Span, kind: str, *, antialias: bool, wrap: bool) -> torch.Tensor:
    """A `(B, H, W, C)` float tensor with one axis resampled."""
    return Sums.of(span, buffer.shape[axis], kind, antialias=antialias, wrap=wrap).along(buffer, axis)


def _taps(span: Span, kernel: Kernel, stretch: float) -> tuple[torch.Tensor, torch.Tensor]:
    """For each output pixel the input pixels within the kernel's reach, `(count, taps)`, and their weights."""
    import torch

    center = span.start + (torch.arange(span.count, dtype=torch.float64) + 0.5) * span.length / span.count
    reach = kernel.radius * stretch
    first = (center - reach - 0.5).ceil()
    place = first[:, None] + torch.arange(math.ceil(2 * reach) + 1)
    return place.long(), kernel.weight((place + 0.5 - center[:, None]) / stretch)


def _overlaps(span: Span) -> tuple[torch.Tensor, torch.Tensor]:
    """As `_taps`; the weight is how much of an input pixel the output pixel covers."""
    import torch

    edges = span.start + torch.arange(span.count + 1, dtype=torch.float64) * span.length / span.count
    low, high = edges[:-1, None], edges[1:, None]
    place = low.floor() + torch.arange(math.ceil(span.step) + 1)
    return place.long(), (torch.minimum(high, place + 1) - torch.maximum(low, place)).clamp(min=0)


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

"""Filters, and weighted sums of pixels: what resizing and rotating share.

A pixel i covers i to i + 1, its centre is at i + 0.5. All weights are made in float64 and add up to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import cv2
import numpy as np

from pipeline_core import AnyRaster, Image, empty
from pipeline_transform.moves import X_AXIS

if TYPE_CHECKING:
    import torch

Array = Any
"""A numpy array or a torch tensor."""
SUMS, LINES = 32, 48
"""In one matrix product: sums, and the lines of which they are made, unless 8 sums are made of more."""
VALUES = 64
"""Of a line across, in one product: always as many, so that a row comes out the same whatever rows are beside it."""
ONE_CORE = 1 << 18
"""Products of two numbers in a matrix product that numpy leaves to the core that asks for it."""
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

    def along(self, buffer: Array, axis: int) -> Array:
        """A `(B, H, W, C)` float array or tensor with one axis resampled."""
        if isinstance(buffer, np.ndarray):
            with np.errstate(invalid="ignore", over="ignore"):
                # A product with a weight of 0 would carry what is not finite to its neighbours.
                add = self._multiply if math.isfinite(buffer.sum()) else self._add
            return (_across if axis == X_AXIS else _down)(add, buffer, len(self.place))
        import torch

        lines = torch.moveaxis(buffer, axis, 0)
        place, weights = torch.from_numpy(self.place % self.size), torch.from_numpy(self.weights)
        sums = weighted_sums(lines.reshape(self.size, -1), place, weights)
        return torch.moveaxis(sums.reshape(len(place), *lines.shape[1:]), 0, axis)

    def _add(self, lines: Array, sums: Array) -> None:
        """`sums` become those of the lines, each `(count, values)`."""
        for at, weight, out in zip(self.place % self.size, self.weights, sums, strict=True):
            np.dot(weight, lines[at], out=out)

    def _multiply(self, lines: Array, sums: Array) -> None:
        """As `_add`, a few sums at a time; all that is not finite is passed on to neighbours."""
        low, high = self._span
        if (low, high) != (0, self.size):
            lines = lines[np.arange(low, high) % self.size]
        products = self._products
        values = max(16, ONE_CORE // products[0].matrix.size // 16 * 16)
        for left in range(0, lines.shape[1], values):
            part, into = lines[:, left : left + values], sums[:, left : left + values]
            for used, matrix, made in products:
                np.matmul(matrix, part[used], out=into[made])

    @cached_property
    def _span(self) -> tuple[int, int]:
        """The lines that products are counted from and end with: more than there are where it wraps."""
        low, high = self.needs(0, len(self.place))
        return min(low, 0), max(high, self.size)

    @cached_property
    def _products(self) -> list[_Product]:
        """All of one size but the last, so that they are made in one go."""
        count, taps = self.place.shape
        (low, high), place = self._span, self.place - self._span[0]
        step = max(1e-6, (int(place[-1, 0]) - int(place[0, 0])) / count)
        together = int(min(SUMS, max(8, (LINES - taps) / step)))
        starts = np.arange(0, count, together)
        first = np.minimum.reduceat(place.min(1), starts)
        length = int((np.maximum.reduceat(place.max(1), starts) - first).max()) + 1
        first = np.minimum(first, high - low - length)
        block, sums = np.divmod(np.arange(count), together)
        matrices = np.zeros((len(starts), together, length), np.float32)
        np.add.at(matrices, (block[:, None], sums[:, None], place - first[block, None]), self.weights)
        return [
            _Product(slice(used, used + length), matrix[: count - start], slice(start, start + together))
            for used, matrix, start in zip(first.tolist(), matrices, starts.tolist(), strict=True)
        ]


class _Product(NamedTuple):
    """Some sums next to each other: `matrix` times the lines `used`."""

    used: slice
    matrix: np.ndarray[Any, np.dtype[np.float32]]
    sums: slice


Adding = Callable[[Array, Array], None]


def _down(add: Adding, buffer: Array, count: int) -> Array:
    """The rows of a `(B, H, W, C)` array are the lines."""
    sums = empty((len(buffer), count, *buffer.shape[2:]))
    for item, out in zip(buffer, sums, strict=True):
        add(item.reshape(len(item), -1), out.reshape(count, -1))
    return sums


def _across(add: Adding, buffer: Array, count: int) -> Array:
    """The columns are the lines: some rows at a time are turned, and the sums turned back."""
    batch, height, width, channels = buffer.shape
    rows, sums = buffer.reshape(batch * height, width, channels), empty((batch * height, count, channels))
    together = max(1, VALUES // channels)
    lines, made = (np.zeros((size, together, channels), np.float32) for size in (width, count))
    for start in range(0, len(rows), together):
        some = slice(max(0, min(start, len(rows) - together)), start + together)
        used = len(rows[some])
        _turn(rows[some], lines[:, :used])
        add(lines.reshape(width, -1), made.reshape(count, -1))
        _turn(made[:, :used], sums[some])
    return sums.reshape(batch, height, count, channels)


def _turn(pixels: Array, out: Array) -> None:
    """`(H, W, C)` as `(W, H, C)`."""
    if pixels.shape[2] <= 4:
        cv2.transpose(pixels, out)
    else:
        out[:] = pixels.swapaxes(0, 1)


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

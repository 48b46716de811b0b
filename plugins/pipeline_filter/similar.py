"""Means over the neighbours that look alike: bilateral filter and non-local means."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, each_tile, operation
from pipeline_core import opencv as cv2
from pipeline_filter.arrays import extended
from pipeline_filter.associated import Floats, as_floats, associated, guides, handed_back

TILE = (128, 128)
OPENCV_RANGE = 20


def _bilateral_reach(sigma_space: float) -> int:
    return max(1, round(1.5 * sigma_space))


@operation(
    device="cpu",
    infer=as_floats,
    support=lambda sigma_space, **_: _bilateral_reach(sigma_space),
    aliases=("bilateral_filter", "surface_blur", "selective_gaussian_blur", "Bilateral"),
)
def bilateral(
    image: AnyRaster,
    *,
    sigma_color: Annotated[float, Field(gt=0, description="difference of values that still counts as alike")] = 0.1,
    sigma_space: Annotated[float, Field(gt=0, le=64, description="standard deviation in pixels")] = 2.0,
) -> AnyRaster:
    """Smooth and keep edges: a mean over neighbours that are near and of a similar colour.

    The bilateral filter of C. Tomasi and R. Manduchi (ICCV 1998): weights exp(-d^2 / 2 sigma_space^2 - D^2 / 2
    sigma_color^2), with d the distance in pixels and D the sum of the differences in R, G, B (or Y) and alpha. The same
    weights serve all channels, so that no colour moves against its alpha or against another colour.
    On values weighted by alpha; nothing is clipped. For HDR choose `sigma_color` for the light that matters, or filter
    an encoded image.

    Convention: differences are added up and the neighbourhood is a disc of 1.5 `sigma_space`, as in OpenCV. Beyond the frame the edge pixels are
    repeated, or the image tiles where it wraps.
    """
    colors, alpha = guides(image)
    return _means(image, _Likeness(colors, alpha, sigma_color, _bilateral_reach(sigma_space), space=sigma_space))


@operation(
    device="cpu",
    infer=as_floats,
    support=lambda search, patch, **_: search + patch,
    aliases=("non_local_means", "nlmeans", "noise_reduction", "degrain", "Denoise"),
)
def denoise(
    image: AnyRaster,
    *,
    strength: Annotated[float, Field(gt=0, description="about the standard deviation of the noise")] = 0.05,
    patch: Annotated[int, Field(ge=1, le=16, description="radius in pixels of what is compared")] = 2,
    search: Annotated[int, Field(ge=1, le=64, description="radius in pixels of where it is looked for")] = 5,
) -> AnyRaster:
    """Remove noise by non-local means: a mean over pixels whose surroundings look alike.

    A. Buades, B. Coll and J.-M. Morel (CVPR 2005): weights exp(-D^2 / strength^2), with D^2 the mean squared
    difference of two square patches per channel, over R, G, B (or Y) and alpha together. The same weights serve all
    channels, so that no colour moves against its alpha. On values weighted by alpha; nothing is clipped.

    Convention: a pixel itself has the weight 1, all in the square of radius `search` their own. Beyond the frame the
    edge pixels are repeated, or the image tiles where it wraps.
    """
    colors, alpha = guides(image)
    return _means(image, _Likeness(colors, alpha, strength / math.sqrt(2), search, patch=patch))


@dataclass(frozen=True)
class _Likeness:
    """What counts as alike: values within `sigma` in these channels, in pixels (or square patches) within `reach`.

    `space` is the standard deviation of the weights by distance, in a disc; without it all in a square weigh the same.
    """

    colors: list[int]
    alpha: list[int]
    sigma: float
    reach: int
    patch: int = 0
    space: float | None = None

    @property
    def margin(self) -> int:
        """How far the pixels lie that a pixel depends on."""
        return self.reach + self.patch

    @property
    def half(self) -> Iterator[tuple[int, int]]:
        """(x, y) of the neighbours below and to the right; the others are their mirror images."""
        for y in range(self.reach + 1):
            for x in range(-self.reach if y else 1, self.reach + 1):
                if self.space is None or x * x + y * y <= self.reach * self.reach:
                    yield x, y

    def weights(self, here: Floats, there: Floats, step: tuple[int, int], room: Floats) -> Floats:
        """Of pixels `(C, H, W)` for those a step away, in `room`; of patches without the border."""
        total, more = _planes(room, here[0].shape)
        first, *others = self.colors + self.alpha
        change = np.square if self.patch else np.abs
        change(np.subtract(here[first], there[first], out=total), out=total)
        for channel in others:
            total += change(np.subtract(here[channel], there[channel], out=more), out=more)
        if self.patch:
            cv2.blur(total, (2 * self.patch + 1, 2 * self.patch + 1), more)
            total = more[self.patch : -self.patch, self.patch : -self.patch]
            total *= np.float32(-0.5 / (self.sigma * self.sigma * len(self.colors + self.alpha)))
        else:
            total *= total
            total *= np.float32(-0.5 / (self.sigma * self.sigma))
        if self.space is not None:
            total -= np.float32(0.5 * (step[0] ** 2 + step[1] ** 2) / (self.space * self.space))
        cv2.exp(total, total)
        return total


def _planes(room: Floats, shape: tuple[int, ...]) -> list[Floats]:
    return [plane[: math.prod(shape)].reshape(shape) for plane in room]


def _means(image: AnyRaster, likeness: _Likeness) -> AnyRaster:
    array = associated(image)
    result = np.empty_like(array)
    for item, out in zip(array, result, strict=True):
        _fill(out, extended(item, (likeness.margin, likeness.margin), image.wrap), likeness)
    return handed_back(result, image)


def _fill(out: Floats, around: Floats, likeness: _Likeness) -> None:
    """The means of `(H, W, C)`, whose surroundings are `around`, tile by tile."""
    border = 2 * likeness.margin

    def work(rows: slice, columns: slice) -> None:
        part = around[rows.start : rows.stop + border, columns.start : columns.stop + border]
        out[rows, columns] = _by_opencv(part, likeness) if _suits_opencv(part, likeness) else _mean(part, likeness)

    each_tile(out.shape[1], out.shape[0], TILE, work)


def _suits_opencv(around: Floats, likeness: _Likeness) -> bool:
    """Whether OpenCV's bilateral filter gives the same: for three colours or one, where alpha is one value all over.

    It looks weights up in 4096 steps of the range of values: for a range of twenty sigma that is exact to a millionth.
    """
    channels = around.shape[2]
    if likeness.space is None or len(likeness.colors) not in (1, 3):
        return False
    if len(likeness.colors + likeness.alpha) != channels:
        return False
    if likeness.alpha and np.ptp(around[..., likeness.alpha]) > 0:
        return False
    return bool(np.ptp(around[..., likeness.colors]) <= OPENCV_RANGE * likeness.sigma)


def _by_opencv(around: Floats, likeness: _Likeness) -> Floats:
    inner = slice(likeness.margin, -likeness.margin)
    result = around[inner, inner].copy()
    size = 2 * likeness.reach + 1
    colors = np.ascontiguousarray(around[..., likeness.colors])
    means = cv2.bilateralFilter(colors, size, likeness.sigma, likeness.space or 0.0).reshape(colors.shape)
    result[..., likeness.colors] = means[inner, inner]
    return result


def _mean(surroundings: Floats, likeness: _Likeness) -> Floats:
    """`(H, W, C)` of a tile from its surroundings, which are larger by the margin on all sides.

    Two pixels are as alike one way as the other, so each weight is made once for both.
    """
    around = np.ascontiguousarray(surroundings.transpose(2, 0, 1))
    margin, patch = likeness.margin, likeness.patch
    height, width = (size - 2 * margin for size in around.shape[1:])
    total = around[:, margin : margin + height, margin : margin + width].copy()
    weights = np.ones((height, width), np.float32)
    given = np.empty((height, width), np.float32)
    room = np.empty((2, around[0].size), np.float32)  # fresh memory for every step would take longer than the sums
    for x, y in likeness.half:
        # For every place p of which p or p + (x, y) lies in the tile.
        top, left = margin - y - patch, margin - max(x, 0) - patch
        here = around[:, top : top + height + y + 2 * patch, left : left + width + abs(x) + 2 * patch]
        there = around[:, top + y : top + height + 2 * (y + patch), left + x : left + x + here.shape[2]]
        weight = likeness.weights(here, there, (x, y), room)
        # What p + (x, y) gives to p, and what p gives to p + (x, y).
        for row, column, down, across in ((y, max(x, 0), y, x), (0, max(-x, 0), -y, -x)):
            share = weight[row : row + height, column : column + width]
            weights += share
            giver_y, giver_x = margin + down, margin + across
            for channel in range(len(around)):
                giver = around[channel, giver_y : giver_y + height, giver_x : giver_x + width]
                total[channel] += np.multiply(share, giver, out=given)
    total /= weights
    return total.transpose(1, 2, 0)

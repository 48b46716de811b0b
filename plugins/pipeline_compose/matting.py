"""From a picture and a rough idea of where its figure is, to soft coverage and clean edge colours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_core import opencv as cv2

Floats = NDArray[np.floating[Any]]  # float32 throughout; numpy's types can't follow it
Bytes = NDArray[np.uint8]

CLUSTERS = 5  # per Gaussian mixture, OpenCV's own constant
CUT_AT = 1024  # pixels on the longer side; GrabCut's time grows faster than the picture


def segment(picture: Bytes, labels: Bytes, iterations: int) -> Bytes:
    """1 where the figure is, by GrabCut. `picture` (H, W, 3), `labels` (H, W) of cv2.GC_* as a start.

    C. Rother, V. Kolmogorov, A. Blake, "GrabCut", SIGGRAPH 2004. Textures are smoothed away first: they make islands.
    """
    height, width = labels.shape
    scale = min(1.0, CUT_AT / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    marks = np.array(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST) if scale < 1 else labels, np.uint8)
    # The mixtures start from k-means, which draws from the calling thread's generator: same start, same cut.
    cv2.setRNGSeed(0)
    models = np.zeros((1, 13 * CLUSTERS)), np.zeros((1, 13 * CLUSTERS))
    smooth = cv2.bilateralFilter(small, 7, 25, 7)
    cv2.grabCut(smooth, marks, (0, 0, 0, 0), *models, iterations, cv2.GC_INIT_WITH_MASK)
    figure = _without_specks((marks & 1).astype(np.uint8))
    if scale == 1:
        return figure
    grown = cv2.resize(figure * np.float32(1), (width, height), interpolation=cv2.INTER_LINEAR)
    return (grown > 0.5).astype(np.uint8)


def _without_specks(figure: Bytes) -> Bytes:
    """Without islands, and without holes, of less than a hundredth of the largest piece."""
    for inside in (1, 0):
        _, pieces, stats, _ = cv2.connectedComponentsWithStats((figure == inside).astype(np.uint8), connectivity=4)
        areas = stats[:, cv2.CC_STAT_AREA].copy()
        areas[0] = 0  # the rest, not a piece
        specks = (areas < 0.01 * areas.max()) & (areas > 0)
        figure = np.where(specks[pieces], 1 - inside, figure).astype(np.uint8)
    return figure


def soften(figure: Bytes, guide: Floats, radius: int) -> Floats:
    """Coverage 0..1 that follows the picture's own edges within `radius` of the cut, by a colour guided filter.

    K. He, J. Sun, X. Tang, "Guided Image Filtering", TPAMI 2013, equations 14 to 16, its means weighted: pixels close to
    the cut may be on either side of it, so the others teach the filter what is figure. `guide` (H, W, 3) in 0..1.
    """
    hard = figure.astype(np.float32)
    if radius == 0:
        return hard
    side = (2 * radius + 1, 2 * radius + 1)
    weight = np.where(_near_cut(figure, (radius + 1) // 2), np.float32(0.01), np.float32(1))

    def mean(values: Floats) -> Floats:
        return np.asarray(cv2.blur(values, side, borderType=cv2.BORDER_REFLECT_101), np.float32)

    total = mean(weight)

    def weighted(values: Floats) -> Floats:
        return mean(values * weight) / total

    mu = np.stack([weighted(guide[..., i]) for i in range(3)], axis=-1)
    p = weighted(hard)
    covariance = {(i, j): weighted(guide[..., i] * guide[..., j]) - mu[..., i] * mu[..., j] for i, j in _pairs()}
    for i in range(3):
        covariance[i, i] += np.float32(1e-4)
    cross = np.stack([weighted(guide[..., i] * hard) - mu[..., i] * p for i in range(3)], axis=-1)
    slope = _solve(covariance, cross)
    offset = p - (slope * mu).sum(-1)
    soft = (mean(slope) * guide).sum(-1) + mean(offset)
    # The filter leaves a thin veil on both sides of an edge; only the middle of its range is coverage.
    soft = np.clip((soft - 0.1) / 0.8, 0, 1)
    return np.where(_near_cut(figure, radius), soft, hard).astype(np.float32)


def _near_cut(figure: Bytes, radius: int) -> NDArray[np.bool_]:
    """Whether a pixel of the other side is within a disc."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(figure, disc) != cv2.erode(figure, disc), np.bool_)


def _pairs() -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(3) for j in range(i, 3))


def _solve(m: Mapping[tuple[int, int], Floats], right: Floats) -> Floats:
    """Symmetric 3 x 3 systems, one per pixel, by cofactors."""
    a, b, c, d, e, f = (m[pair] for pair in _pairs())  # rows a b c / b d e / c e f
    cofactors = d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b
    aa, ab, ac, bb, bc, cc = cofactors
    determinant = a * aa + b * ab + c * ac
    x, y, z = (right[..., i] for i in range(3))
    solved = np.stack([aa * x + ab * y + ac * z, ab * x + bb * y + bc * z, ac * x + bc * y + cc * z], axis=-1)
    return solved / determinant[..., None]


def own_colors(color: Floats, coverage: Floats) -> Floats:
    """The figure's own colours, without the background's light mixed into its soft edge.

    M. Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021: colours are spread from where each layer is
    known (a wide pass, a narrow one), then moved so that figure and background mix to the picture.
    """
    figure, ground = color, color
    alpha = coverage[..., None]
    for size in (90, 6):
        figure = _spread(figure, alpha, size)
        ground = _spread(ground, 1 - alpha, size)
        figure = figure + alpha * (color - alpha * figure - (1 - alpha) * ground)
    return np.where(alpha == 1, color, figure)


def _spread(color: Floats, weight: Floats, size: int) -> Floats:
    """The mean of the colours nearby, by weight."""
    total = cv2.blur(weight, (size, size)).reshape(weight.shape)
    return cv2.blur(color * weight, (size, size)).reshape(color.shape) / (total + np.float32(1e-5))

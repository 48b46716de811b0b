"""FLIP: how different two pictures look when they are flipped between, of 0 to 1.

P. Andersson, J. Nilsson, T. Akenine-Möller, M. Oskarsson, K. Åström and M. Fairchild, "FLIP: A Difference Evaluator for
Alternating Images", Proceedings of the ACM on Computer Graphics and Interactive Techniques 3(2), 2020. Sections and
symbols are those of the paper; pictures here are `(3, H, W)` float64.
"""

from __future__ import annotations

import math

import numpy as np

from pipeline_core import Image, Mask, OperationError
from pipeline_core import opencv as cv2
from pipeline_measure.planes import Array, both_wrap

Wrap = tuple[bool, bool]

PIXELS_PER_DEGREE = 0.7 * 3840 / 0.7 * math.pi / 180
"""A display 3840 pixels and 0.7 m wide, seen from 0.7 m (section 3)."""

# Contrast sensitivity of the three opponent channels (table 1): sums of a * sqrt(pi / b) exp(-pi^2 x^2 / b), x in degrees.
SENSITIVITY = (((1.0, 0.0047),), ((1.0, 0.0053),), ((34.1, 0.04), (13.5, 0.025)))
WIDEST = 0.04
Q_COLOR, P_COLOR, P_TURN = 0.7, 0.4, 0.95
Q_FEATURE, FEATURE_WIDTH = 0.5, 0.082


def _matrix() -> Array:
    """Linear Rec. 709 RGB to XYZ, of its primaries and D65 (ITU-R BT.709-6, item 1.3 and 1.4)."""
    xy = np.array([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]])
    primaries = np.stack([xy[:, 0], xy[:, 1], 1 - xy.sum(1)]) / xy[:, 1]
    white = np.array([0.3127, 0.3290, 1 - 0.3127 - 0.3290]) / 0.3290
    found: Array = primaries * np.linalg.solve(primaries, white)
    return found


TO_XYZ = _matrix()
WHITE = TO_XYZ.sum(1)[:, None, None]


def flip_map(a: Image, b: Image, ppd: float, item: int = 0) -> Array:
    """The error of each pixel, `(H, W)`, of 0 to 1 (equation 18), of one item of each batch (or the only one)."""
    wrap = both_wrap(a, b)
    opponents = [_to_opponent(_linear(image, min(item, image.batch - 1))) for image in (a, b)]
    color = _redistributed(_hyab(*(_perceived(picture, ppd, wrap) for picture in opponents)))
    one, other = ((picture[0] + 16) / 116 for picture in opponents)
    feature = _features(one, other, ppd, wrap)
    found: Array = color ** (1 - feature)
    return found


def colors_of(raster: Image | Mask) -> Image:
    """The same; OperationError for what has no such colours."""
    if not isinstance(raster, Image) or raster.channels not in (("R", "G", "B"), ("Y",)):
        raise OperationError(
            f"flip is of images with R, G, B or Y and no more, this is {raster}: 'flatten' or 'select_channels'"
        )
    if raster.color not in ("srgb_rec709_scene", "lin_rec709_scene"):
        raise OperationError(
            f"flip is of srgb_rec709_scene or lin_rec709_scene, this is {raster.color}: 'color_convert'"
        )
    return raster


def _linear(image: Image, item: int) -> Array:
    """In linear light and limited to 0 to 1: what a display can show."""
    values = np.clip(image.array[item].astype(np.float64), 0, 1).transpose(2, 0, 1)
    if image.color == "srgb_rec709_scene":  # IEC 61966-2-1:1999
        values = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.broadcast_to(values, (3, *values.shape[1:]))


def _to_xyz(rgb: Array) -> Array:
    found: Array = np.tensordot(TO_XYZ, rgb, 1) / WHITE
    return found


def _to_opponent(rgb: Array) -> Array:
    """YCxCz, a linear CIELAB: luminance, red-green and blue-yellow (section 4.1)."""
    x, y, z = _to_xyz(rgb)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _perceived(opponent: Array, ppd: float, wrap: Wrap) -> Array:
    """What the eye resolves of a picture, in CIELAB with Hunt's adjustment (sections 4.1.1 to 4.1.3)."""
    luminance, red_green, blue_yellow = (
        _resolved(channel, terms, ppd, wrap) for channel, terms in zip(opponent, SENSITIVITY, strict=True)
    )
    y = (luminance + 16) / 116
    xyz = np.stack([y + red_green / 500, y, y - blue_yellow / 200]) * WHITE
    return _hunt_lab(np.clip(np.tensordot(np.linalg.inv(TO_XYZ), xyz, 1), 0, 1))


def _hunt_lab(rgb: Array) -> Array:
    xyz = _to_xyz(rgb)
    fx, fy, fz = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    lightness = 116 * fy - 16
    return np.stack([lightness, 5 * lightness * (fx - fy), 2 * lightness * (fy - fz)])


def _resolved(channel: Array, terms: tuple[tuple[float, float], ...], ppd: float, wrap: Wrap) -> Array:
    """Filtered by a sum of Gaussians whose weights add up to 1; each of them goes along rows, then columns."""
    reach = math.ceil(3 * math.sqrt(WIDEST / (2 * math.pi**2)) * ppd)
    degrees = np.arange(-reach, reach + 1) / ppd
    parts = [(a * math.sqrt(math.pi / b), np.exp(-(math.pi**2) * degrees**2 / b)) for a, b in terms]
    total = sum(scale * weights.sum() ** 2 for scale, weights in parts)
    return sum(
        (scale / total * _filtered(channel, weights, weights, wrap) for scale, weights in parts),
        start=np.zeros_like(channel),
    )


def _filtered(values: Array, across: Array, down: Array, wrap: Wrap) -> Array:
    """Weighted sums of a neighbourhood; beyond the frame the edge is repeated, or the picture tiles."""
    reach = len(across) // 2
    for axis, wraps in enumerate((wrap[1], wrap[0])):
        values = np.pad(values, [(reach, reach) if i == axis else (0, 0) for i in (0, 1)], "wrap" if wraps else "edge")
    found: Array = cv2.sepFilter2D(values, cv2.CV_64F, across, down)[reach:-reach, reach:-reach]  # type: ignore[assignment]  # float64
    return found


def _hyab(one: Array, other: Array) -> Array:
    """City-block distance of lightness, Euclidean of chroma (equation 5)."""
    lightness, a, b = one - other
    found: Array = np.abs(lightness) + np.hypot(a, b)
    return found


def _redistributed(distance: Array) -> Array:
    """Brought to 0 to 1, small differences taking the larger part (section 4.1.4)."""
    green, blue = (_hunt_lab(np.array(rgb, np.float64)[:, None, None]) for rgb in ((0, 1, 0), (0, 0, 1)))
    largest = float(_hyab(green, blue)[0, 0] ** Q_COLOR)
    turn = P_COLOR * largest
    error = distance**Q_COLOR
    above = P_TURN + (error - turn) / (largest - turn) * (1 - P_TURN)
    return np.where(error < turn, P_TURN / turn * error, above)


def _features(one: Array, other: Array, ppd: float, wrap: Wrap) -> Array:
    """How much edges and points differ, of 0 to 1 (section 4.2)."""
    differences = [np.abs(_strength(one, k, ppd, wrap) - _strength(other, k, ppd, wrap)) for k in (1, 2)]
    found: Array = (np.maximum(*differences) / math.sqrt(2)) ** Q_FEATURE
    return found


def _strength(luminance: Array, derivative: int, ppd: float, wrap: Wrap) -> Array:
    """Length of the first (edges) or second (points) derivatives of Gaussian in x and y."""
    sigma = 0.5 * FEATURE_WIDTH * ppd
    reach = math.ceil(3 * sigma)
    x = np.arange(-reach, reach + 1, dtype=np.float64)
    gaussian = np.exp(-(x**2) / (2 * sigma**2))
    weights = -x * gaussian if derivative == 1 else (x**2 / sigma**2 - 1) * gaussian
    # Positive weights add up to 1, negative ones to -1.
    weights = np.where(weights > 0, weights / weights[weights > 0].sum(), -weights / weights[weights < 0].sum())
    smooth = gaussian / gaussian.sum()
    across, down = (_filtered(luminance, *pair, wrap) for pair in ((weights, smooth), (smooth, weights)))
    found: Array = np.hypot(across, down)
    return found

"""How much of each pixel a shape covers, with a soft edge if asked: the arithmetic of antialiasing.

A pixel i covers i to i + 1, its centre is at i + 0.5. Everything here is float64 and `(H, W)` or broadcasts to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
THINNEST = 1e-3  # pixels of feather; less would divide rounding errors by next to nothing


def soft_step(distance: Array, feather: float = 0) -> Array:
    """A step from 0 to 1 at distance 0, as pixels see it: blurred by a box of 1, and by one of `feather`.

    A step blurred by n boxes w is the sum over all signs s of prod(s) R(d + s.w / 2) / prod(w), R(t) = max(t, 0)^n / n!
    (C. de Boor, K. Hoellig, S. Riemenschneider, "Box Splines", 1993).
    """
    if feather < THINNEST:
        return (distance + 0.5).clip(0, 1)
    near, far = (1 + feather) / 2, abs(1 - feather) / 2
    at = distance.clip(-near, near)  # beyond, it is 0 and 1
    area: Array = np.zeros_like(at)
    for sign, corner in ((1, near), (-1, far), (-1, -far), (1, -near)):
        area += sign * np.square((at + corner).clip(0))
    return (area / (2 * feather)).clip(0, 1)


def rectangle(
    width: int, height: int, *, left: float, top: float, right: float, bottom: float, feather: float = 0
) -> Array:
    """Exact coverage of each pixel by a rectangle, blurred by a box of `feather` pixels."""
    across = soft_step(_centers(width) - left, feather) - soft_step(_centers(width) - right, feather)
    down = soft_step(_centers(height) - top, feather) - soft_step(_centers(height) - bottom, feather)
    return down[:, None] * across[None, :]


def ellipse(
    width: int, height: int, *, x: float, y: float, radius_x: float, radius_y: float, feather: float = 0
) -> Array:
    """Exact coverage of each pixel by an ellipse; feathered, its edge is taken as straight within a pixel."""
    if feather < THINNEST:
        left_of = _disc_area(_lines(width, x, radius_x)[None, :], _lines(height, y, radius_y)[:, None])
        areas: Array = np.diff(np.diff(left_of, axis=0), axis=1) * (radius_x * radius_y)
        return areas.round(6).clip(0, 1)  # differences of areas leave some 1e-10 where there is nothing
    u, v = (_centers(width) - x)[None, :] / radius_x, (_centers(height) - y)[:, None] / radius_y
    # f = |(u, v)| is 1 on the edge; (1 - f) / |grad f| is the distance to it, to first order (G. Taubin, 1994).
    f, slope = np.hypot(u, v), np.hypot(u / radius_x, v / radius_y)
    scale = np.divide(f, slope, out=np.full_like(f, min(radius_x, radius_y)), where=slope > 0)
    inside = (1 - f) * scale
    return soft_step(inside, feather)


def _disc_area(x: Array, y: Array) -> Array:
    """The area of the unit disc to the left of x and above y: the integral of its columns' heights, in closed form."""
    x, y = x.clip(-1, 1), y.clip(-1, 1)
    reach = np.sqrt(1 - y * y)  # columns from -reach to reach cross the line y; those beyond lie all above or below it
    # The integral of the half height rises with x, so it can be clipped in place of x and stays one row and one column.
    at_x, at_reach = _half_disc(x), _half_disc(reach)
    area: Array = y * (x.clip(-reach, reach) + reach) + at_x.clip(-at_reach, at_reach) + at_reach
    beyond = np.minimum(at_x, -at_reach) - _half_disc(np.float64(-1)) + np.maximum(at_x, at_reach) - at_reach
    return np.where(y >= 0, area + 2 * beyond, area)


def _half_disc(x: Any) -> Any:
    """The integral of sqrt(1 - t^2) from 0 to x."""
    return (x * np.sqrt(1 - x * x) + np.arcsin(x)) / 2


def ramp(width: int, height: int, *, start: tuple[float, float], end: tuple[float, float]) -> Array:
    """0 at `start` and before, 1 at `end` and after, linear between, sampled at pixel centres."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along: Array = (_centers(width) - start[0])[None, :] * dx + (_centers(height) - start[1])[:, None] * dy
    return (along / (dx * dx + dy * dy)).clip(0, 1)


def _lines(count: int, middle: float, radius: float) -> Array:
    """The borders between pixels, in radii from the middle."""
    return (np.arange(count + 1) - middle) / radius


def _centers(count: int) -> Array:
    return np.arange(count) + 0.5

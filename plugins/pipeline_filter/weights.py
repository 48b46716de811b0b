"""Kernels: weights around a pixel, float64, odd in length, each adding up to 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Weights = np.ndarray[Any, np.dtype[np.float64]]

IDENTITY: Weights = np.ones(1)
SAMPLES = 16
"""Points per pixel and axis that decide how much of a pixel a shape covers."""


def gaussian(sigma: float, reach: int | None = None) -> Weights:
    """Samples of exp(-x^2 / 2 sigma^2); it ends at 4 sigma, as SciPy's and OpenCV's for floats do, or at `reach`."""
    reach = int(4 * sigma + 0.5) if reach is None else reach
    if reach == 0:
        return IDENTITY
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum())


def box(radius: float) -> Weights:
    """The mean of 2 radius + 1 pixels; with a broken radius the outermost count in part."""
    reach = math.ceil(radius)
    weights = np.ones(2 * reach + 1)
    weights[[0, -1]] = 1 - (reach - radius)
    return np.asarray(weights / weights.sum()) if reach else IDENTITY


def box_radius(sigma: float) -> float:
    """The radius of the box with this standard deviation: n pixels have the variance (n^2 - 1) / 12."""
    return (math.sqrt(12 * sigma * sigma + 1) - 1) / 2


def disc(radius: float) -> Weights:
    """A disc that covers the pixels at its rim in part."""
    reach = math.ceil(radius)
    fine = _fine(reach)
    inside = fine[:, None] ** 2 + fine**2 <= (radius + 0.5) ** 2
    return _coverage(inside, 2 * reach + 1)


def line(length: float, angle: float) -> Weights:
    """A line, one pixel wide and centred, that turns counterclockwise from the right; its pixels covered in part."""
    reach = line_reach(length)
    fine = _fine(reach)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along = np.abs(fine * cos - fine[:, None] * sin)  # y points down
    across = np.abs(fine * sin + fine[:, None] * cos)
    return _coverage((along <= (length + 1) / 2) & (across <= 0.5), 2 * reach + 1)


def line_reach(length: float) -> int:
    """How far the weights of a line reach at any angle: half its length, and the corner of its end."""
    return math.ceil(math.hypot((length + 1) / 2, 0.5) - 0.5)


def _fine(reach: int) -> Weights:
    """Where the sample points lie, from the middle of the kernel, in pixels."""
    count = (2 * reach + 1) * SAMPLES
    return np.asarray((np.arange(count) + 0.5) / SAMPLES - reach - 0.5)


def _coverage(inside: np.ndarray[Any, np.dtype[np.bool_]], size: int) -> Weights:
    covered = inside.reshape(size, SAMPLES, size, SAMPLES).mean((1, 3))
    return np.asarray(covered / covered.sum())

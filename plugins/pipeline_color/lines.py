"""Straight lines: a factor and an offset for each colour, held within two values."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline_color.compiled import scaled
from pipeline_color.pointwise import column, on_colors, on_values
from pipeline_color.straight import color_channels
from pipeline_core import Image

Numbers = float | Sequence[float]
"""One, or one for each colour."""


def on_lines(image: Image, slopes: Numbers, offsets: Numbers, low: float = -math.inf, high: float = math.inf) -> Image:
    """Each straight colour times a slope, plus an offset, and held within two values."""
    count = len(color_channels(image))
    each, plus = ([some] * count if isinstance(some, int | float) else some for some in (slopes, offsets))
    if (done := scaled(image, each, plus, low, high)) is not None:
        return done
    return on_colors(image, lambda color: (color * column(each, color) + column(plus, color)).clip(low, high))


def times(image: Image, factor: float) -> Image:
    """Each colour as it is times a factor: that is the same for associated and straight values."""
    count = len(color_channels(image))
    if (done := scaled(image, [factor] * count, [0.0] * count, as_stored=True)) is not None:
        return done
    return on_values(image, lambda color: color * factor)

"""Filters: weighted sums, picks and measures of a pixel's neighbourhood, and enhancement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pipeline_core import hookimpl
from pipeline_filter.blur import blur, convolve, defocus, directional_blur
from pipeline_filter.median import median
from pipeline_filter.morphology import close, dilate, erode, open  # noqa: A004  the field's word
from pipeline_filter.similar import bilateral, denoise

__all__ = [
    "bilateral",
    "blur",
    "close",
    "convolve",
    "defocus",
    "denoise",
    "dilate",
    "directional_blur",
    "erode",
    "median",
    "open",
]


@hookimpl
def operations() -> Sequence[Callable[..., Any]]:
    """What this plugin offers."""
    return [blur, directional_blur, defocus, convolve, dilate, erode, open, close, median, bilateral, denoise]

"""Filters: weighted sums, picks and measures of a pixel's neighbourhood, and enhancement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pipeline_core import hookimpl
from pipeline_filter.blur import blur, convolve, defocus, directional_blur
from pipeline_filter.distance import distance
from pipeline_filter.edges import edge_detect
from pipeline_filter.effects import bloom, drop_shadow, pixelize, vignette
from pipeline_filter.median import median
from pipeline_filter.morphology import close, dilate, erode, open  # noqa: A004  the field's word
from pipeline_filter.repair import fix_nan
from pipeline_filter.sharpen import emboss, high_pass, sharpen, unsharp_mask
from pipeline_filter.similar import bilateral, denoise
from pipeline_filter.tone import auto_levels, clahe, equalize

OPERATIONS = (
    blur, directional_blur, defocus, convolve, median, bilateral, denoise, sharpen, unsharp_mask, high_pass, emboss,
    edge_detect, dilate, erode, open, close, distance, equalize, clahe, auto_levels, fix_nan, bloom,
    vignette, drop_shadow, pixelize,
)  # fmt: skip
__all__ = [
    "auto_levels", "bilateral", "bloom", "blur", "clahe", "close", "convolve", "defocus", "denoise", "dilate",
    "directional_blur", "distance", "drop_shadow", "edge_detect", "emboss", "equalize", "erode", "fix_nan", "high_pass", "median",
    "open", "pixelize", "sharpen", "unsharp_mask", "vignette",
]  # fmt: skip


@hookimpl
def operations() -> Sequence[Callable[..., Any]]:
    """What this plugin offers."""
    return OPERATIONS

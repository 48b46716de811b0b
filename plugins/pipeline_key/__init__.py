"""Keying: alpha from a screen's colour, from light, from difference; spill taken out, colours bled into the clear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pipeline_core import hookimpl
from pipeline_key.extend import edge_extend
from pipeline_key.ramps import color_range_mask, difference_key, luma_key
from pipeline_key.screen import chroma_key, despill
from pipeline_key.threshold import threshold


@hookimpl
def operations() -> Sequence[Callable[..., Any]]:
    return [chroma_key, luma_key, difference_key, color_range_mask, threshold, despill, edge_extend]

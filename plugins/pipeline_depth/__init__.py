"""Pictures with depth: merged by it, masked by it, in fog; and deep images with many samples per pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline_core import hookimpl
from pipeline_depth.deep import deep_flatten, deep_holdout, deep_merge
from pipeline_depth.defocus import z_defocus
from pipeline_depth.depth import depth_to_mask, fog
from pipeline_depth.load import load_deep
from pipeline_depth.z_merge import depth_composite, z_merge


@hookimpl
def operations() -> list[Callable[..., Any]]:
    """What this plugin offers."""
    return [z_merge, depth_composite, depth_to_mask, fog, z_defocus, load_deep, deep_merge, deep_holdout, deep_flatten]

"""Operations that make textures from nothing: noise, coordinates."""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline_core import hookimpl
from pipeline_generate.noise import noise
from pipeline_generate.uv import uv_map

__all__ = ["noise", "uv_map"]


@hookimpl
def operations() -> Sequence[Callable[..., Any]]:
    """What this plugin offers."""
    return [noise, uv_map]

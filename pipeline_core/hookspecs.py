"""The one hook a plugin implements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pluggy

PROJECT = "pipeline_core"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def operations() -> Sequence[Callable[..., Any]]:  # type: ignore[empty-body]  # a specification has no body
    """The functions that this plugin offers as operations."""

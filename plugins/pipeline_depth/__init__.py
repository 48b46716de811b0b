"""Being built."""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline_core import hookimpl


@hookimpl
def operations() -> Sequence[Callable[..., Any]]:
    """What this plugin offers."""
    return []

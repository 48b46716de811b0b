"""More pixels than there were."""

from collections.abc import Callable
from typing import Any

from pipeline_models.upscale.super_resolve import super_resolve

OPERATIONS: list[Callable[..., Any]] = [super_resolve]

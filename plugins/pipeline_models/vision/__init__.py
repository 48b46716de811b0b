"""What is in a picture."""

from collections.abc import Callable
from typing import Any

from pipeline_models.vision.sets import compare_sets, nearest

OPERATIONS: list[Callable[..., Any]] = [compare_sets, nearest]

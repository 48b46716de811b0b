"""Pictures from random numbers."""

from collections.abc import Callable
from typing import Any

OPERATIONS: list[Callable[..., Any]] = []

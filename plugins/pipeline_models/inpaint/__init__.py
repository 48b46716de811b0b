"""Holes filled."""

from collections.abc import Callable
from typing import Any

OPERATIONS: list[Callable[..., Any]] = []

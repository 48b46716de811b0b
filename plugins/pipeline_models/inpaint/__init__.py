"""Holes filled."""

from collections.abc import Callable
from typing import Any

from pipeline_models.inpaint.operations import inpaint, outpaint, remove_object

OPERATIONS: list[Callable[..., Any]] = [inpaint, outpaint, remove_object]

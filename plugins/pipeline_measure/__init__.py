"""Measures of pictures as tables, and checks that stop a run."""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline_core import hookimpl
from pipeline_measure.checks import assert_range, check_finite
from pipeline_measure.pairs import compare, flip_error
from pipeline_measure.single import histogram, statistics

__all__ = ["assert_range", "check_finite", "compare", "flip_error", "histogram", "statistics"]


@hookimpl
def operations() -> Sequence[Callable[..., Any]]:
    """What this plugin offers."""
    return [compare, flip_error, statistics, histogram, check_finite, assert_range]

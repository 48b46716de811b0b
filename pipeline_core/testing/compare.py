"""How two values differ, wherever their buffers are."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline_core.values import is_buffer


def difference(one: Any, other: Any, close: float = 0.0) -> str:
    """How two values differ, buffers by their pixels wherever they are; empty if they don't."""
    if is_buffer(one) and is_buffer(other):
        return _difference_of_buffers(_array(one), _array(other), close)
    if type(one) is not type(other):
        return f"a {type(one).__name__} and a {type(other).__name__}"
    if dataclasses.is_dataclass(one):
        for part in dataclasses.fields(one):
            if said := difference(getattr(one, part.name), getattr(other, part.name), close):
                return said if part.name == "buffer" else f"{part.name}: {said}"
        return ""
    if isinstance(one, Mapping) and list(one) == list(other):
        return next((f"{key}: {said}" for key in one if (said := difference(one[key], other[key], close))), "")
    if isinstance(one, (tuple, list)) and len(one) == len(other):
        return next((said for pair in zip(one, other, strict=True) if (said := difference(*pair, close))), "")
    if isinstance(one, float):
        same = math.isclose(one, other, rel_tol=close, abs_tol=close) or (math.isnan(one) and math.isnan(other))
    else:
        same = one == other
    return "" if same else f"{str(one)[:60]} and {str(other)[:60]}"


def _array(buffer: Any) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = buffer if isinstance(buffer, np.ndarray) else buffer.detach().cpu().numpy()
    return found


def _difference_of_buffers(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any], close: float) -> str:
    if one.shape != other.shape or one.dtype != other.dtype:
        return f"{one.dtype} {one.shape} and {other.dtype} {other.shape}"
    if not close and one.tobytes() == other.tobytes():
        return ""
    step = 1 if one.dtype.kind in "iu" and close else close  # integers may round to either side
    first, second = one.astype(np.float64), other.astype(np.float64)
    apart = ~np.isclose(first, second, rtol=close, atol=step, equal_nan=True)
    if not apart.any():
        return ""
    place = tuple(int(i) for i in np.argwhere(apart)[0])
    return f"{apart.sum()} of {apart.size} values, first at {place}: {first[place]:.9g} and {second[place]:.9g}"

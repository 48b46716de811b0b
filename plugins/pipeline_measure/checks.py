"""Checks that pass a picture on, or stop the run: values that must not be."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, OperationError, operation


def _same(image: AnyRaster, **_: Any) -> AnyRaster:
    return image


@operation(infer=_same, aliases=("nan_check", "assert_finite"))
def check_finite(image: AnyRaster) -> AnyRaster:
    """Pass an image on if all of its values are finite; else fail, and say how many are not and where.

    The place is that of the first, row by row from the top left.
    """
    if image.dtype.startswith("uint") or _all_finite(image.buffer):
        return image
    values = image.array
    wrong = ~np.isfinite(values)
    nan = int(np.isnan(values).sum())
    count = int(wrong.sum())
    raise OperationError(
        f"{count} of {values.size} values are not finite ({nan} NaN, {count - nan} infinite), "
        f"the first is {_place(image, wrong)}; 'fix_nan' repairs them"
    )


def _same_in_range(image: AnyRaster, *, low: float | None = 0.0, high: float | None = 1.0) -> AnyRaster:
    _check_limits(low, high)
    return image


@operation(infer=_same_in_range, aliases=("check_range", "rangecheck", "assert"))
def assert_range(
    image: AnyRaster,
    *,
    low: Annotated[float | None, Field(description="the least value that may be; empty for any")] = 0.0,
    high: Annotated[float | None, Field(description="the largest value that may be; empty for any")] = 1.0,
) -> AnyRaster:
    """Pass an image on if all of its values lie in a range; else fail, and say how many do not and where.

    All channels, alpha too, as they are (integers as 0 to 1), the limits included. NaN lies in no range.
    """
    _check_limits(low, high)
    values = image.array
    # Asked what is inside, so that NaN is not.
    inside = np.ones(values.shape, bool) if low is None else values >= low
    inside &= ~np.isnan(values) if high is None else values <= high
    if inside.all():
        return image
    wrong = ~inside
    wanted = f"{'' if low is None else f'{low:g}'}..{'' if high is None else f'{high:g}'}"
    found = values[wrong & ~np.isnan(values)]
    extent = f" ({found.min():g} to {found.max():g})" if found.size else " (NaN)"
    raise OperationError(
        f"{int(wrong.sum())} of {values.size} values are outside {wanted}{extent}, "
        f"the first is {_place(image, wrong)}; 'clamp' limits them"
    )


def _check_limits(low: float | None, high: float | None) -> None:
    if low is not None and high is not None and not low <= high:
        raise OperationError(f"the range is {low:g} to {high:g}: 'low' must not be above 'high'")


def _all_finite(buffer: Any) -> bool:
    if isinstance(buffer, np.ndarray):
        return bool(np.isfinite(buffer).all())
    return bool(buffer.isfinite().all())


def _place(image: AnyRaster, wrong: np.ndarray[Any, np.dtype[np.bool_]]) -> str:
    item, y, x, channel = np.unravel_index(int(wrong.argmax()), wrong.shape)
    which = f" of picture {int(item)}" if image.batch > 1 else ""
    value = float(image.array[item, y, x, channel])
    return f"{value:g} in {image.channels[int(channel)]} at ({int(x)}, {int(y)}){which}"

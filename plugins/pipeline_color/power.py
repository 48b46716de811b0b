"""x ** y that gives a pixel the same value wherever it stands in the picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline_color.pointwise import Array, column, namespace


def power(values: Array, exponents: float | Sequence[float]) -> Array:
    """`values ** exponents`, values from 0 up; exponents one for all or one for each channel of `(B, C, H, W)`.

    On the CPU numpy's: torch's rounds otherwise in the body of a row than in its last few elements, so that results
    would depend on tiles, batches and the number of cores (by one unit in the last place), and takes five times as long.
    """
    each: Array = exponents if isinstance(exponents, float) else column(exponents, values)
    return np.power(values, np.asarray(each, np.float32)) if isinstance(values, np.ndarray) else values**each


def raised(values: Array, exponents: float | Sequence[float]) -> Array:
    """`values ** exponents`; what is not above 0 stays as it is."""
    if isinstance(values, np.ndarray) and (values >= 0).all():
        return power(values, exponents)
    return namespace(values).where(values > 0, power(values.clip(min=0), exponents), values)

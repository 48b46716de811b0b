"""x ** y that gives a pixel the same value wherever it stands in the picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def power(values: Tensor, exponents: float | Sequence[float]) -> Tensor:
    """`values ** exponents`, values from 0 up; exponents one for all or one for each channel of `(B, C, H, W)`.

    On the CPU numpy's: torch's rounds otherwise in the body of a row than in its last few elements, so that results
    would depend on tiles, batches and the number of cores (by one unit in the last place), and takes five times as long.
    """
    if not isinstance(exponents, float):
        if len(set(exponents)) > 1:
            planes = zip(values.split(1, dim=1), exponents, strict=True)  # type: ignore[no-untyped-call]  # torch's
            return torch.cat([power(plane, exponent) for plane, exponent in planes], dim=1)
        exponents = exponents[0]
    if values.device.type != "cpu":
        return values**exponents
    with np.errstate(all="ignore"):  # infinities are values like others
        return torch.from_numpy(np.power(values.numpy(), np.float32(exponents)))

"""A colour param as the values of a picture's channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline_core import AnyRaster, Color, Image

LUMA = (0.2126, 0.7152, 0.0722)  # Rec. ITU-R BT.709-6, item 3.2
TRANSPARENT = (0.0, 0.0, 0.0, 0.0)


def channel_values(color: Color, image: AnyRaster) -> np.ndarray[Any, np.dtype[np.float32]]:
    """One float per channel: the colour, its luma in Y, its alpha in A and in a mask, 0 in all others."""
    *rgb, alpha = color
    if not isinstance(image, Image):
        return np.array([alpha], np.float32)
    scale = alpha if image.coverage == "associated" else 1.0
    luma = sum(weight * part for weight, part in zip(LUMA, rgb, strict=True))
    named = {name: part * scale for name, part in zip("RGBY", (*rgb, luma), strict=True)} | {"A": alpha}
    return np.array([named.get(name.rpartition(".")[2], 0.0) for name in image.channels], np.float32)


def encoded(values: np.ndarray[Any, np.dtype[np.float32]], dtype: str) -> np.ndarray[Any, Any]:
    """Floats in a buffer's own type; integers are clamped to 0..1 and rounded to the nearest code."""
    if not dtype.startswith("uint"):
        return values.astype(dtype)
    return np.rint(values.clip(0, 1).astype(np.float64) * np.iinfo(dtype).max).astype(dtype)

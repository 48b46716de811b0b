"""Filters work on associated values, so that what is hidden under alpha 0 bleeds nowhere; the state is handed back."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from pipeline_core import AnyRaster, Image
from pipeline_filter import arrays

Floats = np.ndarray[Any, np.dtype[np.float32]]


def filtered(image: AnyRaster, change: Callable[[ModuleType, Any], Any]) -> AnyRaster:
    """`change(kernels, buffer)` on associated floats: `arrays` and numpy on the CPU, `tensors` and torch elsewhere."""
    if image.device == "cpu":
        return handed_back(change(arrays, associated(image)), image)
    from pipeline_filter import tensors

    source = image.associate() if isinstance(image, Image) else image
    result = source.with_buffer(change(tensors, source.pixels.permute(0, 2, 3, 1)))
    if isinstance(result, Image) and isinstance(image, Image):
        return result.with_alpha_state(image.alpha)
    return result


def associated(image: AnyRaster) -> Floats:
    """`(B, H, W, C)` with colour multiplied by alpha; not to be written into."""
    array = image.array
    if not isinstance(image, Image) or image.alpha != "straight":
        return array
    result = array.copy()
    alpha = array[..., image.index("A")]
    for i in image.color_indices:  # one channel at a time: numpy is slow along an axis of three
        result[..., i] *= alpha
    return result


def handed_back(array: Floats, image: AnyRaster) -> AnyRaster:
    """The image with this associated array, in the alpha state that it has. Colour stays as it is where alpha is 0."""
    if isinstance(image, Image) and image.alpha == "straight":
        array = array if array.flags.writeable else array.copy()
        alpha = array[..., image.index("A")]
        divisor = np.where(alpha == 0, np.float32(1), alpha)
        for i in image.color_indices:
            array[..., i] /= divisor
    return image.with_buffer(array)


def as_floats(image: AnyRaster, **_: Any) -> AnyRaster:
    """For `infer` rules: the same picture in float32, without memory."""
    return image.with_buffer(np.broadcast_to(np.float32(0), image.buffer.shape))

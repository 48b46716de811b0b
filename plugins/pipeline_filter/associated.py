"""Filters work on associated values, so that what is hidden under alpha 0 bleeds nowhere; the state is handed back."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from pipeline_core import AnyRaster, Image, Mask, each_tile
from pipeline_core import opencv as cv2
from pipeline_filter import arrays

Floats = np.ndarray[Any, np.dtype[np.float32]]
STRIP = 16


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


def associated(image: Image | Mask) -> Floats:
    """`(B, H, W, C)` with colour multiplied by alpha; not to be written into."""
    array = image.array
    if not isinstance(image, Image) or image.coverage != "straight":
        return array
    return _by_alpha(array, image, cv2.multiply)


def handed_back(array: Floats, image: AnyRaster) -> AnyRaster:
    """The image with this associated array, in the alpha state that it has. Colour stays as it is where alpha is 0."""
    if isinstance(image, Image) and image.coverage == "straight":
        array = _by_alpha(array, image, cv2.divide)
    return image.with_buffer(array)


def _by_alpha(array: Floats, image: Image, change: Callable[..., Any]) -> Floats:
    """Colour multiplied or divided by alpha, in strips that stay in a core's cache; by 1 where it is 0 and divides."""
    result = np.empty_like(array)
    colors, coverage = set(image.color_indices), image.index("A")
    for i in range(len(array)):

        def work(rows: slice, columns: slice, i: int = i) -> None:
            part = array[i, rows]
            alpha = part[..., coverage].copy()
            if change is cv2.divide:
                alpha[alpha == 0] = 1
            one = np.ones_like(alpha)
            factors = cv2.merge([alpha if channel in colors else one for channel in range(array.shape[3])])
            change(part, factors.reshape(part.shape), result[i, rows])

        each_tile(image.width, image.height, (image.width, STRIP), work)
    return result


def guides(image: Image | Mask) -> tuple[list[int], list[int]]:
    """The channels that show something, which are colour, or all where there is none; and alpha, if there is any.

    In `data` A covers nothing and shows as much as the others.
    """
    if not isinstance(image, Image) or not image.color_indices:
        return [i for i, name in enumerate(image.channels) if name != "A"], _alpha(image)
    if image.coverage == "none":
        return sorted(image.color_indices + _alpha(image)), []
    return image.color_indices, _alpha(image)


def _alpha(image: Image | Mask) -> list[int]:
    return [i for i, name in enumerate(image.channels) if name == "A"]


def as_floats(image: AnyRaster, **_: Any) -> AnyRaster:
    """For `infer` rules: the same picture in float32, without memory."""
    return image.with_buffer(np.broadcast_to(np.float32(0), image.buffer.shape))


def on_stored(image: AnyRaster, change: Callable[[ModuleType, Any], Any]) -> AnyRaster:
    """As `filtered`, for what picks values: in the image's own dtype, unless there is alpha to multiply by."""
    if not keeps_dtype(image):
        return filtered(image, change)
    buffer = image.buffer
    if image.device == "cpu":
        return image.with_buffer(change(arrays, buffer if isinstance(buffer, np.ndarray) else buffer.numpy()))
    import torch

    from pipeline_filter import tensors

    if buffer.dtype == torch.uint16:  # torch can store it and no more
        return image.with_buffer(change(tensors, buffer.to(torch.int32)).to(torch.uint16))
    return image.with_buffer(change(tensors, buffer))


def keeps_dtype(image: AnyRaster) -> bool:
    """Whether there is nothing to be multiplied by alpha."""
    return not isinstance(image, Image) or image.coverage != "straight"


def picked(image: AnyRaster, **_: Any) -> AnyRaster:
    """For `infer` rules of what works `on_stored`."""
    return image if keeps_dtype(image) else as_floats(image)

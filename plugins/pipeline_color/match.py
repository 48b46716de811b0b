"""Colours of one picture given to another."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline_color.straight import color_channels
from pipeline_core import Image, OperationError, operation

Floats = np.ndarray[Any, np.dtype[np.float32]]


def _check(image: Image, reference: Image) -> Image:
    names = [image.channels[i] for i in color_channels(image)]
    if missing := [name for name in names if name not in reference.channels]:
        raise OperationError(f"the reference has no {', '.join(missing)}: to_rgb and to_gray make channels alike")
    if image.color != reference.color:
        raise OperationError(f"the image is {image.color}, the reference {reference.color}: color_convert one of them")
    if reference.batch not in (1, image.batch):
        raise OperationError(f"{image.batch} images and {reference.batch} references: one, or as many as images")
    return image.like()


@operation(device="cpu", infer=_check, aliases=("MatchGrade", "color_match", "histogram_matching"))
def match_histogram(image: Image, reference: Image) -> Image:
    """Give an image the tones of another: each channel's values, in their order, take the reference's distribution.

    A value becomes the one below which the same part of the reference lies (histogram specification: Gonzalez and
    Woods, Digital Image Processing, 3.3), without bins, so that floats keep their precision.

    Convention: works on straight values; pixels whose alpha is 0, and values that are not finite, don't count and stay.
    """
    _check(image, reference)
    straight, wanted = image.unassociate(), reference.unassociate()
    result, targets = straight.array.copy(), wanted.array
    seen, counted = _covered(image), _covered(reference)
    for item in range(image.batch):
        other = item if reference.batch > 1 else 0
        for i in image.color_indices:
            plane, target = result[item, ..., i], targets[other, ..., reference.index(image.channels[i])]
            where = seen[item] & np.isfinite(plane)
            values = target[counted[other] & np.isfinite(target)]
            if where.any() and values.size:
                plane[where] = _specified(plane[where], values)
    if image.coverage == "associated":  # light without cover stays, as it does in `unassociate`
        alpha = result[..., [image.index("A")]]
        result[..., image.color_indices] *= np.where(alpha == 0, np.float32(1), alpha)
    return image.with_array(result)


def _covered(image: Image) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if image.coverage == "none":
        return np.ones((image.batch, image.height, image.width), np.bool_)
    return np.asarray(image.array[..., image.index("A")] != 0)


def _specified(values: Floats, target: Floats) -> Floats:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    levels, level_counts = np.unique(target, return_counts=True)
    parts, level_parts = (np.cumsum(n) / n.sum() for n in (counts, level_counts))
    return np.asarray(np.interp(parts, level_parts, levels)[places], np.float32)

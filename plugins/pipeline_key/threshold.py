"""`threshold`: a mask of what is bright enough."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from pipeline_core import Image, Mask, operation
from pipeline_key.planes import Floats, color_of, colors_of, masked, ramp

LUMA = (0.2126, 0.7152, 0.0722)  # Rec. ITU-R BT.709-6, item 3.2


@operation(version=2, support=0, aliases=("binarize", "threshold_mask", "black_or_white"))
def threshold(
    image: Image | Mask,
    *,
    value: Annotated[float, Field(description="from here on a pixel is inside")] = 0.5,
    softness: Annotated[
        float, Field(ge=0, description="over how many values the edge fades, half on either side")
    ] = 0.0,
) -> Mask:
    """Mask what is as bright as a value, or brighter.

    Of colour its luma counts (ITU-R BT.709 weights, on the straight values as they are), of a mask or a gray image the
    value itself; for one channel of several take `mask_from_channel` first. A hard edge stands in steps: `feather_mask`
    or `softness` makes it smooth.

    Convention: a pixel of exactly the value is inside; with softness it is half inside.
    """
    if image.device == "cpu":
        return _by_numpy(image, value, softness)
    import torch

    if isinstance(image, Mask):
        bright = image.pixels
    else:
        color = color_of(image, "threshold")
        bright = (
            color if color.shape[1] == 1 else (color * color.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        )
    inside = ramp(bright, value - softness / 2, value + softness / 2)
    return Mask(torch.nan_to_num(inside).permute(0, 2, 3, 1), wrap=image.wrap, meta=image.meta)


def _by_numpy(image: Image | Mask, value: float, softness: float) -> Mask:
    """`threshold` on the CPU, a few rows at a time."""
    low, slope = np.float32(value - softness / 2), np.float32(1 / softness if softness > 0 else 0)

    below = float(np.nextafter(low, np.float32(-np.inf)))

    def make(colors: Floats, out: Floats) -> None:
        single = colors.shape[2] == 1
        bright = (
            colors[..., 0] if single else np.asarray(cv2.transform(colors, np.array([LUMA], np.float32)), np.float32)
        )
        if softness > 0:
            np.clip((bright - low) * slope, 0, 1, out=out)
            out[np.isnan(out)] = 0
        else:
            cv2.threshold(bright, below, 1, cv2.THRESH_BINARY, out)  # NaN is not

    if isinstance(image, Image):
        return replace(masked([(image, colors_of(image, "threshold", ("RGB", "Y")))], make), meta=image.meta)
    plane = Image(image.buffer, channels=("Y",), wrap=image.wrap)
    return replace(masked([(plane, [0])], make), meta=image.meta)

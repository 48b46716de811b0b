"""`threshold`: a mask of what is bright enough."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from pipeline_core import Image, Mask, operation
from pipeline_key.compiled import measured
from pipeline_key.planes import color_of, colors_of, ramp

LUMA = (0.2126, 0.7152, 0.0722)  # Rec. ITU-R BT.709-6, item 3.2


@operation(version=3, support=0, aliases=("binarize", "threshold_mask", "black_or_white"))
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
    picture = image if isinstance(image, Image) else Image(image.buffer, channels=("Y",), wrap=image.wrap)
    where = colors_of(picture, "threshold", ("RGB", "Y"))
    ends = (value - softness / 2, value + softness / 2)
    if (done := measured([(picture, where)], "weighted", LUMA, ends, blank=True)) is not None:
        return replace(done, meta=image.meta)
    import torch

    color = color_of(picture, "threshold", ("RGB", "Y"))
    bright = color if color.shape[1] == 1 else (color * color.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    inside = ramp(bright, *ends)
    return Mask(torch.nan_to_num(inside).permute(0, 2, 3, 1), wrap=image.wrap, meta=image.meta)

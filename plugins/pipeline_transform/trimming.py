"""Cutting away the empty border of a picture."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, Image, Mask, OperationError, Unit, operation

Box = tuple[int, int, int, int]


def _unknown(image: AnyRaster, mask: Mask | None = None, **_: Any) -> None:
    """The size depends on the pixels; whether it can be known at all does not."""
    _check(image, mask)


@operation(infer=_unknown, device="cpu", aliases=("autocrop", "crop_to_content", "crop_to_mask"))
def trim(
    image: AnyRaster,
    mask: Mask | None = None,
    *,
    threshold: Annotated[Unit, Field(description="alpha or coverage up to which a pixel is empty")] = 0.0,
    margin: Annotated[int, Field(ge=0, description="pixels to keep around, where there are any")] = 0,
) -> AnyRaster:
    """Cut away the empty border: crop to what a mask covers, or else to what is not transparent.

    Without a mask, an image is trimmed by its alpha and a mask by itself. Exact, in the image's own dtype. The pictures
    of a batch must come to the same box. A side that is cut tiles no more.
    """
    _check(image, mask)
    boxes = [_box(inside > threshold) for inside in _coverage(image, mask)]
    box = boxes[0]
    if box is None or len(set(boxes)) > 1:
        if None in boxes:
            raise OperationError(f"there is nothing to keep: no pixel is above the threshold of {threshold:g}")
        raise OperationError("the pictures of this batch would come to different sizes; trim them one by one")
    left, right = max(0, box[0] - margin), min(image.width, box[1] + margin)
    top, bottom = max(0, box[2] - margin), min(image.height, box[3] + margin)
    wrap = (image.wrap[0] and right - left == image.width, image.wrap[1] and bottom - top == image.height)
    return image.with_buffer(image.buffer[:, top:bottom, left:right], wrap=wrap)


def _check(image: Image | Mask, mask: Mask | None) -> None:
    if mask is None:
        if isinstance(image, Image) and image.alpha == "none":
            raise OperationError("the image has no alpha to trim by; link a mask, or 'crop' to a rectangle")
    elif mask.size != image.size:
        raise OperationError(
            f"the mask is {mask.width}x{mask.height}, but the image is {image.width}x{image.height}; "
            "'resize' or 'crop' one of them"
        )
    elif mask.batch not in (1, image.batch):
        raise OperationError(f"{mask.batch} masks for {image.batch} images; give one mask, or one for each")


def _coverage(image: Image | Mask, mask: Mask | None) -> np.ndarray[Any, Any]:
    """`(B, H, W)`: what decides."""
    if mask is not None:
        return mask.array[..., 0]
    return image.array[..., image.index("A") if isinstance(image, Image) else 0]


def _box(inside: np.ndarray[Any, Any]) -> Box | None:
    """Left, right, top, bottom of what is true; None where nothing is."""
    columns, rows = np.flatnonzero(inside.any(0)), np.flatnonzero(inside.any(1))
    if not columns.size:
        return None
    return int(columns[0]), int(columns[-1]) + 1, int(rows[0]), int(rows[-1]) + 1

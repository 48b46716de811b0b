"""What is of one colour around a point: selected, or painted."""

from __future__ import annotations

from typing import Annotated, Any

import cv2
import numpy as np
from pydantic import Field

from pipeline_core import Color, Image, Mask, OperationError, Unit, operation
from pipeline_draw.painting import fill

Place = Annotated[int, Field(ge=0, description="pixels from the left (x) or the top (y)")]
Tolerance = Annotated[float, Field(ge=0, description="largest difference from the point's values, in any channel")]
Diagonal = Annotated[bool, Field(description="go on over corners too")]


def _selected(image: Image, *, x: int, y: int, **_: Any) -> Mask:
    _check(image, x, y)
    return Mask.stand_in(image.width, image.height, batch=image.batch, wrap=image.wrap, meta=image.meta)


def _painted(image: Image, *, x: int, y: int, **_: Any) -> Image:
    _check(image, x, y)
    return image.like()


def _check(image: Image, x: int, y: int) -> None:
    if x >= image.width or y >= image.height:
        raise OperationError(f"the point ({x}, {y}) is outside the image, which is {image.width}x{image.height}")


@operation(infer=_selected, device="cpu", aliases=("magic_wand", "fuzzy_select", "select_contiguous"))
def flood_mask(image: Image, *, x: Place, y: Place, tolerance: Tolerance = 0.05, diagonal: Diagonal = False) -> Mask:
    """A mask of what is joined to a point by pixels of its colour.

    A pixel is of that colour if no colour or alpha channel differs from the point's by more than `tolerance` (1 is full
    scale; pixels that are both wholly transparent are alike). Over the seams of an image that tiles it goes on. The
    edge is hard: `feather_mask` and `grow_mask` soften and widen it.

    Convention: neighbours are the four at the sides; `diagonal` adds the four at the corners.
    """
    _check(image, x, y)
    inside = [_joined(item, x, y, image.wrap, diagonal) for item in _alike(image, x, y, tolerance)]
    return Mask(np.stack(inside)[..., None].astype(np.float32), wrap=image.wrap, meta=image.meta)


@operation(infer=_painted, device="cpu", aliases=("bucket_fill", "paint_bucket"))
def flood_fill(
    image: Image,
    *,
    x: Place,
    y: Place,
    color: Color,
    opacity: Unit = 1.0,
    tolerance: Tolerance = 0.05,
    diagonal: Diagonal = False,
) -> Image:
    """Paint over what is joined to a point by pixels of its colour: the paint bucket.

    What is painted is what `flood_mask` selects; how, is as in `fill`. The result is float32.
    """
    return fill(
        image, flood_mask(image, x=x, y=y, tolerance=tolerance, diagonal=diagonal), color=color, opacity=opacity
    )


def _alike(image: Image, x: int, y: int, tolerance: float) -> np.ndarray[Any, Any]:
    """`(B, H, W)`: which pixels are of the point's colour. Colours are compared as associated: unseen ones are alike."""
    where = image.color_indices + ([image.index("A")] if image.alpha != "none" else [])
    seen = image.associate().array[..., where or slice(None)]
    away = np.abs(seen - seen[:, y : y + 1, x : x + 1]).max(-1)
    # Associating rounds; a hair more lets equal codes stay equal. NaN is like nothing, but the point is like itself.
    alike = np.asarray(away <= tolerance + 1e-6)
    alike[:, y, x] = True
    return alike


def _joined(alike: np.ndarray[Any, Any], x: int, y: int, wrap: tuple[bool, bool], diagonal: bool) -> Any:
    """The part of `alike` (H, W) that is joined to the point."""
    # One row and column of the other side, so that what meets over a seam is seen to meet.
    extended = np.pad(alike, ((0, wrap[1]), (0, wrap[0])), mode="wrap").astype(np.uint8)
    count, labels = cv2.connectedComponents(extended, connectivity=8 if diagonal else 4)
    height, width = alike.shape
    seams = []
    if wrap[0]:
        seams.append((labels[:, 0], labels[:, width]))
    if wrap[1]:
        seams.append((labels[0, :], labels[height, :]))
    reached = np.zeros(count, bool)
    reached[labels[y, x]] = True
    while True:
        before = reached.sum()
        for one, other in seams:
            both = (one > 0) & (other > 0)
            reached[one[both]] |= reached[other[both]]
            reached[other[both & reached[one]]] = True
        if reached.sum() == before:
            return reached[labels[:height, :width]]

"""Cutting out what was found."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn.functional import interpolate

from pipeline_core import Image, OperationError, Table, operation
from pipeline_models.lookup import looked_up
from pipeline_models.vision.boxes import Box, read_boxes

Side = Annotated[int, Field(ge=1, le=16384)]
Span = tuple[int, int]


@operation(aliases=("crop_detections", "extract_objects", "regions_of_interest", "roi"))
def crop_by_boxes(
    image: Image,
    boxes: Table,
    *,
    size: Annotated[
        tuple[Side, Side] | None, Field(description="width, height of every crop; as they are by default")
    ] = None,
    fit: Annotated[
        Literal["widen", "stretch"], Field(description="to that size: take more around, or change the shape")
    ] = "widen",
    margin: Annotated[float, Field(ge=0, le=16384, description="pixels to keep around each box")] = 0.0,
    index: Annotated[
        int | None, Field(ge=0, description="of one of these rows, counted from 0; all by default")
    ] = None,
    label: Annotated[str | None, Field(description="rows of this label only")] = None,
) -> Image:
    """Cut boxes out of a picture: a batch with one crop for each row of a table, in its order.

    The table has columns `x`, `y`, `width`, `height`, and may have `image`, the place of a box's picture in the batch;
    without it each box is cut out of every picture. Crops of different sizes need a `size`, or an `index`.

    Without `size` pixels are moved, in the image's own dtype: all that the box touches. With it they are resampled,
    antialiased, weighted by alpha, and the result is float32. The alpha state stays; crops tile no more.

    Convention: a box is cut at the frame before its margin is added; what it is widened by is moved into the frame, and
    where that is too small the picture's edge goes on. A picture that tiles goes on beyond its seam.
    """
    chosen = _chosen(read_boxes(boxes, image.batch), index, label)
    pairs = [(i, box) for box in chosen for i in range(image.batch) if box.image in (None, i)]
    if size is None:
        return _moved(image, pairs, margin)
    lit = image.associate()
    crops = [_resampled(lit, i, box, margin, size, fit == "widen") for i, box in pairs]
    return lit.with_pixels(torch.cat(crops), wrap=(False, False)).with_alpha_state(image.alpha)


def _chosen(found: list[Box], index: int | None, label: str | None) -> list[Box]:
    if label is not None:
        known = sorted({box.label for box in found})
        found = [box for box in found if box.label == label]
        if not found:
            raise OperationError(f"no box has the label '{label}'; there are {', '.join(known) or 'no boxes'}")
    if not found:
        raise OperationError("the table has no rows, so there is nothing to cut out")
    if index is None:
        return found
    if index >= len(found):
        raise OperationError(f"there is no row {index}: the table has {len(found)}, counted from 0")
    return [found[index]]


def _moved(image: Image, pairs: list[tuple[int, Box]], margin: float) -> Image:
    spans = []
    for i, box in pairs:
        left, top, right, bottom = _limited(image, box, margin)
        spans.append((i, (math.floor(left), math.ceil(right)), (math.floor(top), math.ceil(bottom))))
    sizes = list(dict.fromkeys((across[1] - across[0], down[1] - down[0]) for _, across, down in spans))
    if len(sizes) > 1:
        shown = ", ".join(f"{width}x{height}" for width, height in sizes[:3])
        raise OperationError(
            f"the crops are of {len(sizes)} sizes ({shown}): say a 'size' for all, or the 'index' of one"
        )
    crops = [_cut(image, i, across, down) for i, across, down in spans]
    buffer = np.concatenate(crops) if isinstance(crops[0], np.ndarray) else torch.cat(crops)
    return image.with_buffer(buffer, wrap=(False, False))


def _resampled(image: Image, i: int, box: Box, margin: float, size: tuple[int, int], widen: bool) -> torch.Tensor:
    """`(1, C, height, width)`: the pixels that the box touches, to the nearest whole one where it is widened."""
    left, top, right, bottom = _limited(image, box, margin)
    across, down = (math.floor(left), math.ceil(right)), (math.floor(top), math.ceil(bottom))
    if widen:
        scale = max((across[1] - across[0]) / size[0], (down[1] - down[0]) / size[1])
        across = _widened(across, round(size[0] * scale), image.width, image.wrap[0])
        down = _widened(down, round(size[1] * scale), image.height, image.wrap[1])
    cut = image.with_buffer(_cut(image, i, across, down), wrap=(False, False)).pixels
    return interpolate(cut, size=size[::-1], mode="bilinear", antialias=True)


def _limited(image: Image, box: Box, margin: float) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of what is cut out, before it is widened. OperationError for a box beyond the frame."""
    edges = [box.x, box.y, box.x + box.width, box.y + box.height]
    for axis, (length, wraps) in enumerate(zip(image.size, image.wrap, strict=True)):
        if wraps:
            edges[axis], edges[axis + 2] = edges[axis] - margin, edges[axis + 2] + margin
            continue
        if edges[axis] >= length or edges[axis + 2] <= 0:
            raise OperationError(
                f"the box at {box.x:g}, {box.y:g} of {box.width:g}x{box.height:g} lies outside the picture, which is "
                f"{image.width}x{image.height}"
            )
        edges[axis] = max(0.0, max(0.0, edges[axis]) - margin)
        edges[axis + 2] = min(float(length), min(float(length), edges[axis + 2]) + margin)
    return edges[0], edges[1], edges[2], edges[3]


def _widened(span: Span, wanted: int, length: int, wraps: bool) -> Span:
    """As many pixels as wanted around the same middle, moved into the frame; around all of it where they are more."""
    wanted = max(wanted, span[1] - span[0])
    start = span[0] - (wanted - (span[1] - span[0])) // 2
    if not wraps:
        lowest, highest = sorted((0, length - wanted))
        start = min(max(start, lowest), highest)
    return start, start + wanted


def _cut(image: Image, i: int, across: Span, down: Span) -> Any:
    """`(1, h, w, C)` of the buffer; beyond the frame the edge goes on, or the picture tiles."""
    picture = image.buffer[i : i + 1]
    columns, rows = (
        np.arange(*span) % length if wraps else np.arange(*span).clip(0, length - 1)
        for span, length, wraps in zip((across, down), image.size, image.wrap, strict=True)
    )
    return looked_up(picture, rows, columns)

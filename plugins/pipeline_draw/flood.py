"""What is of one colour around a point: selected, or painted."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_core import Color, Image, Mask, OperationError, Unit, operation
from pipeline_core import opencv as cv2
from pipeline_draw.painting import fill

Array = np.ndarray[Any, Any]
MOST_CHANNELS = 4  # that OpenCV compares at once
NEAR = 256  # pixels around the point that are looked at first
Place = Annotated[int, Field(ge=0, description="pixels from the left (x) or the top (y)")]
Tolerance = Annotated[float, Field(ge=0, description="largest difference from the point's values, in any channel")]
Diagonal = Annotated[bool, Field(description="go on over corners too")]


def _selected(image: Image, *, x: int, y: int, **_: Any) -> Mask:
    _check(image, x, y)
    return Mask.stand_in(image.width, image.height, batch=image.batch, dtype="uint8", wrap=image.wrap, meta=image.meta)


def _painted(image: Image, *, x: int, y: int, **_: Any) -> Image:
    _check(image, x, y)
    return image.like()


def _check(image: Image, x: int, y: int) -> None:
    if x >= image.width or y >= image.height:
        raise OperationError(f"the point ({x}, {y}) is outside the image, which is {image.width}x{image.height}")


@operation(version=3, infer=_selected, device="cpu", aliases=("magic_wand", "fuzzy_select", "select_contiguous"))
def flood_mask(image: Image, *, x: Place, y: Place, tolerance: Tolerance = 0.05, diagonal: Diagonal = False) -> Mask:
    """A mask of what is joined to a point by pixels of its colour.

    A pixel is of that colour if no colour or alpha channel differs from the point's by more than `tolerance` (1 is full
    scale; pixels that are both wholly transparent are alike). Over the seams of an image that tiles it goes on. The
    edge is hard, so the mask is uint8: `feather_mask` and `grow_mask` soften and widen it.

    Convention: neighbours are the four at the sides; `diagonal` adds the four at the corners.
    """
    _check(image, x, y)
    inside = np.zeros((image.batch, image.height, image.width, 1), np.uint8)
    for item in range(image.batch):
        _flood(image.with_buffer(image.buffer[item : item + 1]), x, y, tolerance, diagonal, inside[item, ..., 0])
    inside *= 255
    return Mask(inside, wrap=image.wrap, meta=image.meta)


@operation(version=3, infer=_painted, device="cpu", aliases=("bucket_fill", "paint_bucket"))
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


def _flood(image: Image, x: int, y: int, tolerance: float, diagonal: bool, inside: Array) -> None:
    """Write 1 to the part of a picture that is joined to the point, which is looked for in its surroundings at first."""
    wanted = _seen(image, slice(y, y + 1), slice(x, x + 1))[0, 0]
    reach = NEAR
    while reach < max(image.size):
        rows, columns = (
            slice(max(0, at - reach), min(at + reach + 1, size)) for at, size in ((y, image.height), (x, image.width))
        )
        alike = _alike(_seen(image, rows, columns), wanted, tolerance)
        joined = _joined(alike, x - columns.start, y - rows.start, (False, False), diagonal)
        edges = (
            (rows.start or image.wrap[1], joined[0]),
            (image.height - rows.stop or image.wrap[1], joined[-1]),
            (columns.start or image.wrap[0], joined[:, 0]),
            (image.width - columns.stop or image.wrap[0], joined[:, -1]),
        )
        if not any(goes_on and edge.any() for goes_on, edge in edges):
            inside[rows, columns] = joined
            return
        reach *= 4
    alike = _alike(_seen(image, slice(0, image.height), slice(0, image.width)), wanted, tolerance)
    inside[:] = _joined(alike, x, y, image.wrap, diagonal)


def _seen(image: Image, rows: slice, columns: slice) -> Array:
    """Associated colours and alpha of a part, `(H, W, C)`."""
    where = image.color_indices + ([image.index("A")] if image.alpha != "none" else [])
    seen: Array = image.with_buffer(image.buffer[:, rows, columns]).associate().array[0]
    return seen[..., where] if where and len(where) < len(image.channels) else seen


def _alike(seen: Array, wanted: Array, tolerance: float) -> Array:
    """`(H, W)`: 1 where pixels are of a colour. Colours are compared as associated: unseen ones are alike."""
    # Associating rounds; a hair more lets equal codes stay equal. NaN is like nothing.
    low, high = (wanted.astype(np.float64) + side * (tolerance + 1e-6) for side in (-1, 1))
    alike = np.ones(seen.shape[:2], np.uint8)
    for first in range(0, len(wanted), MOST_CHANNELS):
        part = slice(first, first + MOST_CHANNELS)
        alike &= cv2.inRange(np.ascontiguousarray(seen[..., part]), low[part], high[part])
    return alike


def _joined(alike: Array, x: int, y: int, wrap: tuple[bool, bool], diagonal: bool) -> Array:
    """1 in the part of `alike` that is joined to the point, which is like itself."""
    alike[y, x] = 1
    height, width = alike.shape
    reached = np.zeros((height + 2, width + 2), np.uint8)
    inside, flags = reached[1:-1, 1:-1], (8 if diagonal else 4) | cv2.FLOODFILL_MASK_ONLY | 1 << 8
    new = [(y, x)]
    while new:
        for row, column in new:
            if not inside[row, column]:
                cv2.floodFill(alike, reached, (column, row), 0, 0, 0, flags)
        new = [
            place
            for axis in (0, 1)
            if wrap[1 - axis]
            for edge in (0, -1)
            for place in _beyond(alike, inside, axis, edge, wrap[axis], diagonal)
        ]
    return inside


def _beyond(alike: Array, inside: Array, axis: int, edge: int, wraps: bool, diagonal: bool) -> list[tuple[int, int]]:
    """Places on the other side of a seam that what is inside at this edge is joined to, and that are not inside yet."""
    from_here = inside.take(edge, axis)
    if diagonal:
        around = np.pad(from_here, 1, mode="wrap" if wraps else "constant")
        from_here = around[:-2] | around[1:-1] | around[2:]
    other = -1 - edge
    found = np.flatnonzero(from_here & alike.take(other, axis) & (1 - inside.take(other, axis)))
    line = other % alike.shape[axis]
    return [(line, at) if axis == 0 else (at, line) for at in found.tolist()]

"""How far it is to a mask."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Image, Mask, OperationError, operation
from pipeline_core import opencv as cv2
from pipeline_filter.arrays import Array, Wrap, on_items

Side = Literal["outside", "inside", "signed"]


def _as_data(mask: Mask, **_: Any) -> Image:
    return _data(np.broadcast_to(np.float32(0), mask.buffer.shape), mask)


def _data(array: Array, mask: Mask) -> Image:
    return Image(array, channels=("Y",), color="data", wrap=mask.wrap, meta=mask.meta)


def _reach(*, limit: float | None, **_: Any) -> float:
    return math.inf if limit is None else math.ceil(limit) + 1


@operation(
    device="cpu",
    infer=_as_data,
    support=_reach,
    aliases=("distance_transform", "distance_field", "sdf", "edt", "DistanceMap"),
)
def distance(
    mask: Mask,
    *,
    side: Annotated[Side, Field(description="where it is measured; the other side is 0, or negative")] = "outside",
    limit: Annotated[float, Field(gt=0, le=8192, description="larger distances become this, in pixels")] | None = None,
) -> Image:
    """Measure the distance to a mask's edge, in pixels: an image of one channel Y, of colour `data`.

    `outside`: 0 inside, and outside how far the nearest pixel inside is. `inside`: the same the other way round.
    `signed`: a signed distance field, positive outside and negative inside, 0 on the edge. Euclidean and exact
    (P. Felzenszwalb and D. Huttenlocher, Theory of Computing, 2012).

    Convention: a pixel is inside from 0.5 on. Distances go from centre to centre; `signed` takes off half a pixel, as
    the edge lies halfway. Where the mask tiles, so does the distance; beyond the frame there is nothing.
    """
    inside = np.ascontiguousarray(mask.array >= 0.5).view(np.uint8)
    if side == "outside":
        return _data(_to_nearest(1 - inside, mask.wrap, limit), mask)
    if side == "inside":
        return _data(_to_nearest(inside, mask.wrap, limit), mask)
    past = None if limit is None else limit + 0.5
    out, deep = _to_nearest(1 - inside, mask.wrap, past), _to_nearest(inside, mask.wrap, past)
    return _data(np.where(inside, 0.5 - deep, out - 0.5).astype(np.float32), mask)


def _to_nearest(away: Array, wrap: Wrap, limit: float | None) -> Array:
    """The distance from every 1 to the nearest 0."""
    if limit is None and away.all(axis=(1, 2, 3)).any():
        raise OperationError(
            "the mask has no pixel on the side that the distance is measured to, so there is none; give a 'limit', or "
            "another mask"
        )
    # Round a tile nothing is farther than half its size.
    height, width = away.shape[1:3]
    reach = (width // 2 + 1, height // 2 + 1) if limit is None else (math.ceil(limit), math.ceil(limit))

    def kernel(item: Array) -> Array:
        if item.all():
            return np.full(item.shape, limit, np.float32)
        return cv2.distanceTransform(item, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)

    found = on_items(away, reach, wrap, kernel)
    return found if limit is None else np.minimum(found, np.float32(limit))

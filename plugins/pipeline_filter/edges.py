"""Where a picture changes: edges as a mask."""

from __future__ import annotations

import functools
import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Image, Mask, each_tile, empty, operation
from pipeline_core import opencv as cv2
from pipeline_filter.arrays import STRIP, Array, Wrap, correlate, extended, separable
from pipeline_filter.associated import Floats, associated, guides
from pipeline_filter.weights import Weights, gaussian

Method = Literal["sobel", "scharr", "laplacian", "canny"]
DIFFERENCE: Weights = np.array([-1.0, 0, 1])
# Across the slope, so that a step of 1 gives 1.
SMOOTH: dict[str, Weights] = {
    "sobel": np.array([1.0, 2, 1]) / 4,
    "scharr": np.array([3.0, 10, 3]) / 16,
    "canny": np.array([1.0, 2, 1]) / 4,
}
LAPLACIAN: Weights = np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])


def _as_mask(image: Image | Mask, **_: Any) -> Mask:
    shape = (*image.buffer.shape[:3], 1)
    return Mask(np.broadcast_to(np.float32(0), shape), wrap=image.wrap, meta=image.meta)


def _reach(*, method: Method, sigma: float, **_: Any) -> float:
    return math.inf if method == "canny" else len(gaussian(sigma)) // 2 + 1


@operation(
    device="cpu",
    infer=_as_mask,
    support=_reach,
    aliases=("find_edges", "sobel", "scharr", "laplacian", "canny", "EdgeDetect"),
)
def edge_detect(
    image: Image | Mask,
    *,
    method: Method = "sobel",
    sigma: Annotated[float, Field(ge=0, le=64, description="of a Gaussian before, in pixels; 1 to 2 for grain")] = 0.0,
    low: Annotated[float, Field(ge=0, description="canny: edges end where they are weaker")] = 0.1,
    high: Annotated[
        float, Field(ge=0, description="canny: edges are no edges unless they are this strong somewhere")
    ] = 0.2,
) -> Mask:
    """Find edges: a mask that is 0 where nothing changes.

    `sobel`, `scharr` (H. Scharr's weights: the same in all directions) and `canny` go by the length of the slope,
    `laplacian` by the size of the curvature (which marks both sides of an edge). `canny` (J. Canny, IEEE PAMI 1986) gives
    lines of one pixel, 0 or 1. The strongest of colour and alpha counts, on values weighted by alpha: what is hidden
    under alpha 0 has no edge, and the outline of what is not hidden has one.

    Convention: a straight step of 1 gives 1, for every method; nothing is clipped, so HDR steps give more. Beyond the
    frame the edge pixels are repeated, or the image tiles where it wraps.
    """
    array = associated(image)
    colors, alpha = guides(image)
    if len(colors + alpha) < array.shape[3]:
        array = array[..., colors + alpha]
    if sigma:
        array = separable(array, gaussian(sigma), gaussian(sigma), image.wrap)
    if method == "laplacian":
        strength = _largest(np.abs(correlate(array, LAPLACIAN, image.wrap)))
    else:
        across = separable(array, DIFFERENCE, SMOOTH[method], image.wrap)
        down = separable(array, SMOOTH[method], DIFFERENCE, image.wrap)
        if method == "canny":
            lines = [_canny(*slopes, low, high, image.wrap) for slopes in zip(across, down, strict=True)]
            strength = np.stack(lines)
        else:
            strength = _largest(_length(across, down))
    return Mask(strength[..., None], wrap=image.wrap, meta=image.meta)


def _length(across: Array, down: Array) -> Array:
    result = empty(across.shape)

    def work(rows: slice, columns: slice) -> None:
        np.hypot(across[:, rows], down[:, rows], out=result[:, rows])

    each_tile(across.shape[2], across.shape[1], (across.shape[2], STRIP), work)
    return result


def _largest(array: Floats) -> Floats:
    """Of all channels; one by one, as numpy is slow along an axis of three."""
    return functools.reduce(np.maximum, np.moveaxis(array, -1, 0))


def _canny(across: Floats, down: Floats, low: float, high: float, wrap: Wrap) -> Floats:
    """Lines `(H, W)` from the slopes `(H, W, C)` of all channels, of which the steepest counts at each pixel."""
    if across.shape[2] > 1:
        steepest = (across * across + down * down).argmax(axis=2)[..., None]
        across, down = np.take_along_axis(across, steepest, 2), np.take_along_axis(down, steepest, 2)
    return _connected(_thinned(across[..., 0], down[..., 0], wrap), low, high, wrap)


def _thinned(across: Floats, down: Floats, wrap: Wrap) -> Floats:
    """How steep it is where that is the most along the slope, else 0: `(H, W)`."""
    strength = np.hypot(across, down)
    height, width = strength.shape
    around = extended(strength[..., None], (1, 1), wrap)[..., 0]

    def neighbour(x: int, y: int) -> Floats:
        return around[1 + y : 1 + y + height, 1 + x : 1 + x + width]

    flat, steep = math.tan(math.pi / 8), math.tan(3 * math.pi / 8)
    wide, high = np.abs(across), np.abs(down)
    ways = [high <= flat * wide, high >= steep * wide, across * down > 0]
    before = np.select(ways, [neighbour(-1, 0), neighbour(0, -1), neighbour(-1, -1)], neighbour(1, -1))
    after = np.select(ways, [neighbour(1, 0), neighbour(0, 1), neighbour(1, 1)], neighbour(-1, 1))
    # Of two equals the first one stays.
    return np.where((strength > before) & (strength >= after), strength, np.float32(0))


def _connected(strength: Floats, low: float, high: float, wrap: Wrap) -> Floats:
    """1 on the lines above `low` that are above `high` somewhere, also round the seam of a tile."""
    weak = (strength > low).astype(np.uint8)
    count, labels = cv2.connectedComponents(weak, connectivity=8)
    kept = np.zeros(count, bool)
    kept[labels[strength > max(low, high)]] = True
    while True:
        lines = kept[labels] & (labels > 0)
        touched = np.unique(labels[_touched_across_seams(lines, wrap)])
        if kept[touched[touched > 0]].all():
            return np.asarray(lines, np.float32)
        kept[touched[touched > 0]] = True


def _touched_across_seams(lines: Array, wrap: Wrap) -> Array:
    """Pixels at a border that tiles, beside a line on its other side."""
    around = extended(lines.astype(np.uint8)[..., None], (1, 1), wrap)[..., 0]
    touched = np.zeros_like(lines)
    for tiles, ends in ((wrap[0], (np.s_[:, 0], np.s_[:, -1])), (wrap[1], (np.s_[0, :], np.s_[-1, :]))):
        for end in ends if tiles else ():
            border = around[end]
            touched[end] |= (border[:-2] | border[1:-1] | border[2:]).astype(bool)
    return touched

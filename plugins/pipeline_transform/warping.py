"""Pulling a picture through a map: every output pixel says which place of the picture it shows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, Color, Image, Rows
from pipeline_transform.compiled import has_kernels
from pipeline_transform.paint import TRANSPARENT, channel_values
from pipeline_transform.resampling import KERNELS, Filter, associated, handed_back, namespace

Point = tuple[float, float]
WarpFilter = Literal["nearest"] | Filter
Fill = Annotated[Color, Field(description="where the picture does not reach")]
Antialias = Annotated[bool, Field(description="widen the filter where the picture shrinks")]
Side = Annotated[int, Field(ge=1, le=2**20, description="pixels of the result; as the image by default")]

WIDEST = 8  # times that a filter widens where the picture shrinks
Array = Any
"""A numpy array or a torch tensor."""


class Warp(NamedTuple):
    """A map from output pixels to places of the picture, and the size of the output.

    `source` gets the pixel centres of some rows, x `(1, width)` and y `(rows, 1)`, numpy or torch, and gives places
    that broadcast to `(rows, width)`, in pixels; NaN is nowhere. `matrix` is the same map where there is one, of three rows of
    float64: of the whole result, of which `top` rows are above the part that is to be made, to the whole picture, of which
    row `low` is the first that is given.
    """

    width: int
    height: int
    source: Callable[[Array, Array], tuple[Array, Array]]
    antialias: bool = False
    wrap: tuple[bool, bool] = (False, False)
    matrix: np.ndarray[Any, np.dtype[np.float64]] | None = None
    top: int = 0
    low: int = 0


def through(matrix: np.ndarray[Any, np.dtype[np.float64]]) -> Callable[[Array, Array], tuple[Array, Array]]:
    """The map of output pixels to places by a matrix; nowhere from the horizon on."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()

    def source(x: Array, y: Array) -> tuple[Array, Array]:
        if g == h == 0:
            return a / i * x + (b / i * y + c / i), d / i * x + (e / i * y + f / i)
        xp = namespace(x)
        depth = g * x + (h * y + i)
        depth = xp.where(depth > 0, depth, xp.nan)
        return (a * x + (b * y + c)) / depth, (d * x + (e * y + f)) / depth

    return source


def warped(image: AnyRaster, warp: Warp, kind: str, fill: Color = TRANSPARENT) -> AnyRaster:
    """The picture through the map, over `fill`, with colours weighted by alpha; its state is handed back as it was."""
    on_cpu = image.device == "cpu"
    if kind == "nearest":
        background = channel_values(fill, image)
        if on_cpu:
            from pipeline_transform import arrays

            return arrays.picked(image, warp, background)
        from pipeline_transform import tensors

        return tensors.picked(image, warp, background)
    if on_cpu and has_kernels():
        from pipeline_transform import arrays

        return arrays.sampled(image, warp, kind, channel_values(fill, _labelled(image)))
    from pipeline_transform import tensors

    source = associated(image)
    background = channel_values(fill, source)

    return handed_back(tensors.sampled(source, warp, KERNELS[kind], background), image)


def _labelled(image: AnyRaster) -> AnyRaster:
    """As associated as it is going to be."""
    if isinstance(image, Image) and image.alpha == "straight":
        return image.with_buffer(image.buffer, alpha="associated")
    return image


def warped_in_rows(image: AnyRaster, warp: Warp, kind: str, fill: Color = TRANSPARENT) -> Rows | None:
    """How `warped` makes some rows, for a map that takes straight lines to straight lines; None where it can't be told."""
    if image.wrap[1]:  # a part of a tile does not tile
        return None
    nearest = kind == "nearest"
    result = image.like(
        width=warp.width, height=warp.height, dtype=image.dtype if nearest else "float32", wrap=warp.wrap
    )
    margin = 1 if nearest else KERNELS[kind].radius * (WIDEST if warp.antialias else 1) + 2

    def needs(start: int, stop: int) -> tuple[int, int]:
        least, most = _down(warp, start, stop)
        if not (math.isfinite(least) and math.isfinite(most)):
            return 0, image.height
        low = min(max(math.floor(least) - margin, 0), image.height - 1)
        return low, min(max(math.ceil(most) + margin, low + 1), image.height)

    def make(start: int, stop: int, strip: AnyRaster) -> AnyRaster:
        low = needs(start, stop)[0]

        def source(x: Array, y: Array) -> tuple[Array, Array]:
            across, down = warp.source(x, y + start)
            return across, down - low

        part = warp._replace(height=stop - start, source=source, top=start, low=low)
        return warped(strip, part, kind, fill)

    return Rows(result, make, needs)


def _down(warp: Warp, start: int, stop: int) -> tuple[float, float]:
    """How far down the picture the corners of these rows of a result are, the least and the most; what is nowhere is no number."""
    if warp.matrix is not None and not warp.matrix[2, :2].any():  # hundreds of times for a plan: numpy takes longer
        (d, e, f), one = warp.matrix[1].tolist(), float(warp.matrix[2, 2])
        places = [(d * x + (e * y + f)) / one for x in (0, warp.width) for y in (start, stop)]
        return min(places), max(places)
    down = warp.source(np.array([[0.0, warp.width]]), np.array([[start], [stop]], np.float64))[1]
    return float(down.min()), float(down.max())


def warped_size(image: AnyRaster, width: int | None, height: int | None, kind: str, **changes: Any) -> AnyRaster:
    """What `warped` gives, as a stand-in."""
    changes = {"wrap": (False, False), **changes}
    return image.like(width=width, height=height, dtype=image.dtype if kind == "nearest" else "float32", **changes)

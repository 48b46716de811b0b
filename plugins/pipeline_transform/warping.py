"""Pulling a picture through a map: every output pixel says which place of the picture it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, Color
from pipeline_transform.paint import TRANSPARENT, channel_values
from pipeline_transform.resampling import KERNELS, Filter, associated, handed_back

Point = tuple[float, float]
WarpFilter = Literal["nearest"] | Filter
Fill = Annotated[Color, Field(description="where the picture does not reach")]
Antialias = Annotated[bool, Field(description="widen the filter where the picture shrinks")]
Side = Annotated[int, Field(ge=1, le=2**20, description="pixels of the result; as the image by default")]

Array = Any
"""A numpy array or a torch tensor."""


class Warp(NamedTuple):
    """A map from output pixels to places of the picture, and the size of the output.

    `source` gets the pixel centres of some rows, x `(1, width)` and y `(rows, 1)`, numpy or torch, and gives places
    that broadcast to `(rows, width)`, in pixels; NaN is nowhere.
    """

    width: int
    height: int
    source: Callable[[Array, Array], tuple[Array, Array]]
    antialias: bool = False
    wrap: tuple[bool, bool] = (False, False)


def namespace(array: Array) -> Any:
    """numpy or torch, whichever the array is of."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


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
    source = associated(image)
    background = channel_values(fill, source)
    if on_cpu and kind in ("bilinear", "bicubic"):
        from pipeline_transform import arrays

        return handed_back(arrays.sampled(source, warp, kind, background), image)
    from pipeline_transform import tensors

    return handed_back(tensors.sampled(source, warp, KERNELS[kind], background), image)


def warped_size(image: AnyRaster, width: int | None, height: int | None, kind: str, **changes: Any) -> AnyRaster:
    """What `warped` gives, as a stand-in."""
    changes = {"wrap": (False, False), **changes}
    return image.like(width=width, height=height, dtype=image.dtype if kind == "nearest" else "float32", **changes)

"""Grey morphology: the largest or smallest value of a neighbourhood."""

from __future__ import annotations

from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline_core import AnyRaster, operation
from pipeline_filter.associated import on_stored, picked

Shape = Annotated[Literal["square", "disc", "cross"], Field(description="of the neighbourhood")]
Radius = Annotated[int, Field(ge=0, le=1024, description="pixels around the centre; 1 is 3x3")]


def _picked_in_turn(image: AnyRaster, shape: str, radius: int, largest: tuple[bool, ...]) -> AnyRaster:
    """The largest (or smallest) values; then, with two, the smallest (or largest) of those."""

    def change(kernels: ModuleType, buffer: Any) -> Any:
        for one in largest:
            buffer = kernels.extreme(buffer, shape, radius, image.wrap, largest=one)
        return buffer

    return on_stored(image, change)


@operation(infer=picked, support=lambda radius, **_: radius, aliases=("maximum", "max_filter", "grow"))
def dilate(image: AnyRaster, *, radius: Radius = 1, shape: Shape = "square") -> AnyRaster:
    """Grow what is bright: each pixel becomes the largest value of its neighbourhood, channel by channel.

    Straight colours are multiplied by alpha before and divided after. Otherwise the picked values are exact and keep
    the image's own dtype.

    Convention: a `square` has 2 radius + 1 pixels on a side, a `disc` all pixels whose centre is within the radius, a
    `cross` the row and the column through the centre. Beyond the frame the edge pixels are repeated, or the image tiles
    where it wraps.
    """
    return _picked_in_turn(image, shape, radius, (True,))


@operation(infer=picked, support=lambda radius, **_: radius, aliases=("minimum", "min_filter", "shrink", "FilterErode"))
def erode(image: AnyRaster, *, radius: Radius = 1, shape: Shape = "square") -> AnyRaster:
    """Shrink what is bright: each pixel becomes the smallest value of its neighbourhood, channel by channel.

    Convention: neighbourhood, frame and dtype are those of `dilate`.
    """
    return _picked_in_turn(image, shape, radius, (False,))


@operation(infer=picked, support=lambda radius, **_: 2 * radius, aliases=("morph_open", "opening", "despeckle_bright"))
def open(image: AnyRaster, *, radius: Radius = 1, shape: Shape = "square") -> AnyRaster:  # noqa: A001  the field's word
    """Remove bright specks and thin lines: `erode`, then `dilate`.

    Convention: neighbourhood, frame and dtype are those of `dilate`.
    """
    return _picked_in_turn(image, shape, radius, (False, True))


@operation(infer=picked, support=lambda radius, **_: 2 * radius, aliases=("morph_close", "closing", "fill_holes"))
def close(image: AnyRaster, *, radius: Radius = 1, shape: Shape = "square") -> AnyRaster:
    """Fill dark specks and small holes: `dilate`, then `erode`.

    Convention: neighbourhood, frame and dtype are those of `dilate`.
    """
    return _picked_in_turn(image, shape, radius, (True, False))

"""`contrast`: values pushed away from a middle one, or towards it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline_color import compiled
from pipeline_color.compiled import Raise
from pipeline_color.lines import on_lines
from pipeline_color.pointwise import on_colors
from pipeline_color.power import raised
from pipeline_color.straight import color_channels
from pipeline_core import Image, operation


@operation(version=3, support=0, aliases=("change_contrast", "brightness_contrast"))
def contrast(
    image: Image,
    *,
    amount: Annotated[
        float, Field(ge=0, le=64, description="1 leaves it, above 1 is more, 0 makes all the pivot")
    ] = 1.3,
    pivot: Annotated[
        float, Field(gt=0, description="the value that stays: 0.5 of encoded values, 0.18 of linear light")
    ] = 0.5,
    curve: Annotated[Literal["line", "power"], Field(description="power keeps black black, for linear light")] = "line",
    brightness: Annotated[float, Field(description="added after that")] = 0.0,
) -> Image:
    """Push values away from a middle one, or towards it.

    A line is pivot + amount (value - pivot); a power is pivot (value / pivot) ^ amount, a line through the pivot where
    both axes are in stops. Nothing is clipped: a line takes dark values below 0, which `clamp` holds. For more of the
    detail rather than of the whole: `clahe`, `unsharp_mask`.

    Convention: negative values pass the power unchanged. Alpha is divided out and multiplied in again; where it is 0,
    black stays black.
    """

    if curve == "line":
        return on_lines(image, amount, brightness + pivot * (1 - amount))
    change = Raise(float(amount), 1 / pivot, then_slope=pivot, then_offset=brightness)
    done = compiled.raised(image, [change] * len(color_channels(image)))
    if done is not None:
        return done
    return on_colors(image, lambda color: pivot * raised(color / pivot, float(amount)) + brightness)

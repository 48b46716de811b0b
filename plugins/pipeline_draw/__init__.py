"""Operations that make pictures and masks from nothing, and paint shapes into pictures."""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline_core import hookimpl
from pipeline_draw.grounds import checkerboard, constant, gradient, radial
from pipeline_draw.masks import ellipse_mask, linear_mask, rectangle_mask
from pipeline_draw.painting import erase, fill

__all__ = [
    "checkerboard",
    "constant",
    "ellipse_mask",
    "erase",
    "fill",
    "gradient",
    "linear_mask",
    "radial",
    "rectangle_mask",
]


@hookimpl
def operations() -> Sequence[Callable[..., Any]]:
    return [constant, gradient, radial, checkerboard, rectangle_mask, ellipse_mask, linear_mask, fill, erase]

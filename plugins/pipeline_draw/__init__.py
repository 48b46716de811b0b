"""Operations that make pictures and masks from nothing, and paint shapes, floods and text into pictures."""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline_core import hookimpl
from pipeline_draw.flood import flood_fill, flood_mask
from pipeline_draw.grounds import checkerboard, constant, gradient, radial
from pipeline_draw.lettering import text, text_mask
from pipeline_draw.masks import ellipse_mask, linear_mask, rectangle_mask
from pipeline_draw.painting import erase, fill
from pipeline_draw.shapes import line_mask, polygon_mask

__all__ = [
    "checkerboard",
    "constant",
    "ellipse_mask",
    "erase",
    "fill",
    "flood_fill",
    "flood_mask",
    "gradient",
    "line_mask",
    "linear_mask",
    "polygon_mask",
    "radial",
    "rectangle_mask",
    "text",
    "text_mask",
]


@hookimpl
def operations() -> Sequence[Callable[..., Any]]:
    return [
        *(constant, gradient, radial, checkerboard),
        *(rectangle_mask, ellipse_mask, linear_mask, polygon_mask, line_mask, text_mask, flood_mask),
        *(fill, erase, flood_fill, text),
    ]

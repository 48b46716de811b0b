"""Grading, and conversions between colour spaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline_color.balance import cdl, gray_world, hue_shift, white_balance
from pipeline_color.contrast import contrast
from pipeline_color.convert import color_convert, set_color, to_gray, to_rgb
from pipeline_color.dithering import dither
from pipeline_color.grade import clamp, exposure, gamma, grade, invert, levels, saturation
from pipeline_color.lut import apply_lut
from pipeline_color.match import match_histogram
from pipeline_color.ocio import display_transform, ocio_convert, ocio_look
from pipeline_color.palette import palette_map, quantize
from pipeline_color.tone import curves, posterize, tonemap
from pipeline_core import hookimpl


@hookimpl
def operations() -> list[Callable[..., Any]]:
    return [
        grade,
        exposure,
        saturation,
        contrast,
        gamma,
        levels,
        invert,
        clamp,
        color_convert,
        set_color,
        to_gray,
        to_rgb,
        hue_shift,
        white_balance,
        gray_world,
        cdl,
        curves,
        tonemap,
        posterize,
        dither,
        quantize,
        palette_map,
        match_histogram,
        apply_lut,
        ocio_convert,
        ocio_look,
        display_transform,
    ]

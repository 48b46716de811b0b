"""Operations that move or resample pixels: crop, pad, flip, turn, resize, warp."""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline_core import hookimpl
from pipeline_transform.lens import lens_distort
from pipeline_transform.maps import st_map
from pipeline_transform.matrices import affine, corner_pin, translate
from pipeline_transform.placement import crop, offset, pad
from pipeline_transform.rotation import rotate
from pipeline_transform.scaling import resize
from pipeline_transform.sheets import batch_sheet, mosaic
from pipeline_transform.tiling import merge_tiles, split_tiles
from pipeline_transform.trimming import trim
from pipeline_transform.turns import flip, flop, rotate90, transpose

__all__ = [
    "affine",
    "batch_sheet",
    "corner_pin",
    "crop",
    "flip",
    "flop",
    "lens_distort",
    "merge_tiles",
    "mosaic",
    "offset",
    "pad",
    "resize",
    "rotate",
    "rotate90",
    "split_tiles",
    "st_map",
    "translate",
    "transpose",
    "trim",
]


@hookimpl
def operations() -> Sequence[Callable[..., Any]]:
    return [
        *(crop, trim, pad, offset, translate, mosaic, batch_sheet, split_tiles, merge_tiles),
        *(flip, flop, transpose, rotate90),
        *(resize, rotate, affine, corner_pin, st_map, lens_distort),
    ]

"""Operations that move or resample pixels: crop, pad, flip, turn, resize, rotate."""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline_core import hookimpl
from pipeline_transform.placement import crop, offset, pad
from pipeline_transform.rotation import rotate
from pipeline_transform.scaling import resize
from pipeline_transform.turns import flip, flop, rotate90, transpose

__all__ = ["crop", "flip", "flop", "offset", "pad", "resize", "rotate", "rotate90", "transpose"]


@hookimpl
def operations() -> Sequence[Callable[..., Any]]:
    return [crop, pad, offset, flip, flop, transpose, rotate90, resize, rotate]

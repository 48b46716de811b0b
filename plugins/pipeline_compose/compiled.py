"""The kernel of `merge`, in C: operators that are told by how much is seen of each picture, and blend modes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from pipeline_compose.arrays import Array
from pipeline_compose.blend import NON_SEPARABLE, SEPARABLE
from pipeline_compose.operators import Rule
from pipeline_compose.placement import Patch, Window
from pipeline_compose.porter_duff import Seen
from pipeline_core import Alpha, Image, Mask, Pixels, load_kernels

MOST_COLORS = 4
BLENDS = (
    "multiply", "screen", "overlay", "darken", "lighten", "color-dodge", "color-burn", "hard-light", "soft-light",
    "difference", "exclusion", "linear-burn", "linear-dodge", "vivid-light", "linear-light", "pin-light", "hard-mix",
    "subtract", "divide", "grain-extract", "grain-merge",
    "hue", "saturation", "color", "luminosity", "darker-color", "lighter-color",
)  # fmt: skip
"""In the order of kernels.c, where they are numbered from 1 on."""

_ALPHA: dict[Alpha, int] = {"none": 0, "straight": 1, "associated": 2}
_SEEN = {Seen.NONE: 0, Seen.ALL: 1, Seen.INSIDE: 2, Seen.OUTSIDE: 3}
_BLEND = {(SEPARABLE | NON_SEPARABLE)[name]: number for number, name in enumerate(BLENDS, 1)}


class _Side(ctypes.Structure):
    """`Side` of kernels.c."""

    _fields_ = (
        ("pixels", Pixels),
        ("alpha", ctypes.c_int),
        ("colors", ctypes.c_int * MOST_COLORS),
        ("last", ctypes.c_int),
    )


def can_merge(rule: Rule, groups: Sequence[Sequence[str]], *rasters: Image | Mask | None) -> bool:
    """Whether `merge_compiled` can do it: there is a kernel for it, and for pictures as these lie in memory."""
    if rule.fractions is None or rule.scatters or load_kernels(__file__) is None:
        return False
    if any(len(group) > MOST_COLORS or (rule.whole_colors and len(group) != 3) for group in groups):
        return False
    return all(r is None or (isinstance(r.buffer, np.ndarray) and Pixels.fits(r.buffer)) for r in rasters)


def merge_compiled(
    canvas: Image,
    base: Image,
    top: Image,
    mask: tuple[Mask, Window] | None,
    patch: Patch,
    names: Sequence[str],
    opacity: float,
    rule: Rule,
) -> None:
    """Write these colours of top merged with base, and alpha, to a patch of canvas, whose memory may be that of base."""
    kernels = load_kernels(__file__)
    assert kernels is not None, "asked for before"
    fractions = [_SEEN[seen] for seen in rule.fractions or ()]
    blend = 0 if rule.blend is None else _BLEND[rule.blend]
    height, width = (ctypes.c_ssize_t(part.stop - part.start) for part in patch.base)
    for item in range(canvas.batch):
        sides = [
            _side(image, item, window, tuple(names))
            for image, window in ((top, patch.top), (base, patch.base), (canvas, patch.base))
        ]
        amounts = Pixels() if mask is None else Pixels.of(_part(mask[0].buffer, item, mask[1]))
        kernels.merge(
            *map(ctypes.byref, sides),
            ctypes.byref(amounts),
            ctypes.c_float(opacity),
            len(names),
            *fractions,
            blend,
            height,
            width,
        )


def _side(image: Image, item: int, window: Window, names: tuple[str, ...]) -> _Side:
    colors, last = _places(image.channels, names)
    return _Side(Pixels.of(_part(image.buffer, item, window)), _ALPHA[image.alpha], colors, last)


@lru_cache(64)
def _places(channels: tuple[str, ...], names: tuple[str, ...]) -> tuple[ctypes.Array[ctypes.c_int], int]:
    """Where these colours are, and alpha."""
    return (ctypes.c_int * MOST_COLORS)(*map(channels.index, names)), channels.index("A") if "A" in channels else 0


def _part(buffer: Array, item: int, window: Window) -> Array:
    return buffer[item % len(buffer), window[0], window[1]]

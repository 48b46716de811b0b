"""Merging values as they lie in a picture, channel beside channel: no planes are taken out and put back.

For what is most frequent: two pictures in float32 of the same channels in the same alpha state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from pipeline_compose.arrays import Array
from pipeline_compose.blend import SEPARABLE
from pipeline_compose.operators import RULES, Rule
from pipeline_core import Image, Mask, each_tile

STRIP = 1 << 15
"""Pixels at once: what is made on the way lies in a core's cache."""

MOST_CHANNELS = 32  # OpenCV takes a few more, all of its versions take these

Uncovered = Callable[[Array], Array]
"""1 - alpha in all channels of an array; 0 where there is no alpha."""


def _over(t: Array, b: Array, uncovered: Uncovered, out: Array) -> None:
    np.multiply(b, uncovered(t), out=out)
    out += t


def _under(t: Array, b: Array, uncovered: Uncovered, out: Array) -> None:
    np.add(t * uncovered(b), b, out=out)  # out may be b


def _copy(t: Array, b: Array, uncovered: Uncovered, out: Array) -> None:
    out[:] = t


def _difference(b: Array, s: Array, out: Array) -> None:
    np.abs(np.subtract(b, s, out=out), out=out)


MERGES: dict[Callable[..., Array], Callable[[Array, Array, Uncovered, Array], None]] = {
    RULES["over"].merge: _over,
    RULES["under"].merge: _under,
    RULES["copy"].merge: _copy,
}
"""What is written to the last argument: the operators' own formulas."""

BLENDS: dict[Callable[..., Array], Callable[..., object]] = {
    SEPARABLE["multiply"]: np.multiply,
    SEPARABLE["darken"]: np.minimum,
    SEPARABLE["lighten"]: np.maximum,
    SEPARABLE["difference"]: _difference,
}
"""Blend functions of backdrop and source that write to `out`."""


def lie_beside(canvas: Image, base: Image, top: Image, groups: Sequence[Sequence[str]], rule: Rule) -> bool:
    """Whether `merge_beside` can do it."""
    alpha = [] if canvas.alpha == "none" else ["A"]
    return (
        not rule.scatters
        and (rule.merge in MERGES or (canvas.alpha == "none" and rule.blend is not None and not rule.whole_colors))
        and canvas.alpha in ("none", "associated")
        and canvas.alpha == base.alpha == top.alpha
        and canvas.channels == base.channels == top.channels
        and len(groups) == 1
        and [*groups[0], *alpha] == list(canvas.channels)
        and len(canvas.channels) <= MOST_CHANNELS
        and all(_is_plain(image.buffer) for image in (canvas, base, top))
    )


def _is_plain(buffer: Array) -> bool:
    return (
        isinstance(buffer, np.ndarray) and buffer.dtype == np.float32 and buffer.strides[2:] == (4 * buffer.shape[3], 4)
    )


def merge_beside(
    out: Array, base: Array, top: Array, mask: Mask | None, opacity: float, rule: Rule, *, alpha: bool
) -> None:
    """Write top merged with base, `(B, H, W, C)`, to `out`, which may be base itself: the bits that planes give."""
    height, width, channels = base.shape[1:]
    amounts = None if mask is None else mask.array[..., 0]

    def work(rows: slice, _: slice) -> None:
        below, above, place = (array[:, rows].transpose(0, 3, 1, 2) for array in (base, top, out))

        def uncovered(values: Array) -> Array:
            return _spread(1 - values[:, -1], channels) if alpha else 0.0

        with np.errstate(all="ignore"):  # formulas put right what a division by 0 gave
            blend, all_of_it = rule.blend, amounts is None and opacity == 1
            merged = place if all_of_it else np.empty_like(place)
            if rule.merge in MERGES:
                MERGES[rule.merge](above, below, uncovered, merged)
            elif blend in BLENDS:
                BLENDS[blend](below, above, out=merged)
            elif blend is not None:
                merged[:] = blend(below, above)
            if not all_of_it:
                amount: Array = opacity
                if amounts is not None:
                    amount = _spread(amounts[:, rows] * np.float32(opacity), channels)
                merged *= amount
                np.add(merged, below * (1 - amount), out=place)

    each_tile(width, height, (width, max(1, STRIP // width)), work)


def _spread(planes: Array, channels: int) -> Array:
    """`(B, H, W)` for each of so many channels, beside each other in memory: `(B, C, H, W)`."""
    flat = np.ascontiguousarray(planes).reshape(-1, planes.shape[2])
    return cv2.merge([flat] * channels).reshape(*planes.shape, channels).transpose(0, 3, 1, 2)

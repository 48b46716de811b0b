"""Operators on associated pixels `(B, C, H, W)`, alpha in the last plane: Porter and Duff's, and Nuke's arithmetic.

T. Porter, T. Duff, "Compositing Digital Images", SIGGRAPH 1984; `plus` with alpha held at 1 is the W3C's "lighter"
(Compositing and Blending Level 1, section 9.1). Names are Nuke's: `in`, `mask`, `out`, `stencil` and `under` are the
W3C's source-in, destination-in, source-out, destination-out and destination-over. Formulas of the second table: Nuke's
Merge, and for its conjoint and disjoint also Khronos GL_NV_blend_equation_advanced.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from pipeline_compose.arrays import Array, namespace
from pipeline_compose.layers import straightened

Formula = Callable[[Array, Array, Array, Array], Array]
"""Of t, b: all planes of top and base; ta, ba: their alphas. Nobody writes into them; one of them may be returned."""


class Seen(Enum):
    """How much of a picture is seen: nothing, all of it, what is inside the other one's alpha, or what is outside."""

    NONE = auto()
    ALL = auto()
    INSIDE = auto()
    OUTSIDE = auto()

    def of(self, part: Array, other: Array) -> Array | None:
        """That much of `part`, where `other` is the other's alpha; None is nothing."""
        if self is Seen.INSIDE:
            return part * other
        if self is Seen.OUTSIDE:
            return part * (1 - other)
        return part if self is Seen.ALL else None


FRACTIONS: dict[str, tuple[Seen, Seen]] = {
    "clear": (Seen.NONE, Seen.NONE),
    "copy": (Seen.ALL, Seen.NONE),
    "destination": (Seen.NONE, Seen.ALL),
    "over": (Seen.ALL, Seen.OUTSIDE),
    "under": (Seen.OUTSIDE, Seen.ALL),
    "in": (Seen.INSIDE, Seen.NONE),
    "mask": (Seen.NONE, Seen.INSIDE),
    "out": (Seen.OUTSIDE, Seen.NONE),
    "stencil": (Seen.NONE, Seen.OUTSIDE),
    "atop": (Seen.INSIDE, Seen.OUTSIDE),
    "destination-atop": (Seen.OUTSIDE, Seen.INSIDE),
    "xor": (Seen.OUTSIDE, Seen.OUTSIDE),
}
"""How much of top and of base is seen: Porter and Duff's table."""


def _by_fractions(of_top: Seen, of_base: Seen) -> Formula:
    def formula(t: Array, b: Array, ta: Array, ba: Array) -> Array:
        top, base = of_top.of(t, ba), of_base.of(b, ta)
        if top is None or base is None:
            return namespace(b).zeros_like(b) if top is base else base if top is None else top
        merged, other = (top, base) if of_base is Seen.ALL else (base, top)
        merged += other  # of its own: no operator shows all of both
        return merged

    return formula


def _alpha_held(merged: Array) -> Array:
    merged[:, -1:] = merged[:, -1:].clip(0, 1)
    return merged


def _with_alpha_of_over(merged: Array, ta: Array, ba: Array) -> Array:
    merged[:, -1:] = ta + ba * (1 - ta)
    return merged


def _geometric(t: Array, b: Array, ta: Array, ba: Array) -> Array:
    total = t + b
    return 2 * t * b / namespace(b).where(total == 0, 1.0, total)


def _conjoint_over(t: Array, b: Array, ta: Array, ba: Array) -> Array:
    """Over of two shapes that overlap as far as they can: one edge drawn twice is still one edge."""
    left = namespace(b).where(ba > ta, 1 - ta / namespace(b).where(ba == 0, 1.0, ba), 0.0)
    # Light without coverage hides nothing and is hidden by nothing.
    return t + b * namespace(b).where((ba == 0) & (ta == 0), 1.0, left)


def _disjoint_over(t: Array, b: Array, ta: Array, ba: Array) -> Array:
    """Over of two shapes that overlap as little as they can: two sides of one edge leave no gap."""
    left = (1 - ta) / namespace(b).where(ba == 0, 1.0, ba)
    return t + b * namespace(b).where(ta + ba < 1, 1.0, left)


def _matte(t: Array, b: Array, ta: Array, ba: Array) -> Array:
    """Straight colours mixed by top's alpha, as if base were opaque; alpha as by over."""
    coverage = ta + ba * (1 - ta)
    mixed = straightened(t) * ta + straightened(b) * (1 - ta)
    return namespace(b).concatenate([mixed * coverage, coverage], 1)


PORTER_DUFF: dict[str, Formula] = {
    **{name: _by_fractions(*fractions) for name, fractions in FRACTIONS.items()},
    "plus": lambda t, b, ta, ba: _alpha_held(t + b),
}

ARITHMETIC: dict[str, Formula] = {
    "average": lambda t, b, ta, ba: (t + b) * 0.5,
    "min": lambda t, b, ta, ba: namespace(b).minimum(t, b),
    "max": lambda t, b, ta, ba: namespace(b).maximum(t, b),
    "hypot": lambda t, b, ta, ba: _alpha_held(namespace(b).sqrt(t * t + b * b)),
    "geometric": _geometric,
    # The difference of two alphas is no coverage.
    "minus": lambda t, b, ta, ba: _with_alpha_of_over(t - b, ta, ba),
    "from": lambda t, b, ta, ba: _with_alpha_of_over(b - t, ta, ba),
    "conjoint-over": _conjoint_over,
    "disjoint-over": _disjoint_over,
    "matte": _matte,
}

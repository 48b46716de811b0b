"""Every operator of `merge` under its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pipeline_compose.arrays import Array
from pipeline_compose.blend import NON_SEPARABLE, SEPARABLE, Blend
from pipeline_compose.layers import straightened
from pipeline_compose.porter_duff import (
    ARITHMETIC,
    FRACTIONS,
    PORTER_DUFF,
    Formula,
    Seen,
)

Operator = Literal[
    "clear", "copy", "destination", "over", "under", "in", "mask",
    "out", "stencil", "atop", "destination-atop", "xor", "plus",
    "normal", "multiply", "screen", "overlay", "darken", "lighten", "color-dodge", "color-burn",
    "hard-light", "soft-light", "difference", "exclusion", "hue", "saturation", "color", "luminosity",
    "linear-burn", "linear-dodge", "vivid-light", "linear-light", "pin-light", "hard-mix", "subtract", "divide",
    "darker-color", "lighter-color", "dissolve",
    "average", "conjoint-over", "disjoint-over", "from", "minus", "geometric", "hypot", "matte", "min", "max",
    "grain-extract", "grain-merge",
]  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """How an operator merges, and what can be relied on without running it.

    merge          top and base `(B, C, H, W)`, associated, alpha last, to the same; writes into neither
    fractions      how much of top and of base is seen, where that is all there is, but for `blend` where both are
    blend          what it does to straight colours, where it is a blend mode
    keeps_opaque   an opaque base stays opaque, whatever the top
    keeps_outside  where top is transparent and black, base stays what it is
    whole_colors   wants R, G and B together, or one plane
    scatters       top is made of opaque grains first, as many as its alpha says
    """

    merge: Callable[[Array, Array], Array]
    keeps_opaque: bool
    keeps_outside: bool
    whole_colors: bool = False
    scatters: bool = False
    fractions: tuple[Seen, Seen] | None = None
    blend: Blend | None = None


def _by_formula(formula: Formula) -> Callable[[Array, Array], Array]:
    return lambda top, base: formula(top, base, top[:, -1:], base[:, -1:])


def _by_blend(blend: Blend) -> Callable[[Array, Array], Array]:
    return lambda top, base: blended(blend, top, base, straightened(top), straightened(base))


def blended(blend: Blend, top: Array, base: Array, straight_top: Array, straight_base: Array) -> Array:
    """Top and base as `Rule.merge` takes them, and their straight colours.

    W3C Compositing and Blending Level 1, section 5: Cs = (1 - ab) Cs + ab B(Cb, Cs), then source-over.
    """
    ta, ba = top[:, -1:], base[:, -1:]
    merged = base * (1 - ta)
    merged[:, -1:] += ta
    merged[:, :-1] += top[:, :-1] * (1 - ba)
    merged[:, :-1] += blend(straight_base, straight_top) * (ta * ba)
    return merged


_KEEP_OPAQUE = {
    "destination", "over", "under", "atop", "plus", "max", "hypot", "minus", "from", "conjoint-over", "disjoint-over",
    "matte",
}  # fmt: skip
_KEEP_OUTSIDE = {
    "destination", "over", "under", "stencil", "atop", "xor", "plus", "from", "conjoint-over", "disjoint-over",
}  # fmt: skip

_APART = (Seen.OUTSIDE, Seen.OUTSIDE)

RULES: dict[str, Rule] = {
    name: Rule(_by_formula(formula), name in _KEEP_OPAQUE, name in _KEEP_OUTSIDE, fractions=FRACTIONS.get(name))
    for name, formula in (PORTER_DUFF | ARITHMETIC).items()
}
RULES |= {
    name: Rule(_by_blend(blend), True, True, name in NON_SEPARABLE, fractions=_APART, blend=blend)
    for name, blend in (SEPARABLE | NON_SEPARABLE).items()
}
RULES["normal"] = RULES["over"]
RULES["dissolve"] = Rule(RULES["over"].merge, True, True, scatters=True)

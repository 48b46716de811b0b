"""The Porter-Duff operators on associated pixels.

T. Porter, T. Duff, "Compositing Digital Images", SIGGRAPH 1984; `plus` with alpha held at 1 is the W3C's "lighter"
(Compositing and Blending Level 1, section 9.1). Names are Nuke's: `in`, `mask`, `out`, `stencil` and `under` are the
W3C's source-in, destination-in, source-out, destination-out and destination-over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Operator = Literal[
    "clear", "copy", "destination", "over", "under", "in", "mask",
    "out", "stencil", "atop", "destination-atop", "xor", "plus",
]  # fmt: skip

KEEPS_OPAQUE = frozenset({"destination", "over", "under", "atop", "plus"})
"""Operators that leave an opaque base opaque, whatever the top."""


def composite(operator: Operator, top: Tensor, base: Tensor) -> Tensor:
    """`(B, C, H, W)` of equal sizes, colour associated, alpha in the last channel; the same back."""
    return _FORMULAS[operator](top, base, top[:, -1:], base[:, -1:])


def _plus(top: Tensor, base: Tensor, _: Tensor, __: Tensor) -> Tensor:
    total = top + base
    total[:, -1:].clamp_(max=1)
    return total


# t, b: all channels of top and base; ta, ba: their alphas.
_FORMULAS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "clear": lambda t, b, ta, ba: torch.zeros_like(b),
    "copy": lambda t, b, ta, ba: t,
    "destination": lambda t, b, ta, ba: b,
    "over": lambda t, b, ta, ba: t + b * (1 - ta),
    "under": lambda t, b, ta, ba: b + t * (1 - ba),
    "in": lambda t, b, ta, ba: t * ba,
    "mask": lambda t, b, ta, ba: b * ta,
    "out": lambda t, b, ta, ba: t * (1 - ba),
    "stencil": lambda t, b, ta, ba: b * (1 - ta),
    "atop": lambda t, b, ta, ba: t * ba + b * (1 - ta),
    "destination-atop": lambda t, b, ta, ba: b * ta + t * (1 - ba),
    "xor": lambda t, b, ta, ba: t * (1 - ba) + b * (1 - ta),
    "plus": _plus,
}

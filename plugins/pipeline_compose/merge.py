"""`merge`: one image over, under, in, out of another."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from pipeline_compose.layers import rebuild, with_alpha_last
from pipeline_compose.porter_duff import KEEPS_OPAQUE, Operator, composite
from pipeline_core import Alpha, Image, Mask, OperationError, Unit, operation

Position = Annotated[int | None, Field(description="pixels from base's left edge or top; may be negative")]


@operation(
    support=lambda x=None, y=None, **_: 0 if x is None and y is None else math.inf,
    aliases=("composite", "over", "layer"),
)
def merge(
    base: Image,
    top: Image,
    mask: Mask | None = None,
    *,
    operation: Annotated[Operator, Field(description="the Porter-Duff operator, top first: top over base")] = "over",
    opacity: Annotated[Unit, Field(description="how much of the result is mixed into base")] = 1.0,
    x: Position = None,
    y: Position = None,
) -> Image:
    """Merge top with base by a Porter-Duff operator.

    The result has base's size, colour space, alpha state and metadata. Top must have base's size, unless `x` or `y`
    says where its upper left corner goes; what hangs out is cut off, or comes in on the other side where base tiles.
    The mask has base's size. Batches are equal or one.

    Operators, with t, b for associated colour and alpha of top and base, and ta, ba for their alphas:
    clear 0; copy t; destination b; over t + b(1-ta); under b + t(1-ba); in t ba; mask b ta; out t(1-ba);
    stencil b(1-ta); atop t ba + b(1-ta); destination-atop b ta + t(1-ba); xor t(1-ba) + b(1-ta);
    plus t + b with alpha held at 1. (T. Porter, T. Duff, "Compositing Digital Images", SIGGRAPH 1984; W3C
    Compositing and Blending Level 1.) Colour is never clipped.

    Convention: `mask` and `opacity` mix between base and the full result, as in Nuke, for every operator: 0 is base.
    Convention: an image without alpha is opaque. A base without alpha stays without by destination, over, under,
    atop and plus, which can't make it transparent; the others give it one, in top's state (straight if top has none).
    Convention: a top placed by `x`, `y` is transparent beyond its frame, so `in`, `mask`, `copy`, ... act there too.
    Convention: only colour channels that both have are merged; base's others (Z, ...) are kept, top's are dropped.
    """
    names = _color_in_common(base, top)
    _check_fit(base, top, mask, placed=x is not None or y is not None)
    below = with_alpha_last(base, names)
    above = with_alpha_last(top, names)
    if x is not None or y is not None:
        above = _place(above, base, x or 0, y or 0)
    batch = max(base.batch, top.batch, mask.batch if mask else 1)
    above, below = above.expand(batch, -1, -1, -1), below.expand(batch, -1, -1, -1)
    merged = composite(operation, above, below)
    if mask is not None:
        merged = torch.lerp(below, merged, mask.pixels * opacity)
    elif opacity < 1:
        merged = torch.lerp(below, merged, opacity)
    return rebuild(base, names, merged, _alpha_state(base, top, operation))


def _alpha_state(base: Image, top: Image, operator: Operator) -> Alpha:
    if base.alpha != "none" or operator in KEEPS_OPAQUE:
        return base.alpha
    return "straight" if top.alpha == "none" else top.alpha


def _color_in_common(base: Image, top: Image) -> list[str]:
    main = [{name for name in image.channels if name in "RGBY"} for image in (base, top)]
    if not main[0]:
        raise OperationError(f"base has no colour channels to merge, only {', '.join(base.channels)}")
    if main[0] != main[1]:
        kinds = [", ".join(name for name in image.channels if name in "RGBY") or "no colour" for image in (base, top)]
        mend = "to_gray" if main[0] == {"Y"} else "to_rgb"
        raise OperationError(f"base has {kinds[0]}, top has {kinds[1]}: convert top with {mend}")
    if base.color != top.color:
        raise OperationError(f"base is {base.color}, top is {top.color}: convert one of them with color_convert")
    return [base.channels[i] for i in base.color_indices if base.channels[i] in top.channels]


def _check_fit(base: Image, top: Image, mask: Mask | None, *, placed: bool) -> None:
    size = f"{base.width}x{base.height}"
    if top.size != base.size and not placed:
        raise OperationError(f"base is {size}, top is {top.width}x{top.height}: resize or pad top, or give x and y")
    if mask is not None and mask.size != base.size:
        mend = "give a mask of base's size, or use set_alpha to give top a mask of its own"
        raise OperationError(f"base is {size}, mask is {mask.width}x{mask.height}: {mend}")
    batches = {"base": base.batch, "top": top.batch} | ({"mask": mask.batch} if mask else {})
    if len(set(batches.values()) - {1}) > 1:
        found = ", ".join(f"{name} is a batch of {count}" for name, count in batches.items())
        raise OperationError(f"{found}: batches must be equal, or one")
    for axis, wraps, length, given in zip("xy", base.wrap, base.size, top.size, strict=True):
        if placed and wraps and given > length:
            raise OperationError(f"base tiles in {axis} at {length} pixels, top has {given}: resize top to fit")


def _place(top: Tensor, base: Image, x: int, y: int) -> Tensor:
    """Top on a transparent canvas of base's size, its upper left corner at x, y."""
    for dim, at, length, wraps in ((3, x, base.width, base.wrap[0]), (2, y, base.height, base.wrap[1])):
        size = top.shape[dim]
        # Beyond the canvas one place is as good as another; within these limits no padding cuts off more than there is.
        before = 0 if wraps else min(max(at, -size), length)
        pads = (before, length - size - before)
        top = functional.pad(top, pads if dim == 3 else (0, 0, *pads))
        if wraps:
            top = torch.roll(top, at, dim)
    return top

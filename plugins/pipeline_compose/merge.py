"""`merge`, `mix` and `keymix`: one image over, under, in, out of, blended with another."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline_compose.canvas import Layer, draw, new_canvas, on_clear
from pipeline_compose.fit import alpha_state, check_mask, check_sizes, color_in_common, common_batch
from pipeline_compose.operators import RULES, Operator
from pipeline_compose.placement import Position, corner
from pipeline_core import Image, Mask, Seed, Unit, operation

Offset = Annotated[int | None, Field(description="pixels from position, or from base's upper left; may be negative")]


def _reach(operation: str = "over", extent: str = "base", **params: Any) -> float:
    """Grains, and the place of a top, hang on where a pixel is in the whole picture."""
    placed = extent != "base" or any(params.get(name) is not None for name in ("position", "x", "y"))
    return math.inf if placed or RULES[operation].scatters else 0


@operation(
    version=5,
    support=_reach,
    aliases=(
        "composite",
        "blend",
        "over",
        "layer",
        "image_blend",
        "ImageCompositeMasked",
        "PorterDuffImageComposite",
        "blend_mode",
        "layer_mode",
    ),
)
def merge(
    base: Image,
    top: Image,
    mask: Mask | None = None,
    *,
    operation: Annotated[Operator, Field(description="the operator, top first: top over base")] = "over",
    opacity: Annotated[Unit, Field(description="how much of the result is mixed into base")] = 1.0,
    position: Annotated[Position | None, Field(description="where a top of another size goes")] = None,
    x: Offset = None,
    y: Offset = None,
    extent: Annotated[
        Literal["base", "union"], Field(description="the result's frame: base's, or one that holds all of top too")
    ] = "base",
    seed: Annotated[Seed, Field(description="which grains dissolve shows")] = 0,
) -> Image:
    """Merge top with base: Porter-Duff operators, blend modes, arithmetic.

    The result has base's colour space, alpha state and metadata, and its size unless `extent` is union. Top must have
    base's size, unless `position`, `x` or `y` says where it goes; what hangs out is cut off, or comes in on the other
    side where base tiles. The mask has base's size. Batches are equal or one. Colour is never clipped.

    Porter-Duff (SIGGRAPH 1984; W3C Compositing and Blending Level 1), with t, b for associated colour and alpha of top
    and base, ta, ba for their alphas: clear 0; copy t; destination b; over (or normal) t + b(1-ta); under b + t(1-ba);
    in t ba; mask b ta; out t(1-ba); stencil b(1-ta); atop t ba + b(1-ta); destination-atop b ta + t(1-ba);
    xor t(1-ba) + b(1-ta); plus t + b with alpha held at 1.

    Blend modes: t(1-ba) + b(1-ta) + ta ba B, where B is a function of the straight colours: the W3C's from multiply to
    luminosity, Photoshop's from linear-burn to lighter-color, GIMP's grain-extract b-t+0.5 and grain-merge b+t-0.5.
    They are meant for colours encoded for the eye (sRGB). dissolve shows all of top or nothing, by chance, per pixel.

    Arithmetic, as in Nuke, of associated values, alpha too: average, min, max, hypot (t²+b²)^½, geometric 2tb/(t+b);
    minus t-b and from b-t, with the alpha of over; conjoint-over t + b(1-ta/ba), t where ta > ba;
    disjoint-over t + b(1-ta)/ba, t + b where ta+ba < 1; matte, an over of the straight colours as if base were opaque.

    Convention: `mask` and `opacity` mix between base and the full result, as in Nuke, for every operator: 0 is base.
    Those of dissolve thin out its grains.
    Convention: an image without alpha is opaque. A base without alpha stays without by operators that can't make it
    transparent; the others give it one, in top's state (straight if top has none). `extent: union` gives it one too.
    Convention: a placed top is transparent beyond its frame, so `in`, `mask`, `copy`, ... act there too.
    Convention: only colour channels that both have are merged; base's others (Z, ...) are kept, top's are dropped.
    Convention: blend formulas that hold their result in 0..1 hold it within what 0, 1 and both colours span.
    Convention: where `position` leaves an odd pixel over, it is on the right or below.
    """
    placed = extent == "union" or any(value is not None for value in (position, x, y))
    check_sizes(base, top, placed=placed)
    check_mask(mask, base)
    batch = common_batch(base=base, top=top, mask=mask)
    groups = color_in_common(base, top, operation)
    left, upper = corner(position or "top-left", base.size, top.size)
    at = left + (x or 0), upper + (y or 0)
    if extent == "union":
        base, mask, at = _grown(base, mask, top, at)
    layer = Layer(top, RULES[operation], groups, at, opacity, mask, seed=seed)
    drawn = {"A", *(name for group in groups for name in group)} if layer.covers(base.size) else ()
    canvas = new_canvas(base, alpha_state(base, [(top, operation)]), batch, unset=drawn)
    draw(canvas, base, layer)
    return canvas


def _grown(
    base: Image, mask: Mask | None, top: Image, at: tuple[int, int]
) -> tuple[Image, Mask | None, tuple[int, int]]:
    """Base, mask and top's place on the smallest frame that holds base and top; none beyond base where it tiles."""
    starts, size = [], []
    for start, length, given, wraps in zip(at, base.size, top.size, base.wrap, strict=True):
        starts.append(0 if wraps else min(start, 0))
        size.append(length if wraps else max(start + given, length) - starts[-1])
    x, y = -starts[0], -starts[1]
    frame = size[0], size[1]
    state = base.alpha if base.alpha != "none" else alpha_state(base, [(top, "copy")])
    grown = on_clear(base, (x, y), frame, base.wrap).with_alpha_state(state)
    return grown, mask and on_clear(mask, (x, y), frame, base.wrap), (at[0] + x, at[1] + y)


@operation(version=3, support=0, aliases=("dissolve", "lerp", "crossfade"))
def mix(base: Image, top: Image, *, amount: Annotated[Unit, Field(description="0 is base, 1 is top")] = 0.5) -> Image:
    """Mix two images, as Nuke's Dissolve.

    Colour and alpha are mixed on associated values, so that a transparent image lends no colour. The result has base's
    size, colour space, alpha state and metadata; sizes are equal, batches equal or one.

    Convention: as `merge` with `operation: copy` and this opacity: an image without alpha is opaque.
    """
    return merge(base, top, operation=_copy(top), opacity=amount)


@operation(version=3, support=0, aliases=("masked_mix",))
def keymix(
    base: Image,
    top: Image,
    mask: Mask,
    *,
    amount: Annotated[Unit, Field(description="what the mask is multiplied by")] = 1.0,
) -> Image:
    """Show top where the mask is 1 and base where it is 0, as Nuke's Keymix.

    Mixed on associated values. The result has base's size, colour space, alpha state and metadata; sizes are equal,
    batches equal or one.

    Convention: as `merge` with `operation: copy` and this mask: an image without alpha is opaque.
    """
    return merge(base, top, mask, operation=_copy(top), opacity=amount)


def _copy(top: Image) -> Operator:
    """Of an opaque top over is the same as copy, and known to keep an opaque base opaque."""
    return "over" if top.alpha == "none" else "copy"

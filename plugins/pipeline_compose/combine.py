"""`combine_masks`: one mask of two."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline_compose.fit import common_batch
from pipeline_core import Mask, OperationError, operation

How = Literal["union", "intersection", "subtract", "difference", "add", "multiply"]


@operation(support=0, aliases=("MaskComposite", "union_masks", "intersect_masks", "subtract_masks", "add_masks"))
def combine_masks(
    base: Mask, top: Mask, *, operation: Annotated[How, Field(description="which parts are inside")] = "union"
) -> Mask:
    """Make one mask of two: what is in either, in both, in one but not the other.

    With b and t for the masks: union max(b, t); intersection min(b, t); subtract min(b, 1 - t), base without top;
    difference |b - t|, what is in one alone; add b + t, held at 1; multiply b t. Sizes are equal, batches equal or one;
    the result tiles where both do.

    Convention: union, intersection and subtract are those of fuzzy sets (Zadeh 1965): where soft edges meet nothing is
    counted twice, and a mask combined with itself is itself.
    """
    import torch

    if base.size != top.size:
        raise OperationError(
            f"base is {base.width}x{base.height}, top is {top.width}x{top.height}: resize, crop or pad one of them"
        )
    common_batch(base=base, top=top)
    b, t = base.pixels, top.pixels
    match operation:
        case "union":
            made = torch.maximum(b, t)
        case "intersection":
            made = torch.minimum(b, t)
        case "subtract":
            made = torch.minimum(b, 1 - t)
        case "difference":
            made = (b - t).abs()
        case "add":
            made = (b + t).clamp(max=1)
        case "multiply":
            made = b * t
    return base.with_pixels(made, wrap=(base.wrap[0] and top.wrap[0], base.wrap[1] and top.wrap[1]))

"""Whether images can be merged, told before anything is; and what the result will be."""

from __future__ import annotations

from pipeline_compose.canvas import color_groups
from pipeline_compose.operators import RULES, Operator
from pipeline_core import Alpha, Image, Mask, OperationError


def color_in_common(base: Image, top: Image, operation: Operator, name: str = "top") -> list[list[str]]:
    """The colour channels that both have, by groups."""
    main = [{channel for channel in image.channels if channel in "RGBY"} for image in (base, top)]
    if not main[0]:
        raise OperationError(f"base has no colour channels to merge, only {', '.join(base.channels)}")
    if main[0] != main[1]:
        kinds = [", ".join(c for c in image.channels if c in "RGBY") or "no colour" for image in (base, top)]
        mend = "to_gray" if main[0] == {"Y"} else "to_rgb"
        raise OperationError(f"base has {kinds[0]}, {name} has {kinds[1]}: convert {name} with {mend}")
    if base.color != top.color:
        raise OperationError(f"base is {base.color}, {name} is {top.color}: convert one of them with color_convert")
    groups = color_groups([base.channels[i] for i in base.color_indices if base.channels[i] in top.channels])
    for group in groups:
        if RULES[operation].whole_colors and len(group) not in (1, 3):
            raise OperationError(f"{operation} wants R, G and B together, or Y, there is only {', '.join(group)}")
    return groups


def alpha_state(base: Image, tops: list[tuple[Image, Operator]]) -> Alpha:
    """The alpha state of a base with these merged into it: its own, unless one of them makes it transparent."""
    if base.alpha != "none" or all(RULES[operation].keeps_opaque for _, operation in tops):
        return base.alpha
    return next((top.alpha for top, _ in tops if top.alpha != "none"), "straight")


def check_sizes(base: Image, top: Image, *, placed: bool) -> None:
    if top.size != base.size and not placed:
        found = f"base is {base.width}x{base.height}, top is {top.width}x{top.height}"
        raise OperationError(f"{found}: resize or pad top, or give x and y, or position")


def check_mask(mask: Mask | None, image: Image, names: str = "base") -> None:
    if mask is not None and mask.size != image.size:
        found = f"{names} is {image.width}x{image.height}, mask is {mask.width}x{mask.height}"
        raise OperationError(f"{found}: give a mask of {names}'s size, or use set_alpha to give top a mask of its own")


def common_batch(**rasters: Image | Mask | None) -> int:
    """The number of items of the result."""
    batches = {name: raster.batch for name, raster in rasters.items() if raster is not None}
    if len(set(batches.values()) - {1}) > 1:
        found = ", ".join(f"{name} is a batch of {count}" for name, count in batches.items())
        raise OperationError(f"{found}: batches must be equal, or one")
    return max(batches.values())

"""Layers over layers, alpha, masks, and figures cut out of their backgrounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline_compose.alpha import flatten, premultiply, set_alpha, split_alpha, unpremultiply
from pipeline_compose.background import remove_background
from pipeline_compose.combine import combine_masks
from pipeline_compose.masks import feather_mask, grow_mask, invert_mask, mask_from_channel, shrink_mask
from pipeline_compose.merge import keymix, merge, mix
from pipeline_compose.stack import layer_stack
from pipeline_core import hookimpl


@hookimpl
def operations() -> list[Callable[..., Any]]:
    return [
        merge,
        mix,
        keymix,
        layer_stack,
        flatten,
        premultiply,
        unpremultiply,
        set_alpha,
        split_alpha,
        mask_from_channel,
        invert_mask,
        combine_masks,
        feather_mask,
        grow_mask,
        shrink_mask,
        remove_background,
    ]

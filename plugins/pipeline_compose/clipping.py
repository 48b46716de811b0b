"""Layers that are shown only where another one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline_compose.canvas import Layer, draw, new_canvas
from pipeline_compose.fit import common_batch
from pipeline_core import Image


def _straight(image: Image) -> Image:
    """Of `data`, too, whose alpha merging is asked for by name."""
    if image.color != "data":
        return image.unassociate()
    return replace(replace(image, color="lin_rec709_scene").unassociate(), color="data")


def with_clipped(layer: Layer, clipped: Sequence[Layer]) -> Layer:
    """The layer with the clipped ones merged into its colours, taken as opaque; its alpha as it was."""
    if not clipped:
        return layer
    body = _straight(layer.top)
    batch = common_batch(body=body, **{f"clipped {i}": above.top for i, above in enumerate(clipped)})
    whole = new_canvas(body, body.alpha, batch)
    at = [i for i, name in enumerate(whole.channels) if name != "A"]
    color = whole.with_buffer(
        whole.buffer[..., at], channels=tuple(whole.channels[i] for i in at), alpha="none", wrap=(False, False)
    )
    for above in clipped:
        draw(color, color, replace(above, at=(above.at[0] - layer.at[0], above.at[1] - layer.at[1])))
    whole.buffer[..., at] = color.buffer
    return replace(layer, top=whole)

"""Merging band by band into one buffer: what is made on the way stays in the processor's cache."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline_compose.arrays import Array, empty, namespace, pixels_of
from pipeline_compose.compiled import can_merge, merge_compiled
from pipeline_compose.layers import both_ways, with_alpha_channel, with_alpha_last, write
from pipeline_compose.operators import Rule, blended
from pipeline_compose.placement import Patch, Size, cut, patches_of
from pipeline_compose.scatter import scattered
from pipeline_core import Alpha, AnyRaster, Image, Mask, each_tile

BAND = 1 << 17
"""Pixels that one core works on at once: the planes of a few steps lie in a cache, and take longer than it takes to call.
Kernels make no planes, and are given four times as many."""

ANY_ARRAY = np.empty(0, np.float32)
FEW = 4
"""Bands for which threads are not worth while."""


@dataclass(frozen=True)
class Layer:
    """A top, and how it goes onto a base."""

    top: Image
    rule: Rule
    groups: Sequence[Sequence[str]]
    """Colour channels that are merged, see `color_groups`."""
    at: tuple[int, int] = (0, 0)
    opacity: float = 1.0
    mask: Mask | None = None
    mask_moves: bool = False
    """The mask has top's frame, not base's."""
    seed: int = 0

    def covers(self, size: Size) -> bool:
        """Whether every pixel of a base of this size is drawn anew."""
        return not self.rule.keeps_outside or (self.at == (0, 0) and self.top.size == size)


def color_groups(names: Sequence[str]) -> list[list[str]]:
    """Channels by the layer they belong to (R, G, B; then diffuse.R, diffuse.G, ...), R before G before B."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.rpartition(".")[0], []).append(name)
    return [sorted(group, key=lambda name: "RGBY".index(name[-1])) for group in groups.values()]


def new_canvas(base: Image, alpha: Alpha, batch: int, unset: Collection[str] = ()) -> Image:
    """A copy of base to draw on: float32, of this batch, opaque where base had no alpha and is to have one.

    The channels named by `unset` are left as they come, for those who draw on all of them.
    """
    channels = base.channels if alpha == "none" else with_alpha_channel(base.channels)
    kept = [name for name in channels if name not in unset]
    pixels = pixels_of(base) if kept else ANY_ARRAY if base.device == "cpu" else base.pixels[..., :1, :1]
    buffer = empty((batch, base.height, base.width, len(channels)), like=pixels)
    for name in kept:
        buffer[..., channels.index(name)] = pixels[:, base.index(name)] if name in base.channels else 1
    if channels == base.channels:
        return base.with_buffer(buffer)
    return base.with_buffer(buffer, channels=channels, alpha=alpha)


def on_clear(raster: AnyRaster, at: tuple[int, int], size: Size, wrap: tuple[bool, bool]) -> AnyRaster:
    """A raster placed on a transparent frame of this size; an image without alpha gets one, straight."""
    if isinstance(raster, Image) and raster.alpha == "none":
        raster = new_canvas(raster, "straight", raster.batch)
    pixels = pixels_of(raster)
    buffer = empty((raster.batch, size[1], size[0], len(raster.channels)), like=pixels)
    buffer[:] = 0
    for patch in patches_of(at, raster.size, size, wrap):
        for i in range(len(raster.channels)):
            buffer[:, patch.base[0], patch.base[1], i] = pixels[:, i, patch.top[0], patch.top[1]]
    return raster.with_buffer(buffer)


def draw(canvas: Image, base: Image, layer: Layer) -> None:
    """Write base with a layer merged into it on canvas. Base and canvas may share one buffer."""
    if layer.covers(base.size):
        layer = _spread(layer, base)
    patches = patches_of(layer.at, layer.top.size, base.size, base.wrap)
    if canvas.device != "cpu":
        for patch in patches:
            _draw_patch(canvas, base, layer, patch)
        return
    compiled = can_merge(layer.rule, layer.groups, canvas, base, layer.top, layer.mask)
    bands = [band for patch in patches for band in _bands(patch, BAND * (4 if compiled else 1))]

    def work(rows: slice, _: slice) -> None:
        for band in bands[rows]:
            _draw_patch(canvas, base, layer, band, compiled=compiled)

    each_tile(1, len(bands), (1, 1) if len(bands) > FEW else (1, FEW), work)


def _draw_patch(canvas: Image, base: Image, layer: Layer, patch: Patch, *, compiled: bool = False) -> None:
    on_mask = patch.top if layer.mask_moves else patch.base
    if compiled:
        amounts = (layer.mask, on_mask) if layer.mask else None
        for names in layer.groups:
            merge_compiled(canvas, base, layer.top, amounts, patch, names, layer.opacity, layer.rule)
        return
    below, above = cut(base, patch.base), cut(layer.top, patch.top)
    mask = layer.mask and cut(layer.mask, on_mask)
    for names in layer.groups:
        with np.errstate(all="ignore"):  # formulas put right what a division by 0 gave
            merged = _merge(below, above, mask, names, layer, patch)
            write(merged, canvas.buffer[:, patch.base[0], patch.base[1]], canvas.channels, names, canvas.alpha)


def _spread(layer: Layer, base: Image) -> Layer:
    """The same on all of base: transparent beyond the frame of its top."""
    if layer.at == (0, 0) and layer.top.size == base.size:
        return layer
    top = on_clear(layer.top, layer.at, base.size, base.wrap)
    mask = on_clear(layer.mask, layer.at, base.size, base.wrap) if layer.mask and layer.mask_moves else layer.mask
    return replace(layer, top=top, mask=mask, at=(0, 0))


def _merge(base: Image, top: Image, mask: Mask | None, names: Sequence[str], layer: Layer, patch: Patch) -> Array:
    amount: Array = layer.opacity
    if mask is not None:
        amount = amount * pixels_of(mask)
    opaque = base.alpha == top.alpha == "none"
    if layer.rule.blend is not None and not opaque and isinstance(amount, float) and amount == 1:
        (above, straight_above), (below, straight_below) = both_ways(top, names), both_ways(base, names)
        straight = _alike(straight_above, straight_below)
        return blended(layer.rule.blend, *_alike(above, below), *straight)
    above, below = with_alpha_last(top, names), with_alpha_last(base, names)
    if layer.rule.scatters:
        above, amount = scattered(above, amount, layer.seed, (patch.base[0].start, patch.base[1].start)), 1.0
    above, below = _alike(above, below)
    if layer.rule.blend is not None and opaque:  # no part that nothing is seen of
        colors = layer.rule.blend(below[:, :-1], above[:, :-1])
        merged = namespace(below).concatenate([colors, below[:, -1:]], 1)
    else:
        merged = layer.rule.merge(above, below)
    if isinstance(amount, float) and amount == 1:
        return merged
    # Not a lerp, which is not exact at 1 or, in torch, not the same in every band.
    return merged * amount + below * (1 - amount)


def _alike(above: Array, below: Array) -> tuple[Array, Array]:
    """Of one batch."""
    if len(above) == len(below):
        return above, below
    shape = (max(len(below), len(above)), *below.shape[1:])
    xp = namespace(below)
    return xp.broadcast_to(above, shape), xp.broadcast_to(below, shape)


def _bands(patch: Patch, pixels: int) -> Iterator[Patch]:
    """A patch in pieces for one core each."""
    (rows, columns), (top_rows, top_columns) = patch
    height, width = rows.stop - rows.start, columns.stop - columns.start
    step = max(1, pixels // width)
    for start in range(0, height, step):
        stop = min(start + step, height)
        yield Patch(
            (slice(rows.start + start, rows.start + stop), columns),
            (slice(top_rows.start + start, top_rows.start + stop), top_columns),
        )

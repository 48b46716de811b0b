"""Deep samples made tidy: sorted by depth, volumes that overlap split, their parts that coincide merged.

Formulas: Peter Hillman, "The Theory of OpenEXR Deep Samples" (2013), and Florian Kainz, "Interpreting OpenEXR Deep
Pixels" (2013), sections "Splitting a Volume Sample", "Merging Overlapping Samples" and "Tidy Deep Images". A volume
absorbs evenly: a share x of a sample of opacity a has the opacity 1 - (1-a)^x.

Points (no ZBack, or ZBack = Z) of one image at one depth are not merged: the less opaque is in front.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline_core import OperationError
from pipeline_depth.deep_image import MAX_SAMPLES, Doubles, Flags, Floats, Integers

FARTHEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Pieces:
    """Samples and parts of samples in the order of pixel and depth; no two overlap but those that coincide.

    source   which sample each is part of
    scale    what its colour is multiplied by
    alpha    its own opacity
    first    where each place starts: a run of pieces that coincide and are merged
    share    how much of each piece shows in its place, so that sum(share * alpha) is the place's opacity
    """

    source: Integers
    pixel: Integers
    front: Doubles
    back: Doubles
    scale: Doubles
    alpha: Doubles
    first: Integers
    share: Doubles


def tidy(pixel: Integers, depth: Floats, alpha: Floats, content: Floats, mixed: Flags) -> Pieces:
    """Split samples of the pixels `(N,)` from depth[:, 0] to depth[:, 1] where they overlap, and sort them.

    `mixed` says by pixel whether points that coincide are merged, as volumes always are. Samples at one depth are
    sorted by alpha and content, so that nothing depends on the order they came in.
    """
    source, front, back = _split(pixel, depth)
    order = canonical_order(pixel[source], front, back, alpha[source], content[source])
    source, front, back = source[order], front[order], back[order]
    length = _length(*depth[source].T)
    part = np.divide(_length(front, back), length, out=np.ones(len(source)), where=length > 0)
    opacity = alpha[source].astype(np.float64)
    own = np.where(part < 1, part_opacity(opacity, part), opacity)
    scale = np.where(opacity == 0, part, np.divide(own, opacity, out=np.ones(len(source)), where=opacity != 0))
    alone = (front == back) & ~mixed[pixel[source]]
    first = np.flatnonzero(alone | places(pixel[source], front, back))
    return Pieces(source, pixel[source], front, back, scale, own, first, _shares(own, first))


def part_opacity(alpha: Doubles, part: Doubles) -> Doubles:
    """The opacity of a part of a volume; of an opaque one every part is opaque."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(alpha < 1, -np.expm1(part * np.log1p(-alpha)), alpha)


def canonical_order(
    pixel: Integers, front: Floats | Doubles, back: Floats | Doubles, alpha: Floats, content: Floats
) -> Integers:
    """An order by pixel, front, back, alpha and content: the same whatever order the samples came in."""
    order = np.lexsort((back, front, pixel))
    first = np.flatnonzero(places(pixel[order], front[order], back[order]))
    length = np.diff(first, append=len(order))
    tied = np.flatnonzero(np.repeat(length > 1, length))
    if len(tied):
        place = np.repeat(np.arange(len(first)), length)[tied]
        bits = np.ascontiguousarray(content[order[tied]], np.float32).view(np.int32)  # orders NaN and -0 too
        order[tied] = order[tied][np.lexsort((*bits.T, alpha[order[tied]], place))]
    return order


def places(pixel: Integers, front: Floats | Doubles, back: Floats | Doubles) -> Flags:
    """Whether another pixel, front or back starts at each of these sorted samples."""
    starts: Flags = np.ones(len(pixel), bool)
    starts[1:] = (np.diff(pixel) != 0) | (front[1:] != front[:-1]) | (back[1:] != back[:-1])
    return starts


def ranks(counts: Integers) -> Iterator[tuple[Integers, Integers]]:
    """Front to back, a sample of every pixel at once: (pixels that have a k-th sample, the indices of those)."""
    order = np.argsort(-counts, kind="stable")
    start = np.cumsum(counts) - counts
    many = np.cumsum(np.bincount(counts)[::-1])[::-1]  # how many pixels have at least k samples
    for k in range(1, len(many)):
        pixels = order[: many[k]]
        yield pixels, start[pixels] + k - 1


def _length(front: Floats | Doubles, back: Floats | Doubles) -> Doubles:
    """Of volumes; infinity counts as the largest number, so that differences are numbers."""
    low, high = (np.clip(depth, -FARTHEST, FARTHEST, dtype=np.float64) for depth in (front, back))
    return np.asarray(high - low, np.float64)


def _split(pixel: Integers, depth: Floats) -> tuple[Integers, Doubles, Doubles]:
    """(sample, front, back) of every part: volumes are cut wherever another sample of their pixel starts or ends."""
    front, back = depth.T.astype(np.float64)
    samples = np.arange(len(pixel))
    if not (back > front).any():
        return samples, front, back
    cut_pixel, cut_depth = np.tile(pixel, 2), np.concatenate([front, back])
    order = np.lexsort((cut_depth, cut_pixel))
    cuts = np.flatnonzero(places(cut_pixel[order], cut_depth[order], cut_depth[order]))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.repeat(np.arange(len(cuts)), np.diff(cuts, append=len(order)))
    limits = cut_depth[order][cuts]
    start, end = rank[: len(pixel)], rank[len(pixel) :]
    parts = np.maximum(end - start, 1)
    if parts.sum() > MAX_SAMPLES:
        raise OperationError(f"volumes that overlap would be split into {parts.sum():,} parts; at most {MAX_SAMPLES:,}")
    source = np.repeat(samples, parts)
    low = start[source] + np.arange(len(source)) - np.repeat(np.cumsum(parts) - parts, parts)
    high = np.minimum(low + 1, end[source])
    return source, limits[low], limits[high]


def _shares(alpha: Doubles, first: Integers) -> Doubles:
    """How much of each piece shows where several coincide: their optical depths add up; the opaque ones share alike."""
    length = np.diff(first, append=len(alpha))
    if not len(alpha) or length.max() == 1:
        return np.ones(len(alpha))
    place = np.repeat(np.arange(len(first)), length)
    opaque = alpha >= 1
    solid = np.add.reduceat(opaque.astype(np.int64), first)[place]
    optical = -np.log1p(-np.where(opaque, 0, alpha))
    total = np.add.reduceat(optical, first)[place]
    ratio = np.divide(optical, alpha, out=np.ones(len(alpha)), where=alpha != 0)
    ratio *= np.divide(-np.expm1(-total), total, out=np.ones(len(alpha)), where=total != 0)
    shared = np.where(solid > 0, opaque / np.maximum(solid, 1), ratio)
    return np.where(length[place] == 1, 1.0, shared)

"""Deep samples made tidy: sorted by depth, volumes that overlap split, their parts that coincide merged.

Formulas: Peter Hillman, "The Theory of OpenEXR Deep Samples" (2013), and Florian Kainz, "Interpreting OpenEXR Deep
Pixels" (2013), sections "Splitting a Volume Sample", "Merging Overlapping Samples" and "Tidy Deep Images". A volume
absorbs evenly: a share x of a sample of opacity a has the opacity 1 - (1-a)^x.

Points (no ZBack, or ZBack = Z) of one image at one depth are not merged: the less opaque is in front.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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
    front: Floats
    back: Floats
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
    own, scale = alpha[source].astype(np.float64), np.ones(len(source))
    cut = np.flatnonzero((front != depth[source, 0]) | (back != depth[source, 1]))
    if len(cut):
        whole = own[cut]
        part = _length(front[cut], back[cut]) / _length(*depth[source[cut]].T)
        own[cut] = part_opacity(whole, part)
        scale[cut] = np.divide(own[cut], whole, out=part, where=whole != 0)
    alone = (front == back) & ~mixed[pixel[source]]
    first = np.flatnonzero(alone | places(pixel[source], front, back))
    return Pieces(source, pixel[source], front, back, scale, own, first, _shares(own, first))


def part_opacity(alpha: Doubles, part: Doubles) -> Doubles:
    """The opacity of a part of a volume; of an opaque one every part is opaque."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(alpha < 1, -np.expm1(part * np.log1p(-alpha)), alpha)


def canonical_order(pixel: Integers, front: Floats, back: Floats, alpha: Floats, content: Floats) -> Integers:
    """An order by pixel, front, back, alpha and content: the same whatever order the samples came in."""
    key = _key(pixel, front)
    order = np.arange(len(key)) if (key[1:] >= key[:-1]).all() else np.argsort(key)
    key = key[order]
    same = np.concatenate([[False], key[1:] == key[:-1], [False]])
    tied = np.flatnonzero(same[1:] | same[:-1])
    if len(tied):
        found = order[tied]
        bits = np.ascontiguousarray(content[found], np.float32).view(np.int32)  # orders NaN and -0 too
        order[tied] = found[np.lexsort((*bits.T, alpha[found], back[found], key[tied]))]
    return order


def _key(pixel: Integers, depth: Floats) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """One number that sorts by pixel, then depth: of floats the bits do, the negative ones turned round."""
    bits = (depth + np.float32(0)).view(np.uint32)  # + 0: so that -0 is 0
    turned = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return pixel.astype(np.uint64) << np.uint64(32) | turned


def places(pixel: Integers, front: Floats, back: Floats) -> Flags:
    """Whether another pixel, front or back starts at each of these sorted samples."""
    starts: Flags = np.ones(len(pixel), bool)
    starts[1:] = (np.diff(pixel) != 0) | (front[1:] != front[:-1]) | (back[1:] != back[:-1])
    return starts


def by_count(counts: Integers) -> tuple[Integers, Iterator[tuple[int, Integers]]]:
    """(pixels, those with most samples first; front to back a k-th sample of every pixel that has one).

    The second gives (n, indices): the k-th samples of the first n of these pixels.
    """
    order = np.argsort(-counts, kind="stable")
    start = (np.cumsum(counts) - counts)[order]
    many = np.cumsum(np.bincount(counts)[::-1])[::-1].tolist()  # how many pixels have at least k samples
    return order, ((many[k], start[: many[k]] + (k - 1)) for k in range(1, len(many)))


def _length(front: Floats, back: Floats) -> Doubles:
    """Of volumes; infinity counts as the largest number, so that differences are numbers."""
    low, high = (np.clip(depth, -FARTHEST, FARTHEST, dtype=np.float64) for depth in (front, back))
    return np.asarray(high - low, np.float64)


def _split(pixel: Integers, depth: Floats) -> tuple[Integers, Floats, Floats]:
    """(sample, front, back) of every part: volumes are cut wherever another sample of their pixel starts or ends."""
    front, back = np.ascontiguousarray(depth.T)
    samples = np.arange(len(pixel))
    if not (back > front).any():
        return samples, front, back
    cuts, rank = np.unique(_key(np.tile(pixel, 2), np.concatenate([front, back])), return_inverse=True)
    at = np.empty(len(cuts), np.float32)
    at[rank] = np.concatenate([front, back])
    start, end = rank[: len(pixel)], rank[len(pixel) :]
    parts = np.maximum(end - start, 1)
    if parts.sum() > MAX_SAMPLES:
        raise OperationError(f"volumes that overlap would be split into {parts.sum():,} parts; at most {MAX_SAMPLES:,}")
    source = np.repeat(samples, parts)
    low = start[source] + np.arange(len(source)) - np.repeat(np.cumsum(parts) - parts, parts)
    return source, at[low], at[np.minimum(low + 1, end[source])]


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

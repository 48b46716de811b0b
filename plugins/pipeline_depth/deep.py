"""Deep images merged, held out and flattened."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Image, OperationError, operation
from pipeline_depth.deep_image import (
    MAX_SAMPLES,
    DeepImage,
    Doubles,
    Flags,
    Floats,
    Integers,
    check_alike,
    check_composable,
    depths,
    joined,
    offsets_of,
    shared_pixels,
)
from pipeline_depth.depth import NOTHING, shared_meta
from pipeline_depth.tidy import Pieces, by_count, tidy


@operation(device="cpu", aliases=("DeepMerge", "deep_combine"))
def deep_merge(images: list[DeepImage]) -> DeepImage:
    """Put the samples of several deep images into one, as oiiotool's --deepmerge and Nuke's DeepMerge.

    All have one size, colour space and set of channels; ZBack may be missing. The samples of a pixel come out sorted by
    depth; volumes that overlap are split, and what coincides is merged into one sample (F. Kainz, "Interpreting OpenEXR
    Deep Pixels", 2013). The result does not depend on the order of the images, bit for bit.

    Convention: samples that coincide share the place by their optical depth; opaque ones in equal parts.
    Convention: where only one image has samples its points are not merged, as in OpenImageIO.
    Convention: channels are in the order of the first image; meta keeps what all images agree on.
    """
    check_alike(images)
    total = sum(len(image.samples) for image in images)
    if total > MAX_SAMPLES:
        raise OperationError(f"{total:,} samples in all; at most {MAX_SAMPLES:,} fit one deep image")
    pixel, samples, channels = joined(images)
    where = channels.index("A")
    limits = np.concatenate([depths(image) for image in images])
    pieces = tidy(pixel, limits, samples[:, where], samples, shared_pixels(images))
    meta = shared_meta([image.meta for image in images])
    return replace(images[0], meta=meta, **_samples(pieces, _merged(pieces, samples, where), channels, images[0]))


@operation(device="cpu", aliases=("flatten_deep", "DeepToImage", "deep_to_image"))
def deep_flatten(
    image: DeepImage,
    *,
    depth: Annotated[
        Literal["mean", "front"], Field(description="Z: mixed as colour is, or of the first sample that is not clear")
    ] = "mean",
) -> Image:
    """Flatten a deep image: its samples over one another, as oiiotool's --flatten and Nuke's DeepToImage.

    Gives float32 with associated alpha and Z; ZBack is left out. Volumes absorb evenly along their depth; where they
    overlap they are split, and parts that coincide are merged (F. Kainz, "Interpreting OpenEXR Deep Pixels", 2013).
    Channels that are neither colour nor depth are treated as colour.

    Convention: Z of `mean` is what OpenImageIO gives: z <- z A + z_k (1 - A) front to back, A the alpha in front of k.
    Convention: Z is 1e30 where a pixel has no samples, as in OpenImageIO.
    Convention: of points at one depth the less opaque is in front.
    Convention: volumes that coincide share the place by their optical depth; opaque ones in equal parts.
    """
    check_composable(image)
    where = image.channels.index("A")
    pixel, samples, channels = joined([image])
    pieces = tidy(pixel, depths(image), samples[:, where], samples, shared_pixels([image]))
    values = _merged(pieces, samples, where)
    values[:, channels.index("Z")] = pieces.front[pieces.first]
    kept = [i for i, name in enumerate(channels) if name != "ZBack"]
    names = tuple(channels[i] for i in kept)
    counts = np.bincount(pieces.pixel[pieces.first], minlength=image.width * image.height)
    buffer = _over(values[:, kept], counts, names, depth).reshape(1, image.height, image.width, len(kept))
    return Image(buffer, channels=names, color=image.color, alpha="associated", meta=image.meta)


@operation(device="cpu", aliases=("DeepHoldout",))
def deep_holdout(image: DeepImage, holdout: DeepImage) -> DeepImage:
    """Take away from a deep image what another one hides, as oiiotool's --deepholdout and Nuke's DeepHoldout.

    Of the second image only the depths and alphas count. The result shows, seen from any depth on, what is visible of the
    first image in front of that depth through the second: image held out by holdout, plus holdout held out by image,
    is the two of them merged and flattened. Half transparent holdouts and volumes count with their transparency.

    Convention: samples of both that coincide share the place, as in `deep_merge`.
    """
    for given in (image, holdout):
        check_composable(given)
    if image.size != holdout.size:
        raise OperationError(f"the holdout must have the size of the image: got {image} and {holdout}")
    where = image.channels.index("A")
    pixel, samples, channels = joined([image, _in_channels_of(image, holdout)])
    owned = np.arange(len(samples)) < len(image.samples)
    limits = np.concatenate([depths(image), depths(holdout)])
    # Whose a sample is counts as content, so that sums of both are made in one order.
    pieces = tidy(
        pixel,
        limits,
        samples[:, where],
        np.column_stack([samples, owned]).astype(np.float32),
        shared_pixels([image, holdout]),
    )
    mine = owned[pieces.source]
    everything = _sums(pieces, pieces.alpha * pieces.share)
    values = _merged(pieces, np.where(owned[:, None], samples, np.float32(0)), where, mine)
    counts = np.bincount(pieces.pixel[pieces.first], minlength=image.width * image.height)
    values *= _attenuation(values[:, where], everything, counts)[:, None]
    kept = _sums(pieces, mine.astype(np.float64)) > 0
    return replace(image, **_samples(pieces, values, channels, image, kept))


def _samples(
    pieces: Pieces, values: Floats, channels: tuple[str, ...], image: DeepImage, kept: Flags | slice = slice(None)
) -> dict[str, Any]:
    """The fields of a deep image with one sample per place."""
    values[:, channels.index("Z")] = pieces.front[pieces.first]
    if "ZBack" in channels:
        values[:, channels.index("ZBack")] = pieces.back[pieces.first]
    offsets = offsets_of(pieces.pixel[pieces.first][kept], image.width * image.height)
    return {"offsets": offsets, "samples": values[kept], "channels": channels}


def _in_channels_of(image: DeepImage, holdout: DeepImage) -> DeepImage:
    """The holdout with the channels of the image, 0 but for alpha and depth."""
    known = [name for name in ("A", "Z", "ZBack") if name in holdout.channels]
    names = (*image.channels, "ZBack") if "ZBack" in known and "ZBack" not in image.channels else image.channels
    if "ZBack" in names and "ZBack" not in known:
        known.append("ZBack")
    samples = np.zeros((len(holdout.samples), len(names)), np.float32)
    for name in known:
        source = name if name in holdout.channels else "Z"
        samples[:, names.index(name)] = holdout.samples[:, holdout.channels.index(source)]
    return replace(holdout, samples=samples, channels=names)


def _sums(pieces: Pieces, values: Doubles) -> Doubles:
    """The sum of a value over each place."""
    alone = len(pieces.first) == len(values)
    return values if alone else np.add.reduceat(values, pieces.first, axis=0)


def _merged(pieces: Pieces, samples: Floats, alpha: int, mine: Flags | None = None) -> Floats:
    """One sample per place, `(places, C)`, of all pieces or of those that are mine."""
    share = pieces.share if mine is None else pieces.share * mine
    factor = pieces.scale * share
    length = np.diff(pieces.first, append=len(factor))
    merged = samples[pieces.source[pieces.first]]
    changed = (length > 1) | (factor[pieces.first] != 1)
    if changed.any():  # most samples are as they were
        among = np.flatnonzero(np.repeat(changed, length))
        values = samples[pieces.source[among]] * factor[among, None]
        values[:, alpha] = (pieces.alpha * share)[among]
        sizes = length[changed]
        merged[changed] = np.add.reduceat(values, np.cumsum(sizes) - sizes, axis=0)
    return merged


def _over(values: Floats, counts: Integers, channels: tuple[str, ...], depth: str) -> Floats:
    """Every pixel's samples, sorted and apart, over one another: `(pixels, C)`."""
    where, z = channels.index("A"), channels.index("Z")
    order, layers = by_count(counts)
    piled = np.zeros((len(counts), len(channels)), np.float32)
    piled[counts[order] == 0, z] = NOTHING
    for count, indices in layers:
        pile, sample = piled[:count], values[indices]
        clear = np.maximum(1 - pile[:, where], 0)
        with np.errstate(invalid="ignore"):  # infinity times 0, in what is not taken
            if depth == "mean":
                mixed = pile[:, z] * (1 - clear) + sample[:, z] * clear
                mixed = np.where(clear == 1, sample[:, z], np.where(clear == 0, pile[:, z], mixed))
            else:
                mixed = np.where(clear < 1, pile[:, z], sample[:, z])
            pile += np.where(clear[:, None] == 0, 0, sample * clear[:, None])
        pile[:, z] = mixed
    flat = np.empty_like(piled)
    flat[order] = piled
    return flat


def _attenuation(alpha: Floats, everything: Doubles, counts: Integers) -> Doubles:
    """What samples must be multiplied by to look on their own as they do among everything, `(places,)`.

    With T what all in front lets through and S the opacity that is seen of the own ones in front, T / (1 - S): their
    own absorption is taken out again. S never exceeds 1 - T, so the factor is at most 1.
    """
    factor = np.zeros(len(alpha))
    through, seen = np.ones(len(counts)), np.zeros(len(counts))
    for count, indices in by_count(counts)[1]:
        light = through[:count]
        factor[indices] = np.divide(light, 1 - seen[:count], out=np.zeros(count), where=light > 0)
        seen[:count] += light * alpha[indices]
        light *= np.maximum(1 - everything[indices], 0)
    return factor

"""Flat pictures with depth over one another: `z_merge` and `depth_composite`."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline_core import Image, OperationError, each_tile, empty, operation
from pipeline_core import opencv as cv2
from pipeline_depth.deep_image import Floats
from pipeline_depth.depth import depth_of, shared_meta

BLOCK = 2**14
"""Pixels merged at a time, so that what is in between stays in the processor's cache."""


@operation(version=2, support=0, device="cpu", aliases=("zover", "ZMerge", "depth_merge"))
def z_merge(
    images: list[Image],
    *,
    zero_is_infinite: Annotated[
        bool, Field(description="a Z of 0 means that nothing is there, as oiiotool's zeroisinf")
    ] = False,
) -> Image:
    """Merge pictures by depth: at every pixel the nearer over the farther, as oiiotool's --zover and Nuke's ZMerge.

    Every image has a channel Z (smaller is nearer); sizes, channels, colour space and alpha state are the same, batches
    equal or one. An image without alpha is opaque. The result does not depend on the order of the images, bit for bit.

    Convention: Z, and every channel that is no colour, is of the nearest image that is not clear there; where all are
    clear, of the farthest.
    Convention: at equal depth the less opaque is in front; if that is equal too, the channels' bits decide.
    Convention: a Z of NaN is infinitely far. Channels are in the order of the first image, and `meta` keeps what all agree on.
    """
    first = images[0]
    for image in images:
        _check_alike(first, image)
    if first.color == "data":  # merging asks for alpha by name, so it covers here, too
        return replace(z_merge([_colored(image) for image in images], zero_is_infinite=zero_is_infinite), color="data")
    batch = max(image.batch for image in images)
    layers = [_layer(image, first.channels, batch) for image in images]
    pixels = empty(layers[0].shape)

    def work(rows: slice, _: slice) -> None:
        planes = _merge([_planes(layer[rows]) for layer in layers], first, zero_is_infinite)
        pixels[rows] = cv2.merge(list(planes)).reshape(pixels[rows].shape)

    each_tile(first.width, len(pixels), (first.width, max(1, BLOCK // first.width)), work)
    merged = first.with_array(
        pixels.reshape(batch, first.height, first.width, len(first.channels)),
        alpha="none" if first.alpha == "none" else "associated",
        wrap=tuple(all(image.wrap[axis] for image in images) for axis in (0, 1)),
        meta=shared_meta([image.meta for image in images]),
    )
    return merged.with_alpha_state(first.alpha)


@operation(version=2, support=0, device="cpu", aliases=("depth_over", "z_composite"))
def depth_composite(
    base: Image,
    top: Image,
    base_depth: Image | None = None,
    top_depth: Image | None = None,
    *,
    softness: Annotated[float, Field(ge=0, description="over how much depth one passes in front of the other")] = 0.0,
    tolerance: Annotated[float, Field(description="how far behind base top may lie and still be in front")] = 0.0,
) -> Image:
    """Merge two pictures by depth with a soft edge where they pierce each other.

    Depths are the channel Z of each image, or the Z or only channel of its depth picture. Where top is nearer the result
    is top over base, elsewhere base over top, and in between a mix of the two, with the share
    0.5 + (base_z + tolerance - top_z)/softness, held in 0..1, of top over base. `softness` 0 is a hard edge.

    The result has base's colour space, alpha state, channels and metadata; sizes are the same, batches equal or one.
    Base's Z becomes that of what is nearer and not clear; its other channels that are no colour stay.

    Convention: at equal depth (with tolerance) and softness 0 top is in front. A depth of NaN is infinitely far.
    """
    if base.size != top.size or base.color != top.color:
        raise OperationError(f"pictures of one size and colour space are needed: got {base} and {top}")
    if base.batch != top.batch and 1 not in (base.batch, top.batch):
        raise OperationError(f"batches must be equal or one: got {base} and {top}")
    if base.alpha == "none" and top.alpha != "none":
        raise OperationError("base has no alpha but top has: give base one with set_alpha")
    colors = [base.channels[i] for i in base.color_indices]
    missing = [name for name in colors if name not in top.channels]
    if missing:
        raise OperationError(f"top lacks the channels {', '.join(missing)} of base: got {base} and {top}")
    if base.color == "data":
        merged = depth_composite(
            _colored(base), _colored(top), base_depth, top_depth, softness=softness, tolerance=tolerance
        )
        return replace(merged, color="data")
    near, far = depth_of(top, top_depth, "top"), depth_of(base, base_depth, "base")
    share = _share(near, far, softness, tolerance)
    under, over = base.associate().array, top.associate().array
    names = colors + (["A"] if base.alpha != "none" else [])
    b, t = under[..., [base.index(name) for name in names]], _columns(over, top, names)
    b_alpha, t_alpha = (_columns(array, image, ["A"]) for array, image in ((under, base), (over, top)))
    top_over, base_over = _on_top_of(t, t_alpha, b), _on_top_of(b, b_alpha, t)
    with np.errstate(invalid="ignore"):  # infinity times 0, in what is not taken
        between = top_over * share + base_over * (1 - share)
    mixed = np.where(share == 1, top_over, np.where(share == 0, base_over, between))
    result = np.broadcast_to(under, (*mixed.shape[:3], under.shape[3])).copy()
    result[..., [base.index(name) for name in names]] = mixed
    if "Z" in base.channels:
        in_front = ((share >= 0.5) & (t_alpha != 0)) | (b_alpha == 0)
        result[..., base.index("Z")] = np.where(in_front[..., 0], near, far)
    state = "none" if base.alpha == "none" else "associated"
    return base.with_array(result, alpha=state).with_alpha_state(base.alpha)


def _share(near: Floats, far: Floats, softness: float, tolerance: float) -> Floats:
    """How much of top is in front of base, `(B, H, W, 1)`."""
    front, back = (np.where(np.isnan(z), np.inf, z).astype(np.float64) for z in (near, far))
    with np.errstate(invalid="ignore"):  # two infinite depths are equal
        ahead = np.where(front == back, tolerance, back + tolerance - front)
    share = np.clip(0.5 + ahead / softness, 0, 1) if softness else ahead >= 0
    return np.asarray(share, np.float32)[..., None]


def _columns(array: Floats, image: Image, names: list[str]) -> Floats:
    """Channels by name; an alpha that is not there is 1."""
    opaque = np.ones(array.shape[:3], np.float32)
    return np.stack([array[..., image.index(n)] if n in image.channels else opaque for n in names], axis=-1)


def _colored(image: Image) -> Image:
    """With a colour in whose images alpha is coverage."""
    return replace(image, color="lin_rec709_scene")


def _check_alike(first: Image, image: Image) -> None:
    if "Z" not in image.channels:
        raise OperationError(f"every image needs a channel 'Z' with its depth: got {image}")
    if image.size != first.size:
        raise OperationError(f"images of one size are needed: got {first} and {image}; crop or pad mends it")
    if image.batch != first.batch and 1 not in (first.batch, image.batch):
        raise OperationError(f"batches must be equal or one: got {first} and {image}")
    if set(image.channels) != set(first.channels):
        raise OperationError(f"images with the same channels are needed: got {first} and {image}")
    if image.color != first.color:
        raise OperationError(f"images of one colour space are needed: got {first} and {image}; color_convert mends it")
    if image.alpha != first.alpha:
        raise OperationError(f"images of one alpha state are needed: got {first} and {image}; premultiply mends it")


def _layer(image: Image, channels: tuple[str, ...], batch: int) -> Floats:
    """`(rows, W, C)`, associated, in this order of channels."""
    array = image.associate().array
    if image.channels != channels:
        array = array[..., [image.index(name) for name in channels]]
    return np.broadcast_to(array, (batch, *array.shape[1:])).reshape(-1, image.width, len(channels))


def _planes(layer: Floats) -> Floats:
    """`(rows, W, C)` as `(C, pixels)`: long lines are what numpy is fast at."""
    planes = np.empty((layer.shape[2], layer.shape[0] * layer.shape[1]), np.float32)
    for i, plane in enumerate(planes):
        cv2.extractChannel(layer, i, plane.reshape(layer.shape[:2]))
    return planes


def _merge(layers: list[Floats], image: Image, zero_is_infinite: bool) -> Floats:
    """Layers `(C, pixels)` with the facts of this image, sorted and put over one another."""
    where = image.channels.index("A") if image.alpha != "none" else None
    layers = _sorted(layers, image.index("Z"), where, zero_is_infinite)
    result = layers[-1].copy()
    if where is None:
        return layers[0]
    kept = [i for i in range(len(result)) if i != where and i not in image.color_indices]
    for layer in layers[-2::-1]:
        cover = layer[where]
        left, opaque, some = 1 - cover, cover == 1, cover != 0
        with np.errstate(invalid="ignore", over="ignore"):
            for i, (front, below) in enumerate(zip(layer, result, strict=True)):
                if i in kept:
                    np.copyto(below, front, where=some)
                    continue
                np.add(front, below * left, out=below)
                np.copyto(below, front, where=opaque)  # what is opaque hides infinity and NaN too
    return result


def _sorted(layers: list[Floats], depth: int, alpha: int | None, zero_is_infinite: bool) -> list[Floats]:
    """Front to back: by depth, where that is equal by alpha, then by the bits of all channels."""
    given, layers, ranked = layers, list(layers), []
    for layer in layers:
        beyond = np.isnan(layer[depth])
        if zero_is_infinite:
            beyond |= layer[depth] == 0
        ranked.append(np.where(beyond, np.float32(np.inf), layer[depth]))
    depths = list(ranked)
    for turn in range(len(layers)):  # neighbours change places, those at even and at odd ranks in turns
        for i in range(turn % 2, len(layers) - 1, 2):
            nearer = ranked[i + 1] < ranked[i]
            if nearer.any():
                for lane in (layers, ranked):
                    one, other = lane[i : i + 2]
                    lane[i : i + 2] = np.where(nearer, other, one), np.where(nearer, one, other)
    equal = [one == other for one, other in pairwise(ranked)]
    tied = np.flatnonzero(np.any(equal, axis=0)) if equal else np.zeros(0, np.intp)
    if len(tied):
        few = np.stack([layer[:, tied] for layer in given])
        seen = few[:, alpha] if alpha is not None else np.ones(few[:, 0].shape)
        order = np.lexsort(
            (*np.moveaxis(few.view(np.int32), 1, 0), seen, np.stack([one[tied] for one in depths])), axis=0
        )
        for rank, layer in enumerate(layers):
            layers[rank] = layer.copy()
            layers[rank][:, tied] = few[order[rank], :, np.arange(len(tied))].T
    return layers


def _on_top_of(front: Floats, alpha: Floats, back: Floats) -> Floats:
    """Front over back; what is opaque hides infinity and NaN too."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(alpha == 1, front, front + back * (1 - alpha))

"""Flat pictures with depth over one another: `z_merge` and `depth_composite`."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline_core import Image, OperationError, operation
from pipeline_depth.deep_image import Floats, Integers
from pipeline_depth.depth import depth_of, shared_meta


@operation(support=0, device="cpu", aliases=("zover", "ZMerge", "depth_merge"))
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
    batch = max(image.batch for image in images)
    layers = np.stack([_layer(image, first.channels, batch) for image in images])
    depth = np.where(np.isnan(layers[..., first.index("Z")]), np.inf, layers[..., first.index("Z")])
    if zero_is_infinite:
        depth[depth == 0] = np.inf
    alpha = layers[..., first.index("A")] if first.alpha != "none" else np.ones_like(depth)
    layers = np.take_along_axis(layers, _order(depth, alpha, layers)[..., None], axis=0)
    merged = first.with_array(
        _over(layers, first),
        alpha="none" if first.alpha == "none" else "associated",
        wrap=tuple(all(image.wrap[axis] for image in images) for axis in (0, 1)),
        meta=shared_meta([image.meta for image in images]),
    )
    return merged.with_alpha_state(first.alpha)


@operation(support=0, device="cpu", aliases=("depth_over", "z_composite"))
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
    near, far = depth_of(top, top_depth, "top"), depth_of(base, base_depth, "base")
    share = _share(near, far, softness, tolerance)
    under, over = base.associate().array, top.associate().array
    names = colors + (["A"] if base.alpha != "none" else [])
    b, t = under[..., [base.index(name) for name in names]], _columns(over, top, names)
    b_alpha, t_alpha = (_columns(array, image, ["A"]) for array, image in ((under, base), (over, top)))
    mixed = (t + b * (1 - t_alpha)) * share + (b + t * (1 - b_alpha)) * (1 - share)
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
    """`(batch, H, W, C)`, associated, in this order of channels."""
    array = image.associate().array
    if image.channels != channels:
        array = array[..., [image.index(name) for name in channels]]
    return np.broadcast_to(array, (batch, *array.shape[1:]))


def _order(depth: Floats, alpha: Floats, layers: Floats) -> Integers:
    """Front to back: by depth, where that is equal by alpha, then by the bits of all channels; `(N, B, H, W)`."""
    order: Integers = np.argsort(depth, axis=0, kind="stable")
    ranked = np.take_along_axis(depth, order, axis=0)
    tied = (ranked[1:] == ranked[:-1]).any(axis=0)
    if tied.any():
        bits = np.ascontiguousarray(layers[:, tied]).view(np.int32)
        order[:, tied] = np.lexsort((*np.moveaxis(bits, -1, 0)[::-1], alpha[:, tied], depth[:, tied]), axis=0)
    return order


def _over(layers: Floats, image: Image) -> Floats:
    """Sorted layers `(N, B, H, W, C)` over one another, from the farthest on."""
    result: Floats = layers[-1].copy()
    if image.alpha == "none":
        return np.ascontiguousarray(layers[0])
    where = image.index("A")
    mixed = [*image.color_indices, where]
    kept = [i for i in range(len(image.channels)) if i not in mixed]
    for layer in layers[-2::-1]:
        alpha = layer[..., [where]]
        result[..., mixed] = layer[..., mixed] + result[..., mixed] * (1 - alpha)
        result[..., kept] = np.where(alpha != 0, layer[..., kept], result[..., kept])
    return result

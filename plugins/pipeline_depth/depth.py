"""Where a picture's depth is, and what can be told from it: masks and fog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ctypes import c_float
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Color, Image, Mask, OperationError, empty, kernels_for, operation, pass_over, stored
from pipeline_depth.deep_image import Floats

NOTHING = 1e30
"""The depth of a pixel that shows nothing, as OpenImageIO writes it."""

Near = Annotated[float, Field(description="the depth where it starts", examples=[1.0])]
Far = Annotated[float, Field(description="the depth where it ends", examples=[10.0])]


def shared_meta(metas: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What all agree on."""
    return {key: value for key, value in metas[0].items() if all(meta.get(key) == value for meta in metas)}


def depth_of(image: Image, depth: Image | None = None, name: str = "image") -> Floats:
    """The depth `(B, H, W)` float32: of channel Z, or the only channel of a depth picture. Smaller is nearer."""
    source = image if depth is None else depth
    where = place_of_depth(image, depth, name)
    return source.array[..., where]


def place_of_depth(image: Image, depth: Image | None = None, name: str = "image") -> int:
    """Which channel holds the depth."""
    source = image if depth is None else depth
    if source.size != image.size:
        raise OperationError(f"the depth must have the size of the {name}: got {source} for {image}")
    if source.batch not in (1, image.batch):
        raise OperationError(f"the depth must be one picture or as many as the {name}: got {source} for {image}")
    if "Z" not in source.channels and len(source.channels) != 1:
        found = ", ".join(source.channels)
        raise OperationError(f"no depth: a channel 'Z' or a picture of one channel is needed, the {name} has {found}")
    return source.channels.index("Z") if "Z" in source.channels else 0


@operation(version=2, support=0, device="cpu", aliases=("depth_key", "z_key", "depth_range_mask"))
def depth_to_mask(
    image: Image,
    *,
    near: Near,
    far: Far,
    softness: Annotated[float, Field(ge=0, description="over how much depth it fades, outside near and far")] = 0.0,
) -> Mask:
    """Select a range of depths: 1 from near to far, fading to 0 outside.

    Depth is channel Z, or the only channel of a picture. `-.inf` and `.inf` leave an end open.

    Convention: both ends belong to the range; the fade is linear; a depth of NaN is outside.
    """
    if not near <= far:
        raise OperationError(f"near must not be beyond far: got near {near:g} and far {far:g}")
    kernels, where = kernels_for(__file__, image), place_of_depth(image)
    if kernels is not None:
        result = empty((image.batch, image.height, image.width, 1))
        pass_over(kernels.within, [stored(image), result], where, *map(c_float, (near, far, softness)))
        return Mask(result, wrap=image.wrap, meta=image.meta)
    z = depth_of(image)
    with np.errstate(invalid="ignore", over="ignore"):
        inside = (z >= np.float32(near)) & (z <= np.float32(far))
        coverage = inside.astype(np.float32)
        if softness:
            outside = np.maximum(np.float32(near) - z, z - np.float32(far))
            fade = np.clip(1 - outside / np.float32(softness), 0, 1)
            coverage = np.where(inside, coverage, np.nan_to_num(fade, nan=0.0))
    return Mask(coverage[..., None], wrap=image.wrap, meta=image.meta)


@operation(support=0, device="cpu", aliases=("depth_fog", "haze", "ZFog"))
def fog(
    image: Image,
    depth: Image | None = None,
    *,
    color: Annotated[Color, Field(description="of the fog, in the image's colour space; its alpha thins it out")] = (
        0.5,
        0.5,
        0.5,
        1.0,
    ),
    falloff: Annotated[
        Literal["linear", "exponential", "exponential-squared"], Field(description="how it grows with the distance")
    ] = "exponential",
    density: Annotated[float, Field(ge=0, description="of exponential fog, per unit of depth")] = 0.1,
    near: Annotated[float, Field(description="the depth where the fog starts")] = 0.0,
    far: Annotated[float, Field(description="the depth where linear fog hides everything")] = 100.0,
) -> Image:
    """Hide a picture behind fog that grows with depth.

    Depth is the second image's Z or only channel, else the image's own Z. With c the depth beyond `near`, f = (far - near
    - c)/(far - near) held in 0..1, exp(-density c) or exp(-(density c)^2), and the result f picture + (1 - f) color
    (OpenGL 2.1 specification, section 3.10 "Fog"). Alpha stays, and the fog is as transparent as what it hides.

    Convention: a depth of NaN is infinitely far.
    """
    if falloff == "linear" and not near < far:
        raise OperationError(f"near must lie before far: got near {near:g} and far {far:g}")
    z = depth_of(image, depth)
    distance = np.maximum(np.where(np.isnan(z), np.inf, z).astype(np.float64) - near, 0)
    if falloff == "linear":
        clear = np.clip(1 - distance / (far - near), 0, 1)
    else:
        thick = np.where(distance > 0, distance, 0) * density if density else np.zeros_like(distance)
        clear = np.exp(-thick if falloff == "exponential" else -(np.minimum(thick, 1e3) ** 2))
    amount = ((1 - clear) * color[3]).astype(np.float32)[..., None]
    given = image.array
    result = given.copy()
    luma = 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2]
    values = {"R": color[0], "G": color[1], "B": color[2], "Y": luma}
    names = [name for name in image.channels if name in values]
    if not names:
        raise OperationError(f"no colour to hide: the image has {', '.join(image.channels)}")
    where = [image.channels.index(name) for name in names]
    tint = np.array([values[name] for name in names], np.float32)
    cover = given[..., [image.channels.index("A")]] if image.alpha == "associated" else np.float32(1)
    hidden = tint * cover * amount
    with np.errstate(invalid="ignore"):
        result[..., where] = np.where(amount == 1, hidden, given[..., where] * (1 - amount) + hidden)
    return image.with_array(result)

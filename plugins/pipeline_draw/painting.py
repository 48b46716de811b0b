"""Painting shapes into a picture, and taking them out of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Color, Image, Mask, OperationError, Unit, operation, stored
from pipeline_draw import coverage
from pipeline_draw.compiled import faded, painted
from pipeline_draw.masks import Feather, Invert
from pipeline_draw.paint import channel_values
from pipeline_draw.plane import Plane

Shape = Literal["rectangle", "ellipse"]
Place = Annotated[float, Field(description="of the shape's box, in pixels from the left (x) or the top (y)")]
Extent = Annotated[float, Field(gt=0, description="of the shape's box, in pixels; to the far edge by default")]


def _filled(image: Image, mask: Mask | None = None, *, color: Color, **params: Any) -> Image:
    _check(image, mask)
    return _blank(image, mask, image.channels, image.alpha)


def _erased(image: Image, mask: Mask | None = None, *, shape: Shape | None = None, **params: Any) -> Image:
    _check(image, mask)
    _need_region(mask, shape)
    if image.alpha != "none":
        return _blank(image, mask, image.channels, image.alpha)
    return _blank(image, mask, (*image.channels, "A"), "straight")


def _blank(image: Image, mask: Mask | None, channels: tuple[str, ...], alpha: Any) -> Image:
    batch = max(image.batch, mask.batch if mask else 1)
    made = Image.stand_in(image.width, image.height, channels, batch=batch, alpha=alpha)
    return image.with_buffer(made.buffer, channels=channels, alpha=alpha)


@operation(version=3, infer=_filled, aliases=("paint", "draw_rectangle", "draw_ellipse", "fill_layer"))
def fill(
    image: Image,
    mask: Mask | None = None,
    *,
    color: Color,
    opacity: Unit = 1.0,
    shape: Shape | None = None,
    x: Place = 0.0,
    y: Place = 0.0,
    width: Extent | None = None,
    height: Extent | None = None,
    feather: Feather = 0.0,
    invert: Invert = False,
) -> Image:
    """Paint a colour over a picture, inside a shape, a mask, both, or all over.

    The colour is in the image's own colour space and goes over what is there by its alpha times `opacity` times the
    coverage. Shapes are drawn into the box `x`, `y`, `width`, `height`; with a mask as well, only where both are.
    `invert` paints outside instead. The alpha state stays as it is; channels that are no colour (Z, ids) stay as they
    are; the result is float32.

    Convention: edges are antialiased by exact coverage; the feather is a linear ramp, half of it outside the edge.
    """
    _check(image, mask)
    region = _region(image, mask, shape, (x, y, width, height), feather)
    paint = channel_values((*color[:3], 1.0), image.channels)
    strength = opacity * color[3]
    if isinstance(region, np.ndarray) and (done := painted(image, region, paint, strength, invert=invert)):
        return done
    before, region = _floats(image), _as_floats(region)
    cover = (1 - region if invert else region) * strength
    share = cover
    at = _alpha_index(image)
    if image.alpha == "straight":  # Porter-Duff over, divided by the alpha that comes out
        after = cover + before[..., at] * (1 - cover)
        share = _where(cover == 0, 0.0, cover / (after + (after == 0)))
    weights = {**dict.fromkeys(image.color_indices, share), **dict.fromkeys(at, cover)}
    planes = [
        before[..., i : i + 1] * (1 - weights[i]) + float(paint[i]) * weights[i]
        if i in weights
        else before[..., i : i + 1]
        for i in range(len(image.channels))
    ]
    return image.with_buffer(_beside(planes))


def _beside(planes: list[Any]) -> Any:
    """Channels `(B, H, W, 1)` as one buffer, of the batch that they come to."""
    if all(isinstance(plane, np.ndarray) for plane in planes):
        return np.concatenate(np.broadcast_arrays(*planes), -1, dtype=np.float32)
    import torch

    return torch.cat(torch.broadcast_tensors(*planes), -1)  # type: ignore[no-untyped-call]  # torch's


@operation(version=3, infer=_erased, aliases=("cut_out", "make_transparent"))
def erase(
    image: Image,
    mask: Mask | None = None,
    *,
    shape: Shape | None = None,
    x: Place = 0.0,
    y: Place = 0.0,
    width: Extent | None = None,
    height: Extent | None = None,
    feather: Feather = 0.0,
    invert: Invert = False,
) -> Image:
    """Make a picture transparent inside a shape, a mask, or where both are.

    Straight alpha keeps the colours under the hole; associated alpha takes them away with it; an image without alpha
    gets one, straight. Shapes are drawn into the box `x`, `y`, `width`, `height`. `invert` erases all
    outside instead: it cuts out. Channels that are no colour (Z, ids) stay as they are; the result is float32.

    Convention: edges are antialiased by exact coverage; the feather is a linear ramp, half of it outside the edge.
    """
    _check(image, mask)
    _need_region(mask, shape)
    region = _region(image, mask, shape, (x, y, width, height), feather)
    channels, alpha = image.channels, image.alpha
    if alpha == "none":
        channels, alpha = (*channels, "A"), "straight"
    fading = [channels.index("A"), *(image.color_indices if alpha == "associated" else [])]
    done = faded(image, region, fading, len(channels), invert=invert) if isinstance(region, np.ndarray) else None
    if done is None:
        before, region = _floats(image), _as_floats(region)
        left = region if invert else 1 - region
        planes = [before[..., i : i + 1] for i in range(len(image.channels))]
        planes += [left * 0 + 1] * (len(channels) - len(planes))
        done = _beside([plane * left if i in fading else plane for i, plane in enumerate(planes)])
    return image.with_buffer(done, channels=channels, alpha=alpha)


def _check(image: Image, mask: Mask | None) -> None:
    if mask is None:
        return
    if mask.size != image.size:
        raise OperationError(
            f"the mask is {mask.width}x{mask.height}, but the image is {image.width}x{image.height}; "
            "'resize' or 'crop' one of them"
        )
    if 1 not in (mask.batch, image.batch) and mask.batch != image.batch:
        raise OperationError(f"{mask.batch} masks for {image.batch} images; give one mask, or one for each")


def _need_region(mask: Mask | None, shape: Shape | None) -> None:
    if mask is None and shape is None:
        raise OperationError("nothing says where to erase: link a mask, or set shape to rectangle or ellipse")


def _region(
    image: Image,
    mask: Mask | None,
    shape: Shape | None,
    box: tuple[float, float, float | None, float | None],
    feather: float,
) -> Any:
    """How much of each pixel is meant, `(B or 1, H, W, 1)`: an array where the image is one, else a tensor beside it."""
    inside = np.broadcast_to(np.float32(1), (1, image.height, image.width, 1))
    if shape is not None:
        inside = _shape(image.width, image.height, shape, box, feather)[None, ..., None]
    if isinstance(image.buffer, np.ndarray):
        return inside if mask is None else stored(mask.to("cpu")) if shape is None else mask.to("cpu").array * inside
    import torch

    on_device = torch.from_numpy(np.ascontiguousarray(inside)).to(image.buffer.device)
    return on_device if mask is None else mask.pixels.to(image.device).permute(0, 2, 3, 1) * on_device


def _shape(
    width: int, height: int, shape: Shape, box: tuple[float, float, float | None, float | None], feather: float
) -> Plane:
    left, top = box[:2]
    right = width if box[2] is None else left + box[2]
    bottom = height if box[3] is None else top + box[3]
    if right <= left or bottom <= top:
        raise OperationError(f"a shape at ({left:g}, {top:g}) is outside the image, which is {width}x{height}")
    if shape == "rectangle":
        return coverage.rectangle(width, height, left=left, top=top, right=right, bottom=bottom, feather=feather)
    return coverage.ellipse(
        width,
        height,
        x=(left + right) / 2,
        y=(top + bottom) / 2,
        radius_x=(right - left) / 2,
        radius_y=(bottom - top) / 2,
        feather=feather,
    )


def _floats(raster: Image | Mask) -> Any:
    """The buffer as float32, numpy or torch as it is."""
    return raster.array if isinstance(raster.buffer, np.ndarray) else raster.pixels.permute(0, 2, 3, 1)


def _where(condition: Any, one: Any, other: Any) -> Any:
    if isinstance(condition, np.ndarray):
        return np.where(condition, one, other)
    import torch

    return torch.where(condition, one, other)


def _as_floats(region: Any) -> Any:
    return Mask(region).array if isinstance(region, np.ndarray) else region


def _alpha_index(image: Image) -> list[int]:
    return [image.index("A")] if image.alpha != "none" else []

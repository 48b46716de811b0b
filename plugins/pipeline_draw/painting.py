"""Painting shapes into a picture, and taking them out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import Field

from pipeline_core import Color, Image, Mask, OperationError, Unit, each_tile, empty, operation
from pipeline_draw import coverage
from pipeline_draw.masks import Feather, Invert
from pipeline_draw.paint import channel_values
from pipeline_draw.plane import Plane

MOST_CHANNELS = 32  # OpenCV takes a few more, all of its versions take these
BAND = 16
"""Rows painted at a time."""
Shape = Literal["rectangle", "ellipse"]
Place = Annotated[float, Field(description="of the shape's box, in pixels from the left (x) or the top (y)")]
Extent = Annotated[float, Field(gt=0, description="of the shape's box, in pixels; to the far edge by default")]


def _painted(image: Image, mask: Mask | None = None, *, color: Color, **params: Any) -> Image:
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


@operation(version=2, infer=_painted, aliases=("paint", "draw_rectangle", "draw_ellipse", "fill_layer"))
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
    region = _region(image, mask, shape, (x, y, width, height), feather, invert)
    paint, count = channel_values((*color[:3], 1.0), image.channels).tolist(), len(image.channels)
    colors, at = image.color_indices, _alpha_index(image)

    def painted(before: Any, region: Any) -> Any:
        cover = region[..., 0] * (opacity * color[3])
        share = cover
        if image.alpha == "straight":  # Porter-Duff over, divided by the alpha that comes out
            after = cover + before[..., at[0]] * (1 - cover)
            share = cover / (after + (after == 0))
        weights = {**dict.fromkeys(colors, share), **dict.fromkeys(at, cover)}
        result = before * _beside({i: 1 - weight for i, weight in weights.items()}, 1, count)
        result += _beside({i: paint[i] * weight for i, weight in weights.items()}, 0, count)
        return result

    return image.with_buffer(_in_bands(painted, _floats(image), region))


def _beside(planes: dict[int, Any], rest: int, count: int) -> Any:
    """Planes `(B, H, W)` as channels, by their place; the others are `rest`. Written out: numpy is slow along so short an axis."""
    some = next(iter(planes.values()))
    if not isinstance(some, np.ndarray):
        import torch

        return torch.stack([planes.get(i, torch.full_like(some, rest)) for i in range(count)], -1)
    others = np.full(some.shape, rest, np.float32)
    found = [np.ascontiguousarray(planes.get(i, others), np.float32).reshape(-1, some.shape[2]) for i in range(count)]
    if count > MOST_CHANNELS:
        return np.stack(found, -1).reshape(*some.shape, count)
    return np.asarray(cv2.merge(found)).reshape(*some.shape, count)


def _in_bands(change: Callable[[Any, Any], Any], before: Any, region: Any) -> Any:
    """`change` of a `(B, H, W, C)` buffer where the region is; arrays a few rows at a time, which stay in a core's cache."""
    batch = len(before) if isinstance(region, float) else max(len(before), len(region))
    height, width, channels = before.shape[1:]
    if not isinstance(before, np.ndarray):
        import torch

        region = torch.full_like(before[..., :1], region) if isinstance(region, float) else region
        return change(before.expand(batch, -1, -1, -1), region.expand(batch, -1, -1, -1))
    before = np.broadcast_to(before, (batch, height, width, channels))
    region = np.broadcast_to(np.asarray(region, np.float32), (batch, height, width, 1))
    result = empty(before.shape)

    def work(rows: slice, _: slice) -> None:
        given, some = before[:, rows], region[:, rows]
        result[:, rows] = change(given, some) if some.any() else given

    each_tile(width, height, (width, BAND), work)
    return result


@operation(version=2, infer=_erased, aliases=("cut_out", "make_transparent"))
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
    region = _region(image, mask, shape, (x, y, width, height), feather, invert)
    before = _floats(image)
    if image.alpha == "none":
        before = _with_ones(before)
        image = image.with_buffer(before, channels=(*image.channels, "A"), alpha="straight")
    fading = _alpha_index(image) + (image.color_indices if image.alpha == "associated" else [])

    def faded(given: Any, region: Any) -> Any:
        return given * _beside(dict.fromkeys(fading, 1 - region[..., 0]), 1, len(image.channels))

    return image.with_buffer(_in_bands(faded, before, region))


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
    invert: bool,
) -> Any:
    """How much of each pixel is meant, `(B or 1, H, W, 1)` or 1 for all, beside the image's own buffer."""
    region: Any = 1.0 if mask is None else _coverage_of(mask, image)
    if shape is not None:
        inside = _shape(image.width, image.height, shape, box, feather)
        region = region * _alike(image, inside[None, ..., None])
    return 1 - region if invert else region


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


def _alike(image: Image, values: np.ndarray[Any, Any]) -> Any:
    """Values as numpy or torch, wherever the image's buffer is."""
    if isinstance(image.buffer, np.ndarray):
        return values
    import torch

    return torch.from_numpy(values).to(image.buffer.device)


def _coverage_of(mask: Mask, image: Image) -> Any:
    return mask.array if isinstance(image.buffer, np.ndarray) else mask.pixels.to(image.device).permute(0, 2, 3, 1)


def _alpha_index(image: Image) -> list[int]:
    return [image.index("A")] if image.alpha != "none" else []


def _with_ones(buffer: Any) -> Any:
    """One more channel, of ones."""
    if isinstance(buffer, np.ndarray):
        return np.concatenate([buffer, np.ones_like(buffer[..., :1])], -1)
    import torch

    return torch.cat([buffer, torch.ones_like(buffer[..., :1])], -1)

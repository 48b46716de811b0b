"""Warping by a picture of places."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Color, Image, OperationError, operation
from pipeline_transform.paint import TRANSPARENT
from pipeline_transform.warping import Antialias, Array, Fill, Warp, WarpFilter, warped

Origin = Annotated[Literal["bottom_left", "top_left"], Field(description="the corner where u and v are 0")]


def _mapped(image: Image, uv: Image, *, filter: str = "bicubic", **_: Any) -> Image:  # noqa: A002
    _check(image, uv)
    dtype = image.dtype if filter == "nearest" else "float32"
    batch = max(image.batch, uv.batch)
    made = Image.stand_in(*uv.size, image.channels, batch=batch, dtype=dtype, alpha=image.alpha)
    return image.with_buffer(made.buffer, wrap=uv.wrap)


@operation(version=4, infer=_mapped, aliases=("stmap", "uv_remap", "remap", "displace_uv"))
def st_map(
    image: Image,
    uv: Image,
    *,
    origin: Origin = "bottom_left",
    filter: WarpFilter = "bicubic",  # noqa: A002  the word of the field
    antialias: Antialias = True,
    fill: Fill = TRANSPARENT,
) -> Image:
    """Pull a picture through a map that says, for each pixel, which place of the picture it shows.

    `uv` holds that place in its R and G, from 0 to 1 over the picture's width and height; `uv_map` makes the map that
    changes nothing. The result has the size and the tiling of the map. Not-a-number in the map is `fill`. Filters,
    `fill` and alpha as in `affine`; outside 0 to 1 an image that tiles goes on.

    Convention: u and v are 0 and 1 at the picture's outer edges, as in OpenGL, not at pixel centres; v points up from
    the bottom left, as in Nuke, unless `origin` says otherwise.
    """
    _check(image, uv)
    batch = max(image.batch, uv.batch)
    items = [_one(_item(image, i), _item(uv, i), origin, filter, antialias, fill) for i in range(batch)]
    if batch == 1:
        return items[0]
    import torch

    return items[0].with_buffer(torch.cat([torch.as_tensor(item.buffer) for item in items]))


def _check(image: Image, uv: Image) -> None:
    if not {"R", "G"} <= set(uv.channels):
        raise OperationError(f"the map needs channels R (u) and G (v), but has {', '.join(uv.channels)}")
    if 1 not in (image.batch, uv.batch) and image.batch != uv.batch:
        raise OperationError(f"{uv.batch} maps for {image.batch} images; give one map, or one for each")


def _item(image: Image, i: int) -> Image:
    return image if image.batch == 1 else image.with_buffer(image.buffer[i : i + 1])


def _one(image: Image, uv: Image, origin: str, kind: str, antialias: bool, fill: Color) -> Image:
    on_cpu = image.device == "cpu"
    places = uv.array[0] if on_cpu else uv.to(image.device).pixels[0].permute(1, 2, 0)
    channels = [uv.index("R"), uv.index("G")]

    def source(x: Array, y: Array) -> tuple[Array, Array]:
        across, down = (_looked_up if on_cpu else _gathered)(places, channels, x, y)
        return across * image.width, (1 - down if origin == "bottom_left" else down) * image.height

    return warped(image, Warp(uv.width, uv.height, source, antialias, uv.wrap), kind, fill)


def _looked_up(places: Array, channels: list[int], x: Array, y: Array) -> list[Array]:
    """What is under these pixels, of numpy `(H, W, C)`; for numpy or torch."""
    columns, rows = (
        np.floor(np.asarray(at)).clip(0, size - 1).astype(np.intp).ravel()
        for at, size in ((x, places.shape[1]), (y, places.shape[0]))
    )
    whole = np.array_equal(columns, np.arange(places.shape[1]))  # as strips are
    found = [places[rows, :, i] if whole else places[rows[:, None], columns, i] for i in channels]
    if isinstance(x, np.ndarray):
        return found
    import torch

    return [torch.from_numpy(part).to(x.dtype) for part in found]


def _gathered(places: Array, channels: list[int], x: Array, y: Array) -> list[Array]:
    """The same in torch."""
    columns, rows = x.floor().long().clamp(0, places.shape[1] - 1), y.floor().long().clamp(0, places.shape[0] - 1)
    return [places[rows, columns, i].to(x.dtype) for i in channels]

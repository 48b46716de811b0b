"""Warping by a picture of places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from pipeline_core import Color, Image, OperationError, operation
from pipeline_transform.paint import TRANSPARENT
from pipeline_transform.warping import Antialias, Fill, Warp, WarpFilter, warped

if TYPE_CHECKING:
    import torch

    Tensors = tuple[torch.Tensor, torch.Tensor]

Origin = Annotated[Literal["bottom_left", "top_left"], Field(description="the corner where u and v are 0")]


def _mapped(image: Image, uv: Image, *, filter: str = "bicubic", **_: Any) -> Image:  # noqa: A002
    _check(image, uv)
    dtype = image.dtype if filter == "nearest" else "float32"
    batch = max(image.batch, uv.batch)
    made = Image.stand_in(*uv.size, image.channels, batch=batch, dtype=dtype, alpha=image.alpha)
    return image.with_buffer(made.buffer, wrap=uv.wrap)


@operation(infer=_mapped, aliases=("stmap", "uv_remap", "remap", "displace_uv"))
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
    places = uv.pixels[0].to(image.pixels.device if image.device != "cpu" else "cpu")
    u, v = places[uv.index("R")], places[uv.index("G")]

    def source(x: torch.Tensor, y: torch.Tensor) -> Tensors:
        column, row = x.floor().long().clamp(0, uv.width - 1), y.floor().long().clamp(0, uv.height - 1)
        across, down = u[row, column].to(x.dtype), v[row, column].to(x.dtype)
        return across * image.width, (1 - down if origin == "bottom_left" else down) * image.height

    return warped(image, Warp(uv.width, uv.height, source, antialias, uv.wrap), kind, fill)

"""Alpha: associated or straight, set, taken apart, flattened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, NamedTuple

from pydantic import Field

from pipeline_compose.arrays import empty, pixels_of
from pipeline_compose.layers import with_alpha_channel, with_alpha_last
from pipeline_compose.placement import cut
from pipeline_core import Color, Image, Mask, OperationError, Unit, each_tile, operation

STRIP = 16
REC709_LUMA = (0.2126, 0.7152, 0.0722)


@operation(support=0, aliases=("premult", "associate"))
def premultiply(image: Image) -> Image:
    """Multiply colour by alpha: straight alpha becomes associated.

    An image without alpha, or already associated, is given back as it is. Asked for by name it is done to `data` too.
    """
    return _turned(image, Image.associate)


@operation(support=0, aliases=("unpremult", "unassociate"))
def unpremultiply(image: Image) -> Image:
    """Divide colour by alpha: associated alpha becomes straight.

    An image without alpha, or already straight, is given back as it is.
    Asked for by name it is done to `data` too, as to a renderer's pass of positions.

    Convention: where alpha is 0, colour stays as it is (as in OpenImageIO's unpremult).
    """
    return _turned(image, Image.unassociate)


def _turned(image: Image, turn: Callable[[Image], Image]) -> Image:
    """In the other alpha state, with A taken as coverage even where `data` would keep it apart."""
    return turn(image) if image.color != "data" else replace(turn(replace(image, color="unknown")), color="data")


@operation(support=0, aliases=("put_alpha", "add_alpha", "JoinImageWithAlpha", "add_layer_mask"))
def set_alpha(
    image: Image,
    mask: Mask | None = None,
    *,
    value: Annotated[Unit, Field(description="the alpha, or what the mask is multiplied by")] = 1.0,
) -> Image:
    """Give an image an alpha, from a mask or one value; an alpha it has is replaced.

    Convention: the colours stay what they are under the old alpha: an associated image is divided by the old and
    multiplied by the new one. An image without alpha becomes straight.
    """
    import torch

    if mask is not None and mask.size != image.size:
        found = f"image is {image.width}x{image.height}, mask is {mask.width}x{mask.height}"
        raise OperationError(f"{found}: resize or crop the mask")
    batches = {image.batch, 1 if mask is None else mask.batch} - {1}
    if len(batches) > 1:
        raise OperationError(f"batches of {min(batches)} and {max(batches)}: must be equal, or one")
    straight = image.unassociate()
    pixels = straight.pixels
    alpha = torch.full_like(pixels[:, :1], value) if mask is None else mask.pixels * value
    batch = max(len(pixels), len(alpha))
    channels = with_alpha_channel(image.channels)
    planes = [alpha if name == "A" else straight.channel(name) for name in channels]
    stacked = torch.cat([plane.expand(batch, -1, -1, -1) for plane in planes], dim=1)
    done = straight.with_pixels(stacked, channels=channels, alpha="straight")
    return done.with_alpha_state(image.alpha)


class SplitAlpha(NamedTuple):
    image: Image
    alpha: Mask


@operation(support=0, aliases=("SplitImageWithAlpha",))
def split_alpha(image: Image) -> SplitAlpha:
    """Take an image apart into colour without alpha, and alpha as a mask.

    `set_alpha` puts them together again. Straight images keep their type (8-bit stays 8-bit).
    Convention: the colours are straight, those of an associated image divided by alpha. No alpha gives a mask of ones.
    """
    import torch

    if image.alpha == "none":
        return SplitAlpha(image, Mask(torch.ones_like(image.pixels[:, :1]).permute(0, 2, 3, 1), wrap=image.wrap))
    straight = image.unassociate()
    at = image.index("A")
    rest = [i for i in range(len(image.channels)) if i != at]
    if not rest:
        raise OperationError("the image has nothing but alpha: mask_from_channel gives it as a mask")
    color = straight.with_buffer(
        straight.buffer[..., rest], channels=tuple(image.channels[i] for i in rest), alpha="none"
    )
    return SplitAlpha(color, Mask(image.buffer[..., [at]], wrap=image.wrap))


@operation(support=0, aliases=("remove_alpha", "flatten_image"))
def flatten(
    image: Image, *, color: Annotated[Color, Field(description="what shows through, in the image's colour space")]
) -> Image:
    """Put an image over a plain colour and drop its alpha.

    An image without alpha is given back as it is.
    Convention: the colour is opaque, its own alpha is ignored; a Y image gets its luma by Rec. 709 weights.
    """
    if image.alpha == "none":
        return image
    names = [image.channels[i] for i in image.color_indices]
    luma = sum(weight * part for weight, part in zip(REC709_LUMA, color, strict=False))
    parts = dict(zip("RGB", color, strict=False)) | {"Y": luma}
    channels = tuple(name for name in image.channels if name != "A")
    result = empty((image.batch, image.height, image.width, len(channels)), like=pixels_of(image))

    def work(rows: slice, columns: slice) -> None:
        part, out = cut(image, (rows, columns)), result[:, rows]
        above = with_alpha_last(part, names)
        uncovered = 1 - above[:, -1]
        for i, name in enumerate(channels):
            if name in names:
                out[..., i] = uncovered * parts[name.rpartition(".")[2]] + above[:, names.index(name)]
            else:
                out[..., i] = pixels_of(part)[:, image.index(name)]

    if image.device == "cpu":
        each_tile(image.width, image.height, (image.width, STRIP), work)
    else:
        work(slice(0, image.height), slice(0, image.width))
    return image.with_buffer(result, channels=channels, alpha="none")

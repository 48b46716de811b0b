"""Picking, renaming and reordering channels."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from pipeline_channel.planes import Plane, check_names, check_sizes, named, stacked, wrap_of
from pipeline_core import Alpha, Image, Mask, OperationError, operation

CONSTANTS = {"0": 0.0, "1": 1.0}
COLORS = frozenset("RGBY")
OTHER = "other."


@operation(support=0, aliases=("channel_select", "channels", "ch", "keep_channels", "Remove"))
def select_channels(
    image: Image,
    *,
    channels: Annotated[
        list[str], Field(min_length=1, description="names in their new order; * stands for any text", examples=[["R"]])
    ],
) -> Image:
    """Keep some channels of an image, in the order given.

    `["R", "G", "B"]` drops alpha and all else, `["diffuse.*"]` keeps one layer. A channel that two names match comes
    where it matched first. Exact, in the image's own dtype: without its alpha the colour of an associated image stays
    multiplied (`unpremultiply` first for another).
    """
    names: list[str] = []
    for wanted in channels:
        found = [wanted] if wanted in image.channels else [c for c in image.channels if fnmatchcase(c, wanted)]
        if not found:
            named(image, wanted)
        names += [name for name in found if name not in names]
    if tuple(names) == image.channels:
        return image
    buffer = stacked([Plane(image, image.channels.index(name)) for name in names])
    return image.with_buffer(buffer, channels=tuple(names), alpha=image.alpha if "A" in names else "none")


@operation(support=0, aliases=("Shuffle", "ShuffleCopy", "Copy", "channel_shuffle", "swizzle"))
def shuffle(
    image: Image,
    other: Image | Mask | None = None,
    *,
    channels: Annotated[
        dict[str, str],
        Field(min_length=1, description="new name: where it comes from", examples=[{"R": "B", "G": "G", "B": "R"}]),
    ],
) -> Image:
    """Make an image of channels of one or two images.

    `channels` lists the channels of the result, in order. Each comes from a channel of `image` (`B`, `diffuse.R`), of
    `other` where that is given (`other.R`; a mask's is `other.M`), or is constant: `0` or `1`.
    Example: `{R: R, G: G, B: B, A: other.Y}`.

    Values are moved, not changed: in their own dtype, or float32 where two dtypes meet. The result has the colour space
    of the images that its colours come from. Its alpha state is that of the image (of `other` if that alone has alpha);
    an A where neither has alpha is straight.
    """
    check_names(list(channels))
    given: dict[str, Image | Mask] = {"image": image} if other is None else {"image": image, "other": other}
    check_sizes(given)
    planes = {name: _source(image, other, source) for name, source in channels.items()}
    return image.with_buffer(
        stacked(list(planes.values())),
        channels=tuple(channels),
        color=_color(image, planes),
        alpha=_alpha(list(given.values())) if "A" in channels else "none",
        wrap=wrap_of(list(given.values())),
    )


def _source(image: Image, other: Image | Mask | None, source: str) -> Plane:
    if source in CONSTANTS:
        return Plane(image, constant=CONSTANTS[source])
    if other is not None and source.startswith(OTHER):
        return Plane(other, named(other, source.removeprefix(OTHER)))
    if other is None and source.startswith(OTHER) and source not in image.channels:
        raise OperationError(f"'{source}' is a channel of the input 'other', but nothing is wired to it")
    return Plane(image, named(image, source))


def _color(image: Image, planes: dict[str, Plane]) -> str:
    """The colour space of what became colour channels: of one image, or of two that agree."""
    found = {
        plane.raster.color
        for name, plane in planes.items()
        if is_color(name) and plane.index is not None and isinstance(plane.raster, Image)
        if is_color(plane.raster.channels[plane.index])
    }
    if len(found) > 1:
        one, two = sorted(found)
        raise OperationError(f"colours of {one} and {two} would meet in one image: 'color_convert' or 'set_color' one")
    return found.pop() if found else image.color


def is_color(name: str) -> bool:
    """R, G, B and Y, and those of layers ('diffuse.R')."""
    return name.rpartition(".")[2] in COLORS


def _alpha(rasters: list[Image | Mask]) -> Alpha:
    states: list[Alpha] = [r.alpha for r in rasters if isinstance(r, Image) and r.alpha != "none"]
    if len(set(states)) > 1:
        raise OperationError("one image is straight and the other associated: 'premultiply' or 'unpremultiply' one")
    return states[0] if states else "straight"


class Channels(NamedTuple):
    """Red, green, blue and alpha, each a mask."""

    r: Mask
    g: Mask
    b: Mask
    a: Mask


@operation(support=0, aliases=("separate_channels", "decompose", "split_rgb", "decompose_rgb"))
def split_channels(image: Image) -> Channels:
    """Take red, green, blue and alpha apart, each as a mask.

    The values are taken as they are, in the image's own dtype: not clipped, and colour not divided by alpha. A gray
    image (Y) gives it three times; an image without alpha gives a mask of 1. Other channels: `mask_from_channel`.
    """
    gray = "Y" in image.channels and "R" not in image.channels
    r, g, b = (_mask(image, Plane(image, named(image, "Y" if gray else name))) for name in ("R", "G", "B"))
    alpha = Plane(image, image.channels.index("A")) if "A" in image.channels else Plane(image, constant=1.0)
    return Channels(r, g, b, _mask(image, alpha))


def _mask(image: Image, plane: Plane) -> Mask:
    buffer: Any = plane.stored(image.dtype, image.batch)
    return Mask(buffer, wrap=image.wrap, meta=image.meta)

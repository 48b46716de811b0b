"""One image of single channels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline_channel.planes import Plane, check_names, check_sizes, stacked, wrap_of
from pipeline_core import Image, Mask, OperationError, Unit, operation

USUAL_NAMES = {1: ("Y",), 2: ("Y", "A"), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}


@operation(support=0, aliases=("compose", "merge_channels", "chappend", "join_channels", "MaskToImage"))
def combine_channels(
    channels: list[Image | Mask],
    *,
    names: Annotated[
        list[str] | None,
        Field(min_length=1, description="of the channels; else Y, YA, RGB or RGBA by their number"),
    ] = None,
    alpha: Annotated[Literal["straight", "associated"], Field(description="what an A among them means")] = "straight",
) -> Image:
    """Put the channels of images and masks together, one after another, into one image.

    The other way round of `split_channels`. An image gives all of its channels in their order. Values are moved, not
    changed: in their own dtype, or float32 where two dtypes meet. The colour space is that of the images, which must
    agree; masks alone give `data` (`set_color` says otherwise).
    """
    given = {str(i): raster for i, raster in enumerate(channels, 1)}
    check_sizes(given)
    planes = [Plane(raster, i) for raster in channels for i in range(len(raster.channels))]
    wanted = tuple(names) if names is not None else USUAL_NAMES.get(len(planes))
    if wanted is None:
        raise OperationError(f"{len(planes)} channels have no usual names: give 'names'")
    if len(wanted) != len(planes):
        raise OperationError(f"{len(wanted)} names ({', '.join(wanted)}) for {len(planes)} channels: give one for each")
    check_names(wanted)
    colors = sorted({raster.color for raster in channels if isinstance(raster, Image)})
    if len(colors) > 1:
        raise OperationError(f"images of {colors[0]} and {colors[1]}: 'color_convert' or 'set_color' one of them")
    return Image(
        stacked(planes),
        channels=wanted,
        color=colors[0] if colors else "data",
        alpha=alpha if "A" in wanted else "none",
        wrap=wrap_of(channels),
        meta=channels[0].meta,
    )


@operation(support=0, aliases=("channel_pack", "texture_pack", "mask_map", "rgba_mask"))
def pack_channels(
    r: Image | Mask,
    g: Image | Mask | None = None,
    b: Image | Mask | None = None,
    a: Image | Mask | None = None,
    *,
    missing: Annotated[Unit, Field(description="value of a red, green or blue that is not wired")] = 0.0,
) -> Image:
    """Pack up to four masks or gray images into one texture of colour `data`.

    RGB, or RGBA where `a` is wired; its alpha is a channel like the others, so it is straight and multiplies nothing.
    Values are moved, not changed: in their own dtype, or float32 where two dtypes meet. `pack_orm` and `export_material`
    know what game engines want.
    """
    given = {name: raster for name, raster in (("r", r), ("g", g), ("b", b), ("a", a)) if raster is not None}
    check_sizes(given)
    for name, raster in given.items():
        if len(raster.channels) != 1:
            raise OperationError(
                f"'{name}' has {len(raster.channels)} channels ({', '.join(raster.channels)}): give one, "
                "by 'to_gray' or 'mask_from_channel'"
            )
    names = ("r", "g", "b", "a") if a is not None else ("r", "g", "b")
    planes = [Plane(given[name], 0) if name in given else Plane(r, constant=missing) for name in names]
    return Image(
        stacked(planes),
        channels=tuple(name.upper() for name in names),
        color="data",
        alpha="straight" if a is not None else "none",
        wrap=wrap_of(list(given.values())),
        meta=r.meta,
    )

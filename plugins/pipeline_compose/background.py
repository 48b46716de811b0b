"""`remove_background`: a figure cut out of a picture."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field

from pipeline_compose.layers import with_alpha_channel
from pipeline_compose.matting import CLUSTERS, Bytes, Floats, own_colors, segment, soften
from pipeline_core import Image, Mask, OperationError, operation, progress
from pipeline_core import opencv as cv2

Box = Annotated[list[int], Field(min_length=4, max_length=4, description="[x, y, width, height] in pixels")]
Length = Annotated[int | None, Field(ge=1, description="pixels; to the picture's edge where it is not given")]


class Cutout(NamedTuple):
    image: Image
    mask: Mask


def _stand_ins(image: Image, **params: Any) -> Cutout:
    _labels(image, **{name: params[name] for name in ("x", "y", "width", "height", "keep", "drop") if name in params})
    _color_names(image)
    facts: dict[str, Any] = {"batch": image.batch, "wrap": image.wrap}
    channels = with_alpha_channel(image.channels)
    alpha = "straight" if image.alpha == "none" else image.alpha
    cut = Image.stand_in(*image.size, channels, color=image.color, alpha=alpha, meta=image.meta, **facts)
    return Cutout(cut, Mask.stand_in(*image.size, **facts))


@operation(device="cpu", infer=_stand_ins, aliases=("cutout", "grabcut"))
def remove_background(
    image: Image,
    *,
    x: Annotated[int, Field(ge=0, description="left edge of the rectangle around the figure")] = 0,
    y: Annotated[int, Field(ge=0, description="its upper edge")] = 0,
    width: Length = None,
    height: Length = None,
    keep: Annotated[list[Box], Field(description="boxes that are surely figure")] = [],  # noqa: B006  read only
    drop: Annotated[list[Box], Field(description="boxes that are surely background")] = [],  # noqa: B006  read only
    iterations: Annotated[int, Field(ge=1, le=50)] = 5,
    feather: Annotated[int, Field(ge=0, le=256, description="how far the soft edge may reach, in pixels")] = 4,
) -> Cutout:
    """Cut a figure out of its background.

    Say with a rectangle where the figure is: all outside is background, and what looks like it inside goes too. Boxes to
    `keep` and to `drop` help where figure and background look alike. Gives the picture with alpha, and the alpha as a
    mask. The edge is soft and the background's light is taken out of its colours, so that no halo shows elsewhere.
    An alpha that the picture has is multiplied in; where it had none, the result is straight.

    GrabCut (C. Rother et al., SIGGRAPH 2004), a guided filter (K. He et al., TPAMI 2013), and blur fusion for the
    colours (M. Forte, ICIP 2021). Same input, same result, on any number of cores.

    Convention: the cut is found on the picture as people see it (linear light is encoded, values clipped to 0..1; only
    there), at most 1024 pixels long; the edge is refined at full size. Where boxes overlap, `keep` wins.
    """
    labels = _labels(image, x=x, y=y, width=width, height=height, keep=keep, drop=drop)
    where = [image.index(name) for name in _color_names(image)]
    straight = image.unassociate().array
    coverage = np.ones_like(straight[..., :1]) if image.alpha == "none" else straight[..., [image.index("A")]].copy()
    colors = straight[..., where].copy()
    for item in range(image.batch):
        progress(item, image.batch, "cutting")
        seen = _as_seen(colors[item], linear=image.color.startswith("lin_"))
        figure = segment(np.round(seen * 255).astype(np.uint8), labels, iterations)
        if not figure.any():
            raise OperationError("no figure found in the rectangle: move it, or mark the figure with keep")
        soft = soften(figure, seen, feather)
        colors[item] = own_colors(colors[item], soft)
        coverage[item] *= soft[..., None]
    planes = {image.channels[at]: colors[..., [i]] for i, at in enumerate(where)} | {"A": coverage}
    channels = with_alpha_channel(image.channels)
    stacked = [planes[name] if name in planes else straight[..., [image.index(name)]] for name in channels]
    cut = image.with_array(np.concatenate(stacked, axis=-1), channels=channels, alpha="straight")
    return Cutout(cut.with_alpha_state(image.alpha), Mask(coverage, wrap=image.wrap))


def _color_names(image: Image) -> list[str]:
    names = [name for name in image.channels if name in "RGBY"]
    if names not in (["R", "G", "B"], ["Y"]):
        raise OperationError(f"remove_background wants R, G, B or Y, the image has {', '.join(image.channels)}")
    return names


def _as_seen(color: Floats, *, linear: bool) -> Floats:
    """(H, W, 3) in 0..1 as on a display."""
    seen = np.clip(np.nan_to_num(color), 0, 1)
    if linear:
        seen = seen ** np.float32(1 / 2.2)
    return np.ascontiguousarray(np.broadcast_to(seen, (*seen.shape[:2], 3)), dtype=np.float32)


def _labels(
    image: Image,
    *,
    x: int = 0,
    y: int = 0,
    width: int | None = None,
    height: int | None = None,
    keep: list[Box] = [],  # noqa: B006  read only
    drop: list[Box] = [],  # noqa: B006  read only
) -> Bytes:
    """What GrabCut starts from: surely background, likely figure, surely figure."""
    labels = np.full((image.height, image.width), cv2.GC_BGD, np.uint8)
    around = [x, y, image.width - x if width is None else width, image.height - y if height is None else height]
    marks = [("the rectangle", around, cv2.GC_PR_FGD)]
    marks += [("a box to drop", box, cv2.GC_BGD) for box in drop]
    marks += [("a box to keep", box, cv2.GC_FGD) for box in keep]
    for name, (left, upper, wide, high), label in marks:
        inside = min(left, upper) >= 0 and min(wide, high) >= 1
        if not inside or left + wide > image.width or upper + high > image.height:
            found = f"{name} is {wide}x{high} at {left}, {upper}"
            raise OperationError(f"{found}: it must lie inside the image of {image.width}x{image.height}")
        labels[upper : upper + high, left : left + wide] = label
    background = int((labels == cv2.GC_BGD).sum())
    if background < CLUSTERS:
        raise OperationError("the rectangle leaves no background outside: make it smaller, or mark some with drop")
    if labels.size - background < CLUSTERS:
        raise OperationError(f"the rectangle and keep leave {labels.size - background} pixels for the figure: too few")
    return labels

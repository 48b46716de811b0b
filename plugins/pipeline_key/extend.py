"""`edge_extend`: colours bled from where they are known to where they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline_core import Image, Unit, operation

if TYPE_CHECKING:
    from torch import Tensor


@operation(aliases=("bleed", "dilate_colors", "alpha_bleed", "solidify", "inpaint_edges"))
def edge_extend(
    image: Image,
    *,
    threshold: Annotated[Unit, Field(description="colours under an alpha up to this are replaced")] = 0.0,
) -> Image:
    """Bleed colours into transparency, so that nothing dark or foreign shows when a texture is filtered or compressed.

    Alpha stays as it is. With a threshold near 1 the half-covered edge gets its colours from the solid inside too:
    that takes a halo of another background out. An image without alpha is given back as it is.

    Push-pull: means of the known colours on ever coarser levels, put in where finer ones know nothing
    (S. Gortler et al., "The Lumigraph", SIGGRAPH 1996).

    Convention: the result is straight, whatever the image was: associated colour can't be where alpha is 0. Known
    colours stay what they are to the bit. Where nothing is known, nothing changes.
    """
    import torch

    if image.alpha == "none":
        return image
    straight = image.unassociate()
    pixels = straight.pixels
    where = image.color_indices
    known = (straight.channel("A") > threshold).to(pixels.dtype)
    spread = push_pull(pixels[:, where], known * straight.channel("A").clamp(0, 1), image.wrap)
    filled = pixels.clone()
    some = known.amax((2, 3), keepdim=True)
    filled[:, where] = torch.where((known > 0) | (some == 0), pixels[:, where], spread)
    return straight.with_pixels(filled)


def push_pull(color: Tensor, weight: Tensor, wrap: tuple[bool, bool]) -> Tensor:
    """`(B, C, H, W)` with the mean of nearby colours by weight `(B, 1, H, W)` where the weight is less than 1."""
    import torch

    color = torch.where(weight > 0, color, 0.0) * weight
    levels = [(color, weight)]
    while max(weight.shape[2:]) > 1:
        color, weight = (_halved(values, wrap) for values in levels[-1])
        # A pixel knows enough when a quarter of it does; more than that would only fade.
        scale = (4 * weight).clamp(max=1) / torch.where(weight > 0, weight, 1.0)
        levels.append((color * scale, weight * scale))
    color, weight = levels.pop()
    coarse = color / torch.where(weight > 0, weight, 1.0)
    for color, weight in reversed(levels):
        coarse = color + (1 - weight) * _doubled(coarse, color, wrap)
    return coarse


def _halved(values: Tensor, wrap: tuple[bool, bool]) -> Tensor:
    """Means of two by two pixels; the last one of an odd side is alone, or meets the first where it tiles."""
    from torch.nn import functional

    height, width = values.shape[2:]
    for odd, wraps, pad in ((width % 2, wrap[0], (0, 1, 0, 0)), (height % 2, wrap[1], (0, 0, 0, 1))):
        if odd:
            values = functional.pad(values, pad, mode="circular") if wraps else functional.pad(values, pad)
    return functional.avg_pool2d(values, 2)


def _doubled(values: Tensor, like: Tensor, wrap: tuple[bool, bool]) -> Tensor:
    """Twice the size, linear between pixel centres, cut to the size of `like`."""
    from torch.nn import functional

    for wraps, pad in ((wrap[0], (1, 1, 0, 0)), (wrap[1], (0, 0, 1, 1))):
        values = functional.pad(values, pad, mode="circular" if wraps else "replicate")
    grown = functional.interpolate(values, scale_factor=2, mode="bilinear", align_corners=False)
    return grown[:, :, 2 : 2 + like.shape[2], 2 : 2 + like.shape[3]]

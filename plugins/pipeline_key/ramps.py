"""Keys that are a ramp over one number per pixel: light, difference from a plate, distance from a colour."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline_core import Color, Image, Mask, OperationError, operation
from pipeline_key.compiled import measured
from pipeline_key.planes import Keyed, check_pair, color_of, colors_of, keyed, keyed_by, ramp

REC709_LUMA = (0.2126, 0.7152, 0.0722)
UNLIKE = "one of image and plate is gray, one has colour: convert one of them with to_rgb or to_gray"
Amount = Annotated[float, Field(ge=0)]


@operation(version=3, support=0, aliases=("keyer", "luminance_key", "lumakey"))
def luma_key(
    image: Image,
    *,
    low: Annotated[float, Field(description="luma up to here is transparent")] = 0.0,
    high: Annotated[float, Field(description="luma from here on is opaque")] = 1.0,
    invert: Annotated[bool, Field(description="keep the dark parts")] = False,
) -> Keyed:
    """Key by light: dark parts become transparent, for flames, smoke, sky and scanned ink.

    Gives the image with its alpha multiplied by the key, straight where it had none, and the key as a mask.

    Convention: luma is 0.2126 R + 0.7152 G + 0.0722 B (Rec. 709) of the straight values as they are, or Y; between
    `low` and `high` the key is a straight line, where they are equal a step.
    """
    if high < low:
        raise OperationError(
            f"low is {low:g}, high is {high:g}: low must not be above high; invert keeps the dark parts"
        )
    where = colors_of(image, "luma_key", ("RGB", "Y"))
    if (key := measured([(image, where)], "weighted", REC709_LUMA, (low, high), invert=invert)) is not None:
        return keyed_by(image, key)
    import torch

    color = color_of(image, "luma_key")
    luma = sum(weight * color[:, i : i + 1] for i, weight in enumerate(REC709_LUMA)) if color.shape[1] == 3 else color
    shown = ramp(torch.as_tensor(luma), low, high)
    return keyed(image, color, 1 - shown if invert else shown)


@operation(version=3, support=0, aliases=("difference", "difference_matte"))
def difference_key(
    image: Image,
    plate: Image,
    *,
    tolerance: Annotated[Amount, Field(description="differences up to here are background: grain, compression")] = 0.05,
    softness: Annotated[Amount, Field(description="how much more until all is figure")] = 0.1,
) -> Keyed:
    """Key what differs from a plate, a picture of the same place without the figure.

    Gives the image with its alpha multiplied by the key, straight where it had none, and the key as a mask. Sizes and
    colour spaces are equal; batches equal or one.

    Convention: the difference is the largest one of the channels of the straight values as they are.
    """
    check_pair(image, plate)
    places = [colors_of(one, "difference_key", ("RGB", "Y")) for one in (image, plate)]
    if len(places[0]) != len(places[1]):
        raise OperationError(UNLIKE)
    ends, sources = (tolerance, tolerance + softness), [(image, places[0]), (plate, places[1])]
    if (key := measured(sources, "farthest", (0, 0, 0), ends)) is not None:
        return keyed_by(image, key)
    color = color_of(image, "difference_key")
    distance = (color - color_of(plate, "difference_key")).abs().amax(1, keepdim=True)
    return keyed(image, color, ramp(distance, *ends))


@operation(version=4, support=0, aliases=("color_range", "select_by_color", "color_to_mask", "mask_from_color"))
def color_range_mask(
    image: Image,
    *,
    color: Annotated[Color, Field(description="in the image's colour space")],
    tolerance: Annotated[Amount, Field(description="distance that is wholly inside")] = 0.1,
    softness: Annotated[Amount, Field(description="how much farther the mask reaches 0")] = 0.1,
) -> Mask:
    """Mask the pixels whose colour is near a given one.

    Convention: the distance is that of the straight values as they are, root mean square over R, G and B (black to
    white is 1); the colour's own alpha, and the image's, count for nothing.
    """
    where, ends = colors_of(image, "color_range_mask", ("RGB",)), (tolerance + softness, tolerance)
    if (done := measured([(image, where)], "distance", color[:3], ends)) is not None:
        return done
    found = color_of(image, "color_range_mask", ("RGB",))
    wanted = found.new_tensor(color[:3]).view(1, 3, 1, 1)
    distance = (found - wanted).square().mean(1, keepdim=True).sqrt()
    inside = (tolerance + softness - distance) / softness if softness > 0 else (distance <= tolerance).to(found.dtype)
    return Mask(inside.clamp(0, 1).permute(0, 2, 3, 1), wrap=image.wrap)

"""Keys that are a ramp over one number per pixel: light, difference from a plate, distance from a colour."""

from __future__ import annotations

from functools import reduce
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from pipeline_core import Color, Image, Mask, OperationError, Scratch, operation
from pipeline_key.planes import Floats, Keyed, check_pair, color_of, colors_of, keyed, keyed_by, masked, ramp, ramped

REC709_LUMA = (0.2126, 0.7152, 0.0722)
UNLIKE = "one of image and plate is gray, one has colour: convert one of them with to_rgb or to_gray"
Amount = Annotated[float, Field(ge=0)]


@operation(version=2, support=0, aliases=("keyer", "luminance_key", "lumakey"))
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
    if image.device == "cpu":
        return keyed_by(image, _of_luma(image, low, high, invert))
    import torch

    color = color_of(image, "luma_key")
    luma = sum(weight * color[:, i : i + 1] for i, weight in enumerate(REC709_LUMA)) if color.shape[1] == 3 else color
    key = ramp(torch.as_tensor(luma), low, high)
    return keyed(image, color, 1 - key if invert else key)


@operation(version=2, support=0, aliases=("difference", "difference_matte"))
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
    if image.device == "cpu":
        return keyed_by(image, _of_difference(image, plate, tolerance, softness))
    color = color_of(image, "difference_key")
    other = color_of(plate, "difference_key")
    if other.shape[1] != color.shape[1]:
        raise OperationError(UNLIKE)
    distance = (color - other).abs().amax(1, keepdim=True)
    return keyed(image, color, ramp(distance, tolerance, tolerance + softness))


def _of_luma(image: Image, low: float, high: float, invert: bool) -> Mask:
    """The key of `luma_key` on the CPU."""

    def make(colors: Floats, out: Floats) -> None:
        single = colors.shape[2] == 1
        ramped(
            colors[..., 0] if single else np.asarray(cv2.transform(colors, np.array([REC709_LUMA], np.float32))),
            low,
            high,
            out,
        )
        if invert:
            np.subtract(np.float32(1), out, out=out)

    return masked([(image, colors_of(image, "luma_key", ("RGB", "Y")))], make)


def _of_difference(image: Image, plate: Image, tolerance: float, softness: float) -> Mask:
    """The key of `difference_key` on the CPU."""
    places = [colors_of(one, "difference_key", ("RGB", "Y")) for one in (image, plate)]
    if len(places[0]) != len(places[1]):
        raise OperationError(UNLIKE)

    def make(one: Floats, other: Floats, out: Floats) -> None:
        planes = [np.asarray(plane, np.float32) for plane in cv2.split(cv2.absdiff(one, other))]
        ramped(reduce(np.maximum, planes), tolerance, tolerance + softness, out)

    return masked([(image, places[0]), (plate, places[1])], make)


@operation(version=3, support=0, aliases=("color_range", "select_by_color", "color_to_mask", "mask_from_color"))
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
    if image.device == "cpu":
        return _in_range(image, color, tolerance, softness)
    found = color_of(image, "color_range_mask", ("RGB",))
    wanted = found.new_tensor(color[:3]).view(1, 3, 1, 1)
    distance = (found - wanted).square().mean(1, keepdim=True).sqrt()
    inside = (tolerance + softness - distance) / softness if softness > 0 else (distance <= tolerance).to(found.dtype)
    return Mask(inside.clamp(0, 1).permute(0, 2, 3, 1), wrap=image.wrap)


def _in_range(image: Image, color: Color, tolerance: float, softness: float) -> Mask:
    """`color_range_mask` on the CPU, a few rows at a time."""
    where = colors_of(image, "color_range_mask", ("RGB",))
    row = np.tile(np.array(color[:3], np.float32), image.width)  # numpy is slow along three channels
    # Distances are reckoned in the unit that they are wanted in: in softnesses, or as they are.
    unit = softness or 1.0
    weights, reach = np.full((1, 3), 1 / (3 * unit * unit), np.float32), np.float32((tolerance + softness) / unit)
    scratch = Scratch()

    def make(colors: Floats, out: Floats) -> None:
        height, width, _ = colors.shape
        apart = scratch.array("apart", (height, 3 * width))
        np.subtract(colors.reshape(height, -1), row, out=apart)
        apart *= apart
        squares = cv2.transform(apart.reshape(colors.shape), weights, scratch.array("squares", (height, width)))
        distance = np.sqrt(squares, out=scratch.array("distance", (height, width)))
        if softness > 0:
            np.subtract(reach, distance, out=distance)
            np.clip(distance, 0, 1, out=out)
        else:
            out[:] = distance <= reach

    return masked([(image, where)], make)

"""Blurs and other weighted sums of a neighbourhood."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, OperationError, operation
from pipeline_filter.associated import as_floats, filtered
from pipeline_filter.weights import IDENTITY, Weights, box, box_radius, disc, gaussian, line, line_reach

Pixels = Annotated[float, Field(ge=0, le=2048, description="pixels")]
PixelsAcrossDown = Annotated[list[Pixels], Field(min_length=2, max_length=2, description="across and down")]


def _blur_weights(
    sigma: float | list[float] | None, radius: float | list[float] | None, shape: str
) -> tuple[Weights, Weights]:
    if sigma is not None and radius is not None:
        raise OperationError("the width of a blur is sigma or radius, not both; leave one of them out")
    by_radius = radius is not None
    size = radius if radius is not None else 2.0 if sigma is None else sigma
    across, down = size if isinstance(size, list) else (size, size)
    return _one_way(across, shape, by_radius), _one_way(down, shape, by_radius)


def _one_way(size: float, shape: str, by_radius: bool) -> Weights:
    if size == 0:
        return IDENTITY
    if shape == "box":
        return box(size if by_radius else box_radius(size))
    return gaussian(size / 3, reach=math.ceil(size)) if by_radius else gaussian(size)


def _blur_reach(
    *,
    sigma: float | list[float] | None = None,
    radius: float | list[float] | None = None,
    filter: str = "gaussian",  # noqa: A002  as in `blur`
) -> int:
    return max(len(weights) // 2 for weights in _blur_weights(sigma, radius, filter))


@operation(
    infer=as_floats,
    support=_blur_reach,
    aliases=("gaussian_blur", "box_blur", "gaussian", "box", "mean_filter", "ImageBlur", "box_filter"),
)
def blur(
    image: AnyRaster,
    *,
    sigma: Annotated[
        Pixels | PixelsAcrossDown | None, Field(description="standard deviation in pixels, or one across and one down")
    ] = None,
    radius: Annotated[
        Pixels | PixelsAcrossDown | None, Field(description="how far it reaches in pixels; instead of sigma")
    ] = None,
    filter: Annotated[  # noqa: A002  the word of the field
        Literal["gaussian", "box"], Field(description="a bell or a plain mean")
    ] = "gaussian",
) -> AnyRaster:
    """Blur with a Gaussian or a box.

    Give `sigma` or `radius`, one number or `[across, down]`; without either sigma is 2. A Gaussian of a `radius` ends
    there and has a third of it for its sigma. A box of a `radius` is the mean of 2 radius + 1 pixels, the outermost
    counted in part where that is no whole number; a box of a `sigma` has that standard deviation.

    Linear: nothing is clipped, light above 1 spreads as light does. Blur linear colour (`color_convert`) for the look
    of a lens. Colours are weighted by alpha, alpha is blurred with them, the alpha state is handed back.

    Convention: by sigma the Gaussian ends at 4 sigma, rounded to whole pixels, and its weights are samples, as in SciPy.
    Beyond the frame the edge pixels are repeated, or the image tiles where it wraps.
    """
    across, down = _blur_weights(sigma, radius, filter)
    return filtered(image, lambda kernels, buffer: kernels.separable(buffer, across, down, image.wrap))


@operation(
    infer=as_floats, support=lambda length, **_: line_reach(length), aliases=("motion_blur", "DirBlur", "linear_blur")
)
def directional_blur(
    image: AnyRaster,
    *,
    length: Annotated[float, Field(ge=0, le=1024, description="pixels that a point is drawn out to")] = 16.0,
    angle: Annotated[float, Field(description="degrees, counterclockwise from the right")] = 0.0,
) -> AnyRaster:
    """Blur along a line, as movement does.

    A point becomes a line, centred on it, one pixel wide and `length` + 1 long; pixels that the line covers in part
    count in part. Linear, on values weighted by alpha; nothing is clipped.

    Convention: angles turn counterclockwise from the right, as in Photoshop's Motion Blur. Beyond the frame the edge
    pixels are repeated, or the image tiles where it wraps.
    """
    weights = line(length, angle)
    return filtered(image, lambda kernels, buffer: kernels.correlate(buffer, weights, image.wrap))


@operation(
    infer=as_floats,
    support=lambda radius, **_: math.ceil(radius),
    aliases=("lens_blur", "disc_blur", "bokeh", "Defocus"),
)
def defocus(
    image: AnyRaster, *, radius: Annotated[float, Field(ge=0, le=256, description="pixels around the centre")] = 4.0
) -> AnyRaster:
    """Blur with a disc, as a lens out of focus does.

    The mean over a disc of 2 `radius` + 1 pixels across; pixels at its rim count by the part that it covers. Linear:
    bright points of an image in linear colour become bright discs. On values weighted by alpha; nothing is clipped.

    Convention: beyond the frame the edge pixels are repeated, or the image tiles where it wraps.
    """
    weights = disc(radius)
    return filtered(image, lambda kernels, buffer: kernels.correlate(buffer, weights, image.wrap))


Row = Annotated[list[float], Field(min_length=1, max_length=255)]


@operation(
    infer=as_floats,
    support=lambda kernel, **_: max(len(kernel), len(kernel[0])) // 2,
    aliases=("convolution", "Matrix", "convolution_matrix", "kernel"),
)
def convolve(
    image: AnyRaster,
    *,
    kernel: Annotated[
        list[Row],
        Field(
            min_length=1,
            max_length=255,
            description="rows of weights, odd in number and length",
            examples=[[[0, -1, 0], [-1, 5, -1], [0, -1, 0]]],
        ),
    ],
    normalize: Annotated[bool, Field(description="divide by the sum of the weights, unless that is 0")] = True,
) -> AnyRaster:
    """Weighted sums of a neighbourhood, by a kernel of your own.

    All channels alike, alpha too, on values weighted by alpha; nothing is clipped, so negative weights may leave alpha
    outside 0 to 1.

    Convention: the weights lie on the picture as they are written (a correlation, as in Nuke's Matrix, OpenCV's filter2D
    and GIMP): they are not turned round. Beyond the frame the edge pixels are repeated, or the image tiles where it wraps.
    """
    if len({len(row) for row in kernel}) > 1:
        raise OperationError(
            f"the rows of the kernel are {', '.join(str(len(row)) for row in kernel)} long: make them equal"
        )
    weights = np.array(kernel, np.float64)
    if not all(side % 2 for side in weights.shape):
        height, width = weights.shape
        raise OperationError(f"the kernel has {height} rows of {width}: both must be odd; add a row or column of zeros")
    total = weights.sum()
    if normalize and abs(total) > 1e-9 * np.abs(weights).sum():
        weights = weights / total
    return filtered(image, lambda kernels, buffer: kernels.correlate(buffer, weights, image.wrap))

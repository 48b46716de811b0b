"""What a picture differs by from its blurred self: sharpening, high pass, relief.

Where alpha varies, a colour is compared with the mean colour of its neighbours weighted by their alpha, and alpha stays:
an edge of alpha is no detail of the colour, and gets no dark or bright rim.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, operation
from pipeline_filter.arrays import NEAR
from pipeline_filter.associated import as_floats, filtered, guides
from pipeline_filter.detail import Change, changed
from pipeline_filter.light import relief
from pipeline_filter.weights import Weights, gaussian

Amount = Annotated[float, Field(ge=0, le=100, description="0 leaves the image as it is, 1 doubles its detail")]
Sigma = Annotated[float, Field(gt=0, le=512, description="standard deviation of the Gaussian, in pixels")]
Middle = Annotated[float, Field(description="the value of what has no detail")]
BINOMIAL: Weights = np.array([0.25, 0.5, 0.25])
SOBEL: Weights = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8


@operation(version=4, infer=as_floats, support=1, aliases=("Sharpen", "crisp"))
def sharpen(image: AnyRaster, *, amount: Amount = 0.5) -> AnyRaster:
    """Sharpen the finest detail: what a pixel differs by from the 3x3 pixels around it is made larger.

    value + amount (value - mean), the mean with the weights 1 2 1 across and down. `unsharp_mask` does this for larger
    detail. Alpha stays, and its edges are no detail; nothing is clipped, so that hard edges may over- and undershoot.

    Convention: beyond the frame the edge pixels are repeated, or the image tiles where it wraps.
    """
    return _by_detail(image, BINOMIAL, amount)


@operation(
    version=4,
    infer=as_floats,
    support=lambda sigma, **_: len(gaussian(sigma)) // 2,
    aliases=("unsharp", "usm", "ImageSharpen"),
)
def unsharp_mask(
    image: AnyRaster,
    *,
    sigma: Sigma = 2.0,
    amount: Amount = 0.5,
    threshold: Annotated[float, Field(ge=0, description="differences up to this are left alone")] = 0.0,
) -> AnyRaster:
    """Sharpen detail of a chosen size: what a pixel differs by from its blurred surroundings is made larger.

    value + amount (value - blurred value). Alpha stays, and its edges are no detail; nothing is clipped, so that hard
    edges may over- and undershoot.

    Convention: a difference is lessened by the threshold, so that nothing jumps there. Beyond the frame the edge pixels
    are repeated, or the image tiles where it wraps.
    """
    return _by_detail(image, gaussian(sigma), amount, threshold=threshold)


@operation(
    version=4, infer=as_floats, support=lambda sigma, **_: len(gaussian(sigma)) // 2, aliases=("highpass", "detail")
)
def high_pass(image: AnyRaster, *, sigma: Sigma = 4.0, middle: Middle = 0.5) -> AnyRaster:
    """Keep fine detail alone: what a pixel differs by from its blurred surroundings, around grey.

    value - blurred value + middle. Merged with `overlay` or `linear-light` it sharpens; with a `middle` of 0 it is
    what `plus` adds. Alpha stays, and its edges are no detail; nothing is clipped.

    Convention: beyond the frame the edge pixels are repeated, or the image tiles where it wraps.
    """
    return _by_detail(image, gaussian(sigma), 1.0, color=0.0, middle=middle)


@operation(version=2, infer=as_floats, support=1, aliases=("relief", "bump", "Emboss"))
def emboss(
    image: AnyRaster,
    *,
    angle: Annotated[
        float, Field(description="where the light comes from, in degrees, counterclockwise from the right")
    ] = 135.0,
    amount: Annotated[float, Field(ge=0, le=100, description="height of the relief")] = 1.0,
    middle: Middle = 0.5,
) -> AnyRaster:
    """Make a relief lit from one side: bright where the picture rises towards the light's far side.

    middle + amount times the slope (I. Sobel's, per pixel) away from the light, channel by channel. Alpha stays, and
    its edges are no slope; nothing is clipped.

    Convention: angles turn counterclockwise from the right, so 135 is the upper left, as in Photoshop. Beyond the frame
    the edge pixels are repeated, or the image tiles where it wraps.
    """
    colors, coverage = guides(image)
    light = math.radians(angle)
    slope = amount * (-math.cos(light) * SOBEL + math.sin(light) * SOBEL.T)  # y points down

    def change(kernels: ModuleType, buffer: Any) -> Any:
        def lit(values: Any, slopes: Any, out: Any) -> Any:
            at = coverage[0] if coverage else None
            if out is not None and relief(values, slopes, out, colors, at, middle):
                return out
            result = slopes + middle
            if at is not None:
                # alpha * (sum of slope * neighbour's alpha * (neighbour's colour - own colour)), without a division
                result = result * values[..., [at]] - values * slopes[..., [at]]
            return kernels.kept(result, values, sorted(set(range(len(image.channels))) - set(colors)))

        return kernels.with_sums(lit, buffer, slope, image.wrap)

    return filtered(image, change)


def _by_detail(
    image: AnyRaster,
    weights: Weights,
    amount: float,
    *,
    color: float = 1.0,
    middle: float = 0.0,
    threshold: float = 0.0,
) -> AnyRaster:
    """`color` times the colour, plus `amount` times its detail, plus `middle`; all associated.

    Detail is what a colour differs by from the mean colour around it, weighted by alpha; where alpha is 0 there is none.
    It is lessened by the threshold.
    """
    if image.device == "cpu" and len(weights) // 2 <= NEAR:
        return image.with_buffer(changed(image, weights, Change(amount, color, middle, threshold)))
    colors, coverage = guides(image)
    count = len(image.channels)
    others = sorted(set(range(count)) - set(colors))

    def change(kernels: ModuleType, buffer: Any) -> Any:
        def opaque(values: Any, blurred: Any) -> Any:
            if not threshold:
                return kernels.weighted(values, color + amount, blurred, -amount, middle)
            detail = values - blurred
            return color * values + amount * (detail - detail.clip(-threshold, threshold)) + middle

        def covered(values: Any, blurred: Any) -> Any:
            alpha, around = values[..., coverage[0]], blurred[..., coverage[0]]
            share, shown = alpha / kernels.where(around == 0, 1.0, around), kernels.shown(alpha)
            if threshold:
                detail = values * kernels.spread(shown, colors, count)
                detail -= blurred * kernels.spread(share, colors, count)
                least = kernels.spread(threshold * alpha, colors, count)
                result = color * values + amount * (detail - detail.clip(-least, least))
            else:
                result = values * kernels.spread(color + amount * shown, colors, count)
                result -= blurred * kernels.spread(amount * share, colors, count)
            if middle:
                result += kernels.spread(middle * alpha, colors, count)
            return result

        def combined(values: Any, blurred: Any, out: Any) -> Any:
            return kernels.kept((covered if coverage else opaque)(values, blurred), values, others)

        return kernels.with_sums(combined, buffer, (weights, weights), image.wrap)

    return filtered(image, change)

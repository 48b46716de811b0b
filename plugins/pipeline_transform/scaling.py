"""Another size for a picture."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, OperationError, Rows, each_tile, empty, operation
from pipeline_transform.compiled import has_kernels, packed, resample
from pipeline_transform.moves import X_AXIS, Y_AXIS, picked_rows, taken, taken_both
from pipeline_transform.resampling import Filter, Span, Sums, associated, handed_back, resampled

Fit = Literal["stretch", "fit", "fill"]
STRIP, LEAST = 48, 1 << 16
"""Rows of a result that are made at a time, or as many as have so many pixels."""
Array = np.ndarray[Any, Any]
Length = Annotated[int, Field(ge=1, description="pixels")]


def _inferred(
    image: AnyRaster,
    *,
    width: int | None = None,
    height: int | None = None,
    scale: float | None = None,
    longest: int | None = None,
    fit: Fit = "stretch",
    filter: str = "bicubic",  # noqa: A002  as in `resize`
    antialias: bool = True,
) -> AnyRaster:
    across, down = _spans(image, width, height, scale, longest, fit)
    if _unchanged(image, across, down):
        return image
    dtype = image.dtype if filter == "nearest" else "float32"
    return image.like(width=across.count, height=down.count, dtype=dtype, wrap=_wrap(image, across, down))


def _in_rows(
    image: AnyRaster,
    *,
    width: int | None = None,
    height: int | None = None,
    scale: float | None = None,
    longest: int | None = None,
    fit: Fit = "stretch",
    filter: str = "bicubic",  # noqa: A002  as in `resize`
    antialias: bool = True,
) -> Rows | None:
    across, down = _spans(image, width, height, scale, longest, fit)
    if _unchanged(image, across, down):
        return Rows(image, lambda start, stop, strip: strip)
    dtype = image.dtype if filter == "nearest" else "float32"
    result = image.like(width=across.count, height=down.count, dtype=dtype, wrap=_wrap(image, across, down))
    if filter == "nearest":
        columns = _nearest(across)
        return picked_rows(result, _nearest(down), lambda buffer: taken(buffer, columns, X_AXIS))
    sums = _Sums(image, across, down, filter, antialias)

    def make(start: int, stop: int, strip: AnyRaster) -> AnyRaster:
        array = empty((strip.batch, stop - start, across.count, len(strip.channels)))
        sums.write(start, stop, strip, sums.needs(start, stop)[0], array)
        return strip.with_buffer(array, wrap=result.wrap)

    return Rows(result, make, sums.needs)


class _Sums:
    """The sums that a picture in CPU memory is resized by, down and then across."""

    def __init__(self, image: AnyRaster, across: Span, down: Span, kind: str, antialias: bool) -> None:
        self.down = Sums.of(down, image.height, kind, antialias=antialias, wrap=image.wrap[1])
        self.across = Sums.of(across, image.width, kind, antialias=antialias, wrap=image.wrap[0])
        self.needs = self.down.needs

    def write(self, start: int, stop: int, part: AnyRaster, low: int, out: Array) -> None:
        """These rows of the result, made of the picture's from `low` on."""
        if has_kernels():
            resample(part, low, self.down, self.across, start, out)
            return
        source = associated(part)
        for item, result in zip(source.array, out, strict=True):
            rows = self.down.of_lines(item, low, start, stop).swapaxes(0, 1)
            result[:] = self.across.of_lines(rows, 0, 0, len(self.across.first)).swapaxes(0, 1)
        out[:] = handed_back(source.with_array(out), part).array


@operation(
    version=6,
    infer=_inferred,
    rows=_in_rows,
    aliases=(
        "scale",
        "resample",
        "reformat",
        "ImageScale",
        "ImageScaleBy",
        "ImageScaleToMaxDimension",
        "image_size",
        "scale_image",
    ),
)
def resize(
    image: AnyRaster,
    *,
    width: Annotated[Length, Field(examples=[512])] | None = None,
    height: Length | None = None,
    scale: Annotated[float, Field(gt=0, description="factor for both sides; instead of a size")] | None = None,
    longest: Annotated[int, Field(ge=1, description="pixels of the longer side; instead of a size")] | None = None,
    fit: Annotated[Fit, Field(description="when both width and height are given and the shape differs")] = "stretch",
    filter: Literal["nearest", "area"] | Filter = "bicubic",  # noqa: A002  the word of the field
    antialias: Annotated[bool, Field(description="widen the filter when shrinking")] = True,
) -> AnyRaster:
    """Resample to another size.

    Give `width`, `height` or both, or `scale`, or `longest`; a side left out follows from the image's shape. With both,
    `fit` says what happens to a different shape: `stretch` takes the size as it is, `fit` makes the largest image that
    lies inside it, `fill` covers it and cuts off what juts out, evenly.

    Filters: `bicubic` (Catmull-Rom), `lanczos3` (sharpest; rings most), `mitchell` (softest; rings least), `bilinear`,
    `area` (mean of the covered pixels: no ringing), `nearest` (picks pixels, blends nothing, keeps the dtype: for ids,
    depth, normals and other images of colour `data`). All but `nearest` give float32.

    Colours are weighted by alpha, so that transparent pixels bleed no colour (under alpha 0 they become black), and the
    alpha state is handed back as it was. An image that tiles is sampled across its seams and still tiles. Values may
    over- and undershoot at hard edges; nothing is clipped. An image that has the size already is handed back as it is.

    Convention: pixel centres are at half pixels, so the corners of the picture stay where they are; sizes that follow
    from others are rounded to the nearest pixel, halves up; beyond the edge there are no pixels to be weighted.
    """
    across, down = _spans(image, width, height, scale, longest, fit)
    if _unchanged(image, across, down):
        return image
    wrap = _wrap(image, across, down)
    if filter == "nearest":
        return image.with_buffer(taken_both(image.buffer, _nearest(down), _nearest(across)), wrap=wrap)
    if image.device == "cpu":
        return image.with_buffer(_by_sums(image, across, down, filter, antialias), wrap=wrap)
    source = associated(image)
    pixels = source.pixels.permute(0, 2, 3, 1)
    axes = [(Y_AXIS, down, image.wrap[1]), (X_AXIS, across, image.wrap[0])]
    # The axis that shrinks most goes first: the other one has less to do.
    for axis, span, tiles in sorted(axes, key=lambda turn: -turn[1].step):
        if span != Span(0.0, pixels.shape[axis], pixels.shape[axis]):
            pixels = resampled(pixels, axis, span, filter, antialias=antialias, wrap=tiles)
    return handed_back(source.with_buffer(pixels, wrap=wrap), image)


def _by_sums(image: AnyRaster, across: Span, down: Span, kind: str, antialias: bool) -> Array:
    buffer = packed(image)
    result = empty((image.batch, down.count, across.count, len(image.channels)))
    sums = _Sums(image, across, down, kind, antialias)

    def work(part: slice, _: slice) -> None:
        low, high = sums.needs(part.start, part.stop)
        inside = low >= 0 and high <= image.height
        few = buffer[:, low:high] if inside else buffer[:, np.arange(low, high) % image.height]
        sums.write(part.start, part.stop, image.with_buffer(few), low, result[:, part])

    each_tile(across.count, down.count, (across.count, max(STRIP, LEAST // across.count)), work)
    return result


def _spans(
    image: AnyRaster, width: int | None, height: int | None, scale: float | None, longest: int | None, fit: Fit
) -> tuple[Span, Span]:
    """What part of the image becomes how many pixels, across and down."""
    ways = [width is not None or height is not None, scale is not None, longest is not None]
    if sum(ways) != 1:
        found = "nothing" if not any(ways) else "more than one of them"
        raise OperationError(f"the new size is width and/or height, or scale, or longest; got {found}")
    if longest is not None:
        scale = longest / max(image.size)
    if scale is not None:
        return _whole(image, _rounded(image.width * scale), _rounded(image.height * scale))
    if width is None or height is None:
        factor = width / image.width if width is not None else (height or 1) / image.height
        return _whole(image, width or _rounded(image.width * factor), height or _rounded(image.height * factor))
    if fit == "fit":
        factor = min(width / image.width, height / image.height)
        return _whole(image, _rounded(image.width * factor), _rounded(image.height * factor))
    if fit == "fill":
        factor = max(width / image.width, height / image.height)
        return _middle(image.width, width, factor), _middle(image.height, height, factor)
    return _whole(image, width, height)


def _whole(image: AnyRaster, width: int, height: int) -> tuple[Span, Span]:
    return Span(0.0, image.width, width), Span(0.0, image.height, height)


def _middle(size: int, count: int, factor: float) -> Span:
    """The middle part of a side that becomes `count` pixels when enlarged by the factor."""
    length = min(float(size), count / factor)
    return Span((size - length) / 2, length, count)


def _rounded(length: float) -> int:
    return max(1, math.floor(length + 0.5))


def _unchanged(image: AnyRaster, across: Span, down: Span) -> bool:
    return (across, down) == _whole(image, image.width, image.height)


def _wrap(image: AnyRaster, across: Span, down: Span) -> tuple[bool, bool]:
    """A side that was cut tiles no more."""
    return image.wrap[0] and across.length == image.width, image.wrap[1] and down.length == image.height


def _nearest(span: Span) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The input pixel under the centre of each output pixel."""
    center = span.start + (np.arange(span.count) + 0.5) * span.length / span.count
    return np.floor(center).astype(np.int64)

"""Enhancement by a picture's own distribution of values. On straight colours; what is transparent does not count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Image, OperationError, Scratch, each_tile, empty, operation
from pipeline_filter.arrays import Array, apart, joined
from pipeline_filter.associated import Floats, as_floats
from pipeline_filter.compiled import equalized, stretched
from pipeline_filter.ranks import Curve, by_rank, tails
from pipeline_filter.regions import by_regions

LUMA = {"R": 0.2126, "G": 0.7152, "B": 0.0722}  # Rec. ITU-R BT.709-6, item 3.2
STRIP = 8
By = Literal["luma", "each"]
Change = Callable[[list[Floats], Array], list[Curve]]
"""Finds the curve of each plane `(H, W)`, of whose values some are not to be counted."""


@operation(
    version=3, device="cpu", infer=as_floats, aliases=("histogram_equalization", "equalize_histogram", "ImageEqualize")
)
def equalize(
    image: Image,
    *,
    by: Annotated[By, Field(description="what is equalised: luma, which keeps hues, or each channel")] = "luma",
) -> Image:
    """Spread values so that all from 0 to 1 are equally frequent.

    A value becomes the share of pixels that are darker. By `luma`, what luma changes by is added to R, G and B. HDR
    images come out between 0 and 1 too, but for what is added. Alpha stays; transparent pixels do not count.

    Convention: half of those that are equal count as darker, and equal is what the same step of 16384 in an octave is
    nearest to; ranks are linear between these steps.
    """
    _need_colors(image)
    luma = _luma(image) if by == "luma" else None
    return equalized(image, luma) or _on_values(image, luma, _each(by_rank))


@operation(
    version=2, device="cpu", infer=as_floats, aliases=("adaptive_histogram_equalization", "local_contrast", "CLAHE")
)
def clahe(
    image: Image,
    *,
    limit: Annotated[
        float, Field(ge=1, le=256, description="how many times contrast may be raised; 1 leaves it alone")
    ] = 2.0,
    tiles: Annotated[int, Field(ge=1, le=64, description="regions across and down that have their own curve")] = 8,
    by: Annotated[By, Field(description="what is equalised: luma, which keeps hues, or each channel")] = "luma",
) -> Image:
    """Raise local contrast: equalisation by regions, with a limit.

    Contrast limited adaptive histogram equalization (K. Zuiderveld, Graphics Gems IV, 1994): every region has its own
    curve, whose slope is limited; between the middles of regions curves are blended. By `luma`, what luma changes by
    is added to R, G and B. Alpha stays; transparent pixels do not count. Best on encoded values (sRGB).

    Convention: curves reach from 0 to 1 in 256 steps, linear between them; values beyond change as 0 and 1 do. What is
    cut off a histogram is spread over it evenly, but not above the limit. Regions beyond the frame are those at the edge, or the image tiles.
    """
    if tiles > min(image.size):
        raise OperationError(
            f"{tiles} regions across and down are more than the pixels of {image.width}x{image.height}"
        )
    _need_colors(image)
    luma = _luma(image) if by == "luma" else None
    return _on_values(image, luma, _each(lambda values, counts: by_regions(values, counts, limit, tiles, image.wrap)))


@operation(
    version=2, device="cpu", infer=as_floats, aliases=("auto_contrast", "normalize", "stretch", "contrast_stretch")
)
def auto_levels(
    image: Image,
    *,
    clip: Annotated[
        float, Field(ge=0, lt=0.5, description="share of pixels at either end that may fall outside")
    ] = 0.001,
    by: Annotated[
        Literal["together", "each"], Field(description="one stretch for all colours, or one for each: takes off a cast")
    ] = "together",
) -> Image:
    """Stretch values so that the darkest become 0 and the brightest 1.

    (value - low) / (high - low), with `low` and `high` at the ends but for the share `clip`. Nothing is clipped: what
    falls outside is below 0 or above 1. Alpha stays; transparent pixels do not count. An image of one value stays.
    """
    _need_colors(image)
    return stretched(image, clip, together=by == "together") or _on_values(
        image, None, lambda planes, counts: _stretched(planes, counts, clip, by)
    )


def _each(curve: Callable[[Floats, Array], Curve]) -> Change:
    return lambda planes, counts: [curve(plane, counts) for plane in planes]


def _need_colors(image: Image) -> None:
    if not image.color_indices:
        raise OperationError(f"the image has no colour channels, only {', '.join(image.channels)}")


def _luma(image: Image) -> list[float] | None:
    """The weights of the colours, if they are R, G and B."""
    letters = [image.channels[i].rpartition(".")[2] for i in image.color_indices]
    return [LUMA[letter] for letter in letters] if sorted(letters) == sorted(LUMA) else None


def _on_values(image: Image, luma: list[float] | None, change: Change) -> Image:
    """A change of the straight colours; of luma, by these weights, and R, G and B get what it changes by.

    Alpha 0 keeps its colour.
    """
    given = image.array
    result = empty(given.shape)
    for item, out in zip(given, result, strict=True):
        planes, counts = _taken(item, image, luma)
        _put(out, item, image, planes, change(planes, counts), by_luma=luma is not None)
    return image.with_array(result)


def _taken(item: Floats, image: Image, luma: list[float] | None) -> tuple[list[Floats], Array]:
    """The straight colours of `(H, W, C)`, plane by plane, or their luma alone; and which pixels are to be counted."""
    planes = [empty(item.shape[:2]) for _ in (image.color_indices if luma is None else [0])]
    counts = empty(item.shape[:2], np.uint8)

    def work(rows: slice, columns: slice) -> None:
        part = apart(item[rows])
        colors = [part[i] for i in image.color_indices]
        if luma is not None:
            total = colors[0] * np.float32(luma[0])
            with np.errstate(invalid="ignore"):  # what is no number does not count
                for color, weight in zip(colors[1:], luma[1:], strict=True):
                    total += color * np.float32(weight)
            colors = [total]
        seen = np.ones(colors[0].shape, bool) if image.coverage == "none" else part[image.index("A")] != 0
        shown = seen.copy()
        for color, plane in zip(colors, planes, strict=True):
            if image.coverage == "associated":
                np.divide(color, np.where(seen, part[image.index("A")], np.float32(1)), out=color)
            shown &= np.isfinite(color)
            plane[rows] = color
        counts[rows] = shown

    each_tile(image.width, image.height, (image.width, STRIP), work)
    return planes, counts


def _put(out: Floats, item: Floats, image: Image, planes: list[Floats], curves: list[Curve], *, by_luma: bool) -> None:
    """Write `(H, W, C)` with changed colours where alpha is not 0."""
    scratch = Scratch()

    def work(rows: slice, columns: slice) -> None:
        part = apart(item[rows])
        alpha: Any = None if image.coverage == "none" else part[image.index("A")]
        changed = [curve(rows, scratch) for curve in curves]
        with np.errstate(invalid="ignore"):  # what is no number stays none
            if by_luma:
                changed = [changed[0] - planes[0][rows]] * len(image.color_indices)
            for i, values in zip(image.color_indices, changed, strict=True):
                new = values * alpha if image.coverage == "associated" else values
                new = part[i] + new if by_luma else new
                part[i] = new if alpha is None else np.where(alpha == 0, part[i], new)
        joined(part, out[rows])

    each_tile(image.width, image.height, (image.width, STRIP), work)


def _stretched(planes: list[Floats], counts: Array, clip: float, by: str) -> list[Curve]:
    """The values, with 0 and 1 where the ends of those that are counted are."""

    def curve(plane: Floats, ends: tuple[float, float] | None) -> Curve:
        low, high = ends or (0, 0)
        if low == high:
            return lambda rows, scratch: plane[rows].copy()
        scale = np.float32(1 / (high - low))
        return lambda rows, scratch: (plane[rows] - np.float32(low)) * scale

    if by == "each":
        return [curve(plane, tails([plane], counts, clip)) for plane in planes]
    ends = tails(planes, counts, clip)
    return [curve(plane, ends) for plane in planes]

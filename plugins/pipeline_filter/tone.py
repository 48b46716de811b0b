"""Enhancement by a picture's own distribution of values. On straight colours; what is transparent does not count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Image, OperationError, each_tile, operation
from pipeline_filter.arrays import Array, in_strips
from pipeline_filter.associated import Floats, as_floats

LUMA = {"R": 0.2126, "G": 0.7152, "B": 0.0722}  # Rec. ITU-R BT.709-6, item 3.2
NODES = 1024
BINS = 256
EQUAL = 1e-5  # relative to the values
STRIP = 16
By = Literal["luma", "each"]
Change = Callable[[Floats, Array], Floats]  # of `(H, W)` or `(n, H, W)` values; where they count


@operation(device="cpu", infer=as_floats, aliases=("histogram_equalization", "equalize_histogram", "ImageEqualize"))
def equalize(
    image: Image,
    *,
    by: Annotated[By, Field(description="what is equalised: luma, which keeps hues, or each channel")] = "luma",
) -> Image:
    """Spread values so that all from 0 to 1 are equally frequent.

    A value becomes the share of pixels that are darker. By `luma`, what luma changes by is added to R, G and B. HDR
    images come out between 0 and 1 too, but for what is added. Alpha stays; transparent pixels do not count.

    Convention: half of those that are equal count as darker; 1024 steps of rank, linear between them.
    """
    return _on_values(image, by, _by_rank)


@operation(device="cpu", infer=as_floats, aliases=("adaptive_histogram_equalization", "local_contrast", "CLAHE"))
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
    return _on_values(image, by, lambda values, counts: _by_regions(values, counts, limit, tiles, image.wrap))


@operation(device="cpu", infer=as_floats, aliases=("auto_contrast", "normalize", "stretch", "contrast_stretch"))
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
    if by == "each":
        return _on_values(image, "each", lambda values, counts: _stretched(values, values[counts], clip))
    return _on_colors(image, lambda colors, counts: _stretched(colors, colors[:, counts], clip))


def _on_values(image: Image, by: By, change: Change) -> Image:
    """A change of each colour channel; by luma, R, G and B get what their luma changes by."""
    letters = [image.channels[i].rpartition(".")[2] for i in image.color_indices]

    def on_colors(colors: Floats, counts: Array) -> Floats:
        if by == "luma" and sorted(letters) == sorted(LUMA):
            luma = np.einsum("nhw,n->hw", colors, np.array([LUMA[letter] for letter in letters], np.float32))
            added = change(luma, counts)
            added -= luma
            colors += added
        else:
            for plane in colors:
                plane[:] = change(plane, counts)
        return colors

    return _on_colors(image, on_colors)


def _on_colors(image: Image, change: Change) -> Image:
    """`change` of the straight colours `(n, H, W)` of every item. Where alpha is 0 they stay as they are."""
    if not image.color_indices:
        raise OperationError(f"the image has no colour channels, only {', '.join(image.channels)}")
    result = np.array(image.array)
    for item in result:
        colors = np.empty((len(image.color_indices), *item.shape[:2]), np.float32)
        counts = np.empty(item.shape[:2], bool)
        _take(item, colors, counts, image)
        _put(item, change(colors, counts), image)
    return image.with_array(result)


def _take(item: Floats, colors: Floats, counts: Array, image: Image) -> None:
    """The straight colours of `(H, W, C)`, plane by plane, and which pixels are to be counted."""

    def work(rows: slice, columns: slice) -> None:
        scale, counts[rows] = _scale(item[rows], image)
        for plane, i in zip(colors, image.color_indices, strict=True):
            np.divide(item[rows, :, i], scale, out=plane[rows])
            counts[rows] &= np.isfinite(plane[rows])

    each_tile(image.width, image.height, (image.width, STRIP), work)


def _put(item: Floats, colors: Floats, image: Image) -> None:
    """What `_take` took, put back where alpha is not 0."""

    def work(rows: slice, columns: slice) -> None:
        scale, shown = _scale(item[rows], image)
        for plane, i in zip(colors, image.color_indices, strict=True):
            np.multiply(plane[rows], scale, out=item[rows, :, i], where=shown)

    each_tile(image.width, image.height, (image.width, STRIP), work)


def _scale(part: Floats, image: Image) -> tuple[Floats | float, Array]:
    """What straight colours are multiplied by, and where there is something to see."""
    if image.coverage == "none":
        return 1.0, np.ones(part.shape[:2], bool)
    alpha = part[..., image.index("A")]
    shown = alpha != 0
    scale: Floats = np.where(shown, alpha, np.float32(1))
    return scale if image.alpha == "associated" else 1.0, shown


def _by_rank(values: Floats, counts: Array) -> Floats:
    """The share of the values that are smaller, and half of those that are equal."""
    found = np.sort(values[counts])
    if not found.size or found[-1] - found[0] <= EQUAL * np.abs(found[[0, -1]]).max():
        return values.copy()
    ranks = np.linspace(0, 1, NODES + 1)
    quantiles = found[np.rint(ranks * (found.size - 1)).astype(np.intp)]
    nodes, first, times = np.unique(_coarse(quantiles), return_index=True, return_counts=True)
    middle = (ranks[first] + ranks[first + times - 1]) / 2
    return np.asarray(in_strips(lambda part: np.interp(part, nodes, middle), values[None])[0])


def _coarse(values: Array) -> Array:
    """To 15 bits, so that rounding errors of an even area (of a division by alpha, say) are not spread into noise."""
    mantissa, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.rint(mantissa * 32768) / 32768, exponent))


def _stretched(values: Floats, found: Floats, clip: float) -> Floats:
    """The values, with 0 and 1 where the ends of those found are."""
    low, high = np.quantile(found, [clip, 1 - clip]).astype(np.float32) if found.size else (0, 0)
    return values if low == high else np.asarray((values - low) / (high - low), np.float32)


def _by_regions(values: Floats, counts: Array, limit: float, tiles: int, wrap: tuple[bool, bool]) -> Floats:
    """Each value on the curves of the four regions around it, blended."""
    height, width = values.shape
    curves = _curves(values, counts, limit, tiles)
    row, next_row, down = _regions(height, tiles, wrap[1])
    column, next_column, across = _regions(width, tiles, wrap[0])
    result = np.empty_like(values)

    def work(rows: slice, columns: slice) -> None:
        part = values[rows]
        inside = np.nan_to_num(part).clip(0, 1)
        place = inside * np.float32(BINS)
        step = np.minimum(place.astype(np.intp), BINS - 1)
        place -= step.astype(np.float32)  # and what is between two steps

        def curve(y: Array, x: Array) -> Floats:
            start = (y[rows, None] * tiles + x) * (BINS + 1)
            start += step
            low = curves.take(start)
            start += 1
            return np.asarray(low + (curves.take(start) - low) * place)

        above, below = (
            left + (right - left) * across
            for left, right in ((curve(y, column), curve(y, next_column)) for y in (row, next_row))
        )
        result[rows] = part - inside + above + (below - above) * down[rows, None]

    each_tile(width, height, (width, STRIP), work)
    return result


def _curves(values: Floats, counts: Array, limit: float, tiles: int) -> Floats:
    """`(tiles, tiles, BINS + 1)`: what 0, 1 / BINS, ... 1 become in each region."""
    steps = np.minimum((np.nan_to_num(values).clip(0, 1) * BINS).astype(np.intp), BINS - 1)
    rows, columns = (np.linspace(0, size, tiles + 1).round().astype(int) for size in values.shape)
    curves = np.empty((tiles, tiles, BINS + 1), np.float32)
    whole = _curve(steps[counts], limit)
    for y in range(tiles):
        for x in range(tiles):
            region = np.s_[rows[y] : rows[y + 1], columns[x] : columns[x + 1]]
            shown = steps[region][counts[region]]
            curves[y, x] = _curve(shown, limit) if shown.size else whole
    return curves


def _curve(steps: Array, limit: float) -> Floats:
    """The cumulated histogram, from 0 to 1, nowhere steeper than `limit`."""
    curve = np.linspace(0, 1, BINS + 1)
    if steps.size:
        histogram = np.bincount(steps, minlength=BINS) / steps.size
        most = limit / BINS
        low, high = 0.0, most  # how much is added to every bin, so that they add up to 1 again
        for _ in range(30):
            added = (low + high) / 2
            low, high = (added, high) if np.minimum(histogram + added, most).sum() < 1 else (low, added)
        curve[1:] = np.minimum(histogram + high, most).cumsum()
    return np.asarray(curve / curve[-1], np.float32)


def _regions(size: int, tiles: int, wraps: bool) -> tuple[Array, Array, Floats]:
    """For each pixel of a side the region whose middle is before it, the next one, and how far it is on its way."""
    place = (np.arange(size) + 0.5) * tiles / size - 0.5
    before = np.floor(place).astype(np.intp)
    on_its_way = (place - before).astype(np.float32)
    if wraps:
        return before % tiles, (before + 1) % tiles, on_its_way
    return before.clip(0, tiles - 1), (before + 1).clip(0, tiles - 1), on_its_way

"""How far two pictures lie apart."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Image, Mask, OperationError, Scratch, Table, operation
from pipeline_core import opencv as cv2
from pipeline_measure.flip import PIXELS_PER_DEGREE, colors_of, flip_map
from pipeline_measure.moments import Floats, moments
from pipeline_measure.planes import Array, both_wrap, check_alike, one_picture, plane

Metric = Literal["mse", "rmse", "mae", "psnr", "ssim", "flip", "max"]
PixelsPerDegree = Annotated[float, Field(ge=1, le=1000, description="of the viewer's eye, for flip")]

SSIM_SIGMA, SSIM_SIZE, SSIM_K1, SSIM_K2 = 1.5, 11, 0.01, 0.03
STRIP = 64


def _infer_compare(a: Image | Mask, b: Image | Mask, *, metrics: list[Metric] = [], **_: Any) -> Table:  # noqa: B006
    _comparable(a, b)
    if "flip" in metrics:
        colors_of(a)
    return Table(("channel",), ())


@operation(version=3, device="cpu", infer=_infer_compare, aliases=("diff", "idiff", "psnr", "ssim", "mse"))
def compare(
    a: Image | Mask,
    b: Image | Mask,
    *,
    metrics: Annotated[
        list[Metric], Field(min_length=1, description="the columns of the table", examples=[["mse", "psnr", "max"]])
    ] = ["mse", "psnr", "ssim", "max"],  # noqa: B006  read, never written
    peak: Annotated[float, Field(gt=0, description="the value of white, for psnr and ssim")] = 1.0,
    ppd: PixelsPerDegree = PIXELS_PER_DEGREE,
) -> Table:
    """Measure how far two pictures lie apart: mse, rmse, mae, psnr, ssim, flip, max.

    The first row is of all channels together, then there is one for each channel. Both pictures must have one size, the
    same channels, colour space and alpha state, and are compared as they are. Differences are taken in float32, sums in
    float64.

    `mse` and `rmse` are the mean square difference and its root, `mae` the mean and `max` the largest absolute
    difference, `psnr` 10 log10(peak^2 / mse) in decibels, infinite for equal pictures. `ssim` is the mean structural
    similarity of Z. Wang, A. Bovik, H. Sheikh and E. Simoncelli, "Image Quality Assessment: From Error Visibility to
    Structural Similarity", IEEE Transactions on Image Processing 13(4), 2004: Gaussian window of 11x11 with sigma 1.5,
    K1 = 0.01, K2 = 0.03; of all channels it is their mean. `flip` is the mean of `flip_error`, for colours together
    (empty for each alone). A NaN on either side makes a number NaN.

    Convention: `ssim` is the mean over the pixels whose window lies inside the picture, as in the authors' own program;
    the window goes round where both pictures tile.
    """
    _comparable(a, b)
    columns = list(dict.fromkeys(metrics))
    with np.errstate(all="ignore"):
        found = _measured(a, b, columns, peak)
        rows = list(zip(a.channels, found, strict=True))
        if len(found) > 1:
            together = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
            together["max"] = float(np.max([one["max"] for one in found]))
            rows.insert(0, ("all", together))
        if "flip" in columns:
            rows[0][1]["flip"] = float(flip_map(colors_of(a), colors_of(b), ppd).mean())
        return Table(("channel", *columns), tuple((name, *_row(one, columns, peak)) for name, one in rows))


def _comparable(a: Image | Mask, b: Image | Mask) -> None:
    one_picture(a, "compare")
    one_picture(b, "compare")
    check_alike(a, b)


def _infer_flip(a: Image, b: Image, *, ppd: float = PIXELS_PER_DEGREE) -> Image:
    _check_flip(a, b)
    batch = max(a.batch, b.batch)
    return Image.stand_in(a.width, a.height, ("Y",), batch=batch, color="data", wrap=both_wrap(a, b), meta=a.meta)


@operation(device="cpu", infer=_infer_flip, aliases=("flip_map", "perceptual_difference", "difference_map"))
def flip_error(a: Image, b: Image, *, ppd: PixelsPerDegree = PIXELS_PER_DEGREE) -> Image:
    """Show where two pictures look different when one is flipped to the other, from 0 to 1.

    LDR-FLIP of P. Andersson, J. Nilsson, T. Akenine-Möller, M. Oskarsson, K. Åström and M. Fairchild, "FLIP: A
    Difference Evaluator for Alternating Images", Proceedings of the ACM on Computer Graphics and Interactive Techniques
    3(2), 2020: differences of colours as the eye resolves them, more where edges and points differ. A gray image of
    colour `data`, float32. Its mean is the metric `flip` of `compare`.

    Takes R, G, B or Y without alpha (`flatten`), in srgb_rec709_scene or lin_rec709_scene, and what a display can show
    of them: values are limited to 0 to 1. `ppd`, pixels per degree, is display width in pixels / display width in
    metres times distance in metres times pi / 180; without it, a 4K display 0.7 m wide is seen from 0.7 m.

    Convention: beyond the frame the edge pixels are repeated, or the picture goes round where both tile.
    """
    _check_flip(a, b)
    batch = max(a.batch, b.batch)
    with np.errstate(all="ignore"):
        maps = np.stack([flip_map(a, b, ppd, item) for item in range(batch)])[..., None].astype(np.float32)
    return Image(maps, channels=("Y",), color="data", wrap=both_wrap(a, b), meta=a.meta)


def _check_flip(a: Image, b: Image) -> None:
    check_alike(a, b)
    colors_of(a)
    if len({a.batch, b.batch} - {1}) > 1:
        raise OperationError(f"batches of {a.batch} and {b.batch}: they must be equal, or one")


def _measured(a: Image | Mask, b: Image | Mask, metrics: list[Metric], peak: float) -> list[dict[str, float]]:
    """What is measured on each channel; the rest follows from that."""
    first, other = a.array[0], b.array[0]

    def apart(rows: slice, scratch: Scratch) -> Floats:
        return cv2.absdiff(first[rows], other[rows], scratch.array("apart", first[rows].shape)).reshape(
            first[rows].shape
        )

    found = [
        {"mse": one.deviation**2 + one.mean**2, "mae": one.mean, "max": one.high}
        for one in moments(first.shape, apart, with_low=False)
    ]
    if "ssim" in metrics:
        for i, one in enumerate(found):
            one["ssim"] = _ssim(plane(a, i), plane(b, i), peak, both_wrap(a, b))
    return found


def _row(found: dict[str, float], metrics: list[Metric], peak: float) -> list[float | None]:
    mse = np.float64(found["mse"])  # numpy's: its logarithm of 0 is an infinity
    derived = {"rmse": float(np.sqrt(mse)), "psnr": float(-10 * np.log10(mse / peak**2))}
    known = {**found, **derived}
    return [known.get(name) for name in metrics]


def _ssim(x: Array, y: Array, peak: float, wrap: tuple[bool, bool]) -> float:
    """Mean structural similarity of two channels, Wang et al. 2004, equation 13 and section III.C."""
    height, width = x.shape
    if min(height + SSIM_SIZE * wrap[1], width + SSIM_SIZE * wrap[0]) < SSIM_SIZE:
        raise OperationError(
            f"ssim wants pictures of {SSIM_SIZE}x{SSIM_SIZE} or more, these are {width}x{height}: name other 'metrics'"
        )
    reach = SSIM_SIZE // 2
    x, y = (np.pad(v, [(reach * wrap[1],) * 2, (reach * wrap[0],) * 2], "wrap") if any(wrap) else v for v in (x, y))
    # Strip by strip, so that what lies between stays in a core's cache; the sums are added exactly.
    last = len(x) - 2 * reach
    strips = [slice(top, min(top + STRIP, last) + 2 * reach) for top in range(0, last, STRIP)]
    sums = [_ssim_sum(x[rows], y[rows], peak) for rows in strips]
    return math.fsum(sums) / (last * (x.shape[1] - 2 * reach)) if np.isfinite(sums).all() else math.nan


def _ssim_sum(x: Array, y: Array, peak: float) -> float:
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    var_x, var_y = _window_mean(x * x) - mean_x**2, _window_mean(y * y) - mean_y**2
    covariance = _window_mean(x * y) - mean_x * mean_y
    c1, c2 = (SSIM_K1 * peak) ** 2, (SSIM_K2 * peak) ** 2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return float(np.sum(above / below))


def _window_mean(values: Array) -> Array:
    """The Gaussian mean around each pixel whose window lies inside."""
    reach = SSIM_SIZE // 2
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SSIM_SIGMA) ** 2)
    weights /= weights.sum()
    inside: Array = cv2.sepFilter2D(values, cv2.CV_64F, weights, weights)[reach:-reach, reach:-reach]  # type: ignore[assignment]  # float64
    return inside

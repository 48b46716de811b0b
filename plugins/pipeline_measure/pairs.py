"""How far two pictures lie apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import Field

from pipeline_core import Image, Mask, OperationError, Table, operation
from pipeline_measure.planes import Array, difference_of, one_picture, plane

Metric = Literal["mse", "rmse", "mae", "psnr", "ssim", "max"]

SSIM_SIGMA, SSIM_SIZE, SSIM_K1, SSIM_K2 = 1.5, 11, 0.01, 0.03


def _infer_compare(a: Image | Mask, b: Image | Mask, **_: Any) -> Table:
    _comparable(a, b)
    return Table(("channel",), ())


@operation(device="cpu", infer=_infer_compare, aliases=("diff", "idiff", "psnr", "ssim", "mse"))
def compare(
    a: Image | Mask,
    b: Image | Mask,
    *,
    metrics: Annotated[
        list[Metric], Field(min_length=1, description="the columns of the table", examples=[["mse", "psnr", "max"]])
    ] = ["mse", "psnr", "ssim", "max"],  # noqa: B006  read, never written
    peak: Annotated[float, Field(gt=0, description="the value of white, for psnr and ssim")] = 1.0,
) -> Table:
    """Measure how far two pictures lie apart: mse, rmse, mae, psnr, ssim, max.

    The first row is of all channels together, then there is one for each channel. Both pictures must have one size, the
    same channels, colour space and alpha state, and are compared as they are. In float64.

    `mse` and `rmse` are the mean square difference and its root, `mae` the mean and `max` the largest absolute
    difference, `psnr` 10 log10(peak^2 / mse) in decibels, infinite for equal pictures. `ssim` is the mean structural
    similarity of Z. Wang, A. Bovik, H. Sheikh and E. Simoncelli, "Image Quality Assessment: From Error Visibility to
    Structural Similarity", IEEE Transactions on Image Processing 13(4), 2004: Gaussian window of 11x11 with sigma 1.5,
    K1 = 0.01, K2 = 0.03; of all channels it is their mean. A NaN on either side makes a number NaN.

    Convention: `ssim` is the mean over the pixels whose window lies inside the picture, as in the authors' own program;
    the window goes round where the picture tiles.
    """
    _comparable(a, b)
    columns = list(dict.fromkeys(metrics))
    with np.errstate(all="ignore"):
        found = [_measured(plane(a, i), plane(b, i), columns, peak, a.wrap) for i in range(len(a.channels))]
        together = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
        together["max"] = float(np.max([one["max"] for one in found]))
        rows = [("all", together)] if len(found) > 1 else []
        rows += zip(a.channels, found, strict=True)
        return Table(("channel", *columns), tuple((name, *_row(one, columns, peak)) for name, one in rows))


def _comparable(a: Image | Mask, b: Image | Mask) -> None:
    one_picture(a, "compare")
    one_picture(b, "compare")
    if a.size != b.size:
        raise OperationError(f"a is {a.width}x{a.height}, b is {b.width}x{b.height}: 'resize' or 'crop' one of them")
    difference = difference_of(a, b)
    if difference:
        raise OperationError(difference)


def _measured(x: Array, y: Array, metrics: list[Metric], peak: float, wrap: tuple[bool, bool]) -> dict[str, float]:
    """What is measured on one channel; the rest follows from that."""
    apart = np.abs(x - y)
    found = {"mse": float(np.square(apart).mean()), "mae": float(apart.mean()), "max": float(apart.max())}
    if "ssim" in metrics:
        found["ssim"] = _ssim(x, y, peak, wrap)
    return found


def _row(found: dict[str, float], metrics: list[Metric], peak: float) -> list[float]:
    mse = np.float64(found["mse"])  # numpy's: its logarithm of 0 is an infinity
    derived = {"rmse": float(np.sqrt(mse)), "psnr": float(-10 * np.log10(mse / peak**2))}
    return [{**found, **derived}[name] for name in metrics]


def _ssim(x: Array, y: Array, peak: float, wrap: tuple[bool, bool]) -> float:
    """Mean structural similarity of two channels, Wang et al. 2004, equation 13 and section III.C."""
    height, width = x.shape
    if min(height + SSIM_SIZE * wrap[1], width + SSIM_SIZE * wrap[0]) < SSIM_SIZE:
        raise OperationError(f"ssim wants pictures of {SSIM_SIZE}x{SSIM_SIZE} or more, these are {width}x{height}")
    mean = _window_mean(wrap)
    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    c1, c2 = (SSIM_K1 * peak) ** 2, (SSIM_K2 * peak) ** 2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return float(np.mean(above / below))


def _window_mean(wrap: tuple[bool, bool]) -> Callable[[Array], Array]:
    """The Gaussian mean around each pixel whose window lies inside (or goes round)."""
    reach = SSIM_SIZE // 2
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SSIM_SIGMA) ** 2)
    weights /= weights.sum()
    pads = [(reach * wrap[1],) * 2, (reach * wrap[0],) * 2]

    def mean(values: Array) -> Array:
        around = np.pad(values, pads, mode="wrap") if any(wrap) else values
        smooth: Array = cv2.sepFilter2D(around, cv2.CV_64F, weights, weights)[reach:-reach, reach:-reach].astype(float)
        return smooth

    return mean

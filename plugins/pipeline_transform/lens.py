"""What a lens does to a picture, done and undone."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from pipeline_core import AnyRaster, operation
from pipeline_transform.paint import TRANSPARENT
from pipeline_transform.resampling import namespace
from pipeline_transform.warping import Antialias, Array, Fill, Point, Warp, WarpFilter, warped, warped_size

Arrays = tuple[Array, Array]
Mode = Literal["undistort", "distort"]
Coefficient = Annotated[float, Field(ge=-100, le=100)]
ROUNDS = 30  # of Newton's method; it doubles its digits in each, so few pixels need more than 6
CLOSE = 1e-4  # pixels


class _Lens(NamedTuple):
    """The model of D. Brown, "Decentering Distortion of Lenses", 1966, in the form and with the names of OpenCV."""

    k1: float
    k2: float
    k3: float
    p1: float
    p2: float

    def distorted(self, x: Array, y: Array) -> Arrays:
        """From the place that a straight lens would show a point at, to where this lens does; in focal lengths."""
        r2 = x * x + y * y
        radial = 1 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))
        return (
            x * radial + 2 * self.p1 * x * y + self.p2 * (r2 + 2 * x * x),
            y * radial + self.p1 * (r2 + 2 * y * y) + 2 * self.p2 * x * y,
        )

    def undistorted(self, x: Array, y: Array, close: float) -> Arrays:
        """The inverse, by Newton's method; NaN where no place comes here, as beyond the edge of a strong bulge."""
        if not (self.p1 or self.p2):
            return self._undistorted_along_rays(x, y, close)
        u, v = x, y
        for _ in range(ROUNDS):
            at_x, at_y = self.distorted(u, v)
            off_x, off_y = at_x - x, at_y - y
            if bool((abs(off_x) + abs(off_y)).max() < close / 100):
                break
            xx, xy, yy = self._slopes(u, v)
            area = xx * yy - xy * xy
            u, v = u - (off_x * yy - off_y * xy) / area, v - (off_y * xx - off_x * xy) / area
        at_x, at_y = self.distorted(u, v)
        xx, xy, yy = self._slopes(u, v)
        # Beyond the fold, where the slopes change sign, the model shows the picture mirrored: no lens does.
        xp = namespace(x)
        good = (xp.hypot(at_x - x, at_y - y) < close) & (xx * yy - xy * xy > 0) & (xx + yy > 0)
        return xp.where(good, u, xp.nan), xp.where(good, v, xp.nan)

    def _undistorted_along_rays(self, x: Array, y: Array, close: float) -> Arrays:
        """What stays on its ray from the middle, by its distance alone."""
        xp = namespace(x)
        distance = (x * x + y * y) ** 0.5
        r = distance
        for _ in range(ROUNDS):
            r2 = r * r
            radial = 1 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))
            slope = radial + r2 * (2 * self.k1 + r2 * (4 * self.k2 + r2 * 6 * self.k3))
            off = r * radial - distance
            if bool(abs(off).max() < close / 100):
                break
            r = r - off / slope
        ratio = xp.where(distance > 0, 1 / radial, 1.0)
        share = xp.where((abs(off) < close) & (slope > 0) & (radial > 0), ratio, xp.nan)
        return x * share, y * share

    def _slopes(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """dX/dx, dX/dy (which is dY/dx) and dY/dy of `distorted`."""
        r2 = x * x + y * y
        radial = 1 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))
        growth = 2 * (self.k1 + r2 * (2 * self.k2 + r2 * 3 * self.k3))  # of `radial`, over x or y
        return (
            radial + growth * x * x + 2 * self.p1 * y + 6 * self.p2 * x,
            growth * x * y + 2 * self.p1 * x + 2 * self.p2 * y,
            radial + growth * y * y + 6 * self.p1 * y + 2 * self.p2 * x,
        )


def _same_size(image: AnyRaster, *, filter: str = "bicubic", **_: Any) -> AnyRaster:  # noqa: A002
    return warped_size(image, None, None, filter)


@operation(
    version=5, infer=_same_size, aliases=("lens_distortion", "undistort", "barrel", "pincushion", "brown_conrady")
)
def lens_distort(
    image: AnyRaster,
    *,
    mode: Annotated[Mode, Field(description="take the lens's distortion out, or put it in")] = "undistort",
    k1: Annotated[Coefficient, Field(description="radial; below 0 the lens makes barrels")] = 0.0,
    k2: Annotated[Coefficient, Field(description="radial, of r^4")] = 0.0,
    k3: Annotated[Coefficient, Field(description="radial, of r^6")] = 0.0,
    p1: Annotated[Coefficient, Field(description="tangential, of a lens off its axis")] = 0.0,
    p2: Annotated[Coefficient, Field(description="tangential")] = 0.0,
    focal: Annotated[float, Field(gt=0, description="focal length in pixels; the longer side by default")]
    | None = None,
    center: Annotated[Point, Field(description="x, y of the lens's axis; the middle by default")] | None = None,
    filter: WarpFilter = "bicubic",  # noqa: A002  the word of the field
    antialias: Antialias = True,
    fill: Fill = TRANSPARENT,
) -> AnyRaster:
    """Take a lens's distortion out of a picture, or put it into one.

    The Brown-Conrady model with OpenCV's coefficients, as camera calibration gives them; `distort` is the inverse of
    `undistort`, so that an element made for the straightened plate fits the plate again. The size stays; filters,
    `fill`, alpha and tiling as in `affine`.

    Convention: coefficients are for lengths over the focal length; y points down; `center` is in pixels with centres at
    half pixels, so it is OpenCV's (cx, cy) plus (0.5, 0.5).
    """
    length = focal or float(max(image.size))
    x0, y0 = center or (image.width / 2, image.height / 2)
    lens = _Lens(k1, k2, k3, p1, p2)

    def source(x: Array, y: Array) -> Arrays:
        u, v = (x - x0) / length, (y - y0) / length
        u, v = lens.distorted(u, v) if mode == "undistort" else lens.undistorted(u, v, CLOSE / length)
        return u * length + x0, v * length + y0

    return warped(image, Warp(image.width, image.height, source, antialias), filter, fill)

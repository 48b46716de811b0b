"""pipeline_filter."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import PIL.ImageFilter as F
import PIL.ImageOps
import pipeline_filter as f
import pyvips
from OpenImageIO import ImageBufAlgo as A

from benchmarks.operations.scene import Row, Scene, buf, done, pillow, row, vips
from pipeline_core import Image

EDGE = cv2.BORDER_REPLICATE


def rows(s: Scene) -> list[Row]:
    p, c, v, pil, o = s.floats, s.codes, vips(s.floats), pillow(s.codes), buf(s.floats, "RGBA")
    square, cross = np.ones((7, 7), np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (7, 7))
    steps = np.arange(-3, 4)
    disc = (steps[:, None] ** 2 + steps**2 <= 9).astype(np.uint8)
    equalizer = cv2.createCLAHE(2, (8, 8))
    wide = np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (21, 21)), np.float32) / 317
    line = np.eye(17, dtype=np.float32) / 17
    relief = np.float32([[1, 1, 0], [1, 0, -1], [0, -1, -1]])
    holes = p.copy()
    holes[::50, ::50] = np.nan
    nan, nan_buf = s.image.with_array(holes[None]), buf(holes, "RGBA")
    luma8, gray = vips(s.luma_codes), Image(s.floats[None, ..., 1:2], channels=("Y",))

    def gauss(sigma: float) -> np.ndarray:
        return cv2.GaussianBlur(p, (2 * int(4 * sigma + 0.5) + 1,) * 2, sigma, borderType=EDGE)

    def sobel() -> np.ndarray:
        across, down = (cv2.Sobel(p, -1, *order, scale=0.25, borderType=EDGE) for order in ((1, 0), (0, 1)))
        return cv2.magnitude(across, down).max(axis=2)

    def by_luma(change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        luma, *chroma = cv2.split(cv2.cvtColor(s.color_codes, cv2.COLOR_RGB2YCrCb))
        return cv2.cvtColor(cv2.merge([change(luma), *chroma]), cv2.COLOR_YCrCb2RGB)

    def straight_gauss() -> object:
        return done(v.premultiply(max_alpha=1).gaussblur(3, precision="float").unpremultiply(max_alpha=1))

    def shadowed() -> np.ndarray:
        alpha = cv2.warpAffine(
            s.plane, np.float64([[1, 0, 6], [0, 1, 6]]), (s.width, s.height), flags=cv2.INTER_NEAREST
        )
        shade = cv2.multiply(cv2.subtract((1.0,), s.plane), cv2.GaussianBlur(alpha, (49, 49), 6), scale=0.6)
        color = cv2.split(p)
        return cv2.merge([*color[:3], cv2.add(color[3], shade)])

    def darkened() -> object:
        at = pyvips.Image.xyz(s.width, s.height)
        far = ((at - [s.width / 2, s.height / 2]) / [s.width / 2, s.height / 2]) ** 2
        rise = (((far[0] + far[1]) * 0.5) ** 0.5 * 1.4286 - 0.4286).clamp()
        return done(vips(s.colors) * (1 - (rise * rise * 1.5 - rise * rise * rise)).cast("float"))

    return [
        row("blur", "sigma 1", lambda: f.blur(s.image, sigma=1), cv2=lambda: gauss(1),
            vips=lambda: done(v.gaussblur(1, precision="float"))),
        row("blur", "sigma 3", lambda: f.blur(s.image, sigma=3), cv2=lambda: gauss(3),
            vips=lambda: done(v.gaussblur(3, precision="float")),
            pillow_8=lambda: pil.filter(F.GaussianBlur(3))),
        row("blur", "sigma 20", lambda: f.blur(s.image, sigma=20), cv2=lambda: gauss(20),
            vips=lambda: done(v.gaussblur(20, precision="float"))),
        row("blur", "sigma 3, straight", lambda: f.blur(s.straight, sigma=3), vips=straight_gauss),
        row("blur", "box 11x11", lambda: f.blur(s.image, radius=5, filter="box"), cv2=lambda: cv2.blur(p, (11, 11)),
            pillow_8=lambda: pil.filter(F.BoxBlur(5))),
        row("directional_blur", "length 16", lambda: f.directional_blur(s.image, length=16, angle=45),
            cv2=lambda: cv2.filter2D(p, -1, line)),
        row("defocus", "radius 10", lambda: f.defocus(s.image, radius=10), cv2=lambda: cv2.filter2D(p, -1, wide)),
        row("convolve", "3x3", lambda: f.convolve(s.image, kernel=[[1, 2, 1], [2, 4, 2], [1, 2, 1]]),
            cv2=lambda: cv2.filter2D(p, -1, np.float32([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16)),
        row("median", "3x3", lambda: f.median(s.image), cv2=lambda: cv2.medianBlur(p, 3),
            oiio=lambda: A.median_filter(o, 3, 3)),
        row("median", "5x5", lambda: f.median(s.image, radius=2), cv2=lambda: cv2.medianBlur(p, 5),
            cv2_8=lambda: cv2.medianBlur(c, 5)),
        row("dilate", "7x7", lambda: f.dilate(s.image, radius=3), cv2=lambda: cv2.dilate(p, square)),
        row("erode", "7x7", lambda: f.erode(s.image, radius=3), cv2=lambda: cv2.erode(p, square)),
        row("dilate", "disc 3", lambda: f.dilate(s.image, radius=3, shape="disc"), cv2=lambda: cv2.dilate(p, disc)),
        row("dilate", "cross 3", lambda: f.dilate(s.image, radius=3, shape="cross"), cv2=lambda: cv2.dilate(p, cross)),
        row("open", "7x7", lambda: f.open(s.image, radius=3), cv2=lambda: cv2.morphologyEx(p, cv2.MORPH_OPEN, square)),
        row("close", "7x7", lambda: f.close(s.image, radius=3),
            cv2=lambda: cv2.morphologyEx(p, cv2.MORPH_CLOSE, square)),
        row("bilateral", "RGB and A", lambda: f.bilateral(s.image),
            cv2=lambda: (cv2.bilateralFilter(s.colors, 7, 0.1, 2), cv2.bilateralFilter(s.plane, 7, 0.1, 2))),
        row("denoise", "5x5 in 11x11", lambda: f.denoise(s.image),
            cv2_8=lambda: cv2.fastNlMeansDenoising(c, None, 10, 5, 11)),
        row("sharpen", "no alpha", lambda: f.sharpen(s.rgb),
            cv2=lambda: cv2.filter2D(s.colors, -1, np.float32([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]))),
        row("sharpen", "", lambda: f.sharpen(s.image),
            cv2=lambda: cv2.filter2D(p, -1, np.float32([[0, -1, 0], [-1, 5, -1], [0, -1, 0]])),
            pillow_8=lambda: pil.filter(F.SHARPEN)),
        row("unsharp_mask", "sigma 2", lambda: f.unsharp_mask(s.image),
            cv2=lambda: cv2.addWeighted(p, 1.5, gauss(2), -0.5, 0),
            pillow_8=lambda: pil.filter(F.UnsharpMask(2, 50, 0))),
        row("high_pass", "sigma 4", lambda: f.high_pass(s.image), cv2=lambda: cv2.addWeighted(p, 1, gauss(4), -1, 0.5)),
        row("bloom", "", lambda: f.bloom(s.rgb), cv2=lambda: cv2.add(s.colors, cv2.GaussianBlur(
            cv2.max(cv2.subtract(s.colors, (0.8,) * 4), 0), (97, 97), 12, borderType=EDGE))),
        row("drop_shadow", "", lambda: f.drop_shadow(s.image), cv2=shadowed),
        row("pixelize", "8", lambda: f.pixelize(s.image, size=8), cv2=lambda: cv2.resize(
            cv2.resize(p, (s.width // 8, s.height // 8), interpolation=cv2.INTER_AREA), (s.width, s.height),
            interpolation=cv2.INTER_NEAREST)),
        row("vignette", "", lambda: f.vignette(s.rgb), vips=darkened),
        row("emboss", "", lambda: f.emboss(s.image), cv2=lambda: cv2.filter2D(p, -1, relief)),
        row("edge_detect", "sobel", lambda: f.edge_detect(s.image), cv2=sobel),
        row("edge_detect", "canny", lambda: f.edge_detect(s.image, method="canny"),
            cv2_8=lambda: cv2.Canny(s.color_codes, 50, 100)),
        row("distance", "", lambda: f.distance(s.mask),
            cv2=lambda: cv2.distanceTransform(255 - c[..., 3], cv2.DIST_L2, cv2.DIST_MASK_PRECISE)),
        row("equalize", "luma", lambda: f.equalize(s.rgb), cv2_8=lambda: by_luma(cv2.equalizeHist)),
        row("equalize", "one plane", lambda: f.equalize(gray), cv2_8=lambda: cv2.equalizeHist(s.luma_codes),
            vips_8=lambda: done(luma8.hist_equal())),
        row("equalize", "each", lambda: f.equalize(s.rgb, by="each"),
            pillow_8=lambda: PIL.ImageOps.equalize(pillow(s.color_codes))),
        row("clahe", "luma", lambda: f.clahe(s.rgb), cv2_8=lambda: by_luma(equalizer.apply)),
        row("clahe", "one plane", lambda: f.clahe(gray), cv2_8=lambda: equalizer.apply(s.luma_codes)),
        row("clahe", "each", lambda: f.clahe(s.rgb, by="each"),
            cv2_8=lambda: [equalizer.apply(plane) for plane in cv2.split(s.color_codes)]),
        row("auto_levels", "", lambda: f.auto_levels(s.rgb),
            pillow_8=lambda: PIL.ImageOps.autocontrast(pillow(s.color_codes), 0.1)),
        row("fix_nan", "", lambda: f.fix_nan(nan), oiio=lambda: A.fixNonFinite(nan_buf)),
    ]  # fmt: skip

"""pipeline_draw, pipeline_generate, pipeline_measure and pipeline_texture."""

from __future__ import annotations

import cv2
import numpy as np
import OpenImageIO
import PIL.Image
import PIL.ImageDraw
import pipeline_draw as draw
import pipeline_generate as g
import pipeline_measure as q
import pipeline_texture as x
import pyvips
from OpenImageIO import ImageBufAlgo as A

from benchmarks.operations.scene import Row, Scene, buf, done, pillow, row, vips


def rows(s: Scene) -> list[Row]:
    w, h = s.width, s.height
    p, o, v, rgb = s.floats, buf(s.floats, "RGBA"), vips(s.floats), s.colors
    under = buf(s.opaque, "RGBA")
    frame = OpenImageIO.ROI(0, w, 0, h, 0, 1, 0, 4)
    middle, radius = (w // 2, h // 2), h // 3
    box = [middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius]
    points = [(0.1 * w, 0.1 * h), (0.9 * w, 0.3 * h), (0.5 * w, 0.9 * h)]
    corners = np.int32(points)
    half = (w // 2, h // 2)

    def drawn(change: str, *arguments: object) -> PIL.Image.Image:
        mask = PIL.Image.new("L", (w, h))
        getattr(PIL.ImageDraw.Draw(mask), change)(*arguments, fill=255)
        return mask

    def checker() -> object:
        result = OpenImageIO.ImageBuf(OpenImageIO.ImageSpec(w, h, 4, OpenImageIO.FLOAT))
        A.checker(result, 16, 16, 1, (0.4, 0.4, 0.4, 1.0), (0.6, 0.6, 0.6, 1.0), 0, 0, 0)
        return result

    def plane() -> np.ndarray:
        return np.zeros((h, w), np.uint8)

    def flooded() -> np.ndarray:
        copied = s.color_codes.copy()
        cv2.floodFill(copied, None, (5, 5), (0, 255, 0), (12, 12, 12), (12, 12, 12))
        return copied

    def normals() -> np.ndarray:
        across, down = (cv2.Sobel(s.plane, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
        found = cv2.merge([across, down, np.ones_like(across)])
        return found / np.sqrt((found * found).sum(2, keepdims=True))

    def moments() -> object:
        return cv2.meanStdDev(p), [cv2.minMaxLoc(p[..., i]) for i in range(4)]

    return [
        row("constant", "", lambda: draw.constant(width=w, height=h, color=(0.1, 0.2, 0.3, 1.0), channels="RGBA"),
            oiio=lambda: A.fill((0.1, 0.2, 0.3, 1.0), frame), cv2=lambda: np.full((h, w, 4), np.float32(0.3))),
        row("gradient", "", lambda: draw.gradient(width=w, height=h, channels="RGBA"),
            oiio=lambda: A.fill((0.0, 0.0, 0.0, 1.0), (1.0, 1.0, 1.0, 1.0), frame)),
        row("checkerboard", "", lambda: draw.checkerboard(width=w, height=h, channels="RGBA"),
            oiio=checker),
        row("ellipse_mask", "", lambda: draw.ellipse_mask(width=w, height=h, radius_x=radius),
            cv2_8=lambda: cv2.circle(plane(), middle, radius, 255, -1, cv2.LINE_AA),
            pillow_8=lambda: drawn("ellipse", box)),
        row("rectangle_mask", "", lambda: draw.rectangle_mask(
                width=w, height=h, left=box[0], top=box[1], right=box[2], bottom=box[3]),
            cv2_8=lambda: cv2.rectangle(plane(), box[:2], box[2:], 255, -1), pillow_8=lambda: drawn("rectangle", box)),
        row("polygon_mask", "", lambda: draw.polygon_mask(width=w, height=h, points=points),
            cv2_8=lambda: cv2.fillPoly(plane(), [corners], 255, cv2.LINE_AA),
            pillow_8=lambda: drawn("polygon", points)),
        row("line_mask", "", lambda: draw.line_mask(width=w, height=h, points=points, thickness=9.0),
            cv2_8=lambda: cv2.polylines(plane(), [corners], False, 255, 9, cv2.LINE_AA)),
        row("flood_fill", "", lambda: draw.flood_fill(s.rgb, x=5, y=5, color=(0.0, 1.0, 0.0, 1.0)), cv2_8=flooded),
        row("noise", "perlin", lambda: g.noise(width=w, height=h, kind="perlin", scale=64),
            vips=lambda: done(pyvips.Image.perlin(w, h, cell_size=64))),
        row("noise", "worley", lambda: g.noise(width=w, height=h, kind="worley", scale=64),
            vips=lambda: done(pyvips.Image.worley(w, h, cell_size=64))),
        row("noise", "white", lambda: g.noise(width=w, height=h, kind="white"),
            oiio=lambda: A.noise("uniform", 0, 1, False, 0, OpenImageIO.ROI(0, w, 0, h, 0, 1, 0, 1))),
        row("statistics", "", lambda: q.statistics(s.image), oiio=lambda: A.computePixelStats(o),
            vips=lambda: v.stats().copy_memory(), cv2=moments),
        row("histogram", "", lambda: q.histogram(s.image),
            oiio=lambda: [A.histogram(o, i, 256, 0.0, 1.0) for i in range(4)],
            cv2=lambda: [cv2.calcHist([p], [i], None, [256], [0, 1]) for i in range(4)]),
        row("compare", "mse, psnr, max", lambda: q.compare(s.image, s.ground, metrics=["mse", "psnr", "max"]),
            oiio=lambda: A.compare(o, under, 0.1, 0.1),
            cv2=lambda: (cv2.norm(p, s.opaque, cv2.NORM_L2SQR), cv2.norm(p, s.opaque, cv2.NORM_INF))),
        row("check_finite", "", lambda: q.check_finite(s.image), cv2=lambda: cv2.checkRange(p)),
        row("assert_range", "", lambda: q.assert_range(s.image, low=-1, high=2),
            oiio=lambda: A.color_range_check(o, (-1.0,) * 4, (2.0,) * 4)),
        row("height_to_normal", "", lambda: x.height_to_normal(s.mask), cv2=normals),
        row("mip_level", "1", lambda: x.mip_level(s.rgb, level=1),
            cv2=lambda: cv2.resize(rgb, half, interpolation=cv2.INTER_AREA),
            vips=lambda: done(vips(rgb).shrink(2, 2)), pillow_8=lambda: pillow(s.color_codes).reduce(2)),
    ]  # fmt: skip

"""pipeline_draw, pipeline_generate, pipeline_measure and pipeline_texture."""

from __future__ import annotations

import cv2
import numpy as np
import OpenImageIO
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
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
    normal, left4 = s.rgb.with_array(rgb[None], color="data"), cv2.merge([1 - s.plane] * 4)
    pil, pil_mask, green = (
        pillow(s.color_codes),
        pillow(s.codes).getchannel("A"),
        PIL.Image.new("RGB", (w, h), (0, 255, 0)),
    )

    def drawn(change: str, *arguments: object) -> PIL.Image.Image:
        mask = PIL.Image.new("L", (w, h))
        getattr(PIL.ImageDraw.Draw(mask), change)(*arguments, fill=255)
        return mask

    def lettered() -> PIL.Image.Image:
        mask = PIL.Image.new("L", (w, h))
        PIL.ImageDraw.Draw(mask).text((w / 2, h / 2), "pipeline", 255, PIL.ImageFont.load_default(200), "mm")
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

    def spread() -> np.ndarray:
        found = np.zeros((h + 2, w + 2), np.uint8)
        flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | 1 << 8
        cv2.floodFill(rgb, found, (5, 5), 0, (0.05,) * 3, (0.05,) * 3, flags)
        return found[1:-1, 1:-1].astype(np.float32)

    def rounded() -> object:
        at = pyvips.Image.xyz(w, h).linear([1, 1], [0.5 - w / 2, 0.5 - h / 2]) ** 2
        share = ((at[0] + at[1]) ** 0.5 / float(np.hypot(w, h) / 2)).clamp()
        return done(share.linear([-1, -1, -1], [1, 1, 1]).cast("float"))

    def unit() -> np.ndarray:
        found = cv2.addWeighted(rgb, 2, rgb, 0, -1)
        length = cv2.sqrt(cv2.transform(cv2.multiply(found, found), np.ones((1, 3), np.float32)))
        return cv2.addWeighted(cv2.divide(found, cv2.merge([length] * 3)), 0.5, found, 0, 0.5)

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
        row("linear_mask", "", lambda: draw.linear_mask(width=w, height=h, start=(0.0, 0.0), end=(w, 0.0)),
            oiio=lambda: A.fill((0.0,), (1.0,), (0.0,), (1.0,), OpenImageIO.ROI(0, w, 0, h, 0, 1, 0, 1))),
        row("radial", "", lambda: draw.radial(width=w, height=h, channels="RGB"), vips=rounded),
        row("text_mask", "", lambda: draw.text_mask(width=w, height=h, text="pipeline", size=200.0),
            pillow_8=lettered),
        row("fill", "ellipse", lambda: draw.fill(s.rgb, color=(0.0, 1.0, 0.0, 1.0), shape="ellipse"),
            cv2=lambda: cv2.ellipse(rgb.copy(), middle, half, 0, 0, 360, (0, 1, 0), -1)),
        row("fill", "mask", lambda: draw.fill(s.rgb, s.mask, color=(0.0, 1.0, 0.0, 1.0)),
            pillow_8=lambda: PIL.Image.composite(green, pil, pil_mask)),
        row("erase", "mask", lambda: draw.erase(s.image, s.mask), cv2=lambda: cv2.multiply(p, left4)),
        row("flood_mask", "", lambda: draw.flood_mask(s.rgb, x=5, y=5), cv2=spread),
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
        row("normal_convert", "", lambda: x.normal_convert(normal), vips=lambda: done(vips(rgb).linear([1, -1, 1], [0, 1, 0]))),
        row("normal_normalize", "", lambda: x.normal_normalize(normal), cv2=unit),
        row("pack_orm", "", lambda: x.pack_orm(s.mask, s.mask, s.mask), cv2=lambda: cv2.merge([s.plane] * 3)),
        row("uv_map", "", lambda: g.uv_map(width=w, height=h), vips=lambda: done(
            ((pyvips.Image.xyz(w, h) + 0.5) / [w, -h] + [0, 1]).bandjoin(0).cast("float"))),
        row("mip_level", "1", lambda: x.mip_level(s.rgb, level=1),
            cv2=lambda: cv2.resize(rgb, half, interpolation=cv2.INTER_AREA),
            vips=lambda: done(vips(rgb).shrink(2, 2)), pillow_8=lambda: pillow(s.color_codes).reduce(2)),
    ]  # fmt: skip

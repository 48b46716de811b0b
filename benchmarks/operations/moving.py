"""pipeline_transform."""

from __future__ import annotations

import cv2
import numpy as np
import OpenImageIO
import PIL.Image
import pipeline_transform as t
import pyvips
from OpenImageIO import ImageBufAlgo as A
from pipeline_generate import uv_map

from benchmarks.operations.scene import Row, Scene, buf, done, pillow, row, vips

CUBIC = "bicubic, 1/32 pixel"


def rows(s: Scene) -> list[Row]:
    p, v, pil, o = s.floats, vips(s.floats), pillow(s.codes), buf(s.floats, "RGBA")
    size, half = (s.width, s.height), (s.width // 2, s.height // 2)
    scale = {"width": half[0], "height": half[1]}
    turn = np.array([[0.985, 0.174, -170.0], [-0.174, 0.985, 340.0]])
    back = cv2.invertAffineTransform(turn)
    x0, y0, x1, y1 = 0.1 * s.width, 0.1 * s.height, 0.95 * s.width, 0.9 * s.height
    corners = ((x0, y0), (x1, 0.0), (s.width - 1.0, y1), (0.0, s.height - 1.0))
    whole = ((0, 0), (s.width, 0), (s.width, s.height), (0, s.height))
    pin = cv2.getPerspectiveTransform(np.array(whole, np.float32), np.array(corners, np.float32))
    steep = 9 * s.width / s.height  # the sides lean, and that is what a corner pin is for
    y, x = np.mgrid[: s.height, : s.width].astype(np.float32)
    places = x + 9 * np.sin(y / 97), y + steep * np.cos(x / 131)
    index = vips(np.dstack(places))
    uv = uv_map(width=s.width, height=s.height)
    ripple = uv.with_array(
        np.dstack([(places[0] + 0.5) / s.width, 1 - (places[1] + 0.5) / s.height, np.zeros_like(x)])[None]
    )
    u = buf(np.dstack([(places[0] + 0.5) / s.width, (places[1] + 0.5) / s.height]))
    camera = np.array([[s.width, 0, s.width / 2 - 0.5], [0, s.width, s.height / 2 - 0.5], [0, 0, 1]])
    lens = np.array([0.1, 0.0, 0.0, 0.0])
    bilinear, cubic = {"filter": "bilinear", "antialias": False}, {"filter": "bicubic", "antialias": False}

    def turned(interpolator: object) -> object:
        return done(v.affine(back[:, :2].ravel().tolist(), oarea=[0, 0, *size], interpolate=interpolator))

    def mapped(interpolator: object) -> object:
        return done(v.mapim(index, interpolate=interpolator))

    linear, bicubic = (pyvips.Interpolate.new(name) for name in ("bilinear", "bicubic"))
    forward = [(*back[0],), (*back[1],)]
    return [
        row("crop", "a quarter", lambda: t.crop(s.image, x=40, y=20, width=half[0], height=half[1]),
            cv2=lambda: np.copy(p[20 : 20 + half[1], 40 : 40 + half[0]])),
        row("flip", "", lambda: t.flip(s.image), cv2=lambda: cv2.flip(p, 0), vips=lambda: done(v.flipver()),
            oiio=lambda: A.flip(o)),
        row("flop", "", lambda: t.flop(s.image), cv2=lambda: cv2.flip(p, 1), vips=lambda: done(v.fliphor()),
            oiio=lambda: A.flop(o)),
        row("rotate90", "", lambda: t.rotate90(s.image), cv2=lambda: cv2.rotate(p, cv2.ROTATE_90_CLOCKWISE),
            vips=lambda: done(v.rot90()), oiio=lambda: A.rotate90(o)),
        row("transpose", "", lambda: t.transpose(s.image), cv2=lambda: cv2.transpose(p), oiio=lambda: A.transpose(o)),
        row("offset", "", lambda: t.offset(s.image, x=500, y=300), vips=lambda: done(v.wrap(x=500, y=300)),
            oiio=lambda: A.circular_shift(o, 500, 300)),
        row("pad", "mirror", lambda: t.pad(s.image, left=64, right=64, top=64, bottom=64, mode="mirror"),
            cv2=lambda: cv2.copyMakeBorder(p, 64, 64, 64, 64, cv2.BORDER_REFLECT),
            vips=lambda: done(v.embed(64, 64, s.width + 128, s.height + 128, extend="mirror"))),
        row("trim", "", lambda: t.trim(s.image), pillow_8=lambda: pil.crop(pil.getchannel("A").getbbox()),
            cv2=lambda: cv2.boundingRect(cv2.compare(s.plane, 0, cv2.CMP_GT))),
        row("mosaic", "four", lambda: t.mosaic([s.image] * 4), cv2=lambda: cv2.vconcat([cv2.hconcat([p, p])] * 2)),
        row("translate", "bilinear", lambda: t.translate(s.image, x=10.3, y=5.7, filter="bilinear"),
            cv2=lambda: cv2.warpAffine(p, np.float64([[1, 0, 10.3], [0, 1, 5.7]]), size)),
        row("resize", "half, area", lambda: t.resize(s.image, **scale, filter="area"),
            cv2=lambda: cv2.resize(p, half, interpolation=cv2.INTER_AREA), vips=lambda: done(v.shrink(2, 2)),
            pillow_8=lambda: pil.resize(half, PIL.Image.Resampling.BOX)),
        row("resize", "half, bilinear", lambda: t.resize(s.image, **scale, filter="bilinear"),
            vips=lambda: done(v.resize(0.5, kernel="linear")),
            pillow_8=lambda: pil.resize(half, PIL.Image.Resampling.BILINEAR)),
        row("resize", "half, bicubic", lambda: t.resize(s.image, **scale),
            vips=lambda: done(v.resize(0.5, kernel="cubic")),
            pillow_8=lambda: pil.resize(half, PIL.Image.Resampling.BICUBIC)),
        row("resize", "half, lanczos3", lambda: t.resize(s.image, **scale, filter="lanczos3"),
            vips=lambda: done(v.resize(0.5, kernel="lanczos3")), oiio=lambda: A.resize(o, "lanczos3", 6, OpenImageIO.ROI(0, half[0], 0, half[1])),
            pillow_8=lambda: pil.resize(half, PIL.Image.Resampling.LANCZOS)),
        row("resize", "to 1920x1080 less one, lanczos3",
            lambda: t.resize(s.image, width=half[0] - 1, height=half[1] - 1, filter="lanczos3"),
            vips=lambda: done(v.resize((half[0] - 1) / s.width, vscale=(half[1] - 1) / s.height, kernel="lanczos3")),
            pillow_8=lambda: pil.resize((half[0] - 1, half[1] - 1), PIL.Image.Resampling.LANCZOS)),
        row("resize", "1/8, lanczos3", lambda: t.resize(s.image, scale=0.125, filter="lanczos3"),
            vips=lambda: done(v.resize(0.125, kernel="lanczos3")),
            pillow_8=lambda: pil.resize((s.width // 8, s.height // 8), PIL.Image.Resampling.LANCZOS)),
        row("resize", "1.5 times, bicubic", lambda: t.resize(s.image, scale=1.5),
            cv2=lambda: cv2.resize(p, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC),
            vips=lambda: done(v.resize(1.5, kernel="cubic"))),
        row("resize", "1.5 times, bilinear", lambda: t.resize(s.image, scale=1.5, filter="bilinear"),
            cv2=lambda: cv2.resize(p, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_LINEAR),
            vips=lambda: done(v.resize(1.5, kernel="linear"))),
        row("resize", "half, nearest", lambda: t.resize(s.image, **scale, filter="nearest"),
            cv2=lambda: cv2.resize(p, half, interpolation=cv2.INTER_NEAREST_EXACT)),
        row("rotate", "bilinear", lambda: t.rotate(s.image, angle=10, filter="bilinear"),
            cv2=lambda: cv2.warpAffine(p, turn, size), vips=lambda: turned(linear),
            pillow_8=lambda: pil.rotate(10, PIL.Image.Resampling.BILINEAR)),
        row("rotate", CUBIC, lambda: t.rotate(s.image, angle=10),
            cv2=lambda: cv2.warpAffine(p, turn, size, flags=cv2.INTER_CUBIC), vips=lambda: turned(bicubic),
            pillow_8=lambda: pil.rotate(10, PIL.Image.Resampling.BICUBIC)),
        row("rotate", "lanczos3", lambda: t.rotate(s.image, angle=10, filter="lanczos3"),
            oiio=lambda: A.rotate(o, 0.1745, "lanczos3", 6)),
        row("rotate", "nearest", lambda: t.rotate(s.image, angle=10, filter="nearest"),
            cv2=lambda: cv2.warpAffine(p, turn, size, flags=cv2.INTER_NEAREST)),
        row("affine", "bilinear", lambda: t.affine(s.image, matrix=forward, **bilinear),
            cv2=lambda: cv2.warpAffine(p, turn, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP),
            vips=lambda: turned(linear)),
        row("affine", CUBIC, lambda: t.affine(s.image, matrix=forward, **cubic),
            cv2=lambda: cv2.warpAffine(p, turn, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP),
            vips=lambda: turned(bicubic)),
        row("affine", "bilinear, straight", lambda: t.affine(s.straight, matrix=forward, **bilinear),
            vips=lambda: done(
                v.premultiply(max_alpha=1)
                .affine(back[:, :2].ravel().tolist(), oarea=[0, 0, *size], interpolate=linear)
                .unpremultiply(max_alpha=1)
            )),
        row("corner_pin", "bilinear", lambda: t.corner_pin(s.image, corners=corners, **bilinear),
            cv2=lambda: cv2.warpPerspective(p, pin, size),
            pillow_8=lambda: pil.transform(size, PIL.Image.Transform.PERSPECTIVE,
                (np.linalg.inv(pin) / np.linalg.inv(pin)[2, 2]).ravel()[:8].tolist(), PIL.Image.Resampling.BILINEAR)),
        row("corner_pin", CUBIC, lambda: t.corner_pin(s.image, corners=corners, **cubic),
            cv2=lambda: cv2.warpPerspective(p, pin, size, flags=cv2.INTER_CUBIC)),
        row("st_map", "bilinear", lambda: t.st_map(s.image, ripple, **bilinear),
            cv2=lambda: cv2.remap(p, *places, cv2.INTER_LINEAR), vips=lambda: mapped(linear)),
        row("st_map", CUBIC, lambda: t.st_map(s.image, ripple, **cubic),
            cv2=lambda: cv2.remap(p, *places, cv2.INTER_CUBIC), vips=lambda: mapped(bicubic),
            oiio=lambda: A.st_warp(o, u, "cubic")),
        row("lens_distort", "bilinear", lambda: t.lens_distort(s.image, k1=0.1, **bilinear),
            cv2=lambda: cv2.undistort(p, camera, lens)),
        row("lens_distort", "put in, bilinear", lambda: t.lens_distort(s.image, mode="distort", k1=0.1, **bilinear),
            cv2=lambda: cv2.undistort(p, camera, lens)),
    ]  # fmt: skip

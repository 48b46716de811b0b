"""pipeline_color and pipeline_channel."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import PIL.ImageEnhance
import PIL.ImageFilter
import PIL.ImageOps
import pipeline_channel as ch
import pipeline_color as k
from OpenImageIO import ImageBufAlgo as A

from benchmarks.operations.scene import Row, Scene, buf, done, pillow, row, vips
from pipeline_core import Image, Mask

LUMA = (0.2126, 0.7152, 0.0722)
SIDE = 33


def rows(s: Scene) -> list[Row]:
    p, rgb, v, o = s.floats, s.colors, vips(s.colors), buf(s.colors, "RGB")
    pil, codes, v8 = pillow(s.color_codes), s.color_codes, vips(s.color_codes).copy(interpretation="srgb")
    scene, linear = v.copy(interpretation="scrgb"), s.linear
    mix = np.eye(3, dtype=np.float32) * 0.5 + 0.5 * np.float32(LUMA)
    table = np.arange(256, dtype=np.uint8)[::-1].copy()
    points = [[0.0, 0.0], [0.3, 0.2], [0.7, 0.85], [1.0, 1.0]]
    grid = np.linspace(0, 1, SIDE, dtype=np.float32)
    cube = Path(tempfile.mkdtemp(prefix="pipeline-benchmark-")) / "warm.cube"
    blue, green, red = (axis.ravel() for axis in np.meshgrid(grid, grid, grid, indexing="ij"))
    entries = np.stack([red**0.9, green, blue**1.1], axis=1)
    cube.write_text(
        f"LUT_3D_SIZE {SIDE}\n" + "\n".join(" ".join(f"{value:.6f}" for value in entry) for entry in entries)
    )
    lut8 = PIL.ImageFilter.Color3DLUT(SIDE, entries.ravel().tolist())
    planes = [np.ascontiguousarray(p[..., i]) for i in range(4)]
    masks = [Mask(plane[None, ..., None]) for plane in planes]
    gray = Image(planes[1][None, ..., None], channels=("Y",))
    order = [2, 0, 1, 1, 0, 2]

    def reordered() -> np.ndarray:
        result = np.empty_like(rgb)
        cv2.mixChannels([rgb], [result], order)
        return result

    return [
        row("exposure", "", lambda: k.exposure(s.rgb, stops=0.5), cv2=lambda: cv2.multiply(rgb, (1.41421356,) * 4),
            vips=lambda: done(v.linear(1.41421356, 0)), oiio=lambda: A.mul(o, 1.41421356)),
        row("grade", "", lambda: k.grade(s.rgb, gain=1.2, lift=0.02, gamma=1.1),
            cv2=lambda: cv2.pow(cv2.addWeighted(rgb, 1.18, rgb, 0, 0.02), 1 / 1.1),
            vips=lambda: done((v * 1.18 + 0.02) ** (1 / 1.1))),
        row("gamma", "", lambda: k.gamma(s.rgb, value=1.2), cv2=lambda: cv2.pow(rgb, 1 / 1.2),
            vips=lambda: done(v ** (1 / 1.2)), oiio=lambda: A.pow(o, 1 / 1.2)),
        row("levels", "", lambda: k.levels(s.rgb, in_low=0.05, in_high=0.9),
            cv2=lambda: cv2.addWeighted(rgb, 1 / 0.85, rgb, 0, -0.05 / 0.85),
            vips=lambda: done(v.linear(1 / 0.85, -0.05 / 0.85))),
        row("invert", "", lambda: k.invert(s.rgb), cv2=lambda: cv2.subtract((1.0,) * 4, rgb),
            vips=lambda: done(v.linear(-1, 1)), oiio=lambda: A.invert(o), pillow_8=lambda: PIL.ImageOps.invert(pil)),
        row("contrast", "", lambda: k.contrast(s.rgb, amount=1.3),
            cv2=lambda: cv2.addWeighted(rgb, 1.3, rgb, 0, -0.15), vips=lambda: done(v.linear(1.3, -0.15)),
            oiio=lambda: A.contrast_remap(o, 0.0, 1.0, -0.1154, 0.8846),
            pillow_8=lambda: PIL.ImageEnhance.Contrast(pil).enhance(1.3)),
        row("clamp", "", lambda: k.clamp(s.rgb), cv2=lambda: np.clip(rgb, 0, 1), oiio=lambda: A.clamp(o, 0, 1),
            vips=lambda: done(v.clamp(min=0, max=1))),
        row("saturation", "", lambda: k.saturation(s.rgb, amount=0.5), cv2=lambda: cv2.transform(rgb, mix),
            vips=lambda: done(v.recomb(mix.tolist())), oiio=lambda: A.saturate(o, 0.5),
            pillow_8=lambda: PIL.ImageEnhance.Color(pil).enhance(0.5)),
        row("hue_shift", "", lambda: k.hue_shift(s.rgb, degrees=40), cv2=lambda: cv2.transform(rgb, mix),
            vips=lambda: done(v.recomb(mix.tolist()))),
        row("white_balance", "", lambda: k.white_balance(s.rgb, temperature=5000),
            cv2=lambda: cv2.transform(rgb, mix), vips=lambda: done(v.recomb(mix.tolist()))),
        row("cdl", "", lambda: k.cdl(s.rgb, slope=1.1, offset=0.02, power=1.2),
            cv2=lambda: cv2.pow(cv2.addWeighted(rgb, 1.1, rgb, 0, 0.02), 1.2), vips=lambda: done((v * 1.1 + 0.02) ** 1.2)),
        row("color_convert", "sRGB to linear", lambda: k.color_convert(s.rgb, to="lin_rec709_scene"),
            oiio=lambda: A.colorconvert(o, "srgb_rec709_scene", "lin_rec709_scene"),
            vips_8=lambda: done(v8.colourspace("scrgb"))),
        row("color_convert", "linear to sRGB", lambda: k.color_convert(linear, to="srgb_rec709_scene"),
            oiio=lambda: A.colorconvert(o, "lin_rec709_scene", "srgb_rec709_scene")),
        row("color_convert", "linear to AP1", lambda: k.color_convert(linear, to="lin_ap1_scene"),
            cv2=lambda: cv2.transform(rgb, mix), oiio=lambda: A.colorconvert(o, "lin_rec709_scene", "lin_ap1_scene"),
            vips=lambda: done(v.recomb(mix.tolist()))),
        row("to_gray", "", lambda: k.to_gray(s.rgb), cv2=lambda: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY),
            oiio=lambda: A.channel_sum(o, LUMA), vips=lambda: done(scene.colourspace("b-w"))),
        row("to_rgb", "", lambda: k.to_rgb(gray), cv2=lambda: cv2.cvtColor(planes[1], cv2.COLOR_GRAY2RGB)),
        row("display_transform", "ACES 2.0", lambda: k.display_transform(linear),
            oiio=lambda: A.ociodisplay(o, "sRGB - Display", "ACES 2.0 - SDR 100 nits (Rec.709)", "lin_rec709_scene")),
        row("curves", "", lambda: k.curves(s.rgb, points=points), cv2_8=lambda: cv2.LUT(codes, table),
            pillow_8=lambda: pil.point(list(table) * 3)),
        row("tonemap", "reinhard", lambda: k.tonemap(s.rgb),
            cv2=lambda: cv2.createTonemapReinhard(1.0, 0, 0, 0).process(rgb)),
        row("posterize", "", lambda: k.posterize(s.rgb, levels=8), pillow_8=lambda: PIL.ImageOps.posterize(pil, 3)),
        row("dither", "", lambda: k.dither(s.rgb), pillow_8=lambda: pil.quantize(256, dither=1)),
        row("apply_lut", "33 a side, tetrahedral", lambda: k.apply_lut(s.rgb, path=cube),
            oiio=lambda: A.ociofiletransform(o, str(cube))),
        row("apply_lut", "33 a side, trilinear", lambda: k.apply_lut(s.rgb, path=cube, interpolation="trilinear"),
            pillow_8=lambda: pil.filter(lut8)),
        row("shuffle", "", lambda: ch.shuffle(s.rgb, channels={"R": "G", "G": "B", "B": "R"}), cv2=reordered,
            oiio=lambda: A.channels(o, ("G", "B", "R"))),
        row("select_channels", "RGB of RGBA", lambda: ch.select_channels(s.image, channels=["R", "G", "B"]),
            cv2=lambda: cv2.cvtColor(p, cv2.COLOR_RGBA2RGB), oiio=lambda: A.channels(buf(p, "RGBA"), ("R", "G", "B"))),
        row("split_channels", "", lambda: ch.split_channels(s.image), cv2=lambda: cv2.split(p)),
        row("combine_channels", "", lambda: ch.combine_channels(masks), cv2=lambda: cv2.merge(planes)),
        row("pack_channels", "", lambda: ch.pack_channels(*masks), cv2=lambda: cv2.merge(planes)),
        row("channel_math", "R / 2 + B", lambda: ch.channel_math(s.image, expressions={"R": "R * 0.5 + B"}),
            cv2=lambda: cv2.insertChannel(
                cv2.addWeighted(cv2.extractChannel(p, 0), 0.5, cv2.extractChannel(p, 2), 1, 0), p.copy(), 0)),
    ]  # fmt: skip

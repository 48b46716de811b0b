"""pipeline_compose, pipeline_depth and pipeline_key."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import PIL.Image
import PIL.ImageChops as C
import pipeline_compose as m
import pipeline_depth as d
import pipeline_key as key
from OpenImageIO import ImageBufAlgo as A
from pipeline_compose.operators import RULES

from benchmarks.operations.scene import Row, Scene, buf, done, pillow, row, vips

VIPS = {
    "over": "over", "in": "in", "out": "out", "atop": "atop", "xor": "xor", "multiply": "multiply", "screen": "screen",
    "overlay": "overlay", "darken": "darken", "lighten": "lighten", "color-dodge": "colour-dodge",
    "color-burn": "colour-burn", "hard-light": "hard-light", "soft-light": "soft-light", "difference": "difference",
    "exclusion": "exclusion",
}  # fmt: skip
PILLOW: dict[str, Callable[..., object]] = {
    "multiply": C.multiply, "screen": C.screen, "overlay": C.overlay, "darken": C.darker, "lighten": C.lighter,
    "hard-light": C.hard_light, "soft-light": C.soft_light, "difference": C.difference, "linear-dodge": C.add,
    "subtract": C.subtract,
}  # fmt: skip
OPENCV: dict[str, Callable[..., object]] = {
    "multiply": cv2.multiply, "darken": cv2.min, "lighten": cv2.max, "difference": cv2.absdiff,
    "linear-dodge": cv2.add, "subtract": cv2.subtract, "divide": cv2.divide,
}  # fmt: skip
OIIO = {"plus": A.add, "minus": A.sub, "min": A.min, "max": A.max}


def rows(s: Scene) -> list[Row]:
    p, g = s.floats, s.opaque
    v, w = (vips(array).copy(interpretation="scrgb") for array in (p, g))
    o, under = buf(p, "RGBA"), buf(g, "RGBA")
    ground8 = (g.clip(0, 1) * 255).astype(np.uint8)
    pil, pil_ground = pillow(s.codes), pillow(ground8)
    pil_rgb, pil_ground_rgb = pil.convert("RGB"), pil_ground.convert("RGB")
    pil_mask = pil.getchannel("A")
    rgb, rgb_top = s.colors, np.ascontiguousarray(p[..., :3])
    opaque = s.rgb, s.rgb.with_array(rgb_top[None])
    mask4 = cv2.merge([s.plane] * 4)
    zo, zu = (buf(i.array[0], "RGBAZ") for i in (s.deep_fore, s.deep_back))
    other = s.mask.with_array(s.ramp[None, ..., None])
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11))

    def merged(name: str) -> Row:
        peers = {}
        if name in VIPS:
            peers["vips"] = lambda: done(w.composite2(v, VIPS[name], premultiplied=True, compositing_space="scrgb"))
        if name == "over":
            peers["oiio"] = lambda: A.over(o, under)
            peers["pillow_8"] = lambda: PIL.Image.alpha_composite(pil_ground, pil)
        if name in OIIO:
            peers["oiio"] = lambda: OIIO[name](o, under)
        return row("merge", name, lambda: m.merge(s.ground, s.image, operation=name), **peers)

    def blended(name: str) -> Row:
        peers = {}
        if name in OPENCV:
            peers["cv2"] = lambda: OPENCV[name](rgb, rgb_top)
        if name in PILLOW:
            peers["pillow_8"] = lambda: PILLOW[name](pil_rgb, pil_ground_rgb)
        return row("merge", f"{name}, no alpha", lambda: m.merge(*opaque, operation=name), **peers)

    def layered() -> object:
        return done(w.composite([v, v, v], ["over"] * 3, premultiplied=True, compositing_space="scrgb"))

    alone = [name for name in RULES if name not in VIPS and name not in OIIO and name not in PILLOW]
    return [
        *(merged(name) for name in RULES if name in VIPS or name in OIIO),
        *(blended(name) for name in PILLOW.keys() | OPENCV.keys() if name in RULES),
        # What nobody else offers is held beside the float multiply of libvips, which reads and writes as much.
        *(merged(name)._replace(
            detail=f"{name}, beside multiply",
            peers={"vips": lambda: done(w.composite2(v, "multiply", premultiplied=True, compositing_space="scrgb"))},
        ) for name in alone if name != "dissolve"),
        row("merge", "over, straight", lambda: m.merge(s.straight, s.straight),
            vips=lambda: done(w.composite2(v, "over", compositing_space="scrgb")),
            pillow_8=lambda: PIL.Image.alpha_composite(pil_ground, pil)),
        row("mix", "", lambda: m.mix(s.ground, s.image, amount=0.3), cv2=lambda: cv2.addWeighted(g, 0.7, p, 0.3, 0),
            pillow_8=lambda: PIL.Image.blend(pil_ground, pil, 0.3)),
        row("keymix", "", lambda: m.keymix(s.ground, s.image, s.mask),
            vips=lambda: done(w + (v - w) * vips(s.plane)),
            cv2=lambda: cv2.add(g, cv2.multiply(cv2.subtract(p, g), mask4)),
            pillow_8=lambda: PIL.Image.composite(pil, pil_ground, pil_mask)),
        row("layer_stack", "three", lambda: m.layer_stack(s.ground, [s.image] * 3), vips=layered),
        row("flatten", "", lambda: m.flatten(s.straight, color=(0.2, 0.3, 0.4, 1.0)),
            vips=lambda: done(v.flatten(background=[0.2, 0.3, 0.4], max_alpha=1))),
        row("premultiply", "", lambda: m.premultiply(s.straight), vips=lambda: done(v.premultiply(max_alpha=1)),
            oiio=lambda: A.premult(o)),
        row("unpremultiply", "", lambda: m.unpremultiply(s.image), vips=lambda: done(v.unpremultiply(max_alpha=1)),
            oiio=lambda: A.unpremult(o)),
        row("set_alpha", "", lambda: m.set_alpha(s.rgb, s.mask), vips=lambda: done(vips(rgb).bandjoin(vips(s.plane))),
            oiio=lambda: A.channel_append(buf(rgb, "RGB"), buf(s.plane[..., None], "A"))),
        row("split_alpha", "", lambda: m.split_alpha(s.straight),
            cv2=lambda: (cv2.extractChannel(p, 3), cv2.cvtColor(p, cv2.COLOR_RGBA2RGB))),
        row("mask_from_channel", "", lambda: m.mask_from_channel(s.image, channel="A"),
            cv2=lambda: cv2.extractChannel(p, 3)),
        row("combine_masks", "union", lambda: m.combine_masks(s.mask, other), cv2=lambda: cv2.max(s.plane, s.ramp),
            oiio=lambda: A.max(buf(s.plane[..., None], "A"), buf(s.ramp[..., None], "A"))),
        row("invert_mask", "", lambda: m.invert_mask(s.mask), cv2=lambda: cv2.subtract((1.0,), s.plane)),
        row("grow_mask", "5", lambda: m.grow_mask(s.mask, radius=5), cv2=lambda: cv2.dilate(s.plane, disc)),
        row("shrink_mask", "5", lambda: m.shrink_mask(s.mask, radius=5), cv2=lambda: cv2.erode(s.plane, disc)),
        row("feather_mask", "5", lambda: m.feather_mask(s.mask, radius=5),
            cv2=lambda: cv2.GaussianBlur(s.plane, (11, 11), 0)),
        row("z_merge", "", lambda: d.z_merge([s.deep_fore, s.deep_back]), oiio=lambda: A.zover(zo, zu)),
        row("color_range_mask", "", lambda: key.color_range_mask(s.rgb, color=(0.5, 0.5, 0.5, 1.0)),
            cv2=lambda: cv2.inRange(rgb, (0.4, 0.4, 0.4), (0.6, 0.6, 0.6))),
        row("threshold", "", lambda: key.threshold(s.mask), vips=lambda: done(vips(s.plane) >= 0.5),
            cv2=lambda: cv2.threshold(s.plane, 0.5, 1, cv2.THRESH_BINARY)),
        row("threshold", "luma", lambda: key.threshold(s.rgb),
            cv2=lambda: cv2.threshold(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), 0.5, 1, cv2.THRESH_BINARY)),
        row("luma_key", "", lambda: key.luma_key(s.rgb), cv2=lambda: cv2.merge(
            [*cv2.split(rgb), np.clip(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), 0, 1)])),
        row("difference_key", "", lambda: key.difference_key(*opaque), cv2=lambda: cv2.merge(
            [*cv2.split(rgb), np.clip(cv2.max(*cv2.split(cv2.absdiff(rgb, rgb_top))[:2]) * 10 - 0.5, 0, 1)])),
        row("depth_to_mask", "", lambda: d.depth_to_mask(s.deep_fore, near=0.5, far=1.0, softness=0.2),
            vips=lambda: done(((vips(s.depth) - 0.3) * 5).clamp() * ((1.2 - vips(s.depth)) * 5).clamp())),
        row("edge_extend", "", lambda: key.edge_extend(s.image), oiio=lambda: A.fillholes_pushpull(o)),
    ]  # fmt: skip

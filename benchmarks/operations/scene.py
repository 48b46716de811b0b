"""The pictures, in the form that each library takes, and what a line of the table is made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import OpenImageIO
import PIL.Image
import pyvips

from pipeline_core import Image, Mask

Call = Callable[[], object]
EIGHT_BITS = "_8"

pyvips.cache_set_max(0)  # it would remember results from run to run


class Row(NamedTuple):
    """An operation and what does the same elsewhere; peers whose name ends in `_8` work on 8-bit pixels."""

    operation: str
    detail: str
    ours: Call
    peers: dict[str, Call]


def row(operation: str, detail: str, ours: Call, **peers: Call) -> Row:
    return Row(operation, detail, ours, peers)


class Scene:
    """Smooth colours with grain, cut out by a large disc with a soft edge: RGBA, associated unless it says so."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        y, x = np.mgrid[:height, :width].astype(np.float32)
        unit = height / 2160
        color = np.stack(
            [np.sin(x / (190 * unit)) * 0.4 + 0.5, np.cos(y / (170 * unit)) * 0.4 + 0.5, (x + y) % 256 / 256], axis=2
        )
        color += np.random.default_rng(0).normal(0, 0.02, color.shape)
        alpha = ((900 * unit - np.hypot(x - width / 2, y - height / 2)) / 6).clip(0, 1)[..., None]
        self.floats = np.concatenate([color * alpha, alpha], axis=2).astype(np.float32)
        self.opaque = np.concatenate([color, np.ones_like(alpha)], axis=2).astype(np.float32)
        self.colors = np.ascontiguousarray(self.opaque[..., :3])
        self.codes = (self.floats.clip(0, 1) * 255).astype(np.uint8)
        self.color_codes = np.ascontiguousarray((self.colors.clip(0, 1) * 255).astype(np.uint8))
        self.plane = np.ascontiguousarray(self.floats[..., 3])
        self.luma_codes = np.ascontiguousarray(self.codes[..., 1])
        self.ramp = np.ascontiguousarray(np.broadcast_to(x / width, (height, width)))
        self.depth = (x / width + y / height).astype(np.float32)

    @cached_property
    def image(self) -> Image:
        return Image(self.floats[None], channels=tuple("RGBA"), alpha="associated")

    @cached_property
    def straight(self) -> Image:
        return Image(self.floats[None], channels=tuple("RGBA"), alpha="straight")

    @cached_property
    def ground(self) -> Image:
        """Opaque, in the form of `image`: what things are laid over."""
        return Image(self.opaque[None], channels=tuple("RGBA"), alpha="associated")

    @cached_property
    def rgb(self) -> Image:
        return Image(self.colors[None])

    @cached_property
    def linear(self) -> Image:
        return Image(self.colors[None], color="lin_rec709_scene")

    @cached_property
    def mask(self) -> Mask:
        return Mask(self.plane[None, ..., None])

    @cached_property
    def deep_fore(self) -> Image:
        return self._with_depth(self.floats, self.depth)

    @cached_property
    def deep_back(self) -> Image:
        return self._with_depth(self.opaque, 2 - self.depth)

    def _with_depth(self, pixels: np.ndarray, depth: np.ndarray) -> Image:
        return Image(np.dstack([pixels, depth])[None], channels=tuple("RGBAZ"), alpha="associated")


def vips(array: np.ndarray) -> Any:
    return pyvips.Image.new_from_array(array)


def done(image: Any) -> Any:
    """libvips computes when it is asked for pixels."""
    return image.copy_memory()


def pillow(array: np.ndarray) -> PIL.Image.Image:
    return PIL.Image.fromarray(array)


def buf(array: np.ndarray, names: str = "") -> Any:
    height, width, channels = array.shape
    spec = OpenImageIO.ImageSpec(
        width, height, channels, OpenImageIO.UINT8 if array.dtype == np.uint8 else OpenImageIO.FLOAT
    )
    if names:
        spec.channelnames = tuple(names)
        spec.alpha_channel = names.find("A")
        spec.z_channel = names.find("Z")
    result = OpenImageIO.ImageBuf(spec)
    result.set_pixels(OpenImageIO.ROI(), array)
    return result

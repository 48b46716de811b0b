"""No dark, bright or coloured fringe where a picture becomes transparent, whatever RGB is hidden under alpha 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pipeline_filter as f
import pytest
from pipeline_transform import resize, rotate

from pipeline_core import Image, Mask

Filter = Callable[[Image], Any]
RED = (0.8, 0.1, 0.05)
GROUND = np.array([0.1, 0.6, 0.9])
SIZE = 40

FILTERS: dict[str, Filter] = {
    "blur": lambda image: f.blur(image, sigma=3),
    "blur box": lambda image: f.blur(image, radius=[2.5, 4], filter="box"),
    "directional_blur": lambda image: f.directional_blur(image, length=9, angle=30),
    "defocus": lambda image: f.defocus(image, radius=3.5),
    "defocus large": lambda image: f.defocus(image, radius=12),
    "convolve": lambda image: f.convolve(image, kernel=[[1, 2, 1], [2, 4, 2], [1, 2, 1]]),
    "median": lambda image: f.median(image, radius=2),
    "median large": lambda image: f.median(image, radius=4),
    "bilateral": lambda image: f.bilateral(image, sigma_color=0.5, sigma_space=3),
    "denoise": lambda image: f.denoise(image, strength=0.5),
    "sharpen": lambda image: f.sharpen(image, amount=2),
    "unsharp_mask": lambda image: f.unsharp_mask(image, sigma=2, amount=2, threshold=0.01),
    "high_pass": f.high_pass,
    "emboss": f.emboss,
    "dilate": lambda image: f.dilate(image, radius=2, shape="disc"),
    "erode": lambda image: f.erode(image, radius=2),
    "open": lambda image: f.open(image, radius=2, shape="cross"),
    "close": lambda image: f.close(image, radius=2),
    "equalize": f.equalize,
    "equalize each": lambda image: f.equalize(image, by="each"),
    "clahe": f.clahe,
    "auto_levels": f.auto_levels,
    "fix_nan": f.fix_nan,
    "resize bicubic": lambda image: resize(image, width=57),
    "resize lanczos3": lambda image: resize(image, width=17, filter="lanczos3"),
    "resize area": lambda image: resize(image, width=17, filter="area"),
    "rotate bicubic": lambda image: rotate(image, angle=20, filter="bicubic"),
    "rotate bilinear": lambda image: rotate(image, angle=20, filter="bilinear"),
}


def disc(hidden: str, alpha: str = "straight") -> Image:
    """A red disc with a soft rim on nothing; `hidden` is the RGB under alpha 0."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    coverage = (12.5 - np.hypot(x - SIZE / 2, y - SIZE / 2)).clip(0, 1)[..., None]
    garbage = np.random.default_rng(7).normal(0, 50, (SIZE, SIZE, 3))
    under = {"black": np.zeros(3), "white": np.ones(3), "garbage": garbage, "red": np.array(RED)}[hidden]
    color = np.where(coverage > 0, np.array(RED), under)
    if alpha == "associated":
        color = color * coverage
    pixels = np.concatenate([color, coverage], axis=2).astype(np.float32)
    return Image(pixels[None], channels=tuple("RGBA"), alpha=alpha)  # type: ignore[arg-type]


def associated(image: Image) -> np.ndarray[Any, Any]:
    return np.asarray(image.associate().pixels[0].permute(1, 2, 0))


@pytest.mark.parametrize("hidden", ["black", "white", "garbage"])
@pytest.mark.parametrize("name", FILTERS)
def test_no_fringe_over_any_ground(name: str, hidden: str) -> None:
    """What comes out is the colour that an opaque red picture gives, times alpha: nothing else bleeds in."""
    opaque = disc("red")
    opaque = opaque.with_array(np.array(opaque.array) * [1, 1, 1, 0] + [0, 0, 0, 1])
    color = associated(FILTERS[name](opaque))[SIZE // 4, SIZE // 4, :3]

    given = disc(hidden)
    result = FILTERS[name](given)
    pixels = associated(result)
    alpha = pixels[..., 3:]
    assert result.alpha == "straight"
    assert np.abs(pixels[..., :3] - color * alpha).max() < 1e-5
    assert 0.2 < alpha.max() <= 1.25  # a sharp resampling rings
    over = pixels[..., :3] + (1 - alpha) * GROUND
    low, high = np.minimum(color, GROUND), np.maximum(color, GROUND)
    inside = ((alpha >= 0) & (alpha <= 1))[..., 0]
    assert inside.mean() > 0.5
    assert (over >= low - 1e-5)[inside].all()
    assert (over <= high + 1e-5)[inside].all()


@pytest.mark.parametrize("name", FILTERS)
def test_straight_and_associated_images_show_the_same(name: str) -> None:
    straight, premultiplied = FILTERS[name](disc("garbage")), FILTERS[name](disc("black", "associated"))
    assert premultiplied.alpha == "associated"
    assert np.abs(associated(straight) - associated(premultiplied)).max() < 1e-5


@pytest.mark.parametrize("method", ["sobel", "scharr", "laplacian", "canny"])
def test_edges_see_the_outline_and_nothing_hidden(method: Any) -> None:
    masks = [f.edge_detect(disc(hidden), method=method) for hidden in ("black", "white", "garbage")]
    assert isinstance(masks[0], Mask)
    assert masks[0].array.max() > 0.4
    assert all(np.array_equal(mask.array, masks[0].array) for mask in masks)

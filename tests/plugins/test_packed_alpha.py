"""A packed map: an image of colour `data`, whose A is one more channel and weights nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pipeline_color as c
import pipeline_compose as m
import pipeline_depth as d
import pipeline_filter as f
import pipeline_transform as t
import pytest
from pipeline_compose.stack import Layer
from pipeline_io import encode_image, load_image

from pipeline_core import Image

RGB, RGBA = tuple("RGB"), tuple("RGBA")
OPERATIONS: dict[str, Callable[[Image], Image]] = {
    "blur": lambda image: f.blur(image, sigma=2),
    "median": lambda image: f.median(image, radius=2),
    "dilate": lambda image: f.dilate(image, radius=2),
    "sharpen": f.sharpen,
    "auto_levels": f.auto_levels,
    "resize": lambda image: t.resize(image, width=17),
    "rotate": lambda image: t.rotate(image, angle=30, expand=False),
    "translate": lambda image: t.translate(image, x=2.5, y=1),
    "lens_distort": lambda image: t.lens_distort(image, k1=0.1),
    "levels": lambda image: c.levels(image, gamma=2),
}


def packed(alpha: str = "straight") -> Image:
    pixels = np.random.default_rng(3).random((1, 24, 30, 4), np.float32)
    pixels[:, 8:16, :, 3] = 0
    return Image(pixels, RGBA, color="data", alpha=alpha)  # type: ignore[arg-type]


@pytest.mark.parametrize("alpha", ["straight", "associated"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_no_channel_feels_the_fourth(name: str, alpha: str) -> None:
    image = packed(alpha)
    result = OPERATIONS[name](image)
    alone = OPERATIONS[name](image.with_buffer(image.buffer[..., :3], channels=RGB, alpha="none"))
    assert (result.alpha, result.color) == (alpha, "data")
    assert np.allclose(result.array[..., :3], alone.array, atol=1e-6)


@pytest.mark.parametrize("suffix", ["exr", "tiff", "png"])
def test_files_hold_the_values_as_they_are(suffix: str, tmp_path: Path) -> None:
    image = packed().with_array(np.rint(packed().array * 255).astype(np.uint8))
    path = tmp_path / f"packed.{suffix}"
    path.write_bytes(encode_image(image, format=suffix, depth="float" if suffix == "exr" else "auto").content)
    back = load_image(path=path, color="data")
    assert np.array_equal(back.array, image.array)


def test_what_is_asked_for_by_name_is_done() -> None:
    image = packed()
    multiplied = m.premultiply(image)
    assert (multiplied.alpha, multiplied.color) == ("associated", "data")
    assert np.allclose(multiplied.array[..., :3], image.array[..., :3] * image.array[..., 3:])
    divided = m.unpremultiply(multiplied)
    where = image.array[..., 3] > 0
    assert np.allclose(divided.array[where], image.array[where], atol=1e-6)


def as_color(image: Image) -> Image:
    """The same values in a colour in whose images alpha is coverage."""
    return dataclasses.replace(image, color="lin_rec709_scene")


@pytest.mark.parametrize("alpha", ["straight", "associated"])
@pytest.mark.parametrize("operation", ["merge", "layer_stack", "clipped", "z_merge", "depth_composite"])
def test_merging_is_asked_for_coverage_by_name(operation: str, alpha: str) -> None:
    """What is merged by its alpha in colour is so in `data`."""
    rng = np.random.default_rng(9)
    base, top = (
        Image(rng.random((1, 6, 5, 5), np.float32), (*RGBA, "Z"), color="data", alpha=alpha)  # type: ignore[arg-type]
        for _ in range(2)
    )
    run: Callable[[Image, Image], Image] = {
        "merge": m.merge,
        "layer_stack": lambda base, top: m.layer_stack(base, [top]),
        "clipped": lambda base, top: m.layer_stack(
            base, [top, base], layers=[Layer(), Layer(clipping=True, opacity=0.5)]
        ),
        "z_merge": lambda base, top: d.z_merge([base, top]),
        "depth_composite": d.depth_composite,
    }[operation]
    found, wanted = run(base, top), run(as_color(base), as_color(top))
    assert (found.color, found.alpha, found.channels) == ("data", alpha, wanted.channels)
    assert np.allclose(found.array, wanted.array, atol=1e-6)

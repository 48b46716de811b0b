"""Blend modes against Photoshop's own renders, libvips' and GIMP's pictures."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from pipeline_compose import merge
from pipeline_compose.operators import RULES, Operator

from pipeline_core import Image

CORPORA = Path(__file__).parents[2].parent / "shared" / "corpora"
PHOTOSHOP, SHARP, GIMP = (CORPORA / name for name in ("photoshop-blend", "sharp-composite", "gimp-legacy-blend"))
Levels = np.ndarray[Any, np.dtype[np.float32]]

needs_photoshop = pytest.mark.skipif(not PHOTOSHOP.exists(), reason="the photoshop-blend corpus is not here")
needs_sharp = pytest.mark.skipif(not SHARP.exists(), reason="the sharp-composite corpus is not here")
needs_gimp = pytest.mark.skipif(not GIMP.exists(), reason="the gimp-legacy-blend corpus is not here")


def read(path: Path, mode: str = "RGBA") -> Image:
    pixels = np.asarray(Picture.open(path).convert(mode))[None]
    return Image(pixels, channels=tuple(mode), alpha="straight" if mode == "RGBA" else "none")


def modes(folder: str, file: str) -> list[str]:
    return sorted(path.name.removesuffix(file) for path in (PHOTOSHOP / folder).glob(f"*{file}"))


@needs_photoshop
@pytest.mark.parametrize("mode", modes("three-layers", ".layer0.png"))
def test_three_half_transparent_layers_are_photoshops(mode: str) -> None:
    folder = PHOTOSHOP / "three-layers"
    expected = read(folder / f"{mode}.photoshop.png")
    stack = expected.with_array(np.zeros_like(expected.array))
    for i in range(3):
        stack = merge(stack, read(folder / f"{mode}.layer{i}.png"), operation=mode, opacity=128 / 255)
    error = np.abs(stack.associate().array - expected.associate().array) * 255
    assert error[..., :3].max() <= 2.5
    assert error[..., :3].mean() <= 0.35
    assert error[..., 3].max() <= 1


@needs_photoshop
def test_tiles_are_photoshops() -> None:
    """A value passes inside the formula's range over one level more or less of both inputs, widened by 1.5 levels."""
    shares = {}
    for mode in modes("tiles", ".backdrop.png"):
        if mode == "dissolve":
            continue  # its grains are Photoshop's own
        backdrop, source, expected = (
            read(PHOTOSHOP / "tiles" / f"{mode}.{part}.png") for part in ("backdrop", "source", "photoshop")
        )
        low, high = _range_of_formula(mode, backdrop, source)
        margin = np.float32(1.5 / 255)
        inside = (low - margin <= expected.array) & (expected.array <= high + margin)
        shares[mode] = inside.all(axis=-1).mean()
    assert len(shares) >= 20
    assert np.mean([*shares.values()]) >= 0.995, shares
    assert min(shares.values()) >= 0.97, shares


def _range_of_formula(mode: str, backdrop: Image, source: Image) -> tuple[Levels, Levels]:
    low, high = np.float32(1), np.float32(0)
    for step in _STEPS if RULES[mode].whole_colors else (-1, 0, 1):
        found = merge(_nudged(backdrop, [step]), _nudged(source, _STEPS), operation=mode).array.clip(0, 1)
        low, high = np.minimum(low, found.min(axis=0)), np.maximum(high, found.max(axis=0))
    return low, high


_STEPS = tuple(itertools.product((-1, 0, 1), repeat=3))
"""One level down, as it is, one level up, for each channel."""


def _nudged(image: Image, steps: Sequence[Any]) -> Image:
    """A batch of the image with its levels moved by each of the steps."""
    color, alpha = image.array[0, ..., :3], image.array[0, ..., 3:]
    moved = [(color + np.array(step, np.float32) / 255).clip(0, 1) for step in steps]
    return image.with_array(np.stack([np.concatenate([one, alpha], axis=-1) for one in moved]))


@needs_photoshop
def test_dissolve_shows_either_and_as_often_as_its_opacity() -> None:
    backdrop, source = (read(PHOTOSHOP / "tiles" / f"dissolve.{part}.png", "RGB") for part in ("backdrop", "source"))
    found = merge(backdrop, source, operation="dissolve", opacity=0.3).array
    is_source, is_backdrop = ((found == image.array).all(axis=-1) for image in (source, backdrop))
    assert (is_source | is_backdrop).all()
    differ = (source.array != backdrop.array).any(axis=-1)
    assert is_source[differ].mean() == pytest.approx(0.3, abs=0.03)


@needs_sharp
@pytest.mark.parametrize("flag", ["true", "false"])
def test_color_burn_is_libvips(flag: str) -> None:
    """libvips puts associated values into the formulas where the W3C, the PDF and Photoshop put straight ones.

    Its picture is that of a top whose straight colours are its associated ones: of those in the file where it was told
    that they are premultiplied already, else of those multiplied by alpha.
    """
    path = SHARP / f"expected.{flag}.composite.premultiplied.png"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    below, above, expected = (
        read(file, mode)
        for file, mode in (
            (SHARP / "input.below.composite.premultiplied.png", "RGB"),
            (SHARP / "input.above.composite.premultiplied.png", "RGBA"),
            (path, "RGB"),
        )
    )
    associated = above.array if flag == "true" else above.associate().array
    found = merge(below, above.with_array(associated), operation="color-burn")
    assert np.abs(found.array - expected.array).max() * 255 <= 1


@needs_sharp
@pytest.mark.parametrize("operation", ["over", "dest-over", "multiple"])
def test_placed_rectangles_are_libvips(operation: str) -> None:
    def solid(red: int, green: int, blue: int, width: int, height: int) -> Image:
        pixels = np.full((1, height, width, 4), [red, green, blue, 128], np.uint8)
        return Image(pixels, channels=tuple("RGBA"), alpha="straight")

    base, blue, green = solid(255, 0, 0, 80, 60), solid(0, 0, 255, 60, 40), solid(0, 255, 0, 40, 40)
    if operation == "multiple":
        found = merge(base, blue, position="top-right")
        found = merge(found, green, position="bottom-left")
        expected = read(SHARP / "composite-multiple.png")
    else:
        found = merge(base, blue, operation="under" if operation == "dest-over" else "over", position="center")
        expected = read(SHARP / f"composite.blend.{operation}.png")
    assert np.abs(found.array - expected.array).max() * 255 <= 1.5


@needs_gimp
@pytest.mark.parametrize(
    ("name", "operation", "opacity"),
    [
        ("addition", "linear-dodge", 0.5),
        ("difference", "difference", 0.5),
        ("dodge", "color-dodge", 0.5),
        ("grain_extract", "grain-extract", 0.5),
        ("grain_merge", "grain-merge", 0.5),
        ("lighten_only", "lighten", 0.5),
        ("normal_100p", "over", 1.0),
        ("overlay", "overlay", 0.5),
        ("soft_light", "soft-light", 0.5),
    ],
)
def test_opaque_pixels_are_gimps(name: str, operation: Operator, opacity: float) -> None:
    """Where the backdrop is opaque: elsewhere the legacy modes keep its alpha, ours are the union as in the W3C's."""
    path = GIMP / f"{name}.png"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    base, top, expected = (read(GIMP / file) for file in ("orig.png", "layer.png", path.name))
    opaque = base.array[..., 3] == 1
    error = np.abs(merge(base, top, operation=operation, opacity=opacity).array - expected.array)[opaque] * 255
    assert opaque.mean() > 0.5
    assert (error <= 10).mean() >= 0.999

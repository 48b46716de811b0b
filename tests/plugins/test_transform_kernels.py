"""One meaning, two kernels: warps by OpenCV on tiles, and in torch, and both against interpolation in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pipeline_transform import arrays, flip, flop, resize, rotate90, tensors
from pipeline_transform.matrices import _through
from pipeline_transform.resampling import KERNELS, Span, resampled
from pipeline_transform.warping import Warp

from pipeline_core import Image

EXACT = 3e-4
"""Of noise, whose neighbours differ by up to 1: what a place is off by in float32."""

MATRICES = {
    "turn": [(0.9, 0.43, -20.0), (-0.43, 0.9, 15.5), (0.0, 0.0, 1.0)],
    "perspective": [(1.1, 0.2, -3.0), (0.1, 0.9, 2.0), (0.004, 0.002, 0.4)],
    "shrink": [(9.0, 1.0, -3.0), (0.1, 7.0, 2.0), (0.0, 0.0, 1.0)],
    "enlarge": [(0.1, 0.02, 7.0), (0.01, 0.12, 5.0), (0.0, 0.0, 1.0)],
    "outside": [(1.0, 0.0, 500.0), (0.0, 1.0, 900.0), (0.0, 0.0, 1.0)],
}


def noise(width: int, height: int, channels: int, **fields: Any) -> Image:
    values = np.random.default_rng(0).random((2, height, width, channels), np.float32)
    return Image(values, channels=tuple("abcdefg"[:channels]), **fields)


def warp(name: str, antialias: bool = False, width: int = 64, height: int = 42) -> Warp:
    return Warp(width, height, _through(np.array(MATRICES[name])), antialias)


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("kind", ["bilinear", "bicubic", "mitchell", "lanczos3"])
@pytest.mark.parametrize(
    ("channels", "wrap"), [(1, (False, False)), (2, (True, False)), (4, (True, True)), (7, (False, False))]
)
def test_both_kernels_give_the_same(name: str, kind: str, channels: int, wrap: tuple[bool, bool]) -> None:
    image, behind = noise(61, 47, channels, wrap=wrap), np.linspace(0.1, 0.9, channels, dtype=np.float32)
    for antialias in (False, True):
        ours = arrays.sampled(image, warp(name, antialias), kind, behind)
        theirs = tensors.sampled(image, warp(name, antialias), KERNELS[kind], behind)
        assert ours.array == pytest.approx(theirs.array, abs=EXACT)


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_both_pick_the_same(name: str, dtype: str) -> None:
    image = noise(61, 47, 5, wrap=(True, False))
    image = image.with_buffer((image.array * 200).astype(dtype))
    behind = np.linspace(0.1, 0.9, 5, dtype=np.float32)
    ours, theirs = arrays.picked(image, warp(name), behind), tensors.picked(image, warp(name), behind)
    assert ours.dtype == dtype
    assert np.array_equal(ours.buffer, np.asarray(theirs.buffer))


def test_places_are_not_rounded_to_a_grid() -> None:
    """At 4K, against bilinear interpolation in float64."""
    image = Image(
        np.random.default_rng(0).random((1, 40, 3840, 4), np.float32), channels=tuple("RGBA"), alpha="associated"
    )
    x, y = 3700.0 + np.arange(100) * 1.00137, 11.0 + np.arange(20) * 0.777
    found = arrays.sampled(
        image,
        Warp(100, 20, lambda across, down: (across * 1.00137 + 3699.999315, down * 0.777 + 11.1115)),
        "bilinear",
        np.zeros(4, np.float32),
    ).array[0]
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    t, u = (x - column)[None, :, None], (y - row)[:, None, None]
    pixels = image.array[0].astype(np.float64)
    above, below = (pixels[r][:, column] * (1 - t) + pixels[r][:, column + 1] * t for r in (row, row + 1))
    assert found == pytest.approx(above * (1 - u) + below * u, abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "size"), [("area", (23, 17)), ("area", (32, 24)), ("bilinear", (91, 77)), ("bilinear", (64, 48))]
)
@pytest.mark.parametrize("channels", [1, 4, 7])
def test_resizing_by_opencv_is_resizing_by_weights(kind: str, size: tuple[int, int], channels: int) -> None:
    image = noise(64, 48, channels)
    if image.size == size:
        size = (65, 48)
    spans = [(1, Span(0.0, 48, size[1])), (2, Span(0.0, 64, size[0]))]
    pixels = image.pixels.permute(0, 2, 3, 1)
    for axis, span in spans:
        pixels = resampled(pixels, axis, span, kind, antialias=True, wrap=False)
    assert resize(image, width=size[0], height=size[1], filter=kind).array == pytest.approx(pixels.numpy(), abs=1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_turns_move_whole_pixels_of_any_kind(dtype: str, channels: int) -> None:
    image = noise(7, 5, channels)
    stored = (image.array * 200).astype(dtype)
    image = image.with_buffer(stored)
    assert np.array_equal(flop(image).buffer, stored[:, :, ::-1])
    assert np.array_equal(flip(image).buffer, stored[:, ::-1])
    for turns in (1, 2, 3):
        assert np.array_equal(rotate90(image, turns=turns).buffer, np.rot90(stored, -turns, (1, 2)))

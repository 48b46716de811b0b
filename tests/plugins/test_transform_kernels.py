"""One meaning in C, numpy and torch: sums of pixels to another size and at any place, and against float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pipeline_transform import arrays, flip, flop, resize, rotate, rotate90, tensors
from pipeline_transform.resampling import KERNELS, Span, resampled
from pipeline_transform.warping import Warp, through

from pipeline_core import Image

Array = np.ndarray[Any, Any]
EXACT = 4e-6
"""Of noise, whose neighbours differ by up to 1: what weights are off by."""

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
    matrix = np.array(MATRICES[name])
    return Warp(width, height, through(matrix), antialias, matrix=matrix)


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("kind", ["bilinear", "bicubic", "mitchell", "lanczos3"])
@pytest.mark.parametrize(
    ("channels", "wrap"), [(1, (False, False)), (2, (True, False)), (4, (True, True)), (7, (False, False))]
)
def test_both_kernels_give_the_same(
    name: str, kind: str, channels: int, wrap: tuple[bool, bool], compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, behind = noise(61, 47, channels, wrap=wrap), np.linspace(0.1, 0.9, channels, dtype=np.float32)
    for antialias in (False, True):
        way = warp(name, antialias)
        theirs = tensors.sampled(image, way, KERNELS[kind], behind)
        ours = arrays.sampled(image, way, kind, behind)
        np.testing.assert_allclose(ours.array, theirs.array, rtol=0, atol=EXACT)
        told = arrays.sampled(image, way._replace(matrix=None), kind, behind)
        np.testing.assert_allclose(told.array, ours.array, rtol=0, atol=EXACT)
        with monkeypatch.context() as patched:  # too little for any part
            patched.setattr("pipeline_transform.compiled.ROOM", 16)
            whole = arrays.sampled(image, way, kind, behind)
        np.testing.assert_allclose(whole.array, ours.array, rtol=0, atol=EXACT)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("channels", ["RGBA", "YA", "ZGRBA", "YZWA"])
def test_both_weight_colours_by_alpha(
    dtype: str, channels: str, compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(1).random((2, 33, 21, len(channels)))
    values[:, :9, :7, channels.index("A")] = 0
    scale = float(np.iinfo(dtype).max) if dtype.startswith("u") else 1.0
    straight = Image((values * scale).astype(dtype), channels=tuple(channels), alpha="straight")
    for image in (straight, straight.associate(), straight.with_buffer(straight.buffer[:, ::-1, ::-1])):
        for params in ({"angle": 17}, {"angle": 40, "fill": (1.0, 0.5, 0.0, 0.5), "expand": True}):
            found = rotate(image, filter="bilinear", **params)  # type: ignore[arg-type]  # a mix
            with monkeypatch.context() as patched:
                patched.setattr("pipeline_transform.warping.has_kernels", lambda: False)
                expected = rotate(image, filter="bilinear", **params)  # type: ignore[arg-type]  # a mix
            np.testing.assert_allclose(found.associate().array, expected.associate().array, rtol=0, atol=EXACT)
            assert found.alpha == image.alpha


@pytest.mark.parametrize("kind", ["bilinear", "lanczos3"])
def test_a_pixel_of_a_turned_picture_has_the_same_bits_in_any_strip(kind: str, compiled: None) -> None:
    image = noise(190, 200, 4)
    rows = rotate.__operation__.rows(image, angle=10, filter=kind)  # type: ignore[attr-defined]  # left there by @operation
    whole = rotate(image, angle=10, filter=kind).array  # type: ignore[arg-type]  # one of the filters
    for start, stop in ((0, 7), (7, 60), (60, 61), (61, 200)):
        low, high = rows.needs(start, stop)
        part = rows.make(start, stop, image.with_buffer(image.buffer[:, low:high]))
        assert np.array_equal(part.array, whole[:, start:stop])


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


SIZES = {"smaller": (31, 20), "larger": (150, 130), "flat": (300, 2), "one side": (64, 77), "tiny": (7, 1)}


@pytest.fixture
def both_ways(compiled: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Array]]:
    """What `resize` makes by the kernel, in many tiles, and by numpy."""
    monkeypatch.setattr("pipeline_transform.compiled.SPAN", 90)

    def made(image: Image, **params: Any) -> list[Array]:
        ours = resize(image, **params).array
        with monkeypatch.context() as patched:
            patched.setattr("pipeline_transform.scaling.has_kernels", lambda: False)
            return [ours, resize(image, **params).array]

    return made


@pytest.mark.parametrize("kind", ["area", "bilinear", "bicubic", "mitchell", "lanczos3"])
@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
@pytest.mark.parametrize(
    ("channels", "wrap"),
    [(1, (False, False)), (2, (True, False)), (3, (False, True)), (4, (True, True)), (7, (False, False))],
)
def test_resizing_is_the_same_sums_in_c_in_numpy_and_in_torch(
    kind: str, size: tuple[int, int], channels: int, wrap: tuple[bool, bool], both_ways: Callable[..., list[Array]]
) -> None:
    image = noise(64, 48, channels, wrap=wrap)
    pixels = image.pixels.permute(0, 2, 3, 1)
    for axis, length, count in ((1, 48, size[1]), (2, 64, size[0])):
        span = Span(0.0, length, count)
        pixels = resampled(pixels, axis, span, kind, antialias=True, wrap=wrap[2 - axis])
    for found in both_ways(image, width=size[0], height=size[1], filter=kind):
        np.testing.assert_allclose(found, pixels.numpy(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("channels", ["RGBA", "YA", "GRAZB", "YZWA"])
def test_resizing_weights_colours_by_alpha_in_c_as_in_numpy(
    dtype: str, channels: str, both_ways: Callable[..., list[Array]]
) -> None:
    values = np.random.default_rng(1).random((2, 33, 21, len(channels)))
    values[:, :9, :7, channels.index("A")] = 0
    scale = float(np.iinfo(dtype).max) if dtype.startswith("u") else 1.0
    straight = Image((values * scale).astype(dtype), channels=tuple(channels), alpha="straight")
    backwards = straight.with_buffer(straight.buffer[:, ::-1, ::-1])
    for image in (straight, straight.associate(), backwards, straight.with_buffer(straight.buffer[:1])):
        for size in ((11, 16), (40, 51)):
            found, expected = both_ways(image, width=size[0], height=size[1], filter="bilinear")
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)


def test_a_pixel_of_a_resized_picture_has_the_same_bits_in_any_strip() -> None:
    image = noise(90, 300, 4, wrap=(True, False))
    rows = resize.__operation__.rows(image, scale=0.7, filter="lanczos3")  # type: ignore[attr-defined]  # left there by @operation
    whole = resize(image, scale=0.7, filter="lanczos3").array
    for start, stop in ((0, 7), (7, 60), (60, 61), (61, 210)):
        low, high = rows.needs(start, stop)
        part = rows.make(start, stop, image.with_buffer(image.buffer[:, low:high]))
        assert np.array_equal(part.array, whole[:, start:stop])


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

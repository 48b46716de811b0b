"""Filters against slow references (SciPy, NumPy written out), and what a user would miss."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pipeline_filter as f
import pytest
import torch
from pipeline_filter.arrays import correlate
from pipeline_filter.weights import box, box_radius, disc, gaussian, line
from scipy import ndimage

from pipeline_core import Image, Mask, NodeError, OperationError, operation, run
from pipeline_core.image import Raster

Floats = np.ndarray[Any, Any]
WRAPS = [(False, False), (True, True)]


def values(*shape: int, seed: int = 0) -> Floats:
    """From below 0 to light above 1."""
    return np.random.default_rng(seed).normal(0.5, 0.6, shape).astype(np.float32)


def gray(array: Floats, *, wrap: tuple[bool, bool] = (False, False)) -> Image:
    return Image(array[None, :, :, None], channels=("Y",), wrap=wrap)


def plane(image: Image | Mask) -> Floats:
    return np.asarray(image.array[0, :, :, 0])


def close_to(found: Floats, wanted: Floats, tolerance: float = 2e-6) -> bool:
    return found.shape == wanted.shape and bool(np.abs(found - wanted).max() <= tolerance)


def border(wrap: tuple[bool, bool]) -> Literal["wrap", "nearest"]:
    return "wrap" if wrap[0] else "nearest"


# --- weighted sums ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("sigma", [0.0, 0.4, 1.0, 3.7])
def test_convention_gaussian_is_scipys(sigma: float, wrap: tuple[bool, bool]) -> None:
    array = values(33, 21)
    wanted = ndimage.gaussian_filter(array.astype(np.float64), (sigma / 2, sigma), mode=border(wrap), truncate=4)
    assert close_to(plane(f.blur(gray(array, wrap=wrap), sigma=[sigma, sigma / 2])), wanted)


def test_convention_a_blur_by_radius_ends_there_with_a_third_of_it_for_sigma() -> None:
    point = np.zeros((41, 41), np.float32)
    point[20, 20] = 1
    spread = plane(f.blur(gray(point), radius=6))
    assert np.argwhere(spread > 0).min(0).tolist() == [14, 14]
    assert spread[20, 22] / spread[20, 20] == pytest.approx(np.exp(-0.5), rel=1e-5)
    assert spread.sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("wrap", WRAPS)
def test_box_is_the_mean_of_what_it_covers(wrap: tuple[bool, bool]) -> None:
    array = values(20, 24)
    wanted = ndimage.uniform_filter(array.astype(np.float64), (5, 9), mode=border(wrap))
    assert close_to(plane(f.blur(gray(array, wrap=wrap), radius=[4, 2], filter="box")), wanted)
    assert np.allclose(box(1.25), np.array([0.25, 1, 1, 1, 0.25]) / 3.5)


def test_a_box_by_sigma_has_that_standard_deviation() -> None:
    assert box_radius(np.sqrt((7**2 - 1) / 12)) == pytest.approx(3)


def test_a_blur_takes_one_width() -> None:
    with pytest.raises(OperationError, match="sigma or radius, not both"):
        f.blur(gray(values(4, 4)), sigma=1, radius=2)


@pytest.mark.parametrize(
    "weights", [disc(1.5), disc(7.3), disc(13), line(30, 25), values(15, 17), values(3, 5), values(1, 41)]
)
@pytest.mark.parametrize("wrap", WRAPS)
def test_sums_are_scipys_however_large_the_kernel(weights: Floats, wrap: tuple[bool, bool]) -> None:
    """Small kernels, sparse ones summed in blocks, and large ones by way of the DFT; larger than the picture too."""
    array = values(19, 26)
    wanted = ndimage.correlate(array.astype(np.float64), weights.astype(np.float64), mode=border(wrap))
    scale = np.abs(weights).sum()
    assert close_to(
        correlate(array[None, :, :, None], weights.astype(np.float64), wrap)[0, :, :, 0], wanted, 4e-7 * scale
    )


def test_a_nan_spreads_no_farther_than_the_kernel() -> None:
    array = values(90, 90)
    array[45, 45] = np.nan
    for image, reach in ((f.defocus(gray(array), radius=12), 12), (f.blur(gray(array), sigma=2), 8)):
        bad = np.argwhere(np.isnan(plane(image)))
        assert 0 < np.abs(bad - 45).max() <= reach


def test_light_is_kept_and_black_stays_black_beside_it() -> None:
    sun = np.zeros((64, 64), np.float32)
    sun[32, 32] = 50_000
    for image in (
        f.defocus(gray(sun), radius=9),
        f.defocus(gray(sun), radius=14),
        f.directional_blur(gray(sun), length=21),
    ):
        found = plane(image)
        assert found.sum(dtype=np.float64) == pytest.approx(50_000, rel=1e-6)
        assert np.abs(found[:16]).max() < 1e-6
    assert plane(f.blur(gray(-sun), sigma=2)).min() < -1_000


def test_convention_a_line_turns_counterclockwise_from_the_right() -> None:
    steep = line(20, 60)
    y, x = np.argwhere(steep > 0).T - len(steep) // 2
    assert np.polyfit(x, -y, 1)[0] == pytest.approx(np.tan(np.radians(60)), rel=0.1)
    flat = line(4, 0)
    assert flat[flat > 0].tolist() == pytest.approx([0.2] * 5)
    assert np.argwhere(flat > 0)[:, 0].tolist() == [len(flat) // 2] * 5
    assert np.allclose(line(7, 90), line(7, 0).T)


def test_convention_a_kernel_is_not_turned_round() -> None:
    array = values(9, 9)
    assert np.array_equal(plane(f.convolve(gray(array), kernel=[[0, 0, 1]]))[:, :-1], array[:, 1:])


def test_a_kernel_is_normalised_unless_it_adds_up_to_nothing() -> None:
    flat = np.full((6, 6), 0.25, np.float32)
    assert close_to(plane(f.convolve(gray(flat), kernel=[[1, 2, 1]])), flat)
    assert close_to(plane(f.convolve(gray(flat), kernel=[[1, 2, 1]], normalize=False)), 4 * flat)
    assert close_to(plane(f.convolve(gray(flat), kernel=[[-1, 0, 1]])), 0 * flat)


@pytest.mark.parametrize(("kernel", "words"), [([[1, 2]], "both must be odd"), ([[1, 2, 3], [1]], "make them equal")])
def test_a_kernel_that_has_no_middle_is_refused(kernel: list[list[float]], words: str) -> None:
    with pytest.raises(OperationError, match=words):
        f.convolve(gray(values(4, 4)), kernel=kernel)


def test_many_channels_are_filtered_as_one_is() -> None:
    array = values(1, 9, 8, 70)
    image = Image(array, channels=tuple(f"light{i}.Z" for i in range(70)))
    blurred = f.blur(image, sigma=1).array
    assert close_to(blurred[0, :, :, 69], plane(f.blur(gray(array[0, :, :, 69]), sigma=1)))


# --- picks -----------------------------------------------------------------------------------------------------------


def footprint(shape: str, radius: int) -> Floats:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray({"square": x == x, "disc": x * x + y * y <= radius**2, "cross": (x == 0) | (y == 0)}[shape])


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("radius", [0, 1, 3, 9])
@pytest.mark.parametrize("shape", ["square", "disc", "cross"])
def test_morphology_is_scipys(shape: Any, radius: int, wrap: tuple[bool, bool]) -> None:
    array = values(23, 30)
    image, where, mode = gray(array, wrap=wrap), footprint(shape, radius), border(wrap)
    grown = ndimage.grey_dilation(array, footprint=where, mode=mode)
    shrunk = ndimage.grey_erosion(array, footprint=where, mode=mode)
    assert np.array_equal(plane(f.dilate(image, radius=radius, shape=shape)), grown)
    assert np.array_equal(plane(f.erode(image, radius=radius, shape=shape)), shrunk)
    opened = ndimage.grey_dilation(shrunk, footprint=where, mode=mode)
    closed = ndimage.grey_erosion(grown, footprint=where, mode=mode)
    assert np.array_equal(plane(f.open(image, radius=radius, shape=shape)), opened)
    assert np.array_equal(plane(f.close(image, radius=radius, shape=shape)), closed)


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("radius", [0, 1, 2, 4])
@pytest.mark.parametrize("channels", ["Y", "RG", "RGB", "RGBZX"])
def test_median_is_scipys(channels: str, radius: int, wrap: tuple[bool, bool]) -> None:
    array = values(1, 17, 15, len(channels))
    found = f.median(Image(array, channels=tuple(channels), wrap=wrap), radius=radius)
    wanted = ndimage.median_filter(array, (1, 2 * radius + 1, 2 * radius + 1, 1), mode=border(wrap))
    assert np.array_equal(found.array, wanted)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("pick", [f.dilate, f.erode, f.open, f.close, lambda image: f.median(image, radius=3)])
def test_picks_keep_the_dtype(pick: Callable[[Image], Image], dtype: str) -> None:
    numbers = np.random.default_rng(0).integers(0, 255, (1, 12, 13, 3))
    found, wanted = pick(Image(numbers.astype(dtype))), pick(Image(numbers.astype(np.float32)))
    assert found.dtype == dtype
    assert np.array_equal(found.buffer.astype(np.float32), wanted.buffer)


def test_masks_go_through() -> None:
    mask = Mask(np.zeros((1, 9, 9, 1), np.uint8))
    mask.buffer[0, 4, 4] = 255
    grown = f.dilate(mask, radius=2, shape="disc")
    assert isinstance(grown, Mask)
    assert grown.array.sum() == 13
    assert isinstance(f.blur(mask), Mask)
    assert f.blur(mask, sigma=1).array.sum() == pytest.approx(1, abs=1e-5)


# --- means of what is alike ------------------------------------------------------------------------------------------


def slow_bilateral(array: Floats, color: float, space: float) -> Floats:
    """Written out from the formula; `(H, W, C)`."""
    reach, result = max(1, round(1.5 * space)), np.zeros(array.shape)
    around = np.pad(array.astype(np.float64), ((reach, reach), (reach, reach), (0, 0)), "edge")
    total = np.zeros((*array.shape[:2], 1))
    for y in range(-reach, reach + 1):
        for x in range(-reach, reach + 1):
            if x * x + y * y <= reach * reach:
                there = around[reach + y :, reach + x :][: array.shape[0], : array.shape[1]]
                alike = np.abs(there - array).sum(2, keepdims=True)
                weight = np.exp(-(x * x + y * y) / (2 * space**2) - alike**2 / (2 * color**2))
                result, total = result + weight * there, total + weight
    return result / total


@pytest.mark.parametrize("channels", ["Y", "RGB", "RGBA", "RG"])
@pytest.mark.parametrize("color", [0.02, 0.3])
def test_bilateral_is_the_formula(channels: str, color: float) -> None:
    array = values(1, 22, 19, len(channels))
    image = Image(array, channels=tuple(channels), alpha="associated" if "A" in channels else "none")
    found = f.bilateral(image, sigma_color=color, sigma_space=2)
    assert close_to(found.array[0], slow_bilateral(array[0], color, 2), 4e-6)


def test_bilateral_by_opencv_and_by_ourselves_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.concatenate([values(1, 40, 60, 3).clip(0, 1), np.ones((1, 40, 60, 1), np.float32)], axis=3)
    image = Image(array, channels=tuple("RGBA"), alpha="associated")
    fast = f.bilateral(image)
    monkeypatch.setattr("pipeline_filter.similar._suits_opencv", lambda *_: False)
    assert close_to(fast.array, f.bilateral(image).array, 1e-6)


def test_tiles_of_a_picture_meet_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image(values(1, 50, 70, 3))
    whole = [f.bilateral(image).array, f.denoise(image).array]
    monkeypatch.setattr("pipeline_filter.similar.TILE", (16, 9))
    assert all(close_to(*pair) for pair in zip(whole, [f.bilateral(image).array, f.denoise(image).array], strict=True))


def slow_denoise(array: Floats, strength: float, patch: int, search: int) -> Floats:
    """Written out from the formula; `(H, W, C)`."""
    margin, size = patch + search, 2 * patch + 1
    around = np.pad(array.astype(np.float64), ((margin, margin), (margin, margin), (0, 0)), "edge")
    result = np.zeros(array.shape)
    for y, x in np.ndindex(*array.shape[:2]):
        here, total = around[y + search :, x + search :][:size, :size], 0.0
        for down, across in np.ndindex(2 * search + 1, 2 * search + 1):
            there = around[y + down :, x + across :][:size, :size]
            weight = np.exp(-((here - there) ** 2).mean() / strength**2)
            result[y, x] += weight * there[patch, patch]
            total += weight
        result[y, x] /= total
    return result


@pytest.mark.parametrize("channels", ["Y", "RGBA"])
def test_denoise_is_the_formula(channels: str) -> None:
    array = values(1, 9, 11, len(channels))
    image = Image(array, channels=tuple(channels), alpha="associated" if "A" in channels else "none")
    found = f.denoise(image, strength=0.4, patch=1, search=3)
    assert close_to(found.array[0], slow_denoise(array[0], 0.4, 1, 3), 4e-6)


def test_denoise_takes_noise_and_leaves_the_edge() -> None:
    clean = np.full((40, 40), 0.2, np.float32)
    clean[:, 20:] = 0.8
    noisy = clean + np.random.default_rng(0).normal(0, 0.05, clean.shape).astype(np.float32)
    found = plane(f.denoise(gray(noisy), strength=0.08))
    assert np.std(found - clean) < np.std(noisy - clean) / 2
    assert (found[:, 20] - found[:, 19]).mean() > 0.55


# --- sharpening ------------------------------------------------------------------------------------------------------


def test_unsharp_mask_is_the_formula_and_clips_nothing() -> None:
    array = values(20, 20)
    low = ndimage.gaussian_filter(array.astype(np.float64), 1.5, mode="nearest")
    assert close_to(plane(f.unsharp_mask(gray(array), sigma=1.5, amount=2)), array + 2 * (array - low), 1e-5)
    assert close_to(plane(f.high_pass(gray(array), sigma=1.5, middle=0.25)), array - low + 0.25)
    three = ndimage.correlate(array.astype(np.float64), np.outer([1, 2, 1], [1, 2, 1]) / 16, mode="nearest")
    assert close_to(plane(f.sharpen(gray(array), amount=1)), 2 * array - three)


def test_convention_a_threshold_lessens_the_difference() -> None:
    array = values(20, 20)
    detail = array - plane(f.blur(gray(array), sigma=2))
    wanted = array + np.sign(detail) * (np.abs(detail) - 0.3).clip(0)
    assert close_to(plane(f.unsharp_mask(gray(array), sigma=2, amount=1, threshold=0.3)), wanted)


def test_convention_emboss_is_lit_from_the_upper_left() -> None:
    bump = np.zeros((15, 15), np.float32)
    bump[5:10, 5:10] = 1
    lit = plane(f.emboss(gray(bump)))
    assert lit[5, 5] > 0.7
    assert lit[9, 9] < 0.3
    assert lit[0, 0] == lit[7, 7] == 0.5


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_detail_by_the_kernel_on_planes_and_at_once_is_the_same(
    dtype: str, wrap: tuple[bool, bool], compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(3).random((2, 150, 153, 5))
    values[:, :70, :, 3] = 1
    values[0, 90:100, :9, 3] = 0
    stored = (values * np.iinfo(dtype).max).astype(dtype) if dtype.startswith("u") else values.astype(dtype)
    names = ("R", "G", "B", "A", "Z")
    straight = Image(stored, channels=names, alpha="straight", wrap=wrap)
    pictures = [
        straight,
        straight.associate(),
        straight.with_buffer(stored[:, ::-1, ::-1]),
        Image(stored[..., :4], channels=names[:4], alpha="straight", wrap=wrap),
        Image(stored[..., :4], channels=("Y", "Z", "W", "A"), alpha="straight", wrap=wrap),
        Image(stored[..., :4], channels=names[:4], alpha="straight", color="data", wrap=wrap),
        Image(stored[..., 3:], channels=("A", "Z"), alpha="straight", wrap=wrap),
        Image(stored[..., :3], wrap=wrap),
        Mask(stored[..., :1], wrap=wrap),
    ]
    changes: list[Callable[[Any], Any]] = [
        f.sharpen,
        lambda image: f.unsharp_mask(image, amount=2.0, threshold=0.1),
        lambda image: f.high_pass(image, sigma=1.2),
    ]

    def made() -> list[Floats]:
        return [change(picture).array for picture in pictures for change in changes]

    compiled_ones = made()
    monkeypatch.setattr("pipeline_filter.detail.detail_changed", lambda *_, **__: None)
    planes = made()
    monkeypatch.setattr(sys.modules["pipeline_filter.sharpen"], "NEAR", -1)  # its name is an operation too
    for found, on_planes, wanted in zip(compiled_ones, planes, made(), strict=True):
        np.testing.assert_allclose(found, on_planes, rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(on_planes, wanted, rtol=2e-5, atol=2e-5)


def test_alpha_and_depth_are_not_sharpened() -> None:
    image = Image(np.abs(values(1, 12, 12, 5)), channels=tuple("RGBAZ"), alpha="associated")
    for change in (f.sharpen, f.unsharp_mask, f.high_pass, f.emboss):
        found = change(image)
        assert np.array_equal(found.array[..., 3:], image.array[..., 3:])
        assert not np.array_equal(found.array[..., :3], image.array[..., :3])


# --- edges and distance ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["sobel", "scharr", "laplacian", "canny"])
def test_convention_a_step_of_one_gives_one(method: Any) -> None:
    step = np.zeros((12, 12), np.float32)
    step[:, 6:] = 1
    for array in (step, step.T):
        found = plane(f.edge_detect(gray(np.ascontiguousarray(array)), method=method))
        assert found.max() == pytest.approx(1, abs=1e-6)
        assert found[0, 0] == found[2, 2] == 0
    assert plane(f.edge_detect(gray(9 * step), method="sobel")).max() == pytest.approx(9)


def test_canny_draws_one_thin_line_round_a_disc() -> None:
    y, x = np.mgrid[:60, :60] + 0.5
    found = plane(
        f.edge_detect(gray((20.5 - np.hypot(x - 30, y - 30)).clip(0, 1).astype(np.float32)), method="canny", sigma=1)
    )
    assert set(np.unique(found)) == {0, 1}
    assert np.abs(np.hypot(x - 30, y - 30)[found == 1] - 20).max() < 1.2
    assert ndimage.label(found, np.ones((3, 3)))[1] == 1
    assert 100 < found.sum() < 150


def test_canny_drops_weak_lines_unless_they_join_a_strong_one() -> None:
    array = np.zeros((20, 40), np.float32)
    array[10:, :20] = np.linspace(0.15, 0.6, 20, dtype=np.float32)  # a line that gets stronger
    array[10:, 25:] = 0.15  # and one that is weak all along
    found = plane(f.edge_detect(gray(array), method="canny", low=0.1, high=0.5))
    assert found[9:11, 1:19].max(0).all()
    assert not found[:, 28:].any()


def test_canny_follows_a_line_round_the_seam() -> None:
    array = np.zeros((24, 24), np.float32)
    array[12:] = 0.3
    array[12:, 20:] = 1.0  # strong at the right end only, cut off from the weak line by a gap
    array[:, 14:18] = 0.0
    tiled = plane(f.edge_detect(gray(array, wrap=(True, False)), method="canny", low=0.1, high=0.6))
    alone = plane(f.edge_detect(gray(array), method="canny", low=0.1, high=0.6))
    assert tiled[10:14, 2:10].any()
    assert not alone[10:14, 2:10].any()


def test_edges_of_every_channel_count() -> None:
    array = np.zeros((1, 10, 30, 3), np.float32)
    array[:, :, 10:, 0], array[:, :, 20:, 2] = 1, 0.5
    found = f.edge_detect(Image(array)).array[0, 5, :, 0]
    assert found[[9, 10]].tolist() == [1, 1]
    assert found[[19, 20]].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("wrap", WRAPS)
def test_distance_is_exact(wrap: tuple[bool, bool]) -> None:
    inside = np.random.default_rng(3).random((30, 40)) > 0.97
    mask = Mask(inside[None, :, :, None].astype(np.float32) * 0.5, wrap=wrap)
    tiled = np.tile(inside, (3, 3)) if wrap[0] else inside
    out, deep = ndimage.distance_transform_edt(~tiled), ndimage.distance_transform_edt(tiled)
    if wrap[0]:
        out, deep = out[30:60, 40:80], deep[30:60, 40:80]
    assert close_to(plane(f.distance(mask)), out)
    assert close_to(plane(f.distance(mask, side="inside")), deep)
    assert close_to(plane(f.distance(mask, side="signed")), np.where(inside, 0.5 - deep, out - 0.5))
    limited = f.distance(mask, side="signed", limit=2)
    assert close_to(plane(limited), np.where(inside, 0.5 - deep, out - 0.5).clip(-2, 2))
    assert (limited.channels, limited.color) == (("Y",), "data")


def test_an_empty_mask_has_no_distance_but_a_limit() -> None:
    empty = Mask(np.zeros((1, 5, 5, 1), np.float32))
    with pytest.raises(OperationError, match="give a 'limit'"):
        f.distance(empty)
    assert (f.distance(empty, limit=3).array == 3).all()
    assert (f.distance(empty, side="signed", limit=3).array == 3).all()


# --- tone ------------------------------------------------------------------------------------------------------------


def test_equalize_makes_all_values_equally_frequent() -> None:
    array = np.random.default_rng(0).gamma(0.5, 3, (60, 60)).astype(np.float32)  # most dark, a few far above 1
    found = plane(f.equalize(gray(array)))
    counts, _ = np.histogram(found, 10, (0, 1))
    assert np.abs(counts / found.size - 0.1).max() < 0.01
    assert np.array_equal(np.argsort(found, axis=None, kind="stable"), np.argsort(array, axis=None, kind="stable"))


def test_convention_half_of_equal_values_count_as_darker() -> None:
    array = np.zeros((8, 8), np.float32)
    array[4:] = 1
    assert np.allclose(np.unique(plane(f.equalize(gray(array)))), [0.25, 0.75], atol=1e-3)


@pytest.mark.parametrize("name", ["normal", "negative", "far light", "8 bits", "one heavy value", "far from 0"])
def test_equalize_is_the_share_of_darker_pixels(name: str) -> None:
    random = np.random.default_rng(1)
    array = {
        "normal": random.normal(0.5, 0.1, (90, 70)).clip(0, 1),
        "negative": random.normal(0, 0.1, (90, 70)),
        "far light": np.append(random.random(90 * 70 - 1), 6e4).reshape(90, 70),
        "8 bits": random.integers(0, 256, (90, 70)) / 255,
        "one heavy value": np.where(random.random((90, 70)) < 0.5, 0.7, random.integers(0, 256, (90, 70)) / 255),
        "far from 0": random.integers(0, 200, (90, 70)) / 1000 + 7,
    }[name].astype(np.float32)
    below = (array.ravel() < array.reshape(-1, 1)).mean(1)
    equal = (array.ravel() == array.reshape(-1, 1)).mean(1)
    assert np.abs(plane(f.equalize(gray(array))).ravel() - (below + equal / 2)).max() < 1.5e-3


def test_equalize_does_not_tear_an_even_area_by_its_rounding_errors() -> None:
    array = np.full((64, 64), 0.7, np.float32)
    array[::2] = np.nextafter(np.float32(0.7), np.float32(1))
    array[0], array[1] = 0, 1
    assert np.ptp(plane(f.equalize(gray(array)))[2:]) < 1e-2


def test_equalize_passes_no_numbers_and_limits_what_does_not_count() -> None:
    array = np.random.default_rng(0).random((20, 20)).astype(np.float32)
    array[0, :3] = np.nan, np.inf, -np.inf
    found = plane(f.equalize(gray(array)))
    assert np.isnan(found[0, 0])
    assert found[0, 1] == found[np.isfinite(array)].max()
    assert found[0, 2] == found[np.isfinite(array)].min()


@pytest.mark.parametrize("clip", [0.0, 0.003, 0.2])
def test_auto_levels_finds_exact_quantiles(clip: float) -> None:
    array = np.random.default_rng(0).gamma(0.5, 3, (1, 40, 50, 3)).astype(np.float32)
    low, high = np.quantile(array, [clip, 1 - clip])
    found = f.auto_levels(Image(array), clip=clip).array
    assert np.allclose(found, (array - low) / (high - low), atol=1e-5)


def test_tone_takes_any_number_of_channels() -> None:
    layers = tuple(f"{layer}.{letter}" for layer in "abcdefghijkl" for letter in "RGB")
    array = np.random.default_rng(0).random((1, 9, 8, 36)).astype(np.float32)
    found = f.equalize(Image(array, channels=layers), by="each").array
    assert np.array_equal(found[..., 7], f.equalize(gray(array[0, ..., 7])).array[..., 0])


def test_equalizing_luma_keeps_the_differences_of_the_colours() -> None:
    image = Image(np.abs(values(1, 20, 20, 3)) * 0.2)
    found = f.equalize(image).array
    assert close_to(found[..., 0] - found[..., 2], image.array[..., 0] - image.array[..., 2])
    swapped = image.with_array(np.ascontiguousarray(image.array[..., ::-1]), channels=("B", "G", "R"))
    assert close_to(f.equalize(swapped).array[..., ::-1], found, 1e-4)  # luma rounds otherwise


def test_compiled_emboss_gives_what_formulas_give(as_formulas: Callable[..., None]) -> None:
    as_formulas(lambda image: f.emboss(image, angle=20, amount=3), ("Y", "RGB", "RGBA", "ABRGZ"))


@pytest.mark.parametrize("by", ["luma", "each"])
def test_compiled_equalize_gives_what_formulas_give(by: Any, as_formulas: Callable[..., None]) -> None:
    as_formulas(lambda image: f.equalize(image, by=by), within=5e-6)


@pytest.mark.parametrize("clip", [0, 0.02, 0.4])
@pytest.mark.parametrize("by", ["together", "each"])
def test_compiled_auto_levels_gives_what_formulas_give(by: Any, clip: float, as_formulas: Callable[..., None]) -> None:
    as_formulas(lambda image: f.auto_levels(image, by=by, clip=clip), within=5e-6)


def test_auto_levels_stretches_and_leaves_hidden_colour_out() -> None:
    array = np.full((1, 10, 10, 4), 0.0, np.float32)
    array[..., :3] = np.linspace(0.25, 0.75, 100, dtype=np.float32).reshape(1, 10, 10, 1)
    array[..., 3] = 1
    array[0, 0, 0] = (50, 50, 50, 0)
    image = Image(array, channels=tuple("RGBA"), alpha="straight")
    found = f.auto_levels(image, clip=0).array[0]
    assert found[9, 9, 0] == pytest.approx(1)
    assert found[0, 1, 0] == pytest.approx(0, abs=1e-6)
    assert found[0, 0].tolist() == [50, 50, 50, 0]
    assert f.auto_levels(image, clip=0.1).array[0, 9, 9, 0] > 1


def test_auto_levels_takes_off_a_cast_channel_by_channel() -> None:
    array = np.random.default_rng(0).random((1, 30, 30, 3)).astype(np.float32) * [0.5, 0.8, 0.2] + [0.1, 0, 0.3]
    image = Image(array.astype(np.float32))
    each, together = f.auto_levels(image, by="each", clip=0).array, f.auto_levels(image, clip=0).array
    assert np.allclose(each.min((0, 1, 2)), 0, atol=1e-6)
    assert np.allclose(each.max((0, 1, 2)), 1, atol=1e-6)
    assert together[..., 2].max() < 0.7


def test_clahe_raises_local_contrast_within_its_limit() -> None:
    y, x = np.mgrid[:64, :64].astype(np.float32)
    array = (0.3 + 0.3 * (x > 32) + 0.02 * np.sin(y)).astype(np.float32)
    found = plane(f.clahe(gray(array), limit=4, tiles=4))
    assert 2 < found[:, 5].std() / array[:, 5].std() < 4.5
    assert close_to(plane(f.clahe(gray(array), limit=1, tiles=4)), array)


@pytest.mark.parametrize("wrap", [(False, False), (True, True)])
def test_clahe_blends_the_curves_of_regions(wrap: tuple[bool, bool]) -> None:
    """The same, said slowly: the contrast limited curve of each region, blended between their middles."""
    tiles, limit, array = 3, 3.0, np.random.default_rng(0).beta(2, 5, (30, 36)).astype(np.float32)

    def curve(region: np.ndarray) -> np.ndarray:
        shares = np.histogram(region, 256, (0, 1))[0] / region.size
        added = np.linspace(0, limit / 256, 200_001)[:, None]
        full = [np.minimum(shares + one, limit / 256).sum() >= 1 for one in added]
        return np.append(0, np.minimum(shares + added[np.argmax(full)], limit / 256).cumsum())

    own = [[curve(array[y * 10 : y * 10 + 10, x * 12 : x * 12 + 12]) for x in range(tiles)] for y in range(tiles)]
    expected = np.zeros_like(array)
    for y, x in np.ndindex(array.shape):
        places = (y + 0.5) / 10 - 0.5, (x + 0.5) / 12 - 0.5
        for down, across in np.ndindex(2, 2):
            at = [int(np.floor(place)) + step for place, step in zip(places, (down, across), strict=True)]
            weight = np.prod([1 - abs(place - one) for place, one in zip(places, at, strict=True)])
            near = [one % tiles if wraps else min(max(one, 0), tiles - 1) for one, wraps in zip(at, wrap, strict=True)]
            expected[y, x] += weight * np.interp(array[y, x], np.linspace(0, 1, 257), own[near[0]][near[1]])
    found = f.clahe(Image(array[None, ..., None], channels=("Y",), wrap=wrap), limit=limit, tiles=tiles)
    assert np.abs(plane(found) - expected).max() < 1e-4


def test_clahe_leaves_light_beyond_one_where_it_is() -> None:
    array = values(32, 32).clip(0, 1)
    array[3, 3], array[5, 5] = 40, -2
    found = plane(f.clahe(gray(array)))
    assert found[3, 3] == pytest.approx(40)
    assert found[5, 5] == pytest.approx(-2)


# --- repair ----------------------------------------------------------------------------------------------------------


def broken(dtype: str = "float32") -> Image:
    array = np.arange(2 * 5 * 6 * 3, dtype=np.float32).reshape(2, 5, 6, 3).astype(dtype)
    array[1, 2, 3, 1], array[1, 0, 0, 2] = np.nan, np.inf
    return Image(array)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_fix_nan_takes_the_mean_of_the_finite_neighbours(dtype: str) -> None:
    image = broken(dtype)
    found = f.fix_nan(image)
    a = image.buffer.astype(np.float64)
    assert found.dtype == dtype
    assert found.buffer[1, 2, 3, 1] == np.nanmean(a[1, 1:4, 2:5, 1]).astype(dtype)
    assert found.buffer[1, 0, 0, 2] == np.mean([a[1, 0, 1, 2], a[1, 1, 0, 2], a[1, 1, 1, 2]]).astype(dtype)
    same = np.isfinite(image.buffer)
    assert np.array_equal(found.buffer[same], image.buffer[same])
    assert f.fix_nan(image, mode="black").buffer[1, 2, 3, 1] == 0


def test_fix_nan_looks_round_the_seam_of_a_tile() -> None:
    array = np.ones((1, 4, 4, 1), np.float32)
    array[0, 0, 0] = np.nan
    array[0, -1, -1] = 10
    assert f.fix_nan(Image(array, channels=("Y",), wrap=(True, True))).array[0, 0, 0, 0] == 17 / 8
    assert f.fix_nan(Image(array, channels=("Y",))).array[0, 0, 0, 0] == 1


def test_fix_nan_can_refuse_and_says_how_many_and_where() -> None:
    with pytest.raises(OperationError, match=r"2 values are not finite, the first at x=0, y=0 of image 1: inf in B"):
        f.fix_nan(broken(), mode="refuse")


def test_a_refusal_in_a_run_names_the_node_and_the_count(tmp_path: Path) -> None:
    @operation
    def plate() -> Image:
        """A picture that is broken."""
        return broken()

    pipeline = tmp_path / "plate.yaml"
    pipeline.write_text(
        "pipeline: 1\nnodes:\n  plate: {op: plate}\n"
        "  clean: {op: fix_nan, inputs: {image: plate}, params: {mode: refuse}}\noutputs:\n  clean: {from: clean}\n"
    )
    with pytest.raises(NodeError, match=r"(?s)node 'clean'.*2 values are not finite"):
        run(pipeline, operations=[plate], cache=False)


def test_fix_nan_of_nothing_but_nan_is_black() -> None:
    assert (f.fix_nan(gray(np.full((4, 4), np.nan, np.float32))).array == 0).all()


# --- both kernels ----------------------------------------------------------------------------------------------------

ON_ACCELERATORS: dict[str, Callable[[Any], Any]] = {
    "blur": lambda image: f.blur(image, sigma=[1.3, 2.5]),
    "blur box": lambda image: f.blur(image, radius=[3, 1.5], filter="box"),
    "directional_blur": lambda image: f.directional_blur(image, length=11, angle=20),
    "defocus": lambda image: f.defocus(image, radius=6.5),
    "convolve": lambda image: f.convolve(image, kernel=[[0, -1, 0], [-1, 6, -2], [0, -1, 3]]),
    "sharpen": f.sharpen,
    "unsharp_mask": lambda image: f.unsharp_mask(image, threshold=0.1),
    "high_pass": f.high_pass,
    "emboss": f.emboss,
    **{
        f"{pick.__name__} {shape}": lambda image, pick=pick, shape=shape: pick(image, radius=3, shape=shape)
        for pick in (f.dilate, f.erode, f.open, f.close)
        for shape in ("square", "disc", "cross")
    },
}


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors say that they are on an accelerator: the torch kernels run, on the CPU."""
    monkeypatch.setattr(
        Raster, "device", property(lambda self: "cpu" if isinstance(self.buffer, np.ndarray) else "cuda")
    )


@pytest.mark.usefixtures("accelerator")
@pytest.mark.parametrize("name", ON_ACCELERATORS)
@pytest.mark.parametrize("wrap", WRAPS)
def test_torch_and_opencv_give_the_same(name: str, wrap: tuple[bool, bool]) -> None:
    array = np.abs(values(2, 14, 17, 4))
    for image in (
        Image(array, channels=tuple("RGBA"), alpha="straight", wrap=wrap),
        Image(array[..., :3].copy(), wrap=wrap),
        Mask((array[..., :1] * 100).astype(np.uint16), wrap=wrap),
        Image((array * 100).astype(np.uint8), channels=tuple("RGBA"), alpha="associated", wrap=wrap),
    ):
        tensor = image.with_buffer(torch.from_numpy(image.buffer.copy()))
        ours, theirs = ON_ACCELERATORS[name](image), ON_ACCELERATORS[name](tensor)
        assert isinstance(theirs.buffer, torch.Tensor)
        assert theirs.dtype == ours.dtype
        assert np.abs(ours.array - theirs.array).max() <= 5e-6 * max(1, np.abs(ours.array).max())


def test_gaussian_weights_add_up() -> None:
    for sigma in (0.01, 0.3, 2, 50):
        assert gaussian(sigma).sum() == pytest.approx(1, abs=1e-12)

"""Measures against scikit-image and numpy; checks say how many, what and where."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from pipeline_measure import assert_range, check_finite, compare, flip_error, histogram, statistics

from pipeline_core import Image, Mask, OperationError, Table


def picture(channels: str = "RGB", *, seed: int = 0, size: tuple[int, int] = (24, 20), **fields: Any) -> Image:
    width, height = size
    buffer = np.random.default_rng(seed).random((1, height, width, len(channels)), np.float32)
    fields.setdefault("alpha", "straight" if "A" in channels else "none")
    return Image(buffer, channels=tuple(channels), **fields)


def with_values(*values: float, channels: str = "Y") -> Image:
    array = np.array(values, np.float32).reshape(1, 1, -1, len(channels))
    return Image(array, channels=tuple(channels))


def row(table: Table, name: Any) -> dict[str, Any]:
    return dict(zip(table.columns, next(row for row in table.rows if row[0] == name), strict=True))


def test_compare_agrees_with_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="needs scikit-image")
    a = picture()
    b = a.with_buffer((a.array + picture(seed=1).array * 0.1).astype(np.float32))
    table = compare(a, b, metrics=["mse", "rmse", "mae", "psnr", "ssim", "max"])
    assert [found[0] for found in table.rows] == ["all", "R", "G", "B"]
    one, other = a.array[0].astype(float), b.array[0].astype(float)
    for name, x, y in (("all", one, other), ("G", one[..., 1], other[..., 1])):
        found = row(table, name)
        assert found["mse"] == pytest.approx(metrics.mean_squared_error(x, y), rel=1e-12)
        assert found["psnr"] == pytest.approx(metrics.peak_signal_noise_ratio(x, y, data_range=1), rel=1e-12)
        wanted = metrics.structural_similarity(
            x, y, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
            channel_axis=2 if x.ndim == 3 else None,
        )  # fmt: skip
        assert found["ssim"] == pytest.approx(wanted, rel=1e-10)
        assert found["rmse"] == math.sqrt(found["mse"])
        assert found["mae"] == pytest.approx(np.abs(x - y).mean(), rel=1e-12)
        assert found["max"] == np.abs(x - y).max()


def test_equal_pictures_are_equal_by_every_metric_and_tensors_give_the_same() -> None:
    a, b = picture(), picture(seed=1)
    found = row(compare(a, a), "all")
    assert (found["mse"], found["psnr"], found["ssim"], found["max"]) == (0, math.inf, pytest.approx(1), 0)
    tensor = a.with_buffer(torch.from_numpy(np.array(a.buffer)))
    assert compare(tensor, b) == compare(a, b)


def test_peak_scales_psnr_and_ssim_as_the_values() -> None:
    a, b = picture(), picture(seed=1)
    once = row(compare(a, b, metrics=["psnr", "ssim"]), "all")
    doubled = row(
        compare(a.with_buffer(a.array * 2), b.with_buffer(b.array * 2), metrics=["psnr", "ssim"], peak=2), "all"
    )
    for name in ("psnr", "ssim"):
        assert doubled[name] == pytest.approx(once[name], rel=1e-9)


def test_convention_ssim_goes_round_where_the_picture_tiles() -> None:
    a, b = (picture("Y", seed=seed, wrap=(True, True)) for seed in (0, 1))
    rolled = [image.with_buffer(np.roll(image.buffer, (7, 5), (1, 2))) for image in (a, b)]
    tiled = row(compare(a, b), "Y")["ssim"]
    assert row(compare(*rolled), "Y")["ssim"] == pytest.approx(tiled, rel=1e-9)
    whole = [image.with_buffer(image.buffer, wrap=(False, False)) for image in (a, b)]
    assert row(compare(*whole), "Y")["ssim"] != pytest.approx(tiled, rel=1e-6)


def test_a_nan_makes_a_difference_nan() -> None:
    found = row(compare(with_values(1, math.nan), with_values(1, 1), metrics=["mse", "psnr", "max"]), "Y")
    assert all(math.isnan(value) for name, value in found.items() if name != "channel")


@pytest.mark.parametrize(
    ("b", "complaint"),
    [
        (picture(size=(25, 20)), "24x20.*25x20.*resize"),
        (picture("RGBA"), "select_channels"),
        (picture(color="data"), "color_convert"),
        (Mask(np.zeros((1, 20, 24, 1), np.float32)), "R, G, B.*M"),
        (Image(np.zeros((2, 20, 24, 3), np.float32)), "batch of 2"),
    ],
)
def test_what_can_not_be_compared_is_refused(b: Any, complaint: str) -> None:
    with pytest.raises(OperationError, match=complaint):
        compare(picture(), b)


def test_alpha_states_must_agree_and_ssim_wants_room() -> None:
    with pytest.raises(OperationError, match="premultiply"):
        compare(picture("RGBA"), picture("RGBA", alpha="associated"))
    with pytest.raises(OperationError, match="11x11 or more"):
        compare(picture(size=(10, 20)), picture(size=(10, 20)))


def flipped_pair(**fields: Any) -> tuple[Image, Image]:
    """Stripes and squares; in the other of them fainter, with lines, and with a corner in other colours."""
    y, x = np.mgrid[:24, :32]
    squares = np.where((x // 6 + y // 6) % 2, 0.8, 0.1)
    one = np.stack([0.5 + 0.5 * np.sin(x / 3), 0.5 + 0.5 * np.cos(y / 4 + x / 9), squares], 2)
    other = np.clip(one * 0.9 + 0.1 * np.sin(y * 1.7)[..., None], 0, 1)
    other[8:16, 10:20] = other[8:16, 10:20, ::-1]
    return Image(one[None].astype(np.float32), **fields), Image(other[None].astype(np.float32), **fields)


def test_flip_gives_what_the_authors_program_gives() -> None:
    """The numbers are those of NVIDIA's flip-evaluator 1.7 (float32) for these pictures."""
    one, other = flipped_pair()
    table = compare(one, other, metrics=["flip"])
    assert table.rows[0] == ("all", pytest.approx(0.39709699, abs=2e-5))
    assert table.rows[1] == ("R", None)
    wanted = {(12, 15): 0.6315591, (0, 0): 0.53512096, (23, 31): 0.20809232}
    shown = flip_error(one, other)
    assert (shown.channels, shown.color) == (("Y",), "data")
    assert {place: float(shown.array[0, *place, 0]) for place in wanted} == pytest.approx(wanted, abs=1e-4)
    assert row(compare(one, other, metrics=["flip"], ppd=20), "all")["flip"] == pytest.approx(0.46000126, abs=2e-5)
    linear = compare(*flipped_pair(color="lin_rec709_scene"), metrics=["flip"])
    assert row(linear, "all")["flip"] == pytest.approx(0.28579637, abs=2e-5)
    gray = [image.with_buffer(image.array[..., 1:2], channels=("Y",)) for image in (one, other)]
    assert row(compare(*gray, metrics=["flip"]), "Y")["flip"] == pytest.approx(0.25249118, abs=2e-5)


def test_flip_is_0_for_equal_pictures_and_the_same_both_ways() -> None:
    one, other = flipped_pair()
    assert not flip_error(one, one).array.any()
    assert np.allclose(flip_error(one, other).array, flip_error(other, one).array, atol=1e-6)


def test_convention_flip_goes_round_where_both_pictures_tile() -> None:
    one, other = flipped_pair(wrap=(True, True))
    moved = [image.with_buffer(np.roll(image.buffer, (5, 9), (1, 2))) for image in (one, other)]
    assert np.allclose(np.roll(flip_error(one, other).array, (5, 9), (1, 2)), flip_error(*moved).array, atol=1e-6)


def test_flip_refuses_what_has_no_such_colours() -> None:
    for image, complaint in (
        (picture("RGBA"), "flatten"),
        (picture("RGZ"), "select_channels"),
        (picture(color="lin_ap1_scene"), "color_convert"),
        (Mask(np.zeros((1, 20, 24, 1), np.float32)), "flatten"),
    ):
        with pytest.raises(OperationError, match=complaint):
            compare(image, image, metrics=["flip"])


def test_statistics_leave_out_and_count_what_is_not_finite() -> None:
    image = with_values(1, 5, 3, math.nan, math.inf, -math.inf, channels="Y")
    assert row(statistics(image), "Y") == {
        "channel": "Y", "min": 1, "max": 5, "mean": 3, "std": pytest.approx(math.sqrt(8 / 3)), "nan": 1, "infinite": 2,
    }  # fmt: skip
    assert statistics(with_values(math.nan)).rows == (("Y", None, None, None, None, 1, 0),)


def test_statistics_are_of_each_channel_with_integers_as_0_to_1() -> None:
    image = Image(np.array([[[[0, 51], [255, 51]]]], np.uint8), channels=("R", "G"))
    assert row(statistics(image), "R")["std"] == 0.5
    assert row(statistics(image), "G")["mean"] == pytest.approx(0.2, abs=1e-8)


def test_histogram_gives_every_8_bit_code_its_bin() -> None:
    codes = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    rows = histogram(Image(codes, channels=("Y",))).rows
    assert len(rows) == 258
    assert [count for *_, count in rows] == [0, *[1] * 256, 0]


def test_convention_histogram_bins_include_their_low_end_and_the_last_both() -> None:
    image = with_values(-1, -math.inf, 0, 0.49, 0.5, 1, 1.01, math.inf, math.nan)
    table = histogram(image, bins=2)
    assert table.columns == ("low", "high", "Y")
    assert table.rows == ((None, 0, 2), (0, 0.5, 2), (0.5, 1, 2), (1, None, 2))
    with pytest.raises(OperationError, match="below 'high'"):
        histogram(image, low=1, high=1)


def test_check_finite_passes_on_or_names_the_first() -> None:
    image = picture("RGBA")
    assert check_finite(image) is image
    spoilt = np.array(image.buffer)
    spoilt[0, 3, 7, 2] = math.inf
    spoilt[0, 9, 1, 0] = math.nan
    for buffer in (spoilt, torch.from_numpy(spoilt)):
        with pytest.raises(OperationError, match=r"2 of 1920 .*\(1 NaN, 1 infinite\).*inf in B at \(7, 3\); 'fix_nan'"):
            check_finite(image.with_buffer(buffer))


def test_assert_range_passes_on_or_names_the_first_and_the_extent() -> None:
    image = with_values(0, 1, 0.5)
    assert assert_range(image) is image
    assert assert_range(image, low=None, high=None) is image
    with pytest.raises(OperationError, match=r"2 of 4 values are outside 0..1 \(-0.5 to 2\).* 2 in Y at \(1, 0\)"):
        assert_range(with_values(0, 2, -0.5, 1))
    with pytest.raises(OperationError, match=r"outside 0\.\. \(-0.5 to -0.5\)"):
        assert_range(with_values(7, -0.5), high=None)
    for limits in ({}, {"low": None}, {"high": None}, {"low": None, "high": None}):
        with pytest.raises(OperationError, match="NaN"):
            assert_range(with_values(0, math.nan), **limits)
    with pytest.raises(OperationError, match="must not be above"):
        assert_range(image, low=2)

"""Made against real: each measure against another way to compute it, and what a user wants to know of a set."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pipeline_models import networks
from pipeline_models.vision import compare_sets, nearest
from pipeline_models.vision.distances import frechet, precision_and_recall, sliced_wasserstein
from pipeline_models.vision.pyramid import laplacian, level_count

from pipeline_core import Image, Model, OperationError


def stripes(count: int, *, seed: int, period: float = 8.0, size: int = 32, **fields: Any) -> Image:
    """Pictures of waves, each at another angle and place, a little noisy."""
    rng = np.random.default_rng(seed)
    angle, phase = rng.uniform(0, math.pi, (2, count, 1, 1))
    y, x = np.mgrid[:size, :size]
    waves = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * math.pi / period + 6 * phase) / 4 + 0.5
    pixels = waves[..., None] + rng.normal(0, 0.02, (count, size, size, 1))
    return Image(pixels.astype(np.float32), channels=("Y",), **fields)


def measures(made: Image, real: Image, model: Model | None = None, **params: Any) -> dict[str, float]:
    return dict(compare_sets(made, real, model, **{"patches": 2048, "projections": 64, **params}).rows)  # type: ignore[arg-type]  # rows of two


def classifier() -> Model:
    """A network with random numbers is a network of features."""
    torch.manual_seed(0)
    config = {"channels": 1, "labels": ["a", "b"], "size": [8, 8], "width": 4, "features": 6}
    return Model("small_classifier", networks.make("small_classifier", config).state_dict(), config)


# --- distances ---


def test_in_one_dimension_it_is_the_wasserstein_distance() -> None:
    stats = pytest.importorskip("scipy.stats", reason="needs scipy")
    one, other = np.random.default_rng(1).normal([0, 2], [1, 0.5], (500, 2)).T
    found = sliced_wasserstein(*(torch.from_numpy(part)[:, None] for part in (one, other)), 5, 0)
    assert found == pytest.approx(stats.wasserstein_distance(one, other), rel=1e-6)


def test_a_shift_is_as_far_as_its_mean_shadow() -> None:
    members = torch.randn(200, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shift = torch.arange(12.0, dtype=torch.float64) / 10
    mean_shadow = math.gamma(6) / math.sqrt(math.pi) / math.gamma(6.5)  # of a unit vector in 12 dimensions
    found = sliced_wasserstein(members, members + shift, 8192, 0)
    assert found == pytest.approx(float(shift.norm()) * mean_shadow, rel=0.02)


def test_frechet_agrees_with_the_root_of_a_matrix() -> None:
    linalg = pytest.importorskip("scipy.linalg", reason="needs scipy")
    rng = np.random.default_rng(2)
    one, other = rng.normal(size=(300, 7)) @ rng.normal(size=(7, 7)), rng.normal(1, 2, (250, 7))
    first, second = np.cov(one.T), np.cov(other.T)
    root = linalg.sqrtm(first @ second).real
    wanted = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)
    assert frechet(torch.from_numpy(one), torch.from_numpy(other)) == pytest.approx(wanted, rel=1e-8)


def test_precision_and_recall_agree_with_their_definition() -> None:
    rng = np.random.default_rng(3)
    made, real = rng.normal(0.8, 0.5, (60, 3)), rng.normal(0, 1, (80, 3))

    def share(members: Any, home: Any) -> float:
        reach = [np.sort(np.linalg.norm(home - one, axis=1))[3] for one in home]
        return float(np.mean([(np.linalg.norm(home - one, axis=1) <= reach).any() for one in members]))

    found = precision_and_recall(torch.from_numpy(made), torch.from_numpy(real), 3)
    assert found == pytest.approx((share(made, real), share(real, made)))
    assert found[0] > found[1] + 0.2  # what was made is narrower than what is real


def test_levels_are_those_of_opencv() -> None:
    picture = np.random.default_rng(4).random((64, 48), np.float32)
    fine, _, coarse = laplacian(torch.from_numpy(picture)[None, None], 3, (False, False))
    half = cv2.pyrDown(picture)
    np.testing.assert_allclose(coarse[0, 0], cv2.pyrDown(half), atol=1e-6)
    inner = slice(2, -2)  # OpenCV goes another way at the far edges when it doubles
    np.testing.assert_allclose(fine[0, 0][inner, inner], (picture - cv2.pyrUp(half))[inner, inner], atol=1e-6)


# --- compare_sets ---


def test_convention_levels_go_down_to_16_and_a_set_is_at_0_from_itself() -> None:
    assert [level_count(*size) for size in ((128, 128), (32, 40), (31, 64), (8, 8))] == [4, 2, 1, 1]
    made = stripes(20, seed=1)
    found = measures(made, made)
    assert found == {"swd": 0.0, "swd/1": 0.0, "swd/2": 0.0}


def test_another_sample_of_the_same_is_nearer_than_something_else() -> None:
    real, again, other = stripes(60, seed=1), stripes(60, seed=2), stripes(60, seed=3, period=5.0)
    same, apart = measures(again, real), measures(other, real)
    assert apart["swd"] > 3 * same["swd"] > 0
    assert measures(other, real, seed=1)["swd"] == pytest.approx(apart["swd"], rel=0.2)
    assert measures(other, real)["swd"] == apart["swd"]


def test_brightness_counts_where_patches_are_normalized_by_the_real_set() -> None:
    real = stripes(30, seed=1)
    darker = real.with_buffer(real.array * np.float32(0.5))
    assert measures(darker, real)["swd"] == pytest.approx(0, abs=1e-5)
    assert measures(darker, real, normalize="real")["swd"] > 0.3


def test_sets_differ_in_number_and_size_and_a_model_gives_more() -> None:
    real, made = stripes(40, seed=1), stripes(30, seed=2, size=24)
    found = measures(made, real, classifier())
    assert set(found) == {"swd", "swd/1", "precision", "recall", "frechet"}
    assert found["precision"] > 0.5
    assert measures(real, real, classifier())["frechet"] == pytest.approx(0, abs=1e-4)
    assert measures(real, real, classifier())["recall"] == 1


def test_transparent_colours_are_not_seen() -> None:
    hidden = np.zeros((8, 32, 32, 4), np.float32)
    hidden[..., :16, :] = np.random.default_rng(0).random((8, 32, 16, 4), np.float32)
    other = hidden.copy()
    other[..., 16:, :3] = 0.7
    one, two = (Image(part, channels=tuple("RGBA"), alpha="straight") for part in (hidden, other))
    assert measures(one, two)["swd"] == 0
    assert measures(one.associate(), two)["swd"] == 0
    assert nearest(one, two).rows[3][1:3] == (3, 0.0)


def test_what_can_not_be_compared_is_refused() -> None:
    real = stripes(10, seed=1)
    with pytest.raises(OperationError, match="need 4 pictures in both sets, there are 3 made and 10 real"):
        measures(stripes(3, seed=1), real, classifier())
    with pytest.raises(OperationError, match="made is lin_rec709_scene, real is srgb_rec709_scene: 'color_convert'"):
        measures(stripes(3, seed=1, color="lin_rec709_scene"), real)
    with pytest.raises(OperationError, match="made has R, G, B, real has Y"):
        compare_sets(Image(np.zeros((2, 16, 16, 3), np.uint8)), real)
    with pytest.raises(OperationError, match="made is 16x16, real is 32x32: 'resize' or 'crop'"):
        nearest(stripes(3, seed=1, size=16), real)


# --- nearest ---


def test_convention_copies_are_found_and_new_pictures_are_none() -> None:
    real = stripes(50, seed=1)
    noise = np.random.default_rng(0).normal(0, 0.03, real.array[7:9].shape).astype(np.float32)
    made = real.with_buffer(np.concatenate([real.array[7:9] + noise, stripes(2, seed=2).array, real.array[3:4]]))
    table = nearest(made, real)
    assert table.columns == ("image", "nearest", "distance", "ratio", "copy")
    assert [row[4] for row in table.rows] == [True, True, False, False, True]
    assert [table.rows[i][1] for i in (0, 1, 4)] == [7, 8, 3]
    assert table.rows[0][2] == pytest.approx(0.03, rel=0.1)  # the root of the mean square of the noise
    assert table.rows[4][2] == 0


def test_a_real_picture_that_is_there_twice_hides_no_copy() -> None:
    real = stripes(40, seed=1)
    twice = real.with_buffer(np.concatenate([real.array, real.array[5:6]]))
    made = real.with_buffer(real.array[5:6] + np.float32(0.02))
    assert nearest(made, twice).rows[0][4] is True


def test_one_real_picture_has_no_neighbourhood() -> None:
    real = stripes(1, seed=1)
    (same,) = nearest(real, real).rows
    (other,) = nearest(stripes(1, seed=2), real).rows
    assert (same[3:], other[3:]) == ((None, True), (None, False))


def test_a_model_sees_past_brightness() -> None:
    real = stripes(30, seed=1)
    found = nearest(real, real, classifier())
    assert [row[1] for row in found.rows] == list(range(30))
    assert all(row[4] for row in found.rows)

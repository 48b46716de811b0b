"""Dithering and matching of histograms: what depends on more than one pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pipeline_color.dithering import dither
from pipeline_color.match import match_histogram
from skimage.exposure import match_histograms

from pipeline_core import Image, OperationError


def noise(seed: int, channels: str = "RGB", power: float = 1.0, **fields: Any) -> Image:
    values = np.random.default_rng(seed).random((1, 16, 24, len(channels))) ** power
    return Image(values.astype(np.float32), channels=tuple(channels), **fields)


def test_dither_keeps_the_average_with_two_levels() -> None:
    for value in (0.1, 0.5, 0.77):
        found = dither(Image(np.full((1, 64, 64, 3), value, np.float32)), levels=2).array
        assert set(np.unique(found)) <= {0, 1}
        assert found.mean() == pytest.approx(value, abs=1 / 64)


def test_convention_dither_is_bayers_matrix_from_the_top_left() -> None:
    # Thresholds passed by 3/64: the three lowest ranks of the 8x8 matrix.
    found = dither(Image(np.full((1, 8, 8, 1), 1 - 3 / 64, np.float32), channels=("Y",)), levels=2).array[0, ..., 0]
    assert np.argwhere(found == 0).tolist() == [[0, 0], [0, 4], [4, 4]]


def test_convention_levels_stay_and_nothing_is_clipped() -> None:
    codes = np.arange(-40, 300, dtype=np.float32).reshape(1, 10, 34, 1) / np.float32(255)
    source = Image(codes, channels=("Y",))
    np.testing.assert_allclose(dither(source).array, codes, atol=1e-6)


def test_match_histogram_is_scikit_images() -> None:
    source, reference = noise(1), noise(2, power=3)
    expected = match_histograms(source.array[0], reference.array[0], channel_axis=-1)
    np.testing.assert_allclose(match_histogram(source, reference).array[0], expected, atol=1e-6)


def test_an_image_matched_with_itself_stays() -> None:
    source = noise(1, "RGBA", alpha="straight")
    np.testing.assert_allclose(match_histogram(source, source).array, source.array, atol=1e-6)


def test_convention_empty_pixels_and_infinities_do_not_count_and_stay() -> None:
    source, reference = (noise(seed, "RGBA", alpha="straight").array.copy() for seed in (1, 2))
    reference[0, 0, :, :] = [900, 900, 900, 0]
    source[0, 1, 1, :3], source[0, 2, 2] = np.inf, [700, 700, 700, 0]
    images = (Image(a, channels=tuple("RGBA"), alpha="straight") for a in (source, reference))
    found = match_histogram(*images).array[0]
    assert np.isposinf(found[1, 1, :3]).all()
    assert found[2, 2].tolist() == [700, 700, 700, 0]
    rest = np.delete(found[..., 0].ravel(), [1 * 24 + 1, 2 * 24 + 2])
    assert rest.max() <= 1


def test_associated_says_the_same_and_light_without_cover_stays() -> None:
    straight, reference = noise(1, "RGBA", alpha="straight"), noise(2, "RGBA", alpha="straight")
    found = match_histogram(straight.associate(), reference.associate())
    np.testing.assert_allclose(found.array, match_histogram(straight, reference).associate().array, atol=1e-5)
    flame = straight.associate().array.copy()
    flame[0, 0, 0] = [3, 2, 1, 0]
    lit = Image(flame, channels=tuple("RGBA"), alpha="associated")
    assert match_histogram(lit, reference).array[0, 0, 0].tolist() == [3, 2, 1, 0]


def test_refusals() -> None:
    with pytest.raises(OperationError, match="the reference has no R, G, B: to_rgb"):
        match_histogram(noise(1), noise(1, "Y"))
    with pytest.raises(OperationError, match="color_convert one of them"):
        match_histogram(noise(1), noise(1, color="lin_ap1_scene"))

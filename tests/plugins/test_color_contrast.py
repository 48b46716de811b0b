"""contrast: its two curves, alpha, and what stays."""

from __future__ import annotations

import numpy as np
import pytest
from pipeline_color import contrast

from pipeline_core import Image


def values(*found: float) -> Image:
    return Image(np.array(found, np.float32).reshape(1, 1, -1, 1).repeat(3, axis=-1))


def test_values_are_pushed_away_from_the_pivot() -> None:
    line = contrast(values(0, 0.25, 0.5, 0.75), amount=2, pivot=0.25).array[0, 0, :, 0]
    assert line.tolist() == pytest.approx([-0.25, 0.25, 0.75, 1.25])
    power = contrast(values(0, 0.375, 0.625, 0.75), amount=2, pivot=0.5, curve="power").array[0, 0, :, 0]
    assert power.tolist() == pytest.approx([0.0, 0.28125, 0.78125, 1.125])


def test_the_pivot_and_one_change_nothing() -> None:
    image = values(-0.5, 0.18, 0.7, 3)
    np.testing.assert_allclose(contrast(image, amount=1).array, image.array, atol=1e-6)
    assert contrast(image, amount=3, pivot=0.18, curve="power").array[0, 0, 1, 0] == pytest.approx(0.18)
    assert contrast(image, amount=3, pivot=0.18, curve="power").array[0, 0, 0, 0] == pytest.approx(-0.5)
    assert contrast(image, amount=0, brightness=0.1).array.flatten().tolist() == pytest.approx([0.6] * 12)


def test_alpha_is_divided_out_and_empty_pixels_stay_black() -> None:
    pixels = np.array([[0.2, 0.2, 0.2, 0.5], [0, 0, 0, 0]], np.float32).reshape(1, 1, 2, 4)
    image = Image(pixels, channels=tuple("RGBA"), alpha="associated")
    found = contrast(image, amount=2).array[0, 0]
    assert found[0].tolist() == pytest.approx([0.15, 0.15, 0.15, 0.5])
    assert found[1].tolist() == [0, 0, 0, 0]

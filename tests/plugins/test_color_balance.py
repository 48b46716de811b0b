"""Hue, white balance and the colour decision list."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pipeline_color.balance import cdl, gray_world, hue_shift, white_balance

from pipeline_core import Image, OperationError

LINEAR = "lin_rec709_scene"
LUMA = np.array([0.2126, 0.7152, 0.0722])


def colors(seed: int = 3, low: float = 0.0, high: float = 1.0, channels: str = "RGB", **fields: Any) -> Image:
    values = np.random.default_rng(seed).uniform(low, high, (1, 5, 7, len(channels)))
    return Image(values.astype(np.float32), channels=tuple(channels), color=LINEAR, **fields)


def pixel(*values: float, color: str = LINEAR) -> Image:
    return Image(np.array(values, np.float32)[None, None, None], color=color)


def test_hue_turns_red_to_green_and_back_and_keeps_luma() -> None:
    source = colors(low=-1, high=4)
    turned = hue_shift(source, degrees=77)
    np.testing.assert_allclose(turned.array @ LUMA, source.array @ LUMA, atol=1e-5)
    np.testing.assert_allclose(hue_shift(turned, degrees=-77).array, source.array, atol=1e-5)
    third = hue_shift(pixel(1, 0, 0), degrees=120).array[0, 0, 0]
    assert third[1] > third[0]
    assert third[0] == pytest.approx(third[2], abs=1e-6)
    np.testing.assert_allclose(hue_shift(pixel(0.3, 0.3, 0.3), degrees=50).array, 0.3, rtol=1e-6)


@pytest.mark.parametrize("color", [LINEAR, "lin_ap1_scene"])
def test_a_neutral_colour_becomes_gray_of_the_same_luminance(color: str) -> None:
    neutral = (0.5, 0.4, 0.2, 1.0)
    found = white_balance(pixel(*neutral[:3], color=color), neutral=neutral).array.ravel()
    np.testing.assert_allclose(found, found[0], rtol=1e-6)
    if color == LINEAR:
        assert found[0] == pytest.approx(np.dot(neutral[:3], LUMA), rel=1e-3)


def test_temperature_of_the_light() -> None:
    source = colors()
    np.testing.assert_allclose(white_balance(source, temperature=6504).array, source.array, atol=1e-6)
    assert white_balance(source) is source
    # Illuminant A is a black body of 2856 K: x 0.44757, y 0.40745 (CIE 15:2004), in linear Rec. 709 by the D65 matrix.
    # At 6500 K it is x 0.3135, y 0.3237.
    before, after = (np.array([x, y, 1 - x - y]) / y for x, y in ((0.44757, 0.40745), (0.3135, 0.3237)))
    to_rgb = [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
    found = white_balance(pixel(*np.dot(to_rgb, before)), temperature=2856).array.ravel()
    np.testing.assert_allclose(found, np.dot(to_rgb, after), atol=6e-3)  # the cubics are that close
    warm, cold = (white_balance(pixel(0.5, 0.5, 0.5), temperature=t).array.ravel() for t in (3000, 12000))
    assert warm[2] > 0.5 > warm[0]
    assert cold[2] < 0.5 < cold[0]


def test_gray_world_makes_the_average_gray_weighted_by_alpha() -> None:
    source = colors(channels="RGBA", alpha="straight")
    for given in (source, source.associate()):
        found = gray_world(given)
        assert found.alpha == given.alpha
        average = found.associate().array[..., :3].mean((0, 1, 2))
        np.testing.assert_allclose(average, source.associate().array[..., :3].mean((0, 1, 2)) @ LUMA, rtol=1e-5)
        assert np.array_equal(found.array[..., 3], source.array[..., 3])


def test_cdl_is_the_ascs_formula() -> None:
    source = colors()
    found = cdl(source, slope=[1.2, 0.9, 1], offset=[0.05, 0, -0.02], power=1.3, saturation=0.8, clamp=True).array
    sop = np.clip(source.array * [1.2, 0.9, 1] + [0.05, 0, -0.02], 0, 1) ** 1.3
    luma = (sop @ LUMA)[..., None]
    np.testing.assert_allclose(found, np.clip(luma + 0.8 * (sop - luma), 0, 1), atol=1e-6)


def test_convention_cdl_without_clamp_keeps_negative_and_hdr_values() -> None:
    found = cdl(pixel(-0.5, 4, 0.25), power=0.5).array.ravel()
    np.testing.assert_allclose(found, [-0.5, 2, 0.5])
    np.testing.assert_allclose(cdl(pixel(-0.5, 4, 0.25), power=0.5, clamp=True).array.ravel(), [0, 1, 0.5])


def test_refusals() -> None:
    with pytest.raises(OperationError, match="neutral and temperature are both given"):
        white_balance(pixel(1, 1, 1), neutral=(1, 1, 1, 1), temperature=5000)
    with pytest.raises(OperationError, match="must have some luminance"):
        white_balance(pixel(1, 1, 1), neutral=(0, 0, 0, 1))
    with pytest.raises(OperationError, match="the image is data: set_color"):
        white_balance(pixel(1, 1, 1, color="data"), temperature=5000)
    with pytest.raises(OperationError, match="power above 0"):
        cdl(pixel(1, 1, 1), power=0)

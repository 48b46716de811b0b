"""Grading and colour conversion: formulas, alpha, HDR and negative values, types, inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pipeline_color import (
    cdl,
    clamp,
    color_convert,
    contrast,
    curves,
    dither,
    exposure,
    gamma,
    grade,
    gray_world,
    hue_shift,
    invert,
    levels,
    match_histogram,
    operations,
    posterize,
    saturation,
    set_color,
    to_gray,
    to_rgb,
    tonemap,
    white_balance,
)
from pipeline_color.tone import _curve

from pipeline_core import Image, OperationError
from pipeline_core.operation import read

SRGB, LINEAR = "srgb_rec709_scene", "lin_rec709_scene"


def image(values: Any, channels: str = "RGB", **fields: Any) -> Image:
    """One row of pixels."""
    array = np.atleast_2d(np.asarray(values, np.float32))
    fields.setdefault("alpha", "straight" if "A" in channels else "none")
    return Image(array[None, None], channels=tuple(channels), **fields)


def random(channels: str = "RGBA", **fields: Any) -> Image:
    values = np.random.default_rng(11).normal(0.5, 0.8, (12, len(channels)))
    if "A" in channels:
        at = channels.index("A")
        values[:, at] = np.linspace(0.05, 1, 12)
    return image(values, channels, **fields)


def row(found: Image) -> Any:
    return found.array[0, 0]


CASES: dict[str, Callable[[Image], Image]] = {
    "grade": lambda i: grade(i, blackpoint=0.1, whitepoint=2, lift=0.02, gain=1.5, multiply=0.7, offset=0.1, gamma=1.4),
    "exposure": lambda i: exposure(i, stops=-1.5),
    "saturation": lambda i: saturation(i, amount=1.3),
    "gamma": lambda i: gamma(i, value=2.2),
    "levels": lambda i: levels(i, in_low=0.1, in_high=0.8, gamma=1.2, out_low=0.05, out_high=0.9),
    "invert": invert,
    "clamp": lambda i: clamp(i, low=0.2, high=0.9),
    "color_convert": lambda i: color_convert(i, to=LINEAR),
    "set_color": lambda i: set_color(i, color=LINEAR),
    "to_gray": to_gray,
    "to_rgb": to_rgb,
    "hue_shift": lambda i: hue_shift(i, degrees=40),
    "white_balance": lambda i: white_balance(i, temperature=4200),
    "gray_world": gray_world,
    "contrast": lambda i: contrast(i, amount=1.4, pivot=0.4, brightness=0.05),
    "cdl": lambda i: cdl(i, slope=1.2, offset=0.1, power=1.3, saturation=0.8),
    "curves": lambda i: curves(i, points=[[0, 0.1], [0.4, 0.3], [1, 0.9]]),
    "tonemap": lambda i: tonemap(i, method="hable"),
    "posterize": lambda i: posterize(i, levels=5),
    "dither": lambda i: dither(i, levels=5),
    "match_histogram": lambda i: match_histogram(i, i),
}
WHOLE = {"gray_world", "dither", "quantize", "palette_map", "match_histogram"}
"""What looks at the whole picture."""

IDENTITIES: list[Callable[[Image], Image]] = [
    grade,
    lambda i: exposure(i, stops=0),
    lambda i: saturation(i, amount=1),
    lambda i: gamma(i, value=1),
    levels,
    lambda i: contrast(i, amount=1),
    lambda i: color_convert(i, to=SRGB),
    lambda i: invert(invert(i)),
]


ELSEWHERE = {"apply_lut", "quantize", "palette_map", "ocio_convert", "ocio_look", "display_transform"}
"""Tested in test_color_lut.py, test_color_palette.py and test_color_ocio.py."""


def test_every_operation_is_covered_and_pointwise() -> None:
    assert set(CASES) == {function.__name__ for function in operations()} - ELSEWHERE
    local = {f.__name__ for f in operations() if read(f, plugin="pipeline_color").pointwise}
    assert local == {*CASES, *ELSEWHERE} - WHOLE


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("alpha", ["straight", "associated"])
def test_identities(identity: Callable[[Image], Image], alpha: str) -> None:
    given_one = random("RGBAZ", alpha=alpha)
    np.testing.assert_allclose(identity(given_one).array, given_one.array, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", CASES)
def test_straight_and_associated_say_the_same(name: str) -> None:
    straight = random()
    found = CASES[name](straight.associate())
    assert found.alpha == "associated"
    np.testing.assert_allclose(found.array, CASES[name](straight).associate().array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_alpha_and_other_channels_stay(name: str) -> None:
    source = random("RGBAZ", wrap=(True, False), meta={"artist": "someone"})
    found = CASES[name](source)
    for channel in "AZ":
        assert torch.equal(found.channel(channel), source.channel(channel))
    assert (found.wrap, dict(found.meta)) == (source.wrap, dict(source.meta))


@pytest.mark.parametrize("name", sorted(set(CASES) - {"match_histogram"}))  # which has a rule
def test_inference_on_the_meta_device_agrees(name: str) -> None:
    for source in (random("RGB"), random("RGBA", alpha="associated"), random("YA"), random("RGBZ")):
        guess = CASES[name](source.to("meta"))
        assert (str(guess), guess.device) == (str(CASES[name](source)), "meta")


@pytest.mark.parametrize("name", CASES)
def test_a_batch_of_two_is_two_of_one_and_inputs_are_untouched(name: str) -> None:
    one, two = random(alpha="associated").buffer, random().buffer[:, :, ::-1]
    both = Image(np.concatenate([one, two]), channels=tuple("RGBA"), alpha="associated")
    before = both.buffer.copy()
    together = CASES[name](both).array
    for i in range(2):
        assert np.array_equal(together[i : i + 1], CASES[name](both.with_buffer(both.buffer[i : i + 1])).array)
    assert np.array_equal(both.buffer, before)


@pytest.mark.parametrize("name", sorted(set(CASES) - WHOLE))
@pytest.mark.parametrize("alpha", ["straight", "associated"])
def test_strips_are_the_whole_to_the_bit(name: str, alpha: str) -> None:
    pixels = np.random.default_rng(1).random((1, 31, 37, 4), np.float32) * 2
    whole = Image(pixels, channels=tuple("RGBA"), alpha=alpha)  # type: ignore[arg-type]  # parametrized
    strips = [CASES[name](whole.with_buffer(pixels[:, top : top + 7])).array for top in range(0, 31, 7)]
    assert np.array_equal(np.concatenate(strips, axis=1), CASES[name](whole).array)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("channels", "alpha"), [("RGB", "none"), ("BARG", "associated"), ("RGBAZ", "straight")])
def test_both_kernels_say_the_same(name: str, channels: str, alpha: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(1).normal(0.5, 0.6, (2, 9, 7, len(channels))).astype(np.float32)
    pixels[0, 0, 0] = 0
    if "A" in channels:
        pixels[..., channels.index("A")] = np.linspace(0, 1, 63).reshape(9, 7)
    given = Image(pixels, channels=tuple(channels), alpha=alpha)  # type: ignore[arg-type]  # parametrized
    found = CASES[name](given).array
    monkeypatch.setattr("pipeline_color.pointwise._by_numpy", lambda image: False)
    np.testing.assert_allclose(found, CASES[name](given).array, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", CASES)
def test_several_workers_give_the_bits_of_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = random("RGBA", alpha="associated")
    pixels = np.random.default_rng(1).random((2, 41, 37, 4), np.float32)
    found = CASES[name](given.with_buffer(pixels)).array
    monkeypatch.setattr("pipeline_color.pointwise.WHOLE", 0)
    monkeypatch.setattr("pipeline_color.pointwise.STRIP", 100)
    assert np.array_equal(CASES[name](given.with_buffer(pixels)).array, found)


def test_a_curve_in_a_table_is_the_curve_itself() -> None:
    values = np.random.default_rng(0).uniform(0, 1, 3500)
    gentle = _curve([[0, 0.1], [0.3, 0.2], [0.7, 0.9], [1, 0.8]])
    assert gentle.table is not None
    steps = np.linspace(0, 1, len(gentle.table) - 1)
    np.testing.assert_allclose(np.interp(values, steps, gentle.table[:-1]), gentle(values), atol=2e-7)
    assert len(gentle.table) < 8192
    assert _curve([[0, 0], [0.5, 0], [0.50001, 1], [1, 1]]).table is None


def test_infinities_and_nan_pass() -> None:
    source = image([np.inf, -np.inf, np.nan])
    for found in (gamma(source, value=2), color_convert(source, to=LINEAR), gamma(source, value=[1, 2, 3])):
        assert np.array_equal(found.array, source.array, equal_nan=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16"])
@pytest.mark.parametrize("name", CASES)
def test_other_types_as_their_floats(name: str, dtype: str) -> None:
    scale = {"uint8": 255, "uint16": 65535, "float16": 1}[dtype]
    typed = Image((random("RGB").array.clip(0, 1) * scale).astype(dtype))
    assert np.array_equal(CASES[name](typed).array, CASES[name](typed.with_array(typed.array.copy())).array)


def test_grade_is_nukes_formula() -> None:
    slope = 0.7 * (1.5 - 0.02) / (2 - 0.1)
    expected = (slope * 0.6 + 0.1 + 0.02 - slope * 0.1) ** (1 / 1.4)
    np.testing.assert_allclose(row(CASES["grade"](image([0.6] * 3))), [[expected] * 3], rtol=1e-6)


def test_grade_sends_blackpoint_to_lift_and_whitepoint_to_gain() -> None:
    found = grade(image([[0.1] * 3, [0.8] * 3]), blackpoint=0.1, whitepoint=0.8, lift=0.2, gain=[1, 2, 3])
    np.testing.assert_allclose(row(found), [[0.2] * 3, [1, 2, 3]], rtol=1e-6)


def test_channels_by_name_not_by_place() -> None:
    found = grade(image([1, 1, 1, 1, 1], "BAGZR"), multiply=[2, 3, 4])
    assert row(found).tolist() == [[4, 1, 3, 1, 2]]


def test_convention_negative_values_pass_the_gamma() -> None:
    assert row(gamma(image([-0.5, 0, 0.25]), value=2)).tolist() == [[-0.5, 0, 0.5]]
    np.testing.assert_allclose(row(grade(image([-0.5, 4, 0.25]), gamma=2)), [[-0.5, 2, 0.5]])


def test_convention_empty_pixels_do_not_begin_to_glow_and_light_without_cover_stays() -> None:
    pixels = image([[0, 0, 0, 0], [2, 1, 0.5, 0]], "RGBA", alpha="associated")
    found = row(grade(pixels, offset=0.5, multiply=2))
    assert found.tolist() == [[0, 0, 0, 0], [4.5, 2.5, 1.5, 0]]


def test_exposure_and_levels() -> None:
    assert row(exposure(image([0.25, -1, 3]), stops=2)).tolist() == [[1, -4, 12]]
    found = levels(image([0.2, 0.5, 0.8]), in_low=0.2, in_high=0.8, out_low=1, out_high=0, gamma=2)
    np.testing.assert_allclose(row(found), [[1, 1 - 0.5**0.5, 0]], atol=1e-6)


def test_saturation_keeps_luma() -> None:
    source = random("RGB")
    weights = np.array([0.2126, 0.7152, 0.0722], np.float32)
    for amount in (0, 0.5, 2):
        np.testing.assert_allclose(row(saturation(source, amount=amount)) @ weights, row(source) @ weights, atol=1e-5)
    gray = row(saturation(source, amount=0))
    np.testing.assert_allclose(gray, np.repeat((row(source) @ weights)[:, None], 3, axis=1), atol=1e-6)


def test_convention_clamp_limits_straight_values() -> None:
    source = image([[0.9, 0.2, -1, 0.5]], "RGBA", alpha="associated")
    assert row(clamp(source)).tolist() == [[0.5, pytest.approx(0.2), 0, 0.5]]


def test_srgb_is_the_standards_curve() -> None:
    codes = np.arange(256, dtype=np.uint8)
    ramp = Image(np.repeat(codes[None, None, :, None], 3, axis=-1))
    linear = color_convert(ramp, to=LINEAR)
    assert linear.color == LINEAR
    # IEC 61966-2-1, in double precision.
    encoded = codes / 255
    exact = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(row(linear)[:, 0], exact, rtol=3e-6)
    back = color_convert(linear, to=SRGB)
    assert np.array_equal(np.round(row(back)[:, 0] * 255), codes)


@given(st.floats(-100, 100, width=32), st.sampled_from([SRGB, "g22_rec709_scene", "g18_rec709_scene"]))
def test_conversion_and_back_at_any_value(value: float, space: Any) -> None:
    source = image([value] * 3, color=LINEAR)
    back = color_convert(color_convert(source, to=space), to=LINEAR)
    np.testing.assert_allclose(back.array, source.array, rtol=3e-5, atol=1e-7)


def test_convention_negative_values_are_mirrored() -> None:
    values = np.array([0.001, 0.5, 3])
    for to in (LINEAR, SRGB):
        color = SRGB if to == LINEAR else LINEAR
        up, down = (row(color_convert(image(values * sign, color=color), to=to)) for sign in (1, -1))  # type: ignore[arg-type]  # a loop over literals
        assert np.array_equal(up, -down)
        assert up.max() > 1


def test_set_color_keeps_the_values_and_their_type() -> None:
    source = Image(np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3))
    found = set_color(source, color="data")
    assert found.color == "data"
    assert found.dtype == "uint8"
    assert np.array_equal(found.buffer, source.buffer)


def test_convention_gray_is_rec_709_and_back_is_equal_channels() -> None:
    gray = to_gray(image([[1, 0, 0, 0.5], [0, 1, 0, 0.5]], "RGBA"))
    assert gray.channels == ("Y", "A")
    np.testing.assert_allclose(row(gray), [[0.2126, 0.5], [0.7152, 0.5]], rtol=1e-6)
    color = to_rgb(gray)
    assert color.channels == ("R", "G", "B", "A")
    np.testing.assert_allclose(to_gray(color).array, gray.array, rtol=1e-6)
    assert to_gray(gray) is gray
    assert to_rgb(color) is color


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grade(image([1, 1, 1]), whitepoint=0), "whitepoint and blackpoint are both 0"),
        (lambda: gamma(image([1, 1, 1]), value=0), "gamma must be above 0, got 0"),
        (lambda: levels(image([1, 1, 1]), in_low=1), "in_low and in_high must differ"),
        (lambda: clamp(image([1, 1, 1]), low=2), "low is 2, high is 1"),
        (lambda: grade(image([1], "Y"), gain=[1, 2, 3]), "'gain' has values for R, G and B, but the image has Y"),
        (lambda: invert(image([1], "Z")), "no colour channels, only Z"),
        (lambda: color_convert(image([1, 1, 1], color="data"), to=SRGB), "the image is data: set_color"),
        (lambda: color_convert(image([1, 1, 1], color="pq_rec2020_display"), to=SRGB), "display: color_convert conv"),
        (lambda: to_gray(image([1], "Z")), "to_gray wants an image with R, G and B, this has Z"),
        (lambda: to_rgb(image([1], "Z")), "to_rgb wants an image with Y, this has Z"),
    ],
)  # fmt: skip
def test_refusals(call: Callable[[], Image], message: str) -> None:
    with pytest.raises(OperationError, match=message):
        call()


LINES: dict[str, Callable[[Image], Image]] = {
    "exposure": lambda image: exposure(image, stops=1.3),
    "levels": lambda image: levels(image, in_low=0.1, in_high=[0.7, 0.8, 0.9], out_low=0.05),
    "grade": lambda image: grade(image, gain=1.3, offset=-0.1),
    "contrast": lambda image: contrast(image, amount=1.4, brightness=0.1),
    "gamma": lambda image: gamma(image, value=[2.2, 0.6, 1.0]),
    "levels and gamma": lambda image: levels(image, in_low=0.1, in_high=0.9, gamma=1.7, out_high=0.8),
    "grade and gamma": lambda image: grade(image, gain=1.3, offset=-0.1, gamma=0.4),
    "contrast by power": lambda image: contrast(image, amount=1.4, curve="power", pivot=0.18, brightness=0.1),
    "cdl": lambda image: cdl(image, slope=1.1, offset=0.02, power=[0.8, 1.2, 5]),
    "cdl, clamped": lambda image: cdl(image, slope=1.1, offset=-0.1, power=1.2, clamp=True),
    "invert": invert,
    "clamp": lambda image: clamp(image, low=0.2, high=0.7),
    "hue_shift": lambda image: hue_shift(image, degrees=50),
    "saturation": lambda image: saturation(image, amount=1.4),
    "decoded": lambda image: color_convert(image, to=LINEAR),
    "encoded": lambda image: color_convert(set_color(image, color=LINEAR), to="srgb_p3d65_scene"),
    "powers": lambda image: color_convert(set_color(image, color="g18_rec709_scene"), to="g22_adobergb_scene"),
    "color_convert": lambda image: color_convert(set_color(image, color=LINEAR), to="lin_ap1_scene"),
}


@pytest.mark.parametrize("name", LINES)
def test_compiled_lines_and_matrices_are_what_formulas_give(name: str, as_formulas: Callable[..., None]) -> None:
    as_formulas(LINES[name])


@pytest.mark.parametrize("exponent", [1 / 2.2, 2.4, 0.1, 7])
def test_compiled_powers_are_those_of_doubles(exponent: float, compiled: None) -> None:
    values = np.exp2(np.random.default_rng(2).uniform(-148, 127, 4000)).astype(np.float32)
    values[:8] = [1, 2, 0.5, 1e-45, 1.1754944e-38, np.float32(1) - np.float32(2**-24), 3.4028235e38, 0.18]
    found = cdl(Image(values[None, None, :, None], channels=("Y",)), power=exponent).array.ravel()
    with np.errstate(over="ignore"):
        expected = (values.astype(np.float64) ** exponent).astype(np.float32)
    np.testing.assert_allclose(found, expected, rtol=3e-7, atol=1e-35)


@pytest.mark.parametrize("width", [1100, 1101])
def test_compiled_lines_over_much_at_once_are_the_same(
    width: int, compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = Image(np.random.default_rng(1).random((1, 1000, width, 1), np.float32), channels=("Y",))
    few = levels(picture, in_low=0.2).array
    monkeypatch.setattr("pipeline_core.passes.LEAST", 1 << 30)  # written past the caches
    assert np.array_equal(levels(picture, in_low=0.2).array, few)

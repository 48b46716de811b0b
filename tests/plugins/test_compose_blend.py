"""Blend modes and arithmetic: against formulas written pixel by pixel, light above 1, flags, grains, arrays and tensors."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pipeline_compose import canvas, keymix, merge, mix
from pipeline_compose.blend import NON_SEPARABLE, SEPARABLE
from pipeline_compose.layers import with_alpha_last
from pipeline_compose.operators import RULES, Operator
from pipeline_compose.porter_duff import ARITHMETIC

from pipeline_core import Image, Mask, OperationError
from pipeline_core.operation import read

OPERATORS = typing.get_args(Operator)
RGBA = tuple("RGBA")
Floats = np.ndarray[Any, Any]


def picture(seed: int, channels: str = "RGBA", *, alpha: str = "straight", size: tuple[int, int] = (6, 5)) -> Image:
    """Random values, among them many that are exactly 0, 0.25, 0.5 or 1."""
    rng = np.random.default_rng(seed)
    values = rng.random((1, size[1], size[0], len(channels)))
    values = np.where(rng.random(values.shape) < 0.4, rng.choice([0, 0.25, 0.5, 1], values.shape), values)
    state: Any = alpha if "A" in channels else "none"
    straight = Image(
        values.astype(np.float32), channels=tuple(channels), alpha="straight" if "A" in channels else "none"
    )
    return straight.with_alpha_state(state)


def colors(*rows: list[float], channels: str = "RGB", **fields: Any) -> Image:
    return Image(np.array(rows, np.float32)[None, None], channels=tuple(channels), **fields)


# --- the formulas of the W3C's text and of Photoshop's modes, for one number at a time --------------------------------


def soft_light(b: float, s: float) -> float:
    if s <= 0.5:
        return b - (1 - 2 * s) * b * (1 - b)
    d = ((16 * b - 12) * b + 4) * b if b <= 0.25 else math.sqrt(b)
    return b + (2 * s - 1) * (d - b)


def dodge(b: float, s: float) -> float:
    return 0 if b == 0 else 1 if s == 1 else min(1, b / (1 - s))


def burn(b: float, s: float) -> float:
    return 1 if b == 1 else 0 if s == 0 else 1 - min(1, (1 - b) / s)


def hard_light(b: float, s: float) -> float:
    return 2 * b * s if s <= 0.5 else b + (2 * s - 1) - b * (2 * s - 1)


def vivid_light(b: float, s: float) -> float:
    if s in (0, 1):
        return s
    return burn(b, 2 * s) if s <= 0.5 else dodge(b, 2 * s - 1)


def hard_mix(b: float, s: float) -> float:
    return float(b > 0.5) if abs(b + s - 1) < 1e-6 else float(b + s > 1)


def clip(value: float) -> float:
    return min(1.0, max(0.0, value))


ONE_BY_ONE: dict[str, Callable[[float, float], float]] = {
    "multiply": lambda b, s: b * s,
    "screen": lambda b, s: 1 - (1 - b) * (1 - s),
    "overlay": lambda b, s: hard_light(s, b),
    "darken": min,
    "lighten": max,
    "color-dodge": dodge,
    "color-burn": burn,
    "hard-light": hard_light,
    "soft-light": soft_light,
    "difference": lambda b, s: abs(b - s),
    "exclusion": lambda b, s: b + s - 2 * b * s,
    "linear-burn": lambda b, s: clip(b + s - 1),
    "linear-dodge": lambda b, s: clip(b + s),
    "vivid-light": vivid_light,
    "linear-light": lambda b, s: clip(b + 2 * s - 1),
    "pin-light": lambda b, s: min(b, 2 * s) if s <= 0.5 else max(b, 2 * s - 1),
    "hard-mix": hard_mix,
    "subtract": lambda b, s: clip(b - s),
    "divide": lambda b, s: 0 if b == 0 else 1 if s == 0 else clip(b / s),
    "grain-extract": lambda b, s: clip(b - s + 0.5),
    "grain-merge": lambda b, s: clip(b + s - 0.5),
}


def lum(c: list[float]) -> float:
    return 0.3 * c[0] + 0.59 * c[1] + 0.11 * c[2]


def sat(c: list[float]) -> float:
    return max(c) - min(c)


def set_lum(c: list[float], wanted: float) -> list[float]:
    c = [x + wanted - lum(c) for x in c]
    low, high, middle = min(c), max(c), lum(c)
    if low < 0:
        c = [middle + (x - middle) * middle / (middle - low) for x in c]
    if high > 1:
        c = [middle + (x - middle) * (1 - middle) / (high - middle) for x in c]
    return c


def set_sat(c: list[float], wanted: float) -> list[float]:
    least, _, most = sorted(range(3), key=lambda i: c[i])
    out = [0.0, 0.0, 0.0]
    if c[most] > c[least]:
        for i in range(3):
            out[i] = (c[i] - c[least]) * wanted / (c[most] - c[least])
    return out


TOGETHER: dict[str, Callable[[list[float], list[float]], list[float]]] = {
    "hue": lambda b, s: set_lum(set_sat(s, sat(b)), lum(b)),
    "saturation": lambda b, s: set_lum(set_sat(b, sat(s)), lum(b)),
    "color": lambda b, s: set_lum(s, lum(b)),
    "luminosity": lambda b, s: set_lum(b, lum(s)),
    "darker-color": lambda b, s: s if lum(s) < lum(b) else b,
    "lighter-color": lambda b, s: s if lum(s) > lum(b) else b,
}


def blended(mode: str, b: list[float], s: list[float]) -> list[float]:
    if mode in TOGETHER:
        return TOGETHER[mode](b, s)
    return [ONE_BY_ONE[mode](x, y) for x, y in zip(b, s, strict=True)]


def test_every_mode_has_its_reference() -> None:
    assert set(ONE_BY_ONE) == set(SEPARABLE)
    assert set(TOGETHER) == set(NON_SEPARABLE)
    assert set(OPERATORS) == set(RULES)


@pytest.mark.parametrize("mode", [*ONE_BY_ONE, *TOGETHER])
def test_blend_modes_are_the_general_formula_of_the_w3c(mode: Operator) -> None:
    base, top = picture(1), picture(2)
    found = merge(base, top, operation=mode).associate().array.reshape(-1, 4)
    for b, s, pixel in zip(base.array.reshape(-1, 4), top.array.reshape(-1, 4), found, strict=True):
        (*cb, ab), (*cs, a) = b.tolist(), s.tolist()
        mixed = [(1 - ab) * x + ab * y for x, y in zip(cs, blended(mode, cb, cs), strict=True)]
        expected = [a * x + (1 - a) * ab * y for x, y in zip(mixed, cb, strict=True)]
        # A straight colour that went through alpha and back may fall on the other side of a threshold.
        np.testing.assert_allclose(pixel, [*expected, a + ab * (1 - a)], atol=2e-6, err_msg=f"{b} {s}")


ARITHMETIC_ONE_BY_ONE: dict[str, Callable[[float, float, float, float], float]] = {
    "average": lambda t, b, ta, ba: (t + b) / 2,
    "min": lambda t, b, ta, ba: min(t, b),
    "max": lambda t, b, ta, ba: max(t, b),
    "hypot": lambda t, b, ta, ba: math.hypot(t, b),
    "geometric": lambda t, b, ta, ba: 2 * t * b / (t + b) if t + b else 0,
    "minus": lambda t, b, ta, ba: t - b,
    "from": lambda t, b, ta, ba: b - t,
    "conjoint-over": lambda t, b, ta, ba: t if ta >= ba else t + b * (1 - ta / ba),
    "disjoint-over": lambda t, b, ta, ba: t + b if ta + ba < 1 else t + b * (1 - ta) / ba,
    "matte": lambda t, b, ta, ba: ((t / ta if ta else 0) * ta + (b / ba if ba else 0) * (1 - ta)) * (ta + ba - ta * ba),
}
ALPHA_OF_OVER = {"minus", "from", "matte"}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_is_nukes(name: Operator) -> None:
    base, top = picture(3, alpha="associated"), picture(4, alpha="associated")
    found = merge(base, top, operation=name).array.reshape(-1, 4)
    formula = ARITHMETIC_ONE_BY_ONE[name]
    for b, t, pixel in zip(base.array.reshape(-1, 4), top.array.reshape(-1, 4), found, strict=True):
        (*_, ba), (*_, ta) = b.tolist(), t.tolist()
        expected = [formula(x, y, ta, ba) for x, y in zip(t.tolist(), b.tolist(), strict=True)]
        expected[3] = ta + ba - ta * ba if name in ALPHA_OF_OVER else clip(expected[3])
        np.testing.assert_allclose(pixel, expected, atol=2e-6, err_msg=f"{b} {t}")


def test_normal_is_over() -> None:
    base, top = picture(1), picture(2)
    assert np.array_equal(merge(base, top, operation="normal").array, merge(base, top).array)


# --- what the rules promise -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", OPERATORS)
def test_rules_keep_what_they_promise(operator: Operator) -> None:
    base, top = picture(5, alpha="associated"), picture(6, alpha="associated")
    rule = RULES[operator]
    opaque = base.with_array(np.concatenate([base.array[..., :3], np.ones_like(base.array[..., 3:])], axis=-1))
    over_opaque = merge(opaque, top, operation=operator).array[..., 3]
    assert np.allclose(over_opaque, 1) == rule.keeps_opaque
    clear = top.with_array(np.zeros_like(top.array))
    below = base.with_array(base.array - np.float32([0.5, 0.5, 0.5, 0]))  # negative values too
    unchanged = np.allclose(merge(below, clear, operation=operator).array, below.array, atol=1e-6)
    assert unchanged == rule.keeps_outside


@pytest.mark.parametrize("mode", [*SEPARABLE, *NON_SEPARABLE])
def test_convention_light_above_1_is_held_by_the_inputs_not_by_1(mode: Operator) -> None:
    bright, dim = colors([4, 2, 3], [4, 2, 3], [-0.5, 2, 0.5]), colors([0.5, 0.25, 0.75], [6, 5, 1], [0.5, 0.25, 2])
    found = merge(bright, dim, operation=mode).array
    assert np.isfinite(found).all()
    if mode in ("linear-dodge", "color-dodge", "lighten", "divide", "linear-light", "grain-merge", "vivid-light"):
        assert found[0, 0, 0, [0, 2]].tolist() == [4, 3]
        assert found[0, 0, 0, 1] > 1
    if mode in ("luminosity", "color", "hue", "saturation"):
        assert found.max() <= 6 + 1e-5
        luma = found @ np.float32([0.3, 0.59, 0.11])
        wanted = (dim if mode == "luminosity" else bright).array @ np.float32([0.3, 0.59, 0.11])
        np.testing.assert_allclose(luma, wanted, atol=1e-5)


@pytest.mark.parametrize("mode", NON_SEPARABLE)
def test_gray_has_neither_hue_nor_saturation(mode: Operator) -> None:
    base, top = colors([0.25], [0.75], channels="Y"), colors([0.5], [0.5], channels="Y")
    takes_top = {"luminosity": [0.5, 0.5], "darker-color": [0.25, 0.5], "lighter-color": [0.5, 0.75]}
    found = merge(base, top, operation=mode).array.ravel()
    np.testing.assert_allclose(found, takes_top.get(mode, [0.25, 0.75]), atol=1e-6)


def test_colors_that_are_not_whole_are_refused() -> None:
    pair = colors([0.1, 0.2], channels="RG")
    assert merge(pair, pair, operation="multiply").channels == ("R", "G")
    with pytest.raises(OperationError, match="hue wants R, G and B together, or Y, there is only R, G"):
        merge(pair, pair, operation="hue")


def test_each_layer_of_channels_is_a_color_of_its_own() -> None:
    names = ("diffuse.B", "B", "R", "diffuse.R", "G", "A", "diffuse.G")
    rng = np.random.default_rng(9)
    base, top = (Image(rng.random((1, 3, 4, 7), np.float32), channels=names, alpha="straight") for _ in range(2))
    found = merge(base, top, operation="saturation")

    def part(image: Image, prefix: str) -> Image:
        at = [names.index(f"{prefix}{c}") for c in "RGB"] + [names.index("A")]
        return Image(image.array[..., at], channels=RGBA, alpha="straight")

    for prefix in ("", "diffuse."):
        alone = merge(part(base, prefix), part(top, prefix), operation="saturation")
        np.testing.assert_allclose(part(found, prefix).array, alone.array, atol=1e-6)


# --- dissolve ---------------------------------------------------------------------------------------------------------


def flat(value: float, alpha: float, size: int = 64) -> Image:
    return Image(np.full((1, size, size, 4), [value] * 3 + [alpha], np.float32), channels=RGBA, alpha="straight")


def test_dissolve_shows_all_or_nothing_as_often_as_alpha_says() -> None:
    found = merge(flat(0, 1), flat(1, 0.25), operation="dissolve", opacity=0.5).array[0]
    assert set(np.unique(found[..., 0])) == {0.0, 1.0}
    assert found[..., 0].mean() == pytest.approx(0.125, abs=0.02)
    assert np.all(found[..., 3] == 1)
    empty = merge(flat(0, 0), flat(1, 0.25), operation="dissolve").array[0]
    assert set(np.unique(empty[..., 3])) == {0.0, 1.0}


def test_dissolve_hangs_on_seed_and_place_alone() -> None:
    base, top = flat(0, 1), flat(1, 0.5)

    def grains(*images: Image, **params: Any) -> Floats:
        return merge(*images, operation="dissolve", **params).array

    first = grains(base, top)
    assert np.array_equal(first, grains(base, top))
    others = [grains(base, top, seed=seed) for seed in (1, 2**32, 2**62)]
    for other in others:
        assert 0.4 < (first != other)[..., 0].mean() < 0.6
    two = base.with_array(np.concatenate([base.array, base.array]))
    assert np.array_equal(grains(two, top)[1], first[0])
    # No stripes: every row and every column has about half of the grains.
    assert abs(first[0, ..., 0].mean(axis=0) - 0.5).max() < 0.3
    assert abs(first[0, ..., 0].mean(axis=1) - 0.5).max() < 0.3


def test_only_pointwise_merges_are_said_to_be() -> None:
    support: Any = read(merge, plugin="pipeline_compose").facts.support
    assert support(operation="multiply", x=None) == 0
    for params in ({"operation": "dissolve"}, {"x": 0}, {"position": "center"}, {"extent": "union"}):
        assert support(**params) == math.inf


# --- one formula, two libraries; bands ----------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", OPERATORS)
def test_torch_gives_what_numpy_gives(operator: Operator) -> None:
    base, top = picture(7), picture(8, alpha="associated")
    planes = [with_alpha_last(image, "RGB") for image in (top, base)]
    with np.errstate(all="ignore"):
        expected = RULES[operator].merge(*planes)
    found = RULES[operator].merge(*map(torch.from_numpy, planes))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@given(st.integers(1, 60), st.booleans())
def test_bands_make_no_difference(pixels: int, straight: bool) -> None:
    base, top = picture(1, size=(7, 9)), picture(2, size=(7, 9))
    base = base if straight else base.associate()
    whole = merge(base, top, operation="soft-light").array
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "BAND", pixels)
        assert np.array_equal(merge(base, top, operation="soft-light").array, whole)


# --- frames -------------------------------------------------------------------------------------------------------------


def test_convention_position_leaves_the_odd_pixel_right_and_below() -> None:
    base, top = flat(0, 1, 8), flat(1, 1, 3)
    for position, corner in {
        "top-left": (0, 0), "top": (0, 2), "top-right": (0, 5), "left": (2, 0), "center": (2, 2), "right": (2, 5),
        "bottom-left": (5, 0), "bottom": (5, 2), "bottom-right": (5, 5),
    }.items():  # fmt: skip
        found = np.argwhere(merge(base, top, position=position).array[0, ..., 0] == 1)  # type: ignore[arg-type]
        assert (tuple(found.min(axis=0)), tuple(found.max(axis=0))) == (corner, (corner[0] + 2, corner[1] + 2))
    moved = merge(base, top, position="center", x=1, y=-2).array[0, ..., 0]
    assert np.argwhere(moved == 1).min(axis=0).tolist() == [0, 3]


def test_union_holds_both() -> None:
    base, top = colors([0.25, 0.5, 0.75]), flat(1, 0.5, 2)
    found = merge(base, top, x=-1, y=0, extent="union")
    assert (found.size, found.alpha) == ((2, 2), "straight")
    assert found.array[0, 1].tolist() == [[1, 1, 1, 0.5]] * 2
    assert found.array[0, 0, 1].tolist() == [0.625, 0.75, 0.875, 1]
    everything = merge(base, top, x=3, y=-4, extent="union")
    assert everything.size == (5, 5)
    assert everything.array[0, 4, 0].tolist() == [0.25, 0.5, 0.75, 1]
    masked = merge(base, top, Mask(np.ones((1, 1, 1, 1), np.float32)), x=-1, y=0, extent="union")
    assert np.count_nonzero(masked.array[..., 3]) == 1  # the mask is 0 beyond base
    tile = merge(base.with_buffer(base.buffer, wrap=(True, False)), flat(1, 0.5, 1), y=1, x=4, extent="union")
    assert tile.size == (1, 2)


def test_outside_a_placed_top_base_is_untouched_to_the_bit() -> None:
    base = picture(3)  # straight, with colours under alpha 0
    found = merge(base, flat(1, 1, 2), x=1, y=1, operation="multiply").array
    outside = np.ones((5, 6), bool)
    outside[1:3, 1:3] = False
    assert np.array_equal(found[0][outside], base.array[0][outside])


# --- mix and keymix -----------------------------------------------------------------------------------------------------


def test_mix() -> None:
    base, top = picture(1), picture(2)
    mixed = mix(base, top, amount=0.25).associate().array
    np.testing.assert_allclose(mixed, 0.75 * base.associate().array + 0.25 * top.associate().array, atol=1e-6)
    opaque = mix(picture(1, "RGB"), picture(2, "RGB"))
    assert opaque.channels == tuple("RGB")
    np.testing.assert_allclose(opaque.array, (picture(1, "RGB").array + picture(2, "RGB").array) / 2, atol=1e-6)
    assert mix(picture(1, "RGB"), top).alpha == "straight"


def test_keymix() -> None:
    base, top = picture(1, alpha="associated"), picture(2, alpha="associated")
    matte = Mask(np.random.default_rng(3).integers(0, 2, (1, 5, 6, 1)).astype(np.float32))
    assert np.array_equal(keymix(base, top, matte).array, np.where(matte.array == 1, top.array, base.array))
    half = keymix(base, top, matte, amount=0.5).array
    np.testing.assert_allclose(half, base.array + (top.array - base.array) * matte.array / 2, atol=1e-6)

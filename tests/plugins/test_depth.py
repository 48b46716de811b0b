"""Pictures with a depth channel: merged, masked, in fog."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_depth import depth_composite, depth_to_mask, fog, z_merge

from pipeline_core import Image, OperationError
from pipeline_core.image import Alpha

RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def pixel(color: tuple[float, float, float], alpha: float, z: float, state: Alpha = "associated") -> Image:
    """One pixel of RGBAZ; `color` is straight."""
    scale = alpha if state == "associated" else 1
    values = np.array([*(c * scale for c in color), alpha, z], np.float32)
    return Image(values.reshape(1, 1, 1, 5), channels=("R", "G", "B", "A", "Z"), alpha=state)


def depths(*values: float) -> Image:
    return Image(np.array(values, np.float32).reshape(1, 1, -1, 1), channels=("Z",), color="data")


def noise(seed: int, tied: bool = False) -> Image:
    rng = np.random.default_rng(seed)
    array = rng.random((1, 6, 7, 5), dtype=np.float32)
    array[..., :3] *= array[..., 3:4]
    if tied:
        array[..., 3:] = np.round(array[..., 3:] * 2) / 2
    return Image(array, channels=("R", "G", "B", "A", "Z"), alpha="associated")


def test_the_nearer_is_over_the_farther_wherever_it_stands_in_the_list() -> None:
    near, far = pixel(RED, 0.5, 1), pixel(GREEN, 1, 2)
    for images in ([near, far], [far, near]):
        np.testing.assert_allclose(z_merge(images).array.ravel(), [0.5, 0.5, 0, 1, 1])


def test_z_merge_keeps_the_straight_state_it_is_given() -> None:
    result = z_merge([pixel(RED, 0.5, 1, "straight"), pixel(GREEN, 0.5, 2, "straight")])
    assert result.alpha == "straight"
    np.testing.assert_allclose(result.array.ravel(), [2 / 3, 1 / 3, 0, 0.75, 1], rtol=1e-6)


def test_images_without_alpha_are_opaque() -> None:
    first, second = (Image(np.full((1, 1, 2, 2), v, np.float32), channels=("Y", "Z")) for v in (3, 2))
    result = z_merge([first, second])
    assert result.alpha == "none"
    np.testing.assert_array_equal(result.array, second.array)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 4))
def test_z_merge_does_not_depend_on_the_order_even_of_ties(seed: int, count: int) -> None:
    images = [noise(seed + i, tied=True) for i in range(count)]
    assert len({z_merge(list(order)).array.tobytes() for order in permutations(images)}) == 1


def test_what_is_opaque_hides_infinity_and_nan() -> None:
    bright = pixel((math.inf, math.nan, 1), 1, 5)
    np.testing.assert_array_equal(z_merge([bright, pixel(RED, 1, 1)]).array.ravel(), [1, 0, 0, 1, 1])


def test_convention_z_is_of_the_nearest_image_that_is_not_clear() -> None:
    assert z_merge([pixel(RED, 0, 1), pixel(GREEN, 0.5, 2), pixel(BLUE, 1, 3)]).array[0, 0, 0, 4] == 2
    assert z_merge([pixel(RED, 0, 1), pixel(GREEN, 0, 2)]).array[0, 0, 0, 4] == 2


def test_convention_at_equal_depth_the_less_opaque_is_in_front() -> None:
    result = z_merge([pixel(GREEN, 1, 1), pixel(RED, 0.25, 1)])
    np.testing.assert_allclose(result.array.ravel(), [0.25, 0.75, 0, 1, 1])


def test_convention_a_depth_of_nan_is_infinitely_far() -> None:
    np.testing.assert_array_equal(z_merge([pixel(RED, 1, math.nan), pixel(GREEN, 1, 1e30)]).array[0, 0, 0, :3], GREEN)


def test_a_depth_of_zero_can_mean_that_nothing_is_there() -> None:
    images = [pixel(RED, 1, 0), pixel(GREEN, 1, 5)]
    np.testing.assert_array_equal(z_merge(images).array[0, 0, 0, :3], RED)
    np.testing.assert_array_equal(z_merge(images, zero_is_infinite=True).array[0, 0, 0, :3], GREEN)


def test_meta_keeps_what_all_agree_on() -> None:
    first, second = (noise(1).with_array(noise(i).array, meta={"shot": "a", "take": str(i)}) for i in (1, 2))
    assert dict(z_merge([first, second]).meta) == {"shot": "a"}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Image(np.zeros((1, 1, 1, 3), np.float32)), "channel 'Z'"),
        (noise(1), "one size"),
        (pixel(RED, 1, 1, "straight"), "premultiply"),
        (pixel(RED, 1, 1).with_array(pixel(RED, 1, 1).array, color="lin_rec709_scene"), "color_convert"),
    ],
)
def test_z_merge_refuses_images_that_do_not_fit(other: Image, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        z_merge([pixel(RED, 1, 1), other])


def test_depth_composite_shows_the_nearer_of_two() -> None:
    base = Image(np.array([GREEN, GREEN], np.float32).reshape(1, 1, 2, 3))
    top = Image(np.array([RED, RED], np.float32).reshape(1, 1, 2, 3))
    result = depth_composite(base, top, depths(1, 3), depths(2, 2))
    np.testing.assert_array_equal(result.array[0, 0], [GREEN, RED])


def test_a_soft_depth_edge_is_a_linear_ramp() -> None:
    base = Image(np.zeros((1, 1, 5, 1), np.float32), channels=("Y",))
    top = base.with_array(np.ones((1, 1, 5, 1), np.float32))
    result = depth_composite(base, top, depths(0, 0.5, 1, 1.5, 2), depths(1, 1, 1, 1, 1), softness=2)
    np.testing.assert_allclose(result.array.ravel(), [0, 0.25, 0.5, 0.75, 1])


def test_tolerance_lets_top_lie_a_little_behind() -> None:
    base, top = pixel(GREEN, 1, 1), pixel(RED, 1, 1.1)
    np.testing.assert_array_equal(depth_composite(base, top).array.ravel()[:3], GREEN)
    np.testing.assert_array_equal(depth_composite(base, top, tolerance=0.2).array.ravel()[:3], RED)


def test_a_hard_depth_composite_is_z_merge_of_two() -> None:
    base, top = noise(1), noise(2)
    np.testing.assert_array_equal(depth_composite(base, top).array, z_merge([base, top]).array)


def test_convention_at_equal_depth_top_is_in_front() -> None:
    assert depth_composite(pixel(GREEN, 1, 1), pixel(RED, 1, 1)).array[0, 0, 0, 0] == 1
    assert depth_composite(pixel(GREEN, 1, math.inf), pixel(RED, 1, math.nan), softness=1).array[0, 0, 0, 0] == 0.5


def test_depth_composite_asks_for_a_depth() -> None:
    plain = Image(np.zeros((1, 1, 1, 3), np.float32))
    with pytest.raises(OperationError, match="no depth: a channel 'Z'"):
        depth_composite(plain, plain)


def test_convention_the_ends_of_a_depth_range_are_inside_and_the_fade_is_outside() -> None:
    z = depths(1, 1.5, 2, 3, 3.5, 4, math.nan, math.inf)
    hard = depth_to_mask(z, near=2, far=3).array.ravel()
    np.testing.assert_array_equal(hard, [0, 0, 1, 1, 0, 0, 0, 0])
    soft = depth_to_mask(z, near=2, far=3, softness=1).array.ravel()
    np.testing.assert_allclose(soft, [0, 0.5, 1, 1, 0.5, 0, 0, 0])


def test_a_depth_range_may_be_open() -> None:
    z = depths(-5, 2, 1e30, math.inf)
    np.testing.assert_array_equal(depth_to_mask(z, near=2, far=math.inf, softness=1).array.ravel(), [0, 1, 1, 1])
    with pytest.raises(OperationError, match="near must not be beyond far"):
        depth_to_mask(z, near=3, far=2)


@pytest.mark.parametrize(
    ("falloff", "clear"),
    [("linear", 0.75), ("exponential", math.exp(-1.0)), ("exponential-squared", math.exp(-1.0))],
)
def test_fog_follows_the_formulas_of_opengl(falloff: str, clear: float) -> None:
    image = Image(np.array([0.8, 0.4, 0.2, 3], np.float32).reshape(1, 1, 1, 4), channels=("R", "G", "B", "Z"))
    result = fog(image, color=(1, 0, 0, 1), falloff=falloff, density=0.5, near=1, far=9)  # type: ignore[arg-type]
    expected = [0.8 * clear + (1 - clear), 0.4 * clear, 0.2 * clear, 3]
    np.testing.assert_allclose(result.array.ravel(), expected, rtol=1e-6)


def test_fog_hides_what_is_infinitely_far_and_is_no_more_opaque_than_it() -> None:
    thin = pixel((math.inf, 0, 0), 0.5, math.inf)
    np.testing.assert_array_equal(fog(thin, color=(*BLUE, 1.0)).array[0, 0, 0, :4], [0, 0, 0.5, 0.5])
    clear = pixel(RED, 0.5, 7)
    np.testing.assert_array_equal(fog(clear, density=0).array, clear.array)


def test_fog_takes_its_depth_from_a_second_picture() -> None:
    image = Image(np.ones((1, 1, 2, 3), np.float32))
    result = fog(image, depths(0, 1e30), color=(0, 0, 0, 0.5))
    np.testing.assert_array_equal(result.array[0, 0, :, 0], [1, 0.5])
    with pytest.raises(OperationError, match="size of the image"):
        fog(image, depths(1, 2, 3))


@pytest.mark.parametrize("softness", [0.0, 0.25])
@pytest.mark.parametrize("ends", [(0.2, 0.6), (-np.inf, 0.5), (0.5, np.inf), (0.3, 0.3)])
def test_compiled_ranges_of_depth_are_what_formulas_give(
    ends: tuple[float, float], softness: float, as_formulas: Callable[..., None]
) -> None:
    as_formulas(
        lambda image: depth_to_mask(image, near=ends[0], far=ends[1], softness=softness), ("Y", "ABRGZ"), within=1e-5
    )

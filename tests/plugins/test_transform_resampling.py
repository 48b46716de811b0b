"""resize and rotate: no fringes, no seams, right places, right values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_transform import offset, resize, rotate, rotate90
from pipeline_transform.resampling import Span, Sums

from pipeline_core import Image, Mask, OperationError

FILTERS = ("nearest", "bilinear", "bicubic", "mitchell", "lanczos3", "area")
SMOOTH = FILTERS[1:]
TURNING = FILTERS[:-1]
quick = settings(max_examples=40, deadline=None)


def noise(width: int, height: int, channels: str = "RGBA", seed: int = 0, **fields: Any) -> Image:
    buffer = np.random.default_rng(seed).random((fields.pop("batch", 1), height, width, len(channels)), np.float32)
    fields.setdefault("alpha", "straight" if "A" in channels else "none")
    return Image(buffer, channels=tuple(channels), **fields)


def disc(size: int = 24, alpha: Any = "straight") -> Image:
    """An orange disc; what is under the transparent rest is green, to be seen if it bleeds."""
    y, x = np.mgrid[:size, :size] + 0.5
    inside = np.hypot(x - size / 2, y - size / 2)[None, ..., None] < size / 3
    buffer = np.where(inside, np.float32([1, 0.5, 0, 1]), np.float32([0, 1, 0, 0]))
    image = Image(buffer, channels=tuple("RGBA"), alpha="straight")
    return image.with_alpha_state(alpha)


def ramp(width: int, height: int) -> Image:
    """Values are the pixel centres' own places: x in R, y in G."""
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    return Image(np.stack([x, y], -1)[None], channels=("R", "G"))


# --- resize


@quick
@given(st.tuples(*[st.integers(1, 9)] * 4), st.floats(-2, 5), st.sampled_from(FILTERS), st.booleans(), st.booleans())
def test_a_constant_stays_constant(
    sizes: tuple[int, int, int, int], value: float, kind: Any, antialias: bool, tiles: bool
) -> None:
    width, height, new_width, new_height = sizes
    image = Image(np.full((1, height, width, 3), value, np.float32), wrap=(tiles, tiles))
    result = resize(image, width=new_width, height=new_height, filter=kind, antialias=antialias)
    assert result.size == (new_width, new_height)
    assert result.array == pytest.approx(value, abs=2e-6)


@pytest.mark.parametrize("kind", SMOOTH)
@pytest.mark.parametrize("size", [(5, 7), (40, 33)], ids=["smaller", "larger"])
@pytest.mark.parametrize("state", ["straight", "associated"])
def test_transparent_pixels_bleed_no_colour(kind: Any, size: tuple[int, int], state: Any) -> None:
    image = disc(alpha=state)
    result = resize(image, width=size[0], height=size[1], filter=kind)
    assert result.alpha == state
    straight = result.unassociate().array
    visible = np.abs(straight[..., 3]) > 1e-3
    assert visible.any()
    assert straight[visible][:, :3] == pytest.approx(np.broadcast_to([1, 0.5, 0], (visible.sum(), 3)), abs=1e-4)


@pytest.mark.parametrize("kind", SMOOTH)
@pytest.mark.parametrize("factor", [0.4, 0.77, 1.9])
def test_a_tile_stays_a_tile(kind: Any, factor: float) -> None:
    tile = noise(20, 14, "RGB", wrap=(True, True))
    nine = Image(np.tile(tile.buffer, (1, 3, 3, 1)))
    width, height = round(20 * factor), round(14 * factor)
    small = resize(tile, width=width, height=height, filter=kind)
    large = resize(nine, width=3 * width, height=3 * height, filter=kind)
    assert small.wrap == (True, True)
    assert small.array == pytest.approx(large.array[:, height : 2 * height, width : 2 * width], abs=1e-5)


def test_a_tile_resized_and_shifted_is_the_tile_shifted_and_resized() -> None:
    tile = noise(16, 16, "RGB", wrap=(True, True))
    a = resize(offset(tile, x=8, y=4), width=8, height=8)
    b = offset(resize(tile, width=8, height=8), x=4, y=2)
    assert a.array == pytest.approx(b.array, abs=1e-6)


@pytest.mark.parametrize("kind", SMOOTH)
def test_convention_pixel_centres_of_resize(kind: Any) -> None:
    """The corners of the picture stay where they are: a pixel's value is its place in the old picture."""
    small = resize(ramp(40, 60), width=10, height=15, filter=kind).array[0, 3:-3, 3:-3]
    y, x = np.mgrid[3:12, 3:7] + 0.5
    assert small[..., 0] == pytest.approx(x * 4, abs=1e-4)
    assert small[..., 1] == pytest.approx(y * 4, abs=1e-4)


def test_convention_nearest_takes_the_pixel_under_the_centre() -> None:
    row = Image(np.arange(7, dtype=np.uint8).reshape(1, 1, 7, 1), channels=("Y",))
    assert resize(row, width=3, height=1, filter="nearest").buffer.ravel().tolist() == [1, 3, 5]
    assert resize(row, width=14, height=1, filter="nearest").buffer.ravel().tolist() == [i // 2 for i in range(14)]


def test_convention_rounding_of_sizes() -> None:
    image = noise(10, 5, "RGB")
    assert resize(image, width=5).size == (5, 3)  # 2.5 up
    assert resize(image, scale=0.25).size == (3, 1)  # 2.5 up, 1.25 down
    assert resize(image, width=1).size == (1, 1)  # never empty


def test_sizes() -> None:
    image = noise(200, 100, "RGB")
    assert resize(image, height=50).size == (100, 50)
    assert resize(image, longest=20).size == (20, 10)
    assert resize(image, scale=1.5).size == (300, 150)
    assert resize(image, width=60, height=60).size == (60, 60)
    assert resize(image, width=60, height=60, fit="fit").size == (60, 30)
    assert resize(image, width=60, height=60, fit="fill").size == (60, 60)


@pytest.mark.parametrize("params", [{}, {"width": 3, "scale": 2.0}, {"scale": 2.0, "longest": 9}])
def test_one_way_to_say_the_size(params: dict[str, Any]) -> None:
    with pytest.raises(OperationError, match="width and/or height, or scale, or longest"):
        resize(noise(4, 4), **params)


@pytest.mark.parametrize("kind", FILTERS)
def test_fill_cuts_the_middle_out_without_squeezing(kind: Any) -> None:
    image = ramp(60, 20)
    filled = resize(image, width=10, height=10, fit="fill", filter=kind).array[0]
    x = filled[:, :, 0].mean(0)
    assert x == pytest.approx(20 + (np.arange(10) + 0.5) * 2, abs=0.51 if kind == "nearest" else 1e-3)


@pytest.mark.parametrize("channels", [("Y",), ("Y", "A"), ("R", "G", "B"), ("R", "G", "B", "A")])
@pytest.mark.parametrize(("across", "down"), [(2, 2), (1, 2), (3, 1), (3, 5), (16, 16), (19, 13)])
def test_area_of_bytes_by_whole_numbers_is_the_mean_of_each_block(
    channels: tuple[str, ...], across: int, down: int
) -> None:
    width, height = 5, 143
    pixels = np.random.default_rng(1).integers(0, 256, (2, height * down, width * across, len(channels)), np.uint8)
    blocks = pixels.reshape(2, height, down, width, across, len(channels)).astype(np.float64)
    image = Image(pixels, channels=channels, alpha="associated" if "A" in channels else "none")
    made = resize(image, width=width, height=height, filter="area")
    assert np.abs(made.array - blocks.mean((2, 4)) / 255).max() < 2e-7
    flat = resize(image.with_buffer(np.full_like(pixels, 77)), width=width, height=height, filter="area")
    assert (flat.array == np.float32(77 / 255)).all()


def test_area_is_the_mean_of_the_covered_pixels() -> None:
    row = Image(np.float32([0, 1, 2, 3, 4]).reshape(1, 1, 5, 1), channels=("Y",))
    halves = [(0 + 1 + 2 * 0.5) / 2.5, (2 * 0.5 + 3 + 4) / 2.5]
    assert resize(row, width=2, height=1, filter="area").array.ravel() == pytest.approx(halves)


def test_antialias_is_what_keeps_fine_stripes_grey() -> None:
    stripes = Image(np.tile(np.float32([0, 1]), 32).reshape(1, 1, 64, 1).repeat(8, 1), channels=("Y",))
    smooth = resize(stripes, width=9, height=8, filter="bicubic").array
    rough = resize(stripes, width=9, height=8, filter="bicubic", antialias=False).array
    assert np.ptp(smooth[:, :, 1:-1]) < 0.1
    assert np.ptp(rough) > 0.5


@quick
@given(st.integers(1, 70), st.integers(1, 300), st.sampled_from(SMOOTH), st.booleans(), st.integers(0, 69))
def test_sums_stay_sums_in_parts(size: int, count: int, kind: Any, wrap: bool, start: int) -> None:
    sums = Sums.of(Span(0.0, size, count), size, kind, antialias=True, wrap=wrap)
    np.testing.assert_allclose(sums.of_lines(np.ones((size, 1), np.float32), 0, 0, count), 1, atol=1e-6)
    lines = np.random.default_rng(size).random((size, 7), np.float32)
    start %= count
    low, high = sums.needs(start, count)
    few = lines.take(np.arange(low, high), 0, mode="wrap")
    part = sums.of_lines(few, low, start, count)
    assert np.array_equal(part, sums.of_lines(lines, 0, 0, count)[start:])
    assert (np.diff(sums.first) >= 0).all()
    assert (np.diff(sums.first + sums.number) >= 0).all()


@pytest.mark.parametrize("channels", ["Y", "RGBA"])
def test_what_is_not_finite_reaches_no_further_than_the_filter(channels: str) -> None:
    image = noise(64, 64, channels)
    image.buffer[0, 30, 30, 0] = np.inf
    image.buffer[0, 10, 10, 0] = np.nan
    odd = ~np.isfinite(resize(image, scale=0.5, filter="lanczos3").array[0, ..., 0])
    assert odd.any()
    y, x = np.nonzero(odd)
    assert ((abs(x - 15) <= 3) & (abs(y - 15) <= 3) | (abs(x - 5) <= 3) & (abs(y - 5) <= 3)).all()


def test_values_are_not_clipped() -> None:
    edge = Image(np.repeat(np.float32([0, 10]), 8).reshape(1, 1, 16, 1).repeat(4, 1), channels=("Y",))
    result = resize(edge, width=40, height=4, filter="lanczos3").array
    assert result.max() > 10.1
    assert result.min() < -0.1


def test_the_size_it_has_already_is_the_image_itself() -> None:
    image = Image(np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3))
    assert resize(image, width=2, height=2, filter="mitchell") is image


# --- rotate


@pytest.mark.parametrize("kind", TURNING)
def test_quarter_turns_are_exact(kind: Any) -> None:
    image = noise(7, 4)
    for turns in (1, 2, 3):
        turned = rotate(image, angle=90.0 * turns, expand=True, filter=kind)
        assert np.array_equal(turned.buffer, rotate90(image, turns=turns).buffer)  # type: ignore[arg-type]
    assert rotate(image, angle=-360, filter=kind) is image
    square = noise(6, 6)
    assert np.array_equal(rotate(square, angle=-90).buffer, rotate90(square, turns=3).buffer)


@pytest.mark.parametrize("kind", TURNING)
def test_a_quarter_turn_about_a_point_lands_on_pixels(kind: Any) -> None:
    image = noise(9, 9, "RGBA", alpha="associated")
    turned = rotate(image, angle=90, center=(3.0, 3.0), filter=kind).array[0]
    about_the_middle = rotate90(image).array[0]
    if kind != "mitchell":  # it blurs on the spot
        assert turned[:, :6] == pytest.approx(about_the_middle[:, 3:], abs=1e-6)
    assert turned[:, 8:] == pytest.approx(0, abs=1e-6)


def test_convention_positive_angles_turn_clockwise() -> None:
    image = Image(np.zeros((1, 21, 21, 1), np.float32), channels=("Y",))
    buffer = image.buffer.copy()
    buffer[0, 2, 10] = 1  # at twelve o'clock
    turned = rotate(image.with_buffer(buffer), angle=60, filter="bilinear").array[0, ..., 0]
    y, x = np.unravel_index(turned.argmax(), turned.shape)
    assert (x - 10, 10 - y) == pytest.approx((8 * np.sin(np.pi / 3), 8 * np.cos(np.pi / 3)), abs=0.8)  # at two


@pytest.mark.parametrize("kind", TURNING[1:])
def test_convention_pixel_centres_of_rotate(kind: Any) -> None:
    image = ramp(30, 30)
    angle = 25.0
    turned = rotate(image, angle=angle, filter=kind, center=(12.0, 16.0)).array[0, 12:20, 9:16]
    y, x = np.mgrid[12:20, 9:16] + 0.5
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    dx, dy = x - 12, y - 16
    assert turned[..., 0] == pytest.approx(dx * cos + dy * sin + 12, abs=2e-3 if kind != "lanczos3" else 0.05)
    assert turned[..., 1] == pytest.approx(dy * cos - dx * sin + 16, abs=2e-3 if kind != "lanczos3" else 0.05)


@pytest.mark.parametrize("kind", TURNING[1:])
@pytest.mark.parametrize("state", ["straight", "associated"])
def test_turning_bleeds_no_colour(kind: Any, state: Any) -> None:
    result = rotate(disc(alpha=state), angle=33, filter=kind)
    assert result.alpha == state
    straight = result.unassociate().array
    visible = np.abs(straight[..., 3]) > 1e-3
    assert straight[visible][:, :3] == pytest.approx(np.broadcast_to([1, 0.5, 0], (visible.sum(), 3)), abs=1e-4)


def test_expand_cuts_nothing_off() -> None:
    image = Image(np.ones((1, 20, 30, 4), np.float32), channels=tuple("RGBA"), alpha="associated")
    turned = rotate(image, angle=30, expand=True, filter="bilinear")
    assert turned.size == (36, 33)  # 30 cos + 20 sin = 35.98, 30 sin + 20 cos = 32.3
    assert turned.array[..., 3].sum() == pytest.approx(600, rel=1e-3)


@pytest.mark.parametrize("kind", TURNING)
@pytest.mark.parametrize("channels", ["RGB", "RGBA"])
def test_outside_is_the_fill_colour(kind: Any, channels: str) -> None:
    image = Image(np.full((1, 20, 20, len(channels)), 1, np.float32), channels=tuple(channels),
                  alpha="straight" if "A" in channels else "none")  # fmt: skip
    turned = rotate(image, angle=45, filter=kind, fill=(0.25, 0.5, 2.0, 1.0))
    assert turned.array[0, 0, 0, :3].tolist() == [0.25, 0.5, 2.0]
    bare = rotate(image, angle=45, filter=kind)
    assert bare.array[0, 0, 0].tolist() == [0.0] * len(channels)


def test_a_picture_on_its_own_colour_does_not_show_its_edge() -> None:
    """Picture and background are one plane: where they meet, nothing is darkened."""
    image = Image(np.full((1, 16, 16, 3), 0.5, np.float32))
    turned = rotate(image, angle=20, fill=(0.5, 0.5, 0.5, 1.0))
    assert turned.array == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("kind", TURNING)
def test_a_tile_has_no_outside(kind: Any) -> None:
    tile = noise(12, 12, "RGB", wrap=(True, True))
    plane = Image(np.tile(tile.buffer, (1, 3, 3, 1)))
    turned = rotate(tile, angle=31, filter=kind).array
    expected = rotate(plane, angle=31, filter=kind).array[:, 12:24, 12:24]
    assert turned == pytest.approx(expected, abs=1e-5)


# --- both


@pytest.mark.parametrize("kind", SMOOTH)
def test_every_dtype_is_read_as_the_same_values(kind: Any) -> None:
    codes = np.random.default_rng(1).integers(0, 256, (1, 9, 8, 4))
    states = {"channels": tuple("RGBA"), "alpha": "straight"}
    as_float = Image((codes / 255).astype(np.float32), **states)
    for other in (
        Image(codes.astype(np.uint8), **states),
        Image((codes * 257).astype(np.uint16), **states),
        Image(torch.from_numpy(codes.astype(np.uint8)), **states),
    ):
        assert resize(other, width=5, filter=kind).array == pytest.approx(resize(as_float, width=5, filter=kind).array)
    half = Image((codes / 255).astype(np.float16), **states)
    small = resize(half, width=5, filter=kind)
    assert small.dtype == "float32"
    assert small.array[..., 3] == pytest.approx(resize(as_float, width=5, filter=kind).array[..., 3], abs=1e-3)


@pytest.mark.parametrize("change", [lambda i: resize(i, width=5, height=11), lambda i: rotate(i, angle=12)])
def test_masks_batches_and_inputs(change: Any) -> None:
    one, two = noise(9, 8, seed=1), noise(9, 8, seed=2)
    before = one.buffer.copy()
    both = one.with_buffer(torch.from_numpy(np.concatenate([one.buffer, two.buffer])))
    parts = np.concatenate([change(one).array, change(two).array])
    assert change(both).array == pytest.approx(parts, abs=1e-6)
    mask = change(Mask(one.buffer[..., 3:]))
    assert isinstance(mask, Mask)
    assert mask.array == pytest.approx(change(one).array[..., 3:], abs=1e-6)
    assert np.array_equal(one.buffer, before)

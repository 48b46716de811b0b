"""Alpha put on, taken off, multiplied in; masks made, turned, softened and grown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pipeline_compose import (
    feather_mask,
    flatten,
    grow_mask,
    invert_mask,
    mask_from_channel,
    premultiply,
    set_alpha,
    shrink_mask,
    split_alpha,
    unpremultiply,
)

from pipeline_core import Image, Mask, OperationError
from pipeline_core.image import Raster


def picture(channels: str = "RGBA", *, dtype: str = "float32", batch: int = 1, **fields: Any) -> Image:
    numbers = np.random.default_rng(7).random((batch, 4, 5, len(channels)), np.float32)
    scale = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    fields.setdefault("alpha", "straight" if "A" in channels else "none")
    return Image((numbers * scale).astype(dtype), channels=tuple(channels), **fields)


def mask(*rows: list[float], **fields: Any) -> Mask:
    return Mask(np.array(rows, np.float32)[None, :, :, None], **fields)


def rows(found: Mask) -> Any:
    return found.array[0, :, :, 0]


def test_premultiply_and_back() -> None:
    straight = picture("RGBAZ")
    associated = premultiply(straight)
    assert associated.alpha == "associated"
    np.testing.assert_array_equal(associated.array[..., :3], straight.array[..., :3] * straight.array[..., 3:4])
    assert np.array_equal(associated.array[..., 4], straight.array[..., 4])
    np.testing.assert_allclose(unpremultiply(associated).array, straight.array, atol=1e-6)


def test_premultiply_twice_is_once() -> None:
    associated = premultiply(picture())
    assert premultiply(associated) is associated
    assert unpremultiply(picture("RGB")).alpha == "none"


def test_convention_unpremultiply_leaves_color_where_alpha_is_0() -> None:
    flame = Image(np.array([2, 1, 0, 0], np.float32).reshape(1, 1, 1, 4), channels=tuple("RGBA"), alpha="associated")
    assert unpremultiply(flame).array.ravel().tolist() == [2, 1, 0, 0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("channels", ["RGBA", "YA", "RGBAZ"])
def test_split_alpha_and_set_alpha_are_opposites(dtype: str, channels: str) -> None:
    image = picture(channels, dtype=dtype)
    color, alpha = split_alpha(image)
    assert (color.alpha, color.dtype, alpha.dtype) == ("none", dtype, dtype)
    again = set_alpha(color, alpha)
    assert (again.channels, again.alpha) == (image.channels, "straight")
    np.testing.assert_array_equal(again.array, image.array)


def test_convention_split_alpha_gives_straight_colors_and_no_alpha_is_one() -> None:
    image = picture()
    np.testing.assert_allclose(split_alpha(premultiply(image)).image.array, image.array[..., :3], atol=1e-6)
    opaque = split_alpha(picture("RGB"))
    assert opaque.image.channels == ("R", "G", "B")
    assert np.all(opaque.alpha.array == 1)


def test_convention_set_alpha_keeps_the_colors_under_it() -> None:
    associated = premultiply(picture())
    halved = set_alpha(associated, value=0.5)
    assert halved.alpha == "associated"
    np.testing.assert_allclose(halved.array[..., :3], picture().array[..., :3] * 0.5, atol=1e-6)
    assert np.all(halved.array[..., 3] == 0.5)
    assert set_alpha(picture("RGBZ")).channels == ("R", "G", "B", "A", "Z")


def test_set_alpha_spreads_batches() -> None:
    two = Mask(np.stack([np.zeros((4, 5, 1)), np.ones((4, 5, 1))]).astype(np.float32))
    result = set_alpha(picture("RGB"), two, value=0.5)
    assert result.array[..., 3].mean((1, 2)).tolist() == [0, 0.5]
    with pytest.raises(OperationError, match="batches of 2 and 3"):
        set_alpha(picture("RGB", batch=3), two)
    with pytest.raises(OperationError, match="image is 5x4, mask is 2x1"):
        set_alpha(picture("RGB"), mask([0, 1]))


def test_flatten() -> None:
    image = picture("RGBAZ")
    over = flatten(image, color=(1, 0.5, 0, 0.25))
    alpha = image.array[..., 3:4]
    expected = image.array[..., :3] * alpha + np.array([1, 0.5, 0], np.float32) * (1 - alpha)
    assert (over.channels, over.alpha) == (("R", "G", "B", "Z"), "none")
    np.testing.assert_allclose(over.array[..., :3], expected, atol=1e-6)
    np.testing.assert_allclose(flatten(premultiply(image), color=(1, 0.5, 0, 1)).array, over.array, atol=1e-6)
    plain = picture("RGB")
    assert flatten(plain, color=(1, 1, 1, 1)) is plain


def test_convention_flatten_over_the_luma_of_a_color() -> None:
    empty = Image(np.zeros((1, 1, 1, 2), np.float32), channels=("Y", "A"), alpha="straight")
    assert flatten(empty, color=(1, 0.5, 0, 1)).array.item() == pytest.approx(0.2126 + 0.5 * 0.7152)


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_mask_from_channel(dtype: str) -> None:
    image = picture("RGBZ", dtype=dtype)
    found = mask_from_channel(image, channel="Z")
    assert found.dtype == dtype
    assert np.array_equal(found.buffer[..., 0], image.buffer[..., 3])
    with pytest.raises(OperationError, match="no channel 'A', only R, G, B, Z"):
        mask_from_channel(image, channel="A")


def test_invert_mask() -> None:
    assert rows(invert_mask(mask([0, 0.25, 1]))).tolist() == [[1, 0.75, 0]]


def test_convention_feather_ends_at_the_radius() -> None:
    step = mask(*[[0.0] * 20 + [1.0] * 20] * 3)
    soft = rows(feather_mask(step, radius=6))[1]
    assert np.all(soft[:14] == 0)
    np.testing.assert_allclose(soft[26:], 1, atol=1e-6)
    assert np.all(np.diff(soft[13:27]) > 0)
    np.testing.assert_allclose(soft + soft[::-1], 1, atol=1e-6)
    # The standard deviation is a third of the radius: the width of the step's slope.
    slope = np.diff(soft)
    at = np.arange(len(slope)) - 19
    assert np.sqrt((slope * at**2).sum()) == pytest.approx(2, abs=0.05)


def test_convention_feather_repeats_the_edge_or_tiles() -> None:
    row = [1.0] + [0.0] * 9
    assert rows(feather_mask(mask(row), radius=2))[0, -1] == 0
    tiled = rows(feather_mask(mask(row, wrap=(True, False)), radius=2))[0]
    assert tiled[-1] == tiled[1] > 0
    assert tiled.sum() == pytest.approx(1, abs=1e-6)
    assert rows(feather_mask(mask([0.3, 0.3], [0.3, 0.3]), radius=50)) == pytest.approx(np.float32(0.3), abs=1e-5)


@given(st.integers(0, 5), st.booleans(), st.integers(0, 2**32 - 1))
def test_convention_grow_takes_the_largest_in_a_disc(radius: int, wrap: bool, seed: int) -> None:
    values = np.random.default_rng(seed).random((6, 7)).astype(np.float32)
    grown = rows(grow_mask(mask(*values.tolist(), wrap=(wrap, wrap)), radius=radius))
    shifts = [
        (i, j) for i in range(-radius, radius + 1) for j in range(-radius, radius + 1) if i * i + j * j <= radius**2
    ]
    padded = np.pad(values, radius, mode="wrap" if wrap else "edge")
    expected = np.max([padded[radius + i :, radius + j :][:6, :7] for i, j in shifts], axis=0)
    assert np.array_equal(grown, expected)


def test_shrinking_is_growing_the_outside() -> None:
    values = mask(*np.random.default_rng(3).random((6, 7)).tolist())
    inside_out = invert_mask(grow_mask(invert_mask(values), radius=2))
    np.testing.assert_allclose(shrink_mask(values, radius=2).array, inside_out.array, atol=1e-6)


@pytest.mark.parametrize("alpha", ["straight", "associated"])
def test_inference_on_the_meta_device_agrees(alpha: str) -> None:
    image = picture("RGBAZ", batch=2, alpha=alpha)
    matte = Mask(np.zeros((1, 4, 5, 1), np.float32), wrap=(True, False))
    ghost, ghost_matte = image.to("meta"), matte.to("meta")
    pairs: list[tuple[Any, Any]] = [
        (premultiply(image), premultiply(ghost)),
        (unpremultiply(image), unpremultiply(ghost)),
        (set_alpha(image, matte), set_alpha(ghost, ghost_matte)),
        (flatten(image, color=(1, 0, 0, 1)), flatten(ghost, color=(1, 0, 0, 1))),
        *zip(split_alpha(image), split_alpha(ghost), strict=True),
        (mask_from_channel(image, channel="A"), mask_from_channel(ghost, channel="A")),
        (invert_mask(matte), invert_mask(ghost_matte)),
        (feather_mask(matte, radius=2.5), feather_mask(ghost_matte, radius=2.5)),
        (grow_mask(matte, radius=2), grow_mask(ghost_matte, radius=2)),
        (shrink_mask(matte, radius=2), shrink_mask(ghost_matte, radius=2)),
    ]
    for real, guess in pairs:
        assert str(guess) == str(real)
        assert (guess.wrap, guess.device) == (real.wrap, "meta")


def test_inputs_are_untouched() -> None:
    image, matte = picture(), mask(*np.eye(4, 5).tolist())
    before = image.buffer.copy(), matte.buffer.copy()
    premultiply(image), set_alpha(image, matte, value=0.5), flatten(image, color=(0, 0, 0, 1))
    invert_mask(matte), feather_mask(matte, radius=2), grow_mask(matte, radius=1), shrink_mask(matte, radius=1)
    shared = matte.with_buffer(torch.from_numpy(matte.buffer))
    feather_mask(shared, radius=2)
    assert np.array_equal(image.buffer, before[0])
    assert np.array_equal(matte.buffer, before[1])


@pytest.mark.parametrize("wrap", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("radius", [1, 4, 7])
def test_torch_and_opencv_change_a_mask_alike(
    radius: int, wrap: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Mask(np.random.default_rng(0).random((2, 12, 17, 1), np.float32), wrap=wrap)
    found = [change(given, radius=radius) for change in (grow_mask, shrink_mask, feather_mask)]
    monkeypatch.setattr(Raster, "device", property(lambda self: "cuda"))  # so says the tensor, which is on the CPU
    tensor = given.with_buffer(torch.from_numpy(given.buffer))
    for one, change, tolerance in zip(found, (grow_mask, shrink_mask, feather_mask), (0, 0, 1e-6), strict=True):
        other = change(tensor, radius=radius)
        assert np.abs(one.buffer - other.buffer.numpy()).max() <= tolerance

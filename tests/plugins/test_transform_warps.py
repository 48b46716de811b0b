"""translate, affine, corner_pin, st_map, lens_distort, trim, mosaic: right places, right values, no fringes."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pipeline_generate import uv_map
from pipeline_transform import (
    affine,
    batch_sheet,
    corner_pin,
    lens_distort,
    mosaic,
    offset,
    resize,
    rotate,
    st_map,
    translate,
    trim,
)

from pipeline_core import Image, Mask, OperationError

FILTERS = ("nearest", "bilinear", "bicubic", "mitchell", "lanczos3")
SMOOTH = FILTERS[1:]
IDENTITY = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)]
RED = (1.0, 0.0, 0.0, 1.0)


def noise(width: int = 20, height: int = 14, channels: str = "RGBA", seed: int = 0, **fields: Any) -> Image:
    buffer = np.random.default_rng(seed).random((fields.pop("batch", 1), height, width, len(channels)), np.float32)
    fields.setdefault("alpha", "straight" if "A" in channels else "none")
    return Image(buffer, channels=tuple(channels), **fields)


def ramp(width: int = 40, height: int = 30) -> Image:
    """Values are the pixel centres' own places: x in R, y in G."""
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    return Image(np.stack([x, y], -1)[None], channels=("R", "G"))


def disc(alpha: Any = "straight", size: int = 24) -> Image:
    """An orange disc; what is under the transparent rest is green, to be seen if it bleeds."""
    y, x = np.mgrid[:size, :size] + 0.5
    inside = np.hypot(x - size / 2, y - size / 2)[None, ..., None] < size / 3
    buffer = np.where(inside, np.float32([1, 0.5, 0, 1]), np.float32([0, 1, 0, 0]))
    return Image(buffer, channels=tuple("RGBA"), alpha="straight").with_alpha_state(alpha)


def values(image: Image | Mask) -> np.ndarray[Any, Any]:
    return np.asarray(image.buffer)


def inner(image: Image, margin: int) -> np.ndarray[Any, Any]:
    return image.array[0, margin:-margin, margin:-margin]


WARPS: dict[str, Any] = {
    "translate": lambda image, **k: translate(image, x=1.3, y=-2.6, **k),
    "affine": lambda image, **k: affine(image, matrix=[(0.4, 0.1, 3.0), (-0.1, 0.5, 5.0)], **k),
    "corner_pin": lambda image, **k: corner_pin(image, corners=((2, 1), (22, 5), (17, 20), (4, 23)), **k),
    "lens_distort": lambda image, **k: lens_distort(image, k1=-0.4, p1=0.02, **k),
    "st_map": lambda image, **k: st_map(image, affine(uv_map(width=30, height=26), matrix=IDENTITY), **k),
}


# --- what all share


@pytest.mark.parametrize("name", WARPS)
@pytest.mark.parametrize("kind", SMOOTH)
@pytest.mark.parametrize("state", ["straight", "associated"])
def test_transparent_pixels_bleed_no_colour(name: str, kind: str, state: Any) -> None:
    result = WARPS[name](disc(state), filter=kind)
    assert result.alpha == state
    straight = result.unassociate().array
    visible = np.abs(straight[..., 3]) > 1e-3
    assert visible.any()
    assert straight[visible][:, :3] == pytest.approx(np.broadcast_to([1, 0.5, 0], (visible.sum(), 3)), abs=1e-4)


@pytest.mark.parametrize("name", WARPS)
def test_a_mask_goes_the_way_of_its_image(name: str) -> None:
    if name == "st_map":
        pytest.skip("st_map takes images")
    image = disc()
    mask = Mask(image.array[..., 3:].copy())
    assert WARPS[name](mask).array[..., 0] == pytest.approx(WARPS[name](image).array[..., 3], abs=1e-6)


@pytest.mark.parametrize("name", WARPS)
def test_an_image_that_tiles_has_no_outside(name: str) -> None:
    flat = Image(np.full((1, 24, 24, 3), 0.7, np.float32), wrap=(True, True))
    assert WARPS[name](flat, fill=RED).array == pytest.approx(0.7, abs=1e-6)


@pytest.mark.parametrize("name", WARPS)
def test_nearest_picks_values_and_keeps_the_dtype(name: str) -> None:
    image = Image(np.arange(24 * 24, dtype=np.uint16).reshape(1, 24, 24, 1) * 100 + 7, channels=("Z",), color="data")
    result = WARPS[name](image, filter="nearest", fill=(0, 0, 0, 0))
    assert result.dtype == "uint16"
    assert set(np.unique(values(result))) <= {0, *np.unique(values(image))}


@pytest.mark.parametrize("name", WARPS)
def test_a_constant_stays_constant_inside(name: str) -> None:
    image = Image(np.full((1, 24, 24, 3), -2.5, np.float32))
    found = WARPS[name](image).array
    assert np.isclose(found, -2.5, atol=1e-5).sum() > found.size / 12
    assert found.min() > -2.9


UV = uv_map(width=9, height=8)
QUAD = ((1.0, 1.0), (18.0, 0.0), (19.0, 12.0), (2.0, 13.0))
INFERRED: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
    (translate, (), {"x": 1.5}),
    (translate, (), {"x": 1.5, "filter": "nearest"}),
    (translate, (), {"x": 2.0}),
    (affine, (), {"matrix": [(0.5, 0.0, 0.0), (0.0, 0.5, 0.0)], "width": 7}),
    (corner_pin, (), {"corners": QUAD, "height": 30}),
    (corner_pin, (), {"corners": QUAD, "filter": "nearest"}),
    (lens_distort, (), {"k1": 0.1}),
    (st_map, (UV,), {}),
    (st_map, (UV.with_buffer(UV.buffer, wrap=(True, False)),), {"filter": "nearest"}),
]


@pytest.mark.parametrize(("function", "others", "params"), INFERRED)
@pytest.mark.parametrize("channels", ["RGB", "RGBA"])
def test_inference_says_what_the_run_gives(function: Any, others: Any, params: dict[str, Any], channels: str) -> None:
    image = noise(channels=channels, batch=2, wrap=(False, True))
    image = image.with_buffer(np.rint(image.buffer * 255).astype(np.uint8))
    guess, result = function.__operation__.infer(image, *others, **params), function(image, *others, **params)
    assert str(guess) == str(result)
    assert guess.wrap == result.wrap


# --- translate


def test_whole_pixels_move_exactly_in_any_dtype() -> None:
    image = Image((np.arange(5 * 4 * 3) * 7 % 251).astype(np.uint8).reshape(1, 4, 5, 3))
    moved = translate(image, x=2, y=-1, fill=RED)
    assert moved.dtype == "uint8"
    assert np.array_equal(values(moved)[0, :3, 2:], values(image)[0, 1:, :3])
    assert np.array_equal(values(moved)[0, 3], np.tile(np.uint8([255, 0, 0]), (5, 1)))
    assert np.array_equal(values(translate(image, x=99.0, fill=RED)), np.tile(np.uint8([255, 0, 0]), (1, 4, 5, 1)))
    tile = image.with_buffer(image.buffer, wrap=(True, False))
    assert np.array_equal(values(translate(tile, x=7.0)), values(offset(image, x=7)))
    assert translate(tile, x=0.5).wrap == (True, False)


def test_convention_translate_goes_right_and_down() -> None:
    found = inner(translate(ramp(), x=2.25, y=3.5), 8)
    assert found == pytest.approx(inner(ramp(), 8) - [2.25, 3.5], abs=1e-4)


def test_parts_of_pixels_add_up_on_a_tile() -> None:
    tile = resize(noise(6, 5, "RGB", wrap=(True, True)), width=36, height=30, filter="lanczos3")
    twice = translate(translate(tile, x=0.5, y=0.25, filter="lanczos3"), x=0.5, y=-0.25, filter="lanczos3")
    assert twice.wrap == (True, True)
    assert twice.array == pytest.approx(translate(tile, x=1.0).array, abs=0.02)


# --- affine


def test_convention_affine_is_by_rows_in_pixels() -> None:
    found = inner(affine(ramp(), matrix=[(1.0, 0.2, -3.0), (0.1, 0.9, 2.0)], antialias=False), 10)
    x, y = inner(ramp(), 10).transpose(2, 0, 1)
    back = np.linalg.inv([[1.0, 0.2], [0.1, 0.9]]) @ np.stack([x + 3.0, y - 2.0]).reshape(2, -1)
    assert found.reshape(-1, 2) == pytest.approx(back.T, abs=2e-3)


def test_a_matrix_that_turns_is_rotate() -> None:
    cos, sin = math.cos(math.radians(30)), math.sin(math.radians(30))
    x, y = 10, 7
    matrix = [(cos, -sin, x - cos * x + sin * y), (sin, cos, y - sin * x - cos * y)]
    image = noise()
    assert affine(image, matrix=matrix).array == pytest.approx(rotate(image, angle=30.0).array, abs=2e-5)


@pytest.mark.parametrize("kind", SMOOTH)
def test_shrinking_widens_the_filter(kind: Any) -> None:
    stripes = Image(np.tile(np.float32([0, 1]), 40)[None, None, :, None].repeat(16, 1), channels=("Y",))
    matrix = [(0.25, 0.0, 0.125), (0.0, 1.0, 0.0)]  # places fall on the stripes' middles
    smooth = affine(stripes, matrix=matrix, width=20, filter=kind).array[0, 3:-3, 6:-6]
    assert smooth == pytest.approx(0.5, abs=0.02)
    jagged = affine(stripes, matrix=matrix, width=20, filter=kind, antialias=False).array[0, 3:-3, 6:-6]
    assert np.abs(jagged - 0.5).max() > np.abs(smooth - 0.5).max()
    wide = affine(noise(64, 48, "RGB"), matrix=[(0.5, 0.0, 0.0), (0.0, 0.5, 0.0)], width=32, height=24, filter=kind)
    assert inner(wide, 6) == pytest.approx(inner(resize(noise(64, 48, "RGB"), scale=0.5, filter=kind), 6), abs=2e-5)


def test_a_third_row_is_perspective() -> None:
    corners = ((2.0, 1.0), (30.0, 5.0), (27.0, 24.0), (6.0, 28.0))
    whole = np.float32([(0, 0), (40, 0), (40, 30), (0, 30)])
    matrix = cv2.getPerspectiveTransform(whole, np.float32(corners)).tolist()
    pinned, transformed = corner_pin(ramp(), corners=corners), affine(ramp(), matrix=matrix)
    assert pinned.array == pytest.approx(transformed.array, abs=1e-3)


@pytest.mark.parametrize("matrix", [[(1, 2, 0), (2, 4, 0)], [(0, 0, 0), (0, 1, 0)], [(math.nan, 0, 0), (0, 1, 0)]])
def test_a_matrix_without_an_inverse_is_refused(matrix: Any) -> None:
    with pytest.raises(OperationError, match="matrix"):
        affine(noise(), matrix=matrix)


# --- corner_pin


def test_corners_come_to_their_places_and_back() -> None:
    corners = ((4.0, 3.0), (35.0, 6.0), (32.0, 24.0), (7.0, 28.0))
    pinned = corner_pin(ramp(), corners=corners, filter="bilinear", antialias=False)
    assert not pinned.array[0, 0].any()  # the fill
    back = corner_pin(
        pinned, corners=((0, 0), (40, 0), (40, 30), (0, 30)), source=corners, filter="bilinear", antialias=False
    )
    assert inner(back, 3) == pytest.approx(inner(ramp(), 3), abs=0.1)


def test_corner_pin_in_another_size_and_with_its_own_corners_changes_nothing() -> None:
    image = noise(channels="RGB")
    same = corner_pin(image, corners=((0, 0), (20, 0), (20, 14), (0, 14)))
    assert same.array == pytest.approx(image.array, abs=1e-6)
    double = corner_pin(image, corners=((0, 0), (40, 0), (40, 28), (0, 28)), width=40, height=28)
    assert inner(double, 6) == pytest.approx(inner(resize(image, scale=2.0), 6), abs=1e-5)


def test_a_floor_ends_at_the_horizon() -> None:
    floor = Image(np.full((1, 8, 8, 3), 0.5, np.float32), wrap=(True, True))
    pinned = corner_pin(floor, corners=((18, 20), (22, 20), (40, 39), (0, 39)), width=40, height=40, fill=RED)
    assert pinned.array[0, :15] == pytest.approx(np.broadcast_to([1, 0, 0], (15, 40, 3)))
    assert pinned.array[0, 25:] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize(
    "corners",
    [
        ((0, 0), (10, 10), (10, 0), (0, 10)),  # crossed
        ((0, 0), (10, 0), (2, 2), (0, 10)),  # a dent
        ((0, 0), (5, 0), (10, 0), (0, 10)),  # three on a line
        ((0, 0), (0, 0), (0, 0), (0, 0)),
    ],
)
def test_corners_that_no_perspective_has_are_refused(corners: Any) -> None:
    with pytest.raises(OperationError):
        corner_pin(noise(), corners=corners)


# --- st_map


@pytest.mark.parametrize("origin", ["bottom_left", "top_left"])
def test_the_map_of_itself_changes_nothing(origin: Any) -> None:
    image = noise(channels="RGB", wrap=(True, False), meta={"a": "b"})
    result = st_map(image, uv_map(width=20, height=14, origin=origin), origin=origin)
    assert result.array == pytest.approx(image.array, abs=2e-5)
    assert result.meta == {"a": "b"}


def test_convention_st_map_v_points_up() -> None:
    image = ramp(4, 4)
    uv = Image(np.float32([[[[0.125, 0.125, 0]]]]), color="data")
    assert st_map(image, uv).array[0, 0, 0].tolist() == [0.5, 3.5]
    assert st_map(image, uv, origin="top_left").array[0, 0, 0].tolist() == [0.5, 0.5]


def test_a_warped_map_warps_as_its_warp() -> None:
    matrix = [(0.9, -0.2, 4.0), (0.2, 1.1, -3.0)]
    uv = affine(uv_map(width=40, height=30), matrix=matrix, filter="bilinear", antialias=False)
    assert inner(st_map(ramp(), uv), 10) == pytest.approx(inner(affine(ramp(), matrix=matrix), 10), abs=2e-3)


def test_batches_of_maps_and_nowhere() -> None:
    nowhere = Image(np.full((2, 3, 3, 2), np.nan, np.float32), channels=("R", "G"), color="data")
    result = st_map(noise(channels="RGB"), nowhere, fill=RED)
    assert result.array == pytest.approx(np.broadcast_to([1, 0, 0], (2, 3, 3, 3)))
    with pytest.raises(OperationError, match="2 maps for 3 images"):
        st_map(noise(batch=3), nowhere)
    with pytest.raises(OperationError, match="needs channels R"):
        st_map(noise(), noise(channels="Y"))


# --- lens_distort

LENS = {"k1": -0.25, "k2": 0.08, "k3": -0.01, "p1": 0.004, "p2": -0.003}


def test_undistort_is_opencv() -> None:
    camera = np.array([[50, 0, 19.5], [0, 50, 14.5], [0, 0, 1]], np.float64)
    places = np.array([LENS[name] for name in ("k1", "k2", "p1", "p2", "k3")])
    x, y = cv2.initUndistortRectifyMap(camera, places, None, camera, (40, 30), cv2.CV_32FC1)
    found = lens_distort(ramp(), focal=50.0, center=(20.0, 15.0), **LENS)
    inside = (x > 3) & (x < 35) & (y > 3) & (y < 25)
    assert inside.mean() > 0.4
    assert found.array[0][inside] == pytest.approx(np.stack([x, y], -1)[inside] + 0.5, abs=1e-3)


@pytest.mark.parametrize("strength", [0.3, 1.0, 2.0])
def test_distort_undoes_undistort(strength: float) -> None:
    lens = {name: strength * value for name, value in LENS.items()}
    there = lens_distort(ramp(), focal=50.0, **lens)
    back = lens_distort(there, focal=50.0, mode="distort", **lens)
    assert inner(back, 9) == pytest.approx(inner(ramp(), 9), abs=0.01)


def test_beyond_the_fold_is_nothing() -> None:
    bulged = lens_distort(
        Image(np.ones((1, 40, 40, 1), np.float32), channels=("Y",)), mode="distort", k1=-1.0, focal=20.0
    )
    assert not bulged.array[0, 0, 0].any()
    assert bulged.array[0, 20, 20] == pytest.approx(1.0)
    assert lens_distort(noise(channels="RGB")).array == pytest.approx(noise(channels="RGB").array, abs=1e-6)


# --- trim


def test_trim_keeps_what_is_seen() -> None:
    buffer = np.zeros((1, 9, 12, 4), np.uint8)
    buffer[0, 2:5, 3:11] = (9, 8, 7, 255)
    buffer[0, 6, 1] = (1, 2, 3, 3)
    image = Image(buffer, channels=tuple("RGBA"), alpha="straight", wrap=(True, True))
    assert np.array_equal(values(trim(image)), buffer[:, 2:7, 1:11])
    assert np.array_equal(values(trim(image, threshold=0.1)), buffer[:, 2:5, 3:11])
    assert np.array_equal(values(trim(image, threshold=0.1, margin=2)), buffer[:, 0:7, 1:12])
    assert trim(image, margin=99).wrap == (True, True)
    assert trim(image).wrap == (False, False)
    mask = Mask((buffer[..., 3:] == 3).astype(np.float32))
    assert trim(image, mask).size == (1, 1)
    assert trim(mask).size == (1, 1)
    tensor = image.with_buffer(torch.from_numpy(buffer))
    assert np.array_equal(values(trim(tensor)), buffer[:, 2:7, 1:11])


def test_trim_says_why_not() -> None:
    clear = Image(np.zeros((1, 4, 4, 4), np.float32), channels=tuple("RGBA"), alpha="straight")
    with pytest.raises(OperationError, match="nothing to keep"):
        trim(clear)
    with pytest.raises(OperationError, match="no alpha"):
        trim(noise(channels="RGB"))
    with pytest.raises(OperationError, match="3x3"):
        trim(noise(), Mask(np.ones((1, 3, 3, 1), np.float32)))
    two = np.zeros((2, 4, 4, 1), np.float32)
    two[0, 0, 0], two[1, :2] = 1, 1
    with pytest.raises(OperationError, match="different sizes"):
        trim(Mask(two))


# --- mosaic


def test_mosaic_is_row_by_row_with_smaller_ones_in_the_middle() -> None:
    images = [Image(np.full((1, h, w, 3), i + 1, np.uint8)) for i, (w, h) in enumerate([(4, 2), (2, 2), (4, 1)])]
    sheet = mosaic(images, columns=2, gap=1, color=RED)
    assert sheet.size == (9, 5)
    assert sheet.dtype == "uint8"
    assert values(sheet)[0, :, :, 1].tolist() == [
        [1, 1, 1, 1, 0, 0, 2, 2, 0],
        [1, 1, 1, 1, 0, 0, 2, 2, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
        [3, 3, 3, 3, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert values(sheet)[0, 2, :, 0].tolist() == [255] * 9
    assert mosaic(images).size == (8, 4)
    assert mosaic(images, columns=9).size == (12, 2)


def test_mosaic_of_several_dtypes_and_libraries() -> None:
    eight = Image(np.full((2, 2, 2, 3), 51, np.uint8))
    tensor = Image(torch.full((2, 2, 2, 3), 0.5))
    floats = eight.with_array(eight.array)
    for images in ([eight, tensor], [tensor, eight], [floats, tensor], [tensor, floats]):
        sheet = mosaic(images)
        assert sheet.dtype == "float32"
        assert sorted(np.unique(sheet.array).tolist()) == pytest.approx([0.2, 0.5])
    with pytest.raises(OperationError, match="picture 2 is"):
        mosaic([eight, noise()])
    with pytest.raises(OperationError, match="a batch of 1"):
        mosaic([eight, noise(channels="RGB")])


@pytest.mark.parametrize("params", [{}, {"columns": 1, "gap": 3}])
def test_inference_of_mosaics(params: dict[str, Any]) -> None:
    images = [noise(wrap=(True, True)), noise(7, 30), noise()]
    for given in (images, [image.with_buffer((image.buffer * 255).astype(np.uint8)) for image in images]):
        assert str(mosaic.__operation__.infer(given, **params)) == str(mosaic(given, **params))  # type: ignore[attr-defined]  # set by the decorator


def test_convention_a_batch_is_laid_out_row_by_row() -> None:
    values = np.arange(1, 6, dtype=np.uint8).reshape(5, 1, 1, 1)
    batch = Image(np.tile(values, (1, 2, 3, 1)), channels=("Y",))
    sheet = batch_sheet(batch, columns=3, gap=1)
    assert (sheet.batch, sheet.size) == (1, (11, 5))
    assert np.asarray(sheet.buffer)[0, ::3, ::4, 0].tolist() == [[1, 2, 3], [4, 5, 0]]
    assert str(batch_sheet.__operation__.infer(batch, columns=3, gap=1)) == str(sheet)  # type: ignore[attr-defined]  # set by the decorator

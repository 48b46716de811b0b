"""Game textures: normals against geometry and OpenCV, tiles against their seams, levels against means, packing."""

from __future__ import annotations

import math
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_texture import (
    export_material,
    height_to_normal,
    list_material_maps,
    make_tileable,
    mip_level,
    normal_combine,
    normal_convert,
    normal_normalize,
    normals,
    pack_orm,
    power_of_two,
    resampling,
    seam_score,
)
from pipeline_texture.cut import closed_path
from pipeline_texture.material import Profile, profiles

from pipeline_core import Image, Mask, OperationError

Array = np.ndarray[Any, Any]


def noise(*shape: int, seed: int = 5) -> Array:
    return np.random.default_rng(seed).random(shape)


def gray(values: Array, **fields: Any) -> Image:
    return Image(np.asarray(values, np.float32)[None, ..., None], channels=("Y",), **fields)


def mask(value: float, size: tuple[int, int] = (3, 2)) -> Mask:
    return Mask(np.full((1, size[1], size[0], 1), value, np.float32))


def normal_map(*vectors: tuple[float, float, float], **fields: Any) -> Image:
    found = np.array(vectors, np.float64)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return Image((found[None, None] * 0.5 + 0.5).astype(np.float32), color="data", **fields)


def directions(image: Image) -> Array:
    return image.array[0, ..., :3].astype(np.float64) * 2 - 1


# --- normals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["central", "sobel", "scharr"])
def test_a_slope_has_its_normal_everywhere_up_to_the_frame(kernel: Any) -> None:
    down, across = np.mgrid[:6, :7]
    made = height_to_normal(gray(0.25 * across + 0.5 * down), strength=2, kernel=kernel)
    # z = 0.5 x + 1 per row; y is up, so z falls with y.
    wanted = np.array([-0.5, 1, 1]) / math.sqrt(0.25 + 1 + 1)
    assert np.allclose(directions(made), wanted, atol=1e-6)
    assert (made.color, made.channels, made.dtype) == ("data", ("R", "G", "B"), "float32")


def test_slopes_are_those_of_opencv() -> None:
    heights = noise(9, 8).astype(np.float32)
    across, down = (cv2.Sobel(heights, cv2.CV_64F, *d, ksize=3, scale=1 / 8) for d in ((1, 0), (0, 1)))
    wanted = np.dstack([-across, down, np.ones_like(down)])
    wanted /= np.linalg.norm(wanted, axis=2, keepdims=True)
    found = directions(height_to_normal(gray(heights), strength=1))
    assert np.allclose(found[1:-1, 1:-1], wanted[1:-1, 1:-1], atol=1e-6)
    scharr = cv2.Scharr(heights, cv2.CV_64F, 1, 0, scale=1 / 32)
    found = directions(height_to_normal(gray(heights), strength=1, kernel="scharr"))
    assert np.allclose((found[..., 0] / found[..., 2])[1:-1, 1:-1], -scharr[1:-1, 1:-1], atol=1e-5)


def test_convention_a_bump_is_lit_from_its_side_and_green_grows_up_in_opengl() -> None:
    down, across = np.mgrid[-4:5, -4:5]
    bump = gray(np.exp(-(down**2 + across**2) / 8))
    made = height_to_normal(bump)
    assert made.array[0, 4, 6, 0] > 0.6  # right of the top: red, to the right
    assert made.array[0, 2, 4, 1] > 0.6  # above it: green, up
    assert np.allclose(height_to_normal(bump, direction="directx").array, normal_convert(made).array, atol=1e-6)


def test_heights_that_tile_give_normals_that_tile() -> None:
    heights = gray(noise(6, 8), wrap=(True, True))
    moved = heights.with_buffer(np.roll(heights.buffer, (2, 3), (1, 2)))
    made = height_to_normal(heights)
    assert made.wrap == (True, True)
    assert np.array_equal(np.roll(made.array, (2, 3), (1, 2)), height_to_normal(moved).array)


def test_height_wants_one_channel_and_takes_masks_and_single_pixels() -> None:
    with pytest.raises(OperationError, match=r"3 channels .*to_gray"):
        height_to_normal(Image(np.zeros((1, 2, 2, 3), np.float32)))
    assert height_to_normal(mask(0.5, (1, 1))).array.ravel().tolist() == [0.5, 0.5, 1]


@pytest.mark.parametrize("kernel", ["central", "sobel", "scharr"])
@pytest.mark.parametrize("wrap", [(False, False), (True, False), (True, True)])
def test_numpy_and_torch_give_the_same_normals(kernel: Any, wrap: Any) -> None:
    heights = gray(noise(37, 21), wrap=wrap)
    found = height_to_normal(heights, kernel=kernel, direction="directx", strength=3)
    around = normals._continued(normals._continued(heights.pixels[:, 0], 1, wrap[1]), 2, wrap[0])
    stored = torch.stack(normals._stored(around * 3, normals._ACROSS[kernel], "directx"), dim=-1)
    assert np.allclose(found.array, stored, atol=1e-6)


def test_normal_convert_turns_green_alone_and_back() -> None:
    codes = Image((noise(1, 4, 5, 4) * 256).astype(np.uint8), channels=tuple("RGBA"), alpha="straight")
    turned = normal_convert(codes)
    assert turned.color == "data"
    assert np.array_equal(np.rint(turned.array[..., 1] * 255), 255 - codes.buffer[..., 1])
    assert np.array_equal(turned.array[..., [0, 2, 3]], codes.array[..., [0, 2, 3]])
    assert np.allclose(normal_convert(turned).array, codes.array, atol=1e-7)
    with pytest.raises(OperationError, match="R, G and B"):
        normal_convert(gray(np.zeros((2, 2))))


def test_convention_a_vector_of_no_length_points_up() -> None:
    image = Image(np.array([[[[0.5, 0.5, 0.5], [0.5, 0.5, 0.6], [1, 0.5, 0.5]]]], np.float32))
    assert np.allclose(directions(normal_normalize(image))[0], [[0, 0, 1], [0, 0, 1], [1, 0, 0]], atol=1e-6)


unit_parts = st.floats(-0.9, 0.9)


@settings(max_examples=40, deadline=None)
@given(unit_parts, unit_parts, unit_parts, unit_parts)
def test_reoriented_detail_is_turned_as_straight_up_is_turned_to_the_base(
    a: float, b: float, c: float, d: float
) -> None:
    base, detail = normal_map((a, b, 1.0)), normal_map((c, d, 1.0))
    n1, n2 = directions(base)[0, 0], directions(detail)[0, 0]
    axis = np.cross([0, 0, 1], n1)
    length = float(np.linalg.norm(axis))
    turn, _ = cv2.Rodrigues(axis / max(length, 1e-12) * math.atan2(length, n1[2]))  # acos is blunt near 1
    assert np.allclose(directions(normal_combine(base, detail))[0, 0], turn @ n2, atol=1e-5)


@pytest.mark.parametrize("method", ["reoriented", "whiteout", "udn"])
def test_combining_with_a_flat_map_changes_nothing(method: Any) -> None:
    slopes = normal_map((0.5, -0.2, 1), (-0.7, 0.1, 1), (0, 0, 1))
    flat = normal_map((0, 0, 1), (0, 0, 1), (0, 0, 1))
    assert np.allclose(normal_combine(slopes, flat, method=method).array, slopes.array, atol=1e-6)
    assert np.allclose(normal_combine(slopes, slopes, method=method, strength=0).array, slopes.array, atol=1e-6)
    if method != "udn":
        assert np.allclose(normal_combine(flat, slopes, method=method).array, slopes.array, atol=1e-6)


def test_whiteout_and_udn_add_slopes_as_published() -> None:
    base, detail = normal_map((0.3, 0.4, 1)), normal_map((-0.1, 0.5, 1))
    n1, n2 = directions(base)[0, 0], directions(detail)[0, 0]
    for method, z in (("whiteout", n1[2] * n2[2]), ("udn", n1[2])):
        wanted = np.array([*(n1[:2] + n2[:2]), z])
        found = directions(normal_combine(base, detail, method=method))[0, 0]  # type: ignore[arg-type]  # a literal
        assert np.allclose(found, wanted / np.linalg.norm(wanted), atol=1e-6)


def test_combine_wants_one_size_and_survives_a_base_turned_away() -> None:
    with pytest.raises(OperationError, match=r"1x1.*2x1"):
        normal_combine(normal_map((0, 0, 1)), normal_map((0, 0, 1), (0, 0, 1)))
    away = normal_map((0, 0, -1))
    assert np.allclose(directions(normal_combine(away, normal_map((0.5, 0, 1)))), [0, 0, -1])


# --- tiling ---------------------------------------------------------------------------------------------------------


def texture(width: int = 48, height: int = 40, channels: str = "RGB", **fields: Any) -> Image:
    """Grains some pixels wide, that do not tile, and darker to the left."""
    values = noise(height, width, len(channels)).astype(np.float32)
    soft = cv2.GaussianBlur(values, (0, 0), 1.5, borderType=cv2.BORDER_REFLECT).reshape(values.shape)
    soft = soft + np.linspace(0, 0.4, width, dtype=np.float32)[None, :, None]
    fields.setdefault("alpha", "straight" if "A" in channels else "none")
    return Image(soft[None], channels=tuple(channels), **fields)


def ratios(image: Image | Mask) -> list[float]:
    return [row[3] for row in seam_score(image).rows]  # type: ignore[misc]  # numbers


@pytest.mark.parametrize("method", ["cut", "blend", "preserve"])
def test_a_texture_tiles_after_and_its_middle_stays(method: Any) -> None:
    image = texture()
    made = make_tileable(image, method=method)
    assert (made.size, made.wrap, made.dtype) == (image.size, (True, True), "float32")
    assert max(ratios(image)) > 3
    assert max(ratios(made)) < 1.5
    middle = (slice(None), slice(10, 30), slice(12, 36))
    assert np.array_equal(made.array[middle], image.array[middle])


def test_a_texture_that_tiles_in_one_direction_is_left_alone_in_the_other() -> None:
    image = texture()
    made = make_tileable(image, axes="x")
    assert made.wrap == (True, False)
    across, down = ratios(made)
    assert across < 1.5
    assert down > 3
    assert np.array_equal(made.array[:, :, 12:36], image.array[:, :, 12:36])
    assert ratios(make_tileable(image, axes="y"))[1] < 1.5


def test_a_cut_takes_every_pixel_from_the_picture_or_its_copy() -> None:
    image = texture(channels="Y")
    made = make_tileable(image, axes="x").array
    copy = np.roll(image.array, image.width // 2, 2)
    assert ((made == image.array) | (made == copy)).all()
    assert (made[:, :, [0, -1]] == copy[:, :, [0, -1]]).all()


def test_preserve_gives_back_the_contrast_that_a_blend_takes() -> None:
    grain = gray(noise(64, 64))
    blend, preserve = (make_tileable(grain, method=m, overlap=0.5).array.std() for m in ("blend", "preserve"))  # type: ignore[arg-type]  # literals
    assert blend < 0.85 * grain.array.std()
    assert preserve == pytest.approx(grain.array.std(), rel=0.1)


def test_what_is_hidden_under_alpha_0_does_not_bleed_into_a_tile() -> None:
    values = np.zeros((1, 16, 16, 4), np.float32)
    values[..., 0] = 1  # red, but green where nothing is to be seen
    values[:, :, :8] = (0, 1, 0, 0)
    values[:, :, 8:, 3] = 1
    made = make_tileable(Image(values, channels=tuple("RGBA"), alpha="straight"), method="blend").array
    seen = made[..., 3] > 1e-3
    assert np.allclose(made[seen][:, :2], [1, 0], atol=1e-5)


def test_a_closed_path_is_cheap_connected_and_ends_where_it_began() -> None:
    error = noise(30, 12) + 1
    error[np.arange(30), 5 + np.rint(3 * np.sin(np.arange(30) * 2 * np.pi / 30)).astype(int)] = 0
    path = closed_path(error)
    assert error[np.arange(30), path].sum() == 0
    for cells in noise(20, 9, 6):
        path = closed_path(cells)
        assert np.abs(np.diff(np.append(path, path[0]))).max() <= 1
    assert set(closed_path(np.full((4, 3), np.nan))) <= {0, 1, 2}


def test_seam_score_tells_steps_apart() -> None:
    ramp = gray(np.tile(np.arange(8.0), (4, 1)))
    assert seam_score(ramp).rows == (("x", 7, 1, 7, 1), ("y", 0, 0, 1, 0))
    assert seam_score(gray(np.array([[0.0, 0.0], [1.0, 1.0]]))).rows[1] == ("y", 1, 1, 1, 0)
    wave = gray(np.tile(np.sin(np.arange(16) * np.pi / 8), (4, 1)))
    assert ratios(wave)[0] < 1.6
    with pytest.raises(OperationError, match="batch of 2"):
        seam_score(Image(np.zeros((2, 2, 2, 3), np.float32)))


# --- levels ---------------------------------------------------------------------------------------------------------


def test_box_levels_are_means_and_end_at_one_pixel() -> None:
    image = texture(32, 16)
    means = image.array.reshape(1, 8, 2, 16, 2, 3).mean((2, 4))
    assert np.allclose(mip_level(image, level=1).array, means, atol=1e-6)
    last = mip_level(image, level=5)
    assert last.size == (1, 1)
    assert np.allclose(last.array[0, 0, 0], image.array.mean((0, 1, 2)), atol=1e-5)
    with pytest.raises(OperationError, match="ends with level 5"):
        mip_level(image, level=6)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 21), st.integers(1, 21), st.sampled_from(["box", "kaiser"]), st.booleans())
def test_convention_levels_round_down_and_keep_what_is_even(width: int, height: int, kind: Any, wraps: bool) -> None:
    flat = gray(np.full((height, width), 0.7), wrap=(wraps, wraps))
    for level in range(max(width, height).bit_length()):
        made = mip_level(flat, level=level, filter=kind)
        assert made.size == (max(1, width >> level), max(1, height >> level))
        assert made.wrap == flat.wrap
        assert np.allclose(made.array, 0.7, atol=1e-5)


def test_an_odd_side_keeps_its_mean_and_a_kaiser_keeps_more_detail() -> None:
    odd = texture(13, 5)
    assert np.allclose(mip_level(odd, level=1).array.mean((1, 2)), odd.array.mean((1, 2)), atol=1e-5)
    waves = gray(np.tile(np.sin(np.arange(64) * 2 * np.pi / 8), (4, 1)), wrap=(True, True))
    box, kaiser = (np.abs(mip_level(waves, level=1, filter=f).array).max() for f in ("box", "kaiser"))  # type: ignore[arg-type]  # literals
    assert kaiser > box


def test_levels_of_what_tiles_go_across_the_seam() -> None:
    image = texture(16, 16, wrap=(True, True))
    moved = image.with_buffer(np.roll(image.buffer, (4, 8), (1, 2)))
    level, other = (mip_level(i, level=1, filter="kaiser").array for i in (image, moved))
    assert np.allclose(np.roll(level, (2, 4), (1, 2)), other, atol=1e-6)


def test_levels_weight_colour_by_alpha() -> None:
    pair = Image(np.array([[[[1, 0, 0, 1], [0, 1, 0, 0]]]], np.float32), channels=tuple("RGBA"), alpha="straight")
    assert np.allclose(mip_level(pair, level=1).array.ravel(), [1, 0, 0, 0.5])


@pytest.mark.parametrize("size", [(10, 6), (9, 7), (4, 11), (1, 1)])
def test_opencv_and_torch_take_the_same_means(size: tuple[int, int]) -> None:
    array = noise(2, 13, 20, 5).astype(np.float32)
    down = resampling.resized(torch.from_numpy(array), 1, size[1], "box", False)
    assert np.allclose(resampling.means(array, *size), resampling.resized(down, 2, size[0], "box", False), atol=1e-6)


def test_smoothness_in_the_alpha_of_a_packed_map_weights_nothing() -> None:
    packed = texture(48, 40, "RGBA", color="data")
    assert np.allclose(mip_level(packed, level=1).array[..., :3], mip_level(_opaque(packed), level=1).array, atol=1e-6)
    assert np.array_equal(power_of_two(packed).array[..., :3], power_of_two(_opaque(packed)).array)
    blends = [make_tileable(image, method="blend").array[..., :3] for image in (packed, _opaque(packed))]
    assert np.array_equal(*blends)


def _opaque(image: Image) -> Image:
    return image.with_buffer(image.array[..., :3], channels=tuple("RGB"), alpha="none")


def test_levels_of_normals_have_length_1_on_each() -> None:
    slopes = normal_map((0.5, 0, 1), (-0.5, 0.5, 1), (0, 0, 1), (1, 1, 1))
    for level in range(3):
        made = mip_level(slopes, level=level, content="normal")
        assert made.color == "data"
        assert np.allclose(np.linalg.norm(directions(made), axis=-1), 1, atol=1e-6)
    mean = directions(slopes)[0, :2].mean(0)
    found = directions(mip_level(slopes, level=1, content="normal"))[0, 0]
    assert np.allclose(found, mean / np.linalg.norm(mean), atol=1e-6)
    with pytest.raises(OperationError, match="mask has no normals"):
        mip_level(mask(1), level=0, content="normal")


@pytest.mark.parametrize(
    ("side", "nearest", "up", "down"),
    [(1, 1, 1, 1), (3, 4, 4, 2), (5, 4, 8, 4), (48, 64, 64, 32), (47, 32, 64, 32), (64, 64, 64, 64)],
)
def test_convention_powers_of_two_are_nearest_by_difference(side: int, nearest: int, up: int, down: int) -> None:
    image = gray(np.zeros((4, side)))
    for rounding, wanted in (("nearest", nearest), ("up", up), ("down", down)):
        assert power_of_two(image, rounding=rounding).size == (wanted, 4)  # type: ignore[arg-type]  # a literal


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_padding_to_a_power_repeats_the_edge_in_the_dtype(dtype: str) -> None:
    buffer = np.arange(15).reshape(1, 3, 5, 1).astype(dtype)
    image = Image(buffer, channels=("Y",), wrap=(True, True))
    for given_buffer in (buffer, torch.from_numpy(buffer.copy())):
        made = power_of_two(image.with_buffer(given_buffer), method="pad", rounding="up")
        assert (made.size, made.dtype, made.wrap) == ((8, 4), dtype, (False, False))
        assert np.array_equal(np.asarray(made.buffer), np.pad(buffer, ((0, 0), (0, 1), (0, 3), (0, 0)), mode="edge"))
    with pytest.raises(OperationError, match="must be up"):
        power_of_two(image, method="pad")
    fits = gray(np.zeros((4, 8)))
    assert power_of_two(fits) is fits


# --- materials ------------------------------------------------------------------------------------------------------


def values(image: Image) -> list[float]:
    return [round(float(value), 6) for value in image.array[0, 0, 0]]


def test_pack_orm_packs_and_fills_in() -> None:
    packed = pack_orm(mask(0.25), gray(np.full((2, 3), 0.5)), mask(0.75))
    assert (values(packed), packed.color, packed.channels) == ([0.25, 0.5, 0.75], "data", ("R", "G", "B"))
    assert values(pack_orm(None, mask(0.5))) == [1, 0.5, 0]
    with pytest.raises(OperationError, match="wire at least one"):
        pack_orm()
    with pytest.raises(OperationError, match=r"'occlusion' is 3x2, 'metallic' is 4x2"):
        pack_orm(mask(1), None, mask(1, (4, 2)))
    with pytest.raises(OperationError, match="'roughness' has 3 channels"):
        pack_orm(None, Image(np.zeros((1, 2, 3, 3), np.float32)))


@pytest.mark.parametrize(
    ("profile", "name", "wanted"),
    [
        ("unreal", "orm", [0.1, 0.2, 0.3]),
        ("godot", "orm", [0.1, 0.2, 0.3]),
        ("gltf", "orm", [0.1, 0.2, 0.3]),
        ("unity_hdrp", "mask_map", [0.3, 0.1, 0.4, 0.8]),
        ("unity_urp", "mask_map", [0.3, 0.1, 0.0, 0.8]),
        ("unreal", "height", [0.5]),
        ("unreal", "normal", [0.7, 0.4, 1.0]),
        ("unity_hdrp", "normal", [0.7, 0.6, 1.0]),
        ("unity_urp", "normal", [0.7, 0.6, 1.0]),
        ("godot", "normal", [0.7, 0.6, 1.0]),
        ("gltf", "normal", [0.7, 0.6, 1.0]),
    ],
)
def test_convention_engines_get_what_their_manuals_say(profile: Any, name: Any, wanted: list[float]) -> None:
    normal = Image(np.full((1, 2, 3, 3), (0.7, 0.6, 1.0), np.float32), color="data")
    parts = (None, normal, mask(0.1), mask(0.2), mask(0.3), gray(np.full((2, 3), 0.5)), None, mask(0.4))
    made = export_material(*parts, profile=profile).images[name]
    assert values(made) == wanted
    assert made.color == "data"
    assert made.alpha == ("straight" if len(wanted) == 4 else "none")


def test_colours_are_handed_on_and_directx_normals_turned_for_opengl_engines() -> None:
    color, glow = texture(channels="RGBA"), texture(channels="RGB")
    made = export_material(color, emissive=glow, profile="godot").images
    assert list(made) == ["base_color", "emissive"]
    assert (made["base_color"], made["emissive"]) == (color, glow)
    normal = Image(np.full((1, 2, 3, 3), (0.7, 0.6, 1.0), np.float32), color="data")
    assert values(export_material(None, normal, profile="godot", normals="directx").images["normal"]) == [0.7, 0.4, 1.0]
    assert export_material(None, normal, profile="unreal", normals="directx").images["normal"] is normal
    assert values(export_material(roughness=mask(0.2), profile="unity_hdrp").images["mask_map"]) == [0, 1, 1, 0.8]


def test_a_material_says_what_to_set_at_import() -> None:
    normal = Image(np.full((1, 2, 3, 3), (0.7, 0.6, 1.0), np.float32), color="data")
    facts = export_material(None, normal, roughness=mask(0.5), height=mask(0.5), profile="unreal").facts
    assert facts["normal"] == {"suffix": "_Normal", "channels": "RGB=normal", "srgb": False, "green": "directx"}
    assert facts["orm"]["channels"] == "R=occlusion G=roughness B=metallic"
    assert facts["height"]["bits"] == 16


def test_what_an_engine_has_no_texture_for_is_left_out() -> None:
    assert list(export_material(height=mask(1), roughness=mask(1), profile="gltf").images) == ["orm"]
    with pytest.raises(OperationError, match="nothing is wired that 'gltf' has a texture for"):
        export_material(height=mask(1), profile="gltf")


@pytest.mark.parametrize("profile", get_args(Profile))
def test_every_profile_is_listed_with_its_source(profile: Any) -> None:
    table = list_material_maps(profile=profile)
    maps = {row[0] for row in table.rows}
    assert maps == set(profiles()[profile]["maps"])
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["map"] for row in rows if row["srgb"]] == ["base_color", "emissive"]
    assert {row["green"] for row in rows if row["map"] == "normal"} == {"directx" if profile == "unreal" else "opengl"}
    assert all(row["source"] and row["suffix"] for row in rows)


def test_no_profile_is_without_a_name() -> None:
    assert set(profiles()) == set(get_args(Profile))

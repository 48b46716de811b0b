"""Keys on photographs over a screen, ramps, spill, and colours bled into the clear."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage
import torch
from pipeline_compose import merge
from pipeline_key import (
    chroma_key,
    color_range_mask,
    despill,
    difference_key,
    edge_extend,
    luma_key,
    operations,
    planes,
    ramps,
    threshold,
)

from pipeline_core import Image, OperationError

Floats = np.ndarray[Any, Any]
SCREEN = (0.1, 0.65, 0.2, 1.0)
LINEAR = "lin_rec709_scene"


def image(pixels: Any, channels: str = "RGB", **fields: Any) -> Image:
    fields.setdefault("alpha", "straight" if "A" in channels else "none")
    return Image(np.asarray(pixels, np.float32)[None], channels=tuple(channels), **fields)


def row(*colors: tuple[float, ...], channels: str = "RGB", **fields: Any) -> Image:
    return image([colors], channels, **fields)


def photo(name: str = "chelsea.png", size: int = 128) -> Floats:
    """A square of a photograph, in linear light."""
    pixels = cv2.imread(str(Path(skimage.__file__).parent / "data" / name))
    assert pixels is not None
    encoded = (
        cv2.resize(pixels[:300, 60:360, ::-1], (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    )
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(np.float32)


def hairy(size: int = 128) -> Floats:
    """Coverage (H, W, 1) of a disc with thin hair, antialiased."""
    rng = np.random.default_rng(3)
    large = np.zeros((size * 4, size * 4), np.uint8)
    cv2.circle(large, (size * 2, size * 2), int(size * 1.2), 255, -1, cv2.LINE_AA)
    for angle in rng.uniform(0, 2 * np.pi, 60):
        way = np.array([np.cos(angle), np.sin(angle)])
        points = size * 2 + way * np.linspace(1.1, 1.7, 5)[:, None] * size + rng.normal(0, 6, (5, 2))
        cv2.polylines(large, [points.astype(np.int32)], False, 255, 3, cv2.LINE_AA)
    return cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)[..., None].astype(np.float32) / 255


def shot(figure: Floats, coverage: Floats, screen: Floats | None = None) -> Image:
    ground = np.float32(SCREEN[:3]) if screen is None else screen
    return image(figure * coverage + ground * (1 - coverage), color=LINEAR)


# --- chroma_key -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chelsea.png", "astronaut.png", "coffee.png"])
def test_a_photograph_keyed_and_put_on_another_ground_is_as_if_shot_there(name: str) -> None:
    figure, coverage = photo(name), hairy()
    keyed, key = chroma_key(shot(figure, coverage), screen=SCREEN)
    assert (keyed.alpha, keyed.channels) == ("straight", tuple("RGBA"))
    assert np.array_equal(keyed.array[..., 3:], key.array)
    error = np.abs(key.array[0] - coverage)
    assert error.mean() < 0.02
    assert error[coverage == 0].max() < 1e-5
    assert error[coverage == 1].mean() < 0.01
    ground = np.float32([0.5, 0.2, 0.2])
    found = merge(image(np.broadcast_to(ground, figure.shape), color=LINEAR), keyed).array[0]
    ideal = figure * coverage + ground * (1 - coverage)
    assert np.abs(found - ideal).mean() < 0.005
    # Left as it was shot, the same edge shines green.
    edge = (coverage[..., 0] > 0) & (coverage[..., 0] < 1)
    halo = shot(figure, coverage).array[0] * key.array[0] + ground * (1 - key.array[0])
    assert np.abs(found - ideal)[edge].mean() < 0.4 * np.abs(halo - ideal)[edge].mean()


def test_refining_learns_the_edge_from_the_solid_inside() -> None:
    figure, coverage = photo(), hairy()
    edge = (coverage > 0) & (coverage < 1)
    plain, refined = (
        np.abs(chroma_key(shot(figure, coverage), screen=SCREEN, refine=refine).mask.array[0] - coverage)
        for refine in (False, True)
    )
    assert refined[edge].mean() < 0.7 * plain[edge].mean()
    assert refined[coverage == 1].mean() < 0.01


def test_gray_mixed_with_the_screen_comes_back_exactly() -> None:
    coverage = np.linspace(0, 1, 33, dtype=np.float32)[None, :, None]
    gray = np.full((1, 33, 3), 0.4, np.float32)
    keyed, key = chroma_key(shot(gray, coverage), screen=SCREEN)
    np.testing.assert_allclose(key.array[0], coverage, atol=1e-6)
    np.testing.assert_allclose(keyed.associate().array[0, ..., :3], gray * coverage, atol=1e-6)


def test_a_plate_keys_an_unevenly_lit_screen() -> None:
    size = 64
    light = np.linspace(0.4, 1.6, size, dtype=np.float32)[None, :, None]
    screen = np.float32(SCREEN[:3]) * np.broadcast_to(light, (size, size, 1))
    coverage = hairy(size)
    uneven = shot(photo(size=size), coverage, screen)
    with_plate = chroma_key(uneven, image(screen, color=LINEAR), screen=SCREEN).mask.array[0]
    without = chroma_key(uneven, screen=SCREEN).mask.array[0]
    outside = coverage == 0
    assert np.abs(with_plate - coverage)[outside].max() < 1e-5
    assert np.abs(without - coverage)[outside].max() > 0.3


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (0, 2, 1)])
def test_red_green_and_blue_screens_alike(order: tuple[int, int, int]) -> None:
    figure, coverage = photo(size=32), hairy(32)
    green = shot(figure, coverage)
    expected = chroma_key(green, screen=SCREEN).image.array[..., [*order, 3]]
    turned = green.with_array(np.ascontiguousarray(green.array[..., list(order)]))
    screen = tuple(SCREEN[i] for i in (*order, 3))
    np.testing.assert_allclose(chroma_key(turned, screen=screen).image.array, expected, atol=1e-6)  # type: ignore[arg-type]


def test_black_and_white_clean_the_key() -> None:
    coverage = np.float32([0, 0.05, 0.5, 0.95, 1]).reshape(1, 5, 1)
    found = chroma_key(shot(np.full((1, 5, 3), 0.3, np.float32), coverage), screen=SCREEN, black=0.1, white=0.9)
    np.testing.assert_allclose(found.mask.array.ravel(), [0, 0, 0.5, 1, 1], atol=1e-6)


def test_light_above_1_and_alpha_that_was_there() -> None:
    shiny = row((5, 2, 3, 0.5), (0.1, 0.65, 0.2, 1), channels="RGBA")
    keyed, key = chroma_key(shiny, screen=SCREEN)
    assert key.array.ravel().tolist() == [1, 0]
    assert keyed.array[0, 0, 0].tolist() == [5, 2, 3, 0.5]
    associated = chroma_key(shiny.associate(), screen=SCREEN).image
    assert associated.alpha == "associated"
    np.testing.assert_allclose(associated.array, keyed.associate().array, atol=1e-6)


def test_convention_screen_names_the_primary_and_colors_do_not_become_negative() -> None:
    deep = row((0.0, 0.3, 0.0))
    keyed, key = chroma_key(deep, screen=SCREEN)
    assert 0 < key.array.item() < 1
    assert keyed.array.min() >= 0
    blue_first = (0.1, 0.2, 0.65, 1.0)
    assert chroma_key(deep, screen=blue_first).mask.array.item() == 1


# --- ramps ------------------------------------------------------------------------------------------------------------


def test_convention_luma_is_rec709_of_straight_values() -> None:
    colors = row((1, 0, 0, 0.5), (0, 1, 0, 0.5), (0, 0, 1, 0.5), (2, 2, 2, 0.5), channels="RGBA")
    for state in (colors, colors.associate()):
        keyed, key = luma_key(state)
        np.testing.assert_allclose(key.array.ravel(), [0.2126, 0.7152, 0.0722, 1], atol=1e-6)
        np.testing.assert_allclose(keyed.array[..., 3].ravel(), key.array.ravel() / 2, atol=1e-6)
    gray = row((0.2,), (0.4,), (0.6,), channels="Y")
    ramped = luma_key(gray, low=0.2, high=0.6).mask.array.ravel()
    np.testing.assert_allclose(ramped, [0, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(luma_key(gray, low=0.2, high=0.6, invert=True).mask.array.ravel(), 1 - ramped, atol=1e-6)
    assert luma_key(gray, low=0.4, high=0.4).mask.array.ravel().tolist() == [0, 1, 1]
    assert luma_key(gray).image.channels == ("Y", "A")


def test_difference_key() -> None:
    ground = photo(size=32)
    figure = np.full_like(ground, 0.9)
    coverage = np.zeros((32, 32, 1), np.float32)
    coverage[8:24, 8:24] = 1
    grain = np.random.default_rng(1).normal(0, 0.005, ground.shape).astype(np.float32)
    seen = image(np.where(coverage == 1, figure, ground + grain))
    keyed, key = difference_key(seen, image(ground))
    assert np.array_equal(key.array[0], coverage)
    assert np.array_equal(keyed.array[..., :3], seen.array)
    half = difference_key(row((0.5, 0.5, 0.5)), row((0.5, 0.4, 0.5)), tolerance=0.05, softness=0.1).mask
    assert half.array.item() == pytest.approx(0.5, abs=1e-5)


def test_color_range_mask() -> None:
    colors = row((0.5, 0.5, 0.5), (0.6, 0.6, 0.6), (0.65, 0.65, 0.65), (0.7, 0.7, 0.7), (0.9, 0.5, 0.5))
    found = color_range_mask(colors, color=(0.5, 0.5, 0.5, 1), tolerance=0.1, softness=0.1).array.ravel()
    np.testing.assert_allclose(found, [1, 1, 0.5, 0, 0], atol=1e-5)
    hard = color_range_mask(colors, color=(0.5, 0.5, 0.5, 0), tolerance=0.12, softness=0).array.ravel()
    assert hard.tolist() == [1, 1, 0, 0, 0]


# --- despill ----------------------------------------------------------------------------------------------------------


def test_despill() -> None:
    colors = row((0.4, 0.8, 0.2, 0.5), (0.8, 0.3, 0.4, 1), (3, 9, 1, 1), channels="RGBA")
    found = despill(colors).array[0, 0]
    np.testing.assert_allclose(found[:, 1], [0.3, 0.3, 2], atol=1e-6)
    np.testing.assert_array_equal(found[:, [0, 2, 3]], colors.array[0, 0][:, [0, 2, 3]])
    np.testing.assert_allclose(despill(colors, amount=0.5).array[0, 0, 0, 1], 0.55, atol=1e-6)
    np.testing.assert_allclose(despill(colors, balance=1).array[0, 0, 0, 1], 0.4, atol=1e-6)
    kept = despill(colors, keep_luma=True).array[0, 0, :, :3] @ np.float32([0.2126, 0.7152, 0.0722])
    np.testing.assert_allclose(kept, colors.array[0, 0, :, :3] @ np.float32([0.2126, 0.7152, 0.0722]), atol=1e-5)
    assert np.array_equal(despill(colors, screen="blue").array[0, 0, 0], colors.array[0, 0, 0])
    np.testing.assert_allclose(despill(colors.associate()).unassociate().array[0, 0], found, atol=1e-6)


# --- edge_extend ------------------------------------------------------------------------------------------------------


def island(size: int = 48, **fields: Any) -> tuple[Image, Floats]:
    down, across = np.mgrid[:size, :size]
    coverage = np.clip(size / 4 - np.hypot(down - size / 2, across - size / 2) + 0.5, 0, 1)[..., None]
    color = np.broadcast_to(np.float32([0.9, 0.5, 0.1]), (size, size, 3))
    return image(np.concatenate([color * (coverage > 0), coverage], axis=-1), "RGBA", **fields), coverage


def test_colors_spread_and_known_ones_stay() -> None:
    picture, coverage = island()
    found = edge_extend(picture)
    assert np.array_equal(found.array[..., 3:], picture.array[..., 3:])
    known = coverage[..., 0] > 0
    assert np.array_equal(found.array[0][known], picture.array[0][known])
    np.testing.assert_allclose(found.array[0, ..., :3], np.broadcast_to([0.9, 0.5, 0.1], (48, 48, 3)), atol=1e-5)
    assert edge_extend(picture.associate()).alpha == "straight"


def test_a_smaller_texture_has_no_dark_fringe() -> None:
    picture, _ = island()

    def fringe(image: Image) -> float:
        small = cv2.resize(image.array[0], (12, 12), interpolation=cv2.INTER_AREA)
        edge = small[(small[..., 3] > 0.1) & (small[..., 3] < 0.9)]
        return float(np.abs(edge[:, :3] - [0.9, 0.5, 0.1]).max())

    assert fringe(edge_extend(picture)) < 1e-5
    assert fringe(picture) > 0.1


def test_the_nearest_colors_win_and_go_over_smoothly() -> None:
    pixels = np.zeros((33, 47, 4), np.float32)
    pixels[:, :6] = (1, 0, 0, 1)
    pixels[:, -6:] = (0, 0, 1, 1)
    found = edge_extend(image(pixels, "RGBA")).array[0]
    assert found[16, 8, 0] > 0.8
    assert found[16, -9, 2] > 0.8
    assert np.abs(np.diff(found[16, :, 0])).max() < 0.25
    np.testing.assert_allclose(found[..., 0] + found[..., 2], 1, atol=1e-5)


def test_threshold_replaces_a_foreign_edge() -> None:
    picture, coverage = island()
    haloed = picture.array.copy()
    haloed[0, ..., :3] = np.where((coverage > 0) & (coverage < 1), np.float32([0, 1, 0]), haloed[0, ..., :3])
    found = edge_extend(picture.with_array(haloed), threshold=0.999)
    np.testing.assert_allclose(found.array[0, ..., :3], np.broadcast_to([0.9, 0.5, 0.1], (48, 48, 3)), atol=1e-5)
    assert np.array_equal(found.array[..., 3], picture.array[..., 3])


def test_a_tile_bleeds_across_its_edges() -> None:
    pixels = np.zeros((16, 32, 4), np.float32)
    pixels[:, 0] = (1, 0, 0, 1)
    pixels[:, 12] = (0, 0, 1, 1)
    tiled = edge_extend(image(pixels, "RGBA", wrap=(True, False))).array[0, 8]
    single = edge_extend(image(pixels, "RGBA")).array[0, 8]
    assert tiled[-1, 0] > 0.75
    assert single[-1, 0] <= 0.5


def test_nothing_known_and_no_alpha_change_nothing() -> None:
    clear = image(np.full((3, 5, 4), [0.1, 0.2, 0.3, 0]), "RGBA")
    assert np.array_equal(edge_extend(clear).array, clear.array)
    opaque = image(np.zeros((3, 5, 3)))
    assert edge_extend(opaque) is opaque
    both = clear.with_array(np.concatenate([clear.array, island(48)[0].array[:, 20:23, 20:25]]))
    assert np.array_equal(edge_extend(both).array[0], clear.array[0])


# --- all --------------------------------------------------------------------------------------------------------------


CALLS: list[tuple[Any, dict[str, Any]]] = [
    (chroma_key, {"screen": SCREEN}),
    (luma_key, {"high": 0.5}),
    (color_range_mask, {"color": (0.2, 0.6, 0.3, 1)}),
    (threshold, {"value": 0.4}),
    (despill, {}),
    (edge_extend, {}),
]


def outputs(found: Any) -> tuple[Any, ...]:
    return found if isinstance(found, tuple) else (found,)


def test_every_operation_is_offered() -> None:
    assert {function for function, _ in CALLS} | {difference_key} == set(operations())


@pytest.mark.parametrize(("operation", "params"), CALLS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16"])
def test_other_types_batches_and_inference(operation: Any, params: dict[str, Any], dtype: str) -> None:
    scale = {"uint8": 255, "uint16": 65535, "float16": 1}[dtype]
    buffer = (np.random.default_rng(2).random((2, 9, 7, 4)) * scale).astype(dtype)
    typed = Image(buffer, channels=tuple("RGBA"), alpha="straight")
    found = outputs(operation(typed, **params))
    plain = outputs(operation(typed.with_array(typed.array.copy()), **params))
    guess = outputs(operation(typed.to("meta"), **params))
    alone = outputs(operation(typed.with_buffer(typed.buffer[1:]), **params))
    for one, other, ghost, second in zip(found, plain, guess, alone, strict=True):
        assert np.array_equal(one.array, other.array)
        assert (str(ghost), ghost.device) == (str(one), "meta")
        np.testing.assert_allclose(second.array[0], one.array[1], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: chroma_key(row((0.5,), channels="Y"), screen=SCREEN), "chroma_key wants R, G, B, the image has Y"),
        (
            lambda: chroma_key(row((0, 1, 0)), screen=(0.5, 0.5, 0.2, 1)),
            "screen has no strongest of red, green and blue",
        ),
        (lambda: chroma_key(row((0, 1, 0)), screen=SCREEN, black=0.5, white=0.5), "white must be above black"),
        (lambda: luma_key(row((0, 1, 0)), low=0.5, high=0.2), "low must not be above high"),
        (lambda: difference_key(row((0, 1, 0)), row((0, 1, 0), (0, 1, 0))), "image is 1x1, plate is 2x1"),
        (lambda: difference_key(row((0, 1, 0)), row((0,), channels="Y")), "one of image and plate is gray"),
        (lambda: difference_key(row((0, 1, 0)), row((0, 1, 0), color=LINEAR)), "plate is lin_rec709_scene"),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        call()


@pytest.mark.parametrize("channels", ["RGB", "ZRGBA", "Y", "AY"])
@pytest.mark.parametrize("alpha", ["straight", "associated"])
def test_numpy_and_torch_key_alike(channels: str, alpha: Any) -> None:
    values = np.random.default_rng(3).random((2, 30, 7, len(channels)), np.float32)
    state = alpha if "A" in channels else "none"
    image, plate = (
        Image(part.copy(), channels=tuple(channels), alpha=state, color="lin_rec709_scene")
        for part in (values, values[::-1, :, ::-1][:1])
    )
    color, other = planes.color_of(image, "test"), planes.color_of(plate, "test")
    weights = torch.tensor(ramps.REC709_LUMA if color.shape[1] == 3 else [1.0]).view(1, -1, 1, 1)
    luma = (color * weights).sum(1, keepdim=True)
    for found, key in (
        (luma_key(image, low=0.3, high=0.6), planes.ramp(luma, 0.3, 0.6)),
        (luma_key(image, low=0.4, high=0.4, invert=True), 1 - planes.ramp(luma, 0.4, 0.4)),
        (difference_key(image, plate), planes.ramp((color - other).abs().amax(1, keepdim=True), 0.05, 0.15)),
    ):
        wanted = planes.keyed(image, color, key)
        assert found.image.channels == wanted.image.channels
        assert found.image.alpha == wanted.image.alpha
        np.testing.assert_allclose(found.mask.array, wanted.mask.array, atol=2e-6)
        np.testing.assert_allclose(found.image.array, wanted.image.array, atol=2e-6)
    soft = planes.ramp(luma, 0.4, 0.6).permute(0, 2, 3, 1)
    np.testing.assert_allclose(threshold(image, value=0.5, softness=0.2).array, soft, atol=2e-6)


KEYS: dict[str, Callable[[Image], Any]] = {
    "threshold": lambda image: threshold(image, value=0.4),
    "soft threshold": lambda image: threshold(image, value=0.4, softness=0.3),
    "luma": lambda image: luma_key(image, low=0.2, high=0.7).mask,
    "dark": lambda image: luma_key(image, low=0.2, high=0.7, invert=True).mask,
    "step": lambda image: luma_key(image, low=0.3, high=0.3).mask,
    "difference": lambda image: difference_key(image, image.with_buffer(image.buffer[:, ::-1, ::-1])).mask,
    "hard difference": lambda image: difference_key(image, image.with_buffer(image.buffer[:1, ::-1]), softness=0).mask,
}


@pytest.mark.parametrize("key", [*KEYS, "color", "hard color"])
def test_compiled_keys_are_what_formulas_give(key: str, as_formulas: Callable[..., None]) -> None:
    if key in KEYS:
        as_formulas(KEYS[key], ("RGB", "Y", "YA", "ABRGZ"))
    else:
        softness = 0.2 if key == "color" else 0.0
        as_formulas(lambda image: color_range_mask(image, color=(0.4, 0.5, 0.6, 1.0), softness=softness))

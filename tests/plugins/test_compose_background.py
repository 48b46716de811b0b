"""remove_background: an orange disc on a blue ground, and a real photograph."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage
from pipeline_compose import merge, remove_background
from pipeline_compose.matting import own_colors

from pipeline_core import Image, OperationError
from pipeline_core.operation import read

ORANGE, BLUE = np.array([0.9, 0.5, 0.1], np.float32), np.array([0.1, 0.2, 0.6], np.float32)
AROUND = {"x": 14, "y": 10, "width": 52, "height": 44}


def disc(radius: float = 16) -> np.ndarray[Any, Any]:
    """Coverage of a disc at (40, 32) in 80 x 64, its edge two pixels soft."""
    y, x = np.mgrid[:64, :80]
    return np.clip((radius - np.hypot(x - 40, y - 32)) / 2 + 0.5, 0, 1).astype(np.float32)[..., None]


def scene(**fields: Any) -> Image:
    noise = np.random.default_rng(5).normal(0, 0.01, (64, 80, 3)).astype(np.float32)
    return Image((disc() * ORANGE + (1 - disc()) * BLUE + noise)[None], **fields)


def test_the_figure_is_found_with_a_soft_edge() -> None:
    cut, matte = remove_background(scene(), **AROUND)
    assert (cut.channels, cut.alpha) == (("R", "G", "B", "A"), "straight")
    assert np.array_equal(cut.array[..., 3:], matte.array)
    error = np.abs(matte.array[0] - disc())
    assert error.max() < 0.25
    assert error.mean() < 0.005
    assert ((matte.array > 0.05) & (matte.array < 0.95)).sum() > 50


def test_no_halo_over_another_background() -> None:
    black = Image(np.zeros((1, 64, 80, 3), np.float32))
    cut, matte = remove_background(scene(), **AROUND)
    ideal = matte.array * ORANGE
    soft = (matte.array[..., 0] > 0.05) & (matte.array[..., 0] < 0.95)
    shown = np.abs(merge(black, cut).array - ideal)[soft]
    # With the picture's own colours under the same matte, the blue ground shines in the edge.
    halo = np.abs(matte.array * scene().array - ideal)[soft]
    assert shown.mean() < 0.03
    assert halo.mean() > 4 * shown.mean()


def test_own_colors_of_a_known_mixture() -> None:
    coverage = disc()
    found = own_colors(coverage * ORANGE + (1 - coverage) * BLUE, coverage[..., 0])
    edge = (coverage[..., 0] > 0.2) & (coverage[..., 0] < 1)
    assert np.abs(found[edge] - ORANGE).max() < 0.02


def test_feather_0_is_hard() -> None:
    matte = remove_background(scene(), **AROUND, feather=0).mask
    assert set(np.unique(matte.array)) == {0.0, 1.0}


def test_keep_and_drop() -> None:
    picture = scene().array[0].copy()
    picture[24:40, 60:64] = ORANGE  # a second orange piece
    image = Image(picture[None])
    with_both = remove_background(image, **AROUND, feather=0).mask.array[0, ..., 0]
    dropped = remove_background(image, **AROUND, drop=[[58, 20, 8, 24]], feather=0).mask.array[0, ..., 0]
    assert with_both[30, 62] == 1
    assert dropped[30, 62] == 0
    kept = remove_background(image, **AROUND, keep=[[16, 12, 4, 4]], feather=0).mask.array[0, ..., 0]
    assert kept[14, 18] == 1


def test_the_same_on_any_thread_and_after_any_random_numbers() -> None:
    image = scene()
    expected = remove_background(image, **AROUND).image.array

    def cut(seed: int) -> bool:
        cv2.setRNGSeed(seed)
        return np.array_equal(remove_background(image, **AROUND).image.array, expected)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(cut, range(1, 9)))
    cores = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        assert cut(99)
    finally:
        cv2.setNumThreads(cores)


def test_a_batch_of_two_is_two_of_one() -> None:
    first, second = scene().array[0], scene().array[0][:, ::-1]
    together = remove_background(Image(np.stack([first, second])), **AROUND)
    for i, one in enumerate((first, second)):
        assert np.array_equal(
            together.mask.array[i], remove_background(Image(one[None].copy()), **AROUND).mask.array[0]
        )


def test_alpha_states_and_other_channels() -> None:
    color = scene().array
    half = np.full_like(color[..., :1], 0.5)
    image = Image(np.concatenate([color * half, half, half * 3], -1), channels=tuple("RGBAZ"), alpha="associated")
    before = image.buffer.copy()
    cut, matte = remove_background(image, **AROUND)
    plain = remove_background(scene(), **AROUND)
    assert (cut.channels, cut.alpha) == (tuple("RGBAZ"), "associated")
    assert np.all(cut.array[..., 4] == 1.5)
    np.testing.assert_allclose(matte.array, plain.mask.array / 2, atol=0.02)
    assert np.array_equal(image.buffer, before)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16"])
def test_other_types(dtype: str) -> None:
    scale = {"uint8": 255, "uint16": 65535, "float16": 1}[dtype]
    image = Image((scene().array.clip(0, 1) * scale).astype(dtype))
    matte = remove_background(image, **AROUND).mask
    assert np.abs(matte.array - disc()).mean() < 0.005


def test_gray_and_linear_light() -> None:
    gray = Image((0.1 + 0.8 * disc())[None], channels=("Y",))
    assert np.abs(remove_background(gray, **AROUND).mask.array - disc()).mean() < 0.01
    linear = Image(scene().array.clip(0) ** 2.2 * 4, color="lin_rec709_scene")  # brighter than white, and not clipped
    cut = remove_background(linear, **AROUND).image
    assert cut.array[0, 32, 40, 0] == linear.array[0, 32, 40, 0] > 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"x": 70, "width": 20}, "the rectangle is 20x64 at 70, 0: it must lie inside the image of 80x64"),
        ({"width": 40, "drop": [[0, 60, 10, 10]]}, "a box to drop is 10x10 at 0, 60"),
        ({}, "leaves no background outside"),
        ({"width": 2, "height": 2}, "leave 4 pixels for the figure: too few"),
    ],
)
def test_refusals_before_anything_runs(params: dict[str, Any], message: str) -> None:
    rule = read(remove_background, plugin="pipeline_compose").facts.infer
    assert rule is not None
    for call, image in ((remove_background, scene()), (rule, Image.stand_in(80, 64))):
        with pytest.raises(OperationError, match=message):
            call(image, **params)


def test_inference_agrees() -> None:
    rule = read(remove_background, plugin="pipeline_compose").facts.infer
    assert rule is not None
    for image in (scene(), scene(wrap=(True, False), color="lin_rec709_scene")):
        stand_in = Image.stand_in(80, 64, color=image.color, wrap=image.wrap)
        for real, guess in zip(remove_background(image, **AROUND), rule(stand_in, **AROUND), strict=True):
            assert str(guess) == str(real)
            assert guess.wrap == real.wrap


def test_a_photograph() -> None:
    photo = Path(skimage.__file__).parent / "data" / "coffee.png"
    seen = cv2.imread(str(photo))[None, :, :, ::-1].copy()
    matte = remove_background(Image(seen), x=40, y=10, width=440, height=385, keep=[[180, 60, 120, 120]]).mask.array
    assert matte[0, 120, 240, 0] == 1
    assert np.all(matte[0, :8] == 0)
    assert 0.2 < matte.mean() < 0.75

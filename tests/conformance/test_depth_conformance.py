"""Depth merges against Weta's deep scene and OpenImageIO's results."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import OpenImageIO
import pytest
from pipeline_depth import deep_flatten, deep_merge, load_deep, z_merge

from pipeline_core import Image

CORPORA = Path(__file__).parents[2].parent / "shared" / "corpora"
SCENE = CORPORA / "depth-composite"
DEEP = CORPORA / "oiio-ops" / "deep"
PASSES = ("Balls", "Leaves", "Trunks")

with_scene = pytest.mark.skipif(not SCENE.exists(), reason="the depth-composite corpus is not here")


def flat(path: Path) -> Image:
    picture = OpenImageIO.ImageBuf(str(path))
    channels = tuple(picture.spec().channelnames)
    pixels = picture.get_pixels(OpenImageIO.FLOAT)
    return Image(pixels[None], channels=channels, color="lin_rec709_scene", alpha="associated")


@with_scene
def test_deep_merge_and_flatten_are_openimageios() -> None:
    result = deep_flatten(deep_merge([load_deep(path=SCENE / f"{name}.deep.exr") for name in PASSES]))
    reference = flat(SCENE / "oiio-deepmerge-flattened.exr")
    assert result.channels == reference.channels
    assert np.abs(result.array - reference.array).max() <= 1e-4


@with_scene
@pytest.mark.parametrize("name", PASSES)
def test_flattening_one_pass_is_openimageios(name: str) -> None:
    result = deep_flatten(load_deep(path=SCENE / f"{name}.deep.exr"))
    assert np.abs(result.array - flat(SCENE / f"{name}.flat-rgbaz.exr").array).max() <= 1e-4


@with_scene
def test_merging_flat_pictures_by_depth_is_nearly_as_good_as_deep() -> None:
    pictures = [flat(SCENE / f"{name}.flat-rgbaz.exr") for name in PASSES]
    reference = flat(SCENE / "oiio-deepmerge-flattened.exr").array[..., :4]

    def off(result: np.ndarray) -> float:
        return float((np.abs(result[..., :4] - reference).max(axis=-1) > 0.01).mean())

    assert off(z_merge(pictures).array) <= 0.0005
    for order in permutations(pictures):  # the control: no fixed order of layers does as well
        fixed = order[0].array
        for below in order[1:]:
            fixed = fixed + below.array * (1 - fixed[..., 3:4])
        assert off(fixed) > 0.005


@with_scene
def test_z_merge_is_openimageios_zover() -> None:
    result = z_merge([flat(SCENE / f"{name}.flat-rgbaz.exr") for name in PASSES])
    assert np.abs(result.array - flat(SCENE / "oiio-zover-Balls-Leaves-Trunks.exr").array).max() <= 1e-6


@with_scene
def test_the_order_of_the_inputs_does_not_matter() -> None:
    pictures = [flat(SCENE / f"{name}.flat-rgbaz.exr") for name in PASSES]
    deep = [load_deep(path=SCENE / f"{name}.deep.exr") for name in PASSES]
    assert len({z_merge(list(order)).array.tobytes() for order in permutations(pictures)}) == 1
    merged = [deep_merge(list(order)) for order in permutations(deep)]
    assert len({image.samples.tobytes() for image in merged}) == 1
    assert len({deep_flatten(image).array.tobytes() for image in merged}) == 1


@pytest.mark.skipif(not DEEP.exists(), reason="the oiio-ops corpus is not here")
def test_a_tiled_deep_file_without_colour_flattens_as_oiiotools() -> None:
    result = deep_flatten(load_deep(path=DEEP / "deepalpha.exr"))
    reference = OpenImageIO.ImageBuf(str(DEEP / "flat.exr")).get_pixels(OpenImageIO.FLOAT)
    assert result.channels == ("A", "Z")
    assert result.color == "data"
    np.testing.assert_allclose(result.array[0], reference, rtol=1e-6, atol=1e-6)

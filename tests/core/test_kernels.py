"""Kernels in C: what is built, what is loaded, and that a sample is the float that numpy makes of it."""

from __future__ import annotations

import shutil
import subprocess
from ctypes import byref, c_ssize_t, c_void_p
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_core import Image, Pixels, kernels_for, load_kernels, pass_over, stored
from pipeline_core.kernels import compile_kernels, library

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")

FLOATS = """
#include <pixels.h>

KERNEL(floats)(const Pixels *from, float *to, int channel, ptrdiff_t width) {
    for (ptrdiff_t x = 0; x < width; x += BLOCK) {
        Plane plane;
        int n = width - x < BLOCK ? (int)(width - x) : BLOCK;
        load(plane, pixel_at(from, 0, x), from->pixel, channel, from->dtype, n);
        for (int i = 0; i < n; i++) to[x + i] = plane[i];
    }
}
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a plugin whose kernels are built."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "kernels.c").write_text(FLOATS)
    compile_kernels(folder / "kernels.c")
    return str(folder / "__init__.py")


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_a_sample_is_the_float_that_numpy_makes_of_it(plugin: str, dtype: str, channels: int) -> None:
    if dtype.startswith("u"):
        values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
        expected = np.divide(values, np.float32(values[-1]), dtype=np.float32)
    else:
        values = np.random.default_rng(1).normal(size=1000).astype(dtype)
        expected = values.astype(np.float32)
    pixels = np.repeat(values[None, :, None], channels, axis=2)
    assert Pixels.fits(pixels)
    kernels = load_kernels(plugin)
    assert kernels is not None
    for channel in range(channels):
        found = np.empty(len(values), np.float32)
        kernels.floats(
            byref(Pixels.of(pixels)),
            found.ctypes.data_as(c_void_p),
            channel,
            c_ssize_t(len(values)),
        )
        assert np.array_equal(found, expected)


def test_kernels_take_samples_that_lie_side_by_side_alone() -> None:
    pixels = np.zeros((4, 5, 3), np.float32)
    assert Pixels.fits(pixels[::-1, ::2])
    assert not Pixels.fits(pixels[..., ::-1])
    assert not Pixels.fits(pixels.transpose(2, 0, 1))
    assert not Pixels.fits(pixels.astype(np.float64))


@pytest.mark.parametrize("part", [np.s_[:], np.s_[:, 1:, 2:7], np.s_[:, ::-1], np.s_[:, :, ::-1], np.s_[:, ::2, ::3]])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("channels", ["RGBA", "YA", "RGB", "RGBAZ", "ARGB"])
def test_compiled_an_image_has_the_bits_of_numpy(
    channels: str, dtype: str, part: Any, compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(1).integers(0, 256, (2, 9, 301, len(channels)))
    buffer = values.astype(dtype)[part] if dtype.startswith("u") else (values / 128).astype(dtype)[part]
    alpha: Any = "straight" if "A" in channels else "none"
    image = Image(buffer, channels=tuple(channels), alpha=alpha)
    associated = replace(image, alpha="associated") if "A" in channels else image
    found = image.array, image.associate().array, associated.unassociate().array
    monkeypatch.setattr("pipeline_core.image.load_kernels", lambda _: None)
    expected = image.array, image.associate().array, associated.unassociate().array
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)


def test_the_kernel_of_the_page_halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "writing-a-plugin.md").read_text()
    (tmp_path / "kernels.c").write_text(page.split("```c\n")[1].split("```")[0])
    compile_kernels(tmp_path / "kernels.c")
    kernels = load_kernels(str(tmp_path / "__init__.py"))
    assert kernels is not None
    array = np.random.default_rng(1).integers(0, 256, (2, 3, 300, 1), np.uint8)
    out = np.empty((4, *array.shape[1:]), np.float32)
    monkeypatch.setattr("pipeline_core.passes.LEAST", 600)  # two rows, and one
    pass_over(kernels.halve, [array, out])
    np.testing.assert_allclose(out, np.concatenate([array, array]) / 510, rtol=1e-6)


def test_kernels_get_what_lies_in_memory_and_of_planes_a_copy(plugin: str) -> None:
    picture = Image(np.random.default_rng(1).integers(0, 256, (1, 4, 5, 3), np.uint8))
    assert kernels_for(plugin, picture, None) is load_kernels(plugin)
    assert stored(picture) is picture.buffer
    planes = picture.with_pixels(picture.pixels.contiguous().clone())
    assert np.array_equal(stored(planes), picture.array)
    assert kernels_for(plugin, picture.to("meta")) is None


def test_nothing_is_loaded_that_was_built_of_another_text(tmp_path: Path) -> None:
    source = tmp_path / "kernels.c"
    source.write_text(FLOATS)
    old = compile_kernels(source)
    assert old == library(source)
    source.write_text(FLOATS + "\n")
    assert load_kernels(str(tmp_path / "other.py")) is None
    new = compile_kernels(source)
    assert new != old
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["kernels.c", new.name])


def test_what_the_compiler_says_comes_with_the_error(tmp_path: Path) -> None:
    source = tmp_path / "kernels.c"
    source.write_text("KERNEL(floats)(void) { return 1 }")
    with pytest.raises(subprocess.CalledProcessError) as failure:
        compile_kernels(source)
    assert "kernels.c:1" in failure.value.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["kernels.c"]
    assert load_kernels(str(tmp_path / "plugin.py")) is None

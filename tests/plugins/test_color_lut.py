"""Look-up tables: OpenImageIO's results, interpolation, and files that break the format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest
from pipeline_color.lut import apply_lut

from pipeline_core import Image, OperationError
from pipeline_core.testing import check_operation


def write(path: Path, table: Any, *more: str) -> Path:
    entries = np.asarray(table)
    kind = "LUT_1D_SIZE" if entries.ndim == 2 else "LUT_3D_SIZE"
    rows = [" ".join(f"{v:.7f}" for v in row) for row in entries.reshape(-1, 3)]
    path.write_text("\n".join(['TITLE "a look"', "# made by a test", f"{kind} {len(entries)}", *more, "", *rows, ""]))
    return path


def grid(size: int) -> Any:
    """The table that changes nothing, by blue, green, red."""
    return np.stack(np.meshgrid(*[np.linspace(0, 1, size)] * 3, indexing="ij")[::-1], axis=-1)


def noise(low: float = 0.0, high: float = 1.0, channels: str = "RGB", **fields: Any) -> Image:
    values = np.random.default_rng(4).uniform(low, high, (1, 9, 11, len(channels)))
    return Image(values.astype(np.float32), channels=tuple(channels), **fields)


@pytest.mark.parametrize("shape", [(17, 3), (5, 5, 5, 3)])
def test_opencolorio_gives_the_same(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = write(tmp_path / "look.cube", np.random.default_rng(8).random(shape))
    source = noise(-0.2, 1.3)
    picture = OpenImageIO.ImageBuf(np.ascontiguousarray(source.array[0]))
    expected = OpenImageIO.ImageBufAlgo.ociofiletransform(picture, str(path), colorconfig="ocio://default")
    assert not expected.has_error, expected.geterror()
    np.testing.assert_allclose(apply_lut(source, path=path).array[0], expected.get_pixels(OpenImageIO.FLOAT), atol=2e-5)


@pytest.mark.parametrize("interpolation", ["tetrahedral", "trilinear"])
def test_the_identity_changes_nothing_in_its_domain(interpolation: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "same.cube", grid(4))
    for source in (noise(), noise(channels="BAGZR", alpha="straight")):
        found = apply_lut(source, path=path, interpolation=interpolation)
        np.testing.assert_allclose(found.array, source.array, atol=1e-6)


def test_trilinear_is_the_mean_of_eight_corners(tmp_path: Path) -> None:
    table = np.random.default_rng(8).random((2, 2, 2, 3))
    middle = Image(np.full((1, 1, 1, 3), 0.5, np.float32))
    found = apply_lut(middle, path=write(tmp_path / "x.cube", table), interpolation="trilinear")
    np.testing.assert_allclose(found.array.ravel(), table.mean((0, 1, 2)), atol=1e-6)


@pytest.mark.parametrize(
    "lines", [("DOMAIN_MIN -1 -1 -1", "DOMAIN_MAX 3 3 3"), ("LUT_3D_INPUT_RANGE -1.0 3.0",)], ids=["adobe", "resolve"]
)
def test_convention_domain_and_values_outside_it(lines: tuple[str, ...], tmp_path: Path) -> None:
    path = write(tmp_path / "wide.cube", grid(3) * 4 - 1, *lines)
    source = noise(-2, 5)
    np.testing.assert_allclose(apply_lut(source, path=path).array, source.array.clip(-1, 3), atol=1e-5)


def test_alpha_stays_and_associated_says_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "look.cube", np.random.default_rng(8).random((5, 5, 5, 3)))
    source = noise(channels="RGBA", alpha="straight")
    found = apply_lut(source.associate(), path=path)
    np.testing.assert_allclose(found.array, apply_lut(source, path=path).associate().array, atol=1e-5)


def test_the_contract(tmp_path: Path) -> None:
    path = write(tmp_path / "look.cube", np.random.default_rng(8).random((5, 5, 5, 3)))
    check_operation(apply_lut, params={"path": str(path)})


def test_inference_and_strips(tmp_path: Path) -> None:
    path = write(tmp_path / "look.cube", np.random.default_rng(8).random((5, 5, 5, 3)))
    source = noise(channels="RGBA", alpha="associated")
    whole = apply_lut(source, path=path)
    assert str(apply_lut(source.to("meta"), path=path)) == str(whole)
    strips = [apply_lut(source.with_buffer(source.buffer[:, y : y + 4]), path=path).array for y in range(0, 9, 4)]
    assert np.array_equal(np.concatenate(strips, axis=1), whole.array)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"x\.cube:1: no LUT_1D_SIZE"),
        ("0 0 0\n", r"x\.cube:1: no LUT_1D_SIZE"),
        ("LUT_3D_SIZE 100000\n", r"x\.cube:1: the size must be 2 to 129, got '100000'"),
        ("LUT_1D_SIZE two\n", r"x\.cube:1: the size must be 2 to 65536"),
        ("LUT_1D_SIZE 2\nLUT_3D_SIZE 2\n", r"x\.cube:2: a second size"),
        ("# a\nLUT_9D_SIZE 2\n", r"x\.cube:2: 'LUT_9D_SIZE 2' is no line"),
        ("LUT_1D_SIZE 2\n0 0 0\n1 1\n", r"x\.cube:3: 3 numbers belong here, got '1 1'"),
        ("LUT_1D_SIZE 2\n0 0 0\n1 1 nan\n", r"x\.cube:3: 3 numbers belong here"),
        ("LUT_1D_SIZE 2\n0 0 0\n", r"x\.cube:2: the table ends after 1 of 2"),
        ("LUT_1D_SIZE 2\n0 0 0\n0 0 0\n0 0 0\n", r"x\.cube:4: more than the 2 entries"),
        ("LUT_1D_SIZE 2\nDOMAIN_MIN 1 1 1\n0 0 0\n0 0 0\n", r"x\.cube: DOMAIN_MIN .* must be below"),
    ],
)
def test_broken_files_name_file_and_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.cube"
    path.write_text(text)
    with pytest.raises(OperationError, match=message):
        apply_lut(noise(), path=path)


def test_a_missing_file_and_a_gray_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="No such file"):
        apply_lut(noise(), path=tmp_path / "none.cube")
    with pytest.raises(OperationError, match="to_rgb"):
        apply_lut(noise(channels="Y"), path=write(tmp_path / "x.cube", grid(2)))


@pytest.mark.parametrize("interpolation", ["tetrahedral", "trilinear"])
@pytest.mark.parametrize("shape", [(9, 3), (5, 5, 5, 3)])
def test_both_kernels_say_the_same(
    shape: tuple[int, ...], interpolation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "any.cube", np.random.default_rng(3).random(shape))
    given = noise(-0.2, 1.2)
    found = apply_lut(given, path=path, interpolation=interpolation).array
    monkeypatch.setattr("pipeline_color.pointwise._by_numpy", lambda image: False)
    np.testing.assert_allclose(apply_lut(given, path=path, interpolation=interpolation).array, found, atol=2e-6)


@pytest.mark.parametrize("interpolation", ["tetrahedral", "trilinear"])
@pytest.mark.parametrize("size", [2, 5])
def test_compiled_gives_what_formulas_give(
    size: int, interpolation: Any, as_formulas: Callable[..., None], tmp_path: Path
) -> None:
    table = np.random.default_rng(3).random((size, size, size, 3))
    path = write(tmp_path / "look.cube", table, "DOMAIN_MIN 0 -0.5 0.1", "DOMAIN_MAX 1 2 0.9")
    as_formulas(lambda picture: apply_lut(picture, path=path, interpolation=interpolation))

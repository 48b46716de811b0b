"""OpenEXR files of others: windows, every value of half, references of other programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from pipeline_io import encode_image, load_image

CORPUS = Path(__file__).parents[3] / "shared" / "corpora" / "exr-valid"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus exr-valid is not here")


def files(folder: str) -> list[Path]:
    return sorted((CORPUS / folder).glob("*.exr"))


def srgb(
    linear: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    values = np.clip(linear.astype(float), 0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("path", files("DisplayWindow"), ids=lambda path: path.stem)
def test_the_display_window_is_what_is_seen(path: Path) -> None:
    image = load_image(path=path)
    with PIL.Image.open(path.with_suffix(".jpg")) as opened:
        expected = np.asarray(opened.convert("RGB")) / 255
    assert (image.height, image.width) == expected.shape[:2]
    filled = load_image(path=path, window="data")
    seen = image.array[0].any(axis=2)
    if seen.sum() < 1000:  # little or nothing of the data window is inside
        return
    assert filled.array.any()
    rows, columns = np.nonzero(seen)
    inside = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    error = np.square(srgb(image.array[0])[inside] - expected[inside]).mean()
    assert -10 * np.log10(error) >= 36


@pytest.mark.parametrize("path", files("TestImages"), ids=lambda path: path.stem)
@pytest.mark.parametrize("codec", ["zip", "piz"])
def test_values_survive_loading_and_saving(path: Path, tmp_path: Path, codec: str) -> None:
    image = load_image(path=path)
    copy = tmp_path / "copy.exr"
    copy.write_bytes(encode_image(image, format="exr", nan="keep", exr_compression=codec).content)  # type: ignore[arg-type]
    again = load_image(path=copy)
    assert (again.dtype, again.channels, again.color) == (image.dtype, image.channels, image.color)
    assert again.buffer.tobytes() == image.buffer.tobytes()

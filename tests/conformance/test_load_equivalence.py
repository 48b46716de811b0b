"""One picture in many formats: the same pixels whichever is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pipeline_io import encode_image, load_image

CORPORA = Path(__file__).parents[3] / "shared" / "corpora"
CORPUS = CORPORA / "load-equivalence"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus load-equivalence is not here")

# Two renderings of one picture; the files of each hold the same pixels.
GROUP_A = (
    "hopper.bmp", "hopper.dds", "hopper.png", "hopper.qoi", "hopper.tif", "hopper_8bit.ppm", "hopper_8bit_plain.ppm",
    "hopper_bigtiff.tif", "hopper_lzma.tif", "hopper_lzw.tif",
)  # fmt: skip


def test_group_a_is_bit_identical() -> None:
    here = [CORPUS / "hopper" / name for name in GROUP_A if (CORPUS / "hopper" / name).is_file()]
    assert len(here) >= 4
    first, *others = (load_image(path=path) for path in here)
    assert first.size == (128, 128)
    for path, image in zip(here[1:], others, strict=True):
        assert np.array_equal(image.buffer, first.buffer), path.name


def test_group_b_is_within_one_step() -> None:
    first, other = (load_image(path=CORPUS / "hopper" / name).array for name in ("hopper.ppm", "hopper.pnm"))
    assert np.abs(first - other).max() <= 1.001 / 255


def test_16_bit_maps_are_equal_plain_and_raw() -> None:
    plain, raw = (load_image(path=CORPUS / "depth" / f"hopper_16bit{name}.pgm") for name in ("_plain", ""))
    assert raw.dtype == "uint16"
    assert np.array_equal(plain.buffer, raw.buffer)


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_orientation_brings_every_file_upright(suffix: str) -> None:
    upright = load_image(path=CORPUS / "exif" / "hopper.jpg").array
    files = sorted((CORPUS / "exif").glob(f"hopper_orientation_*.{suffix}"))
    assert files
    for path in files:
        error = np.square(load_image(path=path).array - upright).mean()
        assert -10 * np.log10(error) >= 30, path.name


def test_grey_jpeg_has_one_channel() -> None:
    image = load_image(path=CORPUS / "depth" / "hopper_gray.jpg")
    assert image.channels == ("Y",)


def png_files() -> list[Path]:
    return sorted(path for name in ("load-equivalence", "decode-reference") for path in (CORPORA / name).rglob("*.png"))


def test_every_png_survives_loading_and_saving(tmp_path: Path) -> None:
    files = png_files()
    assert len(files) > 40
    copy = tmp_path / "copy"
    for path in files:
        image = load_image(path=path, orient=False)
        copy.write_bytes(encode_image(image, format="png").content)
        again = load_image(path=copy, orient=False)
        assert again.dtype == image.dtype, path.name
        assert (again.channels, again.color, again.alpha) == (image.channels, image.color, image.alpha), path.name
        assert np.array_equal(again.buffer, image.buffer), path.name
        assert dict(again.meta) == dict(image.meta), path.name

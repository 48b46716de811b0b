"""Reading and writing rows: strip by strip comes and goes what comes and goes whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import PIL.Image
import pytest
from pipeline_io import encode_image, load_image
from pipeline_io.row_writer import write_rows
from pipeline_io.rows import open_rows

from pipeline_core import Image, OperationError


def image(dtype: str = "uint8", channels: str = "RGBA", height: int = 75, width: int = 61, **fields: Any) -> Image:
    generator = np.random.default_rng(5)
    full = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    pixels = (generator.random((1, height, width, len(channels))) * full).astype(dtype)
    alpha = {"alpha": "straight"} if "A" in channels else {}
    return Image(pixels, channels=tuple(channels), **{**alpha, **fields})


def oiio(path: Path, source: Image, **attributes: Any) -> None:
    pixels = source.buffer[0]
    spec = OpenImageIO.ImageSpec(source.width, source.height, pixels.shape[2], pixels.dtype.name.replace("float16", "half").replace("float32", "float"))  # fmt: skip
    spec.attribute("oiio:UnassociatedAlpha", 1)
    tile = attributes.pop("tile", 0)
    if tile:
        spec.tile_width = spec.tile_height = tile
    for key, value in attributes.items():
        spec.attribute(key.replace("__", ":"), value)
    out = OpenImageIO.ImageOutput.create(str(path))
    assert out.open(str(path), spec), OpenImageIO.geterror()
    assert out.write_image(pixels)
    out.close()


FILES: list[tuple[str, str, dict[str, Any]]] = [
    ("tiff", "uint8", {"compression": "none", "tiff__RowsPerStrip": 7}),
    ("tiff", "uint16", {"compression": "lzw", "tile": 16}),
    ("tiff", "float32", {"compression": "zip", "tile": 32}),
    ("tiff", "float16", {"compression": "zip", "tiff__RowsPerStrip": 16}),
    ("png", "uint8", {}),
    ("png", "uint16", {}),
    ("exr", "float16", {"compression": "zip"}),
    ("exr", "float32", {"compression": "piz", "tile": 16}),
    ("jpeg", "uint8", {}),
]


@pytest.mark.parametrize(("kind", "dtype", "attributes"), FILES)
@pytest.mark.parametrize("strip", [5, 200])
def test_rows_are_those_of_the_whole(
    tmp_path: Path, kind: str, dtype: str, attributes: dict[str, Any], strip: int
) -> None:
    path = tmp_path / f"picture.{kind}"
    oiio(path, image(dtype, "RGB" if kind == "jpeg" else "RGBA"), **attributes)
    whole = load_image(path=path)
    with open_rows(path) or pytest.fail("not read by rows") as reader:
        told, facts = reader.facts, (whole.size, whole.channels, whole.dtype, whole.color, whole.alpha, whole.meta)
        assert (told.size, told.channels, told.dtype, told.color, told.alpha, told.meta) == facts
        for top in range(0, whole.height, strip):
            # With a halo above and below, as a blur reads it.
            first, last = max(top - 2, 0), min(top + strip + 2, whole.height)
            rows = reader.read(first, last)
            assert rows.buffer.dtype == whole.buffer.dtype
            assert np.array_equal(rows.buffer, whole.buffer[:, first:last])
        assert np.array_equal(reader.read(0, 3).buffer, whole.buffer[:, :3]), "from the top again"


@pytest.mark.parametrize("window", ["display", "data"])
@pytest.mark.parametrize("tile", [0, 16])
def test_rows_of_an_exr_lie_in_its_frame(tmp_path: Path, window: Any, tile: int) -> None:
    path = tmp_path / "picture.exr"
    pixels = image("float16").buffer[0]
    spec = OpenImageIO.ImageSpec(61, 75, 4, "half")
    spec.x, spec.y, spec.tile_width, spec.tile_height = -5, 16, tile, tile
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = 0, 0, 50, 80
    out = OpenImageIO.ImageOutput.create(str(path))
    assert out.open(str(path), spec)
    assert out.write_image(pixels)
    out.close()
    whole = load_image(path=path, window=window)
    with open_rows(path, window=window) or pytest.fail("not read by rows") as reader:
        rows = [reader.read(top, min(top + 9, whole.height)).buffer for top in range(0, whole.height, 9)]
    assert np.array_equal(np.concatenate(rows, axis=1), whole.buffer)


def test_what_needs_the_whole_picture_is_told(tmp_path: Path) -> None:
    turned = PIL.Image.Exif()
    turned[274] = 6
    photo = PIL.Image.new("RGB", (9, 5))
    for name, options in (("a.webp", {}), ("a.jpg", {"exif": turned}), ("a.tga", {})):
        photo.save(tmp_path / name, **options)
        assert open_rows(tmp_path / name) is None
    with open_rows(tmp_path / "a.jpg", orient=False) or pytest.fail("not read by rows") as reader:
        assert reader.facts.size == (9, 5)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    with pytest.raises(OperationError, match=r"file not found: .*a\.tiff"):
        open_rows(path)
    path.write_bytes(b"")
    with pytest.raises(OperationError, match=r"a\.tiff: the file is empty"):
        open_rows(path)
    content = encode_image(image(height=300, width=300), format="tiff").content
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(OperationError, match=r"a\.tiff: damaged tiff file|a\.tiff: the tiff file is cut off"):
        open_rows(path)
    damaged = bytearray(content)
    damaged[len(content) // 2 : len(content) // 2 + 99] = bytes(99)
    path.write_bytes(damaged)
    with (
        open_rows(path) or pytest.fail("not read by rows") as reader,
        pytest.raises(OperationError, match=r"a\.tiff: damaged tiff file"),
    ):
        reader.read(0, 300)
    with pytest.raises(OperationError, match="rows 299 to 301 of a picture of 300 rows"):
        reader.read(299, 301)


WRITTEN: list[tuple[Any, str, dict[str, Any]]] = [
    ("png", "uint8", {"compression": 1}),
    ("png", "uint16", {"compression": 4}),
    ("png", "float32", {"compression": 0, "alpha": "drop"}),
    ("tiff", "uint8", {"compression": 0}),
    ("tiff", "float16", {}),
    ("exr", "float32", {"exr_compression": "piz"}),
    ("exr", "float16", {"exr_compression": "zip"}),
]


@pytest.mark.parametrize(("kind", "dtype", "params"), WRITTEN)
@pytest.mark.parametrize("strip", [7, 130])
def test_a_file_of_rows_is_that_of_the_whole(
    tmp_path: Path, kind: Any, dtype: str, params: dict[str, Any], strip: int
) -> None:
    # Several blocks of a PNG and strips of a TIFF.
    source = image(dtype, height=300, width=900, meta={"artist": "J. Doe"})
    path = tmp_path / "rows"
    with write_rows(path, source.like(dtype=dtype), format=kind, **params) or pytest.fail("not written") as writer:
        for top in range(0, source.height, strip):
            writer.write(source.with_buffer(source.buffer[:, top : top + strip]))
    assert path.read_bytes() == encode_image(source, format=kind, **params).content
    assert [p.name for p in tmp_path.iterdir()] == ["rows"]


def test_a_file_without_all_of_its_rows_is_gone(tmp_path: Path) -> None:
    source, path = image(), tmp_path / "rows"
    for kind in ("png", "tiff", "exr"):
        writer = write_rows(path, source, format=kind, depth="auto")
        assert writer is not None
        writer.write(source.with_buffer(source.buffer[:, :9]))
        with pytest.raises(OperationError, match="9 of 75 rows were written"):
            writer.close()
        assert not list(tmp_path.iterdir())
        with (
            pytest.raises(ZeroDivisionError),
            write_rows(path, source, format=kind) or pytest.fail("not written") as writer,
        ):
            writer.write(source.with_buffer(source.buffer[:, : 1 // 0]))
        assert not list(tmp_path.iterdir())


def test_rows_that_do_not_fit(tmp_path: Path) -> None:
    source, path = image(), tmp_path / "rows"
    with write_rows(path, source, format="png") or pytest.fail("not written") as writer:
        with pytest.raises(OperationError, match="do not fit"):
            writer.write(image(width=60))
        with pytest.raises(OperationError, match="do not fit"):
            writer.write(image(channels="RGB"))
        writer.write(source)
        with pytest.raises(OperationError, match=r"rows 75 to 150 of .* do not fit into 75 rows"):
            writer.write(source)
    assert write_rows(path, image(channels="RGB"), format="jpg") is None
    assert write_rows(path, source, format="png", dither=True) is None
    with pytest.raises(OperationError, match="this is a batch of 2"):
        write_rows(path, image().with_buffer(np.zeros((2, 5, 5, 4), np.uint8)), format="png")

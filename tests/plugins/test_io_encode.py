"""Encoding: what is saved is what comes back, and what can't be saved truly is refused."""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenImageIO
import PIL.Image
import PIL.ImageCms
import pytest
import skimage.data
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_io import encode_image, encode_mask, encode_table, icc, load_image, load_mask, load_table
from pipeline_io.target import KINDS

from pipeline_core import File, Image, Mask, OperationError, Table
from pipeline_core.plugins import catalogue

SRGB, LINEAR = "srgb_rec709_scene", "lin_rec709_scene"
INFER = encode_image.__operation__.infer  # type: ignore[attr-defined]  # left there by @operation
EXACT = [
    *product(["png"], ["uint8", "uint16"], ["Y", "YA", "RGB", "RGBA"]),
    *product(["tiff"], ["uint8", "uint16", "float16", "float32"], ["Y", "YA", "RGB", "RGBA"]),
    *product(["bmp"], ["uint8"], ["Y", "RGB", "RGBA"]),
    *product(["webp"], ["uint8"], ["RGB", "RGBA"]),
]


def image(dtype: str = "uint8", channels: str = "RGB", height: int = 9, width: int = 11, **fields: Any) -> Image:
    generator = np.random.default_rng(5)
    shape = (1, height, width, len(channels))
    if dtype.startswith("float"):
        buffer = generator.normal(size=shape).astype(dtype)
    else:
        buffer = generator.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    if "A" in channels:
        buffer[:, :3, :, -1] = 0  # colour under alpha 0
    fields.setdefault("alpha", "straight" if "A" in channels else "none")
    fields.setdefault("color", LINEAR if dtype.startswith("float") else SRGB)
    return Image(buffer, channels=tuple(channels), **fields)


def pixels(*values: float, channels: str = "Y", **fields: Any) -> Image:
    """One float pixel."""
    fields.setdefault("alpha", "straight" if "A" in channels else "none")
    return Image(np.array(values, np.float32).reshape(1, 1, 1, -1), channels=tuple(channels), **fields)


def back(file: File, path: Path, **options: Any) -> Image:
    path.write_bytes(file.content)
    return load_image(path=path, **options)


def opened(file: File) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(file.content))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "picture"


@pytest.mark.parametrize("compression", [0, 1, 4, 9])
@pytest.mark.parametrize(("kind", "dtype", "channels"), EXACT)
def test_saved_and_loaded_is_the_same(path: Path, kind: Any, dtype: str, channels: str, compression: int) -> None:
    states = ["none"] if "A" not in channels else ["straight", "associated"] if kind == "tiff" else ["straight"]
    for alpha in states:
        source = image(dtype, channels, alpha=alpha)
        file = encode_image(source, format=kind, compression=compression, lossless=True)
        loaded = back(file, path)
        assert loaded.dtype == dtype
        assert np.array_equal(loaded.buffer, source.buffer)
        assert (loaded.channels, loaded.alpha, loaded.color) == (source.channels, alpha, source.color)
        assert file.media_type == f"image/{kind}"


@pytest.mark.parametrize(("dtype", "level"), [*product(["uint8", "uint16"], [1, 4, 9])])
def test_many_blocks_are_one_png_stream(path: Path, dtype: str, level: int) -> None:
    source = image(dtype, "RGBA", height=700, width=900)
    file = encode_image(source, format="png", compression=level, metadata=False)
    assert np.array_equal(back(file, path).buffer, source.buffer)
    # zlib checks the checksum, which PNG decoders may leave out.
    content, at, packed = file.content, 8, b""
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] == b"IDAT":
            packed += content[at + 8 : at + 8 + length]
        at += 12 + length
    assert len(zlib.decompress(packed)) == 700 * (900 * 4 * source.buffer.dtype.itemsize + 1)
    if dtype == "uint8":
        assert np.array_equal(np.asarray(opened(file)), source.buffer[0])


@pytest.mark.parametrize("level", [1, 2, 4, 6, 9])
@pytest.mark.parametrize("name", ["astronaut", "moon", "page", "stereo_motorcycle", "gradient"])
def test_png_is_of_the_size_that_others_make(name: str, level: int) -> None:
    if name == "gradient":
        y, x = np.mgrid[:300, :400]
        found = np.stack([x // 2, y // 2, (x + y) // 4, 255 - x // 3], axis=-1).astype(np.uint8)
    else:
        found = getattr(skimage.data, name)()
    pixels = np.atleast_3d(found[0] if isinstance(found, tuple) else found)
    channels = {1: ("Y",), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}[pixels.shape[2]]
    source = Image(pixels[None], channels=channels, alpha="straight" if "A" in channels else "none")
    ours = len(encode_image(source, format="png", compression=level).content)
    other = io.BytesIO()
    PIL.Image.fromarray(pixels.squeeze()).save(other, "PNG", compress_level=level)
    assert ours <= len(other.getvalue()) * (1.06 if level == 1 else 1.1)


@pytest.mark.parametrize(("kind", "channels"), [("png", "RGBA"), ("bmp", "RGBA"), ("tiff", "RGB")])
def test_other_programs_read_the_same(kind: Any, channels: str) -> None:
    source = image("uint8", channels)
    content = np.frombuffer(encode_image(source, format=kind).content, np.uint8)
    order = [2, 1, 0, 3][: len(channels)]
    assert np.array_equal(cv2.imdecode(content, cv2.IMREAD_UNCHANGED)[..., order], source.buffer[0])


def test_tiff_of_floats_is_read_by_opencv() -> None:
    source = image("float32", "RGB")
    content = np.frombuffer(encode_image(source, format="tiff").content, np.uint8)
    assert np.array_equal(cv2.imdecode(content, cv2.IMREAD_UNCHANGED)[..., ::-1], source.buffer[0])


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_tiff_of_4_gib_is_a_bigtiff(dtype: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = replace(image(dtype, "RGB"), meta={"description": "large"})
    plain = encode_image(source, format="tiff").content
    monkeypatch.setattr("pipeline_io.tiff._MOST", source.nbytes - 1)
    monkeypatch.setattr("pipeline_io.tiff._STRIP_BYTES", 100)
    path = tmp_path / "x.tif"
    path.write_bytes(encode_image(source, format="tiff").content)
    assert (plain[2], path.read_bytes()[2]) == (42, 43)
    assert np.array_equal(load_image(path=path).buffer, source.buffer)
    assert load_image(path=path).meta["description"] == "large"
    assert np.array_equal(OpenImageIO.ImageInput.open(str(path)).read_image(dtype), source.buffer[0])
    if dtype == "uint8":
        assert np.array_equal(PIL.Image.open(path), source.buffer[0])


def test_tiff_says_whether_alpha_is_associated(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    as_stored = OpenImageIO.ImageSpec()
    as_stored.attribute("oiio:UnassociatedAlpha", 1)
    for alpha, unassociated in (("straight", 1), ("associated", 0)):
        path.write_bytes(encode_image(image("uint16", "RGBA", alpha=alpha), format="tiff").content)
        source = OpenImageIO.ImageInput.open(str(path), as_stored)
        assert source.spec().get_int_attribute("oiio:UnassociatedAlpha") == unassociated
        source.close()


def test_jpeg_is_near_and_grey_stays_grey(path: Path) -> None:
    ramp = np.linspace(0, 255, 64 * 64, dtype=np.uint8).reshape(1, 64, 64, 1)
    for channels in ("Y", "RGB"):
        source = Image(ramp.repeat(len(channels), 3), channels=tuple(channels))
        loaded = back(encode_image(source, format="jpg", quality=95), path)
        assert loaded.channels == source.channels
        assert np.abs(loaded.buffer.astype(int) - source.buffer).max() <= 3
    sizes = [len(encode_image(image(height=64, width=64), format="jpg", quality=q).content) for q in (10, 50, 95)]
    assert sizes == sorted(sizes)
    full, less = (encode_image(image(height=64, width=64), format="jpg", subsampling=s) for s in ("4:4:4", "4:2:0"))
    assert len(less.content) < len(full.content)
    assert [layer[1:3] for layer in opened(less).layer] == [(2, 2), (1, 1), (1, 1)]  # type: ignore[attr-defined]


def test_webp_shows_grey_as_color(path: Path) -> None:
    source = image("uint8", "YA")
    loaded = back(encode_image(source, format="webp", lossless=True), path)
    assert loaded.channels == ("R", "G", "B", "A")
    assert np.array_equal(loaded.buffer, source.buffer[..., [0, 0, 0, 1]])


# --- depth ---


def test_convention_rounding_is_to_nearest_halves_to_even_and_clamps(path: Path) -> None:
    for value, expected in ((0.5 / 255, 0), (1.5 / 255, 2), (2.5 / 255, 2), (0.6 / 255, 1), (-3.0, 0), (9.0, 255)):
        assert back(encode_image(pixels(value), format="png"), path).buffer.item() == expected
        assert back(encode_image(pixels(value), format="png", depth=16), path).buffer.dtype == np.uint16


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("depth", [8, 16])
def test_every_step_and_the_middle_between_two_is_rounded_as_numpy_does(path: Path, dtype: str, depth: Any) -> None:
    full = np.float32(2**depth - 1)
    values = (np.arange(-600, 2 * 66666).astype(np.float64) / 2 / full).astype(dtype)[:132000].reshape(1, 300, 440, 1)
    expected = np.rint(np.clip(values * full, 0, full))
    loaded = back(encode_image(Image(values, channels=("Y",), color=SRGB), format="png", depth=depth), path)
    assert np.array_equal(loaded.buffer, expected)


def test_depth_between_integers_is_exact(path: Path) -> None:
    every = Image(np.arange(65536, dtype=np.uint16).reshape(1, 256, 256, 1), channels=("Y",))
    lower = back(encode_image(every, format="png", depth=8), path).buffer.ravel()
    assert np.array_equal(lower, np.rint(np.arange(65536) / 257))
    byte = Image(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), channels=("Y",))
    assert np.array_equal(back(encode_image(byte, format="png", depth=16), path).buffer, byte.buffer.astype(int) * 257)


@pytest.mark.parametrize(
    ("kind", "dtype", "depth", "stored"),
    [
        ("png", "float32", "auto", "uint8"),
        ("png", "uint16", "auto", "uint16"),
        ("webp", "uint16", "auto", "uint8"),
        ("tiff", "float16", "auto", "float16"),
        ("tiff", "float32", "half", "float16"),
        ("tiff", "uint8", "float", "float32"),
        ("tiff", "float32", 8, "uint8"),
    ],
)
def test_depth(path: Path, kind: Any, dtype: str, depth: Any, stored: str) -> None:
    assert back(encode_image(image(dtype, color=SRGB), format=kind, depth=depth, lossless=True), path).dtype == stored


def test_8_bits_as_float_and_back_are_the_same(path: Path) -> None:
    source = image("uint8", "RGBA")
    floats = Image(source.array, channels=source.channels, alpha="straight")
    assert np.array_equal(back(encode_image(floats, format="png"), path).buffer, source.buffer)


def test_dither_keeps_the_mean_and_is_always_the_same(path: Path) -> None:
    flat = np.full((1, 128, 128, 4), 100.3 / 255, np.float32)
    source = Image(flat, channels=("R", "G", "B", "A"), alpha="straight")
    file = encode_image(source, format="png", dither=True)
    assert file == encode_image(source, format="png", dither=True)
    loaded = back(file, path).buffer[0].astype(float)
    assert abs(loaded[..., :3].mean() - 100.3) < 0.02
    assert set(np.unique(loaded[..., 3])) == {100}


def test_values_that_are_not_finite(path: Path) -> None:
    wrong = Image(np.array([[[[0.5], [np.nan]], [[np.inf], [1.0]]]], np.float32), channels=("Y",))
    with pytest.raises(OperationError, match=r"2 of 4 values are not finite .*x 1, y 0"):
        encode_image(wrong, format="png")
    assert back(encode_image(wrong, format="png", nan="zero"), path).buffer.ravel().tolist() == [128, 0, 0, 255]
    kept = back(encode_image(wrong, format="tiff", nan="keep"), path)
    assert np.array_equal(kept.buffer, wrong.buffer, equal_nan=True)
    with pytest.raises(OperationError, match="nan: keep"):
        encode_image(wrong, format="png", nan="keep")


def test_half_refuses_what_it_can_not_hold() -> None:
    with pytest.raises(OperationError, match="1 values are beyond the 65504"):
        encode_image(pixels(70_000.0, color=LINEAR), format="tiff", depth="half")


# --- alpha and colour ---


def test_associated_is_divided_by_alpha_for_png_and_hidden_color_is_kept(path: Path) -> None:
    buffer = np.array([[[[50, 25, 0, 100], [7, 8, 9, 0]]]], np.uint8)
    source = Image(buffer, channels=("R", "G", "B", "A"), alpha="associated")
    loaded = back(encode_image(source, format="png"), path)
    assert loaded.buffer.tolist() == [[[[128, 64, 0, 100], [7, 8, 9, 0]]]]
    assert loaded.alpha == "straight"


def test_jpeg_refuses_alpha_unless_dropped(path: Path) -> None:
    with pytest.raises(OperationError, match=r"holds no alpha: merge .* alpha: drop"):
        encode_image(image(channels="RGBA"), format="jpg")
    with pytest.raises(OperationError, match="holds no alpha"):
        INFER(Image.stand_in(4, 4, tuple("RGBA"), alpha="straight"), format="jpg")
    assert back(encode_image(image(channels="YA"), format="jpg", alpha="drop"), path).channels == ("Y",)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tiff"])
@pytest.mark.parametrize("color", ["srgb_p3d65_scene", "g22_adobergb_scene", "lin_rec2020_scene"])
@pytest.mark.parametrize("channels", ["RGB", "Y"])
def test_the_file_names_its_color(path: Path, kind: Any, color: str, channels: str) -> None:
    assert back(encode_image(image(channels=channels, color=color), format=kind), path).color == color


def test_profiles_mean_what_they_are_called() -> None:
    ours = PIL.ImageCms.getOpenProfile(io.BytesIO(icc.build(SRGB)))
    theirs = PIL.ImageCms.createProfile("sRGB")
    picture = PIL.Image.fromarray(image(height=64, width=64).buffer[0])
    same = PIL.ImageCms.profileToProfile(picture, ours, theirs)
    assert same is not None
    assert np.abs(np.asarray(same).astype(int) - np.asarray(picture)).max() <= 1
    # The red of Display P3, in CIE x and y.
    wide = PIL.ImageCms.getOpenProfile(io.BytesIO(icc.build("lin_p3d65_scene")))
    assert wide.profile.red_primary[0] == pytest.approx((0.5151, 0.2412, -0.0011), abs=2e-4)


def test_linear_floats_are_not_squeezed_into_integers(path: Path) -> None:
    with pytest.raises(OperationError, match="color_convert to srgb_rec709_scene"):
        encode_image(image("float32"), format="png")
    whole = image("uint8", color=LINEAR)
    loaded = back(encode_image(whole, format="png"), path)
    assert loaded.color == LINEAR
    assert np.array_equal(loaded.buffer, whole.buffer)


def test_data_is_written_as_it_is(path: Path) -> None:
    source = image("uint16", color="data")
    content = encode_image(source, format="png").content
    assert b"sRGB" not in content
    assert np.array_equal(back(File(content), path, color="data").buffer, source.buffer)


@pytest.mark.parametrize(
    ("source", "params", "message"),
    [
        (Image.stand_in(4, 4, batch=3), {"format": "png"}, "batch of 3"),
        (Image.stand_in(4, 4, ("R", "G", "B", "Z")), {"format": "png"}, "the channels are R, G, B, Z"),
        (Image.stand_in(4, 4), {"format": "jpg", "depth": 16}, "jpeg file holds 8 bits, not 16"),
        (Image.stand_in(4, 4), {"format": "png", "depth": "half"}, "png file holds 8 or 16 bits, not half"),
        (Image.stand_in(4, 4, color="srgb_p3d65_scene"), {"format": "bmp"}, "no way to say"),
        (Image.stand_in(4, 4, color="acescct_ap1_scene"), {"format": "tif"}, "no way to say"),
    ],
)
def test_refusals_come_before_anything_runs(source: Image, params: dict[str, Any], message: str) -> None:
    for function in (encode_image, INFER):
        with pytest.raises(OperationError, match=message):
            function(source, **params)


# --- metadata ---

TEXTS = {
    "pipeline": json.dumps({"nodes": {"größe": "日本" * 25_000}}, ensure_ascii=False),
    "description": 'A hat & a "quote" <b>\nof Grüße',
    "artist": "Rembrandt",
    "an odd  key\n": "\x00\x1b]]> \ud800",
}


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tiff"])
def test_texts_survive(path: Path, kind: Any) -> None:
    source = image(meta=TEXTS)
    assert dict(back(encode_image(source, format=kind), path).meta) == TEXTS
    bare = encode_image(source, format=kind, metadata=False)
    assert not back(bare, path).meta
    assert bare == encode_image(image(), format=kind)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(meta=st.dictionaries(st.text(min_size=1), st.text(), max_size=4), kind=st.sampled_from(["png", "jpg", "tiff"]))
def test_any_texts_survive(path: Path, meta: dict[str, str], kind: Any) -> None:
    assert dict(back(encode_image(image(meta=meta), format=kind), path).meta) == meta


def test_other_programs_find_the_texts() -> None:
    meta = {"pipeline": "{}", "description": "a hat", "title": "Hat"}
    info = opened(encode_image(image(meta=meta), format="png")).info
    assert {name: info[name] for name in ("pipeline", "Description", "Title")} == {
        "pipeline": "{}", "Description": "a hat", "Title": "Hat",
    }  # fmt: skip
    for kind in ("jpg", "tiff", "webp"):
        picture = opened(encode_image(image(meta=meta), format=kind))  # type: ignore[arg-type]
        xmp = picture.info.get("xmp") or picture.tag_v2[700]  # type: ignore[attr-defined]
        assert b'<rdf:li xml:lang="x-default">a hat</rdf:li>' in xmp


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tiff", "bmp"])
def test_the_same_image_gives_the_same_bytes(kind: Any) -> None:
    texts = {"b": "2", "a": "1"}
    first, second = (encode_image(image(meta=dict(m)), format=kind) for m in (texts.items(), reversed(texts.items())))
    assert first == second


def test_tensors_are_saved_like_arrays() -> None:
    source = image("uint8", "RGBA")
    tensor = source.with_buffer(torch.from_numpy(source.buffer.copy()))
    assert encode_image(tensor, format="png") == encode_image(source, format="png")


def test_the_image_is_left_as_it_was() -> None:
    source = image("float32", "RGBA", color=SRGB, alpha="associated")
    before = source.buffer.copy()
    encode_image(source, format="png", dither=True)
    assert np.array_equal(source.buffer, before)


# --- masks and tables ---


def test_mask(path: Path) -> None:
    mask = Mask(np.array([[[[0.0], [0.5], [1.0]]]], np.float32), meta={"note": "x"})
    path.write_bytes(encode_mask(mask, format="png", depth=16).content)
    loaded = load_mask(path=path)
    assert loaded.buffer.ravel().tolist() == [0, 32768, 65535]
    assert loaded.meta == {"note": "x"}
    path.write_bytes(encode_mask(mask, format="tif").content)
    assert np.array_equal(load_mask(path=path).buffer, mask.buffer)
    with pytest.raises(OperationError, match="batch of 2"):
        encode_mask(Mask.stand_in(3, 3, batch=2), format="png")


def test_table() -> None:
    table = Table(("name", "psnr", "ok", "n"), (('a "b", c\nd', 0.1, True, None), ("ü", 1e300, False, 7)))
    text = encode_table(table, format="csv").content.decode()
    assert list(csv.reader(io.StringIO(text)))[1:] == [
        ['a "b", c\nd', "0.1", "true", ""],
        ["ü", "1e+300", "false", "7"],
    ]
    rows = json.loads(encode_table(table, format="json").content)
    assert rows[1] == {"name": "ü", "psnr": 1e300, "ok": False, "n": 7}
    nan = Table(("x",), ((float("nan"),),))
    assert encode_table(nan, format="csv").content == b"x\nnan\n"
    with pytest.raises(OperationError, match="save it as csv"):
        encode_table(nan, format="json")


@pytest.mark.parametrize("format", ["csv", "json"])
def test_a_table_that_was_saved_loads_as_it_was(tmp_path: Path, format: str) -> None:  # noqa: A002  as in encode_table
    rows = (('a "b", c\nd', 0.1, True, None), ("ü", 1e300, False, 7), ("007", -3.0, True, -12))
    table = Table(("name", "psnr", "ok", "n"), rows)
    saved = tmp_path / f"table.{format}"
    saved.write_bytes(encode_table(table, format=format).content)  # type: ignore[arg-type]  # both are formats
    assert load_table(path=saved) == table


def test_convention_numbers_in_csv_are_numbers_unless_zeros_stand_before_them(tmp_path: Path) -> None:
    saved = tmp_path / "labels.csv"
    saved.write_text(
        "\ufefffile;label\r\n1.png;007\r\n\r\n2.png;7\r\n3.png;.5\r\n4.png;-inf\r\n5.png;1-2\r\n", encoding="utf-8"
    )
    assert [row[1] for row in load_table(path=saved).rows] == ["007", 7, 0.5, float("-inf"), "1-2"]
    assert [row[1] for row in load_table(path=saved, text=True).rows] == ["007", "7", ".5", "-inf", "1-2"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"x,y\n1,2\n3\n", "a.csv, line 3: 1 fields, but there are 2 columns"),
        ("a.csv", b"", "a.csv is empty; a table has a line of names"),
        ("a.csv", b"x,x\n", "two columns 'x'"),
        ("a.csv", b"x\n\xe4\n", "not UTF-8 at byte 2"),
        ("a.json", b"{}", "a list of objects"),
        ("a.json", b"[{", "is no JSON"),
        ("a.json", b"[" * 100_000, "is no JSON"),
        ("a.json", b'[{"x": [1]}]', "object 1: 'x' is a list or an object"),
        ("a.txt", b"x\n", "a .csv or a .json file"),
    ],
)
def test_a_table_that_can_not_be_read_says_where(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OperationError, match=re.escape(told)):
        load_table(path=tmp_path / name)


def test_every_kind_of_file_that_is_written_can_be_asked_for_by_its_suffix() -> None:
    offered = catalogue().encoders("Image")
    assert {suffix for suffix in KINDS if [o.name for o in offered.get(suffix, ())] != ["encode_image"]} == set()

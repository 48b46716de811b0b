"""Loading: what a file says is what arrives, and nothing else does."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import pytest
import skimage.data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_io import encode_image, jpeg, load_image, load_mask, native, operations, png
from pipeline_io.facts import MAX_PIXELS

from pipeline_core import Image, OperationError
from pipeline_core.operation import read

SRGB, LINEAR = "srgb_rec709_scene", "lin_rec709_scene"
PICTURE = np.random.default_rng(3).integers(0, 256, (5, 7, 3), dtype=np.uint8)
ALPHA = np.concatenate((PICTURE, PICTURE[..., :1] // 2), axis=2)
INFER = load_image.__operation__.infer  # type: ignore[attr-defined]  # left there by @operation


def pillow(array: np.ndarray[Any, Any], format: str, **options: Any) -> bytes:  # noqa: A002  Pillow's word
    out = io.BytesIO()
    PIL.Image.fromarray(array).save(out, format, **options)
    return out.getvalue()


def oiio_tiff(path: Path, array: np.ndarray[Any, Any], **attributes: Any) -> None:
    kind = {"float16": "half", "float32": "float"}.get(array.dtype.name, array.dtype.name)
    spec = OpenImageIO.ImageSpec(array.shape[1], array.shape[0], array.shape[2], kind)
    for name, value in attributes.items():
        spec.attribute(name.replace("__", ":"), value)
    out = OpenImageIO.ImageOutput.create(str(path))
    assert out.open(str(path), spec), OpenImageIO.geterror()
    assert out.write_image(array)
    out.close()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunk(png: bytes, name: bytes, body: bytes) -> bytes:
    """A chunk put in behind the header."""
    return png[:33] + chunk(name, body) + png[33:]


def check(path: Path, expected: np.ndarray[Any, Any], channels: str, alpha: str = "none", color: str = SRGB) -> Image:
    """Loads and compares everything; inference has to agree."""
    image = load_image(path=path)
    assert image.dtype == expected.dtype.name
    assert np.array_equal(image.buffer[0], expected)
    assert ("".join(image.channels), image.alpha, image.color) == (channels, alpha, color)
    assert facts(INFER(path=path)) == facts(image)
    return image


def facts(image: Image) -> tuple[Any, ...]:
    return image.size, image.channels, image.dtype, image.color, image.alpha


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "picture"


@pytest.mark.parametrize("name", ["PNG", "TIFF", "BMP", "WEBP"])
def test_lossless_files_give_their_pixels(path: Path, name: str) -> None:
    options = {"lossless": True} if name == "WEBP" else {}
    path.write_bytes(pillow(PICTURE, name, **options))
    check(path, PICTURE, "RGB")


def test_jpeg_is_close_to_another_decoder(path: Path) -> None:
    content = pillow(PICTURE.repeat(8, 0).repeat(8, 1), "JPEG", quality=95)
    path.write_bytes(content)
    other = np.asarray(PIL.Image.open(io.BytesIO(content))).astype(int)
    assert np.abs(load_image(path=path).buffer[0].astype(int) - other).max() <= 2


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_pixels_are_those_of_openimageio(path: Path, mode: str, options: dict[str, Any]) -> None:
    source = PIL.Image.fromarray(PICTURE.repeat(8, 0).repeat(5, 1)).convert(mode)
    source.save(path, "JPEG", **options)
    content = path.read_bytes()
    expected = native.decode(content, jpeg.probe(content))
    check(path, expected, "Y" if mode == "L" else "RGB")


@pytest.mark.parametrize("shrink", [2, 4, 8])
def test_convention_shrink_keeps_the_lower_frequencies(path: Path, shrink: int) -> None:
    photo = skimage.data.astronaut()[:507, :411]
    path.write_bytes(pillow(photo, "JPEG", quality=95, subsampling=0))
    small = load_image(path=path, shrink=shrink)
    assert small.size == (-(-411 // shrink), -(-507 // shrink))
    assert facts(INFER(path=path, shrink=shrink)) == facts(small)
    whole = load_image(path=path).buffer[0].astype(float)
    height, width = 507 // shrink, 411 // shrink
    means = whole[: height * shrink, : width * shrink].reshape(height, shrink, width, shrink, 3).mean(axis=(1, 3))
    error = np.abs(small.buffer[0, :height, :width] - means)
    assert 0 < error.mean() < 3, "near to the mean of the pixels, and not equal to it"


def test_shrink_is_for_jpeg(path: Path) -> None:
    path.write_bytes(pillow(PICTURE, "PNG"))
    for load in (INFER, load_image):
        with pytest.raises(OperationError, match="shrink is for jpeg files, but this is a png; use resize"):
            load(path=path, shrink=2)
    PIL.Image.fromarray(PICTURE).convert("CMYK").save(path, "JPEG")
    with pytest.raises(OperationError, match=r"can't be shrunk .*four components.*; leave shrink at 1"):
        load_image(path=path, shrink=2)


def test_color_under_alpha_0_is_kept(path: Path) -> None:
    hidden = ALPHA.copy()
    hidden[..., 3] = 0
    for name, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
        path.write_bytes(pillow(hidden, name, **options))
        check(path, hidden, "RGBA", "straight")


@pytest.mark.parametrize(("mode", "channels"), [("1", "Y"), ("L", "Y"), ("LA", "YA"), ("P", "RGB"), ("I;16", "Y")])
def test_other_png_modes(path: Path, mode: str, channels: str) -> None:
    source = PIL.Image.fromarray(PICTURE).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        source = PIL.Image.fromarray(PICTURE[..., 0].astype(np.uint16) * 200)
    source.save(path, "PNG")
    array = np.asarray(source.convert("RGB") if mode == "P" else source.convert("L") if mode == "1" else source)
    check(path, array.reshape(5, 7, -1), channels, "straight" if "A" in channels else "none")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", ["Y", "YA", "RGB", "RGBA"])
def test_png_pixels_are_those_of_libpng(path: Path, channels: str, dtype: str) -> None:
    y, x = np.mgrid[:60, :70]
    pixels = np.stack([x * y % 251, x + y, 3 * x, 255 - y], axis=-1)[..., : len(channels)].astype(dtype) * 200
    source = Image(pixels[None], channels=tuple(channels), alpha="straight" if "A" in channels else "none")
    for level in (0, 1, 6):  # no filter, one filter, all of them
        content = encode_image(source, format="png", compression=level).content
        path.write_bytes(content)
        check(path, pixels, channels, source.alpha)
        assert np.array_equal(native.decode(content, png.probe(content)), pixels)


def test_png_16_bits_with_alpha_stay_16_bits(path: Path) -> None:
    deep = np.random.default_rng(4).integers(0, 65536, (5, 7, 4), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 7, 5, 16, 6, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    check(path, deep, "RGBA", "straight")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_tiff_keeps_its_type(tmp_path: Path, dtype: str) -> None:
    array = (ALPHA / 255 if dtype.startswith("f") else ALPHA).astype(dtype)
    oiio_tiff(tmp_path / "x.tif", array[..., :3])
    # OpenImageIO writes half as float.
    expected = array[..., :3].astype("float32" if dtype.startswith("f") else dtype)
    check(tmp_path / "x.tif", expected, "RGB", color=LINEAR if dtype.startswith("f") else SRGB)


def test_tiff_says_itself_what_its_alpha_is(tmp_path: Path) -> None:
    oiio_tiff(tmp_path / "a.tif", ALPHA)
    oiio_tiff(tmp_path / "s.tif", ALPHA, oiio__UnassociatedAlpha=1)
    check(tmp_path / "a.tif", ALPHA, "RGBA", "associated")
    check(tmp_path / "s.tif", ALPHA, "RGBA", "straight")


def test_convention_unspecified_tiff_alpha_is_straight(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    oiio_tiff(path, ALPHA)
    content = path.read_bytes()
    entry = struct.pack("<HHII", 338, 3, 1, 1)
    assert entry in content
    path.write_bytes(content.replace(entry, struct.pack("<HHII", 338, 3, 1, 0)))
    check(path, ALPHA, "RGBA", "straight")


def test_alpha_can_be_said_or_left_out(path: Path) -> None:
    path.write_bytes(pillow(ALPHA, "PNG"))
    assert load_image(path=path, alpha="associated").alpha == "associated"
    without = load_image(path=path, alpha="ignore")
    assert without.channels == ("R", "G", "B")
    assert np.array_equal(without.buffer[0], PICTURE)
    for state in ("straight", "associated", "ignore"):
        assert facts(INFER(path=path, alpha=state)) == facts(load_image(path=path, alpha=state))


def test_convention_first_page_and_first_frame(path: Path) -> None:
    more = {"save_all": True, "append_images": [PIL.Image.fromarray(255 - PICTURE)]}
    for name, options in (("TIFF", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        path.write_bytes(pillow(PICTURE, name, **more, **options))
        check(path, PICTURE, "RGB")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["PNG", "TIFF", "WEBP"])
def test_orientation_is_applied_once(path: Path, name: str, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[274] = orientation
    path.write_bytes(pillow(PICTURE, name, exif=exif, **({"lossless": True} if name == "WEBP" else {})))
    upright = PIL.Image.fromarray(PICTURE)
    upright.getexif()[274] = orientation
    check(path, np.asarray(PIL.ImageOps.exif_transpose(upright)), "RGB")
    stored = load_image(path=path, orient=False)
    assert np.array_equal(stored.buffer[0], PICTURE)
    assert facts(INFER(path=path, orient=False)) == facts(stored)


@pytest.mark.parametrize(
    ("name", "body", "color"),
    [
        (b"gAMA", struct.pack(">I", 100_000), LINEAR),
        (b"gAMA", struct.pack(">I", 45_455), SRGB),
        (b"cICP", b"\x0c\x0d\0\1", "srgb_p3d65_scene"),
        (b"cICP", b"\x09\x10\0\1", "pq_rec2020_display"),
        (b"cICP", b"\xff\xff\0\1", SRGB),
    ],
)
def test_png_says_its_color(path: Path, name: bytes, body: bytes, color: str) -> None:
    path.write_bytes(with_chunk(pillow(PICTURE, "PNG"), name, body))
    check(path, PICTURE, "RGB", color=color)
    assert load_image(path=path, color="data").color == "data"


def test_profiles_are_known_by_their_numbers(path: Path) -> None:
    standard = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    path.write_bytes(pillow(PICTURE, "TIFF", icc_profile=standard))
    assert "icc_profile" not in check(path, PICTURE, "RGB").meta
    # Red and blue primaries exchanged: no space that has a name.
    odd = standard.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")
    path.write_bytes(pillow(PICTURE, "TIFF", icc_profile=odd))
    assert check(path, PICTURE, "RGB").meta["icc_profile"] == "sRGB built-in"


def test_texts_become_meta(path: Path) -> None:
    exif = PIL.Image.Exif()
    exif.update({270: "a hat", 315: "Rembrandt", 33432: "public domain"})
    expected = {"description": "a hat", "artist": "Rembrandt", "copyright": "public domain"}
    for name in ("JPEG", "TIFF", "WEBP", "PNG"):
        path.write_bytes(pillow(PICTURE, name, exif=exif))
        assert load_image(path=path).meta == expected
    text = chunk(b"zTXt", b"note\0\0" + zlib.compress("größer".encode("latin-1")))
    path.write_bytes(pillow(PICTURE, "PNG")[:33] + text + pillow(PICTURE, "PNG")[33:])
    assert load_image(path=path).meta == {"note": "größer"}


def test_a_text_that_would_fill_the_memory_is_left_out(path: Path) -> None:
    bomb = zlib.compress(bytes(2**26))
    path.write_bytes(with_chunk(pillow(PICTURE, "PNG"), b"zTXt", b"bomb\0\0" + bomb))
    assert load_image(path=path).meta.get("bomb", "") == ""


def test_the_content_counts_and_not_the_name(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(pillow(PICTURE, "PNG"))
    check(tmp_path / "x.jpg", PICTURE, "RGB")


@pytest.mark.parametrize("name", ["GIF", "ICO", "SGI", "JPEG2000"])
def test_other_formats_are_refused_by_name(path: Path, name: str) -> None:
    path.write_bytes(pillow(PICTURE, name))
    said = "JPEG 2000" if name == "JPEG2000" else name
    with pytest.raises(OperationError, match=f"an? {said} file; what is read is PNG, JPEG, WebP, TIFF, BMP"):
        load_image(path=path)


def test_missing_folder_and_empty(tmp_path: Path) -> None:
    for function in (load_image, INFER):
        with pytest.raises(OperationError, match=r"file not found: .*nothing\.png"):
            function(path=tmp_path / "nothing.png")
        with pytest.raises(OperationError, match="is a folder"):
            function(path=tmp_path)
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(OperationError, match="the file is empty"):
        load_image(path=tmp_path / "empty.png")


def test_png_with_exif_as_imagemagick_wrote_it(path: Path) -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"
    for digits, expected in ((exif.hex(), [[[2], [1]]]), ("no digits", [[[1], [2]]])):
        text = f"Raw profile type exif\0\0exif\n      {len(exif)}\n{digits[:72]}\n{digits[72:]}".encode()
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0))
        pixels = chunk(b"IDAT", zlib.compress(b"\0\1\2"))
        raw = b"Raw profile type exif\0\0" + zlib.compress(text.partition(b"\0\0")[2])
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"zTXt", raw) + pixels + chunk(b"IEND", b""))
        found = load_image(path=path)
        assert found.buffer[0].tolist() == expected
        assert not found.meta


def test_bmp_bit_fields_and_padding(path: Path) -> None:
    header = struct.pack("<2sI4xI", b"BM", 0, 66) + struct.pack("<IiiHHIIiiII", 40, 2, -1, 1, 16, 3, 0, 0, 0, 0, 0)
    masks = struct.pack("<3I", 0xF800, 0x7E0, 0x1F)
    path.write_bytes(header + masks + struct.pack("<HH", 0xF800, 0x0410))
    check(path, np.array([[[255, 0, 0], [0, 130, 132]]], np.uint8), "RGB")
    plain = struct.pack("<2sI4xI", b"BM", 0, 54) + struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 32, 0, 0, 0, 0, 0, 0)
    path.write_bytes(plain + b"\x01\x02\x03\x00")
    check(path, np.array([[[3, 2, 1]]], np.uint8), "RGB")


def test_bmp_whose_header_leaves_the_palette_out_of_account(path: Path) -> None:
    header = struct.pack("<2sI4xI", b"BM", 0, 54) + struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 8, 0, 0, 0, 0, 2, 0)
    path.write_bytes(header + b"\x01\x02\x03\x00\x04\x05\x06\x00" + b"\x01\x00\x00\x00")
    check(path, np.array([[[6, 5, 4], [3, 2, 1]]], np.uint8), "RGB")


def test_too_many_pixels_are_refused_before_decoding(path: Path) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 6, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(OperationError, match=f"40000x40000 .* the limit of {MAX_PIXELS:,}"):
        load_image(path=path)


def test_a_header_that_promises_more_than_the_file_holds_is_refused(path: Path) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16_000, 16_000, 8, 6, 0, 0, 0))
    idat = chunk(b"IDAT", zlib.compress(bytes(9)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + idat + chunk(b"IEND", b""))
    with pytest.raises(OperationError, match="more than its bytes can hold"):
        load_image(path=path)


WHOLE = {name: pillow(PICTURE.repeat(9, 0).repeat(9, 1), name) for name in ("PNG", "JPEG", "WEBP", "TIFF", "BMP")}


@pytest.mark.parametrize("name", sorted(WHOLE))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0, 0.995))
def test_a_cut_off_file_is_refused(path: Path, name: str, part: float) -> None:
    path.write_bytes(WHOLE[name][: int(len(WHOLE[name]) * part)])
    with pytest.raises(OperationError) as caught:
        load_image(path=path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", sorted(WHOLE))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_loaded_or_refused(path: Path, name: str, data: st.DataObject) -> None:
    content = bytearray(WHOLE[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(0, 80), st.integers(0, len(content) - 1)))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        image = load_image(path=path)
    except OperationError:
        return
    assert facts(INFER(path=path)) == facts(image)


def test_mask_takes_alpha_then_grey_then_luma(path: Path) -> None:
    path.write_bytes(pillow(ALPHA, "PNG"))
    assert np.array_equal(load_mask(path=path).buffer[0], ALPHA[..., 3:])
    assert np.array_equal(load_mask(path=path, channel="green").buffer[0], ALPHA[..., 1:2])
    path.write_bytes(pillow(PICTURE[..., 0], "PNG"))
    assert np.array_equal(load_mask(path=path).buffer[0], PICTURE[..., :1])
    with pytest.raises(OperationError, match="no channel 'alpha'"):
        load_mask(path=path, channel="alpha")
    path.write_bytes(pillow(PICTURE, "PNG"))
    luma = PICTURE @ np.array([0.2126, 0.7152, 0.0722]) / 255
    assert np.allclose(load_mask(path=path).buffer[0, ..., 0], luma, atol=1e-6)
    inferred = load_mask.__operation__.infer(path=path)  # type: ignore[attr-defined]
    assert (inferred.size, inferred.dtype) == ((7, 5), "float32")


def test_operations_are_read_by_the_catalogue() -> None:
    names = [read(function, plugin="io").name for function in operations()]
    assert names == [
        "load_image",
        "load_mask",
        "load_sequence",
        "load_layers",
        "load_exr_layers",
        "load_table",
        "list_layers",
        "stack_layers",
        "encode_image",
        "encode_mask",
        "encode_table",
        "image_set",
        "pick_image",
        "encode_image_set",
    ]

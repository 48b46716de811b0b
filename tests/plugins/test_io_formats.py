"""HDR, TGA, DDS, QOI and the portable maps, against other programs and around in a circle."""

from __future__ import annotations

import io
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pipeline_io import encode_image, load_image

from pipeline_core import Image, OperationError

SRGB, LINEAR = "srgb_rec709_scene", "lin_rec709_scene"
INFER = load_image.__operation__.infer  # type: ignore[attr-defined]  # left there by @operation
RNG = np.random.default_rng(11)
NAMES = {1: ("Y",), 2: ("Y", "A"), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}


def image(samples: int, dtype: str = "uint8", size: tuple[int, int] = (13, 7), color: str = SRGB) -> Image:
    shape = (1, size[1], size[0], samples)
    values = RNG.random(shape) * 4 if dtype == "float32" else RNG.integers(0, np.iinfo(dtype).max, shape)
    # Half of it flat, for what is coded as runs.
    values[:, : size[1] // 2] = values[:, :1, :1]
    return Image(
        values.astype(dtype), channels=NAMES[samples], alpha="straight" if samples in (2, 4) else "none", color=color
    )


def check(path: Path, **params: Any) -> Image:
    """Loads; inference has to agree."""
    found, inferred = load_image(path=path, **params), INFER(path=path, **params)
    names = ("size", "channels", "dtype", "color", "alpha")
    assert [getattr(found, name) for name in names] == [getattr(inferred, name) for name in names]
    return found


def pillow(content: bytes) -> np.ndarray[Any, Any]:
    with PIL.Image.open(io.BytesIO(content)) as opened:
        return np.asarray(opened).reshape(opened.height, opened.width, -1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "picture"


@pytest.mark.parametrize(
    ("kind", "samples", "dtype"),
    [
        *(("tga", n, "uint8") for n in (1, 3, 4)),
        *(("qoi", n, "uint8") for n in (3, 4)),
        *(("dds", n, "uint8") for n in (1, 3, 4)),
        *(("pam", n, d) for n in (1, 2, 3, 4) for d in ("uint8", "uint16")),
        *(("ppm", 3, d) for d in ("uint8", "uint16")),
        *(("pgm", 1, d) for d in ("uint8", "uint16")),
        *(("pnm", n, "uint8") for n in (1, 3)),
        *(("pfm", n, "float32") for n in (1, 3)),
    ],
)
def test_pixels_come_back(path: Path, kind: Any, samples: int, dtype: str) -> None:
    source = image(samples, dtype, color=LINEAR if dtype == "float32" else SRGB)
    file = encode_image(source, format=kind)
    path.write_bytes(file.content)
    loaded = check(path)
    assert np.array_equal(loaded.buffer, source.buffer)
    assert (loaded.channels, loaded.alpha, loaded.dtype) == (source.channels, source.alpha, dtype)
    if (kind, samples) != ("dds", 1):
        assert loaded.color == source.color
    if kind in ("tga", "qoi", "dds", "ppm", "pgm") and dtype == "uint8":
        assert np.array_equal(pillow(file.content), source.buffer[0])


@pytest.mark.parametrize(("kind", "mode"), [("TGA", m) for m in ("L", "LA", "P", "RGB", "RGBA")]
                         + [("QOI", "RGB"), ("QOI", "RGBA"), ("PPM", "1"), ("PPM", "L"), ("PPM", "RGB"), ("DDS", "RGBA")])  # fmt: skip
@pytest.mark.parametrize("rle", [False, True])
def test_files_of_another_program(path: Path, kind: str, mode: str, rle: bool) -> None:
    whole = PIL.Image.fromarray(image(4).buffer[0])
    source = (whole.convert("RGB") if mode == "P" else whole).convert(mode)
    options = {"compression": "tga_rle"} if rle and kind == "TGA" else {}
    source.save(path, kind, **options)
    expected = np.asarray(source.convert({"P": "RGB", "1": "L"}.get(mode, mode)))
    assert np.array_equal(check(path).buffer[0], expected.reshape(7, 13, -1))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pixels=hnp.arrays(np.uint8, st.tuples(st.just(1), st.integers(1, 3), st.integers(1, 70), st.sampled_from([3, 4])),
                         elements=st.sampled_from([0, 1, 2, 255, 254, 30, 40])))  # fmt: skip
def test_qoi_holds_any_pixels(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    source = Image(pixels, channels=NAMES[pixels.shape[3]], alpha="straight" if pixels.shape[3] == 4 else "none")
    content = encode_image(source, format="qoi").content
    path.write_bytes(content)
    assert np.array_equal(load_image(path=path).buffer, pixels)
    assert np.array_equal(pillow(content), pixels[0])


# --- JPEG XL and AVIF ---


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("samples", [1, 3, 4])
def test_lossless_jxl(path: Path, dtype: Any, samples: int) -> None:
    color = LINEAR if dtype.startswith("f") else "srgb_p3d65_scene" if samples > 1 else SRGB
    source = image(samples, "float32" if dtype.startswith("f") else dtype, color=color)
    source = source.with_buffer(source.buffer.astype(dtype), meta={"description": "a hat", "pipeline": "{}"})
    path.write_bytes(encode_image(source, format="jxl", lossless=True).content)
    loaded = check(path)
    assert np.array_equal(loaded.buffer, source.buffer)
    assert (loaded.channels, loaded.alpha, dict(loaded.meta)) == (source.channels, source.alpha, dict(source.meta))
    assert loaded.color == color


@pytest.mark.parametrize("kind", ["jxl", "avif"])
@pytest.mark.parametrize("samples", [3, 4])
def test_lossy_is_close_and_always_the_same(path: Path, kind: Any, samples: int) -> None:
    ramp = (np.indices((32, 40)).sum(0)[None, :, :, None] * np.array([3, 2, 1, 3])[:samples]).astype(np.uint8)
    source = Image(ramp, channels=NAMES[samples], alpha="straight" if samples == 4 else "none", meta={"title": "Hat"})
    file = encode_image(source, format=kind, quality=90)
    assert file == encode_image(source, format=kind, quality=90)
    path.write_bytes(file.content)
    loaded = check(path)
    assert np.abs(loaded.buffer.astype(int) - ramp)[..., :3].max() <= 12
    assert (loaded.channels, loaded.color, dict(loaded.meta)) == (source.channels, SRGB, {"title": "Hat"})


def test_avif_names_its_color_and_says_when_it_is_deep(path: Path) -> None:
    source = image(3, color="srgb_p3d65_scene", size=(16, 16))
    content = encode_image(source, format="avif").content
    path.write_bytes(content)
    assert check(path).color == "srgb_p3d65_scene"
    at = content.index(b"av1C") + 6
    path.write_bytes(content[:at] + bytes([content[at] | 0x40]) + content[at + 1 :])
    with pytest.raises(OperationError, match="more than 8 bits"):
        load_image(path=path)


# --- Radiance ---


def test_hdr_is_within_its_precision_and_read_the_same_by_others(path: Path) -> None:
    source = image(3, "float32", color=LINEAR)
    values = source.buffer.copy()
    values[0, -1, :3] = [[1e-30, 2e-30, 0], [3e30, 1, 1], [255.9, 255.9, 0.1]]
    path.write_bytes(encode_image(source.with_buffer(values), format="hdr").content)
    loaded = check(path)
    assert (loaded.color, loaded.dtype) == (LINEAR, "float32")
    assert (np.abs(loaded.buffer - values) <= values.max(axis=3, keepdims=True) / 255).all()
    assert np.array_equal(OpenImageIO.ImageBuf(str(path)).get_pixels("float"), loaded.buffer[0])
    again = encode_image(loaded, format="hdr").content
    assert again == path.read_bytes()


def test_hdr_run_lengths_and_corners(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "o.hdr"
    flat = np.full((9, 40, 3), 0.25, np.float32)
    out = OpenImageIO.ImageOutput.create(str(other))
    assert out is not None
    assert out.open(str(other), OpenImageIO.ImageSpec(40, 9, 3, "float"))
    assert out.write_image(flat)
    out.close()
    assert np.array_equal(check(other).buffer[0], flat)
    content = encode_image(image(3, "float32", color=LINEAR), format="hdr").content
    for wrong, message in ((b"+Y 7 +X 13", "another corner"), (b"+X 13 -Y 7", "column by column")):
        path.write_bytes(content.replace(b"-Y 7 +X 13", wrong))
        with pytest.raises(OperationError, match=message):
            load_image(path=path)


@pytest.mark.parametrize(
    ("kind", "source", "message"),
    [
        ("hdr", Image.stand_in(4, 4, color="lin_ap1_scene"), "color_convert to lin_rec709_scene first"),
        ("hdr", Image.stand_in(4, 4, tuple("RGBA"), alpha="straight", color=LINEAR), "holds no alpha"),
        ("pgm", Image.stand_in(4, 4), "holds Y, but the channels are R, G, B"),
        ("tga", Image.stand_in(4, 4, color="srgb_p3d65_scene"), "no way to say"),
    ],
)
def test_refusals(kind: Any, source: Image, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        encode_image(source, format=kind)


# --- portable maps ---


@pytest.mark.parametrize(
    ("content", "expected", "dtype"),
    [
        (b"P1\n# a comment\n3 2\n101\n0 1 0", [[0, 255, 0], [255, 0, 255]], "uint8"),
        (b"P4\n3 2\n\xa0\x40", [[0, 255, 0], [255, 0, 255]], "uint8"),
        (b"P2 2 1 3\n0 #no\n 2", [[0, 170]], "uint8"),
        (b"P5 2 1 15\n\x01\x0f", [[17, 255]], "uint8"),
        (b"P5 1 1 1023\n\x02\x00", [[32800]], "uint16"),
        (b"P7\nWIDTH 1\nHEIGHT 1\n# x\nDEPTH 1\nMAXVAL 255\nENDHDR\n\x07", [[7]], "uint8"),
    ],
)
def test_portable_maps(path: Path, content: bytes, expected: list[list[int]], dtype: str) -> None:
    path.write_bytes(content)
    found = check(path)
    assert found.buffer[0, :, :, 0].tolist() == expected
    assert found.dtype == dtype


def test_convention_a_pfm_is_not_multiplied_by_its_scale(path: Path) -> None:
    path.write_bytes(b"Pf\n1 2\n2.5\n" + struct.pack(">2f", 1, 3))
    assert check(path).buffer.ravel().tolist() == [3, 1]


# --- Truevision ---


def tga(kind: int, bits: int, flags: int, body: bytes, palette: bytes = b"", entry: int = 0) -> bytes:
    count = len(palette) * 8 // entry if entry else 0
    return struct.pack("<BBBHHBHHHHBB", 0, bool(count), kind, 0, count, entry, 0, 0, 2, 1, bits, flags) + palette + body


@pytest.mark.parametrize(
    ("content", "expected", "alpha"),
    [
        (tga(2, 16, 0x20, struct.pack("<2H", 0x7C00, 0x801F)), [[255, 0, 0], [0, 0, 255]], "none"),
        (tga(2, 16, 0x21, struct.pack("<2H", 0x7C00, 0x801F)), [[255, 0, 0, 0], [0, 0, 255, 255]], "straight"),
        (tga(2, 32, 0x20, bytes(range(8))), [[2, 1, 0], [6, 5, 4]], "none"),
        (tga(2, 24, 0x30, bytes(range(6))), [[5, 4, 3], [2, 1, 0]], "none"),
        (tga(1, 8, 0x20, b"\1\0", bytes(range(6)), 24), [[5, 4, 3], [2, 1, 0]], "none"),
        (tga(10, 24, 0x20, b"\x81\1\2\3"), [[3, 2, 1], [3, 2, 1]], "none"),
    ],
)
def test_tga(path: Path, content: bytes, expected: list[list[int]], alpha: str) -> None:
    path.write_bytes(content)
    found = check(path)
    assert found.buffer[0, 0].tolist() == expected
    assert found.alpha == alpha


# --- DirectDraw ---


def dds(number: int, body: bytes, modes: int = 0) -> bytes:
    return (
        struct.pack("<4s7I44x2I4s5I5I", b"DDS ", 124, 0x1007, 4, 4, 0, 0, 0, 32, 4, b"DX10", *[0] * 5, 0x1000, *[0] * 4)
        + struct.pack("<5I", number, 3, 0, 1, modes)
        + body
    )


@pytest.mark.parametrize("blocks", ["bc1", "bc3"])
def test_blocks_are_close(path: Path, blocks: Any) -> None:
    ramp = np.indices((16, 16)).sum(0).astype(np.uint8)[None, :, :, None] * np.array([8, 4, 2, 8], np.uint8)
    source = Image(ramp[..., :3] if blocks == "bc1" else ramp, channels=NAMES[3 if blocks == "bc1" else 4],
                   alpha="none" if blocks == "bc1" else "straight")  # fmt: skip
    path.write_bytes(encode_image(source, format="dds", dds_compression=blocks).content)
    loaded = check(path)
    assert (loaded.channels, loaded.alpha) == (source.channels, source.alpha)
    assert np.abs(loaded.buffer.astype(int) - source.buffer).max() <= 12


@pytest.mark.parametrize("samples", [3, 4])
def test_bc7_holds_more_than_bc3_and_says_what_is_colour(path: Path, samples: int) -> None:
    y, x = np.mgrid[:30, :45] / 45
    soft = np.stack([x, y, (x + y) / 2, np.sin(9 * x) / 2 + 0.5], axis=2)[..., :samples]
    source = Image(np.rint(soft * 255).astype(np.uint8)[None], channels=NAMES[samples],
                   alpha="straight" if samples == 4 else "none")  # fmt: skip
    errors = {}
    for blocks in ("bc3", "bc7"):
        path.write_bytes(encode_image(source, format="dds", dds_compression=blocks).content)  # type: ignore[arg-type]
        found = load_image(path=path)
        errors[blocks] = np.square(found.array[..., :samples] - source.array).mean()
        assert found.size == source.size
    assert (found.channels, found.alpha) == (source.channels, source.alpha)
    assert errors["bc7"] < errors["bc3"] * 0.75
    assert errors["bc7"] < 2e-4
    assert path.read_bytes()[128] == 99
    assert encode_image(replace(source, color="data"), format="dds", dds_compression="bc7").content[128] == 98


def test_bc7_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "etcpak", None)
    with pytest.raises(OperationError, match=r"BC7 needs etcpak: pip install 'pipeline-core\[game\]'"):
        encode_image(image(4), format="dds", dds_compression="bc7")


def test_two_channels_of_normals(path: Path) -> None:
    ramp = np.indices((8, 8)).transpose(1, 2, 0).astype(np.uint8)[None] * 30
    source = Image(ramp, channels=("R", "G"), color="data")
    path.write_bytes(encode_image(source, format="dds", dds_compression="bc5").content)
    loaded = check(path)
    assert (loaded.channels, loaded.color) == (("R", "G"), "data")
    assert np.abs(loaded.buffer.astype(int) - ramp).max() <= 6


def test_dds_bit_fields_that_lie_beyond_the_pixel(path: Path) -> None:
    def plain(bits: int, flags: int, *masks: int) -> bytes:
        pixel_format = struct.pack("<II4s5I", 32, flags, bytes(4), bits, *masks)
        return b"DDS " + struct.pack("<7I44x", 124, 0x100F, 1, 2, 0, 0, 0) + pixel_format + bytes(20)

    path.write_bytes(plain(8, 0x20000, 0xFF000000, 0xFF000000, 0xFF000000, 0) + b"\x07\x09")
    assert check(path).array.ravel().tolist() == pytest.approx([7 / 255, 9 / 255])  # what some writers say of 8 bits
    path.write_bytes(plain(16, 0x40, 0xFF0000, 0xFF00, 0xFF, 0) + bytes(4))
    with pytest.raises(OperationError, match="damaged dds file: bit fields of 0xff0000, 0xff00, 0xff in 16 bits"):
        load_image(path=path)


@pytest.mark.parametrize(
    ("number", "size", "channels", "dtype"),
    [(71, 8, "RGBA", "uint8"), (72, 8, "RGBA", "uint8"), (75, 16, "RGBA", "uint8"), (78, 16, "RGBA", "uint8"),
     (80, 8, "Y", "uint8"), (95, 16, "RGB", "float16"), (98, 16, "RGBA", "uint8"), (99, 16, "RGBA", "uint8"),
     (28, 64, "RGBA", "uint8"), (91, 64, "RGBA", "uint8"), (93, 64, "RGB", "uint8"), (10, 128, "RGBA", "float16"),
     (2, 256, "RGBA", "float32"), (56, 32, "Y", "uint16")],
)  # fmt: skip
def test_numbered_formats(path: Path, number: int, size: int, channels: str, dtype: str) -> None:
    path.write_bytes(dds(number, bytes([0, 0, 0, 0, 255, 255, 255, 255] * 32)[:size]))
    found = check(path)
    assert ("".join(found.channels), found.dtype, found.size) == (channels, dtype, (4, 4))
    assert load_image(path=path).alpha == ("straight" if "A" in channels else "none")
    if "A" in channels:
        path.write_bytes(dds(number, bytes(size), modes=2))
        assert check(path).alpha == ("none" if number in (71, 72) else "associated")  # a BC1 without holes


def test_blocks_are_better_than_of_another_program(path: Path) -> None:
    noise = np.repeat(np.repeat(RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8), 2, 0), 2, 1).astype(np.uint8)
    path.write_bytes(encode_image(Image(noise[None]), format="dds", dds_compression="bc1").content)
    out = io.BytesIO()
    PIL.Image.fromarray(noise).save(out, "DDS", pixel_format="DXT1")
    ours, theirs = load_image(path=path).buffer[0], pillow(out.getvalue())[..., :3]
    assert np.square(ours.astype(float) - noise).mean() < np.square(theirs.astype(float) - noise).mean()


def test_blocks_refuse_what_they_would_lose() -> None:
    with pytest.raises(OperationError, match="bc1 holds colour without alpha, but the image has 4 channels"):
        encode_image(image(4), format="dds", dds_compression="bc1")


def test_bc1_without_holes_is_opaque(path: Path) -> None:
    path.write_bytes(dds(71, struct.pack("<HHI", 0xFFFF, 0, 0)))
    assert check(path).channels == ("R", "G", "B")
    path.write_bytes(dds(71, struct.pack("<HHI", 0, 0xFFFF, 3)))
    assert check(path).buffer[0, 0, :2, 3].tolist() == [0, 255]


# --- damage ---

WHOLE = {
    kind: encode_image(image(3, "float32" if kind in ("hdr", "pfm") else "uint8", color=color), format=kind).content  # type: ignore[arg-type]
    for kind, color in (
        ("hdr", LINEAR),
        ("jxl", SRGB),
        ("avif", SRGB),
        ("tga", SRGB),
        ("qoi", SRGB),
        ("dds", SRGB),
        ("ppm", SRGB),
        ("pfm", LINEAR),
    )
}


@pytest.mark.parametrize("name", sorted(WHOLE))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0, 0.95))
def test_a_cut_off_file_is_refused(path: Path, name: str, part: float) -> None:
    end = len(WHOLE[name]) - (526 if name == "tga" else 0)  # what a TGA has behind its pixels may be missing
    path.write_bytes(WHOLE[name][: int(end * part)])
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
        at = data.draw(st.one_of(st.integers(0, 40), st.integers(0, len(content) - 1)))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        check(path)
    except OperationError:
        return

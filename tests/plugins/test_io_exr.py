"""OpenEXR: layers, windows, values of every kind, and files that are not what they say."""

from __future__ import annotations

import os
import signal
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_io import apart, encode_image, encode_mask, list_layers, load_image, load_mask, stack_layers

from pipeline_core import Image, Mask, OperationError

LINEAR = "lin_rec709_scene"
RGBA = ("R", "G", "B", "A")
INFER = load_image.__operation__.infer  # type: ignore[attr-defined]  # left there by @operation


def picture(channels: tuple[str, ...] = RGBA, dtype: str = "float16", size: tuple[int, int] = (9, 70)) -> Image:
    values = np.random.default_rng(7).normal(0.4, 2, (1, size[1], size[0], len(channels))).astype(dtype)
    return Image(values, channels=channels, color=LINEAR, alpha="associated" if "A" in channels else "none")


def write(path: Path, parts: list[tuple[OpenImageIO.ImageSpec, np.ndarray[Any, Any]]]) -> None:
    """By another program."""
    out = OpenImageIO.ImageOutput.create(str(path))
    assert out is not None
    specs = [spec for spec, _ in parts]
    assert out.open(str(path), specs) if len(specs) > 1 else out.open(str(path), specs[0]), out.geterror()
    for index, (spec, pixels) in enumerate(parts):
        assert index == 0 or out.open(str(path), spec, "AppendSubimage"), out.geterror()
        assert out.write_image(pixels), out.geterror()
    out.close()


def spec_of(width: int, height: int, channels: tuple[str, ...], kind: str = "half", **attributes: Any) -> Any:
    spec = OpenImageIO.ImageSpec(width, height, len(channels), kind)
    spec.channelnames = channels
    for name, value in attributes.items():
        spec.attribute(name.replace("__", ":"), value)
    return spec


def back(image: Image, path: Path, **params: Any) -> Image:
    path.write_bytes(encode_image(image, format="exr", **params).content)
    return check(path)


def check(path: Path, **params: Any) -> Image:
    """Loads; inference has to agree."""
    image, inferred = load_image(path=path, **params), INFER(path=path, **params)
    names = ("size", "channels", "dtype", "color", "alpha")
    assert [getattr(image, name) for name in names] == [getattr(inferred, name) for name in names]
    return image


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.exr"


@pytest.mark.parametrize("codec", ["none", "rle", "zips", "zip", "piz"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_lossless_compressions_keep_every_bit(path: Path, codec: str, dtype: str) -> None:
    source = picture(dtype=dtype)
    loaded = back(source, path, exr_compression=codec)
    assert loaded.buffer.tobytes() == source.buffer.tobytes()
    assert (loaded.channels, loaded.color, loaded.alpha) == (RGBA, LINEAR, "associated")


@pytest.mark.parametrize("codec", ["pxr24", "b44", "b44a", "dwaa", "dwab"])
def test_lossy_compressions_are_close(path: Path, codec: str) -> None:
    ramp = np.linspace(0, 1, 64 * 64 * 3, dtype=np.float16).reshape(1, 64, 64, 3)
    loaded = back(Image(ramp, color=LINEAR), path, exr_compression=codec)
    assert np.abs(loaded.array - ramp.astype(np.float32)).max() < 0.02


def test_every_half_survives(path: Path) -> None:
    every = np.arange(65536, dtype=np.uint16).view(np.float16).reshape(1, 256, 256, 1)
    source = Image(every, channels=("Y",), color=LINEAR)
    assert back(source, path, nan="keep").buffer.tobytes() == every.tobytes()
    with pytest.raises(OperationError, match="not finite"):
        encode_image(source, format="exr")


@pytest.mark.parametrize(("dtype", "stored"), [("uint8", "float16"), ("uint16", "float32"), ("float32", "float32")])
def test_integers_come_back_as_they_were(path: Path, dtype: str, stored: str) -> None:
    full = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    values = np.random.default_rng(1).integers(0, full, (1, 5, 6, 3), endpoint=True).astype(dtype)
    loaded = back(Image(values, color=LINEAR), path)
    assert loaded.dtype == stored
    assert np.array_equal(np.rint(loaded.array * full), values)


def test_straight_alpha_is_associated_in_the_file(path: Path) -> None:
    values = np.array([[[[0.5, 1.0, 2.0, 0.5, 7.0]]]], np.float32)
    source = Image(values, channels=("R", "G", "B", "A", "Z"), color=LINEAR, alpha="straight")
    loaded = back(source, path)
    assert loaded.buffer.ravel().tolist() == [0.25, 0.5, 1.0, 0.5, 7.0]
    assert loaded.alpha == "associated"
    assert load_image(path=path, alpha="ignore").channels == ("R", "G", "B", "Z")


def test_other_programs_read_what_is_written(path: Path) -> None:
    source = picture(("R", "G", "B", "A", "Z", "diffuse.R"), "float32").with_buffer(
        picture(("R", "G", "B", "A", "Z", "diffuse.R"), "float32").buffer, meta={"description": "a hat", "artist": "me"}
    )
    path.write_bytes(encode_image(source, format="exr").content)
    opened = OpenImageIO.ImageBuf(str(path))
    spec = opened.spec()
    assert set(spec.channelnames) == set(source.channels)
    for name in source.channels:
        found = opened.get_pixels("float")[:, :, spec.channelnames.index(name)]
        assert np.array_equal(found, source.buffer[0, :, :, source.index(name)]), name
    assert spec["ImageDescription"] == "a hat"
    assert spec["Artist"] == "me"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    meta=st.dictionaries(
        st.one_of(st.text(min_size=1), st.sampled_from(["tiles", "comments", "x" * 300])),
        st.text(min_size=1),
        max_size=4,
    )
)
def test_any_texts_survive(path: Path, meta: dict[str, str]) -> None:
    source = picture(("Y",), size=(2, 2))
    assert dict(back(source.with_buffer(source.buffer, meta=meta), path).meta) == meta


def test_the_same_image_gives_the_same_bytes() -> None:
    first, second = (encode_image(picture(), format="exr") for _ in range(2))
    assert first == second
    assert b"OpenImageIO" not in first.content


@pytest.mark.parametrize("color", ["lin_ap1_scene", "srgb_rec709_scene", "acescct_ap1_scene", "data"])
def test_the_file_names_its_color(path: Path, color: str) -> None:
    source = picture(("R", "G", "B"))
    assert back(source.with_buffer(source.buffer, color=color), path).color == color


def test_primaries_without_a_name_are_recognised(path: Path) -> None:
    ap0 = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
    for numbers, color in ((ap0, "lin_ap0_scene"), ((0.5, *ap0[1:]), LINEAR)):
        spec = spec_of(2, 2, ("R", "G", "B"))
        spec.attribute("chromaticities", OpenImageIO.TypeDesc("float[8]"), numbers)
        write(path, [(spec, np.zeros((2, 2, 3), np.float16))])
        image = check(path)
        assert image.color == color
        assert ("chromaticities" in image.meta) == (color == LINEAR)


def test_layers(path: Path) -> None:
    names = ("R", "G", "B", "A", "Z", "diffuse.B", "diffuse.G", "diffuse.R", "N.X", "N.Y", "N.Z")
    source = picture(names, "float32")
    path.write_bytes(encode_image(source, format="exr").content)

    def of(*channels: str) -> np.ndarray[Any, Any]:
        return source.buffer[..., [names.index(name) for name in channels]]

    main = check(path)
    assert main.channels == ("R", "G", "B", "A", "Z")
    assert np.array_equal(main.buffer, of(*main.channels))
    diffuse = check(path, layer="diffuse")
    assert (diffuse.channels, diffuse.alpha, diffuse.color) == (("R", "G", "B"), "none", LINEAR)
    assert np.array_equal(diffuse.buffer, of("diffuse.R", "diffuse.G", "diffuse.B"))
    normals = check(path, layer="N")
    assert (normals.channels, normals.color) == (("X", "Y", "Z"), "data") or normals.channels == ("X", "Y", "Z")
    depth = check(path, layer="Z")
    assert (depth.channels, depth.color) == (("Z",), "data")
    assert np.array_equal(depth.buffer, of("Z"))
    every = check(path, layer="*")
    assert set(every.channels) == set(names)
    assert np.array_equal(load_mask(path=path, layer="Z").buffer, of("Z"))
    with pytest.raises(
        OperationError, match=r"no layer 'spec'; set layer to one of the file's: the main one, N, diffuse"
    ):
        load_image(path=path, layer="spec")
    assert [row[:3] for row in list_layers(path=path).rows] == [
        ("0", "", "R, G, B, A, Z"),
        ("0", "N", "X, Y, Z"),
        ("0", "diffuse", "R, G, B"),
    ]


def test_stacked_layers_come_back(path: Path) -> None:
    main, depth = picture(), picture(("Z",), "float32")
    whole = stack_layers([main, depth, picture(("R", "G", "B"))], names=["", "", "diffuse"])
    assert whole.channels == (*RGBA, "Z", "diffuse.R", "diffuse.G", "diffuse.B")
    back(whole, path)
    assert np.array_equal(load_image(path=path, layer="Z").buffer, depth.buffer)
    assert np.array_equal(load_image(path=path, layer="diffuse").buffer, picture(("R", "G", "B")).array)
    for images, names, message in (
        ([main], ["a", "b"], "as many names"),
        ([main, main], ["a", "a"], "two layers have a channel 'a.R'"),
        ([main, picture(size=(3, 3))], ["a", "b"], "one size"),
    ):
        with pytest.raises(OperationError, match=message):
            stack_layers(images, names=names)


def test_parts_and_types(path: Path) -> None:
    half = np.full((3, 4, 3), 0.5, np.float16)
    ids = np.full((3, 4, 1), 70_000, np.uint32)
    write(
        path,
        [
            (spec_of(4, 3, ("R", "G", "B"), oiio__subimagename="beauty"), half),
            (spec_of(4, 3, ("R", "G", "B"), oiio__subimagename="spec"), half * 2),
            (spec_of(4, 3, ("id",), "uint", oiio__subimagename="ids"), ids),
        ],
    )
    assert check(path).buffer.max() == 0.5
    assert check(path, layer="spec").buffer.max() == 1.0
    assert check(path, part="1").buffer.max() == 1.0
    assert (found := check(path, layer="id")).buffer.max() == 70_000
    assert (found.dtype, found.color) == ("float32", "data")
    with pytest.raises(OperationError, match="no part 'none'; the parts are beauty, spec, ids"):
        load_image(path=path, part="none")
    ids[0, 0] = 2**24 + 1
    write(path, [(spec_of(4, 3, ("id",), "uint"), ids)])
    with pytest.raises(OperationError, match="integers above"):
        load_image(path=path)


def test_convention_the_picture_is_the_display_window(path: Path) -> None:
    spec = spec_of(4, 3, RGBA)
    spec.x, spec.y = -1, 2
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = 0, 0, 6, 4
    pixels = np.arange(1, 49, dtype=np.float16).reshape(3, 4, 4)
    write(path, [(spec, pixels)])
    image = check(path)
    assert image.size == (6, 4)
    assert np.array_equal(image.buffer[0, 2:, :3], pixels[:2, 1:])
    assert np.count_nonzero(image.buffer) == 2 * 3 * 4
    assert np.array_equal(check(path, window="data").buffer[0], pixels)


def test_other_files_have_one_layer(path: Path) -> None:
    path.write_bytes(encode_image(Image.stand_in(2, 3, dtype="uint8"), format="png").content)
    assert [row[:7] for row in list_layers(path=path).rows] == [("0", "", "R, G, B", 0, 0, 2, 3)]
    with pytest.raises(OperationError, match="layer and part are for exr and psd files, but this is a png"):
        load_image(path=path, layer="x")


def test_mask(path: Path) -> None:
    mask = Mask(np.random.default_rng(0).random((1, 4, 4, 1), np.float32))
    path.write_bytes(encode_mask(mask, format="exr").content)
    assert np.array_equal(load_mask(path=path).buffer, mask.buffer)


# --- damage ---

WHOLE = encode_image(picture(), format="exr").content


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0, 0.999))
def test_a_cut_off_file_is_refused(path: Path, part: float) -> None:
    path.write_bytes(WHOLE[: int(len(WHOLE) * part)])
    with pytest.raises(OperationError) as caught:
        load_image(path=path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_loaded_or_refused(path: Path, data: st.DataObject) -> None:
    content = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.one_of(st.integers(0, 500), st.integers(0, len(content) - 1)))] = data.draw(
            st.integers(0, 255)
        )
    path.write_bytes(content)
    try:
        check(path)
    except OperationError:
        return


def test_a_window_that_its_bytes_can_not_fill_is_refused(path: Path) -> None:
    small = encode_image(Image.stand_in(64, 1, ("Y",), dtype="float16", color=LINEAR), format="exr").content
    box = struct.pack("<4i", 0, 0, 63, 0)
    assert small.count(box) == 2
    path.write_bytes(small.replace(box, struct.pack("<4i", 0, 0, 2**26, 0)))
    with pytest.raises(OperationError, match="more than its bytes can hold"):
        load_image(path=path)


def test_a_decoder_that_dies_is_an_error_and_the_next_file_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(WHOLE)
    load_image(path=path)
    child = apart._idle[-1]
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()
    with pytest.raises(OperationError, match=r"x\.exr: damaged exr file: decoding it crashed"):
        load_image(path=path)
    assert load_image(path=path).size == (9, 70)
    monkeypatch.setattr(apart, "_SECONDS", 0.0)
    monkeypatch.setattr(apart, "_BYTES_PER_SECOND", 1e12)
    os.kill(apart._idle[-1].process.pid, signal.SIGSTOP)
    with pytest.raises(OperationError, match="longer than its size allows"):
        load_image(path=path)


def test_threads_decode_side_by_side(path: Path) -> None:
    path.write_bytes(WHOLE)
    expected = load_image(path=path).buffer.tobytes()
    found: list[bool] = []
    work = [
        threading.Thread(target=lambda: found.append(load_image(path=path).buffer.tobytes() == expected))
        for _ in range(3)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert found == [True] * 3

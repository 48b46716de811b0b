"""Photoshop files: the flattened picture and the layers, written here by the format's description."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_io import list_layers, load_image, load_layers

from pipeline_core import Image, OperationError

INFER = load_image.__operation__.infer  # type: ignore[attr-defined]  # left there by @operation
RNG = np.random.default_rng(5)
WIDTH, HEIGHT = 9, 6
RAW, PACKED, DEFLATED, PREDICTED = range(4)
Array = np.ndarray[Any, Any]


def packbits(row: bytes) -> bytes:
    """Runs where there are some, literals else."""
    out, at = b"", 0
    while at < len(row):
        run = 1
        while at + run < len(row) and run < 128 and row[at + run] == row[at]:
            run += 1
        out += bytes([257 - run, row[at]]) if run > 1 else bytes([0, row[at]])
        at += run
    return out


def big_endian(plane: Array) -> Array:
    return plane.astype(plane.dtype.newbyteorder(">"))


def packed(plane: Array, compression: int) -> bytes:
    rows = [row.tobytes() for row in big_endian(plane)]
    if compression == PACKED:
        coded = [packbits(row) for row in rows]
        return struct.pack(f">{len(rows)}H", *(len(row) for row in coded)) + b"".join(coded)
    if compression == PREDICTED:
        differences = np.concatenate((plane[:, :1], plane[:, 1:] - plane[:, :-1]), axis=1).astype(plane.dtype)
        return zlib.compress(big_endian(differences).tobytes())
    return zlib.compress(b"".join(rows)) if compression == DEFLATED else b"".join(rows)


def section(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def layer(name: str, left: int, top: int, planes: dict[int, Array], *, compression: int = RAW, blend: bytes = b"norm",
          opacity: int = 255, flags: int = 0, mask: bytes = b"", divider: int = 0) -> tuple[bytes, bytes]:  # fmt: skip
    """The record and the planes of one layer."""
    height, width = next(iter(planes.values())).shape if planes else (0, 0)
    body = [struct.pack(">H", compression) + packed(plane, compression) for plane in planes.values()]
    extra = section(mask) + section(b"") + b"\x01?\0\0"
    unicode_name = name.encode("utf-16-be")
    extra += b"8BIMluni" + section(struct.pack(">I", len(name)) + unicode_name)
    if divider:
        extra += b"8BIMlsct" + section(struct.pack(">I", divider))
    record = struct.pack(">4iH", top, left, top + height, left + width, len(planes))
    record += b"".join(struct.pack(">hI", key, len(part)) for key, part in zip(planes, body, strict=True))
    return record + struct.pack(">4s4sBBBB", b"8BIM", blend, opacity, 0, flags, 0) + section(extra), b"".join(body)


def psd(flat: Array, layers: list[tuple[bytes, bytes]], *, mode: int = 3, compression: int = RAW, transparent: bool = False,
        resources: bytes = b"") -> bytes:  # fmt: skip
    """A file with a flattened `(H, W, C)` picture."""
    height, width, samples = flat.shape
    info = b""
    if layers:
        count = -len(layers) if transparent else len(layers)
        info = struct.pack(">h", count) + b"".join(r for r, _ in layers) + b"".join(p for _, p in layers)
    planes = flat.transpose(2, 0, 1)
    body = packed(planes.reshape(-1, width), compression)
    return b"".join((
        struct.pack(">4sH6xHIIHH", b"8BPS", 1, samples, height, width, flat.dtype.itemsize * 8, mode),
        section(b""), section(resources), section(section(info) + section(b"")), struct.pack(">H", compression), body,
    ))  # fmt: skip


def noise(*shape: int, dtype: str = "uint8") -> Array:
    values = RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    values[: shape[0] // 2] = values[0, 0]
    return values


def check(path: Path, **params: Any) -> Image:
    """Loads; inference has to agree."""
    found, inferred = load_image(path=path, **params), INFER(path=path, **params)
    names = ("size", "channels", "dtype", "color", "alpha")
    assert [getattr(found, name) for name in names] == [getattr(inferred, name) for name in names]
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.psd"


@pytest.mark.parametrize("compression", [RAW, PACKED, DEFLATED])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(("mode", "samples", "channels"), [(3, 3, "RGB"), (3, 4, "RGBA"), (1, 1, "Y"), (1, 2, "YA")])
def test_the_flattened_picture(
    path: Path, compression: int, dtype: str, mode: int, samples: int, channels: str
) -> None:
    flat = noise(HEIGHT, WIDTH, samples, dtype=dtype)
    path.write_bytes(psd(flat, [], mode=mode, compression=compression))
    image = check(path)
    assert np.array_equal(image.buffer[0], flat)
    assert ("".join(image.channels), image.dtype) == (channels, dtype)


def test_32_bits_are_linear(path: Path) -> None:
    flat = RNG.random((HEIGHT, WIDTH, 3)).astype(np.float32) * 9
    path.write_bytes(psd(flat, []))
    image = check(path)
    assert np.array_equal(image.buffer[0], flat)
    assert image.color == "lin_rec709_scene"


def test_convention_the_white_under_a_transparent_picture_is_taken_off(path: Path) -> None:
    flat = np.array([[[255, 255, 255, 0], [128, 255, 128, 127], [10, 20, 30, 255]]], np.uint8)
    path.write_bytes(psd(flat, [layer("a", 0, 0, {})], transparent=True))
    assert check(path).buffer[0].tolist() == [[[255, 255, 255, 0], [0, 255, 0, 127], [10, 20, 30, 255]]]
    path.write_bytes(psd(flat, [layer("a", 0, 0, {})]))
    assert np.array_equal(check(path).buffer[0], flat)


@pytest.mark.parametrize("compression", [RAW, PACKED, DEFLATED, PREDICTED])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_layers(path: Path, compression: int, dtype: str) -> None:
    first, second = noise(HEIGHT, WIDTH, 4, dtype=dtype), noise(4, 5, 4, dtype=dtype)
    full = np.iinfo(dtype).max

    def planes(pixels: Array) -> dict[int, Array]:
        return {-1: pixels[..., 3], **{i: pixels[..., i] for i in range(3)}}

    mask = noise(3, 3, dtype=dtype)
    masked = planes(second) | {-2: mask}
    box = struct.pack(">4iBB2x", 1, 2, 4, 5, 0, 0)
    path.write_bytes(
        psd(
            noise(HEIGHT, WIDTH, 3, dtype=dtype),
            [
                layer("ground", 0, 0, planes(first), compression=compression),
                layer("Größe", -2, 4, planes(second), compression=compression, blend=b"mul ", opacity=51, flags=2),
                layer("group", 0, 0, {}, divider=1),
            ],
        )
    )
    assert np.array_equal(check(path, layer="ground").buffer[0], first)
    placed = np.zeros_like(first)
    placed[4:, :3] = second[:2, 2:]
    assert np.array_equal(check(path, layer="Größe").buffer[0], placed)
    assert np.array_equal(check(path, part="1").buffer[0], placed)
    shown = [dict(zip(("part", "layer", "channels", "left", "top", "width", "height", "blend", "opacity", "visible"), row, strict=False))
             for row in list_layers(path=path).rows]  # fmt: skip
    assert [row["layer"] for row in shown] == ["ground", "Größe"]
    assert shown[1] == {"part": "1", "layer": "Größe", "channels": "R, G, B, A", "left": -2, "top": 4, "width": 5,
                        "height": 4, "blend": "multiply", "opacity": 0.2, "visible": False}  # fmt: skip
    # Planes have a box each, but those of the colours and of the mask are coded alike.
    path.write_bytes(
        psd(noise(HEIGHT, WIDTH, 3, dtype=dtype), [layer("m", 1, 0, masked, compression=compression, mask=box)])
    )
    inside = np.zeros((HEIGHT, WIDTH))
    inside[1:4, 2:5] = mask
    whole = np.zeros_like(first)
    whole[:4, 1:6] = second
    found = check(path, layer="m").buffer[0]
    assert np.array_equal(found[..., :3], whole[..., :3])
    assert np.array_equal(found[..., 3], np.rint(whole[..., 3] * (inside / full)))


def test_the_mask_of_a_group_and_the_fill_of_a_layer(path: Path) -> None:
    mask, plane = noise(3, 4), {key: noise(2, 2) for key in (-1, 0, 1, 2)}
    box = struct.pack(">4iBB2x", 1, 2, 4, 6, 255, 0)
    layers = [
        layer("end", 0, 0, {}, divider=3),
        layer("inside", 0, 0, plane, opacity=102),
        layer("group", 0, 0, {-2: mask}, mask=box, divider=2, blend=b"pass"),
    ]
    path.write_bytes(psd(noise(HEIGHT, WIDTH, 3), layers))
    image, table, _ = load_layers(path=path)
    expected = np.full((HEIGHT, WIDTH), 255, np.uint8)
    expected[1:4, 2:6] = mask
    assert np.array_equal(image.buffer[1, ..., 3], expected)
    assert image.buffer[1, ..., :3].min() == 255
    at = [table.columns.index(name) for name in ("image", "name", "kind", "parent", "blend", "opacity")]
    assert [tuple(row[i] for i in at) for row in table.rows] == [
        (0, "inside", "layer", 1, "over", 0.4), (1, "group", "group", None, "pass-through", 1.0),
    ]  # fmt: skip
    record, planes = layer("thin", 0, 0, plane, opacity=102)
    extra = len(record) - record.index(b"8BIMluni")
    thin = record + b"8BIMiOpa" + section(bytes([51, 0, 0, 0]))
    size = record.index(struct.pack(">I", extra + 12))
    thin = thin[:size] + struct.pack(">I", extra + 12 + 16) + thin[size + 4 :]
    path.write_bytes(psd(noise(HEIGHT, WIDTH, 3), [(thin, planes)]))
    assert load_layers(path=path).table.rows[0][at[5]] == pytest.approx(0.08)


def test_which_layer(path: Path) -> None:
    plane = {key: noise(2, 2) for key in (-1, 0, 1, 2)}
    path.write_bytes(psd(noise(2, 2, 3), [layer("a", 0, 0, plane), layer("a", 0, 0, plane), layer("b", 0, 0, plane)]))
    with pytest.raises(OperationError, match="2 layers are called 'a': set part to one of 0, 1"):
        load_image(path=path, layer="a")
    with pytest.raises(OperationError, match=r"no layer 'c'; the file's layers: a \(0\), a \(1\), b \(2\)"):
        load_image(path=path, layer="c")
    assert check(path, layer="a", part="1").alpha == "straight"


def test_a_file_without_a_flattened_picture_says_so(path: Path) -> None:
    resource = b"8BIM" + struct.pack(">HH", 1057, 0) + section(b"\0\0\0\1\0" + bytes(8) + b"\0")
    path.write_bytes(psd(noise(2, 2, 3), [layer("a", 0, 0, {})], resources=resource))
    with pytest.raises(OperationError, match="without a flattened picture: set layer"):
        load_image(path=path)


WHOLE = psd(
    noise(HEIGHT, WIDTH, 3),
    [layer("a", 0, 0, {k: noise(4, 4) for k in (-1, 0, 1, 2)}, compression=PACKED)],
    compression=PACKED,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(end=st.integers(0, len(WHOLE) - 1))
def test_a_cut_off_file_is_refused(path: Path, end: int) -> None:
    path.write_bytes(WHOLE[:end])
    with pytest.raises(OperationError):
        load_image(path=path)


@pytest.mark.parametrize("params", [{}, {"layer": "a"}])
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_loaded_or_refused(path: Path, params: dict[str, Any], data: st.DataObject) -> None:
    content = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        check(path, **params)
    except OperationError:
        return

"""Blobs and content digests: what comes back is what was stored, and content alone has a name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash

from pipeline_core.cache import Output, blob
from pipeline_core.cache.record import DamagedError
from pipeline_core.image import File, Image, Mask, Table
from pipeline_core.tiles import in_one_core
from pipeline_core.values import UnstorableError, fingerprint


@dataclass(frozen=True, eq=False)
class Camera:
    matrix: Any
    name: str


@dataclass(frozen=True, eq=False)
class Scene:
    """A kind as a plugin may define it."""

    camera: Camera
    layers: Mapping[str, Any]
    thumbnail: bytes = b""
    near: float = 0.1
    tags: tuple[Any, ...] = ()
    buffer: str = ""
    library: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def noise(*shape: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray[Any, Any]:
    return (np.random.default_rng(seed).random(shape) * 200).astype(dtype)


def save(value: Any, path: Path) -> Output:
    contents = blob.Contents(value)
    with open(path, "wb") as file:
        checksum = contents.write(file.fileno())
    assert path.stat().st_size == contents.size
    return Output(contents.digest(), contents.name(contents.digest()), contents.size, checksum)


def there_and_back(value: Any, folder: Path) -> Any:
    path = folder / "blob"
    output = save(value, path)
    assert blob.is_true(path, output)
    return blob.read(path, output)


@pytest.mark.parametrize("size", [8, 400], ids=["read", "mapped"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_an_image_comes_back_as_it_was(tmp_path: Path, size: int, dtype: str) -> None:
    image = Image(
        noise(1, size, size + 1, 4, dtype=dtype), channels=("R", "G", "B", "A"), alpha="associated", color="data",
        wrap=(True, False), meta={"a": "b"},
    )  # fmt: skip
    back = there_and_back(image, tmp_path)
    assert back.buffer.dtype == image.buffer.dtype
    assert np.array_equal(back.buffer, image.buffer)
    assert (back.channels, back.alpha, back.color, back.wrap) == (image.channels, "associated", "data", (True, False))
    assert dict(back.meta) == {"a": "b"}


def test_other_kinds_come_back(tmp_path: Path) -> None:
    table = Table(("x", "y"), ((1, None), (1.0, "é"), (True, float("inf"))))
    assert there_and_back(table, tmp_path) == table
    assert [type(row[0]) for row in there_and_back(table, tmp_path).rows] == [int, float, bool]
    assert there_and_back(File(b"\x00\xff", "image/png"), tmp_path) == File(b"\x00\xff", "image/png")
    mask = Mask(noise(2, 3, 4, 1))
    assert np.array_equal(there_and_back(mask, tmp_path).buffer, mask.buffer)


def test_a_plugins_own_kind_comes_back(tmp_path: Path) -> None:
    scene = Scene(
        Camera(np.eye(4), "main"), {"beauty": noise(5, 6), "depth": noise(5, 6, dtype=np.float64)}, b"png", math.nan,
        (-0.0, (1, "x"), None), options={"deep": {"k": [1, 2]}},
    )  # fmt: skip
    back = there_and_back(scene, tmp_path)
    assert np.array_equal(back.camera.matrix, np.eye(4))
    assert back.camera.name == "main"
    assert list(back.layers) == ["beauty", "depth"]
    assert back.layers["depth"].dtype == np.float64
    assert np.array_equal(back.layers["beauty"], scene.layers["beauty"])
    assert back.thumbnail == b"png"
    assert math.isnan(back.near)
    assert math.copysign(1, back.tags[0]) == -1
    assert back.tags[1:] == ((1, "x"), None)
    assert back.options == {"deep": {"k": [1, 2]}}


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3), np.float32),
        np.array(3.5),
        noise(3, 4) > 100,
        noise(3, 4).astype(np.complex64),
        noise(4, 3).astype(np.complex128).T,
        np.broadcast_to(noise(1, 4), (5, 4)),
        noise(6, 8)[::2, ::-1],
    ],
    ids=["empty", "scalar", "bool", "complex64", "complex128 turned", "broadcast", "gaps and backwards"],
)
def test_odd_arrays_come_back(tmp_path: Path, array: np.ndarray[Any, Any]) -> None:
    back = there_and_back(array, tmp_path)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert np.array_equal(back, array)


def test_tensors_come_back_as_tensors(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float16, torch.int64, torch.bool, torch.uint16):
        tensor = torch.arange(12).reshape(3, 4).to(torch.float32).to(dtype).T
        back = there_and_back(tensor, tmp_path)
        assert isinstance(back, torch.Tensor)
        assert back.dtype == dtype
        assert back.stride() == tensor.stride()
        assert back.view(torch.uint8).equal(tensor.view(torch.uint8)) if dtype.itemsize == 1 else back.equal(tensor)


def test_strides_come_back(tmp_path: Path) -> None:
    planar = noise(1, 4, 40, 50).transpose(0, 2, 3, 1)
    back = there_and_back(Image(planar, channels=("R", "G", "B", "A"), alpha="straight"), tmp_path)
    assert np.array_equal(back.buffer, planar)
    assert back.buffer.strides == planar.strides


def test_digest_names_content_not_layout_or_library() -> None:
    torch = pytest.importorskip("torch")
    array = noise(2, 300, 400, 3)
    planar = np.ascontiguousarray(array.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    with_gaps = np.repeat(array, 2, axis=2)[:, :, ::2]
    forms = [array, planar, with_gaps, torch.from_numpy(array), torch.from_numpy(planar)]
    assert len({blob.digest(Image(form)) for form in forms}) == 1


def test_digest_differs_with_anything_that_an_operation_sees() -> None:
    array = noise(1, 4, 4, 4)
    rgba = {"channels": ("R", "G", "B", "A"), "alpha": "straight"}
    changed = array.copy()
    changed[0, 3, 3, 3] = np.nextafter(changed[0, 3, 3, 3], np.float32(1e9))
    different = [
        Image(array, **rgba),
        Image(changed, **rgba),
        Image(array, channels=("A", "G", "B", "R"), alpha="straight"),
        Image(array, channels=("R", "G", "B", "A"), alpha="associated"),
        Image(array, **rgba, color="data"),
        Image(array, **rgba, wrap=(True, False)),
        Image(array, **rgba, meta={"a": "b"}),
        Image(array.reshape(1, 2, 8, 4), **rgba),
        Image(array.view(np.uint16).reshape(1, 4, 8, 4), **rgba),
        Table(("x",), ((1,),)), Table(("x",), ((1.0,),)), Table(("x",), ((True,),)), Table(("x",), (("1",),)),
        Table(("x",), ((0.0,),)), Table(("x",), ((-0.0,),)), Table(("x",), ((None,),)),
        Scene(Camera(array, ""), {}, buffer="x", library="numpy"),
        Scene(Camera(array, ""), {}, buffer="x", library="torch"),
        Scene(Camera(array, ""), {}, thumbnail=b"nan"), Scene(Camera(array, ""), {"a": array}),
        Scene(Camera(array, ""), {}, near=math.nan),
        Scene(Camera(array, ""), {}, options={"float": "nan"}),
    ]  # fmt: skip
    assert len({blob.digest(value) for value in different}) == len(different)


def test_what_can_not_be_stored_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnstorableError, match=r"Scene.options\['net'\] is a object"):
        blob.Contents(Scene(Camera(np.eye(2), ""), {}, options={"net": object()}))
    with pytest.raises(UnstorableError, match=">f4"):
        blob.Contents(np.zeros(3, ">f4"))
    with pytest.raises(UnstorableError, match="object"):
        blob.Contents(np.array([object()]))


def test_a_blob_is_a_safetensors_file(tmp_path: Path) -> None:
    """The format by its own rules: no holes, no overlap, offsets in order, sizes that match; data aligned to 64."""
    scene = Scene(Camera(np.eye(3), "c"), {"a": noise(7, 3, dtype=np.uint8), "b": noise(5).astype(np.complex64)})
    output = save(scene, tmp_path / "x.safetensors")
    content = (tmp_path / "x.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert (8 + length) % 64 == 0
    assert all(isinstance(text, str) for text in header.pop("__metadata__").values())
    end = 0
    sizes = {"U8": 1, "F64": 8, "F32": 4}
    for entry in header.values():
        begin, next_end = entry["data_offsets"]
        assert begin == end
        assert next_end - begin == sizes[entry["dtype"]] * math.prod(entry["shape"])
        end = next_end
    assert 8 + length + end == len(content) == output.size
    assert all(entry["data_offsets"][0] % 64 == 0 for name, entry in header.items() if name.startswith("buffer"))


def test_what_is_proved_need_not_be_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a piece, cut at odd places while it is written; what one core hashes another core would, too."""
    monkeypatch.setattr("pipeline_core.pieces.PIECE", 300_000)
    image = Image(noise(1, 400, 401, 3))
    output = save(image, tmp_path / "blob")
    known: blob.Known = {}
    loaded = blob.read(tmp_path / "blob", output, known)
    monkeypatch.setattr("pipeline_core.values.checksum", None)
    found = fingerprint(loaded, known)
    monkeypatch.undo()
    monkeypatch.setattr("pipeline_core.pieces.PIECE", 300_000)
    assert found == fingerprint(loaded) == fingerprint(image)
    with in_one_core():
        assert fingerprint(image) == found


@pytest.mark.parametrize("size", [100, 1000])
def test_entries_from_before_there_were_pieces_are_proved(tmp_path: Path, size: int) -> None:
    array = noise(size, size)
    content = tmp_path / "blob"
    output = save(array, content)
    old = replace(output, checksum=xxhash.xxh3_128_hexdigest(content.read_bytes()))
    assert np.array_equal(blob.read(content, old), array)
    with open(content, "r+b") as file:
        file.seek(-1, 2)
        file.write(b"?")
    for each in (old, output):
        with pytest.raises(DamagedError, match="does not match"):
            blob.read(content, each)


def test_writing_into_a_loaded_value_does_not_reach_the_file(tmp_path: Path) -> None:
    array = noise(1000, 1000)
    output = save(array, tmp_path / "blob")
    loaded = blob.read(tmp_path / "blob", output)
    loaded[:] = 7
    assert np.array_equal(blob.read(tmp_path / "blob", output), array)


def test_a_kind_that_is_no_more_is_damage_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = save(Camera(np.eye(2), "x"), tmp_path / "blob")
    monkeypatch.delattr(f"{__name__}.Camera")
    with pytest.raises(DamagedError, match="can't be put together"):
        blob.read(tmp_path / "blob", output)

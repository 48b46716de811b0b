"""Sets of images: kept like every kind, and saved as a file each beside a list."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pipeline_io import encode_image_set, image_set, load_image, pick_image

import pipeline_core
from pipeline_core import File, Image, ImageSet, OperationError
from pipeline_core.api import load, run_graph
from pipeline_core.errors import OutputError
from pipeline_core.image import KindError
from pipeline_core.values import put_together, take_apart

FILE = """
pipeline: 1
nodes:
  red: {op: constant, params: {width: 4, height: 3, color: red}}
  small: {op: gradient, params: {width: 2, height: 2}}
  both: {op: image_set, inputs: {images: [red, small]}, params: {names: [red, small]}}
outputs:
  both: {from: both, path: out/set.json}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIPELINE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "set.yaml"
    path.write_text(FILE)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def picture(value: float = 0.5, *, batch: int = 1) -> Image:
    return Image(np.full((batch, 2, 3, 3), value, np.float32))


def test_a_set_is_saved_as_a_file_each_beside_the_list(file: Path) -> None:
    pipeline_core.run(file, save=True)
    out = file.parent / "out"
    assert names(out) == ["set.json", "set_red.png", "set_small.png"]
    listed = json.loads((out / "set.json").read_text())["images"]
    assert [(entry["name"], entry["files"], entry["width"]) for entry in listed] == [
        ("red", ["_red.png"], 4), ("small", ["_small.png"], 2),
    ]  # fmt: skip
    red = load_image(path=out / "set_red.png")
    assert red.buffer[0, 0, 0].tolist() == [255, 0, 0]
    assert '"red"' in red.meta["pipeline"], "the picture says where it comes from"


def test_it_is_made_again_only_where_something_is_missing_or_changed(file: Path, command: Callable[..., Any]) -> None:
    out = file.parent / "out"
    assert command("run", file).returncode == 0
    assert "up to date" in command("run", file).stdout
    for change in (lambda path: path.unlink(), lambda path: path.write_bytes(b"another")):
        good = (out / "set_red.png").read_bytes()
        change(out / "set_red.png")
        assert "up to date" not in command("run", file).stdout
        assert (out / "set_red.png").read_bytes() == good
        assert "up to date" in command("run", file).stdout


def test_the_list_is_there_only_when_everything_is(file: Path) -> None:
    out = file.parent / "out"
    (out / "set_small.png").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"output 'both': can't write .*set.json"):
        pipeline_core.run(file, save=True)
    assert "set.json" not in names(out)
    assert not [name for name in names(out) if name.endswith(".part")]


def test_no_two_outputs_write_one_file(file: Path) -> None:
    file.write_text(FILE + "  red: {from: red, path: out/set_red.png}\n")
    with pytest.raises(OutputError, match=r"output 'both': .*set_red.png is written by another output"):
        pipeline_core.run(file, save=True)


@pytest.mark.parametrize("name", ["/../x.png", "_/x.png"])
def test_nothing_is_written_into_other_folders(tmp_path: Path, name: str) -> None:
    def save_badly(image: Image, *, format: Literal["bad"]) -> File:  # noqa: A002  what the run looks for
        """A file with something beside it."""
        return File(b"list", beside={name: b"x"})

    path = tmp_path / "bad.yaml"
    path.write_text(
        "pipeline: 1\nnodes:\n  a: {op: constant, params: {width: 1, height: 1, color: red}}\n"
        "outputs:\n  a: {from: a, path: out/a.bad}\n"
    )
    with pytest.raises(OutputError, match="or is the output itself"):
        run_graph(load(path, operations=[save_badly]), save=True, cache=False)
    assert names(tmp_path / "out") == []


def test_a_set_is_kept_and_taken_out_of_the_cache(file: Path) -> None:
    first = pipeline_core.run(file)["both"]
    again = pipeline_core.run(file)["both"]
    assert list(again.images) == ["red", "small"]
    np.testing.assert_array_equal(again.images["small"].array, first.images["small"].array)
    assert str(pickle.loads(pickle.dumps(first))) == str(first)
    tree, parts = take_apart(first)
    assert str(put_together(tree, parts)) == "images red, small"


def test_what_a_set_says_of_its_images_counts_in_saving() -> None:
    facts: Mapping[str, Any] = {"height": {"suffix": "_H", "bits": 16, "srgb": False}}
    made = encode_image_set(ImageSet({"height": picture(), "shots": picture(batch=2)}, facts), format="json")
    assert list(made.beside) == ["_H.png", "_shots.0000.png", "_shots.0001.png"]
    assert made.beside["_H.png"][24] == 16
    assert made.beside["_shots.0000.png"][24] == 8
    assert json.loads(made.content)["images"][0]["srgb"] is False
    assert encode_image_set(ImageSet({"height": picture()}, facts), format="json", files="tga").beside.keys() == {
        "_H.tga"
    }


def test_what_is_refused() -> None:
    with pytest.raises(OperationError, match="2 images need as many names, got 1"):
        image_set([picture(), picture()], names=["a"])
    with pytest.raises(OperationError, match="two images are called 'a'"):
        image_set([picture(), picture()], names=["a", "a"])
    with pytest.raises(OperationError, match="no image 'c' in the set, it has a, b"):
        pick_image(ImageSet({"a": picture(), "b": picture()}), name="c")
    with pytest.raises(OperationError, match=r"image 'a': .* not finite"):
        encode_image_set(ImageSet({"a": picture(float("nan"))}), format="json")
    twice: Mapping[str, Any] = {"a": {"suffix": "_x"}, "b": {"suffix": "_x"}}
    with pytest.raises(OperationError, match="image 'b' has the suffix '_x' of another one"):
        encode_image_set(ImageSet({"a": picture(), "b": picture()}, twice), format="json")
    with pytest.raises(KindError, match="at least one image"):
        ImageSet({})
    with pytest.raises(KindError, match="facts of 'b', but no image"):
        ImageSet({"a": picture()}, {"b": {}})

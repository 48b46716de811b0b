"""The plain Python way, pipelines built without a file, and how outputs get to disk."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import specimens

import pipeline_core
from pipeline_core import GraphError, Image, NodeError, OutputError, Pipeline, SpecError
from pipeline_core.api import run_graph

TEXT = """\
pipeline: 1
params: {light: {type: float, default: 0.5}}
nodes:
  a: {op: flat, params: {value: "${light}"}}
  b: {op: double, inputs: {image: a}}
outputs:
  a: {from: a, path: "out/deep/a-${light}.txt"}
  b: {from: b, path: b.dat, params: {digits: 1}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "x.yaml"
    made.write_text(TEXT)
    return made


def run(file: Path | str, **given: Any) -> dict[str, Any]:
    return pipeline_core.run(file, operations=specimens.ALL, cache=False, **given)


def test_outputs_as_values(file: Path) -> None:
    found = run(file, light=0.25)
    assert sorted(found) == ["a", "b"]
    assert found["b"].array[0, 0, 0, 0] == 0.5
    assert sorted(run(file, only=["b"])) == ["b"]
    assert [path.name for path in file.parent.iterdir()] == ["x.yaml"]


def test_saving_makes_the_folders_and_nothing_else(file: Path) -> None:
    run(file, save=True)
    assert (file.parent / "out/deep/a-0.5.txt").read_text() == "0.500"
    assert (file.parent / "b.dat").read_text() == "1.0"
    assert sorted(path.name for path in file.parent.rglob("*") if path.is_file()) == ["a-0.5.txt", "b.dat", "x.yaml"]


def test_an_output_is_replaced_whole_and_kept_when_equal(file: Path) -> None:
    run(file, save=True)
    target = file.parent / "b.dat"
    os.utime(target, (1000, 1000))
    run(file, save=True)
    assert target.stat().st_mtime == 1000
    before = target.stat().st_ino
    run(file, save=True, light=4.0)
    assert target.read_text() == "8.0"
    assert target.stat().st_ino != before  # renamed into place, never written over


def test_a_name_that_is_too_long(file: Path) -> None:
    file.write_text(TEXT.replace("b.dat", "x" * 300 + ".dat"))
    with pytest.raises((OutputError, NodeError), match=r"output 'b': can't write .*: file name too long"):
        run(file, save=True)


def test_a_folder_in_the_way_is_told_before_anything_runs(file: Path) -> None:
    (file.parent / "b.dat").mkdir()
    with pytest.raises(GraphError, match=r"x\.yaml:8:\d+: output 'b', 'path': must name a file, but .* is a folder"):
        run(file, save=True)


def test_a_file_where_a_folder_should_be(file: Path) -> None:
    (file.parent / "out").write_text("in the way")
    with pytest.raises(OutputError, match=r"output 'a': can't write"):
        run(file, save=True)
    assert (file.parent / "out").read_text() == "in the way"


def test_names_of_all_alphabets(tmp_path: Path) -> None:
    folder = tmp_path / "Ünïcode 图片 🙂"
    folder.mkdir()
    file = folder / "рисунок.yaml"
    file.write_text(TEXT.replace("b.dat", "выход é 🙂.dat"), encoding="utf-8")
    run(file, save=True)
    assert (folder / "выход é 🙂.dat").read_text() == "1.0"


def test_check_never_raises(tmp_path: Path) -> None:
    assert "file not found" in str(pipeline_core.check(tmp_path / "nothing.yaml")[0])
    assert "can't be read" in str(pipeline_core.check(tmp_path)[0])
    (tmp_path / "x.yaml").write_text("nodes: {a: {op: constnat}, b: 3}")
    assert len(pipeline_core.check(tmp_path / "x.yaml")) == 3
    assert pipeline_core.check("a\0b")


def test_a_pipeline_built_in_python_is_the_pipeline_in_a_file(file: Path, tmp_path: Path) -> None:
    built = Pipeline(folder=tmp_path)
    light = built.param("light", "float", default=0.5)
    a = built.node("a", specimens.flat, value=light)
    b = built.node("b", specimens.double, image=a)
    built.output("a", a)
    built.output("b", b, path="built.png", depth=16)
    assert built.run(light=0.25)["b"].array[0, 0, 0, 0] == 0.5
    built.run(save=True)
    assert (tmp_path / "built.png").read_bytes()[:4] == b"\x89PNG"
    again = json.loads(built.spec.model_dump_json(by_alias=True, exclude_unset=True))
    assert again["nodes"]["b"]["inputs"] == {"image": "a"}


def test_lists_of_nodes_outputs_of_nodes_and_values_from_python(tmp_path: Path) -> None:
    built = Pipeline(folder=tmp_path)
    (tmp_path / "in.txt").write_bytes(b"x" * 50)
    a = built.node("a", specimens.from_file, path=Path("in.txt"))
    parts = built.node("parts", specimens.split, image=a)
    both = built.node("both", specimens.total, images=[a, parts["image"]], weight=np.float32(0.5))
    built.output("both", both)
    built.output("mask", parts["coverage"])
    found = built.run()
    assert found["both"].array[0, 0, 0, 0] == 0.5
    assert found["mask"].array.min() == 1


def test_mistakes_of_a_built_pipeline() -> None:
    built = Pipeline()
    a = built.node("a", "flatt")
    built.node("b", specimens.double, image=a, extra=3)
    built.output("b", a)
    with pytest.raises(ValueError, match="there already is a node 'a'"):
        built.node("a", "flat")
    with pytest.raises(GraphError) as caught:
        built.graph()
    assert [line.partition("'")[0] for line in str(caught.value).splitlines()] == ["node ", "node "]
    named = Pipeline()
    named.output("o", named.node("my node", specimens.flat))
    with pytest.raises(SpecError, match="'my node' is no name"):
        named.run()


def test_a_graph_may_be_run_many_times(file: Path) -> None:
    graph = pipeline_core.api.load(file, {"light": 0.1}, operations=specimens.ALL)
    first, second = (run_graph(graph, cache=False).outputs["b"] for _ in range(2))
    assert isinstance(first, Image)
    assert np.array_equal(first.array, second.array)

"""The product in seconds: a pipeline in a text becomes a picture on disk, and reads back as what was painted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pipeline_core
from pipeline_core import GraphError, Image, NodeError, Pipeline

CARD = """\
pipeline: 1
params:
  light: {type: float, default: 0.5, minimum: 0, maximum: 1}
nodes:
  ground: {op: constant, params: {width: 4, height: 3, color: "#204060"}}
  spot: {op: constant, params: {width: 4, height: 3, color: [1, 1, 1, "${light}"], channels: RGBA}}
  card: {op: merge, inputs: {base: ground, top: spot}}
outputs:
  card: {from: card, path: "out/card.png"}
"""


def written(folder: Path, text: str = CARD) -> Path:
    file = folder / "card.yaml"
    file.write_text(text)
    return file


def test_a_text_becomes_a_picture_and_reads_back(tmp_path: Path) -> None:
    pipeline_core.run(written(tmp_path), save=True)
    back = Pipeline(folder=tmp_path)
    back.output("image", back.node("image", "load_image", path="out/card.png"))
    image = back.run()["image"]
    assert isinstance(image, Image)
    assert (image.size, image.channels) == ((4, 3), ("R", "G", "B"))
    painted = np.array([0x20, 0x40, 0x60]) / 255 / 2 + 0.5
    assert np.abs(image.array[0, 0, 0] - painted).max() <= 0.5 / 255 + 1e-6


def test_outputs_come_as_values_and_no_file_is_written_unless_asked(tmp_path: Path) -> None:
    card = pipeline_core.run(written(tmp_path), light=1.0)["card"]
    assert card.array.min() == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["card.yaml"]


def test_json_is_the_same_pipeline(tmp_path: Path) -> None:
    import json

    import yaml

    other = tmp_path / "card.json"
    other.write_text(json.dumps(yaml.safe_load(CARD)))
    from_yaml = pipeline_core.run(written(tmp_path))["card"]
    assert np.array_equal(pipeline_core.run(other)["card"].array, from_yaml.array)
    keys = [
        {step.name: step.key for step in pipeline_core.plan(file).steps} for file in (tmp_path / "card.yaml", other)
    ]
    assert keys[0] == keys[1]


def test_a_mistake_is_told_before_anything_runs(tmp_path: Path) -> None:
    file = written(tmp_path, CARD.replace("op: merge", "op: merg"))
    with pytest.raises(
        GraphError, match=r"card.yaml:7:14: node 'card': unknown operation 'merg'. Did you mean 'merge'"
    ):
        pipeline_core.run(file)


def test_a_failure_names_the_node(tmp_path: Path) -> None:
    (tmp_path / "art.png").write_bytes(b"no picture")
    pipeline = Pipeline(folder=tmp_path)
    pipeline.output("art", pipeline.node("art", "load_image", path="art.png"))
    with pytest.raises((NodeError, GraphError), match="node 'art'"):
        pipeline.run()


def test_check_and_plan_write_nothing(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert pipeline_core.check(file, deep=True) == []
    assert [step.name for step in pipeline_core.plan(file).steps] == ["ground", "spot", "card", "card.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["card.yaml"]

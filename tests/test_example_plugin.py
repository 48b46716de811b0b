"""The example plugin as a stranger would use it: copied out, renamed, installed with pip, run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[1] / "docs" / "example-plugin"
FILES = ("pipeline_glow.py", "pyproject.toml", "test_glow.py")

PIPELINE = """\
pipeline: 1
nodes:
  spot: {op: constant, params: {width: 9, height: 9, color: black}}
  lamp: {op: fill, inputs: {image: spot}, params: {color: white, shape: rectangle, x: 4, y: 4, width: 1, height: 1}}
  lit: {op: halo, inputs: {image: lamp}, params: {radius: 2, strength: 1}}
outputs:
  lit: {from: lit, path: lit.png}
"""


class Author:
    """Somebody with a folder of their own, where a renamed copy of the example is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.source, self.installed = folder, folder / "source", folder / "installed"
        self.source.mkdir()
        for name in FILES:
            text = (EXAMPLE / name).read_text().replace("glow", "halo")
            (self.source / name.replace("glow", "halo")).write_text(text)
        self.run([
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index",
            "--no-build-isolation", "--target", str(self.installed), str(self.source),
        ])  # fmt: skip

    def run(self, command: Sequence[str]) -> str:
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.installed),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PIPELINE_CACHE": str(self.folder / "cache"),
        }
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def pipeline(self, *arguments: str) -> str:
        return self.run([str(Path(sys.executable).with_name("pipeline")), *arguments])


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    return Author(tmp_path_factory.mktemp("author"))


def test_it_is_short() -> None:
    lines = [line for line in (EXAMPLE / "pipeline_glow.py").read_text().splitlines() if line.strip()]
    assert len(lines) < 15


def test_its_operation_runs_in_a_pipeline(author: Author) -> None:
    (author.folder / "lit.yaml").write_text(PIPELINE)
    author.pipeline("run", "lit.yaml")
    picture = cv2.imread(str(author.folder / "lit.png"))
    spread = np.zeros((9, 9), np.uint8)
    spread[2:7, 2:7] = round(255 / 25)
    spread[4, 4] = 255
    assert np.array_equal(picture, np.repeat(spread[..., None], 3, axis=2))


def test_it_is_listed(author: Author) -> None:
    offered = {found["name"]: found for found in json.loads(author.pipeline("ops", "--json"))["operations"]}
    assert offered["halo"]["plugin"] == "pipeline_halo"
    assert [param["name"] for param in offered["halo"]["params"]] == ["radius", "strength"]
    assert "merge" in offered
    assert "int, 1 to 256" in author.pipeline("ops", "halo")


def test_it_is_in_the_schema(author: Author) -> None:
    assert '"halo"' in author.pipeline("schema")


def test_its_mistakes_are_found_before_it_is_imported(author: Author) -> None:
    (author.folder / "bad.yaml").write_text(PIPELINE.replace("radius: 2", "radius: 0"))
    with pytest.raises(AssertionError, match="'radius': must be at least 1"):
        author.pipeline("check", "bad.yaml")


def test_its_own_tests_and_the_contract_pass(author: Author) -> None:
    said = author.run([sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", str(author.source)])
    assert "pipeline_halo.halo-" in said
    assert "test_light_reaches_as_far_as_the_radius PASSED" in said

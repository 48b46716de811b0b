"""What saved pictures say about themselves, and when they are written again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from projects import call, make_project

from pipeline_core import __version__
from pipeline_core.api import plan

SUFFIXES = ("png", "jpg", "tif", "webp")
SEEDED = """\
pipeline: 1
params:
  left: {type: int, default: 2}
  hero: {type: path, default: art/photo.png}
nodes:
  photo: {op: load_image, params: {path: "${hero}"}}
  cut: {op: crop, inputs: {image: photo}, params: {x: 0, y: 0, width: 20, height: 16}}
  padded: {op: pad, inputs: {image: cut}, params: {left: "${left}"}}
outputs:
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    outputs = "".join(f"  {suffix}: {{from: padded, path: out/card.{suffix}}}\n" for suffix in SUFFIXES)
    return make_project(tmp_path / "zaphods-project", SEEDED + outputs)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def saved(file: Path, cache: Path, *more: object) -> dict[str, Path]:
    done = call("run", file, "--cache", cache, "--device", "cpu", *more)
    assert done.code == 0, done.err
    return {suffix: file.parent / "out" / f"card.{suffix}" for suffix in SUFFIXES}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_says_how_it_was_made(suffix: str, file: Path, cache: Path) -> None:
    picture = saved(file, cache, "-p", "left=3")[suffix]
    made = json.loads(call("info", picture, "--json").out)
    planned = plan(file, left=3)
    assert made["software"] == f"pipeline-core {__version__}"
    assert made["digest"] == planned.steps[planned.index["padded"]].key
    assert made["params"] == {"left": 3, "hero": "photo.png"}
    assert list(made["nodes"]) == ["cut", "padded", "photo"]
    assert made["nodes"]["cut"]["operation"] == "pipeline_transform.crop"
    assert made["nodes"]["cut"]["params"]["width"] == "20"
    assert (
        made["nodes"]["photo"]["files"]["path: photo.png"]
        == planned.steps[0].files[file.parent / "art/photo.png"].digest
    )


def test_info_is_readable(file: Path, cache: Path) -> None:
    lines = call("info", saved(file, cache)["png"]).out.splitlines()
    assert lines[0].endswith("card.png: 22x16 RGB uint8 srgb_rec709_scene")
    assert "param     left = 2" in lines
    assert any(line.startswith("node      cut: pipeline_transform.crop(") and "width=20" in line for line in lines)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_path_no_user_no_machine(
    suffix: str, file: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("USER", "LOGNAME", "HOSTNAME"):
        monkeypatch.setenv(name, "beeblebrox")
    picture = saved(file, cache, "-p", f"hero={file.parent / 'art' / 'photo.png'}")[suffix]
    told = picture.read_bytes() + call("info", picture, "--json").out.encode()
    for secret in (str(tmp_path), tmp_path.name, "zaphods-project", "beeblebrox", str(Path.home()) + "/"):
        assert secret.encode() not in told


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_metadata_leaves_it_out(suffix: str, file: Path, cache: Path) -> None:
    picture = saved(file, cache, "--no-metadata")[suffix]
    content = picture.read_bytes()
    assert b"pipeline" not in content
    done = call("info", picture)
    assert done.code == 2
    assert "does not say how it was made" in done.err


def test_an_older_provenance_is_replaced(file: Path, cache: Path, tmp_path: Path) -> None:
    first = saved(file, cache)["png"]
    first.rename(file.parent / "art" / "photo.png")
    made = json.loads(call("info", saved(file, cache, "-p", "left=9")["png"], "--json").out)
    assert made["params"]["left"] == 9
    content = saved(file, cache, "-p", "left=9", "--no-metadata")["png"].read_bytes()
    assert b"pipeline" not in content


# --- when an output is written again --------------------------------------------------------------------------------


def test_an_output_that_is_current_is_left_alone(file: Path, cache: Path) -> None:
    paths = saved(file, cache)
    times = {suffix: path.stat().st_mtime_ns for suffix, path in paths.items()}
    file.write_text(file.read_text() + "  more: {from: cut, path: out/more.png}\n")
    assert "1 computed" in call("run", file, "--cache", cache, "--device", "cpu").out
    assert {suffix: path.stat().st_mtime_ns for suffix, path in paths.items()} == times


@pytest.mark.parametrize("harm", ["changed", "removed", "cut short"])
def test_an_output_that_was_harmed_is_written_again(harm: str, file: Path, cache: Path) -> None:
    paths = saved(file, cache)
    whole = {suffix: path.read_bytes() for suffix, path in paths.items()}
    if harm == "removed":
        paths["tif"].unlink()
    elif harm == "changed":
        paths["tif"].write_bytes(whole["tif"][:-1] + b"?")
    else:
        paths["tif"].write_bytes(whole["tif"][:40])
    assert "1 computed, 6 cached" in call("run", file, "--cache", cache, "--device", "cpu").out
    assert {suffix: path.read_bytes() for suffix, path in paths.items()} == whole


def test_with_and_without_metadata_are_two_files(file: Path, cache: Path) -> None:
    with_it = saved(file, cache)["png"].read_bytes()
    without = saved(file, cache, "--no-metadata")["png"].read_bytes()
    assert with_it != without
    assert saved(file, cache)["png"].read_bytes() == with_it


def test_nothing_else_is_left_beside_the_outputs(file: Path, cache: Path) -> None:
    saved(file, cache)
    saved(file, cache, "-p", "left=5")
    assert sorted(path.name for path in (file.parent / "out").iterdir()) == sorted(f"card.{s}" for s in SUFFIXES)

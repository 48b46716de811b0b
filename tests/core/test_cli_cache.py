"""pipeline cache info, verify, prune and clear."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from projects import blobs, call, make_project, run

NODES = 12


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


@pytest.fixture
def cache(file: Path, tmp_path: Path) -> Path:
    """With the results of one run."""
    run(file, tmp_path / "kept")
    return tmp_path / "kept"


def told(cache: Path) -> dict[str, object]:
    done = call("cache", "info", "--json", "--cache", cache)
    assert done.code == 0, done.err
    found: dict[str, object] = json.loads(done.out)
    return found


def test_info_counts(file: Path, cache: Path) -> None:
    found = told(cache)
    assert (found["entries"], found["misses"], found["hits"]) == (NODES, NODES, 0)
    assert found["bytes"] == sum(path.stat().st_size for path in blobs(cache))
    operations = found["by_operation"]
    assert isinstance(operations, dict)
    assert {name: entry["entries"] for name, entry in operations.items()} == {
        "load_image": 1, "crop": 2, "flip": 2, "rotate90": 2, "pad": 1, "flop": 2, "offset": 1, "transpose": 1,
    }  # fmt: skip
    run(file, cache)
    again = told(cache)
    assert again["hits"] == NODES
    assert again["hit_rate"] == 0.5


def test_info_is_readable(cache: Path) -> None:
    lines = call("cache", "info", "--cache", cache).out.splitlines()
    assert lines[0] == str(cache)
    assert lines[1].startswith("12 entries, ")
    assert lines[1].endswith(" of 20.00 GiB")
    assert any(line.split()[:2] == ["crop", "2"] for line in lines)


def test_info_of_no_cache(tmp_path: Path) -> None:
    assert told(tmp_path / "nowhere")["entries"] == 0


def test_verify_of_a_good_cache(cache: Path) -> None:
    done = call("cache", "verify", "--cache", cache)
    assert done.code == 0
    assert done.out.startswith("12 entries read, ")
    assert done.out.strip().endswith("0 damaged")


def test_verify_drops_what_is_damaged(file: Path, cache: Path) -> None:
    path = blobs(cache)[3]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    done = call("cache", "verify", "--cache", cache)
    assert done.code == 1
    assert "1 damaged" in done.out
    assert "it will be computed again" in done.err
    assert told(cache)["entries"] == NODES - 1
    assert call("cache", "verify", "--cache", cache).code == 0
    assert run(file, cache).warned == []


def test_prune_to_a_size(cache: Path) -> None:
    size = int(str(told(cache)["bytes"]))
    done = call("cache", "prune", "--to", f"{size // 2}", "--cache", cache)
    assert done.code == 0, done.err
    left = told(cache)
    assert 0 < int(str(left["bytes"])) <= size // 2
    assert f"{NODES - int(str(left['entries']))} entries dropped" in done.out


def test_prune_by_age(file: Path, cache: Path) -> None:
    time.sleep(1.1)
    run(file, cache, only=["aside"], save=False)
    assert call("cache", "prune", "--older", "1h", "--cache", cache).out.startswith("0 entries dropped")
    done = call("cache", "prune", "--older", "1s", "--cache", cache)
    dropped = int(done.out.split()[0])
    assert 0 < dropped < NODES, "what was just used stays"
    assert run(file, cache, only=["aside"]).computed == set()


def test_clear(file: Path, cache: Path) -> None:
    done = call("cache", "clear", "--cache", cache)
    assert done.out.startswith("12 entries dropped, ")
    assert told(cache)["entries"] == 0
    assert blobs(cache) == []
    assert len(run(file, cache).computed) == NODES


def test_a_limit_is_remembered(file: Path, cache: Path) -> None:
    assert call("run", file, "--cache", cache, "--cache-limit", "4K", "-q", "-p", "left=3").code == 0
    assert told(cache)["limit"] == 4096
    call("cache", "prune", "--cache", cache)
    assert int(str(told(cache)["bytes"])) <= 4096


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--to", "much"], "'much' is not a size"), (["--older", "old"], "'old' is not an age")],
)
def test_mistakes(arguments: list[str], complaint: str, cache: Path) -> None:
    done = call("cache", "prune", *arguments, "--cache", cache)
    assert done.code == 2
    assert complaint in done.err


def test_the_environment_names_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PIPELINE_CACHE", str(cache))
    assert json.loads(call("cache", "info", "--json").out)["entries"] == NODES


def test_a_profile_shows_every_node_with_its_group_and_what_the_cache_did(tmp_path: Path) -> None:
    text = """\
pipeline: 1
nodes:
  sky: {op: gradient, params: {width: 1600, height: 1200, end: white}}
  dark: {op: exposure, inputs: {image: sky}, params: {stops: -1.0}}
  odd: {op: invert, inputs: {image: dark}}
  small: {op: resize, inputs: {image: odd}, params: {width: 20}}
outputs:
  small: {from: small, path: small.png}
"""
    file, cache = tmp_path / "x.yaml", tmp_path / "cache"
    file.write_text(text)
    first = call("run", file, "--cache", cache, "--profile").out.splitlines()
    rows = {line.split()[0]: line for line in first[: first.index("")]}
    assert first[0].split() == ["node", "operation", "time", "bytes", "group", "copied", "cache"]
    assert "strips)" in rows["dark"]
    assert "strips)" in rows["odd"]
    assert rows["small"].endswith("stored")
    (tmp_path / "small.png").unlink()
    again = call("run", file, "--cache", cache, "--profile").out.splitlines()
    assert next(line for line in again if line.startswith("small ")).endswith("found")

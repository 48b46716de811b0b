"""Why there is something to do: the first part of the key that differs, in `plan`, `explain` and by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import specimens
from projects import call, make_project, save_photo

from pipeline_core.cache import Cache
from pipeline_core.explain import findings, pipeline_id
from pipeline_core.graph import build
from pipeline_core.plan import Plan, make_plan
from pipeline_core.plugins import Catalogue
from pipeline_core.spec import spec_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def states(file: Path, cache: Path, *more: object) -> dict[str, str]:
    """The last column of `pipeline plan` by node."""
    done = call("plan", file, "--cache", cache, "--device", "cpu", *more)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    at = lines[0].index("state")
    return {line.split()[0]: line[at:].strip() for line in lines[1:] if len(line) > at and "->" not in line[:at]}


def ran(file: Path, cache: Path, *more: object) -> None:
    assert call("run", file, "--cache", cache, "--device", "cpu", "-q", *more).code == 0


def test_before_and_after_the_first_run(file: Path, cache: Path) -> None:
    assert set(states(file, cache).values()) == {"run: never run"}
    ran(file, cache)
    found = states(file, cache)
    assert found["card.png"] == "hit: the file is what was written"
    assert found["photo"] == found["across"] == "not needed"


def test_a_param(file: Path, cache: Path) -> None:
    ran(file, cache)
    found = states(file, cache, "-p", "left=4")
    assert found["padded"] == "run: param left: 2 -> 4"
    assert found["mirrored"] == "run: input image: 'padded' changed"
    assert found["card.png"] == "run: input image: 'across' changed"
    assert found["quarter"] == "hit"
    assert found["cut"] == found["photo"] == "not needed"
    assert found["aside.png"].startswith("hit")


def test_a_file(file: Path, cache: Path) -> None:
    ran(file, cache)
    save_photo(file.parent / "art" / "photo.png", seed=2)
    found = states(file, cache)
    assert found["photo"] == "run: file photo.png changed"
    assert found["cut"] == "run: input image: 'photo' changed"


def test_an_operation_and_a_link(file: Path, cache: Path) -> None:
    ran(file, cache)
    text = file.read_text()
    file.write_text(
        text.replace("turned: {op: flip", "turned: {op: flop").replace(
            "flip, inputs: {image: corner", "flip, inputs: {image: photo"
        )
    )
    found = states(file, cache)
    assert found["turned"] == "run: operation: flip -> flop"
    assert found["upside"] == "run: input image: corner.image -> photo.image"


def test_an_output_that_was_changed_or_removed(file: Path, cache: Path) -> None:
    ran(file, cache)
    (file.parent / "out" / "card.png").write_bytes(b"x")
    (file.parent / "out" / "aside.png").unlink()
    found = states(file, cache)
    assert found["card.png"] == "run: the file is not what was written"
    assert found["aside.png"] == "run: the file is gone"
    assert found["across"] == found["beside"] == "hit"


def test_two_outputs_of_one_picture_stay_what_they_are(file: Path, cache: Path) -> None:
    """Their keys are the same, their provenance is not."""
    text = file.read_text().replace(
        "around: {op: rotate90",
        "turn-again: {op: crop, inputs: {image: photo}, params: {x: 0, y: 0, width: 9, height: 9}}\n  around: {op: rotate90",
    )
    file.write_text(text + "  one: {from: corner, path: out/one.png}\n  two: {from: turn-again, path: out/two.png}\n")
    ran(file, cache)
    found = states(file, cache)
    assert found["one.png"] == found["two.png"] == "hit: the file is what was written"


def test_a_result_that_was_not_kept(file: Path, cache: Path) -> None:
    ran(file, cache)
    call("cache", "clear", "--cache", cache)
    (file.parent / "out" / "card.png").unlink()
    assert states(file, cache)["across"] == "run: its result was not kept"


def test_without_a_cache(file: Path) -> None:
    assert set(states(file, Path("nowhere"), "--no-cache").values()) == {"run: no cache"}


# --- parts that only another installation changes -------------------------------------------------------------------


def planned(catalogue: Catalogue) -> Plan:
    node: dict[str, Any] = {"op": "flat"}
    spec = spec_of({"pipeline": 1, "nodes": {"a": node}, "outputs": {"a": {"from": "a"}}})
    return make_plan(build(spec, catalogue), with_facts=False)


def reason(tmp_path: Path, before: Catalogue, now: Catalogue) -> str:
    old, new = planned(before), planned(now)
    with Cache.open(tmp_path, memory=0) as cache:
        cache.note_history(pipeline_id(old), {step.name: old.parts(step) for step in old.steps})
        return findings(new, cache)[0].why


def test_a_plugins_version(tmp_path: Path) -> None:
    old, new = (Catalogue.of([specimens.flat], plugin="pipeline_glow", version=v) for v in ("0.2", "0.3"))
    assert reason(tmp_path, old, new) == "pipeline_glow 0.2 -> 0.3"


def test_another_plugin(tmp_path: Path) -> None:
    old, new = (
        Catalogue.of([specimens.flat], plugin=name, version="1") for name in ("pipeline_glow", "pipeline_shine")
    )
    assert reason(tmp_path, old, new) == "plugin: pipeline_glow 1 -> pipeline_shine 1"


# --- explain ----------------------------------------------------------------------------------------------------------


def test_explain_shows_every_part_and_marks_what_changed(file: Path, cache: Path) -> None:
    ran(file, cache)
    lines = call("explain", file, "padded", "--cache", cache, "-p", "left=6").out.splitlines()
    assert lines[0] == "node 'padded' (pad)"
    assert lines[1].strip() == "run: param left: 2 -> 6"
    assert "* param left = 6  (was 2)" in lines
    assert [line for line in lines if line.startswith("*")] == ["* param left = 6  (was 2)"]
    assert any(line.startswith("  input image = quarter.image ") for line in lines)


def test_explain_of_a_kept_result(file: Path, cache: Path) -> None:
    ran(file, cache)
    (file.parent / "out" / "card.png").unlink()
    lines = call("explain", file, "across", "--cache", cache).out.splitlines()
    assert lines[1].strip() == "hit"
    assert "kept: " in lines[3]


def test_explain_knows_the_nodes(file: Path, cache: Path) -> None:
    done = call("explain", file, "paded", "--cache", cache)
    assert done.code == 2
    assert "no node 'paded' in the plan. Did you mean 'padded'?" in done.err

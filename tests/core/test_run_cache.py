"""Runs with a cache: what is computed again and what is not, continuing, damage, and which cache is used."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from projects import AFTER_PADDED, TWELVE, blobs, call, make_project, run, save_photo

from pipeline_core.cache import Cache

NODES = {line.split(":")[0].strip() for line in TWELVE.splitlines() if "{op:" in line}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def test_a_second_run_computes_nothing(file: Path, cache: Path) -> None:
    assert run(file, cache).computed == NODES
    again = run(file, cache)
    assert (again.computed, again.warned) == (set(), [])


def test_a_changed_param_runs_its_node_and_what_reads_it(file: Path, cache: Path) -> None:
    first = run(file, cache)
    changed = run(file, cache, left=5)
    assert changed.computed == AFTER_PADDED
    assert changed.outputs["card"].shape != first.outputs["card"].shape
    assert run(file, cache, left=2).computed == set()
    assert run(file, cache, left=5).computed == set()


def test_a_sibling_branch_is_left_alone(file: Path, cache: Path) -> None:
    run(file, cache)
    file.write_text(file.read_text().replace("width: 9, height: 9", "width: 9, height: 8"))
    assert run(file, cache).computed == {"corner", "upside", "around", "beside"}


def test_the_same_pixels_saved_again_run_nothing_but_the_loading(file: Path, cache: Path) -> None:
    run(file, cache)
    save_photo(file.parent / "art" / "photo.png", compress_level=9)
    assert run(file, cache).computed == {"photo"}
    assert run(file, cache).computed == set()


def test_a_change_that_changes_no_pixel_runs_nothing_after_it(file: Path, cache: Path) -> None:
    file.write_text(file.read_text().replace("params: {x: 3, y: 1}", "params: {x: 0, y: 0}"))
    first = run(file, cache)
    shifted = first.outputs["card"].shape[2]  # `across` turned its rows into columns
    file.write_text(file.read_text().replace("params: {x: 0, y: 0}", f"params: {{x: 0, y: {shifted}}}"))
    again = run(file, cache)
    assert again.computed == {"shifted"}
    assert np.array_equal(again.outputs["card"], first.outputs["card"])


def test_moved_to_another_place_everything_is_there(file: Path, cache: Path, tmp_path: Path) -> None:
    call("run", file, "--cache", cache)
    moved = tmp_path / "another" / "place"
    shutil.move(file.parent, moved)
    shutil.move(cache, tmp_path / "shared")
    (tmp_path / "here").mkdir()
    asked = (os.path.relpath(moved / file.name, tmp_path / "here"), "--cache", "../shared")
    done = call("run", *asked, cwd=tmp_path / "here")
    assert "up to date" in done.out
    (moved / "out" / "card.png").unlink()
    assert "1 computed, " in call("run", *asked, cwd=tmp_path / "here").out
    assert run(moved / file.name, tmp_path / "shared").computed == set()


def test_a_damaged_input_is_computed_in_the_middle_of_a_run(file: Path, cache: Path) -> None:
    run(file, cache)
    expected = run(file, False, left=7).outputs["card"]  # type: ignore[arg-type]
    with Cache.open(cache, memory=0) as opened:
        from pipeline_core.api import plan

        planned = plan(file, left=7)
        found = opened.find(planned.steps[planned.index["quarter"]].key)
        assert found is not None
    path = cache / "v1" / "blobs" / found.outputs[0].blob[:2] / found.outputs[0].blob
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    again = run(file, cache, left=7)
    assert again.computed == AFTER_PADDED | {"quarter"}
    assert len(again.warned) == 1
    assert "'quarter'" in again.warned[0]
    assert np.array_equal(again.outputs["card"], expected)
    assert run(file, cache, left=8).warned == []


def test_where_what_is_asked_for_is_known_nothing_else_is_looked_for(file: Path, cache: Path) -> None:
    first = run(file, cache)
    asked: list[int] = []
    with Cache.open(cache, memory=0) as opened, pytest.MonkeyPatch.context() as patch:
        look = opened.find_many
        patch.setattr(opened, "find_many", lambda keys: asked.append(len(keys)) or look(keys))
        again = run(file, opened)  # type: ignore[arg-type]
    assert (again.computed, again.cached, asked) == (set(), first.cached + len(NODES), [2])


def test_of_what_is_asked_for_and_damaged_the_sources_are_found(file: Path, cache: Path) -> None:
    expected = run(file, cache).outputs["card"]
    with Cache.open(cache, memory=0) as opened:
        from pipeline_core.api import plan

        planned = plan(file)
        found = opened.find(planned.steps[planned.index["across"]].key)
        assert found is not None
    path = cache / "v1" / "blobs" / found.outputs[0].blob[:2] / found.outputs[0].blob
    path.write_bytes(bytes(path.stat().st_size))
    again = run(file, cache)
    assert again.computed == {"across"}
    assert np.array_equal(again.outputs["card"], expected)


def test_all_entries_damaged_is_a_run_from_the_start(file: Path, cache: Path) -> None:
    expected = run(file, cache).outputs
    for path in blobs(cache):
        path.write_bytes(bytes(path.stat().st_size))
    again = run(file, cache)
    assert again.computed == NODES
    assert all(np.array_equal(again.outputs[name], array) for name, array in expected.items())


def test_never_and_always(file: Path, cache: Path) -> None:
    text = file.read_text()
    file.write_text(
        text.replace("{op: flop, inputs: {image: padded}", "{op: flop, cache: never, inputs: {image: padded}")
    )
    run(file, cache)
    assert run(file, cache).computed == set(), "nobody needs it"
    file.write_text(file.read_text().replace("x: 3", "x: 4"))
    assert run(file, cache).computed == {"mirrored", "shifted", "across"}


def test_which_cache_is_used(file: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "named"
    shutil.copytree(Path(os.environ["PIPELINE_CACHE"]) / "catalogue", named / "catalogue", dirs_exist_ok=True)
    monkeypatch.setenv("PIPELINE_CACHE", str(named))
    call("run", file, "--no-cache")
    assert not (named / "v1").exists()
    call("run", file, "--cache", cache)
    assert blobs(cache)
    assert not (named / "v1").exists()
    call("run", file)
    assert len(blobs(named)) == len(blobs(cache))


def test_the_end_of_a_run_says_what_was_cached(file: Path, cache: Path) -> None:
    assert "14 computed in" in call("run", file, "--cache", cache).out
    # The changed node, three after it, and the encoder of what they lead to; photo, cut and turned are not needed.
    done = call("run", file, "--cache", cache, "-p", "left=3")
    assert "5 computed, 9 cached" in done.out


STUMBLES = '''
import os, time
from pipeline_core import Image, hookimpl, operation
@operation(infer=lambda image: image)
def stumbles(image: Image) -> Image:
    """Fails, or hangs, if told so."""
    if os.environ.get("STUMBLE") == "fail":
        raise ValueError("on purpose")
    while os.environ.get("STUMBLE") == "hang":
        time.sleep(0.05)
    return image.with_array(image.array + 1)
@hookimpl
def operations(): return [stumbles]
'''


@pytest.fixture
def stumbling(tmp_path: Path, file: Path) -> dict[str, str]:
    """A plugin that fails in the middle of the twelve nodes."""
    site = tmp_path / "site"
    info = site / "stumbling-1.dist-info"
    info.mkdir(parents=True)
    (site / "stumbling.py").write_text(STUMBLES)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stumbling\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[pipeline_core]\nstumbling = stumbling\n")
    file.write_text(
        file.read_text().replace("{op: flop, inputs: {image: padded}", "{op: stumbles, inputs: {image: padded}")
    )
    return {"PYTHONPATH": str(site)}


def test_after_a_failure_the_next_run_starts_there(
    file: Path, cache: Path, command: Command, stumbling: dict[str, str]
) -> None:
    asked = ("run", file, "--cache", cache, "--device", "cpu", "--jobs", 1, "--only", "card")
    failed = command(*asked, STUMBLE="fail", **stumbling)
    assert failed.returncode == 1
    assert "on purpose" in failed.stderr
    kept = failed.stderr.partition("the next run starts there: ")[2].strip()
    assert kept.split(", ") == ["photo", "cut", "turned", "quarter", "padded"]
    done = command(*asked, **stumbling)
    assert done.returncode == 0, done.stderr
    assert "4 computed, 5 cached" in done.stdout


def test_after_ctrl_c_the_next_run_starts_there(
    file: Path, cache: Path, command: Command, stumbling: dict[str, str]
) -> None:
    asked = ("run", file, "--cache", cache, "--device", "cpu", "--jobs", 1, "--only", "card")
    program = [str(Path(sys.executable).with_name("pipeline")), *map(str, asked), "--json"]
    environment = {**os.environ, **stumbling, "STUMBLE": "hang"}
    hung = subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert hung.stdout is not None
        while '"Started", "node": "mirrored"' not in hung.stdout.readline():
            assert hung.poll() is None
        time.sleep(0.1)
        hung.send_signal(signal.SIGINT)
        _, said = hung.communicate(timeout=20)
    finally:
        hung.kill()
        hung.wait()
    assert hung.returncode == 130
    assert "kept so far, so that the next run starts there: photo, cut, turned, quarter, padded" in said
    assert "4 computed, 5 cached" in command(*asked, **stumbling).stdout


def test_a_result_that_cannot_be_read_is_computed_once_more_and_not_looked_for_again(
    file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record stays, since perhaps only we can't read the blob."""
    from pipeline_core.cache import blob

    first = run(file, cache)

    def unreadable(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(blob, "read", unreadable)
    again = run(file, cache)
    assert again.computed >= {"across", "beside"}
    assert any("can't be read" in message for message in again.warned)
    for name, value in first.outputs.items():
        assert np.array_equal(again.outputs[name], value)

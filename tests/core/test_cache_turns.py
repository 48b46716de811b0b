"""Of several runs that miss one key at the same moment one computes it; nobody waits for the dead or for ever."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline_core import Image, Pipeline
from pipeline_core.api import run_graph
from pipeline_core.cache import Cache, turns
from pipeline_core.cache.turns import Turns


@pytest.mark.parametrize("fails", [False, True])
def test_runs_that_start_together_compute_a_node_once(tmp_path: Path, fails: bool) -> None:
    calls: list[float] = []

    def slow(*, seed: int) -> Image:
        """Takes its time."""
        calls.append(time.perf_counter())
        time.sleep(0.3)
        if fails and len(calls) == 1:
            raise RuntimeError("no luck")
        return Image(np.full((1, 4, 4, 3), seed, np.float32))

    def work() -> None:
        together.wait()
        with Cache.open(tmp_path, memory=0) as cache:
            found = run_graph(graph, cache=cache, keep_going=True)
        outcomes.append(found.outputs["slow"].buffer.max() if found.outputs else None)

    made = Pipeline()
    made.output("slow", made.node("slow", slow, seed=1))
    graph = made.graph()  # once: what a local function closes over is part of its key
    outcomes: list[float | None] = []
    together = threading.Barrier(3)
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 + fails  # after a failure the next one tries
    assert sorted(map(str, outcomes)) == (["1.0", "1.0", "None"] if fails else ["1.0", "1.0", "1.0"])
    assert list((tmp_path / "v1" / "blobs" / "tmp").iterdir()) == []


def test_two_nodes_of_one_key_are_computed_once(tmp_path: Path) -> None:
    calls = []

    def counted(*, seed: int) -> Image:
        """Counts."""
        calls.append(seed)
        return Image(np.full((1, 4, 4, 3), seed, np.float32))

    made = Pipeline()
    for name in ("a", "b"):
        made.output(name, made.node(f"node-{name}", counted, seed=1))
    graph = made.graph()
    for jobs in (1, 2):
        calls.clear()
        with Cache.open(tmp_path / str(jobs), memory=0) as cache:
            outputs = run_graph(graph, cache=cache, jobs=jobs).outputs
        assert len(calls) == 1
        assert np.array_equal(outputs["a"].buffer, outputs["b"].buffer)


def test_a_turn_goes_with_its_process(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        Turns(tmp_path).take("key")
        os.write(writing, b"!")
        time.sleep(60)
        os._exit(1)
    os.read(reading, 1)
    began = time.monotonic()
    os.kill(child, signal.SIGKILL)
    turn = Turns(tmp_path).take("key")
    assert time.monotonic() - began < 5
    os.waitpid(child, 0)
    assert list(tmp_path.iterdir()) != []
    turn.end()
    assert list(tmp_path.iterdir()) == []


def test_who_is_cancelled_or_out_of_patience_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Turns(tmp_path).take("key")
    Turns(tmp_path).take("key", lambda: True)
    Turns(tmp_path).take("another").end()
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 0.05)
    Turns(tmp_path).take("key").end()
    assert [path.name for path in tmp_path.iterdir()] == ["turn-key"]  # it still is the first one's
    held.end()


def test_where_nothing_can_be_written_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    Turns(tmp_path / "file" / "in it").take("key").end()

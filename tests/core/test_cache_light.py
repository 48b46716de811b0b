"""Notes (stamps, history), totals, and what may be imported for them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline_core.cache import Cache, read_stamp
from pipeline_core.cache.record import index_path
from pipeline_core.cache.writer import Writer
from pipeline_core.image import Table

HEAVY = ("numpy", "torch", "cv2", "networkx", "pydantic", "platformdirs")


def run(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_stamp_is_read_without_numpy_or_torch(tmp_path: Path) -> None:
    with Cache.open(tmp_path) as cache:
        cache.put_stamp("pipeline", {"outputs": {"card": ["out/card.png", "digest"]}})
    code = (
        "import sys; from pathlib import Path; from pipeline_core.cache.record import read_stamp\n"
        "print(read_stamp(Path(sys.argv[1]), 'pipeline'))\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert run(code, tmp_path).splitlines() == ["{'outputs': {'card': ['out/card.png', 'digest']}}", "[]"]


def test_finding_records_does_not_import_numpy(tmp_path: Path) -> None:
    with Cache.open(tmp_path, memory=0) as cache:
        cache.store(key="k", operation_key="o", values=(Table(("x",), ()),), seconds=1, recompute_seconds=1)
    code = (
        "import sys; from pathlib import Path; from pipeline_core.cache import Cache\n"
        "cache = Cache.open(Path(sys.argv[1]))\n"
        "with cache.claim(['k']): print(cache.find('k').key, cache.may_cut_off('o'), cache.stamp('s'))\n"
        "cache.close()\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert run(code, tmp_path).splitlines() == ["k False None", "[]"]


def test_a_stamp_in_doubt_is_none(tmp_path: Path) -> None:
    assert read_stamp(tmp_path / "nowhere", "s") is None
    with Cache.open(tmp_path) as cache:
        cache.put_stamp("s", {"a": 1})
        cache.put_stamp("s", {"a": 2})
        assert cache.stamp("s") == read_stamp(tmp_path, "s") == {"a": 2}
        assert cache.stamp("t") is read_stamp(tmp_path, "t") is None
        assert cache._disk is not None
        cache._disk.index.ask(lambda c: c.execute("UPDATE notes SET contents = X'7B7D'"), None, write=True)
        assert cache.stamp("s") is read_stamp(tmp_path, "s") is None
    content = index_path(tmp_path).read_bytes()
    for damaged in (b"", b"x" * 9000, content[: len(content) // 2]):
        index_path(tmp_path).write_bytes(damaged)
        assert read_stamp(tmp_path, "s") is None
    index_path(tmp_path).unlink()
    index_path(tmp_path).mkdir()
    assert read_stamp(tmp_path, "s") is None


def test_history_is_per_pipeline_and_node(tmp_path: Path) -> None:
    with Cache.open(tmp_path) as cache:
        cache.note_history("p", {"a": {"params": {"radius": 3}}, "b": {}})
        cache.note_history("p", {"b": {"x": 1}})
    with Cache.open(tmp_path) as cache:
        assert cache.history("p", "a") == {"params": {"radius": 3}}
        assert cache.history("p", "b") == {"x": 1}
        assert cache.history("q", "a") is None
        assert cache.history("p", "c") is None


def test_looking_makes_no_index(tmp_path: Path) -> None:
    with Cache.open(tmp_path / "cache") as cache:
        assert cache.find("k") is None
        assert cache.history("p", "a") is None
        assert cache.info().entries == 0
    assert not (tmp_path / "cache").exists()


def test_what_is_recalled_is_noted_once_in_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def noted() -> float:
        used: float = sqlite3.connect(index_path(tmp_path)).execute("SELECT used FROM records").fetchone()[0]
        return used

    with Cache.open(tmp_path, memory=0) as cache:
        cache.store(
            key="k", operation_key="o", values=(Table(("x",), ()),), seconds=2, recompute_seconds=5, policy="always"
        )
    stored, now = noted(), time.time()
    for later, seen in ((60, stored), (7200, now + 7200)):
        monkeypatch.setattr("pipeline_core.cache.index.time.time", lambda later=later: now + later)
        with Cache.open(tmp_path, memory=0) as cache:
            assert cache.recall(["k", "unknown"]) == (1, 5.0)
        assert noted() == seen


def test_totals_add_up_over_sessions(tmp_path: Path) -> None:
    for session in range(3):
        with Cache.open(tmp_path, memory=0) as cache:
            if session == 0:
                cache.store(
                    key="k", operation_key="o", values=(Table(("x",), ()),), seconds=2, recompute_seconds=5,
                    parts={"operation": "table"},
                )  # fmt: skip
            else:
                found = cache.find("k")
                assert found is not None
                assert cache.load(found) is not None
                assert cache.session.hits == 1
                assert cache.session.nbytes == found.nbytes
                assert cache.session.seconds_saved == 2
            info = cache.info()
    assert (info.hits, info.misses, info.seconds_saved) == (2, 1, 4.0)
    assert info.hit_rate == pytest.approx(2 / 3)
    assert info.by_operation == {"table": (1, info.nbytes, 2.0)}
    assert info.limit == 20 << 30


def test_the_writer_waits_when_too_much_is_in_flight() -> None:
    writer = Writer(limit=100)
    gate, order = threading.Event(), []
    writer.submit(gate.wait, 60)
    waiting = threading.Thread(target=lambda: order.append(writer.submit(lambda: "second", 60)))
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    gate.set()
    waiting.join(5)
    assert order[0].result(5) == "second"
    assert writer.submit(lambda: "alone", 10**9).result(5) == "alone"
    writer.close()
    with pytest.raises(RuntimeError):
        writer.submit(lambda: None, 0)


def test_no_folder_is_no_cache() -> None:
    with Cache.open(None, memory=0) as cache:
        assert not cache.store(key="k", operation_key="o", values=(Table((), ()),), seconds=1, recompute_seconds=1)
        assert cache.find("k") is None
        with cache.claim(["k"]):
            assert cache.stamp("s") is None
        assert cache.info().entries == cache.prune().entries == cache.clear().entries == cache.verify().entries == 0


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pipeline_core.cache import default_folder

    monkeypatch.setenv("PIPELINE_CACHE", os.fspath(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("PIPELINE_CACHE")
    assert default_folder().name == "pipeline-core"

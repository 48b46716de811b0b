"""The disk tier under attack: whatever is done to the folder, a hit is what was stored, and doubt is a miss."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_core.cache import Cache, Record, connections, read_stamp, record
from pipeline_core.cache.collect import GRACE_SECONDS, sweep_temporaries
from pipeline_core.cache.index import Index
from pipeline_core.cache.temporary import Temporary
from pipeline_core.image import Image

SIZES = {"read": 16, "mapped": 400}


def may_read_anything() -> bool:
    with tempfile.NamedTemporaryFile() as file:
        os.chmod(file.name, 0)
        return os.access(file.name, os.R_OK)


IS_ROOT = may_read_anything()


def image(seed: int, size: int = 16) -> Image:
    return Image(np.random.default_rng(seed).random((1, size, size, 3), np.float32))


def pixels(loaded: tuple[Any, ...] | None) -> bytes | None:
    return None if loaded is None else loaded[0].buffer.tobytes()


def put(cache: Cache, key: str, value: Any, **fields: Any) -> None:
    fields = {"operation_key": "op", "seconds": 2.0, "recompute_seconds": 3.0, "parts": {"operation": "blur"}} | fields
    cache.store(key=key, values=(value,), policy="always", node=f"node-{key}", **fields)


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, warnings: list[str]) -> Iterator[Cache]:
    with Cache.open(tmp_path / "cache", memory=0, warn=warnings.append) as opened:
        yield opened


def again(cache: Cache, warnings: list[str]) -> Cache:
    """As the next process would open it."""
    cache.close()
    return Cache.open(cache._disk.folder, memory=0, warn=warnings.append)  # type: ignore[union-attr]


def blob_path(cache: Cache, key: str) -> Path:
    found = cache.find(key)
    assert found is not None
    return cache._disk.path(found.outputs[0].blob)  # type: ignore[union-attr]


def edit_index(cache: Cache, statement: str, *values: Any) -> None:
    connection = sqlite3.connect(record.index_path(cache._disk.folder))  # type: ignore[union-attr]
    with connection:
        assert connection.execute(statement, values).rowcount == 1
    connection.close()


# --- what it is for -------------------------------------------------------------------------------------------------


def test_a_result_is_found_by_the_next_process(cache: Cache, warnings: list[str]) -> None:
    put(cache, "k", image(1), content_key="c", parts={"operation": "blur", "params": {"radius": 3}})
    with again(cache, warnings) as other:
        found = other.find("k")
        assert found is not None
        assert (found.key, found.content_key, found.operation_key, found.seconds) == ("k", "c", "op", 2.0)
        assert found.recompute_seconds == 3.0
        assert found.parts == {"operation": "blur", "params": {"radius": 3}}
        assert found.digests == other.digests((image(1),))
        assert pixels(other.load(found)) == image(1).buffer.tobytes()
        assert other.find("other") is None
    assert warnings == []


def test_many_keys_in_one_look(cache: Cache) -> None:
    for number in range(40):
        put(cache, f"k{number}", image(number, 4))
    cache.flush()
    found = cache.find_many([f"k{number}" for number in range(0, 4000, 2)])
    assert sorted(found) == sorted(f"k{number}" for number in range(0, 40, 2))
    assert all(entry.key == key for key, entry in found.items())


def test_several_outputs_and_one_blob_for_one_content(cache: Cache) -> None:
    cache.store(
        key="a", operation_key="op", values=(image(1), image(2)), seconds=1, recompute_seconds=1, policy="always"
    )
    put(cache, "b", image(2))
    cache.flush()
    found = cache.find_many(["a", "b"])
    assert found["a"].digests[1] == found["b"].digests[0]
    assert len([path for path in cache._disk.blobs.rglob("*") if path.is_file()]) == 2  # type: ignore[union-attr]
    loaded = cache.load(found["a"])
    assert loaded is not None
    assert [value.buffer.tobytes() for value in loaded] == [image(1).buffer.tobytes(), image(2).buffer.tobytes()]


def test_early_cut_off(cache: Cache, warnings: list[str]) -> None:
    assert not cache.may_cut_off("op")
    put(cache, "k", image(1), content_key=lambda: "content")
    cache.flush()
    assert cache.may_cut_off("op")
    assert not cache.may_cut_off("other op")
    assert cache.find_content("other content") is None
    found = cache.find_content("content")
    assert found is not None
    cache.remember("by another way", found, parts={"operation": "blur", "note": "x"})
    with again(cache, warnings) as other:
        same = other.find("by another way")
        assert same is not None
        assert same.outputs == found.outputs
        assert same.parts["note"] == "x"
        assert pixels(other.load(same)) == image(1).buffer.tobytes()
        assert other.find("k") is not None


def test_digests_behind_the_computation(cache: Cache) -> None:
    digests = cache.digests_later((image(1),))
    put(cache, "k", image(1), digests=digests, content_key=lambda: str(digests.result()))
    cache.flush()
    assert digests.result() == cache.digests((image(1),))
    found = cache.find("k")
    assert found is not None
    assert found.digests == digests.result()
    assert found.content_key == str(digests.result())


def test_auto_weighs_seconds_against_bytes(cache: Cache) -> None:
    big = image(1, 1000)  # 12 MB
    cheap = {"key": "cheap", "operation_key": "op", "values": (big,), "seconds": 0.001, "recompute_seconds": 0.001}
    assert not cache.store(**cheap)
    assert cache.store(**{**cheap, "key": "dear", "recompute_seconds": 30.0})
    assert cache.store(**{**cheap, "key": "asked for", "policy": "always"})
    assert not cache.store(**{**cheap, "key": "refused", "recompute_seconds": 30.0, "policy": "never"})
    assert cache.store(**{**cheap, "key": "small", "values": (image(1),)})
    cache.flush()
    assert sorted(cache.find_many(["cheap", "dear", "asked for", "refused", "small"])) == ["asked for", "dear", "small"]
    assert cache._disk.index.note("fact", "seconds per byte") > 0  # type: ignore[union-attr]


def test_the_folder_may_move(cache: Cache, warnings: list[str], tmp_path: Path) -> None:
    put(cache, "k", image(1))
    cache.close()
    shutil.move(tmp_path / "cache", tmp_path / "elsewhere")
    with Cache.open(tmp_path / "elsewhere", memory=0, warn=warnings.append) as other:
        found = other.find("k")
        assert found is not None
        assert pixels(other.load(found)) == image(1).buffer.tobytes()


# --- damage ---------------------------------------------------------------------------------------------------------


def truncate(share: float) -> Callable[[Cache, Path], None]:
    return lambda cache, path: os.truncate(path, int(path.stat().st_size * share))


def flip(place: Callable[[int], int]) -> Callable[[Cache, Path], None]:
    def damage(cache: Cache, path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place(len(content))] ^= 0x10
        path.write_bytes(content)

    return damage


def zero_tail(cache: Cache, path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-512] + bytes(512))


def swap(cache: Cache, path: Path) -> None:
    other, spare = blob_path(cache, "other"), path.with_name("spare")
    path.rename(spare)
    other.rename(path)
    spare.rename(other)


def foreign_row(cache: Cache, path: Path) -> None:
    edit_index(
        cache,
        "UPDATE records SET (contents, checksum) = (SELECT contents, checksum FROM records WHERE key = 'other') "
        "WHERE key = 'k'",
    )


def older_format(cache: Cache, path: Path) -> None:
    found = cache.find("k")
    assert found is not None
    now, record.FORMAT = record.FORMAT, 0
    checksum = record.row_checksum("record", "k", found.contents())
    record.FORMAT = now
    assert checksum != record.row_checksum("record", "k", found.contents())
    edit_index(cache, "UPDATE records SET checksum = ? WHERE key = 'k'", checksum)


def directory(cache: Cache, path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


def dangling_link(cache: Cache, path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nothing"))


def link_outside(cache: Cache, path: Path) -> None:
    outside = cache._disk.folder.parent / "outside"  # type: ignore[union-attr]
    path.rename(outside)
    path.symlink_to(outside)


def row_bit(cache: Cache, path: Path) -> None:
    connection = sqlite3.connect(record.index_path(cache._disk.folder))  # type: ignore[union-attr]
    contents = bytearray(connection.execute("SELECT contents FROM records WHERE key = 'k'").fetchone()[0])
    connection.close()
    contents[len(contents) // 2] ^= 1
    edit_index(cache, "UPDATE records SET contents = ? WHERE key = 'k'", bytes(contents))


DAMAGE: dict[str, Callable[[Cache, Path], None]] = {
    "empty": truncate(0),
    "truncated to 1 %": truncate(0.01),
    "truncated to half": truncate(0.5),
    "truncated to 99 %": truncate(0.99),
    "zero tail": zero_tail,
    "bit in the header": flip(lambda size: 20),
    "bit in the payload": flip(lambda size: size - 100),
    "bit in the index": row_bit,
    "payloads swapped": swap,
    "foreign key": foreign_row,
    "older format": older_format,
    "mode 000": lambda cache, path: path.chmod(0),
    "directory in its place": directory,
    "dangling link": dangling_link,
    "link outside": link_outside,
    "missing": lambda cache, path: path.unlink(),
}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_a_miss_with_one_warning_and_heals(cache: Cache, warnings: list[str], kind: str, size: int) -> None:
    put(cache, "k", image(1, size))
    put(cache, "other", image(2, size))
    cache.flush()
    DAMAGE[kind](cache, blob_path(cache, "k"))
    readable = kind == "mode 000" and IS_ROOT
    with again(cache, warnings) as other:
        found = other.find_many({"k": "node-k"}).get("k")
        loaded = other.load(found, "node-k") if found else None
        assert pixels(loaded) == (image(1, size).buffer.tobytes() if readable else None)
        assert len(warnings) == (0 if readable else 1)
        assert all("'node-k'" in warning and "entry k" in warning for warning in warnings)
        put(other, "k", image(1, size))
        put(other, "other", image(2, size))
        other.flush()
        warnings.clear()
        for key, seed in (("k", 1), ("other", 2)):
            found = other.find(key)
            if found is None or (loaded := other.load(found)) is None:  # the other one of a swapped pair
                put(other, key, image(seed, size))
                other.flush()
                loaded = other.load(other.find(key))  # type: ignore[arg-type]
            assert pixels(loaded) == image(seed, size).buffer.tobytes()
        assert len(warnings) <= (1 if kind == "payloads swapped" else 0)


def test_damage_to_a_shared_blob_is_said_once(cache: Cache, warnings: list[str]) -> None:
    for key in ("a", "b", "c"):
        put(cache, key, image(1))
    cache.flush()
    blob_path(cache, "a").write_bytes(b"")
    assert cache.find_many({"a": "A", "b": "B", "c": "C"}) == {}
    assert cache.find("b") is None
    assert len(warnings) == 1


def test_verify_reads_everything_and_forgets_what_is_damaged(cache: Cache, warnings: list[str]) -> None:
    for number in range(4):
        put(cache, f"k{number}", image(number))
    cache.flush()
    flip(lambda size: size - 5)(cache, blob_path(cache, "k2"))
    steps: list[tuple[int, int]] = []
    verified = cache.verify(lambda done, total: steps.append((done, total)))
    assert verified.damaged == ("k2",)
    assert verified.entries == 4
    assert steps[-1] == (4, 4)
    assert sorted(cache.find_many(["k0", "k1", "k2", "k3"])) == ["k0", "k1", "k3"]
    assert cache.verify().damaged == ()


def index_attacks() -> dict[str, Callable[[Path], object]]:
    def directory_instead(path: Path) -> None:
        path.unlink()
        path.mkdir()

    return {
        "empty": lambda path: path.write_bytes(b""),
        "not a database": lambda path: path.write_bytes(b"hello" * 5000),
        "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
        "truncated oddly": lambda path: os.truncate(path, 5001),
        "directory": directory_instead,
        "dangling link": lambda path: (path.unlink(), path.symlink_to("nowhere/at all")),
        "mode 000": lambda path: path.chmod(0),
        "folder is a file": lambda path: (shutil.rmtree(path.parent), path.parent.write_text("x")),
        "another database": lambda path: (path.unlink(), sqlite3.connect(path).executescript("CREATE TABLE t (x)")),
    }


@pytest.mark.parametrize("attack", index_attacks())
def test_a_broken_index_costs_entries_and_nothing_else(cache: Cache, warnings: list[str], attack: str) -> None:
    for number in range(30):
        put(cache, f"k{number}", image(number, 8))
    cache.close()
    index_attacks()[attack](record.index_path(cache._disk.folder))  # type: ignore[union-attr]
    with again(cache, warnings) as other:
        for number in range(30):
            if (found := other.find(f"k{number}")) is not None:
                assert pixels(other.load(found)) == image(number, 8).buffer.tobytes()
        assert len(warnings) <= 1
        put(other, "new", image(99))
        other.flush()
        found = other.find("new")
        assert found is not None, warnings
        assert pixels(other.load(found)) == image(99).buffer.tobytes()
    assert len(warnings) <= 1


@pytest.mark.parametrize("suffix", ["", "-wal"], ids=["database", "log"])
def test_any_byte_of_the_index_flipped(cache: Cache, warnings: list[str], tmp_path: Path, suffix: str) -> None:
    for number in range(20):
        put(cache, f"k{number}", image(number, 4), content_key=f"c{number}")
    cache.flush()
    saved = tmp_path / "saved"
    shutil.copytree(cache._disk.folder, saved)  # type: ignore[union-attr]
    cache.close()
    source = saved / "v1" / "index" / f"records.sqlite{suffix}"
    if not suffix:
        sqlite3.connect(source).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
    random = np.random.default_rng(len(suffix))
    original = source.read_bytes()
    served = 0
    places = [16, 18, 24, 28, 40, 60, 100, 101, 103, 105, *random.integers(0, len(original), 40).tolist()]
    for place in places:
        folder = tmp_path / "trial"
        shutil.copytree(saved, folder)
        content = bytearray(original)
        content[place] ^= 1 << int(random.integers(8))
        (folder / "v1" / "index" / source.name).write_bytes(content)
        warnings.clear()
        with Cache.open(folder, memory=0, warn=warnings.append) as trial:
            found = trial.find_many([f"k{number}" for number in range(20)])
            served += len(found)
            for key, entry in found.items():
                assert pixels(trial.load(entry)) == image(int(key[1:]), 4).buffer.tobytes(), place
            for number in range(20):
                if (by_content := trial.find_content(f"c{number}")) is not None:
                    assert pixels(trial.load(by_content)) == image(number, 4).buffer.tobytes(), place
            put(trial, "new", image(99, 4))
            trial.flush()
            if (new := trial.find("new")) is not None:
                assert pixels(trial.load(new)) == image(99, 4).buffer.tobytes()
            trial.info()
            trial.prune(to=0)
        assert len(set(warnings)) == len(warnings) <= 21
        shutil.rmtree(folder)
    assert served > 5 * len(places)  # the harness is void where nothing is served


# --- connections that are kept --------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="an open file can't be deleted there")
def test_a_run_after_another_opens_nothing(
    cache: Cache, warnings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache, "a", image(0))
    cache.close()
    connect, opened = sqlite3.connect, []
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: opened.append(a) or connect(*a, **k))
    with Cache.open(tmp_path / "cache", memory=0, warn=warnings.append) as second:
        assert second.find("a") is not None
        with Cache.open(tmp_path / "cache", memory=0, warn=warnings.append) as third:  # at once: one of its own
            assert third.find("a") is not None
    assert len(opened) == 1
    (log,) = (tmp_path / "cache" / "v1" / "index").glob("*-wal")
    size = log.stat().st_size
    assert size > 0
    assert read_stamp(tmp_path / "cache", "none") is None
    assert log.stat().st_size == size  # reading does not make it be written out


@pytest.mark.skipif(os.name == "nt", reason="an open file can't be deleted there")
def test_a_connection_is_not_kept_longer_than_its_file(cache: Cache, warnings: list[str], tmp_path: Path) -> None:
    put(cache, "a", image(0))
    cache.close()
    shutil.rmtree(tmp_path / "cache")
    with Cache.open(tmp_path / "cache", memory=0, warn=warnings.append) as second:
        assert second.find("a") is None
        put(second, "b", image(1))
        second.flush()
        os.rename(tmp_path / "cache" / "v1" / "index", tmp_path / "cache" / "v1" / "index.aside")
        with Cache.open(tmp_path / "cache", memory=0, warn=warnings.append) as third:
            put(third, "c", image(2))
    with Cache.open(tmp_path / "cache", memory=0, warn=warnings.append) as fourth:
        assert fourth.find("b") is None
        assert pixels(fourth.load(fourth.find("c"))) == image(2).buffer.tobytes()  # type: ignore[arg-type]
    assert warnings == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_no_connection_crosses_a_fork(cache: Cache, warnings: list[str], tmp_path: Path) -> None:
    put(cache, "a", image(0))
    cache.close()
    assert connections._kept
    child = os.fork()
    if child == 0:
        with Cache.open(tmp_path / "cache", memory=0) as own:
            os._exit(0 if own.find("a") is not None and not connections._kept else 1)
    assert connections._kept == []
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with Cache.open(tmp_path / "cache", memory=0, warn=warnings.append) as again:
        assert again.find("a") is not None


def test_few_connections_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_kept", kept := [])
    for number in range(2 * connections.MOST):
        with Cache.open(tmp_path / str(number), memory=0) as opened:
            put(opened, "a", image(0))
    assert len(kept) == (0 if os.name == "nt" else connections.MOST)
    for each in kept:
        each.connection.close()


# --- a folder that can't be written ---------------------------------------------------------------------------------


def test_a_full_disk_costs_one_warning(cache: Cache, warnings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache, "before", image(0))
    cache.flush()

    def full(file: int, parts: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "writev", full)
    for number in range(5):
        put(cache, f"k{number}", image(number + 1))
    cache.flush()
    monkeypatch.undo()
    assert len(warnings) == 1
    assert "No space left on device" in warnings[0]
    assert cache.find("k0") is None
    assert list((cache._disk.blobs / "tmp").iterdir()) == []  # type: ignore[union-attr]
    assert pixels(cache.load(cache.find("before"))) == image(0).buffer.tobytes()  # type: ignore[arg-type]


@pytest.mark.skipif(IS_ROOT, reason="permissions do not bind root")
def test_a_folder_that_is_read_only_is_read(cache: Cache, warnings: list[str]) -> None:
    put(cache, "k", image(1))
    cache.close()
    folders = [path for path in cache._disk.folder.rglob("*") if path.is_dir()]  # type: ignore[union-attr]
    for folder in folders:
        folder.chmod(0o555)
    try:
        with again(cache, warnings) as other:
            assert pixels(other.load(other.find("k"))) == image(1).buffer.tobytes()  # type: ignore[arg-type]
            put(other, "new", image(2))
        assert len(warnings) == 1
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.mark.parametrize("place", ["file", "under a file", "device"])
def test_a_folder_that_can_not_be_is_no_cache(tmp_path: Path, warnings: list[str], place: str) -> None:
    (tmp_path / "file").write_text("x")
    folder = {"file": tmp_path / "file", "under a file": tmp_path / "file" / "x", "device": Path("/proc/nothing")}
    with Cache.open(folder[place], memory=0, warn=warnings.append) as cache:
        put(cache, "k", image(1))
        cache.flush()
        assert cache.find("k") is None
        assert cache.stamp("s") is None
        cache.put_stamp("s", {})
        with cache.claim(["k"]):
            assert cache.find_many(["k"]) == {}
        assert cache.info().entries == 0
        cache.prune()
    assert len(warnings) == 1


# --- values that somebody writes to ---------------------------------------------------------------------------------


def test_a_value_written_to_before_it_is_stored_is_not_kept(cache: Cache, warnings: list[str]) -> None:
    kept = image(1, 64)
    gate = cache._storing.submit(lambda: time.sleep(0.2), 0)
    put(cache, "k", kept)
    kept.buffer[0, 0, 0, 0] += 1
    gate.result()
    cache.flush()
    assert cache.find("k") is None
    assert len(warnings) == 1
    assert "node-k" in warnings[0]
    assert [path for path in cache._disk.blobs.rglob("*") if path.is_file()] == []  # type: ignore[union-attr]


def test_a_loaded_value_written_to_harms_nobody(cache: Cache, warnings: list[str]) -> None:
    for size in SIZES.values():
        put(cache, f"k{size}", image(1, size))
        cache.flush()
        found = cache.find(f"k{size}")
        assert found is not None
        first = cache.load(found)
        assert first is not None
        first[0].buffer[:] = -1
        assert pixels(cache.load(found)) == image(1, size).buffer.tobytes()
    assert warnings == []


# --- collection -----------------------------------------------------------------------------------------------------


def test_eviction_forgets_first_what_is_cheap_per_byte_and_old(cache: Cache) -> None:
    put(cache, "cheap", image(1), recompute_seconds=0.01)
    put(cache, "dear", image(2), recompute_seconds=100.0)
    put(cache, "big", image(3, 64), recompute_seconds=0.02)
    put(cache, "old", image(4), recompute_seconds=100.0)
    cache.flush()
    edit_index(cache, "UPDATE records SET used = used - 864000 WHERE key = 'old'")
    keys = ["cheap", "dear", "big", "old"]
    sizes = {key: found.nbytes for key, found in cache.find_many(keys).items()}
    left = sum(sizes.values())
    for gone in ("big", "cheap", "old", "dear"):
        left -= sizes[gone]
        collected = cache.prune(to=left)
        assert collected.bytes_left == left == cache.info().nbytes
        keys.remove(gone)
        assert sorted(cache.find_many(["cheap", "dear", "big", "old"])) == sorted(keys)


def test_a_limit_is_kept_and_remembered(tmp_path: Path, warnings: list[str]) -> None:
    one = 64 * 64 * 3 * 4
    with Cache.open(tmp_path, limit=5 * one, memory=0, warn=warnings.append) as cache:
        for number in range(12):
            put(cache, f"k{number}", image(number, 64))
            cache.flush()
            held = sum(path.stat().st_size for path in cache._disk.blobs.rglob("*") if path.is_file())  # type: ignore[union-attr]
            assert held == cache.info().nbytes <= 6 * one
        assert 3 <= cache.info().entries <= 5
    with Cache.open(tmp_path, memory=0) as other:
        assert other.limit == 5 * one
    assert warnings == []


def test_older_than(cache: Cache) -> None:
    put(cache, "old", image(1))
    put(cache, "new", image(2))
    cache.flush()
    edit_index(cache, "UPDATE records SET used = used - 7200 WHERE key = 'old'")
    assert cache.prune(older=3600).entries == 1
    assert list(cache.find_many(["old", "new"])) == ["new"]


def test_use_makes_young(cache: Cache, warnings: list[str]) -> None:
    put(cache, "k", image(1))
    cache.flush()
    edit_index(cache, "UPDATE records SET used = used - 7200 WHERE key = 'k'")
    assert cache.load(cache.find("k")) is not None  # type: ignore[arg-type]
    assert cache.prune(older=3600).entries == 0


def test_what_is_claimed_stays(cache: Cache, warnings: list[str]) -> None:
    put(cache, "claimed", image(1))
    put(cache, "free", image(2))
    cache.flush()
    with Cache.open(cache._disk.folder, memory=0) as other:  # type: ignore[union-attr]
        with cache.claim(["claimed", "yet to come"]):
            assert other.prune(to=0).entries == 1
            put(cache, "yet to come", image(3))
            cache.flush()
            assert other.prune(to=0).entries == 0
            assert sorted(other.find_many(["claimed", "free", "yet to come"])) == ["claimed", "yet to come"]
        assert other.prune(to=0).entries == 2
    assert warnings == []


def test_a_new_index_is_made_beside_the_work(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is empty meanwhile, and nobody waits to hear that."""
    real, made = Index._open, threading.Event()
    monkeypatch.setattr(Index, "_open", lambda self: (made.wait(10), real(self))[1])
    with cache.claim(["k"]):
        assert cache.find_many(["k"]) == {}
        made.set()
        put(cache, "k", image(1))
        cache.flush()
        assert cache.prune(to=0).entries == 0
    assert cache.find("k")
    assert cache.prune(to=0).entries == 1


def test_where_others_computed_before_a_new_index_is_waited_for(
    cache: Cache, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may have stored what is about to be computed; who is the first of all need not wait."""
    real, slow = Index._open, [0.3]
    monkeypatch.setattr(Index, "_open", lambda self: (time.sleep(slow[0]), real(self))[1])
    folder = cache._disk.folder  # type: ignore[union-attr]
    with cache.claim(["k"]):
        begun = time.monotonic()
        cache.take_turn("k").end()
        assert time.monotonic() - begun < 0.2
        cache.take_turn("other").end()
        assert time.monotonic() - begun > 0.2
    shutil.rmtree(folder / "v1" / "index")
    slow[0] = 0.0
    with Cache.open(folder, memory=0, warn=warnings.append) as late, Cache.open(folder, memory=0) as early:
        slow[0] = 0.3
        with late.claim(["k"]):
            slow[0] = 0.0
            put(early, "k", image(1))
            early.flush()
            late.take_turn("k").end()
            assert late.find("k")


def test_the_claim_of_a_dead_process_runs_out(cache: Cache) -> None:
    put(cache, "k", image(1))
    cache.flush()
    script = (
        "import os, sys; from pathlib import Path; from pipeline_core.cache import Cache\n"
        "with Cache.open(Path(sys.argv[1])).claim(['k']): os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, cache._disk.folder], check=True)  # type: ignore[union-attr]
    assert cache.prune(to=0).entries == 0
    edit_index(cache, "UPDATE leases SET expires = expires - 300")
    assert cache.prune(to=0).entries == 1


def test_a_claim_is_renewed_while_it_is_held(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline_core.cache.lease.LEASE_SECONDS", 0.2)
    put(cache, "k", image(1))
    cache.flush()
    with cache.claim(["k"]):
        edit_index(cache, "UPDATE leases SET expires = 0")
        time.sleep(0.3)
        assert cache.prune(to=0).entries == 0


def test_blobs_that_nobody_knows_go_after_a_grace_period(cache: Cache) -> None:
    put(cache, "k", image(1))
    cache.flush()
    path = blob_path(cache, "k")
    young, old = path.with_name("a" * 64), path.with_name("b" * 64)
    for orphan in (young, old):
        orphan.write_bytes(b"x")
    os.utime(old, (1, time.time() - GRACE_SECONDS - 1))
    cache.prune()
    assert young.exists()
    assert not old.exists()
    assert cache.load(cache.find("k")) is not None  # type: ignore[arg-type]


def test_a_blob_collected_behind_a_stores_back_is_written_again(
    cache: Cache, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache, "a", image(1))
    cache.flush()
    index = cache._disk.index  # type: ignore[union-attr]
    insert = index.insert

    def collected_just_before(entry: Record) -> bool:
        monkeypatch.setattr(index, "insert", insert)
        with Cache.open(cache._disk.folder, memory=0) as other:  # type: ignore[union-attr]
            assert other.prune(to=0).entries == 1
        return insert(entry)

    monkeypatch.setattr(index, "insert", collected_just_before)
    put(cache, "b", image(1))
    cache.flush()
    assert pixels(cache.load(cache.find("b"))) == image(1).buffer.tobytes()  # type: ignore[arg-type]
    assert warnings == []


def test_clear(cache: Cache) -> None:
    put(cache, "k", image(1))
    cache.flush()
    with cache.claim(["k"]):
        assert cache.clear().entries == 1
    assert cache.find("k") is None
    assert cache.info().nbytes == 0
    assert [path for path in cache._disk.blobs.rglob("*") if path.is_file()] == []  # type: ignore[union-attr]


# --- several processes ----------------------------------------------------------------------------------------------

WORKER = """
import random, sys, time
from pathlib import Path
import numpy as np
from pipeline_core.cache import Cache
from pipeline_core.image import Image

def image(number):
    return Image(np.random.default_rng(number).random((1, 64, 64, 3), np.float32))

folder, seed, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
wrong = computed = 0
warnings = []
with Cache.open(folder, limit=int(sys.argv[4]), memory=0, warn=warnings.append) as cache:
    for _ in range(rounds):
        numbers = random.sample(range(12), 4)
        with cache.claim([f"k{n}" for n in numbers]):
            found = cache.find_many([f"k{n}" for n in numbers])
            for n in numbers:
                record = found.get(f"k{n}")
                loaded = cache.load(record) if record else None
                if loaded is None:
                    computed += 1
                    cache.store(key=f"k{n}", operation_key="op", values=(image(n),), seconds=1, recompute_seconds=1)
                elif not np.array_equal(loaded[0].buffer, image(n).buffer):
                    wrong += 1
            cache.flush()
        if seed == 0:
            cache.prune()
            print("round", flush=True)
print(wrong, computed, warnings)
"""


def start(folder: Path, seed: int, rounds: int, limit: int = 1 << 30) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, os.fspath(folder), str(seed), str(rounds), str(limit)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_share_a_folder_while_it_is_collected(tmp_path: Path) -> None:
    limit = 4 * 64 * 64 * 12  # a third of what they need
    workers = [start(tmp_path, seed, 15, limit) for seed in range(3)]
    for worker in workers:
        said, _ = worker.communicate(timeout=60)
        assert worker.returncode == 0
        assert said.splitlines()[-1].startswith("0 "), said
        assert said.endswith("[]\n"), said
    with Cache.open(tmp_path, memory=0) as cache:
        assert cache.prune().bytes_left <= limit
        assert cache.verify().damaged == ()


def test_a_kill_leaves_nothing_wrong_and_nothing_lying_about(tmp_path: Path, warnings: list[str]) -> None:
    for attempt in range(6):
        worker = start(tmp_path, 0, 1000)
        assert worker.stdout is not None
        for _ in range(attempt):
            worker.stdout.readline()
        if not attempt:
            time.sleep(0.25)
        worker.send_signal(signal.SIGKILL)
        worker.communicate(timeout=60)
        with Cache.open(tmp_path, memory=0, warn=warnings.append) as cache:
            assert cache.verify().damaged == ()
            cache.prune()
            assert list((tmp_path / "v1" / "blobs").glob("tmp/*")) == []
    assert warnings == []


def test_a_living_writers_temporary_file_is_left_alone(cache: Cache, warnings: list[str]) -> None:
    folder = cache._disk.blobs / "tmp"  # type: ignore[union-attr]
    with Temporary(folder) as living:
        sweep_temporaries(cache._disk)  # type: ignore[arg-type]
        assert os.path.exists(living.path)
    assert not os.path.exists(living.path)
    (folder / "dead").write_bytes(b"x" * 100)
    assert sweep_temporaries(cache._disk) == 100  # type: ignore[arg-type]
    assert list(folder.iterdir()) == []


def test_a_collector_between_writing_and_renaming_takes_nothing(cache: Cache) -> None:
    disk = cache._disk
    assert disk is not None
    stored = disk.store(
        Record("k", None, "op", (), 1.0, 1.0), (image(1), image(2)), None, lambda: sweep_temporaries(disk) == 0
    )
    assert stored is not None
    loaded = cache.load(stored)
    assert loaded is not None
    assert [value.buffer.tobytes() for value in loaded] == [image(1).buffer.tobytes(), image(2).buffer.tobytes()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_sees_an_empty_cache(cache: Cache) -> None:
    put(cache, "k", image(1))
    cache.flush()
    child = os.fork()
    if not child:
        empty = cache.find("k") is None and not cache.store(
            key="c", operation_key="op", values=(image(2),), seconds=1, recompute_seconds=1
        )
        cache.close()
        os._exit(0 if empty else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert cache.find("k") is not None

"""A proof holds on while nobody can have written to the file, and no longer."""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_core.cache import Output, blob, proofs
from pipeline_core.cache.record import DamagedError

PICTURE = np.random.default_rng(0).random(400_000, np.float32)


@pytest.fixture
def proved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One number for every time that bytes are hashed for a proof."""
    found: list[int] = []
    prove = blob._proof

    def counted(memory: Any, output: Output) -> tuple[str, bytes]:
        found.append(output.size)
        return prove(memory, output)

    monkeypatch.setattr(blob, "_proof", counted)
    monkeypatch.setattr(proofs, "_known", {})
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "blob"


@pytest.fixture
def output(path: Path) -> Output:
    """A blob that has lain there for longer than a clock's tick, on a file system that shows writes."""
    contents = blob.Contents(PICTURE)
    with open(path, "wb") as file:
        checksum = contents.write(file.fileno())
    time.sleep(0.05)
    if not shows_writes(path):
        pytest.skip("this file system's times say too little")
    return Output(contents.digest(), "blob", contents.size, checksum)


def shows_writes(path: Path) -> bool:
    file = os.open(path, os.O_RDONLY)
    try:
        return proofs.will_show_writes(file, os.fstat(file))
    finally:
        os.close(file)


def load(path: Path, output: Output) -> None:
    assert np.array_equal(blob.read(path, output), PICTURE)


def test_a_file_that_nobody_wrote_to_is_proved_once(path: Path, output: Output, proved: list[int]) -> None:
    for _ in range(3):
        load(path, output)
    assert len(proved) == 1
    known: blob.Known = {}
    blob.read(path, output, known)
    assert len(known) == 1  # what its memory holds is known from the proof all the same
    assert blob.is_true(path, output)
    assert len(proved) == 2  # who asks for that has it looked at


def test_any_write_is_noticed_whatever_is_done_to_the_times(path: Path, output: Output, proved: list[int]) -> None:
    load(path, output)
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(1_000_000)
        file.write(b"?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DamagedError, match="does not match"):
        blob.read(path, output)


def test_the_same_file_is_no_proof_of_another_record(path: Path, output: Output, proved: list[int]) -> None:
    load(path, output)
    with pytest.raises(DamagedError, match="does not match"):
        blob.read(path, Output(output.digest, "blob", output.size, "4m:" + "0" * 32))


def test_a_file_that_was_just_written_to_is_proved_again(path: Path, output: Output, proved: list[int]) -> None:
    os.utime(path)
    facts = path.stat()
    clock = proofs.time.clock_gettime_ns(proofs.CLOCK_REALTIME_COARSE)
    file = os.open(path, os.O_RDONLY)
    assert facts.st_ctime_ns < clock or not proofs.will_show_writes(file, facts)
    os.close(file)


def test_who_has_it_mapped_could_write_unseen(path: Path, output: Output, proved: list[int]) -> None:
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[1_000_000] ^= 0
        file.close()
        time.sleep(0.05)
        for count in (1, 2):
            load(path, output)
            assert len(proved) == count
        memory[1_000_000] ^= 1
        with pytest.raises(DamagedError, match="does not match"):
            blob.read(path, output)
        memory[1_000_000] ^= 1
    load(path, output)
    load(path, output)
    assert len(proved) == 4  # nobody has it any more


def test_what_comes_from_the_disk_again_is_proved_again(path: Path, output: Output, proved: list[int]) -> None:
    load(path, output)
    file = os.open(path, os.O_RDWR)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)
    before = proofs.pages_read()
    load(path, output)
    if proofs.pages_read() == before:
        pytest.skip("this file system has no disk")
    assert len(proved) == 2
    load(path, output)
    assert len(proved) == 2


def test_rounded_times_and_unknown_file_systems_show_nothing(
    path: Path, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(path)
    monkeypatch.setattr(proofs, "LOCAL", {b"nfs4", b"fuse"})
    time.sleep(0.05)
    assert not shows_writes(path)
    monkeypatch.undo()
    assert shows_writes(path)
    file = os.open(path, os.O_RDONLY)
    facts = list(os.fstat(file))
    rounded = os.stat_result([*facts[:10], *[0.0] * 3, *[1_000_000_000_000] * 3])
    assert not proofs.will_show_writes(file, rounded)
    os.close(file)


def test_few_proofs_are_remembered(
    path: Path, output: Output, proved: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "MOST", 3)
    for number in range(5):
        facts = list(path.stat())
        proofs.remember(os.stat_result([facts[0], number, *facts[2:]]), "c", b"d")
    assert len(proofs._known) == 3

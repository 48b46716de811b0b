"""Part of R2: a blob is written to after it was proved, in a process that remembers proofs."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline_core.cache import Cache, Record, proofs

PIXELS = 640_000
"""So many bytes are mapped, and not read."""


class Blob:
    """One of a cache's files, with a descriptor and a mapping that somebody has had all the time, and its content."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = path.read_bytes()
        self.file = os.open(path, os.O_RDWR)
        self.memory = mmap.mmap(self.file, 0)
        self.place = len(self.content) - 10

    def let_go(self) -> None:
        self.memory.close()
        os.close(self.file)


def flip_in_place(blob: Blob) -> None:
    """A bit, by whoever opens the file now."""
    with open(blob.path, "r+b", buffering=0) as file:
        file.seek(blob.place)
        file.write(bytes([blob.content[blob.place] ^ 4]))


def flip_and_set_time_back(blob: Blob) -> None:
    before = blob.path.stat()
    flip_in_place(blob)
    os.utime(blob.path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip_in_new_mapping(blob: Blob) -> None:
    with open(blob.path, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[blob.place] ^= 4


def put_another_in_its_place(blob: Blob) -> None:
    """As long, with the same times, by a rename."""
    before, other = blob.path.stat(), blob.path.with_name("other")
    other.write_bytes(blob.content[: blob.place] + bytes(len(blob.content) - blob.place))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, blob.path)


def write_with_kept_descriptor(blob: Blob) -> None:
    """Opened before the proof."""
    os.pwrite(blob.file, bytes([blob.content[blob.place] ^ 4]), blob.place)


def write_with_kept_mapping(blob: Blob) -> None:
    """Its page was written to before the proof, though not changed: the system sees no further write to it."""
    blob.memory[blob.place] ^= 4


LATER: dict[str, Callable[[Blob], None]] = {
    "a bit in place": flip_in_place,
    "a bit, and the time set back": flip_and_set_time_back,
    "a bit in a mapping": flip_in_new_mapping,
    "another file in its place": put_another_in_its_place,
    "by who had it open": write_with_kept_descriptor,
    "by who had it mapped": write_with_kept_mapping,
}
KEPT = {write_with_kept_descriptor, write_with_kept_mapping}


def attack_proved(count: int, work: Path, fail: Callable[[str], None]) -> int | None:
    """`count` rounds: stored, proved, written to, and asked for. Which round caught the broken build; None if none did."""
    missed = rounds(count, work / "proved")
    for number, name in missed:
        fail(f"round {number}, after its proof, {name}: not noticed")
    looks = proofs._looks
    proofs._looks = lambda facts: (facts.st_size, facts.st_mtime_ns)  # a time of change that can be set back
    try:
        caught = rounds(4 * len(LATER), work / "trusting")
    finally:
        proofs._looks = looks
    return caught[0][0] if caught else None


def rounds(count: int, folder: Path) -> list[tuple[int, str]]:
    """The rounds in which damage was not noticed."""
    missed: list[tuple[int, str]] = []
    told: list[str] = []
    with Cache.open(folder, memory=0, warn=told.append) as cache:
        for number in range(1, count + 1):
            name, attack = list(LATER.items())[number % len(LATER)]
            picture = np.random.default_rng(number).random(PIXELS, np.float32)
            record = stored(cache, f"key{number}", picture)
            assert cache._disk is not None
            path = cache._disk.path(record.outputs[0].blob)
            time.sleep(number // len(LATER) % 3 * 0.008)  # proved within the tick that it was written in, or later
            kept = Blob(path) if attack in KEPT else None
            if kept is not None:
                kept.memory[kept.place] ^= 0
            for _ in range(3):
                assert cache.load(record) is not None
            before = len(told)
            blob = kept or Blob(path)
            if kept is None:
                blob.let_go()
            attack(blob)
            if cache.load(record) is not None or len(told) != before + 1:
                missed.append((number, name))
            if kept is not None:
                kept.let_go()
            path.unlink()
    return missed


def stored(cache: Cache, key: str, picture: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Record:
    cache.store(
        key=key, operation_key="o", values=(picture,), seconds=9, recompute_seconds=9, policy="always", node="n"
    )
    cache.flush()
    record = cache.find(key)
    assert record is not None
    return record


def is_possible(work: Path) -> bool:
    """Whether proofs are remembered here."""
    place = work / "settled"
    place.write_bytes(b"x")
    time.sleep(0.1)
    file = os.open(place, os.O_RDONLY)
    try:
        return any(proofs.will_show_writes(file, os.fstat(file)) for _ in range(2))
    finally:
        os.close(file)

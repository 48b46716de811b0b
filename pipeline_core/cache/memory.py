"""The memory tier: values by key, bounded by bytes on each device.

Who goes first: GreedyDual-Size (Cao and Irani, "Cost-Aware WWW Proxy Caching Algorithms", 1997). A value's standing is
the standing of the last one evicted plus its seconds to recompute per byte, so that what is dear stays and what is not
asked for ages.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from dataclasses import dataclass
from typing import Any

from pipeline_core import values
from pipeline_core.cache.record import DamagedError, Record

OVERHEAD = 1024  # what an entry takes beside its buffers


@dataclass
class Entry:
    record: Record
    given: tuple[Any, ...]
    trees: tuple[values.Tree, ...]
    fingerprint: int
    device: str
    size: int
    standing: float = 0.0
    turn: int = 0


class Memory:
    """Values that are kept as they are. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._queues: dict[str, list[tuple[float, int, str]]] = {}
        self._bytes: dict[str, int] = {}
        self._floors: dict[str, float] = {}
        self._turns = itertools.count(1)

    def put(self, record: Record, given: tuple[Any, ...], fingerprint: int) -> None:
        """Keep the values (already compact, and of this fingerprint), and let go of what is worth less."""
        trees = tuple(values.take_apart(value)[0] for value in given)
        device = _device(given)
        entry = Entry(record, given, trees, fingerprint, device, OVERHEAD + sum(map(values.nbytes, given)))
        if entry.size > self.limit:
            return
        with self._lock:
            self._forget(record.key)
            self._entries[record.key] = entry
            self._bytes[device] = self._bytes.get(device, 0) + entry.size
            self._rank(entry)
            while self._bytes[device] > self.limit:
                self._evict(device)

    def record(self, key: str) -> Record | None:
        entry = self._entries.get(key)
        return entry.record if entry else None

    def describe(self, record: Record) -> None:
        """The same result is on disk by now: its record knows the digests."""
        with self._lock:
            if entry := self._entries.get(record.key):
                entry.record = record

    def get(self, key: str) -> tuple[Any, ...] | None:
        """The values, or None. DamagedError (and the entry is gone) where somebody wrote into them since."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._rank(entry)
        if values.fingerprint(entry.given) != entry.fingerprint or not _same_trees(entry):
            self.drop(key)
            raise DamagedError("somebody wrote into its value after it was returned")
        return entry.given

    def drop(self, key: str) -> None:
        with self._lock:
            self._forget(key)

    def clear(self) -> None:
        with self._lock:
            for key in list(self._entries):
                self._forget(key)

    def nbytes(self, device: str = "cpu") -> int:
        return self._bytes.get(device, 0)

    def _rank(self, entry: Entry) -> None:
        entry.turn = next(self._turns)
        entry.standing = self._floors.get(entry.device, 0.0) + entry.record.recompute_seconds / entry.size
        queue = self._queues.setdefault(entry.device, [])
        heapq.heappush(queue, (entry.standing, entry.turn, entry.record.key))
        if len(queue) > 64 + 4 * len(self._entries):  # what was ranked anew or dropped left its old place behind
            queue[:] = [place for place in queue if self._is_current(place)]
            heapq.heapify(queue)

    def _is_current(self, place: tuple[float, int, str]) -> bool:
        entry = self._entries.get(place[2])
        return entry is not None and entry.turn == place[1]

    def _evict(self, device: str) -> None:
        while not self._is_current(place := heapq.heappop(self._queues[device])):
            pass
        self._floors[device] = place[0]
        self._forget(place[2])

    def _forget(self, key: str) -> None:
        if entry := self._entries.pop(key, None):
            self._bytes[entry.device] -= entry.size


def _same_trees(entry: Entry) -> bool:
    """Whether the plain parts are still what they were; by their text, since NaN is not equal to itself."""
    return all(repr(values.take_apart(v)[0]) == repr(tree) for v, tree in zip(entry.given, entry.trees, strict=True))


def _device(given: tuple[Any, ...]) -> str:
    """The first device that is not the CPU's memory."""
    for buffer in values.buffers(given):
        if values.is_tensor(buffer) and buffer.device.type != "cpu":
            return str(buffer.device)
    return "cpu"

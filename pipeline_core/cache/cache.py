"""The cache as the plan and the run see it: a memory tier, a disk tier, a writer behind the computation.

numpy is imported when a value moves, not before: finding records is all that a plan does.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pipeline_core.cache.disk import Disk, describe
from pipeline_core.cache.index import Durability
from pipeline_core.cache.lease import Claims
from pipeline_core.cache.record import DamagedError, Record
from pipeline_core.cache.storing import Digests, Result, Storing
from pipeline_core.cache.turns import Turn, Turns

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pipeline_core.cache.blob import Known
    from pipeline_core.cache.collect import Collected, Verified
    from pipeline_core.cache.memory import Memory

Policy = Literal["auto", "always", "never"]

LIMIT = 20 << 30
MEMORY = 512 << 20


@dataclass(slots=True)
class Counters:
    """This session: results found and computed, bytes that hits brought, seconds that they saved."""

    hits: int = 0
    misses: int = 0
    nbytes: int = 0
    seconds_saved: float = 0.0


@dataclass(frozen=True, slots=True)
class Info:
    """What is in a cache folder. `by_operation`: name -> (entries, bytes, seconds to compute them)."""

    folder: Path
    entries: int
    nbytes: int
    limit: int
    hits: int
    misses: int
    seconds_saved: float
    by_operation: Mapping[str, tuple[int, int, float]]

    @property
    def hit_rate(self) -> float:
        return self.hits / max(1, self.hits + self.misses)


class Cache:
    """Results by key. No method raises for what is wrong with the folder: that is a miss, and one warning.

    `folder` None means no disk tier, `memory` 0 no memory tier. Threads may share one; a forked child sees it empty.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        limit: int | None,
        memory: int,
        durability: Durability,
        warn: Callable[[str], None],
    ) -> None:
        self.session = Counters()
        self._said: set[str] = set()
        self._tell = warn
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._memory_limit = memory
        self._memory: Memory | None = None
        self._used: dict[str, float] = {}
        self._recalled: list[str] = []
        self._flushed = Counters()
        self._disk = Disk(folder, durability=durability, warn=self._warn) if folder is not None else None
        if self._disk is not None and limit is not None:
            self._disk.index.put_notes("fact", {"limit": limit})
        self._storing = Storing(self._disk, self._stored, self._warn)
        self._claims = Claims(self._disk.index) if self._disk else None
        self._turns = Turns(self._disk.blobs / "tmp") if self._disk else None

    @classmethod
    def open(
        cls,
        folder: Path | None,
        *,
        limit: int | None = None,
        memory: int = MEMORY,
        durability: Durability = "process",
        warn: Callable[[str], None] = lambda message: None,
    ) -> Self:
        """A `limit` in bytes given here is remembered by the folder; None is the folder's own, 20 GiB at first.

        durability  "process": what is stored outlives a killed process; "power": a power failure too, and stores are
                    slower. Either way a hit is what was stored.
        """
        return cls(folder, limit=limit, memory=memory, durability=durability, warn=warn)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- finding -----------------------------------------------------------------------------------------------------

    def find(self, key: str, node: str = "") -> Record | None:
        """By the index and the sizes of the blobs alone; `load` proves the rest."""
        return self.find_many({key: node} if node else [key]).get(key)

    def find_many(self, keys: Iterable[str] | Mapping[str, str]) -> dict[str, Record]:
        """As `find`, for a whole plan in one query. A mapping from keys to nodes gives warnings their node."""
        wanted = list(keys)
        found: dict[str, Record] = {}
        if self._memory is not None:
            found = {key: record for key in wanted if (record := self._memory.record(key)) is not None}
        if self._disk is not None and (missing := [key for key in wanted if key not in found]):
            found.update(self._disk.find_many(missing, keys if isinstance(keys, Mapping) else {}))
        return found

    def find_content(self, content_key: str, node: str = "") -> Record | None:
        """A record of the same operation on the same content by another way: early cut-off. See `remember`."""
        return self._disk.find_content(content_key, node) if self._disk else None

    def may_cut_off(self, operation_key: str) -> bool:
        """Whether this operation with these params has a record under a content key: then one is worth computing."""
        return self._disk is not None and self._disk.index.has_operation(operation_key)

    def remember(
        self, key: str, record: Record, *, content_key: str | None = None, parts: Mapping[str, Any] | None = None
    ) -> Record:
        """Another key for the outputs of a record; no new blob. Returns the record under that key."""
        again = replace(
            record,
            key=key,
            content_key=content_key if content_key is not None else record.content_key,
            parts=parts if parts is not None else record.parts,
            created=time.time(),
        )
        if self._disk is not None and again.outputs:
            self._disk.index.insert(again)
        return again

    # -- loading -----------------------------------------------------------------------------------------------------

    def load(self, record: Record, node: str = "", known: Known | None = None) -> tuple[Any, ...] | None:
        """The values: from memory, else from disk, checked either way. None and one warning on any doubt.

        `known` gets the checksums that `values.fingerprint` need not take again.
        """
        loaded = self._load_memory(record, node)
        if loaded is None and self._disk is not None and record.outputs:
            loaded = self._disk.load(record, node, known)
        if loaded is not None:
            self.count_hits([record])
        return loaded

    def _load_memory(self, record: Record, node: str) -> tuple[Any, ...] | None:
        if self._memory is None:
            return None
        try:
            return self._memory.get(record.key)
        except DamagedError as error:
            self._warn(f"{describe(record.key, node)}: {error}; computing it again")
            return None

    def count_hits(self, records: Sequence[Record]) -> None:
        """Note that results were of use; also for those that did not even have to be loaded."""
        now = time.time()
        with self._lock:
            self.session.hits += len(records)
            for record in records:
                self.session.nbytes += record.nbytes
                self.session.seconds_saved += record.seconds
                self._used[record.key] = now

    def recall(self, keys: Sequence[str]) -> tuple[int, float]:
        """(how many of these results are there, seconds to make them again): of use, though nobody has to look at them.

        The index is asked, not the files.
        """
        inside = [] if self._memory is None else [r for key in keys if (r := self._memory.record(key)) is not None]
        known = {record.key for record in inside}
        beyond = [key for key in keys if key not in known]
        count, seconds, is_old = self._disk.index.recall(beyond) if self._disk is not None else (0, 0.0, False)
        count, seconds = count + len(inside), seconds + sum(record.seconds for record in inside)
        with self._lock:
            self.session.hits += count
            self.session.seconds_saved += seconds
            self._recalled += beyond if is_old else ()
        return count, seconds

    # -- computing ---------------------------------------------------------------------------------------------------

    def take_turn(self, key: str, is_cancelled: Callable[[], bool] = lambda: False) -> Turn:
        """Before a key is computed: waits while another process does that. Look for the record again afterwards."""
        if self._turns is None or self._disk is None:
            return Turn()
        turn = self._turns.take(key, is_cancelled)
        if not turn.is_first:  # else nobody has computed anything yet
            self._disk.index.settle()
        return turn

    # -- storing -----------------------------------------------------------------------------------------------------

    def store(
        self,
        *,
        key: str,
        operation_key: str,
        values: tuple[Any, ...],
        seconds: float,
        recompute_seconds: float,
        content_key: str | Callable[[], str | None] | None = None,
        parts: Mapping[str, Any] | None = None,
        policy: Policy = "auto",
        digests: Digests | Future[Digests] = None,
        fingerprint: int | None = None,
        node: str = "",
        turn: Turn | None = None,
    ) -> bool:
        """Keep a computed result; whether it goes to disk. Hashing and writing happen behind the computation.

        key, operation_key, seconds, recompute_seconds, parts   as in `Record`
        values       one per output of the node
        content_key  the text, or a function that the writer calls when it comes to this result
        policy       "auto" weighs seconds against bytes; "always"; "never"
        digests      those of the values, where they are known or on their way
        fingerprint  `values.fingerprint` of them, where it was taken when they were made
        node         its name, for warnings
        turn         from `take_turn`; ended when the result is on disk. Where this returns False it is the caller's

        Waits only while too many bytes are in flight. The values must not be written to any more; where somebody does
        before they are on disk, the entry is not kept, and a warning names the node.
        """
        from pipeline_core.values import compact, nbytes
        from pipeline_core.values import fingerprint as take_fingerprint

        with self._lock:
            self.session.misses += 1
        if policy == "never" or os.getpid() != self._pid:
            return False
        size = sum(map(nbytes, values))
        to_disk = self._disk is not None and (policy == "always" or self.is_worth_storing(recompute_seconds, size))
        to_memory = 0 < self._memory_limit >= size
        if not (to_disk or to_memory):
            return False
        if to_memory:
            compacted = tuple(map(compact, values))
            if any(new is not old for new, old in zip(compacted, values, strict=True)):
                values, fingerprint = compacted, None
        if fingerprint is None:
            fingerprint = take_fingerprint(values)
        record = Record(
            key, content_key if isinstance(content_key, str) else None, operation_key, (), seconds, recompute_seconds,
            parts or {}, time.time(),
        )  # fmt: skip
        result = Result(record, values, fingerprint, content_key, digests, node, policy == "always", turn or Turn())
        if to_memory and not self._keep_in_memory(result):
            return False
        if to_disk:
            self._storing.put(result, size)
        return to_disk

    def is_worth_storing(self, recompute_seconds: float, nbytes: int) -> bool:
        """What the "auto" policy decides: seconds to compute it again against seconds to store and load it."""
        return self._storing.is_worth_storing(recompute_seconds, nbytes)

    def digests(self, given: tuple[Any, ...]) -> Digests:
        """The content digest of each output's value; None where one holds something that can't be stored.

        The same for numpy and torch buffers of one type, shape and content, whatever their strides and device.
        """
        from pipeline_core.cache import blob
        from pipeline_core.values import UnstorableError

        try:
            return tuple(map(blob.digest, given))
        except UnstorableError:
            return None

    def digests_later(self, given: tuple[Any, ...], is_changed: Callable[[], bool] = lambda: False) -> Future[Digests]:
        """The same behind the computation, in turn with the stores. Keeps the values alive until then.

        None where `is_changed`, asked afterwards, says that somebody wrote into them.
        """
        from pipeline_core import values

        def digests() -> Digests:
            found = self.digests(given)
            return None if is_changed() else found

        return self._storing.submit(digests, sum(map(values.nbytes, given)))

    def _keep_in_memory(self, result: Result) -> bool:
        """False where the values can't be stored anywhere (a network, say)."""
        from pipeline_core.cache.memory import Memory
        from pipeline_core.values import UnstorableError

        with self._lock:
            if self._memory is None:
                self._memory = Memory(self._memory_limit)
        try:
            self._memory.put(result.record, result.values, result.fingerprint)
        except UnstorableError:
            return False
        return True

    def _stored(self, record: Record) -> None:
        """In the writer's thread, after a result came to disk."""
        if self._memory is not None:
            self._memory.describe(record)
        assert self._disk is not None
        limit = self.limit
        if self._disk.index.totals().get("bytes", 0) > limit:
            from pipeline_core.cache import collect

            self._note_use()
            collect.collect(self._disk, to=int(limit * collect.ROOM))

    # -- claims, notes -----------------------------------------------------------------------------------------------

    @contextmanager
    def claim(self, keys: Iterable[str]) -> Iterator[None]:
        """While it is held, no process collects the entries under these keys, those that are yet to come included."""
        with self._claims.hold(keys) if self._claims else nullcontext():
            yield

    def history(self, pipeline_id: str, node: str) -> dict[str, Any] | None:
        """What the key of the node's last run was made of."""
        note = self._disk.index.note("history", f"{pipeline_id} {node}") if self._disk else None
        return note if isinstance(note, dict) else None

    def note_history(self, pipeline_id: str, parts: Mapping[str, Mapping[str, Any]]) -> None:
        if self._disk is not None:
            notes = {f"{pipeline_id} {node}": dict(made_of) for node, made_of in parts.items()}
            self._disk.index.put_notes("history", notes)

    def stamp(self, key: str) -> dict[str, Any] | None:
        """What `put_stamp` noted; `record.read_stamp` is the light way to it."""
        note = self._disk.index.note("stamp", key) if self._disk else None
        return note if isinstance(note, dict) else None

    def put_stamp(self, key: str, stamp: Mapping[str, Any]) -> None:
        if self._disk is not None:
            self._disk.index.put_notes("stamp", {key: dict(stamp)})

    # -- looking after it --------------------------------------------------------------------------------------------

    @property
    def limit(self) -> int:
        """Bytes that the blobs may take."""
        known = self._disk.index.note("fact", "limit") if self._disk else None
        return known if isinstance(known, int) else LIMIT

    def info(self) -> Info:
        """Reads every record."""
        self.flush()
        by_operation: dict[str, tuple[int, int, float]] = {}
        entries = 0
        for record in self._disk.index.all_records() if self._disk else ():
            if isinstance(record, Record):
                entries += 1
                name = str(record.parts.get("operation", "?"))
                count, nbytes, seconds = by_operation.get(name, (0, 0, 0.0))
                by_operation[name] = (count + 1, nbytes + record.nbytes, seconds + record.seconds)
        totals = self._disk.index.totals() if self._disk else {}
        return Info(
            self._disk.folder if self._disk else Path(), entries, int(totals.get("bytes", 0)), self.limit,
            int(totals.get("hits", 0)), int(totals.get("misses", 0)), totals.get("seconds saved", 0.0), by_operation,
        )  # fmt: skip

    def verify(self, progress: Callable[[int, int], None] | None = None) -> Verified:
        """Read everything and forget what is damaged. `progress` gets (entries done, entries in all)."""
        from pipeline_core.cache import collect

        self.flush()
        return collect.verify(self._disk, progress) if self._disk else collect.Verified(0, 0, ())

    def prune(self, to: int | None = None, older: float | None = None) -> Collected:
        """Forget what is worth least until `to` bytes are left (None: the limit), and what was not used for `older` s.

        Files that nobody knows of go too. What a running plan has claimed stays.
        """
        from pipeline_core.cache import collect

        self.flush()
        if self._disk is None:
            return collect.Collected(0, 0, 0)
        goal = to if to is not None else self.limit if older is None else None
        collected = collect.collect(self._disk, to=goal, older=older)
        swept = collect.sweep(self._disk)
        return replace(collected, bytes_freed=collected.bytes_freed + swept)

    def clear(self) -> Collected:
        """Forget everything, claimed or not."""
        from pipeline_core.cache import collect

        self.flush()
        if self._memory is not None:
            self._memory.clear()
        if self._disk is None:
            return collect.Collected(0, 0, 0)
        collected = collect.collect(self._disk, everything=True)
        collect.sweep(self._disk, grace=0)
        return collected

    def _note_use(self) -> None:
        if self._disk is None:
            return
        with self._lock:
            used, self._used = self._used, {}
            recalled, self._recalled = self._recalled, []
            now, before = replace(self.session), self._flushed
            self._flushed = now
        totals = {
            "hits": now.hits - before.hits,
            "misses": now.misses - before.misses,
            "seconds saved": now.seconds_saved - before.seconds_saved,
        }
        self._disk.index.touch(used, recalled, {name: value for name, value in totals.items() if value})

    def flush(self) -> None:
        """Return when everything is written."""
        if os.getpid() == self._pid:
            self._storing.flush()
            self._note_use()

    def close(self) -> None:
        """Finish writing, and let go of the folder."""
        if os.getpid() == self._pid:
            self.flush()
            self._storing.close()
            if self._disk is not None:
                self._disk.index.close()

    def _warn(self, message: str) -> None:
        """Each message once."""
        with self._lock:
            if message in self._said:
                return
            self._said.add(message)
        self._tell(message)

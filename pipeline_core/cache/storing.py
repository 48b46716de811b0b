"""Results on their way to disk: which are worth it, and the writing of them behind the computation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline_core.cache.disk import ChangedError, Disk, describe
from pipeline_core.cache.record import DamagedError, Record

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pipeline_core.cache.turns import Turn
    from pipeline_core.cache.writer import Writer

T = TypeVar("T")
Digests = tuple[str, ...] | None

SMALL = 8 << 20
"""Results of at most so many bytes are always worth storing."""
GAIN = 10.0
"""A larger one is stored when computing it again would take so many times what storing and loading it takes: then a cold
run is slower by a tenth at most, even where no core is free for the writer."""
COST_PER_BYTE = 2e-9
"""Seconds to store and load a byte, until the folder's own figure is measured with the first store: rather too many."""
LEAST_COST = 1.5e-9
"""No folder counts as faster: what waits to be written, and the file in the system's cache, take memory from the run."""


@dataclass(frozen=True, slots=True)
class Result:
    """What `Cache.store` was given, on its way to disk."""

    record: Record
    values: tuple[Any, ...]
    fingerprint: int
    content_key: str | Callable[[], str | None] | None
    digests: Digests | Future[Digests]
    node: str
    insists: bool
    turn: Turn


class Storing:
    """Takes results, and brings them to disk in another thread. Nothing that goes wrong there reaches the run."""

    def __init__(self, disk: Disk | None, stored: Callable[[Record], None], warn: Callable[[str], None]) -> None:
        self._disk = disk
        self._stored = stored
        self._warn = warn
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._has_begun = False
        self._cost_per_byte: float | None = None

    def submit(self, job: Callable[[], T], nbytes: int) -> Future[T]:
        """Any job, in turn with the stores."""
        from pipeline_core.cache.writer import Writer

        with self._lock:
            if self._writer is None:
                self._writer = Writer()
        return self._writer.submit(job, nbytes)

    def put(self, result: Result, nbytes: int) -> None:
        """Waits only while too many bytes are in flight."""
        with self._lock:
            is_first, self._has_begun = not self._has_begun, True
        if is_first:
            self.submit(self._begin, 0)
        self.submit(lambda: self._write(result), nbytes)

    def flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def is_worth_storing(self, recompute_seconds: float, nbytes: int) -> bool:
        cost = nbytes * max(self._seconds_per_byte(), LEAST_COST)
        return nbytes <= SMALL or recompute_seconds >= GAIN * cost

    def _seconds_per_byte(self) -> float:
        if self._cost_per_byte is None:
            known = self._disk.index.note("fact", "seconds per byte") if self._disk else None
            self._cost_per_byte = known if isinstance(known, float) and known > 0 else COST_PER_BYTE
        return self._cost_per_byte

    def _begin(self) -> None:
        """Before the first store: clear up after the dead, and measure the folder if nobody has."""
        from pipeline_core.cache.collect import sweep_temporaries

        assert self._disk is not None
        sweep_temporaries(self._disk)
        if self._disk.index.note("fact", "seconds per byte") is None:
            try:
                self._cost_per_byte = self._disk.measure()
            except (OSError, DamagedError):
                return  # the store that follows says what is wrong
            self._disk.index.put_notes("fact", {"seconds per byte": self._cost_per_byte})

    def _write(self, result: Result) -> None:
        from concurrent.futures import Future

        from pipeline_core.values import UnstorableError, fingerprint

        assert self._disk is not None
        record, entry = result.record, describe(result.record.key, result.node)
        try:
            digests = result.digests.result() if isinstance(result.digests, Future) else result.digests
            if callable(result.content_key):
                record = replace(record, content_key=result.content_key())
            stored = self._disk.store(
                record, result.values, digests, lambda: fingerprint(result.values) == result.fingerprint
            )
            if stored is not None:
                self._stored(stored)
        except UnstorableError as error:
            if result.insists:
                self._warn(f"{entry}: {error}; it is not kept")
        except ChangedError:
            self._warn(f"{entry}: somebody wrote into its value after it was returned; it is not kept")
        except OSError as error:
            self._warn(f"cache {self._disk.folder}: can't write there ({error.strerror}); results may not be kept")
        except Exception as error:  # a kind's own code, a plan's parts: the run goes on without this entry
            self._warn(f"{entry}: it is not kept ({type(error).__name__}: {error})")
        finally:
            result.turn.end()

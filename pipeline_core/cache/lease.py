"""Claims on entries: while one is held, no process collects them; one whose process died runs out by itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pipeline_core.cache.index import LEASE_SECONDS, Index


class Claims:
    """The claims of this process, renewed by one thread while there are any."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._idle = threading.Event()

    @contextmanager
    def hold(self, keys: Iterable[str]) -> Iterator[None]:
        name = os.urandom(16).hex()
        wait = self._index.begin(
            lambda: self._index.lease(name, keys)
        )  # in a new index there is nothing to collect yet
        with self._lock:
            self._held.add(name)
            if len(self._held) == 1:
                self._idle = threading.Event()
                threading.Thread(target=self._renew, args=(self._idle,), name="cache claims", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(name)
                if not self._held:
                    self._idle.set()
            wait()
            self._index.release(name)

    def _renew(self, idle: threading.Event) -> None:
        while not idle.wait(LEASE_SECONDS / 4):
            with self._lock:
                names = list(self._held)
            self._index.renew(names)

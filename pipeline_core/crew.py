"""How many workers at strips are of use: where calls are short they mostly wait for the interpreter's lock, and hand it on dearly."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter, thread_time

HELD = 3e-5
"""Seconds of a call for each worker that is of use. In a good half of that time it holds the interpreter's lock."""
FEW = 2
"""Workers that begin at once, and stay."""
PATIENCE = 5e-3
"""Seconds for which the others wait until it is known how long calls take."""
MOSTLY = 0.5
"""Workers are too many while they are at work for no more than that part of the time."""


class Crew:
    """The workers below `count`: how many that is shows in what they do."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pace_is_known = threading.Event()
        self._at_work = 1.0
        """What part of the time a worker is at work, lately: the rest it waits for the interpreter, or for a core."""
        self._lock = threading.Lock()

    def needs(self, worker: int) -> bool:
        """Whether a worker goes on; at first it may have to wait."""
        if worker >= FEW:
            self._pace_is_known.wait(PATIENCE)
        return worker < self.count

    def end(self) -> None:
        """There is nothing left to do."""
        self._pace_is_known.set()

    def timed(self, number: int, work: Callable[[], float]) -> None:
        """Does the strip of that number; `work` tells how many seconds its calls took each."""
        began, worked = perf_counter(), thread_time()
        seconds = work()
        at_work = (thread_time() - worked) / max(perf_counter() - began, 1e-9)
        with self._lock:
            if number >= FEW and not self._pace_is_known.is_set():  # the first ones find nothing in the caches
                self.count = min(self.count, max(FEW, int(seconds / HELD)))
                self._pace_is_known.set()
            self._at_work += (at_work - self._at_work) / self.count
            if self.count > FEW and self._at_work <= MOSTLY:
                self._at_work *= self.count / (self.count - 1)
                self.count -= 1

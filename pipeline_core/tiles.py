"""Work on one small part of a picture at a time, several side by side: each stays in a core's cache.

Fresh memory is the dear part of a simple operation at 4K: the system hands it out page by page. What is made on the
way to a result lies in `Scratch`, which every worker uses again for its next tile.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from pipeline_core.devices import cores
from pipeline_core.events import progress

Work = Callable[[slice, slice], None]
_cores_are_taken: ContextVar[bool] = ContextVar("_cores_are_taken", default=False)


class _Busy:
    """How many threads of ours are at work, in all of this process."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def add(self, threads: int) -> None:
        with self._lock:
            self.count += threads

    def take(self, most: int) -> int:
        """As many cores as nobody works on, beside the caller's own: they are at work from now on."""
        with self._lock:
            taken = max(0, min(most, cores() - max(self.count, 1)))
            self.count += taken
            return taken


busy = _Busy()
"""The workers of a run are counted while they are at a step, and the threads that help one of them."""


@contextmanager
def in_one_core() -> Iterator[None]:
    """Tiles are worked on one after the other here: the other cores have work like this of their own."""
    token = _cores_are_taken.set(True)
    try:
        yield
    finally:
        _cores_are_taken.reset(token)


def each_tile(width: int, height: int, side: tuple[int, int], work: Work) -> None:
    """`work(rows, columns)` for every tile of a picture, each (width, height) large at most; on all cores.

    Tiles are worked on in any order, so each should write into its own part of the result alone. It reports progress,
    and can be cancelled between tiles.
    """
    tiles = [
        (slice(y, min(y + side[1], height)), slice(x, min(x + side[0], width)))
        for y in range(0, height, side[1])
        for x in range(0, width, side[0])
    ]
    side_by_side(len(tiles), lambda number: work(*tiles[number]), lambda number: progress(number, len(tiles), "tiles"))


def side_by_side(
    count: int, work: Callable[[int], None], told: Callable[[int], None] | None = None, *, most: int | None = None
) -> None:
    """`work(number)` for all numbers below `count`, on all cores that are free, or on so many; the caller's thread is one of them.

    A core that becomes free meanwhile joins in. What fails first by its number is raised in the caller's thread. `told`
    hears in it which of the caller's own are done.
    """
    helpers = 0 if _cores_are_taken.get() else min(count, most or count) - 1
    if helpers <= 0:
        for number in range(count):
            work(number)
            if told is not None:
                told(number)
        return
    left, taking = iter(range(count)), threading.Lock()
    failures: list[tuple[int, BaseException]] = []

    # The caller's own gets what asks for help: functions that know each other would keep the pictures that they work on.
    def run(help_from: Callable[[int], None] | None = None) -> None:
        number: int | None = 0
        try:
            while not failures:
                with taking:
                    number = next(left, None)
                if number is None:
                    return
                work(number)
                if help_from is not None:
                    if told is not None:
                        told(number)
                    help_from(min(helpers - len(threads), count - number - 2))
        except BaseException as error:  # told to the caller, in his thread
            failures.append((number or 0, error))
        finally:
            if help_from is None:
                busy.add(-1)

    threads: list[threading.Thread] = []

    def help_from(most: int) -> None:
        # Not an executor: what it does for a tile takes longer than many tiles.
        for _ in range(busy.take(most) if most > 0 else 0):
            threads.append(threading.Thread(target=run))
            threads[-1].start()

    help_from(helpers)
    run(help_from)
    for thread in threads:
        thread.join()
    if failures:
        raise min(failures, key=lambda failure: failure[0])[1]


class Scratch(threading.local):
    """Arrays that a worker needs while it makes a tile, in memory that it uses again for the next one."""

    def __init__(self) -> None:
        self._memory: dict[str, np.ndarray[Any, Any]] = {}
        self._arrays: dict[tuple[str, tuple[int, ...], Any], np.ndarray[Any, Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray[Any, Any]:
        """An array of this shape, of unknown content; it is overwritten when the worker asks for the name again."""
        found = self._arrays.get((name, shape, dtype))
        if found is not None:  # as for nearly every tile
            return found
        size = math.prod(shape)
        memory = self._memory.get(name)
        if memory is None or memory.size < size or memory.dtype != dtype:
            memory = self._memory[name] = np.empty(size, dtype)
            self._arrays = {key: array for key, array in self._arrays.items() if key[0] != name}
        found = self._arrays[name, shape, dtype] = memory[:size].reshape(shape)
        return found

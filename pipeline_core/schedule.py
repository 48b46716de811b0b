"""Which step is next, and which values nobody will read any more. Plain bookkeeping: no threads, no values, no cache.

Whoever calls holds a lock. Steps are numbers; among those that are ready the smallest goes first, since the plan's
order keeps few values alive.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

NEW, WAITING, RUNNING, DONE, LOST = range(5)
"""LOST: failed, or not run because something it needs failed."""


class Schedule:
    """Steps become ready when what they read is there.

    `sources[i]` are the steps that step i reads. `is_there(i)` tells whether a result can be had without running i
    again; `is_known(i)` whether running i will need nothing, because its result is recorded.
    """

    def __init__(
        self, sources: list[tuple[int, ...]], is_there: Callable[[int], bool], is_known: Callable[[int], bool]
    ) -> None:
        self.sources, self.is_there, self.is_known = sources, is_there, is_known
        count = len(sources)
        self.state = bytearray(count)
        self.uses = [0] * count
        """How many steps that are still to come will read a result."""
        self.open = 0
        """Steps that are asked for and neither done nor lost."""
        self._reads = bytearray(count)
        self._missing = [0] * count
        self._readers: list[list[int]] = [[] for _ in range(count)]
        self.ready: list[int] = []
        """The steps that could be taken now, a heap: the first is the one that would be."""

    def is_alone(self) -> bool:
        """Whether no more than one step is at work."""
        return self.state.count(RUNNING) <= 1

    def require(self, wanted: int) -> None:
        """Asks for a step and, unless its result is known, for everything it needs."""
        state, uses, stack = self.state, self.uses, [wanted]
        while stack:
            index = stack.pop()
            if (now := state[index]) != NEW and (now != DONE or self.is_there(index)):
                continue
            state[index] = WAITING
            self.open += 1
            missing = 0
            if not self.is_known(index):
                self._reads[index] = True
                for source in self.sources[index]:
                    uses[source] += 1
                    if (now := state[source]) != DONE or not self.is_there(source):
                        self._readers[source].append(index)
                        missing += 1
                        if now in (NEW, DONE):
                            stack.append(source)
            self._missing[index] = missing
            if not missing:
                heapq.heappush(self.ready, index)

    def require_all(self) -> None:
        """Asks for every step, of which none is known: as `require`, in one go."""
        count, uses = len(self.sources), self.uses
        self.state, self._reads = bytearray([WAITING]) * count, bytearray([True]) * count
        self._missing, self.open = list(map(len, self.sources)), count
        for index, sources in enumerate(self.sources):
            for source in sources:
                uses[source] += 1
                self._readers[source].append(index)
        self.ready = [index for index, missing in enumerate(self._missing) if not missing]

    def is_open(self, index: int) -> bool:
        """Whether a step is asked for, and neither done nor lost."""
        return self.state[index] in (WAITING, RUNNING)

    def take(self) -> int:
        """The next step to run; only while some are `ready`."""
        index = heapq.heappop(self.ready)
        self.state[index] = RUNNING
        return index

    def again(self, index: int) -> None:
        """A step that has to be run after all, say because its recorded result turned out damaged."""
        self.state[index] = NEW
        self.open -= 1
        self.require(index)

    def put_back(self, index: int, source: int) -> None:
        """A running step found that what it reads is gone: it waits until that is made again."""
        self.state[index] = WAITING
        self._missing[index] += 1
        self._readers[source].append(index)
        if self.state[source] == DONE:
            self.require(source)

    def rewire(self, index: int, sources: tuple[int, ...]) -> list[int]:
        """Other sources for a step that runs or waits: it waits for those. Returns results nobody reads any more."""
        before, read = self.sources[index], self._reads[index]
        if self.state[index] == WAITING:
            for source in before:
                self._readers[source] = [reader for reader in self._readers[source] if reader != index]
            self.ready = [ready for ready in self.ready if ready != index]
            heapq.heapify(self.ready)
        self.sources[index] = sources
        self.again(index)
        unread = []
        for source in before if read else ():
            self.uses[source] -= 1
            if not self.uses[source]:
                unread.append(source)
        return unread

    def done(self, index: int) -> list[int]:
        """A step has its result; returns the steps whose results nobody will read any more."""
        self.state[index] = DONE
        self.open -= 1
        if readers := self._readers[index]:
            self._readers[index] = []
            missing = self._missing
            for reader in readers:
                missing[reader] = left = missing[reader] - 1
                if not left and self.state[reader] == WAITING:
                    heapq.heappush(self.ready, reader)
        unread = self._release(index)
        if not self.uses[index]:
            unread.append(index)
        return unread

    def lose(self, index: int) -> tuple[list[tuple[int, int]], list[int]]:
        """A step failed; returns (step, the one because of which it is lost) for all that needed it, and as `done`."""
        self.state[index] = LOST
        self.open -= 1
        unread = self._release(index)
        lost: list[tuple[int, int]] = []
        stack = [(reader, index) for reader in self._readers[index]]
        self._readers[index] = []
        while stack:
            reader, because = stack.pop()
            if self.state[reader] == WAITING:
                self.state[reader] = LOST
                self.open -= 1
                lost.append((reader, because))
                stack += [(after, reader) for after in self._readers[reader]]
                self._readers[reader] = []
                unread += self._release(reader)
        return lost, unread

    def running_readers(self, source: int) -> Iterator[int]:
        """Steps at work that read a result."""
        return (i for i, state in enumerate(self.state) if state == RUNNING and source in self.sources[i])

    def _release(self, index: int) -> list[int]:
        unread: list[int] = []
        if self._reads[index]:
            self._reads[index] = False
            uses = self.uses
            for source in self.sources[index]:
                uses[source] = left = uses[source] - 1
                if not left:
                    unread.append(source)
        return unread

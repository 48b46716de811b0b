"""The results of a run while it lasts: held in memory, recorded in the cache, watched for trespassers.

A step's result is there as values, as a record whose pixels are read when somebody needs them, or as an output file
that still is what was written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline_core.groups import Group
from pipeline_core.keys import content_key
from pipeline_core.marks import Mark, NoRowsError, ThinMark, WholeMark
from pipeline_core.plan import Plan, Step
from pipeline_core.save import Writer
from pipeline_core.spec import CachePolicy
from pipeline_core.values import buffers, nbytes

if TYPE_CHECKING:
    from pipeline_core.cache import Cache, Record
    from pipeline_core.cache.blob import Known
    from pipeline_core.cache.turns import Turn

Values = tuple[Any, ...]


class Results:
    """One entry per step of the plan. Everything that changes an entry is called under the run's lock, or takes it."""

    def __init__(self, plan: Plan, lock: threading.Condition, cache: Cache | None, guard: bool) -> None:
        self.plan, self.steps, self.lock, self.cache, self.guard = plan, plan.steps, lock, cache, guard
        count = len(plan.steps)
        self.sources = [step.reads for step in self.steps]
        self.kept = plan.kept
        self.values: list[Values | None] = [None] * count
        self.records: list[Record | None] = [None] * count
        self.current = bytearray(count)
        """Whether the step's output file still is what was written."""
        self.alive = self.peak = 0
        self._sizes = [0] * count
        self._marks: list[Mark | None] = [None] * count
        self.watches = False
        """Whether any result is watched."""
        self._of_one_group: set[int] = set()
        """Steps whose values are read by one group alone, which can look at their rows as it reads them."""
        self._unmarked: dict[int, Values] = {}
        """Those of them that nobody has looked at yet: nothing else may run before."""
        self._digests: list[tuple[str, ...] | None] = [None] * count
        self._futures: dict[int, Future[tuple[str, ...] | None]] = {}
        self._cost = [0.0] * count
        self._read: set[int] = set()
        self._turns: dict[int, Turn] = {}
        self._refused: set[int] = set()
        """Steps whose recorded result could not be read: it is not looked for again, since it may still be there."""
        self._recalled = (0, 0.0)
        """(how many, seconds) of results nobody looked for, since what is asked for is known."""
        self._copied = _read_elsewhere(plan)
        self.groups: dict[int, Group] = {}
        """The group that carries a step out, for every step of one."""

    def add_groups(self, groups: Sequence[Group], needed: Iterable[int], *, look: bool) -> None:
        """The groups that carry out some of the steps that are needed; whether they look at the rows that they read."""
        for group in groups:
            self.groups.update(dict.fromkeys(group.steps, group))
        if groups and look:
            readers: dict[int, set[int]] = {}
            for index in needed:
                for source in self.sources[index]:
                    readers.setdefault(source, set()).add(index)
            for group in groups:
                by_rows = {part.index for part in group.parts if part.rows is None}
                self._of_one_group.update(s for s in group.sources if readers[s] <= by_rows and s not in self.kept)

    def is_there(self, index: int) -> bool:
        return self.values[index] is not None or self.is_known(index)

    def is_known(self, index: int) -> bool:
        return self.records[index] is not None or bool(self.current[index])

    # --- in memory ---

    def hold(self, index: int, values: Values, size: int) -> None:
        self.values[index] = values
        self._sizes[index] = size
        self.alive += size
        if self.alive > self.peak:
            self.peak = self.alive

    def size_of(self, indices: Iterable[int]) -> int:
        """The bytes of results that are held."""
        return sum(map(self._sizes.__getitem__, indices))

    def drop(self, indices: Iterable[int]) -> None:
        """Lets go of results that nobody will read any more; what the caller asked for stays."""
        for index in indices:
            if index not in self.kept and self.values[index] is not None:
                self.alive -= self._sizes[index]
                self.values[index] = None

    def watch(
        self,
        index: int,
        values: Values,
        size: int,
        known: Known | None = None,
        is_alone: Callable[[], bool] = lambda: False,
        mark: Mark | None = None,
    ) -> None:
        """Remembers what a result of so many bytes looks like, to tell whether somebody writes into it.

        What others read on another device alone is theirs as a copy.
        """
        if self.guard and size and not (index in self._copied and all(map(_is_on_cpu, values))):
            self.watches = True
            if mark is not None:
                self._marks[index] = mark
            elif known or not self._is_left_to_its_group(index, values, is_alone):
                self._marks[index] = WholeMark(values, known)

    def _is_left_to_its_group(self, index: int, values: Values, is_alone: Callable[[], bool]) -> bool:
        """Whether the group that reads a value comes next, and looks at its rows by itself: until then a thin mark will do."""
        if index not in self._of_one_group:
            return False
        try:
            mark = ThinMark(values)
        except NoRowsError:
            return False
        with self.lock:
            if not is_alone():
                return False
            self._marks[index], self._unmarked[index] = mark, values
        return True

    def to_mark(self, group: Group) -> set[int]:
        """What a group makes, if others read it, but for what one group alone will look at."""
        return set(group.outputs) - self._of_one_group - self._copied if self.guard else set()

    def unmarked(self, group: Group) -> tuple[int, ...]:
        """What a group reads that it has to look at by itself."""
        return tuple([source for source in group.sources if source in self._unmarked])

    def complete_marks(self, index: int) -> None:
        """Before a step is run: what has no mark yet gets one, but for what the step's group looks at by itself."""
        if self._unmarked:
            group = self.groups.get(index)
            for other, values in list(self._unmarked.items()):
                if group is None or other not in group.sources:
                    self._marks[other] = WholeMark(values)
                    self._unmarked.pop(other, None)

    def looked_at(self, group: Group, marks: Mapping[int, Mark]) -> None:
        """A group has ended; what it read looks like that, unless that is known already."""
        for source in group.sources:
            if self._unmarked.pop(source, None) is not None and source in marks:
                self._marks[source] = marks[source]

    def is_changed(self, index: int, values: Values) -> bool:
        """Whether somebody wrote into a result since it was made."""
        mark = self._marks[index]
        return mark is not None and not mark.fits(values)

    def forget(self, index: int, values: Values) -> None:
        """Somebody wrote into it: it is not used any more, unless it has been made anew meanwhile."""
        self._unmarked.pop(index, None)
        if self.values[index] is values:
            self.alive -= self._sizes[index]
            self.values[index] = self.records[index] = None

    # --- in the cache ---

    def find(self, writer: Writer | None) -> None:
        """What is known of what is asked for; of the whole plan, in one query, only where that is not all there.

        An encoded file is its own record: it is current if it is what was written.
        """
        if self.cache is None:
            return
        wanted = set(self.plan.wanted)
        if writer is not None:
            for index in wanted:
                if self.steps[index].is_encoder:
                    self.current[index] = writer.is_current(self.steps[index])
        self._look_up([self.steps[index] for index in wanted])
        others = [step for step in self.steps if step.index not in wanted]
        if all(map(self.is_known, wanted)):
            self._recalled = self.cache.recall([step.key for step in others if _may_keep(step)])
        else:
            self._look_up(others)

    def _look_up(self, steps: Iterable[Step]) -> None:
        assert self.cache is not None
        asked = [step for step in steps if _may_keep(step)]
        found = self.cache.find_many({step.key: step.node.name for step in asked})
        for step in asked:
            self.records[step.index] = found.get(step.key)

    @property
    def known(self) -> int:
        """How many results were there before anything ran."""
        return len(self.records) - self.records.count(None) + sum(self.current) + self._recalled[0]

    def find_by_content(self, index: int) -> bool:
        """Early cut-off: whether the result is recorded for the same content of the inputs, by whatever key."""
        step, cache = self.steps[index], self.cache
        if cache is None or not step.sources or not _may_keep(step) or index in self._refused:
            return False
        if not cache.may_cut_off(step.operation_key):
            return False
        made = self._content_key(index)
        record = cache.find_content(made, step.name) if made else None
        if record is None:
            return False
        record = cache.remember(step.key, record, content_key=made, parts=self.plan.parts(step))
        with self.lock:
            self.records[index] = record
        return True

    def take_turn(self, index: int, is_cancelled: Callable[[], bool]) -> bool:
        """Before a step is computed: while another process computes the same key, waits; whether it is known then."""
        step, cache = self.steps[index], self.cache
        if cache is None or not _may_keep(step):
            return False
        turn = self._turns[index] = cache.take_turn(step.key, is_cancelled)
        record = cache.find(step.key, step.name) if index not in self._refused else None
        if record is not None:
            turn.end()
            with self.lock:
                self.records[index] = record
        return record is not None

    def end_turn(self, index: int) -> None:
        """After it: others need not wait, unless the result is on its way to disk."""
        if turn := self._turns.pop(index, None):
            turn.end()

    def get(self, index: int, wanted: Callable[[int], bool]) -> Values | None:
        """A result's values, read from the cache if need be; None if it is damaged there, and then it is forgotten.

        They are held for others only if somebody else will want them.
        """
        values, record = self.values[index], self.records[index]
        if values is not None or record is None or self.cache is None:
            return values
        known: Known = {}
        values = self.cache.load(record, self.steps[index].name, known)
        with self.lock:
            if values is None:
                self.records[index] = self._digests[index] = None
                self._refused.add(index)
                if self._recalled[0]:  # what it is made of is needed after all
                    self._recalled = (0, 0.0)
                    self._look_up(
                        [s for s in self.steps if s.index not in self._refused and not self.is_there(s.index)]
                    )
                return None
            self._read.add(index)
            if self.values[index] is None:
                size = sum(map(nbytes, values))
                self.watch(index, values, size, known)
                if index in self.kept or wanted(index):
                    self.hold(index, values, size)
        return values

    def keep(self, index: int, values: Values, seconds: float, size: int) -> bool:
        """Hands a computed result to the cache, which decides and writes behind the computation. Whether it took it."""
        step, cache = self.steps[index], self.cache
        if cache is None:
            return False
        self._cost[index] = seconds + sum(self._cost[source] for source in self.read_by(index))
        if not _may_keep(step):
            return False
        policy, digests = _policy(step), None
        if policy == "always" or cache.is_worth_storing(self._cost[index], size):
            # In this order, since the writer works in turn: the digests of the inputs, then this result.
            for source in self.read_by(index):
                held = self.values[source]
                if self._digests_known(source) is None and source not in self._futures and held is not None:
                    self._futures[source] = self._digests_later(cache, source, held)
            digests = self._futures[index] = self._digests_later(cache, index, values)
        stored = cache.store(
            key=step.key,
            operation_key=step.operation_key,
            content_key=lambda: self._content_key(index, waits=False),  # the writer can't wait for itself
            values=values,
            seconds=seconds,
            recompute_seconds=self._cost[index],
            parts=self.plan.parts(step),
            policy=policy,
            digests=digests,
            fingerprint=mark.fingerprint if isinstance(mark := self._marks[index], WholeMark) else None,
            node=step.name,
            turn=self._turns.get(index),
        )
        if stored:
            self._turns.pop(index, None)  # the writer's now
            self._cost[index] = 0.0  # what reads this result need not count it: it is there
        return stored

    def asked_for(self, group: Group) -> list[int]:
        """The steps of a group, outputs aside, that the cache is told to keep whatever they take."""
        inner = [i for i in group.steps if i not in group.outputs] if self.cache is not None else []
        return [i for i in inner if _policy(self.steps[i]) == "always"]

    def may_keep(self, group: Group) -> bool:
        """Whether steps inside a group may be kept. What is larger than the memory is not put together unasked."""
        return self.cache is not None and (
            not group.streams or any(_policy(self.steps[i]) == "always" and self.sources[i] for i in group.steps)
        )

    def worth_keeping(self, group: Group, seconds: Mapping[int, float], nbytes: Mapping[int, int]) -> list[int]:
        """The steps of a group, outputs aside, that the cache would keep if they take so long and so many bytes."""
        if self.cache is None:
            return []
        cost: dict[int, float] = {}
        found = []
        for i in filter(seconds.__contains__, group.steps):
            cost[i] = seconds[i] + sum(cost.get(source, self._cost[source]) for source in self.sources[i])
            policy = _policy(self.steps[i])
            judged = policy == "auto" and not group.streams
            worth = policy == "always" or (judged and self.cache.is_worth_storing(cost[i], nbytes[i]))
            if worth and i not in group.outputs and self.sources[i]:
                found.append(i)
                cost[i] = 0.0
        return found

    def read_by(self, index: int) -> tuple[int, ...]:
        """The steps whose values are read to make this one; for a step of a group, by the group."""
        group = self.groups.get(index)
        return group.sources if group else self.sources[index]

    def count_hits(self, computed: Mapping[str, float]) -> tuple[int, float]:
        """(steps, seconds) that were not computed because their results were there, whether or not anybody read them."""
        steps, seconds = self._recalled
        unread: list[Record] = []
        for step, record, is_current in zip(self.steps, self.records, self.current, strict=True):
            if (record is None and not is_current) or step.node.name in computed:
                continue
            steps += 1
            if record is not None:
                seconds += record.seconds
                if step.index not in self._read:
                    unread.append(record)
        if self.cache is not None and unread:
            self.cache.count_hits(unread)
        return steps, seconds

    def kept_nodes(self) -> tuple[str, ...]:
        """Nodes that the next run will find in the cache."""
        if self.cache is None:
            return ()
        self.cache.flush()
        found = self.cache.find_many([step.key for step in self.steps])
        return tuple(step.name for step in self.steps if step.key in found)

    def _digests_later(self, cache: Cache, index: int, values: Values) -> Future[tuple[str, ...] | None]:
        """Of what the step gave, not of what somebody made of it since."""
        return cache.digests_later(values, lambda: self.is_changed(index, values))

    def _content_key(self, index: int, *, waits: bool = True) -> str | None:
        """Values inside a group have no digest: what they are made of stands for them."""
        group = self.groups.get(index)
        inside: dict[int, str | None] = {}
        for i in group.steps if group else ():
            inside[i] = self._made_of(i, inside, waits)
            if i == index:
                return inside[i]
        return self._made_of(index, inside, waits)

    def _made_of(self, index: int, inside: Mapping[int, str | None], waits: bool) -> str | None:
        inputs = []
        for name, links in self.steps[index].sources:
            digests = [
                (made := inside[source]) and f"{made}.{output}"
                if source in inside
                else self._digest_of(source, output, waits)
                for source, output in links
            ]
            if any(found is None for found in digests):
                return None
            inputs.append((name, [found for found in digests if found is not None]))
        return content_key(self.steps[index].operation_key, inputs)

    def _digest_of(self, source: int, output: int, waits: bool) -> str | None:
        """Content digest of an output: recorded, computed behind the computation (`waits` for that), or now."""
        digests = self._digests_known(source)
        if not digests:
            future, values = self._futures.get(source), self.values[source]
            if future is not None and (future.done() or (waits and values is None)):
                digests = future.result()
            elif values is not None and self.cache is not None:
                found = self.cache.digests(values)
                digests = None if self.is_changed(source, values) else found
            self._digests[source] = digests
        return digests[output] if digests else None

    def _digests_known(self, index: int) -> tuple[str, ...] | None:
        record = self.records[index]
        return record.digests if record is not None and record.digests else self._digests[index]


def _read_elsewhere(plan: Plan) -> set[int]:
    """The steps whose values are read on an accelerator alone."""
    if plan.device == "cpu":
        return set()
    here = {source for step in plan.steps if step.device == "cpu" for source in step.reads}
    return set(range(len(plan.steps))) - here - plan.kept


def _is_on_cpu(value: Any) -> bool:
    return all(isinstance(buffer, np.ndarray) or buffer.device.type == "cpu" for buffer in buffers(value))


def _may_keep(step: Step) -> bool:
    return step.node.place[0] != "outputs" and (step.node.cache or step.node.operation.cache) != "never"


def _policy(step: Step) -> CachePolicy:
    return step.node.cache or step.node.operation.cache

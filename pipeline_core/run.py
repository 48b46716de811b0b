"""Carries out a plan: independent steps side by side, values dropped with their last reader, everything told as events.

Three parts: the `Schedule` says which step is next, `Results` holds what there is, and the run itself is the workers
that bring the two together. A stored result that turns out damaged is computed after all.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_core.call import Given, Surroundings, arguments_of, inputs_of
from pipeline_core.devices import cores, settle
from pipeline_core.errors import Cancelled, NodeError, PipelineError, PluginError
from pipeline_core.events import (
    Event,
    Failed,
    Finished,
    Listener,
    Progressed,
    RunFinished,
    RunStarted,
    Saved,
    Skipped,
    Started,
    Warned,
    reporter,
)  # fmt: skip
from pipeline_core.frames import NotInStrips, Part
from pipeline_core.garbage import set_aside
from pipeline_core.groups import Group, form
from pipeline_core.keys import unchanged
from pipeline_core.operation import Operation, bind
from pipeline_core.plan import Plan, Step
from pipeline_core.results import Results, Values
from pipeline_core.rows import RowFile
from pipeline_core.save import RowOutput, Writer
from pipeline_core.schedule import Schedule
from pipeline_core.strips import FileFailed, Made, Member, Trespassed, carry_out
from pipeline_core.tiles import busy
from pipeline_core.values import move, nbytes

if TYPE_CHECKING:
    from pipeline_core.cache import Cache


LIGHT = 1e-4
"""Seconds of a step up to which one thread alone is quicker, since handing over the interpreter takes as long."""
MANY = 1000
"""Steps from which on the collector would look through the plan again and again, while it grows by what is told of them."""
PATIENCE = 0.1
"""Seconds after which a step that should have taken no time is not waited for any more."""


@dataclass
class Result:
    """What a run gave. `failures` is empty unless the run was told to keep going."""

    outputs: dict[str, Any] = field(default_factory=dict)
    saved: dict[str, Path] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    beside: dict[str, dict[Path, str]] = field(default_factory=dict)
    failures: list[PipelineError] = field(default_factory=list)
    seconds: float = 0.0
    node_seconds: dict[str, float] = field(default_factory=dict)
    computed: int = 0
    cached: int = 0
    saved_seconds: float = 0.0
    peak_bytes: int = 0
    kept: tuple[str, ...] = ()


class Interrupted(KeyboardInterrupt):
    """Ctrl-C; `kept` are the nodes that the next run will find in the cache."""

    def __init__(self, kept: tuple[str, ...]) -> None:
        super().__init__("interrupted")
        self.kept = kept


def execute(
    plan: Plan,
    *,
    listeners: Sequence[Listener] = (),
    jobs: int | None = None,
    keep_going: bool = False,
    cache: Cache | None = None,
    writer: Writer | None = None,
    guard: bool = True,
    strips: bool = True,
    compiled: bool = False,
) -> Result:
    """Runs a plan. Raises the first NodeError (or OutputError); with `keep_going` they are all in the result.

    `jobs` worker threads (default: one per core). `guard` watches for operations that write into their inputs. `strips`
    lets consecutive steps on large pictures be carried out a few rows at a time; `compiled` has torch make programs of such steps on
    an accelerator, and of those in plain torch on the CPU.
    Ctrl-C in the main thread cancels: KeyboardInterrupt is raised within a second, even if an operation goes on.
    """
    return _Run(plan, listeners, jobs or cores(), keep_going, cache, writer, guard, strips, compiled).execute()


class _Run:
    def __init__(
        self,
        plan: Plan,
        listeners: Sequence[Listener],
        jobs: int,
        keep_going: bool,
        cache: Cache | None,
        writer: Writer | None,
        guard: bool,
        strips: bool,
        compiled: bool,
    ) -> None:
        self.plan, self.steps, self.listeners = plan, plan.steps, listeners
        self.jobs, self.keep_going, self.cache, self.writer = jobs, keep_going, cache, writer
        self.lock = threading.RLock()
        """Of the condition, which is slower to hold it by."""
        self.condition = threading.Condition(self.lock)
        self.results = Results(plan, self.condition, cache, guard)
        self.strips, self.compiled = strips, compiled
        self.result = Result()
        self.workers: list[threading.Thread] = []
        self.idle = 0
        self.stopping = False
        self.cancelled = False
        self.crash: BaseException | None = None
        self.telling = threading.Lock()
        self.is_elsewhere = plan.device != "cpu"
        found: dict[int, _Called] = defaultdict(_Called)
        self.called = [found[id(step.node.operation)] for step in self.steps]
        """By step; one for all steps of an operation."""
        self.suspects: dict[int, set[int]] = {}
        self.numbers: dict[int, int] = {}
        self.swift = 0
        """The worker that is at steps which take no time, by its number from 1."""
        self.surroundings = Surroundings()

    def execute(self) -> Result:
        keys = [step.key for step in self.steps]
        with (
            # Before anything is looked for: what is found must not be collected meanwhile.
            self.cache.claim(keys) if self.cache is not None else nullcontext(),
            set_aside() if len(self.steps) >= MANY else nullcontext(),
        ):
            return self.carry_out()

    def carry_out(self) -> Result:
        started = time.perf_counter()
        self.results.find(self.writer)
        self.schedule = Schedule(self.group_steps(), self.results.is_there, self.results.is_known)
        if self.cache is None and not self.results.groups:
            self.schedule.require_all()
        else:
            for index in self.plan.wanted:
                self.schedule.require(index)
        self.tell(RunStarted(len(self.steps), self.results.known))
        with self.lock:
            self.start_worker()
        try:
            for worker in self.workers:  # those that are started meanwhile, too
                while worker.is_alive():  # a timeout, because an untimed join can't be interrupted everywhere
                    before = self.result.computed
                    worker.join(PATIENCE)
                    self.unblock(before)
        except KeyboardInterrupt:
            self.cancel()
            self.finish(started)
            raise Interrupted(self.results.kept_nodes()) from None
        if self.crash is not None:
            raise self.crash
        if not self.result.failures or self.keep_going:
            self.collect()
        self.finish(started)
        if self.result.failures:
            self.result.kept = self.results.kept_nodes()
            if not self.keep_going:
                raise self.first_failure()
        return self.result

    def group_steps(self) -> list[tuple[int, ...]]:
        """Forms the groups; what each step has to wait for. An output of a group waits for the step that leads it."""
        waits_for = list(self.results.sources)
        if (self.strips or self.compiled) and any(step.node.operation.tiles for step in self.steps):
            writes, ways = self.writer is not None, {"strips": self.strips, "compiled": self.compiled}
            needed = self.needed()
            formed = form(self.plan, needed, self.operation, writes=writes, **ways)
            self.results.add_groups(formed, needed, look=not (self.compiled or self.is_elsewhere))
            for number, group in enumerate(formed, 1):
                self.numbers[group.leader] = number
                for index in group.outputs:
                    waits_for[index] = (group.leader,)
                waits_for[group.leader] = group.sources
        return waits_for

    def needed(self) -> list[int]:
        """The steps that have to be carried out: what is asked for, and what they read, down to known results."""
        found: set[int] = set()
        stack = [index for index in self.plan.wanted if not self.results.is_known(index)]
        while stack:
            index = stack.pop()
            if index not in found:
                found.add(index)
                stack += [source for source in self.results.sources[index] if not self.results.is_known(source)]
        return sorted(found)

    def first_failure(self) -> PipelineError:
        failure = self.result.failures[0]
        if isinstance(failure, NodeError):
            failure.kept = self.result.kept
        return failure

    def cancel(self) -> None:
        with self.condition:
            self.cancelled = self.stopping = True
            self.condition.notify_all()
        deadline = time.monotonic() + 0.5
        for worker in self.workers:
            worker.join(max(0.0, deadline - time.monotonic()))

    def finish(self, started: float) -> None:
        result = self.result
        result.cached, result.saved_seconds = self.results.count_hits(result.node_seconds)
        result.peak_bytes = self.results.peak
        result.seconds = time.perf_counter() - started
        ok = not result.failures and not self.cancelled
        counts = (result.computed, result.cached, result.saved_seconds, result.peak_bytes)
        self.tell(RunFinished(ok, result.seconds, *counts, self.cancelled))

    def collect(self) -> None:
        """The outputs that the caller asked for as values."""
        for target in self.plan.targets:
            index = self.plan.index[target.link.node]
            values = self.results.values[index] if index in self.results.kept else None
            if values is None:
                continue
            if self.results.is_changed(index, values):
                self.blame_maker(index)
            else:
                self.result.outputs[target.name] = values[target.link.output]

    def blame_maker(self, index: int) -> None:
        """A value that nobody was found to write into while he read it changed all the same."""
        step = self.steps[index]
        reason = (
            f"its value changed after it was returned: plugin '{step.node.operation.plugin}' must not keep a reference "
            f"to what '{step.node.operation.name}' returns"
        )
        error = self.node_error(step, RuntimeError(reason))
        self.tell(Failed(step.name, step.node.operation.name, str(error)))
        self.result.failures.append(error)

    def tell(self, event: Event) -> None:
        with self.telling:
            for listener in self.listeners:
                listener(event)

    # --- workers ---

    def work(self, number: int) -> None:
        reporter.set(report := _Report(self))  # of this thread, which is the run's own
        done: int | None = None
        busy.add(1)
        try:
            while (index := self.next(number, done)) is not None:
                report.node = self.steps[index].node.name
                done = index if self.step(index) else None
        except BaseException as error:  # a fault of ours or of a listener: told to the caller, never swallowed
            with self.condition:
                self.crash = self.crash or error
                self.stopping = True
                self.condition.notify_all()
        finally:
            busy.add(-1)

    def next(self, number: int, done: int | None) -> int | None:
        """What a worker does next, after the step that it has done; it waits until there is something, or (None) the end."""
        schedule = self.schedule
        with self.lock:
            if done is not None:
                self.results.drop(schedule.done(done))
                if not schedule.open:
                    self.wake()
            while not self.stopping and self.has_nothing_for(number):
                self.wait(number)
            if self.stopping:
                return None
            index = schedule.take()
            if self.jobs > 1:
                if self.is_light(index):
                    self.swift = number
                elif self.swift == number:
                    self.swift = 0
                if not self.has_nothing_for(0):
                    self.call_for(len(schedule.ready))
            return index

    def call_for(self, count: int) -> None:
        """Under the lock: so many workers, those that are idle first, and others as long as there may be more."""
        if self.idle:
            self.condition.notify(count)
        for _ in range(min(count - self.idle, self.jobs - len(self.workers))):
            self.start_worker()

    def start_worker(self) -> None:
        worker = threading.Thread(target=self.work, args=(len(self.workers) + 1,), daemon=True)
        self.workers.append(worker)
        worker.start()

    def wait(self, number: int) -> None:
        if self.swift == number:
            self.swift = 0
        self.idle += 1
        busy.add(-1)
        self.condition.wait()
        busy.add(1)
        self.idle -= 1

    def unblock(self, before: int) -> None:
        """Where no step was done since there were so many, the one that should have taken no time does: others go on."""
        with self.condition:
            if self.swift and self.result.computed == before:
                self.swift = 0
                self.call_for(len(self.schedule.ready))

    def step(self, index: int) -> bool:
        """Whether its result is there; if not it is lost, or has to wait."""
        started = time.perf_counter()
        step = self.steps[index]
        if self.listeners:
            self.tell(Started(step.name, step.node.operation.name))
        try:
            if self.make(index):
                if self.writer is not None:
                    self.save(index)
                return True
        except Cancelled:
            self.lose(index)
        except PipelineError as error:
            self.tell(Failed(step.name, step.node.operation.name, str(error), time.perf_counter() - started))
            with self.condition:
                self.result.failures.append(error)
            self.lose(index)
        return False

    def make(self, index: int) -> bool:
        """A step's result: known, found by its content, or computed. False where it has to wait after all."""
        results, group = self.results, self.results.groups.get(index)
        if self.cache is None and group is None:
            given = self.gather(index) if results.watches else results.values  # of which none can be lost
            return given is not None and self.compute(index, given)
        if group is not None and index != group.leader:  # the leader has made it too
            return results.values[index] is not None or self.dissolve(group)
        if results.is_known(index) or results.find_by_content(index):
            return self.take_known(index)
        try:
            if results.take_turn(index, lambda: self.cancelled):
                return self.take_known(index)
            given = self.gather(index)
            if given is None:
                return False
            if group is not None:
                return self.compute_group(group, given) or self.dissolve(group)
            return self.compute(index, given)
        finally:
            results.end_turn(index)

    def lose(self, index: int) -> None:
        with self.condition:
            lost, unread = self.schedule.lose(index)
            self.results.drop(unread)
            if not self.keep_going:
                self.stopping = True
            self.wake()
        for reader, because in reversed(lost):
            self.tell(Skipped(self.steps[reader].name, self.steps[because].name))

    def has_nothing_for(self, worker: int) -> bool:
        """Whether no step is ready, or only such as another worker will have done before this one had begun."""
        ready = self.schedule.ready
        return not ready or (self.swift != worker and self.swift != 0 and self.is_light(ready[0]))

    def is_light(self, index: int) -> bool:
        """Whether a step takes no time, as far as its operation has shown; what a device does one after the other is asked for by one.

        With a cache it may have to wait for another process, and nothing is known of that.
        """
        if self.is_elsewhere and self.steps[index].device != "cpu":
            return True
        return self.called[index].pace < LIGHT and self.cache is None and index not in self.results.groups

    def wake(self) -> None:
        """Under the lock: others are woken when there is something to do for them, or nothing any more.

        Whoever calls is a worker that takes one ready step itself next.
        """
        if not self.schedule.open:
            self.stopping = True
        if self.stopping:
            self.condition.notify_all()
        elif len(self.schedule.ready) > 1:
            self.call_for(len(self.schedule.ready) - 1)

    def take_known(self, index: int) -> bool:
        """A recorded result; its values are read now only if the caller wants them, else when a step does."""
        record = self.results.records[index]
        if record is not None and index in self.results.kept and self.results.get(index, self.is_wanted) is None:
            with self.condition:
                self.schedule.again(index)
                self.wake()
            return False
        step = self.steps[index]
        self.tell(Finished(step.name, step.node.operation.name, 0.0, record.nbytes if record else 0, cached=True))
        return True

    def is_wanted(self, index: int) -> bool:
        return self.schedule.uses[index] > 0

    def gather(self, index: int) -> dict[int, Values] | None:
        """What a step reads, by the step it comes from. None when a stored one was damaged: the step waits for it."""
        self.results.complete_marks(index)
        given: dict[int, Values] = {}
        for source in self.results.read_by(index):
            values = self.results.values[source] or self.results.get(source, self.is_wanted)
            if values is None:
                with self.condition:
                    self.schedule.put_back(index, source)
                    self.wake()
                return None
            given[source] = values
        return given

    def compute(self, index: int, given: Given) -> bool:
        """Carries out a step alone, from whole values; True."""
        began = time.perf_counter()
        step, called, results = self.steps[index], self.called[index], self.results
        node = step.node
        try:
            operation = called.operation or self.operation(step)
            arguments, copied = self.arguments(step, operation, given)
            values = self.surroundings.call(operation, arguments, node.params, node.kinds)
            if self.is_elsewhere:
                settle(step.device)
            if results.watches and isinstance(given, dict):
                self.check_trespass(index, given)
            if step.files:
                self.check_files(step)
        except Cancelled:
            raise
        except BaseException as error:
            raise self.node_error(step, error, given) from error
        seconds = time.perf_counter() - began
        size = nbytes(values[0]) if len(values) == 1 else sum(map(nbytes, values))
        if size and (self.schedule.uses[index] or index in results.kept):
            results.watch(index, values, size, is_alone=self.schedule.is_alone)
        with self.lock:
            results.hold(index, values, size)
            self.result.computed += 1
            self.result.node_seconds[node.name] = seconds
            called.pace = seconds if called.pace == inf else 0.9 * called.pace + 0.1 * seconds
        stored = self.cache is not None and results.keep(index, values, seconds, size)
        if self.listeners:
            shapes = tuple([str(value) for value in values])
            self.tell(Finished(node.name, node.operation.name, seconds, size, shapes, False, 0, 0, copied, stored))
        return True

    def arguments(self, step: Step, operation: Operation, given: Given) -> tuple[list[Any], int]:
        """What the function is called with; how many bytes had to be brought to its device."""
        writer = self.writer if step.is_encoder else None
        if writer is None and not self.is_elsewhere:
            return arguments_of(operation, step.sources, given), 0
        inputs, copied = inputs_of(step.sources, given), 0
        if self.is_elsewhere:
            inputs, copied = _moved(inputs, step.device)
        return operation.arguments(writer.sign(step, inputs) if writer is not None else inputs), copied

    def compute_group(self, group: Group, given: dict[int, Values]) -> bool:
        """Carries out a group. False where that is not possible; its steps are run one by one then."""
        members = [self.member(part) for part in group.parts]
        try:
            there, moved = _moved(given, self.steps[group.leader].device) if self.is_elsewhere else (given, 0)
            made = self.by_program(group, members, there) if self.compiled else None
            made = made or self.in_strips(group, members, there)
        except NotInStrips:
            return False
        for index in group.steps:
            try:
                if index == group.leader:
                    self.check_trespass(index, given)
                self.check_files(self.steps[index])
            except RuntimeError as error:
                raise self.node_error(self.steps[index], error) from error
        self.results.looked_at(group, made.marks)
        self.take_over(group, made, moved)
        return True

    def by_program(self, group: Group, members: list[Member], given: dict[int, Values]) -> Made | None:
        """What a group gives, made by programs. None where strips are better."""
        if any(part.rows for part in group.parts):
            return None
        from pipeline_core import programs

        leader = self.steps[group.leader]
        token = reporter.set(lambda *_: self.check_cancelled())
        try:
            return programs.carry_out(
                members,
                [*group.outputs, *self.results.asked_for(group)],
                given,
                keys=[self.steps[index].operation_key for index in group.steps],
                check_cancelled=self.check_cancelled,
                warn=lambda message: self.tell(Warned(message, leader.name)),
            )
        finally:
            reporter.reset(token)

    def in_strips(self, group: Group, members: list[Member], given: dict[int, Values]) -> Made:
        leader = self.steps[group.leader]
        files = self.files_of(group)

        def told(done: int, total: int) -> None:
            self.check_cancelled()
            self.tell(Progressed(leader.name, done, total, "strips"))

        token = reporter.set(lambda *_: self.check_cancelled())
        try:
            made = carry_out(
                members,
                group.outputs,
                given,
                jobs=self.jobs,
                worth_keeping=partial(self.results.worth_keeping, group) if self.results.may_keep(group) else None,
                told=told,
                sinks={index: file.add for index, file in files.items()},
                watched=self.results.unmarked(group),
                marked=[i for i in self.results.to_mark(group) if self.schedule.uses[i] and i not in files],
            )
            for index, file in files.items():
                self.saved(self.steps[index], file.finish())
            return made
        except Trespassed as found:
            error = self.trespass(group.leader, found.source, given[found.source])
            raise self.node_error(leader, error) from error
        except FileFailed as failed:
            raise self.node_error(self.steps[failed.index], failed.error) from failed.error
        finally:
            reporter.reset(token)
            for file in files.values():
                file.discard()

    def member(self, part: Part) -> Member:
        step = self.steps[part.index]
        operation = self.operation(step)
        return Member(operation, bind(operation, step.node.params), step.node.kinds, step.sources, part)

    def files_of(self, group: Group) -> dict[int, RowOutput]:
        """The files that a group writes row by row, by step."""
        assert self.writer is not None or not any(isinstance(part.rows, RowFile) for part in group.parts)
        return {
            part.index: RowOutput(self.writer, self.steps[part.index], part.rows)
            for part in group.parts
            if self.writer is not None and isinstance(part.rows, RowFile)
        }

    def take_over(self, group: Group, made: Made, moved: int) -> None:
        """What a group made: its outputs are held for their readers, what is worth it goes to the cache.

        `moved` are the bytes of what it read that came from another device; they count for its leader.
        """
        sizes = {index: sum(map(nbytes, values)) for index, values in made.values.items()}
        for index in made.values:
            if self.schedule.uses[index]:  # put together here, so that no plugin holds it: only its readers can write
                mark, is_alone = made.marks.get(index), self.schedule.is_alone
                self.results.watch(index, made.values[index], sizes[index], is_alone=is_alone, mark=mark)
        with self.condition:
            for index in group.outputs:  # () of a file that is written
                self.results.hold(index, made.values.get(index, ()), sizes.get(index, 0))
            for index in group.steps:
                self.result.computed += 1
                self.result.node_seconds[self.steps[index].name] = made.seconds[index]
        needs: dict[int, set[int]] = {}
        for index in group.steps:
            needs[index] = {index}.union(*(needs.get(source, ()) for source in self.results.sources[index]))
            step, values = self.steps[index], made.values.get(index, ())
            stored = bool(values) and self.results.keep(
                index, values, sum(made.seconds[i] for i in needs[index]), sizes[index]
            )
            if self.listeners:
                if index != group.leader:
                    self.tell(Started(step.name, step.node.operation.name))
                size = sizes.get(index, 0)
                told = Finished(
                    step.name,
                    step.node.operation.name,
                    made.seconds[index],
                    size,
                    tuple(map(str, values)),
                    group=self.numbers[group.leader],
                    strips=made.strips,
                    copied=(size if made.strips else 0) + (moved if index == group.leader else 0),
                    stored=stored,
                    compiled=index in made.compiled,
                )
                self.tell(told)

    def dissolve(self, group: Group) -> bool:
        """The steps of a group are run one by one after all; False, since this one has to wait for others."""
        with self.condition:
            if self.results.groups.get(group.leader) is group:
                for index in group.steps:
                    del self.results.groups[index]
                for index in group.outputs:
                    if self.schedule.is_open(index):
                        self.results.drop(self.schedule.rewire(index, self.results.sources[index]))
                self.wake()
        return False

    def operation(self, step: Step) -> Operation:
        """A step's operation with its function. PluginError."""
        called = self.called[step.index]
        if called.operation is None:
            offered = step.node.operation
            try:
                called.operation = self.plan.graph.catalogue.load(offered)
            except PluginError as error:
                raise PluginError(f"plugin '{offered.plugin}' did not load: {error}") from error
        return called.operation

    def check_cancelled(self) -> None:
        if self.cancelled or (self.stopping and not self.keep_going):
            raise Cancelled

    def check_files(self, step: Step) -> None:
        for path, state in step.files.items():
            if not unchanged(path, state):
                raise RuntimeError(f"'{path.name}' changed while it was read; run again")

    def check_trespass(self, index: int, given: Mapping[int, Values]) -> None:
        """Blames the operation that wrote into an input; what is damaged is not used any more.

        Checked is what this step was given: somebody who was found out before may have had the value dropped.
        """
        for source, values in given.items():
            if self.results.is_changed(source, values):
                raise self.trespass(index, source, values)

    def trespass(self, index: int, source: int, values: Values) -> RuntimeError:
        """Somebody wrote into a value while a step read it: it is forgotten, and the error names who may have done it."""
        with self.condition:
            self.results.forget(source, values)
            suspects = self.suspects.setdefault(source, set())
            for reader in {index, *self.schedule.running_readers(source)}:
                group = self.results.groups.get(reader)
                members = [i for i in group.steps if source in self.results.sources[i]] if group else [reader]
                suspects.update(members)
            found = [self.steps[i].node.operation for i in sorted(suspects)]
        changed = f"the value of '{self.steps[source].name}' changed while this node ran"
        plugin, *others = dict.fromkeys(f"plugin '{operation.plugin}' ('{operation.name}')" for operation in found)
        if others:
            plugin = f"one of {', '.join([plugin, *others])}"
        return RuntimeError(f"{changed}: {plugin} writes into its input; it must clone it first")

    def node_error(self, step: Step, error: BaseException, given: Given | None = None) -> NodeError:
        """What went wrong with a step, for its user; `given` is what it read, where values were there."""
        written = self.plan.graph.spec.nodes.get(step.name)
        params = step.node.params
        shown = {name: params[name] for name in (written.params if written else ()) if name in params}
        for name, value in shown.items():
            if isinstance(value, Path):
                shown[name] = str(written.params[name]) if written else value.name
        inputs = inputs_of(step.sources, given) if given is not None else {}
        told, kind = _text(error), type(error).__name__
        expected = isinstance(error, (PipelineError, ValueError, RuntimeError, OSError)) and not isinstance(
            error, RecursionError
        )
        return NodeError(
            node=step.name,
            operation=step.node.operation.name,
            plugin=step.node.operation.plugin,
            reason=(told if expected else f"{kind}: {told}") if told else kind,
            location=self.plan.graph.where(step.node),
            inputs={name: ", ".join(str(value) for value in values) for name, values in inputs.items()},
            params=shown,
        )

    def save(self, index: int) -> None:
        """Writes an encoded output, unless the file still is what was written."""
        step = self.steps[index]
        if self.writer is None or not step.is_encoder:
            return
        values = self.results.values[index]
        if values != ():  # written while its rows came
            self.saved(step, self.writer.write(step, values[0]) if values else None)

    def saved(self, step: Step, size: int | None) -> None:
        """An output's file is there, with so many bytes; None where it was already."""
        assert self.writer is not None
        name, path = step.node.place[1], self.writer.path(step)
        if size is not None:
            self.tell(Saved(name, str(path), size))
        with self.condition:
            self.result.saved[name] = path
            self.result.digests.update(self.writer.digests)
            self.result.beside.update(self.writer.beside)


class _Called:
    """An operation in this run: with its function, once it is loaded, and how long its calls take, the last ones most."""

    __slots__ = ("operation", "pace")

    def __init__(self) -> None:
        self.operation: Operation | None = None
        self.pace = inf


class _Report:
    """What `progress` calls in a worker, and in threads that inherit it: of the node that the worker is at."""

    __slots__ = ("node", "run")

    def __init__(self, run: _Run) -> None:
        self.run, self.node = run, ""

    def __call__(self, done: float, total: float, note: str) -> None:
        self.run.check_cancelled()
        self.run.tell(Progressed(self.node, done, total, note))


def _moved(given: Mapping[Any, Sequence[Any]], device: str) -> tuple[dict[Any, Any], int]:
    """(the values on a device, how many bytes had to move)."""
    there = {name: [move(value, device) for value in values] for name, values in given.items()}
    pairs = [pair for name in given for pair in zip(given[name], there[name], strict=True)]
    return there, sum(nbytes(new) for old, new in pairs if new is not old)


def _text(error: BaseException) -> str:
    """What an exception says; a plugin's own may fail even in that."""
    try:
        return str(error)
    except Exception as fault:
        return f"(its message failed with {type(fault).__name__})"

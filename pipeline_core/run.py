"""Carries out a plan: independent steps side by side, values dropped with their last reader, everything told as events.

The cache decides per step whether there is anything to do: a result known by its key, or by the content of its inputs,
is taken from there, and only if somebody needs its pixels. A stored result that turns out damaged is computed after all.
"""

from __future__ import annotations

import heapq
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_core.call import call
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
from pipeline_core.keys import content_key, unchanged
from pipeline_core.operation import Operation
from pipeline_core.plan import Plan, Step
from pipeline_core.save import Writer
from pipeline_core.spec import CachePolicy
from pipeline_core.values import fingerprint, move, nbytes

if TYPE_CHECKING:
    from pipeline_core.cache import Cache, Record

NEW, WAITING, RUNNING, DONE, LOST = range(5)
"""LOST: failed, or not run because something it needs failed."""


@dataclass
class Result:
    """What a run gave. `failures` is empty unless the run was told to keep going."""

    outputs: dict[str, Any] = field(default_factory=dict)
    saved: dict[str, Path] = field(default_factory=dict)
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
) -> Result:
    """Runs a plan. Raises the first NodeError (or OutputError); with `keep_going` they are all in the result.

    `jobs` worker threads (default: one per core). `guard` watches for operations that write into their inputs.
    Ctrl-C in the main thread cancels: KeyboardInterrupt is raised within a second, even if an operation goes on.
    """
    return _Run(plan, listeners, jobs or os.cpu_count() or 1, keep_going, cache, writer, guard).execute()


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
    ) -> None:
        self.plan, self.steps, self.listeners = plan, plan.steps, listeners
        self.jobs, self.keep_going, self.cache, self.writer, self.guard = jobs, keep_going, cache, writer, guard
        count = len(plan.steps)
        self.state = bytearray(count)
        self.values: list[tuple[Any, ...] | None] = [None] * count
        self.records: list[Record | None] = [None] * count
        self.digests: list[tuple[str, ...] | None] = [None] * count
        self.marks: list[int] = [0] * count
        self.sizes = [0] * count
        self.missing = [0] * count
        self.readers: list[list[int]] = [[] for _ in range(count)]
        self.uses = [0] * count
        self.sources = [tuple({source for _, links in step.sources for source, _ in links}) for step in self.steps]
        self.cost = [0.0] * count
        self.ready: list[int] = []
        self.open = 0
        self.idle = 0
        self.stopping = False
        self.cancelled = False
        self.condition = threading.Condition()
        self.telling = threading.Lock()
        self.operations: dict[int, Operation] = {}
        self.result = Result()
        self.alive = 0
        self.kept = plan.kept
        self.current = bytearray(count)
        self.read_nothing = bytearray(b"\1") * count
        self.futures: dict[int, Future[tuple[str, ...] | None]] = {}
        self.taken: set[int] = set()
        self.crash: BaseException | None = None
        self.suspects: dict[int, set[int]] = {}

    # --- from outside ---

    def execute(self) -> Result:
        keys = [step.key for step in self.steps]
        with self.cache.claim(keys) if self.cache is not None else nullcontext():
            return self.carry_out()

    def carry_out(self) -> Result:
        started = time.perf_counter()
        self.find_records()
        for index in self.plan.wanted:
            self.require(index)
        self.tell(RunStarted(len(self.steps), sum(record is not None for record in self.records)))
        workers = [threading.Thread(target=self.work, daemon=True) for _ in range(min(self.jobs, max(self.open, 1)))]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                while worker.is_alive():  # a timeout, because an untimed join can't be interrupted everywhere
                    worker.join(0.1)
        except KeyboardInterrupt:
            self.cancel(workers)
            self.finish(started)
            raise Interrupted(self.kept_nodes()) from None
        if self.crash is not None:
            raise self.crash
        if not self.result.failures or self.keep_going:
            self.collect()
        self.finish(started)
        if self.result.failures:
            self.result.kept = self.kept_nodes()
            if not self.keep_going:
                raise self.first_failure()
        return self.result

    def first_failure(self) -> PipelineError:
        failure = self.result.failures[0]
        if isinstance(failure, NodeError):
            failure.kept = self.result.kept
        return failure

    def kept_nodes(self) -> tuple[str, ...]:
        """Nodes that the next run will find in the cache."""
        if self.cache is None:
            return ()
        self.cache.flush()
        found = self.cache.find_many([step.key for step in self.steps])
        return tuple(step.name for step in self.steps if step.key in found)

    def cancel(self, workers: Sequence[threading.Thread]) -> None:
        with self.condition:
            self.cancelled = self.stopping = True
            self.condition.notify_all()
        deadline = time.monotonic() + 0.5
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))

    def finish(self, started: float) -> None:
        result = self.result
        self.count_hits()
        result.seconds = time.perf_counter() - started
        ok = not result.failures and not self.cancelled
        self.tell(
            RunFinished(
                ok,
                result.seconds,
                result.computed,
                result.cached,
                result.saved_seconds,
                result.peak_bytes,
                self.cancelled,
            )
        )

    def collect(self) -> None:
        for target in self.plan.targets:
            index = self.plan.index[target.link.node]
            if index not in self.kept:
                continue
            values = self.values[index] or self.loaded(index)
            if values is None:
                continue
            if self.guard and self.mark(values) != self.marks[index]:
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
        error = self.node_error(step, {}, RuntimeError(reason))
        self.tell(Failed(step.name, step.node.operation.name, str(error)))
        self.result.failures.append(error)

    def tell(self, event: Event) -> None:
        if self.listeners:
            with self.telling:
                for listener in self.listeners:
                    listener(event)

    # --- scheduling; everything here holds the condition, or runs before the workers do ---

    def require(self, wanted: int) -> None:
        """Schedules a step and, unless its result is known, everything it needs."""
        stack = [wanted]
        while stack:
            index = stack.pop()
            if self.state[index] not in (NEW, DONE) or (self.state[index] == DONE and self.has(index)):
                continue
            self.state[index] = WAITING
            self.open += 1
            missing = 0
            if self.records[index] is None and not self.current[index]:
                self.read_nothing[index] = False
                for source in self.sources[index]:
                    self.uses[source] += 1
                    if self.state[source] != DONE or not self.has(source):
                        self.readers[source].append(index)
                        missing += 1
                        stack.append(source)
            self.missing[index] = missing
            if not missing:
                heapq.heappush(self.ready, index)

    def has(self, index: int) -> bool:
        return self.values[index] is not None or self.records[index] is not None or bool(self.current[index])

    def settle(self, index: int, state: int) -> None:
        """A step is done or lost: its readers come nearer, what only it read is dropped."""
        self.state[index] = state
        self.open -= 1
        readers, self.readers[index] = self.readers[index], []
        lost: list[tuple[int, int]] = [(reader, index) for reader in readers] if state == LOST else []
        if state == DONE:
            for reader in readers:
                self.missing[reader] -= 1
                if not self.missing[reader] and self.state[reader] == WAITING:
                    heapq.heappush(self.ready, reader)
        self.release(index)
        while lost:
            reader, because = lost.pop()
            if self.state[reader] == WAITING:
                self.state[reader] = LOST
                self.open -= 1
                self.tell(Skipped(self.steps[reader].name, self.steps[because].name))
                lost += [(after, reader) for after in self.readers[reader]]
                self.readers[reader] = []
                self.release(reader)
        if self.values[index] is not None and not self.uses[index] and index not in self.kept:
            self.drop(index)
        if not self.open:
            self.stopping = True
        if self.stopping or (self.idle and self.ready):
            self.condition.notify_all()

    def release(self, index: int) -> None:
        """What a settled step read; a step that was taken from the cache read nothing."""
        if self.read_nothing[index]:
            return
        for source in self.sources[index]:
            self.uses[source] = max(0, self.uses[source] - 1)
            if not self.uses[source] and source not in self.kept:
                self.drop(source)

    def hold(self, index: int, values: tuple[Any, ...], size: int) -> None:
        self.values[index] = values
        self.sizes[index] = size
        self.alive += size
        self.result.peak_bytes = max(self.result.peak_bytes, self.alive)

    def drop(self, index: int) -> None:
        values = self.values[index]
        if values is not None:
            self.alive -= self.sizes[index]
            self.values[index] = None

    # --- workers ---

    def work(self) -> None:
        try:
            while True:
                with self.condition:
                    while not self.ready and not self.stopping:
                        self.idle += 1
                        self.condition.wait()
                        self.idle -= 1
                    if self.stopping:
                        return
                    index = heapq.heappop(self.ready)
                    self.state[index] = RUNNING
                self.step(index)
        except BaseException as error:  # a fault of ours or of a listener: told to the caller, never swallowed
            with self.condition:
                self.crash = self.crash or error
                self.stopping = True
                self.condition.notify_all()

    def step(self, index: int) -> None:
        step = self.steps[index]
        started = time.perf_counter()
        self.tell(Started(step.name, step.node.operation.name))
        try:
            if not self.known(index):
                given = self.gather(index)
                if given is None:  # a stored input was damaged: it is being computed, and this step waits for it
                    return
                self.compute(index, given, started)
            self.save(index)
        except Cancelled:
            with self.condition:
                self.settle(index, LOST)
            return
        except PipelineError as error:
            self.fail(index, error, started)
            return
        with self.condition:
            self.settle(index, DONE)

    def fail(self, index: int, error: PipelineError, started: float) -> None:
        step = self.steps[index]
        self.tell(Failed(step.name, step.node.operation.name, str(error), time.perf_counter() - started))
        with self.condition:
            self.result.failures.append(error)
            self.settle(index, LOST)
            if not self.keep_going:
                self.stopping = True
                self.condition.notify_all()

    def compute(self, index: int, given: dict[int, tuple[Any, ...]], started: float) -> None:
        step = self.steps[index]
        inputs = {name: [given[source][output] for source, output in links] for name, links in step.sources}
        try:
            operation = self.operation(step)
            if self.plan.device != "cpu":
                inputs = {name: [move(value, step.device) for value in values] for name, values in inputs.items()}
            if self.writer is not None and step.node.place[0] == "outputs":
                inputs = self.writer.sign(step, inputs)
            token = reporter.set(self.reporter(step))
            try:
                values = call(operation, inputs, step.node.params, step.node.kinds)
            finally:
                reporter.reset(token)
            self.check_trespass(index, given)
            for path, state in step.files.items():
                if not unchanged(path, state):
                    raise RuntimeError(f"'{path.name}' changed while it was read; run again")
        except (Cancelled, NodeError):
            raise
        except BaseException as error:
            raise self.node_error(step, inputs, error) from error
        seconds = time.perf_counter() - started
        size = sum(nbytes(value) for value in values)
        if self.guard and (self.uses[index] or index in self.kept):
            self.marks[index] = self.mark(values)
        with self.condition:
            self.hold(index, values, size)
            self.result.computed += 1
            self.result.node_seconds[step.name] = seconds
        self.keep(index, values, seconds, size)
        self.tell(
            Finished(
                step.name,
                step.node.operation.name,
                seconds,
                size,
                tuple(str(value) for value in values) if self.listeners else (),
            )
        )

    def operation(self, step: Step) -> Operation:
        operation = self.operations.get(id(step.node.operation))
        if operation is None:
            try:
                operation = self.plan.graph.catalogue.load(step.node.operation)
            except PluginError as error:
                raise PluginError(f"plugin '{step.node.operation.plugin}' did not load: {error}") from error
            self.operations[id(step.node.operation)] = operation
        return operation

    def reporter(self, step: Step) -> Callable[[float, float, str], None]:
        def report(done: float, total: float, note: str) -> None:
            if self.cancelled or (self.stopping and not self.keep_going):
                raise Cancelled
            self.tell(Progressed(step.name, done, total, note))

        return report

    def gather(self, index: int) -> dict[int, tuple[Any, ...]] | None:
        """What a step reads, by the step it comes from; None when that has to be computed again: it was put back."""
        given: dict[int, tuple[Any, ...]] = {}
        for source in self.sources[index]:
            values = self.values[source] or self.loaded(source)
            if values is None:
                self.put_back(index, source)
                return None
            given[source] = values
        return given

    def put_back(self, index: int, source: int) -> None:
        with self.condition:
            self.state[index] = WAITING
            self.missing[index] += 1
            self.readers[source].append(index)
            if self.state[source] == DONE:
                self.require(source)
            self.condition.notify_all()

    def check_trespass(self, index: int, given: dict[int, tuple[Any, ...]]) -> None:
        """Blames the operation that wrote into an input; what is damaged is not used any more.

        Checked is what this step was given: somebody who was found out before may have had the value dropped.
        """
        if not self.guard:
            return
        for source, values in given.items():
            if self.mark(values) == self.marks[source]:
                continue
            with self.condition:
                if self.values[source] is values:
                    self.drop(source)
                    self.records[source] = None
                suspects = self.suspects.setdefault(source, {index})
                suspects |= {i for i, at in enumerate(self.state) if at == RUNNING and source in self.sources[i]}
                found = [self.steps[i].node.operation for i in sorted(suspects)]
            changed = f"the value of '{self.steps[source].name}' changed while this node ran"
            plugin, *others = dict.fromkeys(f"plugin '{operation.plugin}' ('{operation.name}')" for operation in found)
            if others:
                plugin = f"one of {', '.join([plugin, *others])}"
            raise RuntimeError(f"{changed}: {plugin} writes into its input; it must clone it first")

    def mark(self, values: tuple[Any, ...]) -> int:
        return hash(tuple(fingerprint(value) for value in values))

    def node_error(self, step: Step, inputs: dict[str, list[Any]], error: BaseException) -> NodeError:
        given = self.plan.graph.spec.nodes.get(step.name)
        shown = {name: step.node.params[name] for name in (given.params if given else ()) if name in step.node.params}
        for name, value in shown.items():
            if isinstance(value, Path):
                shown[name] = str(given.params[name]) if given else value.name
        told, kind = str(error), type(error).__name__
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

    # --- the cache ---

    def find_records(self) -> None:
        """Asks once for the whole plan. An encoded file is its own record: it is current if it is what was written."""
        if self.cache is None:
            return
        found = self.cache.find_many({step.key: step.name for step in self.steps if self.may_keep(step)})
        for step in self.steps:
            if self.may_keep(step):
                self.records[step.index] = found.get(step.key)
            elif self.writer is not None and step.node.place[0] == "outputs":
                self.current[step.index] = self.writer.is_current(step)

    def may_keep(self, step: Step) -> bool:
        return step.node.place[0] == "nodes" and self.policy(step) != "never"

    def policy(self, step: Step) -> CachePolicy:
        return step.node.cache or step.node.operation.cache

    def known(self, index: int) -> bool:
        """Whether the result is recorded, by key or by the content of the inputs; its pixels are read when needed."""
        step = self.steps[index]
        if self.current[index]:
            self.tell(Finished(step.name, step.node.operation.name, 0.0, 0, (), cached=True))
            return True
        record = self.records[index]
        if record is None and self.cache is not None and self.may_keep(step) and step.sources:
            record = self.find_by_content(index)
        if record is None:
            return False
        with self.condition:
            self.records[index] = record
        self.digests[index] = record.digests
        self.tell(Finished(step.name, step.node.operation.name, 0.0, record.nbytes, (), cached=True))
        return True

    def find_by_content(self, index: int) -> Record | None:
        step = self.steps[index]
        assert self.cache is not None
        if not self.cache.may_cut_off(step.operation_key):
            return None
        made = self.content_key(index)
        record = self.cache.find_content(made, step.name) if made else None
        if record is None:
            return None
        return self.cache.remember(step.key, record, content_key=made, parts=self.plan.parts(step))

    def content_key(self, index: int) -> str | None:
        inputs = []
        for name, links in self.steps[index].sources:
            digests = [self.digest_of(source, output) for source, output in links]
            if any(found is None for found in digests):
                return None
            inputs.append((name, [found for found in digests if found is not None]))
        return content_key(self.steps[index].operation_key, inputs)

    def digest_of(self, source: int, output: int) -> str | None:
        """Content digest of an output: recorded, on its way in the cache's writer, or computed now."""
        digests = self.digests[source]
        if not digests:
            future, values = self.futures.get(source), self.values[source]
            if future is not None and (future.done() or values is None):
                digests = future.result()
            elif values is not None and self.cache is not None:
                digests = self.cache.digests(values)
            self.digests[source] = digests
        return digests[output] if digests else None

    def loaded(self, index: int) -> tuple[Any, ...] | None:
        """A recorded result read from the cache; None if it is damaged, and then it is forgotten."""
        record = self.records[index]
        if record is None or self.cache is None:
            return None
        values = self.cache.load(record, self.steps[index].name)
        with self.condition:
            if values is None:
                self.records[index] = None
                self.digests[index] = None
                return None
            self.taken.add(index)
            if self.values[index] is None and (self.uses[index] or index in self.kept):
                self.hold(index, values, sum(nbytes(value) for value in values))
                if self.guard:
                    self.marks[index] = self.mark(values)
        return values

    def keep(self, index: int, values: tuple[Any, ...], seconds: float, size: int) -> None:
        """Hands a computed result to the cache, which decides and writes behind the computation."""
        step = self.steps[index]
        self.cost[index] = seconds + sum(self.cost[s] for s in self.sources[index] if self.records[s] is None)
        cache = self.cache
        if cache is None or not self.may_keep(step):
            return
        policy = self.policy(step)
        digests = None
        if policy == "always" or cache.is_worth_storing(self.cost[index], size):
            # In this order, since the writer works in turn: the digests of the inputs, then this result.
            for source in self.sources[index]:
                held = self.values[source]
                if not self.digests[source] and source not in self.futures and held is not None:
                    self.futures[source] = cache.digests_later(held)
            digests = self.futures[index] = cache.digests_later(values)
        stored = cache.store(
            key=step.key,
            operation_key=step.operation_key,
            content_key=lambda: self.content_key(index),
            values=values,
            seconds=seconds,
            recompute_seconds=self.cost[index],
            parts=self.plan.parts(step),
            policy=policy,
            digests=digests,
            node=step.name,
        )
        if stored:
            self.cost[index] = 0.0  # what reads this result need not count it: it is there

    def count_hits(self) -> None:
        """Steps that had a result in the cache and were not computed, whether or not anybody had to ask for it."""
        result = self.result
        for step in self.steps:
            record = self.records[step.index]
            if step.name in result.node_seconds or (record is None and not self.current[step.index]):
                continue
            result.cached += 1
            if record is not None:
                result.saved_seconds += record.seconds
                if step.index not in self.taken and self.cache is not None:
                    self.cache.count_hit(record)

    # --- outputs ---

    def save(self, index: int) -> None:
        step = self.steps[index]
        if self.writer is None or step.node.place[0] != "outputs":
            return
        if self.current[index]:
            self.result.saved[step.node.place[1]] = self.writer.path(step)
            return
        values = self.values[index]
        assert values is not None
        name, path = step.node.place[1], self.writer.path(step)
        size = self.writer.write(step, values[0])
        with self.condition:
            self.result.saved[name] = path
        self.tell(Saved(name, str(path), size))

    def warn(self, message: str) -> None:
        self.tell(Warned(message))

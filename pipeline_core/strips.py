"""Carries out a group strip by strip: a few rows go through all its steps before the next rows are looked at.

For rows of the outputs it is reckoned back which rows every step needs; at the frame's edge a step sees the edge itself,
anywhere else a margin, which is cut off what it gives. What somebody outside reads is put together in reused memory, or
written to its file from the top to the bottom. Several strips are worked on at once, each in one thread. Where there is a cache the
first ones are measured: what turns out dear to make is put together too, to be kept.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from pipeline_core.buffers import keep_freed_memory, pool
from pipeline_core.call import checked, kind_type, restored, without_gradients
from pipeline_core.crew import Crew
from pipeline_core.devices import torch_if_loaded
from pipeline_core.errors import Cancelled, PipelineError
from pipeline_core.frames import Frame, Frames, NotInStrips, Part, frame_of
from pipeline_core.groups import SMALL
from pipeline_core.image import Raster
from pipeline_core.marks import RowMark, look, rows_in_memory
from pipeline_core.operation import Operation
from pipeline_core.plan import Source
from pipeline_core.rows import RowFile, Rows, Span
from pipeline_core.tiles import in_one_core
from pipeline_core.values import is_tensor
from pipeline_core.wholes import Whole

Values = tuple[Any, ...]

PROBES = 2
"""Strips that tell what each step takes, where a cache asks; the last of them counts."""


class FileFailed(Exception):  # noqa: N818  it carries the error
    """What went wrong with the file of a step that reads or writes it row by row."""

    def __init__(self, index: int, error: BaseException) -> None:
        self.index, self.error = index, error


class Trespassed(Exception):  # noqa: N818  it says into what
    """Somebody wrote into rows of a value while a strip was made of them."""

    def __init__(self, source: int) -> None:
        self.source = source


@dataclass(frozen=True)
class Member:
    """A step of a group, ready to be called: `bound` are its params, `part` says which rows it needs."""

    operation: Operation
    bound: Mapping[str, Any]
    kinds: Sequence[str]
    links: tuple[tuple[str, tuple[Source, ...]], ...]
    part: Part

    @property
    def index(self) -> int:
        return self.part.index

    def arguments(self) -> list[tuple[bool, tuple[Source, ...] | None]]:
        """For each of the function's inputs, in order: whether it takes a list, and where its values come from."""
        links = dict(self.links)
        return [
            (wanted.many, links.get(wanted.name) or (() if wanted.many and not wanted.optional else None))
            for wanted in self.operation.inputs
        ]


@dataclass(frozen=True)
class Made:
    """The values that were put together, by step; each step's part of the seconds; how many strips there were.

    compiled  the steps that were part of a compiled program
    marks     of what was watched or is marked
    """

    values: dict[int, Values]
    seconds: dict[int, float]
    strips: int = 0
    compiled: frozenset[int] = frozenset()
    marks: dict[int, RowMark] = field(default_factory=dict)


WorthKeeping = Callable[[Mapping[int, float], Mapping[int, int]], Sequence[int]]
Sink = Callable[[Any, int], None]
"""Takes the next rows of a file, and how many they are altogether."""


def carry_out(
    members: Sequence[Member],
    outputs: Sequence[int],
    given: Mapping[int, Values],
    *,
    jobs: int,
    worth_keeping: WorthKeeping | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
    sinks: Mapping[int, Sink] | None = None,
    rows: int | None = None,
    watched: Sequence[int] = (),
    marked: Sequence[int] = (),
) -> Made:
    """`members` in their order, the steps whose values are wanted, and the values of the steps they read. `rows` of a strip are chosen by their bytes, unless given.

    `worth_keeping`, if given, is asked once, with seconds and bytes of every step as measured, for steps to put together
    besides the outputs. `told` hears how many strips of how many are done, and may raise Cancelled. `sinks` take the rows of the
    steps that write a file. `watched` are steps whose values are looked at before and after each strip that reads them: Trespassed.
    `marked` are outputs that are looked at while they are made.
    NotInStrips where it can't be done this way, nothing is lost then but time; FileFailed.
    """
    keep_freed_memory()
    try:
        return _Strips(members, outputs, given, sinks or {}, rows, watched, marked).carry_out(jobs, worth_keeping, told)
    finally:
        for member in members:
            if isinstance(member.part.rows, Rows):
                member.part.rows.close()
        pool.rest()


class _Strip(NamedTuple):
    """Rows of the outputs that are made together: which, the rows that each step has to give, and those read from files."""

    number: int
    spans: dict[int, Span]
    needed: dict[int, Span]
    read: dict[int, _Rows]


class _Probes:
    """The first strips, until they have told what is worth keeping: which steps' rows are put together besides the outputs."""

    def __init__(self, worth_keeping: WorthKeeping, wanted: int, *, holds: bool) -> None:
        self.worth_keeping, self.wanted = worth_keeping, wanted
        self.holds = holds
        """Whether rows are held until then. Else their memory is used again, and strips run once more where it has to be."""
        self.lock = threading.Lock()
        self.seconds: dict[int, dict[int, float]] = {}
        self.begun: list[int] = []
        self.held: list[tuple[_Strip, dict[int, _Rows]]] = []
        self.nbytes: dict[int, int] = {}
        """Of a row of each step."""
        self.chosen: Sequence[int] | None = None


class _Strips:
    def __init__(
        self,
        members: Sequence[Member],
        outputs: Sequence[int],
        given: Mapping[int, Values],
        sinks: Mapping[int, Sink],
        rows: int | None,
        watched: Sequence[int],
        marked: Sequence[int],
    ) -> None:
        self.marked = marked
        self.given, self.sinks = given, sinks
        self.watched = {source: rows_in_memory(given[source]) for source in watched}
        self.marks: dict[int, dict[Span, list[int]]] = {source: {} for source in watched}
        parts = [member.part for member in members]
        frames = {source: frame for source, values in given.items() if (frame := _frame(values)) is not None}
        self.frames = Frames(parts, outputs, frames)
        if rows is None and max(frame.nbytes for frame in self.frames.of.values()) <= SMALL:
            raise NotInStrips
        readers = {m.index: sum(m.index in reader.part.sources for reader in members) for m in members}
        last = {source: member.index for member in members for source in member.part.sources if source in readers}
        jobs = {m.index: _Job(m, self.frames, readers, last) for m in members}
        self.jobs = [jobs[m.index] for m in members if m.part.sources]
        self.files = [jobs[m.index] for m in members if not m.part.sources]
        """Read from a file, one strip after the other; several files side by side."""
        self.taken = dict.fromkeys([job.index for job in self.files], 0)
        """The strip whose rows each file gives next."""
        self.members = list(jobs)
        self.whole: dict[int, list[Whole]] = {i: [] for i in outputs if i not in sinks}
        self.rows = rows or self.frames.rows_of_a_strip()
        self.count = -(-self.frames.height // self.rows)
        self.failures: list[BaseException] = []
        self.probes: _Probes | None = None
        self.taking = threading.Lock()
        self.written = 0
        self.turns = threading.Condition()

    def carry_out(
        self,
        jobs: int,
        worth_keeping: WorthKeeping | None,
        told: Callable[[int, int], None],
    ) -> Made:
        started = time.perf_counter()
        workers = min(jobs, self.count)
        crew = Crew(workers)
        self.left = deque(range(self.count))
        if worth_keeping is not None:
            in_order = bool(self.files or self.sinks)
            self.probes = _Probes(worth_keeping, min(PROBES, self.count), holds=in_order)
        with restored(), _OneThread(workers) as one_thread, in_one_core() if workers > 1 else nullcontext():
            spent = dict.fromkeys(self.members, 0.0)
            done = itertools.count(1)

            def work(worker: int) -> None:
                own = dict.fromkeys(spent, 0.0)
                try:
                    one_thread.begin()
                    with without_gradients():
                        while crew.needs(worker) and not self.failures:
                            with self.taking:
                                number = self.left.popleft() if self.left else None
                            if number is None:
                                break
                            strip = self._take(number, own)
                            if self.failures:
                                break
                            crew.timed(number, partial(self._carry_out, strip, own))
                            told(min(next(done), self.count), self.count)
                except BaseException as error:  # told to the caller, in his thread
                    with self.turns:
                        self.failures.append(error)
                        self.turns.notify_all()
                with self.taking:
                    for index, seconds in own.items():
                        spent[index] += seconds

            threads = [threading.Thread(target=copy_context().run, args=(work, n)) for n in range(1, workers)]
            for thread in threads:
                thread.start()
            work(0)
            crew.end()
            for thread in threads:
                thread.join()
        if self.failures:
            raise next((error for error in self.failures if isinstance(error, Trespassed)), self.failures[0])
        return self._made(spent, time.perf_counter() - started)

    def _carry_out(self, strip: _Strip, spent: dict[int, float]) -> float:
        """Makes these rows; seconds of a call. The first ones tell meanwhile what each step takes."""
        before = sum(spent.values())
        self._make(strip, spent)
        return (sum(spent.values()) - before) / len(strip.needed)

    def _make(self, strip: _Strip, spent: dict[int, float]) -> None:
        probes = self.probes
        if probes is None or probes.chosen is not None:
            self._run(strip, spent)
            return
        before = dict(spent)
        probes.begun.append(strip.number)
        made = self._run(strip, spent, probes)
        with probes.lock:
            if strip.number < probes.wanted:
                probes.seconds[strip.number] = {i: (spent[i] - before[i]) / self._height(strip, i) for i in before}
            if made:
                probes.held.append((strip, made))
            if probes.chosen is None and len(probes.seconds) == probes.wanted:
                chosen = self._choose(probes)
                self.whole = self.whole | {index: [] for index in chosen}  # before others begin to rely on it
                probes.chosen = chosen
                if chosen and not probes.holds:
                    self.left.extend(probes.begun)
            held, probes.held = (probes.held, []) if probes.chosen is not None else ([], probes.held)
        for index in probes.chosen or ():
            for other, rows in held:
                self._put(index, rows[index], other.spans[self.frames.ends[0]])

    def _height(self, strip: _Strip, index: int) -> int:
        start, stop = strip.needed.get(index, (0, 1))
        return stop - start

    def _choose(self, probes: _Probes) -> Sequence[int]:
        """What is worth keeping, by the last of the strips that are asked: the first ones find nothing in the caches."""
        end = self.frames.of[self.frames.ends[0]]
        if any(frame[:2] != end[:2] for frame in self.frames.of.values()):
            return ()
        seconds = {
            i: taken * end.height for i, taken in probes.seconds[probes.wanted - 1].items() if i in probes.nbytes
        }
        return probes.worth_keeping(seconds, {i: size * end.height for i, size in probes.nbytes.items()})

    def _made(self, spent: Mapping[int, float], seconds: float) -> Made:
        total = sum(spent.values()) or 1.0
        shares = {index: seconds * part / total for index, part in spent.items()}
        values = {index: tuple(whole.value() for whole in parts) for index, parts in self.whole.items()}
        marks = {source: RowMark(seen) for source, seen in self.marks.items()}
        for index in self.marked:
            seen = [whole.seen for whole in self.whole[index]]
            marks[index] = RowMark({span: [n for one in seen for n in one[span]] for span in seen[0]})
        return Made(values, shares, self.count, marks=marks)

    # --- one strip ---

    def _take(self, number: int, spent: dict[int, float]) -> _Strip:
        """What a strip is. Each file is read from the top to the bottom, when all strips above have been read of it."""
        spans = self.frames.spans(number * self.rows, min((number + 1) * self.rows, self.frames.height))
        needed = self.frames.needed(spans)
        read = {}
        for job in self.files:
            index = job.index
            with self.turns:
                self.turns.wait_for(lambda index=index: self.taken[index] == number or bool(self.failures))  # type: ignore[misc]  # the loop's index
            if self.failures:
                break
            if index in needed:
                start, stop = needed[index]
                read[index] = _Rows(self._call(job, start, stop, [], spent), start, stop)
            with self.turns:
                self.taken[index] += 1
                self.turns.notify_all()
        return _Strip(number, spans, needed, read)

    def _run(self, strip: _Strip, spent: dict[int, float], probes: _Probes | None = None) -> dict[int, _Rows]:
        """Runs all steps for these rows of the outputs; what they gave, as far as it is held."""
        seen: dict[tuple[int, Span], list[int]] = {}
        written: list[tuple[int, Any]] = []
        try:
            strips = self._steps(strip, spent, probes, seen, written)
        finally:  # an operation that writes may fail, too
            for (source, span), before in seen.items():
                if look(self.watched[source], *span) != before:
                    raise Trespassed(source)
                self.marks[source][span] = before
        if self.sinks:
            self._write(strip.number, written, spent)
        return strips

    def _steps(
        self,
        strip: _Strip,
        spent: dict[int, float],
        probes: _Probes | None,
        seen: dict[tuple[int, Span], list[int]],
        written: list[tuple[int, Any]],
    ) -> dict[int, _Rows]:
        """`seen` gets what the rows look like that are read, `written` what files get."""
        holds = probes is not None and probes.holds
        strips = strip.read
        for index in self.whole.keys() & strips.keys():
            self._put(index, strips[index], strip.spans[index])
        for job in self.jobs:
            index, wanted = job.index, strip.needed.get(job.index)
            if wanted is None:
                continue
            start, stop = wanted
            low, high = wanted if job.reads_the_same else self.frames.read(job.part, wanted)
            given = [
                links
                if links is None
                else [self._cut(*link, low, high, strips, seen) for link in links]
                if many
                else self._cut(*links[0], low, high, strips, seen)
                for many, links in job.arguments
            ]
            if job.writes:
                written.append((index, given[0]))
                continue
            if job.part.rows is not None:
                low, high = start, stop
            values = self._call(job, low, high, given, spent)
            for source in job.shared:
                if (rows := strips.get(source)) is not None and rows.is_changed():
                    raise NotInStrips  # whoever writes into what others read is found on whole values
            if low != start or high != stop:
                values = tuple([_cut_rows(value, start - low, stop - low) for value in values])
            made = _Rows(values, start, stop)
            if job.is_shared:
                made.protect()
            if index in self.whole:
                self._put(index, made, strip.spans.get(index) or strip.spans[self.frames.ends[0]])
            if probes is not None:
                probes.nbytes[index] = sum([value.nbytes for value in values]) // (stop - start)
            if job.is_read or holds:
                strips[index] = made
            del given, values, made
            if not holds:
                for source in job.last_of:
                    strips.pop(source, None)
        return strips if holds else {}

    def _call(self, job: _Job, low: int, high: int, given: list[Any], spent: dict[int, float]) -> Values:
        """The step's rows from `low` to `high`."""
        began = time.perf_counter()
        try:
            result = job.function(*given, **job.bound) if job.make is None else job.make(low, high, *given)
            values = (result,) if type(result) is job.kind else checked(job.operation, result, job.kinds)
        except Cancelled:
            raise
        except BaseException as error:  # what it says of a strip is not for people: the run calls it on the whole
            if not job.part.sources:
                raise FileFailed(job.index, error) from error
            raise NotInStrips from error
        spent[job.index] += time.perf_counter() - began
        for value in values:
            _, rows, width, _ = value.shape
            if rows != high - low or width != job.width or value.device != "cpu":
                raise NotInStrips
            if job.tiles is not None and value.wrap[1] != job.tiles:
                raise NotInStrips
        return values

    def _cut(
        self,
        source: int,
        output: int,
        low: int,
        high: int,
        strips: Mapping[int, _Rows],
        seen: dict[tuple[int, Span], list[int]],
    ) -> Any:
        rows = strips.get(source)
        if rows is not None:
            value = rows.values[output]
            if rows.start == low and rows.stop == high:
                return value
            return value.with_buffer(value.buffer[:, low - rows.start : high - rows.start])
        value = self.given[source][output]
        if not isinstance(value, Raster):
            return value
        if low >= 0 and high <= value.height:
            if source in self.watched and (source, (low, high)) not in seen:
                seen[source, (low, high)] = look(self.watched[source], low, high)
            return value.with_buffer(value.buffer[:, low:high])
        return value.with_buffer(_tiled_rows(value.buffer, low, high))

    def _put(self, index: int, strip: _Rows, span: Span) -> None:
        """Takes the rows that are asked for over into the whole; of a strip, margins are left out."""
        parts = self.whole[index]
        if not parts:
            with self.taking:
                if not parts:
                    marked = index in self.marked
                    parts += [Whole(value, self.frames.of[index].height, marked=marked) for value in strip.values]
        for whole, value in zip(parts, strip.values, strict=True):
            whole.put(_cut_rows(value, span[0] - strip.start, span[1] - strip.start), *span)

    def _write(self, number: int, written: Sequence[tuple[int, Any]], spent: dict[int, float]) -> None:
        """When all strips above are written."""
        with self.turns:
            self.turns.wait_for(lambda: self.written == number or bool(self.failures))
            if self.failures:
                return
        for index, value in written:
            began = time.perf_counter()
            try:
                self.sinks[index](value, self.frames.of[index].height)
            except (Cancelled, PipelineError):
                raise
            except BaseException as error:
                raise FileFailed(index, error) from error
            spent[index] += time.perf_counter() - began
        with self.turns:
            self.written += 1
            self.turns.notify_all()


class _OneThread:
    """Torch's kernels stay in the worker that calls them: other cores work on other strips.

    Several threads for what takes microseconds cost more than they gain, and far more where a core is busy otherwise.
    """

    def __init__(self, workers: int) -> None:
        torch = torch_if_loaded()
        self._count = torch.get_num_threads() if torch is not None else 1
        self._last, self._begun = workers, itertools.count(1)

    def __enter__(self) -> _OneThread:
        return self

    def begin(self) -> None:
        """In each worker."""
        if self._count > 1:
            torch = torch_if_loaded()
            torch.set_num_threads(1)
            # It sets the calling thread's number, and what threads to come begin with; those are none of our business.
            if next(self._begun) == self._last:
                elsewhere = threading.Thread(target=torch.set_num_threads, args=(self._count,))
                elsewhere.start()
                elsewhere.join()

    def __exit__(self, *_: object) -> None:
        if self._count > 1:
            torch_if_loaded().set_num_threads(self._count)


class _Job:
    """A member and all that is the same for every strip: thousands of them are no time to look things up."""

    __slots__ = (
        "arguments", "bound", "function", "index", "is_read", "is_shared", "kind", "kinds", "last_of", "make", "operation",
        "part", "reads_the_same", "shared", "tiles", "width", "writes",
    )  # fmt: skip

    def __init__(self, member: Member, frames: Frames, readers: Mapping[int, int], last: Mapping[int, int]) -> None:
        part, operation = member.part, member.operation
        frame = frames.of[member.index]
        self.index, self.part, self.operation, self.kinds = member.index, part, operation, member.kinds
        self.function: Callable[..., Any] = operation.function  # type: ignore[assignment]  # a member's is loaded
        self.make = part.rows.make if isinstance(part.rows, Rows) else None
        self.bound, self.arguments = member.bound, member.arguments()
        self.kind = kind_type(self.kinds[0]) if len(operation.outputs) == 1 else None
        """What it returns, where that is one value."""
        self.width, self.tiles = frame.width, frame.tiles if frames.has_margins else None
        self.reads_the_same = part.rows is None and not part.reach
        self.writes = isinstance(part.rows, RowFile)
        self.is_read, self.is_shared = readers[self.index] > 0, readers[self.index] > 1
        self.shared = [source for source in part.sources if readers.get(source, 0) > 1]
        """What it reads that others read, too: that must stay what it was."""
        self.last_of = [source for source, reader in last.items() if reader == self.index]
        """The strips that nobody needs after it: their memory is used again while it is in the core's cache."""


class _Rows:
    """Rows `start` to `stop` of a step's values."""

    __slots__ = ("_versions", "start", "stop", "values")

    def __init__(self, values: Values, start: int, stop: int) -> None:
        self.values, self.start, self.stop = values, start, stop
        self._versions: list[int] = []

    def protect(self) -> None:
        """Arrays refuse to be written to; tensors count it."""
        for value in self.values:
            if isinstance(value.buffer, np.ndarray):
                value.buffer.flags.writeable = False
        self._versions = self._now()

    def is_changed(self) -> bool:
        return bool(self._versions) and self._versions != self._now()

    def _now(self) -> list[int]:
        return [value.buffer._version for value in self.values if is_tensor(value.buffer)]


def _frame(values: Values) -> Frame | None:
    """Of what is cut; None where there is nothing to cut. NotInStrips where it differs, or is not in CPU memory."""
    rasters = [value for value in values if isinstance(value, Raster)]
    if len({value.size for value in rasters}) > 1 or any(value.device != "cpu" for value in rasters):
        raise NotInStrips
    return frame_of(max(rasters, key=lambda value: value.nbytes)) if rasters else None


def _cut_rows(value: Raster, start: int, stop: int) -> Raster:
    if start == 0 and stop == value.height:
        return value
    return value.with_buffer(value.buffer[:, start:stop])


def _tiled_rows(buffer: Any, low: int, high: int) -> Any:
    """Rows of a picture that tiles: those beyond an edge come from the other side."""
    rows = np.arange(low, high) % buffer.shape[1]
    if isinstance(buffer, np.ndarray):
        return buffer[:, rows]
    import torch

    return buffer[:, torch.from_numpy(rows)]

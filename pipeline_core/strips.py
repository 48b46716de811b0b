"""Carries out a group strip by strip: a few rows go through all its steps before the next rows are looked at.

For rows of the outputs it is reckoned back which rows every step needs; at the frame's edge a step sees the edge itself,
anywhere else a margin, which is cut off what it gives. What somebody outside reads is put together in reused memory.
The first strips are measured: what turns out dear to make is put together too, to be kept, and steps that leave cores
idle are run on several strips at once.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_core.buffers import pool
from pipeline_core.call import invoke, restored, without_gradients
from pipeline_core.errors import Cancelled
from pipeline_core.groups import SMALL, bytes_in_floats
from pipeline_core.image import Raster
from pipeline_core.operation import Operation
from pipeline_core.plan import Source
from pipeline_core.values import is_tensor

Values = tuple[Any, ...]
Span = tuple[int, int]

STRIP = 1 << 20
"""Bytes of a strip in float32, so that one and what is made of it lie in a core's cache, and malloc reuses its memory."""
KEPT = 31 << 20
"""The largest block of freed memory that the C library keeps for later."""
LEAST = 16
"""Rows of a strip at least."""
PROBES = 2
"""Strips that are run first, one after the other, and measured; the last of them counts."""


class NotInStrips(Exception):  # noqa: N818  not a fault: the steps are run one by one then
    """These values can't be cut, or a step failed on a strip of them."""


@dataclass(frozen=True)
class Member:
    """A step of a group, ready to be called: `bound` are its params, `reach` the rows it needs above and below."""

    index: int
    operation: Operation
    bound: Mapping[str, Any]
    kinds: Sequence[str]
    links: tuple[tuple[str, tuple[Source, ...]], ...]
    reach: int

    @property
    def sources(self) -> set[int]:
        return {source for _, links in self.links for source, _ in links}


@dataclass(frozen=True)
class Made:
    """The values that were put together, by step; each step's part of the seconds; how many strips there were."""

    values: dict[int, Values]
    seconds: dict[int, float]
    strips: int


def carry_out(
    members: Sequence[Member],
    outputs: Sequence[int],
    given: Mapping[int, Values],
    *,
    jobs: int,
    worth_keeping: Callable[[Mapping[int, float], Mapping[int, int]], Sequence[int]] = lambda seconds, nbytes: (),
    told: Callable[[int, int], None] = lambda done, total: None,
    rows: int | None = None,
) -> Made:
    """`members` in their order, the steps whose values are wanted, and the values of the steps they read. `rows` of a strip are chosen by their bytes, unless given.

    `worth_keeping` is asked once, with seconds and bytes of every step as measured, for steps to put together besides
    the outputs. `told` hears how many strips of how many are done, and may raise Cancelled. NotInStrips where it can't
    be done this way; nothing is lost then but time.
    """
    return _Strips(members, outputs, given, rows).carry_out(jobs, worth_keeping, told)


class _Strips:
    def __init__(
        self,
        members: Sequence[Member],
        outputs: Sequence[int],
        given: Mapping[int, Values],
        rows: int | None,
    ) -> None:
        self.members, self.given = members, given
        rasters = [value for values in given.values() for value in values if isinstance(value, Raster)]
        self.needs_margins = any(member.reach for member in members)
        self.height, self.width = _frame(rasters)
        if rows is None and max(map(bytes_in_floats, rasters)) <= SMALL:
            raise NotInStrips
        tiles = {value.wrap[1] for value in rasters}
        if self.needs_margins and len(tiles) > 1:
            raise NotInStrips
        self.wraps = self.needs_margins and tiles == {True}
        self.readers = {m.index: sum(m.index in reader.sources for reader in members) for m in members}
        last = {source: member.index for member in members for source in member.sources if source in self.readers}
        self.dying = {m.index: [source for source, reader in last.items() if reader == m.index] for m in members}
        """The strips that nobody needs once a step is done: their memory is used again while it is in the core's cache."""
        self.whole: dict[int, list[_Whole]] = {i: [] for i in outputs}
        rows = rows or self._rows_of_a_strip(rasters)
        self.spans = [(start, min(start + rows, self.height)) for start in range(0, self.height, rows)]

    def _rows_of_a_strip(self, rasters: Sequence[Raster]) -> int:
        """As many as fit a core's cache, but enough that margins are less than half of the work."""
        bytes_of_a_row = max(map(bytes_in_floats, rasters)) // self.height
        needed = self._needed((0, 1))
        margin = max(needed[member.index][1] - 1 + member.reach for member in self.members)
        return max(LEAST, 4 * margin, STRIP // bytes_of_a_row)

    def carry_out(
        self,
        jobs: int,
        worth_keeping: Callable[[Mapping[int, float], Mapping[int, int]], Sequence[int]],
        told: Callable[[int, int], None],
    ) -> Made:
        started = time.perf_counter()
        _keep_freed_memory()
        with restored(), without_gradients(), _in_one_thread():
            spent, busy = self._probe(worth_keeping, told)
            left = iter(self.spans[PROBES:])
            count = min(round(jobs / max(busy, 1.0)), len(self.spans) - PROBES)
            taking, done = threading.Lock(), itertools.count(PROBES + 1)
            failures: list[BaseException] = []

            def work() -> None:
                own = dict.fromkeys(spent, 0.0)
                try:
                    with without_gradients(), _in_one_thread():
                        while not failures:
                            with taking:
                                span = next(left, None)
                            if span is None:
                                break
                            self._strip(span, own)
                            told(next(done), len(self.spans))
                except BaseException as error:  # told to the caller, in his thread
                    failures.append(error)
                with taking:
                    for index, seconds in own.items():
                        spent[index] += seconds

            threads = [threading.Thread(target=copy_context().run, args=(work,)) for _ in range(count - 1)]
            for thread in threads:
                thread.start()
            work()
            for thread in threads:
                thread.join()
        if failures:
            raise failures[0]
        return self._made(spent, time.perf_counter() - started)

    def _probe(
        self,
        worth_keeping: Callable[[Mapping[int, float], Mapping[int, int]], Sequence[int]],
        told: Callable[[int, int], None],
    ) -> tuple[dict[int, float], float]:
        """(seconds of each step so far, how many cores the last strip kept busy)."""
        spent: dict[int, float] = dict.fromkeys(self.readers, 0.0)
        kept: list[tuple[Span, dict[int, _Rows]]] = []
        busy = 1.0
        for done, span in enumerate(self.spans[:PROBES], 1):
            before = dict(spent)
            wall, cpu = time.perf_counter(), time.process_time()
            kept.append((span, self._strip(span, spent, keeps=True)))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            busy = cpu / wall if wall else 1.0
            told(done, len(self.spans))
        rows = span[1] - span[0]
        seconds = {i: (spent[i] - before[i]) * self.height / rows for i in spent}
        nbytes = {
            i: sum(value.nbytes for value in strip.values) * self.height // strip.rows
            for i, strip in kept[-1][1].items()
        }
        for index in worth_keeping(seconds, nbytes):
            self.whole[index] = []
            for span, strips in kept:
                self._put(index, strips[index], span)
        return spent, busy

    def _made(self, spent: Mapping[int, float], seconds: float) -> Made:
        total = sum(spent.values()) or 1.0
        shares = {index: seconds * part / total for index, part in spent.items()}
        values = {index: tuple(whole.value() for whole in parts) for index, parts in self.whole.items()}
        return Made(values, shares, len(self.spans))

    # --- one strip ---

    def _needed(self, span: Span) -> dict[int, Span]:
        """The rows that each step has to give, so that these rows of the outputs can be made."""
        needed: dict[int, Span] = dict.fromkeys(self.whole, span)
        for member in reversed(self.members):
            start, stop = needed[member.index]
            low, high = self._clipped(start - member.reach, stop + member.reach)
            for source in member.sources:
                if source in self.readers:
                    old = needed.get(source, (low, high))
                    needed[source] = (min(low, old[0]), max(high, old[1]))
        return needed

    def _clipped(self, start: int, stop: int) -> Span:
        """Rows beyond the frame are the other side's where it tiles; elsewhere there are none."""
        return (start, stop) if self.wraps else (max(start, 0), min(stop, self.height))

    def _strip(self, span: Span, spent: dict[int, float], *, keeps: bool = False) -> dict[int, _Rows]:
        """Runs all steps for these rows of the outputs; what they gave, as far as it is kept."""
        needed = self._needed(span)
        strips: dict[int, _Rows] = {}
        for member in self.members:
            start, stop = needed[member.index]
            low, high = self._clipped(start - member.reach, stop + member.reach)
            inputs = {
                name: [self._cut(source, output, low, high, strips) for source, output in links]
                for name, links in member.links
            }
            began = time.perf_counter()
            try:
                values = invoke(member.operation, inputs, member.bound, member.kinds)
            except Cancelled:
                raise
            except BaseException as error:  # what it says of a strip is not for people: the run calls it on the whole
                raise NotInStrips from error
            spent[member.index] += time.perf_counter() - began
            for value in values:
                if value.height != high - low or value.width != self.width or value.device != "cpu":
                    raise NotInStrips
                if self.needs_margins and value.wrap[1] != self.wraps:
                    raise NotInStrips
            self._check_inputs(member, strips)
            made = _Rows(tuple(_cut_rows(value, start - low, stop - low) for value in values), start, stop)
            if self.readers[member.index] > 1:
                made.protect()
            if member.index in self.whole:
                self._put(member.index, made, span)
            if self.readers[member.index] or keeps:
                strips[member.index] = made
            del inputs, values, made
            for source in () if keeps else self.dying[member.index]:
                del strips[source]
        return strips

    def _cut(self, source: int, output: int, low: int, high: int, strips: Mapping[int, _Rows]) -> Any:
        if source in strips:
            rows = strips[source]
            return _cut_rows(rows.values[output], low - rows.start, high - rows.start)
        value = self.given[source][output]
        if not isinstance(value, Raster):
            return value
        if low >= 0 and high <= self.height:
            return value.with_buffer(value.buffer[:, low:high])
        return value.with_buffer(_tiled_rows(value.buffer, low, high))

    def _check_inputs(self, member: Member, strips: Mapping[int, _Rows]) -> None:
        """A strip that several steps read must stay what it was: whoever writes into one is found on whole values."""
        for source in member.sources:
            if source in strips and strips[source].is_changed():
                raise NotInStrips

    def _put(self, index: int, strip: _Rows, span: Span) -> None:
        """Takes the rows that are asked for over into the whole; of a strip, margins are left out."""
        parts = self.whole[index]
        if not parts:
            parts += [_Whole(value, self.height) for value in strip.values]
        for whole, value in zip(parts, strip.values, strict=True):
            whole.put(_cut_rows(value, span[0] - strip.start, span[1] - strip.start), *span)


def _keep_freed_memory() -> None:
    """Strips come and go in blocks of a few MiB, and to get them from the system each time is dear.

    The C library keeps what is freed once it has seen a block of such a size come and go (mallopt(3) on the dynamic
    M_MMAP_THRESHOLD); the pages of this one are never touched.
    """
    np.empty(KEPT, np.uint8)


class _in_one_thread:  # noqa: N801  a context manager, read as one
    """Torch's kernels stay in the thread that calls them: other cores work on other strips.

    Several threads for what takes microseconds cost more than they gain, and far more where a core is busy otherwise.
    """

    __slots__ = ("count",)

    def __enter__(self) -> None:
        torch = sys.modules.get("torch")
        self.count = torch.get_num_threads() if torch is not None else 1
        if torch is not None and self.count > 1:
            torch.set_num_threads(1)
            # It sets the calling thread's number, and what threads to come begin with; those are none of our business.
            elsewhere = threading.Thread(target=torch.set_num_threads, args=(self.count,))
            elsewhere.start()
            elsewhere.join()

    def __exit__(self, *_: object) -> None:
        if self.count > 1:
            sys.modules["torch"].set_num_threads(self.count)


class _Rows:
    """Rows `start` to `stop` of a step's values."""

    def __init__(self, values: Values, start: int, stop: int) -> None:
        self.values, self.start, self.stop = values, start, stop
        self._versions: list[int] = []

    @property
    def rows(self) -> int:
        return self.stop - self.start

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


class _Whole:
    """One output's value while it is put together."""

    def __init__(self, first: Raster, height: int) -> None:
        """In the memory order that the first strip has, so that it is as if it had been made whole."""
        self.first = first
        array = _as_array(first.buffer)
        shape = [array.shape[0], height, *array.shape[2:]]
        order = sorted(range(4), key=lambda axis: (array.shape[axis] > 1, -abs(array.strides[axis])))
        memory = pool.empty([shape[axis] for axis in order], array.dtype)
        self.array = memory.transpose(np.argsort(order).tolist())

    def put(self, value: Raster, start: int, stop: int) -> None:
        array = _as_array(value.buffer)
        if (
            not _same_facts(value, self.first)
            or array.dtype != self.array.dtype
            or array.shape[::3] != self.array.shape[::3]
        ):
            raise NotInStrips
        np.copyto(self.array[:, start:stop], array)

    def value(self) -> Raster:
        if not is_tensor(self.first.buffer):
            return self.first.with_buffer(self.array)
        import torch

        return self.first.with_buffer(torch.from_numpy(self.array))


def _frame(rasters: Sequence[Raster]) -> tuple[int, int]:
    """The (height, width) of everything that is cut. NotInStrips where they differ, or are not in CPU memory."""
    frames = {(value.height, value.width, value.device) for value in rasters}
    if len(frames) != 1:
        raise NotInStrips
    height, width, device = frames.pop()
    if device != "cpu":
        raise NotInStrips
    return height, width


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


def _as_array(buffer: Any) -> np.ndarray[Any, Any]:
    return buffer if isinstance(buffer, np.ndarray) else buffer.detach().numpy()


def _same_facts(value: Raster, other: Raster) -> bool:
    """All but the buffers."""
    names = ("channels", "color", "alpha", "wrap", "meta")
    return all(getattr(value, name, None) == getattr(other, name, None) for name in names)

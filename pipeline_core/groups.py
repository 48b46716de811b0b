"""Which steps are carried out together: consecutive ones of which every output row needs few input rows.

On the CPU that is strip by strip, on an accelerator by programs that are compiled of them, where that is asked for.

Inside a group values exist as strips of rows alone, which stay in a core's cache; whole is only what somebody outside
reads. A group never waits for something that waits for it. Whether its pictures are large enough, and fit together, shows
when they are there; static facts spare the attempt.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_core.frames import DEAREST, Frame, Frames, NotInStrips, Part, bytes_in_floats, frame_of
from pipeline_core.image import Raster
from pipeline_core.operation import Operation, bind, support_radius
from pipeline_core.plan import Plan, Step
from pipeline_core.rows import RowFile, Rows

SMALL = 8 << 20
"""Bytes of a value up to which strips gain nothing: it stays in the cache anyway, and every result of it is kept."""
REACH = 64
"""Rows above and below that an operation may need: with more, most of a strip is margin."""
MARGIN = 32
"""Rows of margin that may add up inside a group: they are computed again for every strip."""
LONGEST = 64
"""Steps of a group."""
STREAMED = 512 << 20
"""Bytes of a picture in floats from which its rows are read from its file, or written to it, as they are needed.

Smaller ones are decoded and encoded whole: that is faster, on all cores. But where a file's rows come as fast as that, it is read by
rows from `SMALL` on.
"""
RASTERS = frozenset(("Image", "Mask"))


@dataclass(frozen=True)
class Group:
    """Steps in their order; `outputs` are those whose values are made whole or written, the last step among them.

    parts    what each step reads, and which rows of it
    sources  the steps outside that it reads
    """

    parts: tuple[Part, ...]
    outputs: tuple[int, ...]
    sources: tuple[int, ...]

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple([part.index for part in self.parts])

    @property
    def leader(self) -> int:
        """The step under whose number the group is scheduled."""
        return self.parts[-1].index

    @property
    def streams(self) -> bool:
        """Whether it reads or writes a file row by row: then a picture may be larger than the memory."""
        return any(isinstance(part.rows, RowFile) or not part.sources for part in self.parts)


def form(
    plan: Plan,
    needed: Sequence[int],
    load: Callable[[Step], Operation],
    *,
    writes: bool = False,
    strips: bool = True,
    compiled: bool = False,
) -> list[Group]:
    """The groups among the steps that a run has to carry out (`needed`, in order).

    `load` gives a step's operation with its function; what it raises is left to the run. `writes` tells that encoded
    outputs become files, so that these can be written row by row. `strips` allows groups on the CPU, `compiled` on an accelerator.
    """
    parts = {}
    for index in needed:
        step = plan.steps[index]
        if step.node.operation.tiles and (strips if step.device == "cpu" else compiled):
            part = _part(plan, index, load, writes) if step.device == "cpu" else _part_elsewhere(plan, index, load)
            if part is not None:
                parts[index] = part
    apart = {
        (source, index)
        for index in parts
        for source in parts[index].sources
        if plan.steps[source].device != plan.steps[index].device
    }
    while parts:
        found = _formed(plan, needed, parts, apart)
        refused = {index for group in found for index in _whole_after_all(group, plan)}
        cut = {link for group in found for link in _dearest_links(group, plan)}
        if not refused and not cut:
            return found
        for index in refused:
            del parts[index]
        apart |= cut
    return []


def _formed(plan: Plan, needed: Sequence[int], parts: dict[int, Part], apart: set[tuple[int, int]]) -> list[Group]:
    """Groups of these parts, in which no link of `apart` lies."""
    steps, wanted = plan.steps, set(needed)
    sources = {i: steps[i].reads for i in needed}
    readers: dict[int, list[int]] = {i: [] for i in needed}
    for i in needed:
        for source in sources[i]:
            if source in wanted:
                readers[source].append(i)
    found = []
    for members in _connected(needed, parts, *_levels(needed, sources, readers, parts, plan.kept, apart)):
        inside = set(members)
        outputs = tuple(
            i for i in members if i in plan.kept or not readers[i] or any(reader not in inside for reader in readers[i])
        )
        outside = tuple(dict.fromkeys(s for i in members for s in sources[i] if s not in inside))
        found.append(Group(tuple(parts[i] for i in members), outputs, outside))
    return found


def _part(plan: Plan, index: int, load: Callable[[Step], Operation], writes: bool) -> Part | None:
    """What of its inputs a step on the CPU needs; None where it can't be run in strips."""
    step = plan.steps[index]
    if step.is_encoder and not writes:
        return None
    try:
        loaded = load(step)
        params = bind(loaded, step.node.params)
        sources = step.reads
        if loaded.facts.rows is not None:
            rows = _rows(plan, step, loaded, params)
            return None if rows is None else Part(index, sources, 0, rows)
        if not _is_of_rasters(step, loaded):
            return None
        radius = support_radius(loaded, params)
    except Exception:  # the run says what is wrong with it
        return None
    return Part(index, sources, math.ceil(radius)) if 0 <= radius <= REACH and _fits(plan, step) else None


def _part_elsewhere(plan: Plan, index: int, load: Callable[[Step], Operation]) -> Part | None:
    """A step on an accelerator, where values stay whole. None where it is of no pictures."""
    step = plan.steps[index]
    try:
        return Part(index, step.reads, 0) if step.reads and _is_of_rasters(step, load(step)) else None
    except Exception:  # the run says what is wrong with it
        return None


def _is_of_rasters(step: Step, loaded: Operation) -> bool:
    return RASTERS.issuperset(step.node.kinds) and any(RASTERS.intersection(wanted.kinds) for wanted in loaded.inputs)


def _rows(plan: Plan, step: Step, loaded: Operation, params: Mapping[str, Any]) -> Rows | RowFile | None:
    """What the rule says, where all inputs are known and it pays."""
    values: dict[str, list[Raster]] = {}
    for name, links in step.sources:
        facts = [plan.steps[source].facts[output : output + 1] for source, output in links]
        values[name] = [fact[0] for fact in facts if fact and isinstance(fact[0], Raster)]
        if len(values[name]) != len(links):
            return None
    known = itertools.chain(step.facts, *values.values())
    sizes = [bytes_in_floats(fact) for fact in known if isinstance(fact, Raster)]
    largest = max(sizes, default=0)
    if largest <= (STREAMED if step.is_encoder else SMALL):
        return None
    rule = loaded.facts.rows
    assert rule is not None
    found: Rows | RowFile | None = rule(*loaded.arguments(values), **params)
    if isinstance(found, Rows):
        return found if values or found.cheap or largest > STREAMED else None
    return found if step.is_encoder else None


def _whole_after_all(group: Group, plan: Plan) -> list[int]:
    """Steps that are better not run in strips: a file whose picture somebody wants whole, or nothing but a change of size."""
    alone = len(group.parts) == 1 and group.parts[0].rows is not None
    return [p.index for p in group.parts if p.rows and (alone or (not p.sources and p.index in group.outputs))]


def _dearest_links(group: Group, plan: Plan) -> list[tuple[int, int]]:
    """The links of the step that asks for too many rows of what it reads, where there is one: it reads it whole then."""
    if not any(isinstance(part.rows, Rows) and part.sources for part in group.parts):
        return []
    inside = set(group.steps)
    mappers = [part for part in group.parts if isinstance(part.rows, Rows) and inside.intersection(part.sources)]
    try:
        frames = Frames(group.parts, group.outputs, _given(group, plan))
        tiling = {part.index for part in group.parts if isinstance(part.rows, Rows) and frames.of[part.index].tiles}
        if links := [(s, part.index) for part in group.parts for s in tiling.intersection(part.sources)]:
            return links  # beyond its frame a rule knows no rows
        rows = frames.rows_of_a_strip()
        cut = set()
        if frames.dearness(rows) > DEAREST:
            cut = {part.index for part in sorted(mappers, key=lambda part: frames.dearness(rows, part.index))[:1]}
    except NotInStrips:
        return [(source, part.index) for part in mappers for source in part.sources]
    if any(isinstance(part.rows, Rows) and part.rows.downward for part in group.parts):
        cut |= {part.index for part in mappers if _goes_up(part, frames)}
    return [(s, part.index) for part in mappers if part.index in cut for s in inside.intersection(part.sources)]


def _given(group: Group, plan: Plan) -> dict[int, Frame]:
    """The frames of what a group reads. NotInStrips where one is not known."""
    frames = {}
    for source in group.sources:
        facts = plan.steps[source].facts
        if not facts or None in facts:
            raise NotInStrips
        rasters = [frame_of(fact) for fact in facts if isinstance(fact, Raster)]
        if rasters:
            frames[source] = max(rasters, key=lambda frame: frame.nbytes)
    return frames


def _goes_up(part: Part, frames: Frames) -> bool:
    """Whether rows further down are made of rows further up."""
    last = frames.of[part.index].height
    return frames.read(part, (0, 1))[0] > frames.read(part, (last - 1, last))[0]


def _fits(plan: Plan, step: Step) -> bool:
    """As far as static facts tell: what it reads and gives has one size, and is large."""
    facts = [*step.facts]
    for _, links in step.sources:
        facts += [plan.steps[source].facts[output] for source, output in links if plan.steps[source].facts]
    known = [fact for fact in facts if isinstance(fact, Raster)]
    return len({fact.size for fact in known}) <= 1 and (not known or max(map(bytes_in_floats, known)) > SMALL)


def _levels(
    needed: Sequence[int],
    sources: dict[int, tuple[int, ...]],
    readers: dict[int, list[int]],
    parts: dict[int, Part],
    kept: set[int],
    apart: set[tuple[int, int]],
) -> tuple[dict[int, int], set[tuple[int, int]]]:
    """(level of each step, the links that stay inside a level).

    Over an inner link a level stays the same or grows, over any other it grows. So the steps that inner links connect
    within one level make groups that never wait for each other in a circle. Levels are as early as possible at first;
    then what is read by others only moves to the first of its readers, so that branches meet in the group of the step
    that joins them.
    """
    level: dict[int, int] = {}
    margin: dict[int, int] = {}
    length: dict[int, int] = {}
    inner: set[tuple[int, int]] = set()
    for i in needed:
        own = parts[i].reach if i in parts else None
        if own is not None:
            inner.update(
                (s, i)
                for s in sources[i]
                if s in parts and margin[s] + own <= max(MARGIN, own) and length[s] < LONGEST and (s, i) not in apart
            )
        level[i] = max((level[s] + ((s, i) not in inner) for s in sources[i] if s in level), default=0)
        if own is not None:
            joined = [s for s in sources[i] if (s, i) in inner and level[s] == level[i]]
            margin[i] = own + max((margin[s] for s in joined), default=0)
            length[i] = 1 + max((length[s] for s in joined), default=0)
    for i in reversed(needed):
        if i in parts and i not in kept and readers[i]:
            level[i] = min(level[reader] - ((i, reader) not in inner) for reader in readers[i])
    return level, inner


def _connected(
    needed: Sequence[int], parts: dict[int, Part], level: dict[int, int], inner: set[tuple[int, int]]
) -> list[list[int]]:
    """The members of each group, in their order."""
    group = {i: [i] for i in needed if i in parts}
    for s, i in inner:
        mine, other = group[i], group[s]
        if level[s] == level[i] and mine is not other:
            smaller, larger = sorted((mine, other), key=len)
            larger += smaller
            for member in smaller:
                group[member] = larger
    return [sorted(members) for members in {id(members): members for members in group.values()}.values()]

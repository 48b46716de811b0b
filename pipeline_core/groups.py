"""Which steps are carried out together, strip by strip: consecutive ones of which every output row needs few input rows.

Inside a group values exist as strips of rows alone, which stay in a core's cache; whole is only what somebody outside
reads. A group never waits for something that waits for it. Whether its pictures are large enough, and of one size, shows
when they are there; static facts spare the attempt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline_core.image import Raster
from pipeline_core.operation import Operation, bind, support_radius
from pipeline_core.plan import Plan, Step

SMALL = 8 << 20
"""Bytes of a value up to which strips gain nothing: it stays in the cache anyway, and every result of it is kept."""
REACH = 64
"""Rows above and below that an operation may need: with more, most of a strip is margin."""
MARGIN = 32
"""Rows of margin that may add up inside a group: they are computed again for every strip."""
LONGEST = 64
"""Steps of a group."""
RASTERS = frozenset(("Image", "Mask"))


@dataclass(frozen=True)
class Group:
    """Steps in their order; `outputs` are those whose values are made whole, the last step among them.

    reach    how many rows above and below a step needs of what it reads, by step
    sources  the steps outside that it reads
    """

    steps: tuple[int, ...]
    outputs: tuple[int, ...]
    reach: dict[int, int]
    sources: tuple[int, ...]

    @property
    def leader(self) -> int:
        """The step under whose number the group is scheduled."""
        return self.steps[-1]


def form(plan: Plan, needed: Sequence[int], load: Callable[[Step], Operation]) -> list[Group]:
    """The groups among the steps that a run has to carry out (`needed`, in order).

    `load` gives a step's operation with its function; what it raises is left to the run.
    """
    reach = {
        index: rows for index in needed if _fits(plan, index) and (rows := _reach(plan.steps[index], load)) is not None
    }
    if not reach:
        return []
    steps, wanted = plan.steps, set(needed)
    sources = {i: tuple({source for _, links in steps[i].sources for source, _ in links}) for i in needed}
    readers: dict[int, list[int]] = {i: [] for i in needed}
    for i in needed:
        for source in sources[i]:
            if source in wanted:
                readers[source].append(i)
    found = []
    kept = plan.kept
    for members in _connected(needed, reach, *_levels(needed, sources, readers, reach, kept)):
        inside = set(members)
        outputs = tuple(
            i for i in members if i in kept or not readers[i] or any(reader not in inside for reader in readers[i])
        )
        outside = tuple(dict.fromkeys(s for i in members for s in sources[i] if s not in inside))
        found.append(Group(tuple(members), outputs, {i: reach[i] for i in members}, outside))
    return found


def _reach(step: Step, load: Callable[[Step], Operation]) -> int | None:
    """Rows that a step needs above and below; None where it can't be run in strips."""
    operation = step.node.operation
    if not operation.tiles or step.device != "cpu" or step.is_encoder:
        return None
    if not RASTERS.issuperset(step.node.kinds) or not any(RASTERS.intersection(i.kinds) for i in operation.inputs):
        return None
    try:
        loaded = load(step)
        rows = support_radius(loaded, bind(loaded, step.node.params))
    except Exception:  # the run says what is wrong with it
        return None
    return math.ceil(rows) if 0 <= rows <= REACH else None


def _fits(plan: Plan, index: int) -> bool:
    """As far as static facts tell: what it reads and gives has one size, and is large."""
    step = plan.steps[index]
    facts = [*step.facts]
    for _, links in step.sources:
        facts += [plan.steps[source].facts[output] for source, output in links if plan.steps[source].facts]
    known = [fact for fact in facts if isinstance(fact, Raster)]
    return len({fact.size for fact in known}) <= 1 and (not known or max(map(bytes_in_floats, known)) > SMALL)


def bytes_in_floats(value: Raster) -> int:
    """What a value takes once an operation works on it."""
    return 4 * value.batch * value.height * value.width * len(value.channels)


def _levels(
    needed: Sequence[int],
    sources: dict[int, tuple[int, ...]],
    readers: dict[int, list[int]],
    reach: dict[int, int],
    kept: set[int],
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
        own = reach.get(i)
        if own is not None:
            inner.update(
                (s, i) for s in sources[i] if s in reach and margin[s] + own <= max(MARGIN, own) and length[s] < LONGEST
            )
        level[i] = max((level[s] + ((s, i) not in inner) for s in sources[i] if s in level), default=0)
        if own is not None:
            joined = [s for s in sources[i] if (s, i) in inner and level[s] == level[i]]
            margin[i] = own + max((margin[s] for s in joined), default=0)
            length[i] = 1 + max((length[s] for s in joined), default=0)
    for i in reversed(needed):
        if i in reach and i not in kept and readers[i]:
            level[i] = min(level[reader] - ((i, reader) not in inner) for reader in readers[i])
    return level, inner


def _connected(
    needed: Sequence[int], reach: dict[int, int], level: dict[int, int], inner: set[tuple[int, int]]
) -> list[list[int]]:
    """The members of each group, in their order."""
    group = {i: [i] for i in needed if i in reach}
    for s, i in inner:
        mine, other = group[i], group[s]
        if level[s] == level[i] and mine is not other:
            smaller, larger = sorted((mine, other), key=len)
            larger += smaller
            for member in smaller:
                group[member] = larger
    return [sorted(members) for members in {id(members): members for members in group.values()}.values()]

"""Which rows every step of a group has to give, so that some rows of what the group makes can be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline_core.image import Raster
from pipeline_core.rows import RowFile, Rows, Span

STRIP = 2 << 20
"""Bytes of a strip in float32, so that one and what is made of it lie in a core's cache, and malloc reuses its memory."""
LEAST = 16
"""Rows of a strip at least."""
DEAREST = 1.5
"""How many rows may be made for one that is wanted: margins are made again for every strip."""
LARGEST = 16
"""How many times as large strips become to spare margins."""
CHEAP, ROOMY, FEWEST = 1.1, 5 << 20, 24
"""Strips with margins become larger than they need to be until these cost no more than that, they take so many bytes, or are so few.
Those of several cores, and what is made of each, share the last cache."""
LOOKED_AT = 8
"""Strips of which it is reckoned what their margins cost."""


class NotInStrips(Exception):  # noqa: N818  not a fault: the steps are run one by one then
    """These values can't be cut, or a step failed on a strip of them."""


@dataclass(frozen=True)
class Part:
    """A step as far as rows are concerned: the steps it reads; how many rows above and below, or its rule."""

    index: int
    sources: tuple[int, ...]
    reach: int
    rows: Rows | RowFile | None = None


class Frame(NamedTuple):
    """Of a whole value. `tiles` is whether it does so downwards, None where that depends."""

    width: int
    height: int
    tiles: bool | None
    nbytes: int


def frame_of(value: Raster) -> Frame:
    return Frame(value.width, value.height, value.wrap[1], bytes_in_floats(value))


def bytes_in_floats(value: Raster) -> int:
    """What a value takes once an operation works on it."""
    return 4 * value.batch * value.height * value.width * len(value.channels)


class Frames:
    """The frames of what a group reads (`given`) and makes. NotInStrips where they do not go together."""

    def __init__(self, parts: Sequence[Part], ends: Sequence[int], given: Mapping[int, Frame]) -> None:
        """`parts` in their order; `ends` are those whose rows are wanted."""
        self.parts, self.ends = parts, ends
        self.of = dict(given)
        self._made = {part.index for part in parts}
        self.has_margins = any(part.reach or isinstance(part.rows, Rows) for part in parts)
        for part in parts:
            self.of[part.index] = self._frame(part)
        self.height = max(self.of[end].height for end in ends)

    def _frame(self, part: Part) -> Frame:
        given = [self.of[source] for source in part.sources if source in self.of]
        if isinstance(part.rows, Rows):
            if any(frame.tiles is None for frame in given) or len({frame.height for frame in given}) > 1:
                raise NotInStrips
            return frame_of(part.rows.result)
        if len({frame[:2] for frame in given}) != 1:
            raise NotInStrips
        tiles = {frame.tiles for frame in given}
        if part.reach and (len(tiles) > 1 or None in tiles):
            raise NotInStrips
        nbytes = max(frame.nbytes for frame in given)
        return given[0]._replace(tiles=tiles.pop() if len(tiles) == 1 else None, nbytes=nbytes)

    def spans(self, start: int, stop: int) -> dict[int, Span]:
        """What of each end is made together with these rows of the highest: the same share of it."""
        found = {}
        for end in self.ends:
            height = self.of[end].height
            part = start * height // self.height, stop * height // self.height
            if part[0] < part[1]:
                found[end] = part
        return found

    def needed(self, spans: Mapping[int, Span], without: int | None = None) -> dict[int, Span]:
        """The rows that each step of the group has to give for that; as if one of them read nothing."""
        needed = dict(spans)
        for part in reversed(self.parts):
            wanted = needed.get(part.index)
            if wanted is None or not part.sources or part.index == without:
                continue
            low, high = self.read(part, wanted)
            for source in part.sources:
                if source in self._made:
                    old = needed.get(source)
                    needed[source] = (low, high) if old is None else (min(low, old[0]), max(high, old[1]))
        return needed

    def read(self, part: Part, wanted: Span) -> Span:
        """The rows that a step reads to give these. Beyond the frame they are the other side's where it tiles."""
        if part.rows is None:
            start, stop = wanted[0] - part.reach, wanted[1] + part.reach
            if part.reach and not self.of[part.index].tiles:
                start, stop = max(start, 0), min(stop, self.of[part.index].height)
            return start, stop
        if isinstance(part.rows, RowFile):
            return wanted
        if wanted[0] < 0 or wanted[1] > self.of[part.index].height:
            raise NotInStrips
        start, stop = part.rows.needs(*wanted)
        for source in part.sources:
            frame = self.of.get(source)
            if frame and not (start < stop and (frame.tiles or (start >= 0 and stop <= frame.height))):
                raise NotInStrips
        return start, stop

    def rows_of_a_strip(self) -> int:
        """Of the highest end: as many as fit a core's cache, but enough that margins are a small part of the work."""
        largest = max(self.of.values(), key=lambda frame: frame.nbytes)
        wanted = max(LEAST, STRIP * largest.height // largest.nbytes)
        rows = max(1, wanted * self.height // largest.height)
        if not self.has_margins:
            return min(rows, self.height)
        most = min(LARGEST * rows, self.height)
        roomy = min(ROOMY * self.height // largest.nbytes, self.height // FEWEST)
        while rows < most and (dearness := self.dearness(rows)) > CHEAP:
            if dearness > DEAREST:
                rows += -(-rows // 2)
            elif rows < roomy:
                rows = min(rows + -(-rows // 2), roomy)
            else:
                break
        return min(rows, self.height)

    def dearness(self, rows: int, without: int | None = None) -> float:
        """How many rows a step gives for one of its value, at the most, where strips have so many rows."""
        count = -(-self.height // rows)
        looked_at = sorted({i * (count - 1) // max(min(count, LOOKED_AT) - 1, 1) for i in range(min(count, LOOKED_AT))})
        made = dict.fromkeys(self._made, 0)
        wanted = 0
        for i in looked_at:
            start, stop = i * rows, min((i + 1) * rows, self.height)
            wanted += stop - start
            for index, span in self.needed(self.spans(start, stop), without).items():
                made[index] += span[1] - span[0]
        share = wanted / self.height
        return max(total / (self.of[index].height * share) for index, total in made.items())

"""What a picture of a graph shows, before it is decided where anything stands: boxes and arrows."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

Role = Literal["source", "step", "output", "unused"]

# What XML 1.0 can't hold even escaped, and what would break a line of text.
_UNPRINTABLE = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Box:
    """A node of the pipeline, or one of its outputs.

    name: what the reader calls it. title: the operation (an output: where it is saved).
    detail: small lines beneath (`512x512 RGBA uint8`). plugin: gives the colour; empty for an output.
    id: what arrows call it, the name where empty: an output may have the name of a node.
    """

    name: str
    title: str = ""
    detail: tuple[str, ...] = ()
    role: Role = "step"
    plugin: str = ""
    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", self.name)


@dataclass(frozen=True, slots=True)
class Arrow:
    """A link, from one box's id to another's; the label is the input's name."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True)
class Sheet:
    """A directed graph without loops, ready to be drawn."""

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]

    def __post_init__(self) -> None:
        twice = [name for name, count in Counter(box.id for box in self.boxes).items() if count > 1]
        if twice:
            raise ValueError(f"two boxes have the id {twice[0]!r}")
        known = {box.id for box in self.boxes}
        for arrow in self.arrows:
            for end in (arrow.source, arrow.target):
                if end not in known:
                    raise ValueError(f"an arrow names the box {end!r}, which is not on the sheet")

    @property
    def plugins(self) -> tuple[str, ...]:
        """The plugins in use, sorted: a plugin's place decides its colour."""
        return tuple(sorted({box.plugin for box in self.boxes if box.plugin and box.role != "unused"}))

    @property
    def links(self) -> list[tuple[int, int]]:
        """The arrows as pairs of places in `boxes`."""
        place = {box.id: index for index, box in enumerate(self.boxes)}
        return [(place[arrow.source], place[arrow.target]) for arrow in self.arrows]

    def parts(self) -> list[Sheet]:
        """The parts that no arrow joins, by their first boxes, as untitled sheets."""
        leader = list(range(len(self.boxes)))

        def find(place: int) -> int:
            while leader[place] != place:
                leader[place] = leader[leader[place]]
                place = leader[place]
            return place

        links = self.links
        for source, target in links:
            first, second = sorted((find(source), find(target)))
            leader[second] = first
        boxes: dict[int, list[Box]] = {}
        arrows: dict[int, list[Arrow]] = {}
        for place, box in enumerate(self.boxes):
            boxes.setdefault(find(place), []).append(box)
        for (source, _), arrow in zip(links, self.arrows, strict=True):
            arrows.setdefault(find(source), []).append(arrow)
        return [Sheet("", tuple(members), tuple(arrows.get(part, ()))) for part, members in boxes.items()]


def printable(text: str) -> str:
    """One line that every format can hold: line breaks and tabs become spaces, control characters U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", re.sub(r"\s+", " ", text))

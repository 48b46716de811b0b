"""Plain tables and figures for people."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Columns wide enough for what is in them; those in `right` flush right."""
    lines = [list(head), *[list(row) for row in rows]]
    widths = [max(_width(line[i]) for line in lines) for i in range(len(head))]
    shown = []
    for line in lines:
        cells = [_pad(cell, width, i in right) for i, (cell, width) in enumerate(zip(line, widths, strict=True))]
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)


def _width(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _pad(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


def size(count: float) -> str:
    """Bytes for people, in powers of 1024."""
    for unit in ("B", "KiB", "MiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"


def seconds(count: float) -> str:
    """A duration for people."""
    if count < 1:
        return f"{count * 1000:.0f} ms"
    return f"{count:.2f} s" if count < 60 else f"{int(count // 60)} min {count % 60:.0f} s"


def count(number: int, noun: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

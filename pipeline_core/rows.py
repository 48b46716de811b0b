"""What `@operation(rows=...)` gives: how an operation is carried out a few rows at a time where a radius can't say it.

A rule takes what the operation's `infer` takes, stand-ins of the inputs and params, and gives `Rows`, a `RowFile` where the
operation encodes a file, or None where these inputs and params can't be done that way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline_core.image import Raster

Span = tuple[int, int]
"""The first row, and the row behind the last."""


def _same_rows(start: int, stop: int) -> Span:
    return start, stop


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Rows:
    """How some rows of a result are made, of some rows of the inputs or of a file.

    result    a stand-in of the whole result
    make      (start, stop, *inputs): these rows of the result, where each image and mask holds just the rows needed
    needs     (start, stop) of the result: the rows of the inputs that takes, at least one; beyond the frame only where
              they tile downwards
    close     called when no more rows are asked for
    downward  a file that is read from the top: going up would begin anew
    cheap     of a file: its rows come one after the other as fast as all at once, so that smaller pictures are read like that, too

    Rows are asked for in any order, several strips side by side; of an operation without inputs, which reads a file, one
    at a time.
    """

    result: Raster
    make: Callable[..., Any]
    needs: Callable[[int, int], Span] = _same_rows
    close: Callable[[], None] = _nothing
    downward: bool = False
    cheap: bool = False


class RowWriter(Protocol):
    """A file while its rows come."""

    def write(self, rows: Any, /) -> None:
        """The next rows of the picture."""

    def close(self) -> None:
        """The file is whole."""

    def discard(self) -> None:
        """The file is not wanted: it is removed."""


@dataclass(frozen=True)
class RowFile:
    """How an encoding operation writes its file: `open(path, image)`, with a stand-in of the whole that has its texts."""

    open: Callable[[Path, Any], RowWriter]

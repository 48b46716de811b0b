"""What a value looked like, to tell whether somebody wrote into it since. docs/decisions/0004 says what is looked at when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xxhash

from pipeline_core.image import Raster
from pipeline_core.pieces import CORES
from pipeline_core.rows import Span
from pipeline_core.tiles import side_by_side
from pipeline_core.values import as_array, fingerprint, memory_order

Values = tuple[Any, ...]
Array = np.ndarray[Any, Any]

APART = 1 << 14
"""Bytes from one item that a thin mark looks at to the next: who makes a picture anew can't write around them all."""


class NoRowsError(ValueError):
    """Something else than pictures whose rows lie in memory without gaps."""


class Mark(Protocol):
    def fits(self, values: Values) -> bool:
        """Whether they still look like that."""


class WholeMark:
    """Of every byte."""

    def __init__(self, values: Values, known: Mapping[tuple[int, int], bytes] | None = None) -> None:
        self.fingerprint = fingerprint(values, known)

    def fits(self, values: Values) -> bool:
        return fingerprint(values) == self.fingerprint


class ThinMark:
    """Of an item here and there: shows that a picture was made anew in the same memory, not that a pixel was written."""

    def __init__(self, values: Values) -> None:
        """NoRowsError as `rows_in_memory`."""
        self._found = _here_and_there(values)

    def fits(self, values: Values) -> bool:
        return _here_and_there(values) == self._found


@dataclass(frozen=True)
class RowMark:
    """Of the rows that somebody looked at, from the first to behind the last."""

    seen: Mapping[Span, Sequence[int]]

    def fits(self, values: Values) -> bool:
        parts, seen = rows_in_memory(values), list(self.seen.items())
        same = [True] * len(seen)

        def compare(number: int) -> None:
            span, found = seen[number]
            same[number] = look(parts, *span) == found

        side_by_side(len(seen), compare, most=CORES)
        return all(same)


def look(parts: Sequence[Array], start: int, stop: int) -> list[int]:
    """Checksums of some rows."""
    return [xxhash.xxh3_64_intdigest(part[start:stop].data) for part in parts]


def rows_in_memory(values: Values) -> list[Array]:
    """Pictures' rows as they lie there: of pixels in one part `(H, ...)`, of planes and of batches in several.

    NoRowsError where there are none.
    """
    parts: list[Array] = []
    for value in values:
        if not isinstance(value, Raster) or value.device != "cpu":
            raise NoRowsError
        array = as_array(value.buffer)
        order = memory_order(array)
        turned = array.transpose(order)
        parts += [turned[where] for where in np.ndindex(*turned.shape[: order.index(1)])]
    if not all(part.flags.c_contiguous for part in parts):
        raise NoRowsError
    return parts


def _here_and_there(values: Values) -> list[int]:
    items = [part.reshape(-1)[:: APART // part.itemsize] for part in rows_in_memory(values)]
    return [xxhash.xxh3_64_intdigest(np.ascontiguousarray(some).data) for some in items]

"""Look-up tables in .cube files (Adobe, Cube LUT Specification 1.0, 2013), read within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_core import OperationError

Floats = np.ndarray[Any, np.dtype[np.float32]]

_LARGEST = {1: 65536, 3: 129}  # the specification's, and what no tool goes beyond (it allows 256: half a gigabyte)
_MOST_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Cube:
    """A table and where it lies.

    table   `(n, 3)`: a curve of each channel; or `(n, n, n, 3)`, indexed by blue, green, red, as the file has it
    low     of R, G and B: the input of the first entry
    high    the input of the last
    """

    table: Floats
    low: tuple[float, ...]
    high: tuple[float, ...]


def read_cube(path: Path) -> Cube:
    """Read a .cube file. OperationError with file and line where it breaks the format."""
    try:
        found = path.stat()
        if found.st_size > _MOST_BYTES:
            raise OperationError(f"{path}: {found.st_size:,} bytes, more than any table of {_LARGEST[3]} has")
        return _parsed(str(path), path.read_bytes())
    except OSError as error:
        raise OperationError(f"{path}: {error.strerror}") from None


@lru_cache(maxsize=2)  # by content: several pictures, and strips of one, ask for the same table
def _parsed(path: str, content: bytes) -> Cube:
    lines = content.decode("utf-8", errors="replace").splitlines()
    dimensions = size = 0
    low: tuple[float, ...] = (0.0, 0.0, 0.0)
    high: tuple[float, ...] = (1.0, 1.0, 1.0)
    start = len(lines)
    for number, line in enumerate(lines, 1):
        word, *rest = line.split() or ["#"]
        if word.startswith("#") or word == "TITLE":
            continue
        if _begins_number(word):
            start = number - 1
            break
        where = f"{path}:{number}"
        if word in ("LUT_1D_SIZE", "LUT_3D_SIZE"):
            if size:
                raise OperationError(f"{where}: a second size; a file holds one table")
            dimensions = int(word[4])
            size = _size(rest, dimensions, where)
        elif word == "DOMAIN_MIN":
            low = _three(rest, where)
        elif word == "DOMAIN_MAX":
            high = _three(rest, where)
        elif word in ("LUT_1D_INPUT_RANGE", "LUT_3D_INPUT_RANGE"):  # DaVinci Resolve's
            first, last = _numbers(rest, 2, where)
            low, high = (first,) * 3, (last,) * 3
        else:
            raise OperationError(f"{where}: '{line.strip()[:40]}' is no line of a .cube file")
    if not size:
        raise OperationError(
            f"{path}:{max(1, min(start + 1, len(lines)))}: no LUT_1D_SIZE or LUT_3D_SIZE before the table"
        )
    if any(a >= b for a, b in zip(low, high, strict=True)):
        raise OperationError(f"{path}: DOMAIN_MIN {low} must be below DOMAIN_MAX {high}")
    table = _table(lines, start, size**dimensions, path)
    return Cube(table.reshape(*([size] * dimensions), 3), low, high)


def _table(lines: list[str], start: int, entries: int, path: str) -> Floats:
    rows = []
    for number, line in enumerate(lines[start:], start + 1):
        if not (words := line.split()) or words[0].startswith("#"):
            continue
        rows.append(_three(words, f"{path}:{number}"))
        if len(rows) > entries:
            raise OperationError(f"{path}:{number}: more than the {entries} entries that the size says")
    if len(rows) < entries:
        raise OperationError(f"{path}:{len(lines)}: the table ends after {len(rows)} of {entries} entries")
    return np.array(rows, np.float32)


def _size(words: list[str], dimensions: int, where: str) -> int:
    if len(words) != 1 or not words[0].isdecimal() or not 2 <= int(words[0][:9]) <= _LARGEST[dimensions]:
        raise OperationError(f"{where}: the size must be 2 to {_LARGEST[dimensions]}, got '{' '.join(words)[:40]}'")
    return int(words[0])


def _three(words: list[str], where: str) -> tuple[float, ...]:
    return _numbers(words, 3, where)


def _numbers(words: list[str], count: int, where: str) -> tuple[float, ...]:
    try:
        numbers = tuple(map(float, words))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise OperationError(f"{where}: {count} numbers belong here, got '{' '.join(words)[:40]}'")
    return numbers


def _begins_number(word: str) -> bool:
    return word[0].isdigit() or word[0] in "+-."

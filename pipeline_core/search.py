"""Operations by words: as `ops --search` finds them, best first.

People look for names of other programs, written as those write them: ImageScaleBy, corner-pin, Z merge. So letters
count, not how they are put together, and neither British nor American spelling gets in the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline_core.operation import Operation

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
_SPELLINGS = (("colour", "color"), ("grey", "gray"), ("centre", "center"))
_NAME, _ALIAS, _IN_NAME, _IN_ALIAS, _IN_ALL = range(5)


@dataclass(frozen=True)
class Found:
    """An operation, and the alias by which it was found where its own name does not say so."""

    operation: Operation
    alias: str = ""


def search(operations: Iterable[Operation], text: str) -> list[Found]:
    """Those that answer to a text, best first: by their name, an alias, words of these, words of the summary too."""
    ranked = []
    for operation in operations:
        rank, alias = _rank(operation, text)
        if rank is not None:
            ranked.append((rank, operation.name, Found(operation, alias)))
    return [found for _, _, found in sorted(ranked, key=lambda entry: entry[:2])]


def answers_to(operation: Operation, name: str) -> bool:
    """Whether a name, however it is written, is the operation's own or one of its aliases."""
    return _rank(operation, name)[0] in (_NAME, _ALIAS)


def words(text: str) -> list[str]:
    """`ImageScaleBy`, `image-scale_by`, `image scale by`: image, scale, by."""
    return [_spelled(part) for part in _PARTS.findall(text)]


def _rank(operation: Operation, text: str) -> tuple[int | None, str]:
    wanted, whole = words(text), "".join(words(text))
    if "".join(words(operation.name)) == whole:
        return _NAME, ""
    alias = next((alias for alias in operation.aliases if "".join(words(alias)) == whole), None)
    if alias is not None:
        return _ALIAS, alias
    if _has(operation.name, wanted):
        return _IN_NAME, ""
    alias = next((alias for alias in operation.aliases if _has(alias, wanted)), None)
    if alias is not None:
        return _IN_ALIAS, alias
    if wanted and _has(" ".join([operation.name, operation.summary, *operation.aliases]), wanted):
        return _IN_ALL, ""
    return None, ""


def _has(text: str, wanted: list[str]) -> bool:
    """Whether every wanted word begins a word of the text, or is within its letters where it is long enough to tell."""
    found = words(text)
    letters = "".join(found)
    return all(any(word.startswith(part) for word in found) or (len(part) > 3 and part in letters) for part in wanted)


def _spelled(word: str) -> str:
    word = word.lower()
    for other, ours in _SPELLINGS:
        word = word.replace(other, ours)
    return word

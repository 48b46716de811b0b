"""Two hundred values that a file can hold, all different, many of them equal to Python or alike to a reader."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

PLAIN: list[Any] = [
    None, True, False, 0, 1, -1, 2, 255, 256, 2**31, 2**63, 2**64, 10**30, -(10**30),
    0.0, -0.0, 1.0, -1.0, 2.0, 255.0, 0.1, math.nextafter(0.1, 1), 1e-300, 5e-324, 1e300, 1e30,
    math.inf, -math.inf, math.nan, float(2**63),
    "", " ", "  ", "0", "1", "-1", "1.0", "0.0", "-0.0", "True", "true", "False", "None", "null", "~", "nan", "inf", "[]",
    "{}", "a", "A", "b", "ab", "a b", "a\n", "a\0", "\0", "a\r\n", "a\t", "'", '"', "${a}",
    unicodedata.normalize("NFC", "\u00e9"), unicodedata.normalize("NFD", "\u00e9"), "e", "\u00df", "ss", "SS", "\ufb01",
    "fi", "\u212b", "\u00c5", "\u212a", "K", "k", "\U0001f600", "\ufeff", "\u200b", "\u044f", "R",
]  # fmt: skip


def values() -> list[Any]:
    """200 values: plain ones, and lists and mappings of them that differ in shape, order or one type."""
    found = list(PLAIN)
    for some in (0, 1, 1.0, True, "1", None, "", 0.0, -0.0, "a"):
        found += [[some], [[some]], [some, some], {"a": some}, {"a": [some]}, {"b": some}, [{"a": some}]]
    found += [
        [], {}, [[]], [{}], {"a": {}}, [[], []], [[[]]], [1, 2], [2, 1], [1, [2]], [[1], 2], [[1, 2]], ["ab"], ["a", "b"],
        ["a,b"], {"a": 1, "b": 2}, {"a": 2, "b": 1}, {"ab": 1}, {"a": {"b": 1}}, {"1": 1}, {"": ""}, {"a": "b", "c": "d"},
        {"a": "bc", "d": ""}, ["a", ["b", ["c"]]], ["a", "b", "c"], [1, 2, 3], [1.0, 2, 3], [1, 2.0, 3], [1, 2, "3"],
    ]  # fmt: skip
    more = 0
    while len(found) < 200:
        more += 1
        found.append(3 + more)
    return found[:200]


CHANGES: list[tuple[Any, Any]] = [
    (1, 2), (1, 1.0), (1, True), (1, "1"), (0.0, -0.0), (None, ""), ([], {}), (0.1, math.nextafter(0.1, 1)), ("a", "A"),
    ([1, 2], [2, 1]), ({"a": 1}, {"a": 2}), ([[1], 2], [1, [2]]),
    (unicodedata.normalize("NFC", "\u00e9"), unicodedata.normalize("NFD", "\u00e9")),
]  # fmt: skip
"""A param's value before and after a change that must miss."""

"""A YAML or JSON text as plain values, with the place of every one of them, within limits.

YAML 1.2 core schema: `on` and `no` are text, `1e3` is a number, no tags, no merge keys, no duplicate keys. Everything
here is iterative and linear in the text, so that no file can hang or exhaust the reader (docs/pipeline-files.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from pipeline_core.errors import Location, Problem, SpecError

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_ALIASES = 100
MAX_VALUES = 100_000
MAX_DIGITS = 100
MAX_KEYS = 10_000
MAX_TEXT = 1 << 16

Place = tuple[int, int]
"""Line and column, from 0."""


@dataclass(slots=True)
class Marks:
    """Where one value stands, and its members: by key (place of the key, marks of the value), or by position."""

    place: Place
    members: dict[str, tuple[Place, Marks]] | list[Marks] | None = None


@dataclass
class Document:
    """Plain values and where they stand."""

    value: Any
    file: str
    problems: list[Problem] = field(default_factory=list)
    text: str = field(default="", repr=False)
    yaml_marks: Marks | None = field(default=None, repr=False)

    @cached_property
    def marks(self) -> Marks | None:
        """JSON is placed only when there is something to complain about."""
        return self.yaml_marks or (_json_marks(self.text, self.file, []) if self.text else None)

    def locate(self, path: Sequence[str | int], *, key: bool = False) -> Location:
        """The place of the value at `path` (or of its key); of the nearest one around it where there is none."""
        marks = self.marks
        if marks is None:
            return Location(self.file)
        place = marks.place
        for step in path:
            members = marks.members
            if isinstance(members, dict) and step in members:
                key_place, marks = members[str(step)]
                place = key_place if key else marks.place
            elif isinstance(members, list) and isinstance(step, int) and step < len(members):
                marks = members[step]
                place = marks.place
            else:
                break
        return Location(self.file, place[0] + 1, place[1] + 1)


def read_document(raw: bytes, file: str) -> Document:
    """The document in `raw`. SpecError where it can't be read at all; lesser problems are in `.problems`."""
    if len(raw) > MAX_BYTES:
        raise _failure(file, None, f"the file has {len(raw):,} bytes; a pipeline file may have {MAX_BYTES:,}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        raise _failure(file, _place(before, len(before)), f"not UTF-8 text (byte 0x{raw[error.start]:02x})") from None
    if file.lower().endswith(".json"):
        return _read_json(text, file)
    return _YamlReader(text, file).read()


def read_value(text: str) -> Any:
    """One value as a command line gives it: a YAML flow value (`3`, `true`, `[1, 0, 0]`), else the text itself."""
    try:
        document = _YamlReader(text, "").read()
    except (SpecError, UnicodeEncodeError):  # bytes that are not UTF-8 arrive as halves of surrogate pairs
        return text
    return document.value if not document.problems and document.value is not None else text


def _place(text: str, position: int) -> Place:
    return text.count("\n", 0, position), position - (text.rfind("\n", 0, position) + 1)


def _twice(file: str, key: str, place: Place, first: Place) -> Problem:
    where = Location(file, place[0] + 1, place[1] + 1)
    return Problem(f"key '{key}' is there twice (first in line {first[0] + 1})", where)


def _failure(file: str, place: Place | None, message: str) -> SpecError:
    location = Location(file, place[0] + 1, place[1] + 1) if place else Location(file)
    return SpecError(problems=[Problem(message, location)])


# --- YAML ---------------------------------------------------------------------------------------------------------

_INT = re.compile(r"[-+]?[0-9]+\Z|0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
}  # fmt: skip
for _sign, _factor in (("", 1), ("+", 1), ("-", -1)):
    for _word in (".inf", ".Inf", ".INF"):
        _WORDS[_sign + _word] = _factor * float("inf")
_NUMERIC_START = frozenset("+-.0123456789")


def plain_scalar(text: str) -> Any:
    """What an unquoted scalar means (YAML 1.2.2, section 10.3.2). ValueError for an absurdly long number."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC_START:
        return text
    if _INT.match(text):
        refuse_long_number(text)
        return int(text, 0) if text[1:2] in ("o", "x") else int(text)
    if _FLOAT.match(text):
        return float(text)
    return text


def refuse_long_number(text: str) -> None:
    digits = len(text.lstrip("+-"))
    if digits > MAX_DIGITS:
        raise ValueError(f"a number of {digits:,} digits; {MAX_DIGITS} are allowed")


def refuse_long_text(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise ValueError(f"a text of {len(text):,} characters; {MAX_TEXT:,} are allowed")


class _YamlReader:
    """Composes values and marks from libyaml's events."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.problems: list[Problem] = []
        self.aliases = self.values = 0
        self.anchors: dict[str, tuple[Any, Marks, int]] = {}

    def read(self) -> Document:
        try:
            value, marks = self.compose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            message = error.problem or error.context or "not YAML"
            raise _failure(self.file, (mark.line, mark.column) if mark else None, f"not YAML: {message}") from None
        except yaml.YAMLError as error:  # a character that YAML does not allow
            before = self.text.encode()[: getattr(error, "position", 0)].decode(errors="ignore")
            place = _place(before, len(before))
            raise _failure(self.file, place, f"not YAML: {getattr(error, 'reason', error)}") from None
        return Document(value, self.file, self.problems, yaml_marks=marks)

    def fail(self, mark: Any, message: str) -> SpecError:
        return _failure(self.file, (mark.line, mark.column), message)

    def compose(self) -> tuple[Any, Marks | None]:
        loader_type = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
        next_event = loader_type(self.text).get_event
        root: tuple[Any, Marks] | None = None
        # A frame: [container, marks, pending key, place of the key, anchor, values inside]
        stack: list[list[Any]] = []
        documents = 0
        while True:
            event = next_event()
            kind = type(event)
            anchor = None
            if kind is ScalarEvent:
                mark = event.start_mark
                place = (mark.line, mark.column)
                if stack and stack[-1][2] is None and type(stack[-1][0]) is dict:
                    self.open_key(event, stack[-1])
                    continue
                value, marks, weight = self.scalar(event), Marks(place), 1
                anchor = event.anchor
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                mark = event.start_mark
                self.refuse_tag(event)
                if len(stack) >= MAX_DEPTH:
                    raise self.fail(mark, f"nested deeper than {MAX_DEPTH}")
                if stack and stack[-1][2] is None and type(stack[-1][0]) is dict:
                    raise self.fail(mark, "a key must be a name, not a list or mapping")
                empty: Any = {} if kind is MappingStartEvent else []
                members: Any = {} if kind is MappingStartEvent else []
                stack.append([empty, Marks((mark.line, mark.column), members), None, None, event.anchor, 1])
                continue
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                value, marks, _, _, anchor, weight = stack.pop()
            elif kind is AliasEvent:
                value, marks, weight = self.alias(event, stack)
            elif kind is DocumentStartEvent:
                documents += 1
                if documents > 1:
                    raise self.fail(event.start_mark, "more than one YAML document in the file")
                continue
            elif kind is StreamEndEvent:
                return root or (None, None)
            else:
                continue
            if anchor is not None:
                self.anchors[anchor] = (value, marks, weight)
            if not stack:
                root = (value, marks)
                continue
            frame = stack[-1]
            frame[5] += weight
            if frame[5] > MAX_VALUES:
                raise self.fail(event.start_mark, f"more than {MAX_VALUES:,} values, aliases counted in full")
            if type(frame[0]) is dict:
                key = frame[2]
                if key in frame[0]:
                    self.problems.append(_twice(self.file, key, frame[3], frame[1].members[key][0]))
                else:
                    frame[0][key] = value
                    frame[1].members[key] = (frame[3], marks)
                frame[2] = None
            else:
                frame[0].append(value)
                frame[1].members.append(marks)

    def open_key(self, event: Any, frame: list[Any]) -> None:
        self.refuse_tag(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = (event.value, Marks((event.start_mark.line, event.start_mark.column)), 1)
        if event.value == "<<" and event.implicit[0]:
            raise self.fail(event.start_mark, "merge keys (<<) are not supported; write the values out")
        if len(frame[0]) >= MAX_KEYS:
            raise self.fail(event.start_mark, f"more than {MAX_KEYS:,} keys in one mapping")
        frame[2] = event.value
        frame[3] = (event.start_mark.line, event.start_mark.column)

    def scalar(self, event: Any) -> Any:
        if event.tag is not None and event.tag != "!":
            self.refuse_tag(event)
        try:
            refuse_long_text(event.value)
            # All else is quoted, a block, or marked as text with a lone "!".
            return plain_scalar(event.value) if event.implicit[0] and event.tag is None else event.value
        except ValueError as error:
            raise self.fail(event.start_mark, str(error)) from None

    def refuse_tag(self, event: Any) -> None:
        if event.tag is not None and event.tag != "!":
            raise self.fail(event.start_mark, f"tags are not supported ({event.tag})")

    def alias(self, event: Any, stack: list[list[Any]]) -> tuple[Any, Marks, int]:
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            raise self.fail(event.start_mark, f"more than {MAX_ALIASES} aliases")
        if stack and stack[-1][2] is None and type(stack[-1][0]) is dict:
            raise self.fail(event.start_mark, "an alias can't be a key")
        if any(frame[4] == event.anchor for frame in stack):
            raise self.fail(event.start_mark, f"'*{event.anchor}' contains itself")
        if event.anchor not in self.anchors:
            raise self.fail(event.start_mark, f"no anchor '&{event.anchor}' before this alias")
        return self.anchors[event.anchor]


# --- JSON ---------------------------------------------------------------------------------------------------------


class _RefusedError(ValueError):
    """Something that the limits forbid; where it stands is found afterwards."""


def _read_json(text: str, file: str) -> Document:
    twice = False

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        result: dict[str, Any] = {}
        for key, value in found:
            twice |= key in result
            result.setdefault(key, value)
        return result

    def integer(digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            raise _RefusedError
        return int(digits)

    def constant(word: str) -> Any:
        raise _RefusedError

    problems: list[Problem] = []
    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_int=integer, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise _failure(file, (error.lineno - 1, error.colno - 1), f"not JSON: {error.msg}") from None
    except (_RefusedError, RecursionError):
        _json_marks(text, file, problems)  # well-formed up to what was refused, and that is refused there too
        raise _failure(file, None, f"nested deeper than {MAX_DEPTH}") from None
    if twice or not _within_limits(value):
        _json_marks(text, file, problems)
    return Document(value, file, problems, text=text)


def _within_limits(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inside: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                if len(part) > MAX_KEYS:
                    return False
                inside += part
                inside += part.values()
            elif isinstance(part, list):
                inside += part
            elif isinstance(part, str) and (len(part) > MAX_TEXT or not _is_text(part)):
                return False
        if not inside:
            return True
        level = inside
    return False


def _is_text(text: str) -> bool:
    """Whether it has no half of a surrogate pair, which JSON's `\\u` can write but no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+|\n')


def _json_marks(text: str, file: str, problems: list[Problem]) -> Marks | None:
    """Places in a JSON text that is well-formed; duplicate keys become `problems`, what breaks a limit a SpecError."""
    line = line_start = 0
    root: Marks | None = None
    stack: list[Marks] = []
    key: tuple[str, Place] | None = None
    for token in _TOKEN.finditer(text):
        word = token.group()
        if word == "\n":
            line, line_start = line + 1, token.end()
            continue
        place = (line, token.start() - line_start)
        if word in "}]":
            stack.pop()
            continue
        if word in ":,":
            continue
        try:
            scalar = _json_scalar(word)
        except ValueError as error:
            raise _failure(file, place, str(error)) from None
        parent = stack[-1] if stack else None
        if parent is not None and isinstance(parent.members, dict) and key is None:
            key = (str(scalar), place)
            if len(parent.members) >= MAX_KEYS:
                raise _failure(file, place, f"more than {MAX_KEYS:,} keys in one mapping")
            continue
        marks = Marks(place, {} if word == "{" else [] if word == "[" else None)
        if parent is None:
            root = marks
        elif isinstance(parent.members, dict) and key is not None:
            if key[0] in parent.members:
                problems.append(_twice(file, key[0], key[1], parent.members[key[0]][0]))
            else:
                parent.members[key[0]] = (key[1], marks)
            key = None
        elif isinstance(parent.members, list):
            parent.members.append(marks)
        if marks.members is not None:
            stack.append(marks)
            if len(stack) > MAX_DEPTH:
                raise _failure(file, place, f"nested deeper than {MAX_DEPTH}")
    return root


def _json_scalar(word: str) -> str | None:
    """The text of a string token; ValueError for a token that breaks a limit."""
    if word[0] == '"':
        text = str(json.loads(word)) if "\\" in word else word[1:-1]
        refuse_long_text(text)
        if not _is_text(text):
            raise ValueError("half of a surrogate pair is no text")
        return text
    if word in ("NaN", "Infinity", "-Infinity"):
        raise ValueError(f"not JSON: {word}")
    if word.lstrip("-").isdigit():
        refuse_long_number(word)
    return None

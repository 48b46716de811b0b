"""What can go wrong, in one tree: PipelineError > SpecError, GraphError, PluginError, NodeError."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Any

MAX_PROBLEMS = 200
"""After so many problems a file is not checked any further."""


@dataclass(frozen=True, order=True, slots=True)
class Location:
    """A place in a file: line and column count from 1; 0 means unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return ":".join([self.file, *(str(n) for n in (self.line, self.column) if n)])


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong (or, as a warning, doubtful) with a pipeline."""

    message: str
    location: Location | None = None
    warning: bool = False
    in_file: bool = False
    """Of a file that a node reads: the pipeline itself makes sense."""

    def __str__(self) -> str:
        prefix = f"{self.location}: " if self.location and self.location.file else ""
        return one_line(f"{prefix}{'warning: ' if self.warning else ''}{self.message}")


TOO_MANY = Problem(f"more than {MAX_PROBLEMS} problems; what else there is was not looked for")


class PipelineError(Exception):
    """The root of every error this project raises on purpose."""

    def __init__(self, message: str = "", problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(in_file_order(problems))
        shown = MAX_PROBLEMS + 1  # the last may be TOO_MANY
        lines = [str(problem) for problem in self.problems[:shown]]
        if len(self.problems) > shown:
            lines.append(f"... and {len(self.problems) - shown:,} more")
        super().__init__(message or "\n".join(lines))


class SpecError(PipelineError):
    """The file can't be read as a pipeline."""


class GraphError(PipelineError):
    """The pipeline can be read but makes no sense."""


class PluginError(PipelineError):
    """A plugin is broken, or breaks the rule for operations."""


class OutputError(PipelineError):
    """A result can't be written where it was asked for."""


@dataclass(eq=False)  # an exception must be hashable
class NodeError(PipelineError):
    """A node failed while it ran. `__cause__` is the operation's own exception."""

    node: str
    operation: str
    plugin: str
    reason: str
    location: Location | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    params: dict[str, object] = field(default_factory=dict)
    kept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__init__(str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, f.name) for f in fields(self))

    def __str__(self) -> str:
        place = f"{self.location}: " if self.location else ""
        given = [f"{name}: {shape}" for name, shape in self.inputs.items()]
        given += [f"{name}={one_line(repr(value), 60)}" for name, value in self.params.items()]
        tail = f" [{', '.join(given)}]" if given else ""
        reason = one_line(" ".join(self.reason.split()))
        return (
            f"{place}node '{self.node}': operation '{self.operation}' (plugin '{self.plugin}') failed: {reason}{tail}"
        )


class OperationError(ValueError):
    """Raised by an operation that can't work with what it was given; the message is for the user.

    During static inference it is reported as a mistake in the pipeline file, before anything runs.
    """


class Cancelled(BaseException):
    """The run was cancelled; raised inside an operation by `progress`.

    Not an `Exception`, so that an operation's `except Exception` does not swallow it.
    """


def in_file_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sorted by file, line and column; those without a place come last; said once."""
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda p: (p.location is None, p.location or Location("")))


def one_line(text: str, limit: int = 1000) -> str:
    """Text as one printable line: what comes from a file can't break it, colour the terminal, or fill it."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 3] + "..."


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`. Did you mean 'merge'?`, or nothing when no name is near."""
    near = difflib.get_close_matches(str(name), [str(n) for n in names], n=1, cutoff=0.6)
    return f". Did you mean '{near[0]}'?" if near else ""


def listing(names: Iterable[object], limit: int = 12) -> str:
    """`a, b, c`, cut short with a count when there are many."""
    held = names if isinstance(names, Collection) else list(names)
    shown = ", ".join(str(name) for name in islice(held, limit))
    return shown if len(held) <= limit else f"{shown}, ... ({len(held)} in all)"

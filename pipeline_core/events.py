"""What a run tells: a stream of small events. The terminal, JSON lines and tests listen to the same stream."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import NamedTuple


class RunStarted(NamedTuple):
    steps: int
    cached: int = 0


class Started(NamedTuple):
    node: str
    operation: str


class Progressed(NamedTuple):
    """`done` of `total` in the operation's own unit; `total` 0 means unknown."""

    node: str
    done: float
    total: float
    note: str = ""


class Finished(NamedTuple):
    """A node's results are there; `cached` tells that they were read, not computed.

    group   the number of the group that it was carried out with, as `plan` counts them; 0 alone
    strips  in how many strips
    copied  bytes that were moved besides computing: to another device, or strips put together
    stored  whether the cache took them
    compiled  whether it was part of a program that torch compiled
    """

    node: str
    operation: str
    seconds: float
    bytes: int
    shapes: tuple[str, ...] = ()
    cached: bool = False
    group: int = 0
    strips: int = 0
    copied: int = 0
    stored: bool = False
    compiled: bool = False


class Failed(NamedTuple):
    node: str
    operation: str
    message: str
    seconds: float = 0.0


class Skipped(NamedTuple):
    """A node that was not run because one that it needs failed."""

    node: str
    because: str


class Saved(NamedTuple):
    output: str
    path: str
    bytes: int


class Warned(NamedTuple):
    message: str
    node: str = ""


class RunFinished(NamedTuple):
    ok: bool
    seconds: float
    computed: int
    cached: int = 0
    saved_seconds: float = 0.0
    peak_bytes: int = 0
    cancelled: bool = False


Event = RunStarted | Started | Progressed | Finished | Failed | Skipped | Saved | Warned | RunFinished
Listener = Callable[[Event], None]

reporter: ContextVar[Callable[[float, float, str], None] | None] = ContextVar("reporter", default=None)
"""Set by the run around each operation; what `progress` calls."""


def progress(done: float, total: float = 0, note: str = "") -> None:
    """Called by a long operation now and then: shows how far it is, and is where it can be cancelled.

    `done` of `total`, in any unit (0: unknown). Raises `Cancelled` when the run was cancelled; let it pass. Outside a
    run it does nothing.
    """
    report = reporter.get()
    if report is not None:
        report(done, total, note)

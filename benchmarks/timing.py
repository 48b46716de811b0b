"""Measuring fairly on a machine that is not quiet: alternating runs, ratios round by round, medians and how far they spread.

A module of this folder offers `comparisons(small)`; `python -m benchmarks` and the module's own command print them alike.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROUNDS = 7
REST = 0.02
"""Seconds before a job: threads of the one before, which wait for more work at full speed, have gone to sleep by then."""
Job = Callable[[], object]
"""What is measured. One that returns a `Taken` has measured itself, which leaves out what it had to prepare."""


class Taken(NamedTuple):
    """By one run."""

    seconds: float
    work: float
    """Seconds of processors, of all threads and children: what others do on the machine at the same time counts less."""
    mib: float = 0.0
    """The most memory, where it was measured."""


class Absent(Exception):  # noqa: N818  nothing went wrong
    """A peer that is not on this machine. The message says what is missing."""


class Comparison(NamedTuple):
    """A figure: ours beside what others take for the same."""

    what: str
    ours: Job
    peers: Mapping[str, Job]
    goals: Mapping[str, str] = {}
    """By peer; what the ratio should be at most."""
    peaks: Mapping[str, str] = {}
    """The same of memory."""
    each: int = 1
    """Times are told for one of so many."""


class Line(NamedTuple):
    """A line of the table, however it came about. `ratios` are ours to theirs, by clock or in bytes; `work`, of processors."""

    what: str
    ours: str
    beside: str
    ratios: Sequence[float] = ()
    work: Sequence[float] = ()
    goal: str = ""
    wrong: bool = False
    """Whether there are no ratios by a fault, and not since something is missing."""

    def __str__(self) -> str:
        ratios = [number(value) for value in spread(self.ratios)] if self.ratios else ["", "", ""]
        work = number(statistics.median(self.work)) if self.work else ""
        return f"| {' | '.join([self.what, self.ours, self.beside, *ratios, work, self.goal])} |"


def number(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def missing(what: str, peer: str, error: Exception, goal: str = "") -> Line:
    """The line of a peer, or of ours, that could not be measured."""
    known = isinstance(error, (Absent, ModuleNotFoundError))
    return Line(what, "", f"{peer}: not measured, {reason(error)}", goal=goal, wrong=not known)


HEAD = """\
| what | ours | beside | ratio | from | to | of processors | goal |
|---|---|---|---|---|---|---|---|"""
Comparisons = Iterable[Comparison | Line]


def clocked(job: Job) -> Taken:
    began, worked = time.perf_counter(), _processors()
    result = job()
    taken = Taken(time.perf_counter() - began, _processors() - worked)
    if isinstance(result, Taken):
        return result
    del result  # not counted
    return taken


def _processors() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def alternate(jobs: Mapping[str, Job], rounds: int, *, warm: int = 1) -> dict[str, list[Taken]]:
    """Each job runs once in every round, so that what else goes on meets them all alike; `warm` rounds, first, don't count."""
    taken: dict[str, list[Taken]] = {name: [] for name in jobs}
    for turn in range(warm + rounds):
        for name, job in jobs.items():
            time.sleep(REST)
            found = clocked(job)
            if turn >= warm:
                taken[name].append(found)
    return taken


def medians(jobs: Mapping[str, Job], rounds: int) -> dict[str, float]:
    """Median seconds of each job."""
    return {name: median(taken) for name, taken in alternate(jobs, rounds).items()}


def median(taken: Iterable[Taken]) -> float:
    return statistics.median(one.seconds for one in taken)


def spread(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The one in the middle, the least and the most."""
    return statistics.median(ratios), min(ratios), max(ratios)


OURS = "pipeline-core"


def lines(comparison: Comparison, rounds: int) -> Iterator[Line]:
    """One for every peer, two where memory was measured. What can't run is left out of the rounds, and its line says why."""
    what, ours, peers, goals, peaks, each = comparison
    jobs: dict[str, Job] = {}
    faults: dict[str, Exception] = {}
    for name, job in {OURS: ours, **peers}.items():
        try:
            job()  # which also warms up
        except Exception as error:  # told in its line
            faults[name] = error
        else:
            jobs[name] = job
    if OURS in faults:
        yield missing(what, OURS, faults[OURS])
        return
    taken = alternate(jobs, rounds, warm=0)
    mine = taken.pop(OURS)
    for name in peers:
        if name in faults:
            yield missing(what, name, faults[name], goals.get(name, ""))
            continue
        pairs = list(zip(mine, taken[name], strict=True))
        yield Line(
            what,
            shown(median(mine) / each),
            f"{name}: {shown(median(taken[name]) / each)}",
            [one.seconds / other.seconds for one, other in pairs],
            [one.work / other.work for one, other in pairs if other.work],
            goals.get(name, ""),
        )
        if any(one.mib for one in mine):
            peak, other_peak = (statistics.median(one.mib for one in side) for side in (mine, taken[name]))
            yield Line(
                f"{what}, peak memory",
                f"{peak:,.0f} MiB",
                f"{name}: {other_peak:,.0f} MiB",
                [one.mib / other.mib for one, other in pairs],
                goal=peaks.get(name, ""),
            )


def reason(error: Exception) -> str:
    """An error as a cell of the table."""
    missing = f"not installed: {error.name}" if isinstance(error, ModuleNotFoundError) else ""
    said = missing or (str(error) if isinstance(error, Absent) else f"{type(error).__name__}: {error}")
    return " ".join(said.split()).replace("|", "/")[:160]


def shown(seconds: float) -> str:
    if seconds >= 10:
        return f"{seconds:,.1f} s"
    return f"{seconds * 1e3:,.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:,.1f} us"


def tell(comparisons: Comparisons, rounds: int) -> bool:
    """Prints the lines as they come. Whether nothing was wrong."""
    well = True
    for one in comparisons:
        for line in [one] if isinstance(one, Line) else lines(one, rounds):
            print(line, flush=True)
            well &= not line.wrong
    return well


def arguments(prog: str) -> argparse.ArgumentParser:
    """What every command of this folder takes that prints the table."""
    parser = argparse.ArgumentParser(prog=prog)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"alternating runs of each ({ROUNDS})")
    parser.add_argument("--small", action="store_true", help="little pictures and graphs, to see that it runs")
    return parser


def table(module: str, comparisons: Callable[[bool], Comparisons]) -> argparse.Namespace:
    """The command of a module that prints nothing else, or something more after it."""
    given = arguments(f"python -m benchmarks.{module}").parse_args()
    print(f"{machine()}; medians of {given.rounds} alternating runs\n\n{HEAD}", flush=True)
    if not tell(comparisons(given.small), given.rounds):
        raise SystemExit(1)
    return given


def process(command: Sequence[str | Path], **environment: str) -> Job:
    """A job that runs a command to its end. RuntimeError with what it said last where it fails."""
    # What is installed has bytecode of its sources; ours shall have it, too, where they are edited.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def run() -> None:
        done = subprocess.run(command, check=False, capture_output=True, env={**inherited, **environment})
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing said"]
            raise RuntimeError(f"{Path(command[0]).name}: exit {done.returncode}, {said[-1]}")

    return run


def machine() -> str:
    """The kind of machine, and nothing that names it."""
    return f"{os.cpu_count()} cores {platform.machine()}, {platform.system()}, Python {platform.python_version()}"

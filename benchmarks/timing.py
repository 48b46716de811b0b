"""Measuring fairly on a machine that is not quiet: alternating runs, medians, ratios."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def medians(jobs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each job; in every round each runs once, so that what else goes on meets them all alike."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def process(command: Sequence[str | Path], **environment: str) -> Callable[[], object]:
    """A job that runs a command to its end. CalledProcessError where it fails."""

    def run() -> object:
        return subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment})

    return run


def machine() -> str:
    """The kind of machine, and nothing that names it."""
    return f"{os.cpu_count()} cores {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


def row(what: str, seconds: float, beside: str, other: float, goal: str) -> str:
    """A line of a table: both medians, their ratio, the goal."""
    return f"| {what} | {seconds * 1e3:,.1f} ms | {beside} {other * 1e3:,.1f} ms | {seconds / other:.2f} | {goal} |"


HEAD = "| what | median | beside | ratio | goal |\n|---|---|---|---|---|"

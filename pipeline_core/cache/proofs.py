"""Proofs that hold on: of files that nobody can have written to since, within this process.

A write through the system sets a file's time of change, and nobody can set that back. It goes unseen only within one
tick of the clock, on file systems that have the time from elsewhere or round it, and by who had the file mapped for
writing before it was looked at. So a proof is remembered only where none of that can be: docs/decisions/0003.
"""

from __future__ import annotations

import os
import signal
import time
from typing import NamedTuple

try:
    from fcntl import F_RDLCK, F_SETLEASE, F_SETSIG, F_UNLCK, fcntl
    from resource import RUSAGE_THREAD, getrusage
except ImportError:  # not on Linux: there every proof is made anew
    fcntl = None  # type: ignore[assignment]

MOST = 4096
CLOCK_REALTIME_COARSE = 5
"""Linux: the clock that file systems take their times from. Python has no name for it."""
LOCAL = {b"ext4", b"xfs", b"f2fs", b"tmpfs"}
"""File systems that nobody but this system writes to, with times from its clock, to the nanosecond."""


class Proof(NamedTuple):
    """What a file looked like when it was proved, its checksum, and that of its part after the header."""

    looks: tuple[int, ...]
    checksum: str
    data: bytes


_known: dict[tuple[int, int], Proof] = {}


def recall(facts: os.stat_result, checksum: str) -> bytes | None:
    """The checksum of the part after the header of a file that was proved to have this one; None where it has to be proved."""
    proof = _known.get((facts.st_dev, facts.st_ino))
    return proof.data if proof is not None and (proof.looks, proof.checksum) == (_looks(facts), checksum) else None


def remember(facts: os.stat_result, checksum: str, data: bytes) -> None:
    """It was proved, and `will_show_writes` before."""
    while len(_known) >= MOST:
        _known.pop(next(iter(_known)), None)
    _known[facts.st_dev, facts.st_ino] = Proof(_looks(facts), checksum, data)


def forget() -> None:
    """Everything has to be proved once more."""
    _known.clear()


def will_show_writes(file: int, facts: os.stat_result) -> bool:
    """Whether every write to an open file from now on gives it another time of change than it has."""
    if fcntl is None or not facts.st_ctime_ns % 1000:  # rounded
        return False
    is_past = facts.st_ctime_ns < time.clock_gettime_ns(CLOCK_REALTIME_COARSE)
    return is_past and _is_local(facts.st_dev) and _has_no_writer(file)


def pages_read() -> int:
    """How often this thread had to wait for a page to come from a disk."""
    return getrusage(RUSAGE_THREAD).ru_majflt if fcntl is not None else 0


def _looks(facts: os.stat_result) -> tuple[int, ...]:
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _is_local(device: int) -> bool:
    """Whether a device has one of the file systems that we know."""
    name = b"%d:%d" % (os.major(device), os.minor(device))
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            # 36 35 98:0 /root /place options optional... - type source options: proc(5)
            lines = [line.partition(b" - ") for line in file]
    except OSError:
        return False
    return any(left.split()[2] == name and right.split()[0] in LOCAL for left, _, right in lines)


def _has_no_writer(file: int) -> bool:
    """Whether nobody has the file open or mapped for writing: only then one gets a lease on it (fcntl(2)).

    It is given back at once. Who opens the file for writing in between waits that long, and the signal that says so is
    one that does nothing.
    """
    try:
        fcntl(file, F_SETSIG, signal.SIGURG)
        fcntl(file, F_SETLEASE, F_RDLCK)
        fcntl(file, F_SETLEASE, F_UNLCK)
    except OSError:
        return False
    return True

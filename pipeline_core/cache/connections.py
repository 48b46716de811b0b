"""Connections to indexes that nobody uses now, kept open for the next run of this process.

When the last connection to a file is closed, SQLite writes its log out and waits for the disk; opening it anew takes
some milliseconds more. A log that is left when the process ends is read by the next one.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import NamedTuple

MOST = 4


class _Kept(NamedTuple):
    """`inode` is the file's: another one may have its name by now."""

    path: Path
    durability: str
    inode: int
    connection: sqlite3.Connection


_kept: list[_Kept] = []
_lock = threading.Lock()


def take(path: Path, durability: str) -> sqlite3.Connection | None:
    """One that was kept, if the file is still there."""
    with _lock:
        found = next((kept for kept in _kept if kept[:2] == (path, durability)), None)
        if found is None:
            return None
        _kept.remove(found)
    if _is_still(path, found.inode):
        return found.connection
    found.connection.close()
    return None


def keep(path: Path, durability: str, inode: int, connection: sqlite3.Connection) -> None:
    """It is not used any more. Where an open file can't be deleted it is closed."""
    if os.name == "nt" or not _is_still(path, inode) or connection.in_transaction:
        connection.close()
        return
    with _lock:
        _kept.append(_Kept(path, durability, inode, connection))
        surplus = [_kept.pop(0) for _ in range(len(_kept) - MOST)]
    for kept in surplus:
        kept.connection.close()


def _is_still(path: Path, inode: int) -> bool:
    try:
        return os.stat(path).st_ino == inode
    except OSError:
        return False


def _before_fork() -> None:
    """None crosses a fork: SQLite would take the parent's locks for the child's. None is kept until it is over, either."""
    _lock.acquire()
    while _kept:
        _kept.pop().connection.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_lock.release, after_in_child=_lock.release)

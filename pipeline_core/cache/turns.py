"""Whose turn it is to compute a key: of several processes that miss it at one moment one computes, the others wait.

A turn is a locked file named by the key. The lock goes with its process, so that nobody waits for the dead. Turns only
save work: without them (no locks on this system, a folder that can't be written) a key may be computed twice, and both
results are right.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

try:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
except ImportError:  # not on Windows
    flock = None  # type: ignore[assignment]

PATIENCE_SECONDS = 60.0
"""Who has waited so long computes for himself: the other may have been stopped, or be much slower."""
LOOK_SECONDS = 0.002, 0.05
"""From one look to the next, at first and at most."""


class Turn:
    """Held from before a result is computed until it is stored, or known to be nothing to store."""

    __slots__ = ("_file", "_path", "is_first")

    def __init__(self, path: str = "", file: int | None = None, *, is_first: bool = False) -> None:
        self._path, self._file = path, file
        self.is_first = is_first
        """Whether nobody had ever taken one in this folder."""

    def end(self) -> None:
        """Whoever waits goes on. Ending it twice does nothing."""
        file, self._file = self._file, None
        if file is None:
            return
        with suppress(OSError):
            os.unlink(self._path)  # first: who locks the file after us must see that it is gone
        with suppress(OSError):
            flock(file, LOCK_UN)  # a forked child may hold the same open file
        os.close(file)


class Turns:
    """The turns of one cache folder. Their files lie among those being written, and are swept with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take(self, key: str, is_cancelled: Callable[[], bool] = lambda: False) -> Turn:
        """Waits while another computes this key, at most `PATIENCE_SECONDS`; what he stored is there then."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        pause, longest = LOOK_SECONDS
        while (turn := self._try(key)) is None:
            if is_cancelled() or time.monotonic() > deadline:
                return Turn()
            time.sleep(pause)
            pause = min(pause * 1.5, longest)
        return turn

    def _try(self, key: str) -> Turn | None:
        if flock is None:
            return Turn()
        path = os.path.join(self.folder, f"turn-{key}")
        is_first = False
        while True:
            try:
                file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:
                try:
                    os.makedirs(self.folder)
                    is_first = True
                except FileExistsError:
                    pass
                except OSError:
                    return Turn()
                continue
            except OSError:
                return Turn()
            try:
                flock(file, LOCK_EX | LOCK_NB)
                if os.fstat(file).st_nlink:
                    return Turn(path, file, is_first=is_first)
            except BlockingIOError:
                os.close(file)
                return None
            except OSError:  # a file system without locks
                os.close(file)
                return Turn()
            os.close(file)  # somebody ended his turn between our opening and our locking

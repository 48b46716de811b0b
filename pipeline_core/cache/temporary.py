"""Files being written: under a name of their own until they are whole, locked so that a dead writer's can be told."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # not on Windows: there, an abandoned file is known by its age alone
    flock = None  # type: ignore[assignment]

ABANDONED_SECONDS = 3600.0
RESERVED = 1 << 20


class Temporary:
    """A new file in `folder`, open as the descriptor `file`; at the end of `with` it is gone unless it was published."""

    def __init__(self, folder: Path) -> None:
        while True:
            self.path = os.fspath(folder / f"{os.getpid()}-{os.urandom(8).hex()}")
            try:
                self.file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666)
            except FileNotFoundError:
                folder.mkdir(parents=True, exist_ok=True)
                continue
            self._open = True
            if self._lock():
                return
            self._close()

    def _lock(self) -> bool:
        """False where a collector took the file between its making and its locking."""
        if flock is None:
            return True
        try:
            flock(self.file, LOCK_EX)
            return os.fstat(self.file).st_nlink > 0
        except BaseException:
            self._close()
            raise

    def reserve(self, size: int) -> None:
        """Say how large it will be: writing block by block costs the file system two to five times as much.

        Only a hint; what is wrong shows when it is written.
        """
        if size >= RESERVED and hasattr(os, "posix_fallocate"):
            with suppress(OSError):
                os.posix_fallocate(self.file, 0, size)

    def publish(self, path: Path) -> None:
        """Give it its final name, in the place of any other file. Raises OSError."""
        if flock is None:
            self._close()  # an open file can't be renamed on Windows
        try:
            os.replace(self.path, path)
        except FileNotFoundError:
            path.parent.mkdir(exist_ok=True)
            os.replace(self.path, path)
        except (IsADirectoryError, PermissionError):
            if path.is_symlink() or not path.is_dir():
                raise
            import shutil

            shutil.rmtree(path)  # a directory in its place
            os.replace(self.path, path)

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self.file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.path)
        self._close()  # the lock goes last: until then no collector touches the file


_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def remove_abandoned(path: Path) -> bool:
    """Delete a temporary file whose writer is gone; whether that was so. Raises OSError."""
    if flock is None:
        if time.time() - path.stat().st_mtime < ABANDONED_SECONDS:
            return False
        path.unlink()
        return True
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | _FLAGS)
    try:
        flock(file, LOCK_EX | LOCK_NB)
        path.unlink()  # while the lock is held: a writer that waits for it then sees that its file is gone
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True

"""Where things are kept, and how a file gets its final name."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

_CHECKPOINTS_LAST = 14 * 24 * 3600
_UMASK = os.umask(0)  # it can only be read by setting it, which is safe just while there is one thread
os.umask(_UMASK)


def cache_folder() -> Path:
    """`$PIPELINE_CACHE`, else the platform's own place for caches."""
    named = os.environ.get("PIPELINE_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("pipeline-core", appauthor=False))


def write_atomically(path: Path, content: bytes, *, sync: bool = False) -> None:
    """`content` under `path`, whole or not at all: a temporary name beside it, then a rename.

    With `sync` it is on the disk before it has its name (what a power failure can't undo). Raises OSError; then nothing
    is left behind.
    """
    name = temporary(path)
    try:
        name.write_bytes(content)
        put_in_place(name, path, sync=sync)
    except BaseException:
        name.unlink(missing_ok=True)
        raise


def temporary(path: Path) -> Path:
    """An empty file beside `path`, to be written and then put in its place."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
    os.close(handle)
    return Path(name)


def put_in_place(written: Path, path: Path, *, sync: bool = False) -> None:
    """A file that is whole gets its final name, and the rights that files have."""
    with written.open("r+b") as file:
        os.fchmod(file.fileno(), 0o666 & ~_UMASK)
        if sync:
            os.fsync(file.fileno())
    os.replace(written, path)


@dataclass(frozen=True)
class Checkpoint:
    """Half-done work of a long operation, kept beside the cache, so that the same work goes on after the run was killed.

    `name` stands for all that defines the work and has to change with it: a digest of the inputs, params and code. One
    that was not written for two weeks is removed when another is written first.
    """

    name: str

    @property
    def path(self) -> Path:
        """Where it is, or would be."""
        return cache_folder() / "checkpoints" / self.name

    def read(self) -> bytes | None:
        """What was written last, whole; None where there is none, or where it is damaged."""
        try:
            kept = self.path.read_bytes()
        except OSError:
            return None
        digest, content = kept[:32], kept[32:]
        return content if blake3(content).digest() == digest else None

    def write(self, content: bytes) -> None:
        """Puts `content` in the place of what was there. Where that can't be done, the work just can't be taken up."""
        with suppress(OSError):
            if not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                _remove_older(self.path.parent, time.time() - _CHECKPOINTS_LAST)
            write_atomically(self.path, blake3(content).digest() + content, sync=True)


def _remove_older(folder: Path, limit: float) -> None:
    for path in folder.iterdir():
        with suppress(OSError):  # another run was faster
            if path.stat().st_mtime < limit:
                path.unlink()

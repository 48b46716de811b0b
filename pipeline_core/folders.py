"""Where things are kept, and how a file gets its final name."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

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
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o666 & ~_UMASK)
            if sync:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

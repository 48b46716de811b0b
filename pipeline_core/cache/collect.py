"""Collection: what the disk tier lets go of, and the looking-over of all that it holds.

Deleting happens inside one write transaction of the index. Several collectors take turns there, a store sees afterwards
whether its blob is still there, and a claim is either seen or comes to a miss.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline_core.cache.disk import Disk
from pipeline_core.cache.index import SET_ASIDE, forget
from pipeline_core.cache.temporary import remove_abandoned

GRACE_SECONDS = 60.0
"""A blob without a record is left alone for so long: its record may be on its way."""

NOTE_SECONDS = 180 * 86400.0
ROOM = 0.9
"""An automatic collection goes down to this part of the limit, so that it is not due again at once."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection did."""

    entries: int
    bytes_freed: int
    bytes_left: int


@dataclass(frozen=True, slots=True)
class Verified:
    """What reading everything found."""

    entries: int
    nbytes: int
    damaged: tuple[str, ...]


def collect(disk: Disk, *, to: int | None = None, older: float | None = None, everything: bool = False) -> Collected:
    """Forget records until the blobs take at most `to` bytes, and those not used for `older` seconds.

    Records that a running plan has claimed stay, unless `everything` goes.
    """

    def work(connection: sqlite3.Connection) -> Collected:
        now = time.time()
        connection.execute("DELETE FROM leases WHERE expires < ?", (now,))
        connection.execute("DELETE FROM notes WHERE used < ?", (now - NOTE_SECONDS,))
        sizes: dict[str, int] = dict(connection.execute("SELECT name, size FROM blobs"))
        uses: dict[str, list[str]] = {}
        for record, blob in connection.execute("SELECT record, blob FROM uses"):
            uses.setdefault(record, []).append(blob)
        readers = Counter(blob for blobs in uses.values() for blob in blobs)
        spared = set() if everything else _claimed(connection)
        gone = [name for name in sizes if not readers[name]]
        left = sum(sizes.values()) - sum(sizes[name] for name in gone)
        forgotten = []
        for key, used in _least_worth_first(connection, uses, sizes, readers, now):
            is_old = older is not None and now - used > older
            if key in spared or not (everything or is_old or (to is not None and left > to)):
                continue
            forgotten.append(key)
            for blob in uses.get(key, []):
                readers[blob] -= 1
                if not readers[blob]:
                    gone.append(blob)
                    left -= sizes.get(blob, 0)
        forget(connection, forgotten)
        connection.executemany("DELETE FROM blobs WHERE name = ?", [(name,) for name in gone])
        connection.execute("INSERT OR REPLACE INTO totals VALUES ('bytes', ?)", (left,))
        for name in gone:
            with suppress(OSError):
                os.unlink(disk.path(name))
        return Collected(len(forgotten), sum(sizes.get(name, 0) for name in gone), left)

    return disk.index.ask(work, Collected(0, 0, 0), write=True)


def _claimed(connection: sqlite3.Connection) -> set[str]:
    """The keys of every live lease. A lease that does not read protects nothing: what it lost is computed again."""
    claimed: set[str] = set()
    for (keys,) in connection.execute("SELECT keys FROM leases"):
        if isinstance(keys, bytes):
            claimed.update(keys.decode(errors="replace").split("\n"))
    return claimed


def _least_worth_first(
    connection: sqlite3.Connection,
    uses: dict[str, list[str]],
    sizes: dict[str, int],
    readers: Counter[str],
    now: float,
) -> list[tuple[str, float]]:
    """(key, last used), ordered by seconds to recompute per byte and hour since the last use."""
    ranked = []
    for key, recompute_seconds, used in connection.execute("SELECT key, recompute_seconds, used FROM records"):
        size = 1 + sum(sizes.get(blob, 0) / max(1, readers[blob]) for blob in uses.get(key, []))
        hours = 1 + max(0.0, now - used) / 3600
        ranked.append((recompute_seconds / size / hours, used, key))
    return [(key, used) for _, used, key in sorted(ranked)]


def sweep(disk: Disk, *, grace: float = GRACE_SECONDS) -> int:
    """Delete what nobody knows: dead writers' files, blobs without a record, broken indexes. Returns bytes freed."""
    freed = sweep_temporaries(disk)

    def work(connection: sqlite3.Connection) -> int:
        known = {row[0] for row in connection.execute("SELECT name FROM blobs")}
        return sum(_remove(path) for path in _blobs(disk, grace) if path.name not in known)

    freed += disk.index.ask(work, 0, write=True)
    for path in _entries(disk.index.path.parent.parent):
        if f"{disk.index.path.parent.name}{SET_ASIDE}" in path.name and _is_older(path, grace):
            shutil.rmtree(path, ignore_errors=True)
    return freed


def sweep_temporaries(disk: Disk) -> int:
    """Delete the files of writers that are gone."""
    freed = 0
    for path in _entries(disk.blobs / "tmp"):
        with suppress(OSError):
            size = path.lstat().st_size
            freed += size if remove_abandoned(path) else 0
    return freed


def _blobs(disk: Disk, grace: float) -> Iterator[Path]:
    for folder in _entries(disk.blobs):
        if folder.name != "tmp" and folder.is_dir() and not folder.is_symlink():
            yield from (path for path in _entries(folder) if _is_older(path, grace))


def _entries(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder)]
    except OSError:
        return []


def _is_older(path: Path, seconds: float) -> bool:
    try:
        return time.time() - path.lstat().st_mtime >= seconds
    except OSError:
        return False


def _remove(path: Path) -> int:
    try:
        size = path.lstat().st_size
        path.unlink()
    except OSError:
        return 0
    return size


def verify(disk: Disk, progress: Callable[[int, int], None] | None = None) -> Verified:
    """Read every blob, prove its checksum and its content digest; forget what is damaged.

    `progress` is called with (entries done, entries in all).
    """
    from pipeline_core.cache import blob

    records = list(disk.index.all_records())
    proved: dict[str, bool] = {}
    damaged: list[str] = []
    nbytes = 0
    for done, record in enumerate(records):
        if progress is not None:
            progress(done, len(records))
        if isinstance(record, str):
            damaged.append(record)
            disk.refuse(record, "", "its record is damaged")
            continue
        for output in record.outputs:
            if output.blob not in proved:
                proved[output.blob] = blob.is_true(disk.path(output.blob), output)
                nbytes += output.size
            if not proved[output.blob]:
                damaged.append(record.key)
                disk.refuse(record.key, "", "its blob is damaged", output)
                break
    if progress is not None:
        progress(len(records), len(records))
    return Verified(len(records), nbytes, tuple(damaged))

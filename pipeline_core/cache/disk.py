"""The disk tier: blobs by content digest in files, named by the index's records.

v1/index/records.sqlite     see index.py
v1/blobs/ab/abcd...         blobs, see blob.py
v1/blobs/tmp/               blobs being written, each locked by its writer
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_core.cache.index import Durability, Index
from pipeline_core.cache.record import DamagedError, Output, Record, home, index_path

if TYPE_CHECKING:
    from pipeline_core.cache.blob import Contents

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # not on Windows: there, an abandoned temporary file is known by its age alone
    flock = None  # type: ignore[assignment]

Warn = Callable[[str], None]


class ChangedError(Exception):
    """The value was written to by somebody while it was being stored."""


@dataclass(frozen=True, slots=True)
class _Staged:
    """An output that is written under a temporary name (None: its blob was there)."""

    output: Output
    temporary: str | None
    contents: Contents


class Disk:
    """Finds, loads and stores. Safe to use from several threads and processes at once."""

    def __init__(self, folder: Path, *, durability: Durability, warn: Warn) -> None:
        self.folder = Path(folder)
        self.blobs = home(self.folder) / "blobs"
        self.durability = durability
        self.index = Index(index_path(self.folder), durability=durability, warn=warn)
        self._warn = warn
        self._doubted: set[str] = set()
        self._lock = threading.Lock()

    def path(self, blob: str) -> Path:
        return self.blobs / blob[:2] / blob

    # -- finding -----------------------------------------------------------------------------------------------------

    def find_many(self, keys: Iterable[str], nodes: Mapping[str, str]) -> dict[str, Record]:
        """Records by key, of which every blob is there with its size."""
        found = {}
        for record in self.index.records("key", keys):
            if isinstance(record, str):
                self.refuse(record, nodes.get(record, ""), "its record is damaged")
            elif self.is_whole(record, nodes.get(record.key, "")):
                found[record.key] = record
        return found

    def find_content(self, content_key: str, node: str) -> Record | None:
        for record in self.index.records("content_key", [content_key]):
            if isinstance(record, str):
                self.refuse(record, node, "its record is damaged")
            elif record.content_key == content_key and self.is_whole(record, node):
                return record
        return None

    def is_whole(self, record: Record, node: str) -> bool:
        """Whether the blobs are there with their sizes; else the record is forgotten."""
        for output in record.outputs:
            try:
                facts = os.lstat(self.path(output.blob))
            except (FileNotFoundError, NotADirectoryError) as error:
                # Another process may have collected it in this moment: then its record is gone as well.
                if any(True for _ in self.index.records("key", [record.key])):
                    self.refuse(record.key, node, f"its blob is missing ({error.strerror})", output)
                return False
            except OSError as error:
                self._warn(f"{describe(record.key, node)}: its blob can't be read ({error}); computing it again")
                return False
            if not stat.S_ISREG(facts.st_mode) or facts.st_size != output.size:
                self.refuse(record.key, node, f"its blob is not a file of {output.size:,} bytes", output)
                return False
        return bool(record.outputs)

    def refuse(self, key: str, node: str, reason: str, output: Output | None = None) -> None:
        """One warning; the entry is forgotten, and the next store writes it anew."""
        with self._lock:
            is_known = output is not None and output.blob in self._doubted
            if output is not None:
                self._doubted.add(output.blob)
        if not is_known:  # a blob that several records share is one entry's damage
            self._warn(f"{describe(key, node)}: {reason}; computing it again")
        self.index.drop(key, output.blob if output else None)

    # -- loading -----------------------------------------------------------------------------------------------------

    def load(self, record: Record, node: str) -> tuple[Any, ...] | None:
        """The values, proved; None and one warning on any doubt."""
        from pipeline_core.cache import blob

        loaded = []
        for output in record.outputs:
            try:
                loaded.append(blob.read(self.path(output.blob), output))
            except DamagedError as error:
                self.refuse(record.key, node, str(error), output)
                return None
            except (OSError, MemoryError) as error:
                with self._lock:
                    self._doubted.add(output.blob)  # perhaps only we can't read it: kept, but written anew by a store
                self._warn(f"{describe(record.key, node)}: its blob can't be read ({error}); computing it again")
                return None
        return tuple(loaded) if loaded else None

    # -- storing -----------------------------------------------------------------------------------------------------

    def store(
        self, record: Record, given: tuple[Any, ...], digests: tuple[str, ...] | None, unchanged: Callable[[], bool]
    ) -> Record | None:
        """Write the values and then the record that names them; the record as written, or None without an index.

        Raises OSError where a file can't be written, UnstorableError, and ChangedError where `unchanged` says so.
        """
        from pipeline_core.cache.blob import Contents

        if self.index.off or self.index.readonly:
            return None
        staged: list[_Staged] = []
        try:
            for number, value in enumerate(given):
                contents = Contents(value)
                staged.append(self._stage(contents, digests[number] if digests else contents.digest()))
            if not unchanged():
                raise ChangedError
            for item in staged:
                self._publish(item)
        finally:
            for item in staged:
                if item.temporary is not None:
                    with suppress(FileNotFoundError):
                        os.unlink(item.temporary)
        record = replace(record, outputs=tuple(item.output for item in staged), created=time.time())
        if not self.index.insert(record):
            return None
        self._publish_again([item for item in staged if not self._is_there(item.output)])
        return record

    def measure(self) -> float:
        """Seconds per byte to name, write and load a result here, from 16 MiB of them. Raises OSError."""
        import numpy as np

        from pipeline_core.cache import blob

        array = np.random.default_rng(0).integers(0, 255, 16 << 20, np.uint8)
        begin = time.perf_counter()
        contents = blob.Contents(array)
        staged = self._write(contents, Output(contents.digest(), "", contents.size, ""))
        assert staged.temporary is not None
        try:
            blob.read(Path(staged.temporary), staged.output)
        finally:
            os.unlink(staged.temporary)
        return (time.perf_counter() - begin) / array.nbytes

    def _stage(self, contents: Contents, digest: str) -> _Staged:
        name = contents.name(digest)
        output = Output(digest, name, contents.size, "")
        if self._is_there(output) and name not in self._doubted:
            with suppress(OSError):
                os.utime(self.path(name))  # collection spares what is new
            return _Staged(replace(output, checksum=contents.write(None)), None, contents)
        return self._write(contents, output)

    def _write(self, contents: Contents, output: Output) -> _Staged:
        file, temporary = self._temporary()
        try:
            checksum = contents.write(file)
            if self.durability == "power":
                os.fsync(file)
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(file)
        return _Staged(replace(output, checksum=checksum), temporary, contents)

    def _temporary(self) -> tuple[int, str]:
        """A new file, locked for as long as it is open, so that collection can tell a dead writer's file."""
        folder = self.blobs / "tmp"
        while True:
            name = os.fspath(folder / f"{os.getpid()}-{os.urandom(8).hex()}")
            try:
                file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
            except FileNotFoundError:
                folder.mkdir(parents=True, exist_ok=True)
                continue
            if flock is None:
                return file, name
            try:
                flock(file, LOCK_EX)
                if os.fstat(file).st_nlink:  # else collection took it between the two calls
                    return file, name
            except BaseException:
                os.close(file)
                raise
            os.close(file)

    def _publish(self, item: _Staged) -> None:
        if item.temporary is None:
            return
        path = self.path(item.output.blob)
        try:
            os.replace(item.temporary, path)
        except FileNotFoundError:
            path.parent.mkdir(exist_ok=True)
            os.replace(item.temporary, path)
        except (IsADirectoryError, PermissionError):
            if not path.is_dir() or path.is_symlink():
                raise
            import shutil

            shutil.rmtree(path)  # a directory in the blob's place
            os.replace(item.temporary, path)
        with self._lock:
            self._doubted.discard(item.output.blob)
        if self.durability == "power":
            _sync_folder(path.parent)

    def _publish_again(self, lost: list[_Staged]) -> None:
        """What another process collected between our look at it and our record."""
        for item in lost:
            again = self._write(item.contents, item.output)
            self._publish(again)

    def _is_there(self, output: Output) -> bool:
        try:
            facts = os.lstat(self.path(output.blob))
        except OSError:
            return False
        return stat.S_ISREG(facts.st_mode) and facts.st_size == output.size


def describe(key: str, node: str) -> str:
    return f"node '{node}': cache entry {key[:16]}" if node else f"cache entry {key[:16]}"


def remove_abandoned(path: Path) -> bool:
    """Delete a temporary file whose writer is gone; whether that was so. Raises OSError."""
    if flock is None:
        if time.time() - path.stat().st_mtime < 3600:
            return False
        path.unlink()
        return True
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        flock(file, LOCK_EX | LOCK_NB)
        path.unlink()  # while the lock is held: a writer that waits for it then sees that its file is gone
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)

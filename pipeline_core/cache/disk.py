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
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_core.cache.index import Durability, Index
from pipeline_core.cache.record import DamagedError, Output, Record, home, index_path
from pipeline_core.cache.temporary import Temporary

if TYPE_CHECKING:
    from pipeline_core.cache.blob import Contents, Known

Warn = Callable[[str], None]


class ChangedError(Exception):
    """The value was written to by somebody while it was being stored."""


@dataclass(frozen=True, slots=True)
class _Staged:
    """An output that is written under a temporary name (None: its blob was there)."""

    output: Output
    temporary: Temporary | None
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
        for record in self.index.records(keys):
            if isinstance(record, str):
                self.refuse(record, nodes.get(record, ""), "its record is damaged")
            elif self.is_whole(record, nodes.get(record.key, "")):
                found[record.key] = record
        return found

    def find_content(self, content_key: str, node: str) -> Record | None:
        for record in self.index.records_of_content(content_key):
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
                if any(True for _ in self.index.records([record.key])):
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

    def load(self, record: Record, node: str, known: Known | None = None) -> tuple[Any, ...] | None:
        """The values, proved; None and one warning on any doubt."""
        from pipeline_core.cache import blob

        loaded = []
        for output in record.outputs:
            try:
                loaded.append(blob.read(self.path(output.blob), output, known))
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

        if not self.index.takes_rows():
            return None
        with ExitStack() as temporaries:
            staged = []
            for number, value in enumerate(given):
                contents = Contents(value)
                digest = digests[number] if digests else contents.digest()
                staged.append(self._stage(contents, digest, temporaries))
            if not unchanged():
                raise ChangedError
            for item in staged:
                self._publish(item)
            record = replace(record, outputs=tuple(item.output for item in staged), created=time.time())
            if not self.index.insert(record):
                return None
            for item in staged:
                if not self._is_there(item.output):  # collected between our look at it and our record
                    self._publish(self._write(item.contents, item.output, temporaries))
        return record

    def measure(self) -> float:
        """Seconds per byte to name, write and load a result here, from 4 MiB of them. Raises OSError."""
        import numpy as np

        from pipeline_core.cache import blob

        array = np.random.default_rng(0).integers(0, 255, 4 << 20, np.uint8)
        begin = time.perf_counter()
        contents = blob.Contents(array)
        with ExitStack() as temporaries:
            staged = self._write(contents, Output(contents.digest(), "", contents.size, ""), temporaries)
            assert staged.temporary is not None
            blob.read(Path(staged.temporary.path), staged.output)
            return (time.perf_counter() - begin) / array.nbytes

    def _stage(self, contents: Contents, digest: str, temporaries: ExitStack) -> _Staged:
        name = contents.name(digest)
        output = Output(digest, name, contents.size, "")
        if self._is_there(output) and name not in self._doubted:
            with suppress(OSError):
                os.utime(self.path(name))  # collection spares what is new
            return _Staged(replace(output, checksum=contents.write(None)), None, contents)
        return self._write(contents, output, temporaries)

    def _write(self, contents: Contents, output: Output, temporaries: ExitStack) -> _Staged:
        temporary = temporaries.enter_context(Temporary(self.blobs / "tmp"))
        temporary.reserve(contents.size)
        checksum = contents.write(temporary.file)
        if self.durability == "power":
            os.fsync(temporary.file)
        return _Staged(replace(output, checksum=checksum), temporary, contents)

    def _publish(self, item: _Staged) -> None:
        if item.temporary is None:
            return
        path = self.path(item.output.blob)
        item.temporary.publish(path)
        with self._lock:
            self._doubted.discard(item.output.blob)
        if self.durability == "power":
            _sync_folder(path.parent)

    def _is_there(self, output: Output) -> bool:
        try:
            facts = os.lstat(self.path(output.blob))
        except OSError:
            return False
        return stat.S_ISREG(facts.st_mode) and facts.st_size == output.size


def describe(key: str, node: str) -> str:
    return f"node '{node}': cache entry {key[:16]}" if node else f"cache entry {key[:16]}"


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)

"""What a key gave: records and small notes, as rows that carry a checksum; and the one light read.

Nothing here imports numpy: the answer "up to date" is read through this module alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3

FORMAT = 1
"""The version of everything on disk. It names the folder, and is part of every row's checksum."""


class DamagedError(Exception):
    """Something in the cache that is not what was written; always turned into a miss."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a record: its content digest (hex), the blob's file name, size in bytes, checksum (hex)."""

    digest: str
    blob: str
    size: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Record:
    """What a key gave.

    key                the name of the result
    content_key        the same with the digests of the inputs in place of their keys, where it is known
    operation_key      the same without the inputs
    outputs            one per output of the node; empty for a result that only the memory tier holds
    seconds            what the operation itself took
    recompute_seconds  what getting it again would take: its own seconds and those of ancestors that are not stored
    parts              what the key is made of (JSON), for explaining a miss and for provenance
    created            seconds since the epoch
    """

    key: str
    content_key: str | None
    operation_key: str
    outputs: tuple[Output, ...]
    seconds: float
    recompute_seconds: float
    parts: Mapping[str, Any] = field(default_factory=dict)
    created: float = 0.0

    @property
    def digests(self) -> tuple[str, ...]:
        return tuple(output.digest for output in self.outputs)

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return sum([output.size for output in self.outputs])

    def contents(self) -> bytes:
        """Everything but the key, as JSON."""
        outputs = [[o.digest, o.blob, o.size, o.checksum] for o in self.outputs]
        fields = (self.content_key, self.operation_key, outputs, self.seconds, self.recompute_seconds, self.created)
        return pack([*fields, dict(self.parts)])

    @classmethod
    def from_row(cls, key: str, contents: bytes, checksum: bytes) -> Record:
        """DamagedError where the row is not what was written under this key."""
        fields = unpack("record", key, contents, checksum)
        try:
            content_key, operation_key, outputs, seconds, recompute_seconds, created, parts = fields
            return cls(
                key, content_key, operation_key, tuple(Output(*output) for output in outputs),
                seconds, recompute_seconds, parts, created,
            )  # fmt: skip
        except (TypeError, ValueError) as error:
            raise DamagedError(f"its record does not read ({error})") from error


def pack(contents: Any) -> bytes:
    return json.dumps(contents, sort_keys=True, separators=(",", ":")).encode()


def row_checksum(space: str, key: str, contents: bytes) -> bytes:
    """16 bytes over the format, the kind of row, its key and its contents: a row under another key does not match."""
    label = f"pipeline-core cache {FORMAT} {space} {len(key)} {key} ".encode()
    return blake3(label + contents).digest(16)


def unpack(space: str, key: str, contents: bytes, checksum: bytes) -> Any:
    """The JSON of a row; DamagedError where its checksum does not match."""
    if not isinstance(contents, bytes) or not isinstance(checksum, bytes):
        raise DamagedError("its record is of another type")
    if row_checksum(space, key, contents) != checksum:
        raise DamagedError("its record does not match its checksum")
    try:
        return json.loads(contents)
    except ValueError as error:
        raise DamagedError(f"its record does not read ({error})") from error


def default_folder() -> Path:
    """$PIPELINE_CACHE, else the platform's folder for caches."""
    from pipeline_core.folders import cache_folder

    return cache_folder()


def home(folder: Path) -> Path:
    """Where this format lives in a cache folder; other formats live beside it and are left alone."""
    return Path(folder) / f"v{FORMAT}"


def index_path(folder: Path) -> Path:
    """The SQLite file. It has a folder of its own, so that it moves aside with its log in one rename."""
    return home(folder) / "index" / "records.sqlite"


def read_stamp(folder: Path, key: str) -> dict[str, Any] | None:
    """The note that `Cache.put_stamp` wrote, or None on any doubt. Costs little more than importing sqlite3."""
    path = index_path(folder)
    if not path.is_file():
        return None
    connection = None
    try:
        # Only to read: else it would have to write the log out when it is closed.
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2)
        query = "SELECT contents, checksum FROM notes WHERE space = 'stamp' AND key = ?"
        row = connection.execute(query, (key,)).fetchone()
        stamp = unpack("stamp", key, *row) if row else None
    except (sqlite3.Error, DamagedError, OverflowError):
        return None  # the full look that follows says what is wrong
    finally:
        if connection is not None:
            connection.close()
    return stamp if isinstance(stamp, dict) else None

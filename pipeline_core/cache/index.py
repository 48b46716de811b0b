"""The index: one SQLite file (WAL) that many processes share. Whatever goes wrong with it is a miss and one warning."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pipeline_core.cache import connections
from pipeline_core.cache.record import DamagedError, Record, pack, row_checksum, unpack

T = TypeVar("T")
Durability = Literal["process", "power"]

SCHEMA = """
CREATE TABLE records (key TEXT PRIMARY KEY, content_key TEXT, operation_key TEXT NOT NULL,
  recompute_seconds REAL NOT NULL, used REAL NOT NULL, contents BLOB NOT NULL, checksum BLOB NOT NULL);
CREATE INDEX records_content ON records (content_key) WHERE content_key IS NOT NULL;
CREATE INDEX records_operation ON records (operation_key);
CREATE TABLE blobs (name TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE uses (record TEXT NOT NULL, blob TEXT NOT NULL, PRIMARY KEY (record, blob)) WITHOUT ROWID;
CREATE INDEX uses_blob ON uses (blob);
CREATE TABLE notes (space TEXT NOT NULL, key TEXT NOT NULL, used REAL NOT NULL,
  contents BLOB NOT NULL, checksum BLOB NOT NULL, PRIMARY KEY (space, key)) WITHOUT ROWID;
CREATE TABLE leases (id TEXT PRIMARY KEY, expires REAL NOT NULL, keys BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE totals (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
"""
USER_VERSION = 0x70630001
BUSY_SECONDS = 10.0
LEASE_SECONDS = 120.0
RECALL_SECONDS = 3600.0
ALIKE = 4
SET_ASIDE = ".broken-"

BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH}
WAITING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT}
UNWRITABLE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}


class Index:
    """Rows by key. Every method answers as for an empty index where the file can't be used."""

    def __init__(self, path: Path, *, durability: Durability, warn: Callable[[str], None]) -> None:
        self.path = path
        self.durability = durability
        self.readonly = False
        self.off = False
        self._warn = warn
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._set_aside = False
        self._is_new = False
        self._making: threading.Thread | None = None

    # -- asking ------------------------------------------------------------------------------------------------------

    def ask(self, work: Callable[[sqlite3.Connection], T], otherwise: T, *, write: bool = False) -> T:
        """`work` on the connection (a write in one transaction), or `otherwise` where that is not possible."""
        # A connection must not cross a fork: a child sees an empty cache.
        if (self._is_new and not write) or os.getpid() != self._pid:
            return otherwise
        with self._lock:
            for _ in range(2):
                if self.off or (write and self.readonly) or not (write or self._is_there()):
                    return otherwise
                try:
                    if self._connection is None:
                        self._connection = self._open()
                        if write and self.readonly:
                            return otherwise
                    return _transact(self._connection, work) if write else work(self._connection)
                except (sqlite3.Error, OSError, OverflowError) as error:
                    if not self._mend(error):
                        return otherwise
            return otherwise

    def begin(self, job: Callable[[], None]) -> Callable[[], None]:
        """Does the job, and returns what waits until it is done.

        Where there is no file yet it is done beside the caller, since to make one takes longer than many a pipeline.
        Meanwhile the index answers as what it is, an empty one.
        """
        if self._is_there():
            job()
            return lambda: None
        self._is_new = True

        def make() -> None:
            try:
                job()
            finally:
                self._is_new = False

        self._making = threading.Thread(target=make, name="cache index", daemon=True)
        self._making.start()
        return self._making.join

    def _is_there(self) -> bool:
        """Whether there is an index, or something in its place: to read there is no need to make one."""
        return self._connection is not None or os.path.lexists(self.path) or os.path.lexists(self.path.parent)

    def takes_rows(self) -> bool:
        """Whether rows can be added, as far as one knows; where there is no index yet it is made."""
        if self._connection is None:
            self.ask(lambda _: None, None, write=True)
        return not (self.off or self.readonly)

    def settle(self) -> None:
        """Waits until what others have put into a new index can be seen."""
        if self._is_new and self._making is not None and os.getpid() == self._pid:
            self._making.join()

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None and os.getpid() == self._pid:
                if self.readonly:
                    connection.close()
                else:
                    connections.keep(self.path, self.durability, self._inode, connection)

    # -- opening and mending -----------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        if (kept := connections.take(self.path, self.durability)) is not None:
            self._inode = os.stat(self.path).st_ino
            return kept
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = self._connect("")
        except (sqlite3.OperationalError, OSError) as error:
            if not self.path.is_file() or os.access(self.path.parent, os.W_OK):
                raise
            self._say(f"cache {self.path.parent.parent}: it can't be written ({error}); nothing is added to it")
            return self._open_readonly()
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._inode = os.stat(self.path).st_ino
        return connection

    def _connect(self, options: str) -> sqlite3.Connection:
        where = f"{self.path.absolute().as_uri()}{options}" if options else os.fspath(self.path)
        connection = sqlite3.connect(
            where, uri=bool(options), timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the log at once
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_readonly(self) -> sqlite3.Connection:
        self.readonly = True
        try:
            return self._connect("?mode=ro")
        except sqlite3.OperationalError:
            # A log can't be made here. Rows prove themselves, so that an inconsistent read is a miss.
            return self._connect("?immutable=1")

    def _discard(self) -> None:
        """Closes the connection for good."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        is_new = _version(connection) == 0
        if is_new and self.durability == "process":  # there is nothing to lose yet: nobody waits for the disk
            connection.execute("PRAGMA synchronous = OFF")
        _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone())
        try:
            self._create(connection)
        finally:
            connection.execute(f"PRAGMA synchronous = {'FULL' if self.durability == 'power' else 'NORMAL'}")

    def _create(self, connection: sqlite3.Connection) -> None:
        if _version(connection) == USER_VERSION:
            return

        def create(connection: sqlite3.Connection) -> None:
            found = _version(connection)  # another process may have been faster
            if found == 0:
                for statement in SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {USER_VERSION}")
            elif found != USER_VERSION:
                raise sqlite3.DatabaseError("it is of another version")

        _transact(connection, create)

    def _mend(self, error: Exception) -> bool:
        """Whether to try again."""
        code = getattr(error, "sqlite_errorcode", None)
        kind = None if code is None else code & 0xFF
        if isinstance(error, OSError) or kind == sqlite3.SQLITE_CANTOPEN:
            return self._set_obstacle_aside(error)
        if code == sqlite3.SQLITE_READONLY_DBMOVED:
            self._discard()
            return True
        if kind in WAITING:
            return self._give_up(error)  # waiting again for every question would cost more than the cache saves
        if kind in UNWRITABLE:
            self._say(f"cache {self.path.parent.parent}: it can't be written ({error}); nothing is added to it")
            self.readonly = True
            return False
        if kind is None or kind in BROKEN or code == sqlite3.SQLITE_IOERR_SHORT_READ:
            return self._set_broken_aside(error)
        return self._give_up(error)

    def _set_obstacle_aside(self, error: Exception) -> bool:
        """Where something that is no readable file is in the index's place; not for want of file descriptors."""
        try:
            os.close(os.open(self.path, os.O_RDWR))
        except (IsADirectoryError, PermissionError):
            return self._set_broken_aside(error)
        except OSError:
            if self.path.is_symlink() or (self.path.parent.exists() and not self.path.parent.is_dir()):
                return self._set_broken_aside(error)
        return self._give_up(error)

    def _set_broken_aside(self, error: Exception) -> bool:
        """The folder of a broken index is renamed, and a new index begun; collection removes the old one later."""
        self._discard()
        folder = self.path.parent
        try:
            if self._inode and self.path.exists() and os.stat(self.path).st_ino != self._inode:
                self._inode = 0
                return True  # another process has done it
            if self._set_aside:
                return self._give_up(error)
            self._set_aside = True
            os.rename(folder, folder.with_name(f"{folder.name}{SET_ASIDE}{time.time_ns():x}"))
        except OSError:
            return self._give_up(error)
        self._inode = 0
        self._say(f"cache {folder.parent}: its index is damaged ({error}); starting a new one")
        return True

    def _give_up(self, error: Exception) -> bool:
        self._discard()
        self.off = True
        self._say(f"cache {self.path.parent.parent}: it can't be used ({error}); going on without it")
        return False

    def _say(self, message: str) -> None:
        self._warn(message)

    # -- records -----------------------------------------------------------------------------------------------------

    def records(self, keys: Iterable[str]) -> Iterator[Record | str]:
        """Records by key; the key alone of one that is damaged."""
        wanted = list(keys)

        def select(connection: sqlite3.Connection) -> list[tuple[str, bytes, bytes]]:
            rows: list[tuple[str, bytes, bytes]] = []
            for some, marks in _portions(wanted):
                rows += connection.execute(f"SELECT key, contents, checksum FROM records WHERE key IN ({marks})", some)
            return rows

        return _read_rows(self.ask(select, []))

    def records_of_content(self, content_key: str) -> Iterator[Record | str]:
        """Some of the records under a content key, the latest first, as `records` gives them: any number of keys may share it."""
        query = f"SELECT key, contents, checksum FROM records WHERE content_key = ? ORDER BY rowid DESC LIMIT {ALIKE}"
        return _read_rows(self.ask(lambda connection: connection.execute(query, (content_key,)).fetchall(), []))

    def recall(self, keys: Sequence[str]) -> tuple[int, float, bool]:
        """(how many of these keys have a record, seconds to recompute them altogether, whether `touch` has to note it)."""
        before = time.time() - RECALL_SECONDS

        def count(connection: sqlite3.Connection) -> tuple[int, float, bool]:
            # In the order of the index on disk, then in that of the rows: each page of it is read once.
            places: list[int] = []
            for some, marks in _portions(sorted(keys)):
                places += [
                    row[0] for row in connection.execute(f"SELECT rowid FROM records WHERE key IN ({marks})", some)
                ]
            query = "SELECT total(recompute_seconds), total(used < ?) FROM records WHERE rowid IN ({})"
            portions = _portions(sorted(places))
            found = [connection.execute(query.format(marks), (before, *some)).fetchone() for some, marks in portions]
            return len(places), sum(row[0] for row in found), any(row[1] for row in found)

        return self.ask(count, (0, 0.0, False))

    def all_records(self) -> Iterator[Record | str]:
        """Every record; the key alone of one that is damaged."""
        query = "SELECT key, contents, checksum FROM records"
        return _read_rows(self.ask(lambda connection: connection.execute(query).fetchall(), []))

    def has_operation(self, operation_key: str) -> bool:
        query = "SELECT 1 FROM records WHERE operation_key = ? AND content_key IS NOT NULL LIMIT 1"
        return self.ask(lambda connection: connection.execute(query, (operation_key,)).fetchone() is not None, False)

    def insert(self, record: Record) -> bool:
        """Put the record in the place of any other under its key; False where it can't be written."""
        contents = record.contents()
        checksum = row_checksum("record", record.key, contents)

        def write(connection: sqlite3.Connection) -> bool:
            connection.execute("DELETE FROM uses WHERE record = ?", (record.key,))
            row = (
                record.key, record.content_key, record.operation_key, record.recompute_seconds, record.created,
                contents, checksum,
            )  # fmt: skip
            connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            for output in record.outputs:
                blob = (output.blob, output.size)
                if connection.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", blob).rowcount:
                    add_total(connection, "bytes", output.size)
                connection.execute("INSERT OR IGNORE INTO uses VALUES (?, ?)", (record.key, output.blob))
            return True

        return self.ask(write, False, write=True)

    def drop(self, key: str, blob: str | None = None) -> None:
        """Forget the record, and every other that needs the (damaged) blob."""

        def write(connection: sqlite3.Connection) -> None:
            keys = [key]
            if blob is not None:
                keys += [row[0] for row in connection.execute("SELECT record FROM uses WHERE blob = ?", (blob,))]
            forget(connection, keys)

        self.ask(write, None, write=True)

    def touch(self, used: dict[str, float], recalled: Sequence[str], totals: dict[str, float]) -> None:
        """Note when records were last used, and add to the totals. `recalled` are noted once in an hour."""

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("UPDATE records SET used = ? WHERE key = ?", [(t, key) for key, t in used.items()])
            for some, marks in _portions(recalled):
                before, now = time.time() - RECALL_SECONDS, time.time()
                query = f"UPDATE records SET used = ? WHERE used < ? AND key IN ({marks})"
                connection.execute(query, [now, before, *some])
            for name, value in totals.items():
                add_total(connection, name, value)

        if used or recalled or totals:
            self.ask(write, None, write=True)

    def totals(self) -> dict[str, float]:
        query = "SELECT name, value FROM totals"
        return self.ask(lambda connection: dict(connection.execute(query).fetchall()), {})

    # -- notes: small JSON under a name ------------------------------------------------------------------------------

    def note(self, space: str, key: str) -> Any:
        """None where there is none or it is damaged."""
        query = "SELECT contents, checksum FROM notes WHERE space = ? AND key = ?"
        row = self.ask(lambda connection: connection.execute(query, (space, key)).fetchone(), None)
        try:
            return unpack(space, key, *row) if row else None
        except DamagedError:
            return None

    def put_notes(self, space: str, notes: dict[str, Any]) -> None:
        now = time.time()
        rows = []
        for key, note in notes.items():
            contents = pack(note)
            rows.append((space, key, now, contents, row_checksum(space, key, contents)))
        insert = "INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?, ?)"
        self.ask(lambda connection: connection.executemany(insert, rows) and None, None, write=True)

    # -- leases ------------------------------------------------------------------------------------------------------

    def lease(self, name: str, keys: Iterable[str]) -> None:
        row = (name, time.time() + LEASE_SECONDS, "\n".join(keys).encode())
        self.ask(lambda c: c.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", row) and None, None, write=True)

    def renew(self, names: Iterable[str]) -> None:
        rows = [(time.time() + LEASE_SECONDS, name) for name in names]
        update = "UPDATE leases SET expires = ? WHERE id = ?"
        self.ask(lambda connection: connection.executemany(update, rows) and None, None, write=True)

    def release(self, name: str) -> None:
        delete = "DELETE FROM leases WHERE id = ?"
        self.ask(lambda connection: connection.execute(delete, (name,)) and None, None, write=True)


def forget(connection: sqlite3.Connection, keys: Iterable[str]) -> None:
    """Delete records; their blobs stay until collection."""
    rows = [(key,) for key in keys]
    connection.executemany("DELETE FROM records WHERE key = ?", rows)
    connection.executemany("DELETE FROM uses WHERE record = ?", rows)


def add_total(connection: sqlite3.Connection, name: str, value: float) -> None:
    connection.execute(
        "INSERT INTO totals VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        (name, value),
    )


def _portions(keys: Sequence[T]) -> Iterator[tuple[Sequence[T], str]]:
    """Some keys at a time, and as many marks for them: SQLite's old limit on parameters is 999."""
    for start in range(0, len(keys), 900):
        some = keys[start : start + 900]
        yield some, ",".join("?" * len(some))


def _read_rows(rows: Iterable[tuple[str, bytes, bytes]]) -> Iterator[Record | str]:
    for key, contents, checksum in rows:
        try:
            yield Record.from_row(key, contents, checksum)
        except DamagedError:
            yield key


def _transact(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    _patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _patiently(step: Callable[[], T]) -> T:
    """SQLite does not wait in every place where it says that it is busy."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in WAITING or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])

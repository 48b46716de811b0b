"""Which bytes a plugin is made of: its identity in the catalogue and, for editable installs, in every key."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import time
import uuid
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

from blake3 import blake3

_INSTALLED = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def digest_of_sources(module: str) -> str:
    """blake3 of all files of a module's package (weights and tables, too) and of every local module that it imports.

    '' if it is not found.

    Local is what lies outside the interpreter's library and site-packages: a plugin's checkout, with its own siblings.
    The front door, pipeline_core, has a version of its own and does not count.
    Within one process files are not read again that stayed as they were by size, places and times (docs/decisions/0005).
    """
    top = module.partition(".")[0]
    known = _known.get(top)
    if known is not None and known.stamps == _stamps(known.tops):
        return known.digest
    began = time.time_ns()
    files, tops = _local_files([top])
    stamps = _stamps(tops)
    found = _digest(files)
    # One that was written while a clock's tick lasts could be written again without a trace.
    if os.name == "posix" and all(stamp[-1] < began - TICK for stamp in stamps.values()):
        _known[top] = _Known(found, tops, stamps)
    else:
        _known.pop(top, None)
    return found


TICK = 2_000_000_000
"""Nanoseconds that clocks of file systems may be apart, or stand still."""


class _Known(NamedTuple):
    """A digest with the top-level modules it is of, and what their files looked like when they were read."""

    digest: str
    tops: frozenset[str]
    stamps: dict[str, tuple[int, ...]]


_known: dict[str, _Known] = {}


def _stamps(tops: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """By path; the last number is the time of the last change, which nobody can set back."""
    found = {path: os.stat(path) for top in tops for _, path in _files_of(top)}
    return {path: (of.st_ino, of.st_size, of.st_mtime_ns, of.st_ctime_ns) for path, of in found.items()}


def digest_of_recorded(record: str) -> str:
    """The same for an installed plugin: what its installer noted in RECORD, so that no file need be read.

    Tells a plugin apart that was installed anew with other contents under its old version.
    """
    own = sorted(
        line
        for line in record.splitlines()
        if all(map(_counts, line.partition(",")[0].split("/"))) and not line.startswith(("pipeline_core/", "../"))
    )
    return blake3("\n".join(own).encode()).hexdigest() if own else ""


def digest_of_function(function: FunctionType, seen: tuple[FunctionType, ...] = ()) -> str:
    """As `digest_of_sources`, for a plain function: its package or file, and the values that it closes over.

    Never the same twice for a function typed at a prompt, or one that closes over more than functions and plain values:
    nothing would tell that it has changed.
    """
    from pipeline_core.keys import canonical, digest

    file = Path(function.__code__.co_filename)
    if not file.is_file():
        return uuid.uuid4().hex
    closure: list[Any] = []
    try:
        for cell in function.__closure__ or ():
            value = cell.cell_contents
            if not isinstance(value, FunctionType):
                closure.append(canonical(value))
            elif value is not function and value not in seen:
                closure.append(digest_of_function(value, (*seen, function)))
        where = _of_its_module(function, file.resolve())
        return digest(canonical([where, function.__qualname__, closure]))
    except (TypeError, KeyError, ValueError):
        return uuid.uuid4().hex


def _of_its_module(function: FunctionType, file: Path) -> str:
    top = str(function.__module__).partition(".")[0]
    if _is_local(top) and any(Path(path).resolve() == file for _, path in _files_of(top)):
        return _digest(_local_files([top])[0])
    return _digest(_local_files([], file)[0])


Files = dict[tuple[str, str], bytes | None]
"""(name relative to its root, path) of files, with the content of those that were read already."""


def _digest(files: Files) -> str:
    hasher = blake3()
    portion = memoryview(
        bytearray(1 << 18)
    )  # weights are large, and fresh memory for them takes longer than to hash them
    for (name, path), known in sorted(files.items()):
        if known is not None:
            hasher.update(f"{name}\0{len(known)}\0".encode())
            hasher.update(known)
            continue
        with open(path, "rb", buffering=0) as file:
            hasher.update(f"{name}\0{os.fstat(file.fileno()).st_size}\0".encode())
            while read := file.readinto(portion):
                hasher.update(portion[:read])
    return hasher.hexdigest() if files else ""


def _local_files(modules: Iterable[str], file: Path | None = None) -> tuple[Files, frozenset[str]]:
    """The files of top-level modules, or of one file, and of the local modules they import; and what these are."""
    found: Files = {}
    waiting: list[str] = [*modules]
    seen = {"pipeline_core"}

    def add(name: str, path: str) -> None:
        code = _read(path) if path.endswith(".py") else None
        found[name, path] = code
        if code is not None:
            waiting.extend(other for other in _imports(code) if other not in seen and _is_local(other))

    if file is not None:
        add(file.name, str(file))
    while waiting:
        top = waiting.pop()
        if top not in seen:
            seen.add(top)
            for name, path in _files_of(top):
                add(name, path)
    return found, frozenset(seen - {"pipeline_core"})


def _read(path: str) -> bytes:
    """As `Path.read_bytes`, at half its price for a small file: a start reads hundreds of them."""
    with open(path, "rb", buffering=0) as file:
        return file.readall()


def _files_of(top: str) -> Iterator[tuple[str, str]]:
    for root in _locations(top):
        if not root.is_dir():
            yield root.name, str(root)
            continue
        folders = [(top, str(root))]
        while folders:
            inside, folder = folders.pop()
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not _counts(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((f"{inside}/{entry.name}", entry.path))
                    elif entry.is_file():
                        yield f"{inside}/{entry.name}", entry.path


def _counts(name: str) -> bool:
    """Whether a file or folder is part of what a plugin does: not bytecode, a text for people, or what tools leave."""
    return not name.endswith((".pyc", ".pyo", ".md", ".rst", "~", ".dist-info")) and not (
        name.startswith(".") or name == "__pycache__"
    )


@lru_cache(maxsize=1024)
def _locations(top: str) -> tuple[Path, ...]:
    """Where a top-level module lies, found without importing it."""
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return ()
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = find(top, None) if find else None
        if spec is None:
            continue
        if spec.submodule_search_locations:
            return tuple(Path(place) for place in spec.submodule_search_locations)
        return (Path(spec.origin),) if spec.origin and Path(spec.origin).is_file() else ()
    return ()


@lru_cache(maxsize=1024)
def _is_local(top: str) -> bool:
    return any(not str(place.resolve()).startswith(_INSTALLED) for place in _locations(top))


_IMPORT = re.compile(rb"(?:^|;)[ \t]*(?:from[ \t]+([A-Za-z_]\w*)|import[ \t]+([^\n;#]+))")
_NAME = re.compile(rb"[ \t]*([A-Za-z_]\w*)")


def _imports(code: bytes) -> set[str]:
    """Top-level names that a file imports, wherever in it; found by their form, since parsing takes ten times as long.

    A name in a comment or text may be taken for an import: then one more file counts, which harms nothing.
    """
    if b"\\\n" in code:
        code = code.replace(b"\\\n", b" ")
    names: list[bytes] = []
    end = 0
    while (at := code.find(b"import", end)) >= 0:  # few lines have the word: only those are looked at
        start, end = code.rfind(b"\n", 0, at) + 1, code.find(b"\n", at)
        end = len(code) if end < 0 else end
        for source, listed in _IMPORT.findall(code[start:end]):
            names += [source] if source else listed.split(b",")
    found = map(_NAME.match, set(names))
    return {match.group(1).decode() for match in found if match}

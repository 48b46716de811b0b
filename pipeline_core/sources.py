"""Which bytes a plugin is made of: its identity in the catalogue and, for editable installs, in every key."""

from __future__ import annotations

import re
import sys
import sysconfig
import uuid
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath
from types import FunctionType
from typing import Any

from blake3 import blake3

_INSTALLED = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def digest_of_sources(module: str) -> str:
    """blake3 of all files of a module's package (weights and tables, too) and of every local module that it imports.

    '' if it is not found.

    Local is what lies outside the interpreter's library and site-packages: a plugin's checkout, with its own siblings.
    The front door, pipeline_core, has a version of its own and does not count.
    """
    return _digest(local_files([module.partition(".")[0]]))


def digest_of_recorded(record: str) -> str:
    """The same for an installed plugin: what its installer noted in RECORD, so that no file need be read.

    Tells a plugin apart that was installed anew with other contents under its old version.
    """
    own = sorted(
        line
        for line in record.splitlines()
        if _counts(PurePosixPath(line.partition(",")[0])) and not line.startswith(("pipeline_core/", "../"))
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
    if _is_local(top) and any(path.resolve() == file for _, path in _files_of(top)):
        return _digest(local_files([top]))
    return _digest(local_files([], [file]))


def _digest(found: Iterable[tuple[str, Path]]) -> str:
    hasher = blake3()
    files = sorted(found)
    for name, path in files:
        content = path.read_bytes()
        hasher.update(f"{name}\0{len(content)}\0".encode())
        hasher.update(content)
    return hasher.hexdigest() if files else ""


def local_files(modules: Iterable[str], files: Iterable[Path] = ()) -> set[tuple[str, Path]]:
    """(name relative to its root, file) of top-level modules, of these files, and of the local modules they import."""
    found: set[tuple[str, Path]] = {(path.name, path) for path in files}
    waiting, seen = [*modules], {"pipeline_core"}
    for _, path in found:
        waiting += [other for other in _imports(path) if _is_local(other)]
    while waiting:
        top = waiting.pop()
        if top in seen:
            continue
        seen.add(top)
        for name, path in _files_of(top):
            found.add((name, path))
            if path.suffix == ".py":
                waiting += [other for other in _imports(path) if _is_local(other)]
    return found


def _files_of(top: str) -> Iterable[tuple[str, Path]]:
    for root in _locations(top):
        if root.is_dir():
            for path in root.rglob("*"):
                if _counts(path.relative_to(root)) and path.is_file():
                    yield f"{top}/{path.relative_to(root).as_posix()}", path
        else:
            yield root.name, root


def _counts(path: PurePath) -> bool:
    """Whether a file is part of what a plugin does: not bytecode, a text for people, or what tools leave."""
    return (
        path.suffix not in (".pyc", ".pyo", ".md", ".rst")
        and not path.name.endswith("~")
        and not any(part.startswith(".") or part == "__pycache__" or part.endswith(".dist-info") for part in path.parts)
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


_FROM = re.compile(rb"(?:^|;)[ \t]*from[ \t]+([A-Za-z_]\w*)", re.MULTILINE)
_NAME = re.compile(rb"[ \t]*([A-Za-z_]\w*)")
_IMPORT = re.compile(rb"(?:^|;)[ \t]*import[ \t]+([^\n;#]+)", re.MULTILINE)


def _imports(path: Path) -> set[str]:
    """Top-level names that a file imports, wherever in it; found by their form, since parsing takes ten times as long.

    A name in a comment or text may be taken for an import: then one more file counts, which harms nothing.
    """
    text = path.read_bytes().replace(b"\\\n", b" ")
    # Few lines have the word: they are found by a plain search, before the patterns look at them.
    lines = b"\n".join(line for line in text.split(b"\n") if b"import" in line)
    names = [*_FROM.findall(lines), *(part for line in _IMPORT.findall(lines) for part in line.split(b","))]
    found = (_NAME.match(name) for name in names)
    return {match.group(1).decode() for match in found if match}

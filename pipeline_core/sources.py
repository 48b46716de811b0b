"""Which bytes a plugin is made of: its identity in the catalogue and, for editable installs, in every key."""

from __future__ import annotations

import importlib.machinery
import re
import sys
import sysconfig
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from blake3 import blake3

SUFFIXES = (".py", *importlib.machinery.EXTENSION_SUFFIXES)
_INSTALLED = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def digest_of_sources(module: str) -> str:
    """blake3 of the source bytes of a module's package and of every local module that they import; '' if not found.

    Local is what lies outside the interpreter's library and site-packages: a plugin's checkout, with its own siblings.
    The front door, pipeline_core, has a version of its own and does not count.
    """
    files = sorted(local_files(module))
    if not files:
        return ""
    hasher = blake3()
    for name, path in files:
        content = path.read_bytes()
        hasher.update(f"{name}\0{len(content)}\0".encode())
        hasher.update(content)
    return hasher.hexdigest()


def local_files(module: str) -> set[tuple[str, Path]]:
    """(name relative to its root, file) of the module's package and of the local modules it imports."""
    found: set[tuple[str, Path]] = set()
    waiting, seen = [module.partition(".")[0]], {"pipeline_core"}
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
                if path.name.endswith(SUFFIXES) and path.is_file():
                    yield f"{top}/{path.relative_to(root).as_posix()}", path
        else:
            yield root.name, root


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


def _is_local(top: str) -> bool:
    return any(not str(place.resolve()).startswith(_INSTALLED) for place in _locations(top))


_FROM = re.compile(rb"(?:^|;)[ \t]*from[ \t]+([A-Za-z_]\w*)", re.MULTILINE)
_IMPORT = re.compile(rb"(?:^|;)[ \t]*import[ \t]+([^\n;#]+)", re.MULTILINE)


def _imports(path: Path) -> set[str]:
    """Top-level names that a file imports, wherever in it; found by their form, since parsing takes ten times as long.

    A name in a comment or text may be taken for an import: then one more file counts, which harms nothing.
    """
    text = path.read_bytes().replace(b"\\\n", b" ")
    names = [*_FROM.findall(text), *(part for line in _IMPORT.findall(text) for part in line.split(b","))]
    return {name.split(b".")[0].split()[0].decode() for name in names if name.strip()}

"""The name of a result: what it is made of, never where, when, or on what machine it was made.

    operation key   format version, plugin, its version (its source where it is editable), operation, its version,
                    canonical params, content digests of the files that the params name
    key             operation key, and the key and output of every input
    content key     operation key, and the content digest of every input: the same pixels by another way

Never a path, an mtime, the device, the worker count, or the order in which things stand in a file (docs/data.md).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from blake3 import blake3

from pipeline_core.operation import Operation

FORMAT = 1
"""Raised when keys or stored values change their meaning; older results are then not found."""

CHUNK = 1 << 20
MAPPED = 512 << 20
"""Bytes of a file that are mapped at the most."""


def digest(content: bytes) -> str:
    """blake3, 64 hexadecimal digits."""
    return blake3(content).hexdigest()


def canonical(value: Any, files: Mapping[Path, str] | None = None) -> bytes:
    """A plain value as bytes that differ exactly when the value or its type does; a path counts by its file's content.

    `1`, `1.0`, `True`, `"1"`, `0.0`, `-0.0`, None, `""`, `[]`, `{}`, and the NFC and NFD forms of a text all differ.
    A tuple and a list of the same items are the same: files know no tuples.
    """
    parts: list[bytes] = []
    stack: list[Any] = [value]
    while stack:
        part = stack.pop()
        kind = type(part)
        if kind is bytes:  # already canonical
            parts.append(part)
        elif kind is str:
            text = part.encode("utf-8", "surrogatepass")
            parts.append(b"s%d:%s" % (len(text), text))
        elif kind is bool:
            parts.append(b"b1" if part else b"b0")
        elif kind is int:
            parts.append(b"i%d;" % part)
        elif kind is float:
            parts.append(b"f" + struct.pack(">d", part if part == part else float("nan")))
        elif part is None:
            parts.append(b"n")
        elif isinstance(part, PurePath):
            parts.append(b"p" + (files or {})[Path(part)].encode())
        elif isinstance(part, (list, tuple)):
            parts.append(b"l%d:" % len(part))
            stack.extend(reversed(part))
        elif isinstance(part, dict):
            parts.append(b"d%d:" % len(part))
            for key in sorted(part, reverse=True):
                stack += [part[key], key]
        else:
            raise TypeError(f"{kind.__name__} has no canonical form")
    return b"".join(parts)


def identity(operation: Operation) -> bytes:
    """What an operation contributes to a key, params aside."""
    return canonical(
        [FORMAT, operation.plugin, operation.plugin_version, operation.source, operation.name, operation.version]
    )


def operation_key(who: bytes, params: Mapping[str, Any], files: Mapping[Path, str]) -> str:
    """`who` is the operation's `identity`; `files` has the digest of every path in the params."""
    return digest(who + canonical(dict(params), files))


def key(operation: str, inputs: Iterable[tuple[str, Sequence[tuple[int, int]]]], keys: Sequence[str]) -> str:
    """The key from the operation key and (input, [(step it comes from, position of the output)]); `keys` by step."""
    text = f"key{operation}"
    for name, links in inputs:
        text += f"{name}={len(links)}:"
        for source, output in links:
            text += f"{keys[source]}.{output};"
    return blake3(text.encode()).hexdigest()


def content_key(operation: str, inputs: Iterable[tuple[str, Iterable[str]]]) -> str:
    """The content key from the operation key and (input, [content digest])."""
    return digest(b"content" + operation.encode() + canonical([[name, list(digests)] for name, digests in inputs]))


# --- files ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it was when the plan read it."""

    digest: str
    stamp: tuple[int, ...]


def paths_in(value: Any) -> Iterable[Path]:
    """Every path in a canonical value."""
    stack = [value]
    while stack:
        part = stack.pop()
        if isinstance(part, PurePath):
            yield Path(part)
        elif isinstance(part, dict):
            stack.extend(part.values())
        elif isinstance(part, (list, tuple)):
            stack.extend(part)


def read_state(path: Path) -> FileState:
    """Content digest of a file, or of a folder's files with their names. OSError where it can't be read.

    No digest is ever remembered by size or time: a file overwritten with its old size and mtime is a changed file.
    """
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file())
        names = [[p.relative_to(path).as_posix(), digest_file(p)] for p in inside]
        return FileState("folder:" + digest(canonical(names)), tuple(n for p in inside for n in _stamp(os.stat(p))))
    if not path.is_file() and path.exists():
        raise OSError(f"'{path}' is neither a file nor a folder")
    before = _stamp(os.stat(path))
    return FileState(digest_file(path), before)


def unchanged(path: Path, state: FileState) -> bool:
    """Whether the file still is what `read_state` saw, checked after an operation read it."""
    try:
        return read_state(path) == state
    except OSError:
        return False


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    # ctime can't be set back, so a file changed and restored between two reads is seen too.
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def digest_file(path: Path) -> str:
    """blake3 of a file's content. OSError where it can't be read."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= CHUNK // 4:
            return blake3(file.read()).hexdigest()
        hasher = blake3(max_threads=blake3.AUTO if size > 64 * CHUNK else 1)
        if size <= MAPPED:  # in one go, without the interpreter's lock
            return hasher.update_mmap(path).hexdigest()
        chunk = memoryview(bytearray(64 * CHUNK))  # what is mapped counts as memory of ours
        while read := file.readinto(chunk):
            hasher.update(chunk[:read])
        return hasher.hexdigest()

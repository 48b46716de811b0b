"""What a file of a model is, by its content: its name says nothing."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, Literal

from pipeline_core import OperationError
from pipeline_models.tensor_file import is_tensor_file

Format = Literal["safetensors", "onnx", "torch_export", "pickle", "archive", "unknown"]

MAX_ENTRIES = 20_000
_ONNX_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
"""Top fields of onnx's ModelProto with their wire types (github.com/onnx/onnx, onnx.proto)."""


def format_of(content: Any) -> Format:
    """What this is. A zip counts as what it holds: a program of torch.export, a pickle of torch, or neither."""
    start = bytes(content[:16])
    if is_tensor_file(start):
        return "safetensors"
    if start.startswith(b"PK"):
        return _zip(content)
    if (
        start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!"))
        or bytes(content[257:262]) == b"ustar"
    ):
        return "archive"
    if looks_pickled(start):
        return "pickle"
    return "onnx" if _is_onnx(content) else "unknown"


def looks_pickled(start: bytes) -> bool:
    """Whether this begins like a pickle: of protocol 2 and later surely, of the older ones by their usual beginnings."""
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05" and len(start) > 1:
        return True
    return start[:1] in (b"(", b"c", b"]", b"}", b"I", b"S", b"V", b"i", b"l", b"d") and not start.startswith(
        (b"data:", b"import")
    )


def zip_names(content: Any) -> dict[str, int]:
    """Names in a zip and their sizes. OperationError where it is damaged or has too many."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, UnicodeDecodeError) as error:
        raise OperationError(f"the file is a damaged zip: {error}") from None
    if len(entries) > MAX_ENTRIES:
        raise OperationError(f"the file is a zip of {len(entries):,} entries; at most {MAX_ENTRIES:,} are read")
    # Numbers hardly get smaller by packing: what says so is a bomb.
    if sum(entry.file_size for entry in entries) > 2 * len(content) + (16 << 20):
        raise OperationError("the file is a zip that says it holds far more than it could of a model")
    names = {entry.filename: entry.file_size for entry in entries}
    if len(names) != len(entries):
        raise OperationError("the file is a zip with two entries of one name")
    return names


def read_entry(content: Any, name: str, most: int) -> bytes:
    """One entry of a zip, of at most so many bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(name) as entry:
            found = entry.read(most + 1)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, KeyError, RuntimeError, zlib.error) as error:
        raise OperationError(f"'{name[:80]}' in the file does not read: {error}") from None
    if len(found) > most:
        raise OperationError(f"'{name[:80]}' in the file is larger than {most:,} bytes")
    return found


def _zip(content: Any) -> Format:
    names = zip_names(content)
    if any(name.split("/")[-1] == "archive_format" for name in names):
        return "torch_export"
    return "pickle" if any(name.endswith((".pkl", ".pickle")) for name in names) else "archive"


def _is_onnx(content: Any) -> bool:
    seen: set[int] = set()
    try:
        for number, wire, _ in proto_fields(memoryview(content)):
            if _ONNX_FIELDS.get(number) != wire:
                return False
            seen.add(number)
    except ValueError:
        return False
    return {1, 7} <= seen


def proto_fields(content: memoryview) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value) of each field of a protobuf message; ValueError where it is none."""
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, place = _varint(content, place)
            yield number, wire, value
            continue
        size, place = _varint(content, place) if wire == 2 else ({1: 8, 5: 4}.get(wire, -1), place)
        if size < 0 or place + size > len(content) or number == 0:
            raise ValueError("no protobuf")
        yield number, wire, content[place : place + size]
        place += size


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70 and place < len(content):
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    raise ValueError("no protobuf")

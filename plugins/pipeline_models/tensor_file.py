"""Files in the format safetensors: a header of JSON, then the numbers. They hold no code, and are read within limits.

Format: https://github.com/huggingface/safetensors#format. Read by our own few lines, so that a header is refused by its
size before anything parses it, and so that loading copies nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_core import OperationError

MAX_HEADER = 1 << 20
MAX_TENSORS = 10_000
_NUMPY = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_TORCH = {"BF16": ("bfloat16", 2), "F8_E4M3": ("float8_e4m3fn", 1), "F8_E5M2": ("float8_e5m2", 1)}
_NAMES = {np.dtype(code): name for name, code in _NUMPY.items()}


@dataclass(frozen=True)
class Entry:
    """One tensor as the header tells of it; `begin` and `end` count from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    def stand_in(self) -> np.ndarray[Any, Any]:
        """An array of its shape and bytes that takes no memory."""
        return np.broadcast_to(np.zeros((), _NUMPY.get(self.dtype, f"u{_width(self.dtype)}")), self.shape)


@dataclass(frozen=True)
class Header:
    """All but the numbers."""

    entries: tuple[Entry, ...]
    metadata: Mapping[str, str]
    size: int


def is_tensor_file(start: bytes) -> bool:
    """Whether a file that begins so (16 bytes suffice) claims to be one."""
    return len(start) >= 9 and start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") <= MAX_HEADER


def read_header(content: Any, length: int | None = None) -> Header:
    """The header of a file's content, or of its first bytes where `length` is that of the file. OperationError if it is none."""
    length = len(content) if length is None else length
    size = int.from_bytes(bytes(content[:8]), "little")
    if length < 8 or size > MAX_HEADER or 8 + size > length:
        raise _refusal(
            f"its header claims {size:,} bytes; the file has {length:,}, and a header at most {MAX_HEADER:,}"
        )
    try:
        told = json.loads(bytes(content[8 : 8 + size]), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise _refusal(f"its header does not read ({str(error)[:80]})") from None
    if not isinstance(told, dict):
        raise _refusal("its header is not a mapping")
    metadata = told.pop("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())):
        raise _refusal("its metadata are not texts")
    if len(told) > MAX_TENSORS:
        raise _refusal(f"it has {len(told):,} tensors; at most {MAX_TENSORS:,} are read")
    entries = tuple(sorted((_entry(name, part) for name, part in told.items()), key=lambda e: (e.begin, e.end)))
    place = 0
    for entry in entries:  # without gaps or overlaps, as the format asks: no byte hides, and none counts twice
        if entry.begin != place:
            raise _refusal(f"tensor '{entry.name}' begins at {entry.begin:,} and not at {place:,}")
        place = entry.end
    if place != length - 8 - size:
        raise _refusal(f"its tensors take {place:,} bytes, but {length - 8 - size:,} are there; it may be cut off")
    return Header(entries, metadata, 8 + size)


def read_tensors(content: np.ndarray[Any, Any]) -> tuple[dict[str, Any], Mapping[str, str]]:
    """(tensors by name, metadata) of a file's content, an array of bytes of which the tensors are views.

    Arrays; torch tensors where numpy lacks the type (bfloat16, float8).
    """
    header = read_header(content)
    tensors: dict[str, Any] = {}
    for entry in sorted(header.entries, key=lambda e: e.name):
        part = content[header.size + entry.begin : header.size + entry.end]
        if entry.dtype in _NUMPY:
            if part.ctypes.data % 8:
                part = part.copy()
            tensors[entry.name] = part.view(_NUMPY[entry.dtype]).reshape(entry.shape)
        else:
            import torch

            name, _ = _TORCH[entry.dtype]
            tensors[entry.name] = torch.from_numpy(part.copy()).view(getattr(torch, name)).reshape(entry.shape)
    return tensors, header.metadata


def write_tensors(tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> bytes:
    """The content of a file. The same tensors and metadata give the same bytes."""
    told: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    parts: list[bytes] = []
    place = 0
    # Wide types first, as others write them, so that every tensor is aligned.
    for name, (dtype, shape, content) in sorted(
        ((name, _content(tensor)) for name, tensor in tensors.items()), key=lambda t: (-_width(t[1][0]), t[0])
    ):
        told[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [place, place + len(content)]}
        parts.append(content)
        place += len(content)
    header = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    return b"".join([len(header).to_bytes(8, "little"), header, *parts])


def _content(tensor: Any) -> tuple[str, tuple[int, ...], bytes]:
    if not isinstance(tensor, np.ndarray):
        import torch

        tensor = tensor.detach().cpu().contiguous()
        for code, (name, _) in _TORCH.items():
            if tensor.dtype == getattr(torch, name):
                return code, tuple(tensor.shape), tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        tensor = tensor.numpy()
    code = _NAMES.get(tensor.dtype.newbyteorder("<"), "")
    if not code:
        raise TypeError(f"a tensor of {tensor.dtype} can't be written")
    return code, tuple(tensor.shape), np.ascontiguousarray(tensor).astype(_NUMPY[code], copy=False).tobytes()


def _width(dtype: str) -> int:
    return np.dtype(_NUMPY[dtype]).itemsize if dtype in _NUMPY else _TORCH[dtype][1]


def _entry(name: str, told: Any) -> Entry:
    try:
        dtype, shape, (begin, end) = told["dtype"], told["shape"], told["data_offsets"]
        numbers = [begin, end, *shape]
    except (TypeError, KeyError, ValueError):
        raise _refusal(f"tensor '{name[:80]}' does not tell type, shape and place") from None
    if dtype not in _NUMPY and dtype not in _TORCH:
        raise _refusal(f"tensor '{name[:80]}' has type {str(dtype)[:20]!r}, which is not known")
    if not all(type(number) is int and 0 <= number < 1 << 48 for number in numbers) or len(shape) > 16:
        raise _refusal(f"tensor '{name[:80]}' has a shape or place that can't be")
    if math.prod(shape) * _width(dtype) != end - begin:
        raise _refusal(f"tensor '{name[:80]}' of {dtype} {shape} can't have {end - begin:,} bytes")
    return Entry(name, dtype, tuple(shape), begin, end)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _refusal(why: str) -> OperationError:
    return OperationError(f"this is not a safetensors file that can be read: {why}")

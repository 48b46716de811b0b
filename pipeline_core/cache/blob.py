"""Blobs: one output's value as a file that any safetensors reader opens, and its content digest.

Layout: 8 bytes little-endian length of the header, the header (JSON, padded with spaces so that what follows is aligned
to 64 bytes), the buffers one after the other. `__metadata__.pipeline_core` holds the plain part of the value as a JSON
string. Source: https://github.com/huggingface/safetensors#format

A buffer is written in the order it has in memory (a permutation of its axes is noted), so that a value comes back with
the strides it was made with: kernels pick their path by strides, and a hit must give the same last bits as a miss.
"""

from __future__ import annotations

import errno
import json
import math
import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from blake3 import blake3

from pipeline_core import values
from pipeline_core.cache import proofs
from pipeline_core.cache.record import DamagedError, Output
from pipeline_core.pieces import Checksum, checksum

Array = np.ndarray[Any, Any]

Known = dict[tuple[int, int], bytes]
"""Checksums of memory by place and size, as `values.fingerprint` takes them."""

SUFFIX = ".safetensors"
IN_PIECES = "4m:"
ALIGNMENT = 64
CHUNK = 1 << 20
BLOCK = 2 << 20
"""So much is written at a time. What the system was given at once it keeps in one large page where it can, and maps as one."""
MAPPED = 1 << 20  # smaller files are read: a mapping costs page faults, and a process may have only some 65,000

# Element type -> (tag of the safetensors format, numbers per element). A complex number is two numbers of one more axis.
TAGS = {
    "bool": ("BOOL", 1), "uint8": ("U8", 1), "int8": ("I8", 1), "uint16": ("U16", 1), "int16": ("I16", 1),
    "uint32": ("U32", 1), "int32": ("I32", 1), "uint64": ("U64", 1), "int64": ("I64", 1), "float16": ("F16", 1),
    "bfloat16": ("BF16", 1), "float32": ("F32", 1), "float64": ("F64", 1), "float8_e4m3fn": ("F8_E4M3", 1),
    "float8_e5m2": ("F8_E5M2", 1), "complex64": ("F32", 2), "complex128": ("F64", 2),
}  # fmt: skip
# Types that numpy lacks travel as integers of the same size.
CARRIERS = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}


@dataclass(frozen=True)
class Buffer:
    """An array in CPU memory, its element type by name, and the order of its axes in memory, outermost first."""

    array: Array
    dtype: str
    order: tuple[int, ...]

    @property
    def in_memory(self) -> Array:
        return self.array.transpose(self.order)


class Contents:
    """A value taken apart, ready to be named and written. UnstorableError where it holds what can't be stored."""

    def __init__(self, value: Any) -> None:
        self.tree, found = values.take_apart(value)
        self.buffers = [_buffer(buffer) for buffer in found]
        self.header = _header(self.tree, self.buffers)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.header) + sum(piece[1] for piece in _places(self.buffers))

    def digest(self) -> str:
        """blake3 of what the value is: its plain part, element types, shapes, and the buffers' bytes in index order.

        Neither the library (numpy, torch) nor the strides nor the device count.
        """
        return _digest(self.tree, [(buffer.dtype, buffer.array) for buffer in self.buffers])

    def name(self, digest: str) -> str:
        """The file's name: two files of one name are the same byte for byte."""
        return f"{digest}-{blake3(self.header).hexdigest(4)}{SUFFIX}"

    def write(self, file: int | None) -> str:
        """Write to a file descriptor (or nowhere); returns the checksum of what was written. Raises OSError."""
        checksum, blocks = Checksum(), _Blocks(file)
        blocks.add(memoryview(self.header))
        for piece in self._data():
            for start in range(0, len(piece), CHUNK):  # hashed and written while it is in the core's cache
                part = piece[start : start + CHUNK]
                checksum.update(part)
                blocks.add(part)
        blocks.write()
        return _text(self.header, checksum.digest())

    def _data(self) -> Iterator[memoryview]:
        for buffer, (padding, _) in zip(self.buffers, _places(self.buffers), strict=True):
            if padding:
                yield memoryview(bytes(padding))
            yield from _bytes_of(buffer.in_memory)


class _Blocks:
    """A file written a block at a time, each at a multiple of its size; or nothing."""

    def __init__(self, file: int | None) -> None:
        self._file = file
        self._parts: list[memoryview] = []
        self._room = BLOCK

    def add(self, part: memoryview) -> None:
        while self._file is not None and len(part):
            taken, part = part[: self._room], part[self._room :]
            self._parts.append(taken)
            self._room -= len(taken)
            if not self._room:
                self.write()

    def write(self) -> None:
        """What has come and is not written yet."""
        parts, self._parts, self._room = self._parts, [], BLOCK
        while parts and self._file is not None:
            done = _write(self._file, parts)
            while parts and done >= len(parts[0]):
                done -= len(parts.pop(0))
            if parts:
                parts[0] = parts[0][done:]


def _write(file: int, parts: list[memoryview]) -> int:
    return os.writev(file, parts) if hasattr(os, "writev") else os.write(file, parts[0])


def _text(header: bytes, data: bytes) -> str:
    """The checksum of a file: of its header, and of all that comes after it, in pieces."""
    return f"{IN_PIECES}{xxhash.xxh3_128_hexdigest(xxhash.xxh3_128_digest(header) + data)}"


def digest(value: Any) -> str:
    """The content digest of one output's value, 64 hexadecimal digits."""
    return Contents(value).digest()


def read(path: Path, output: Output, known: Known | None = None) -> Any:
    """The value in a blob, its checksum proved; mapped copy-on-write, so that writing into it can't harm the file.

    `known` gets what the proof tells of its memory. Raises DamagedError where it is not what was written, OSError where
    it can't be read.
    """
    memory, data = _read_proved(path, output)
    # The bytes are what was written, so what fails from here on is a kind that is no longer what it was.
    try:
        tree, arrays = _unpack(memory)
        if known is not None and data and len(arrays) == 1:
            known[arrays[0][1].ctypes.data, arrays[0][1].nbytes] = data
        return values.put_together(tree, [_as_dtype(dtype, array) for dtype, array in arrays])
    except Exception as error:  # a kind's own code runs here, and may raise anything
        raise DamagedError(f"its value can't be put together ({type(error).__name__}: {error})") from error


def is_true(path: Path, output: Output) -> bool:
    """Whether the file is what was written, and its value has the digest that it is named by."""
    try:
        return _digest(*_unpack(_read_proved(path, output, anew=True)[0])) == output.digest
    except (DamagedError, OSError, LookupError, TypeError, ValueError):
        return False


def _read_proved(path: Path, output: Output, *, anew: bool = False) -> tuple[Any, bytes]:
    """(the file's bytes, the checksum of all after the header; empty where it is not known by itself).

    A proof is remembered where no write could escape us, and used unless it has to be made `anew`.
    """
    file = open_blob(path, output.size)
    try:
        if output.size < MAPPED:
            content = bytearray(output.size)
            if _fill(file, content) != output.size:
                raise DamagedError("its blob is shorter than it was")
            return content, _proved(content, output)
        facts = os.fstat(file)
        # Only a change by a stranger after the proof could hurt; nobody of ours rewrites a blob.
        memory = mmap.mmap(file, output.size, access=mmap.ACCESS_COPY)
        before = proofs.pages_read()
        is_populated = _is_populated(memory)
        data = None if anew else proofs.recall(facts, output.checksum)
        if data is not None and is_populated and proofs.pages_read() == before:  # what a disk gives is proved each time
            return memory, data
        will_hold = is_populated and proofs.will_show_writes(file, facts)
        data = _proved(memory if is_populated else _whole(file, output.size), output)
        if will_hold:
            proofs.remember(facts, output.checksum, data)
        return memory, data
    finally:
        os.close(file)


def _proved(memory: Any, output: Output) -> bytes:
    found, data = _proof(memory, output)
    if found != output.checksum:
        raise DamagedError("its blob does not match its checksum")
    return data


def _proof(memory: Any, output: Output) -> tuple[str, bytes]:
    if not output.checksum.startswith(IN_PIECES):  # of an entry from before there were any
        return xxhash.xxh3_128_hexdigest(memory), b""
    view = memoryview(memory)
    start = min(8 + int.from_bytes(view[:8], "little"), output.size)
    data = checksum(view[start:])
    return _text(bytes(view[:start]), data), data


def open_blob(path: Path, size: int) -> int:
    """A descriptor of a regular file of this size. DamagedError for anything else; OSError where it can't be read."""
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO):
            raise DamagedError(f"its blob is missing ({os.strerror(error.errno)})") from error
        raise
    try:
        facts = os.fstat(file)
        if facts.st_size != size or not is_regular(facts):
            raise DamagedError(f"its blob is not a file of {size:,} bytes")
    except BaseException:
        os.close(file)
        raise
    return file


def is_regular(facts: os.stat_result) -> bool:
    return facts.st_mode & 0o170000 == 0o100000


_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def _is_populated(memory: mmap.mmap) -> bool:
    """Whether all of a mapped file is in memory now. OSError where it can't be read, which would be a signal later.

    False where the system has no such call (Linux has it since 5.14). Hashed where it lies it is read half as often.
    """
    with suppress(AttributeError, OSError):  # a hint: what comes from the disk now comes in large pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    try:
        memory.madvise(_POPULATE_READ)
    except (AttributeError, ValueError):
        return False
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False
        raise
    return True


_POPULATE_READ = 22  # MADV_POPULATE_READ, which Python has no name for yet


def _fill(file: int, memory: bytearray) -> int:
    view, done = memoryview(memory), 0
    with FileIO(file, closefd=False) as stream:
        while done < len(view) and (got := stream.readinto(view[done:])):
            done += got
    return done


def _whole(file: int, size: int) -> bytearray:
    """Reading, not mapping: a disk error is then an exception, and not a signal."""
    memory = bytearray(size)
    return memory if _fill(file, memory) == size else bytearray()


def _unpack(memory: Any) -> tuple[values.Tree, list[tuple[str, Array]]]:
    """(the plain part, [(element type, array of it or of its carrier)]) of a file's bytes."""
    start = 8 + int.from_bytes(memory[:8], "little")
    header = json.loads(bytes(memory[8:start]))
    facts = json.loads(header["__metadata__"]["pipeline_core"])
    arrays = []
    for number, (dtype, order) in enumerate(facts["buffers"]):
        entry = header[f"buffer{number}"]
        shape = entry["shape"][:-1] if TAGS[dtype][1] == 2 else entry["shape"]
        carrier = np.dtype(CARRIERS.get(dtype, dtype))
        array: Array = np.frombuffer(memory, carrier, math.prod(shape), start + entry["data_offsets"][0])
        arrays.append((dtype, array.reshape(shape).transpose(np.argsort(order).tolist())))
    return facts["tree"], arrays


def _as_dtype(dtype: str, array: Array) -> Any:
    if dtype not in CARRIERS:
        return array
    import torch

    return torch.from_numpy(array).view(getattr(torch, dtype))


def _digest(tree: values.Tree, arrays: list[tuple[str, Array]]) -> str:
    facts = [[dtype, list(array.shape)] for dtype, array in arrays]
    head = json.dumps([_without_library(tree), facts], sort_keys=True, separators=(",", ":")).encode()
    whole = blake3(len(head).to_bytes(8, "little") + head)
    for _, array in arrays:
        for piece in _bytes_of(array):
            whole.update(piece)
    return whole.hexdigest()


def _buffer(buffer: Any) -> Buffer:
    if isinstance(buffer, np.ndarray):
        array, dtype = buffer, buffer.dtype.name
        if dtype in CARRIERS or not array.dtype.isnative:
            raise values.UnstorableError(f"an array of {array.dtype} can't be stored")
    else:
        array, dtype = _from_tensor(buffer)
    if dtype not in TAGS:
        raise values.UnstorableError(f"an array of {dtype} can't be stored")
    return Buffer(array, dtype, _memory_order(array))


def _from_tensor(tensor: Any) -> tuple[Array, str]:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if str(tensor.layout) != "torch.strided" or tensor.device.type == "meta" or tensor.is_quantized:
        raise values.UnstorableError(f"a tensor that is {tensor.layout} on {tensor.device} can't be stored")
    tensor = tensor.detach().resolve_conj().resolve_neg().cpu()
    if dtype in CARRIERS:
        import torch

        tensor = tensor.view(getattr(torch, CARRIERS[dtype]))
    return tensor.numpy(), dtype


def _memory_order(array: Array) -> tuple[int, ...]:
    """The axes from the outermost in memory to the innermost; as they are where the memory has gaps or repeats."""
    as_is = tuple(range(array.ndim))
    if array.flags.c_contiguous:
        return as_is
    order = tuple(sorted(as_is, key=lambda axis: -abs(array.strides[axis])))
    return order if array.transpose(order).flags.c_contiguous else as_is


def _bytes_of(array: Array) -> Iterator[memoryview]:
    """The bytes of an array in index order; without a copy where it lies so, else about a mebibyte at a time."""
    if array.flags.c_contiguous:
        yield array.reshape(-1).view(np.uint8).data
    elif array.ndim > 1 and array.shape[0] == 1:
        yield from _bytes_of(array[0])
    else:
        rows = max(1, CHUNK * array.shape[0] // max(1, array.nbytes))
        for start in range(0, array.shape[0], rows):
            yield np.ascontiguousarray(array[start : start + rows]).reshape(-1).view(np.uint8).data


def _places(buffers: list[Buffer]) -> list[tuple[int, int]]:
    """(padding before it, padding and bytes) of each buffer, so that each starts at a multiple of 64."""
    places, end = [], 0
    for buffer in buffers:
        padding = -end % ALIGNMENT
        places.append((padding, padding + buffer.array.nbytes))
        end += padding + buffer.array.nbytes
    return places


def _header(tree: Any, buffers: list[Buffer]) -> bytes:
    facts = {"tree": tree, "buffers": [[b.dtype, list(b.order)] for b in buffers]}
    entries: dict[str, Any] = {"__metadata__": {"pipeline_core": json.dumps(facts, separators=(",", ":"))}}
    end = 0
    for number, (buffer, (padding, size)) in enumerate(zip(buffers, _places(buffers), strict=True)):
        if padding:  # the format allows no holes
            entries[f"padding{number}"] = {"dtype": "U8", "shape": [padding], "data_offsets": [end, end + padding]}
        tag, numbers = TAGS[buffer.dtype]
        shape = [*buffer.in_memory.shape, *([2] if numbers == 2 else [])]
        entries[f"buffer{number}"] = {"dtype": tag, "shape": shape, "data_offsets": [end + padding, end + size]}
        end += size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _without_library(tree: values.Tree) -> values.Tree:
    if not isinstance(tree, dict):
        return tree
    if "buffer" in tree:
        return {"buffer": tree["buffer"]}
    if "kind" in tree:
        return {**tree, "fields": {name: _without_library(part) for name, part in tree["fields"].items()}}
    if "mapping" in tree:
        return {"mapping": [[_without_library(key), _without_library(part)] for key, part in tree["mapping"]]}
    for name in ("tuple", "list"):
        if name in tree:
            return {name: [_without_library(item) for item in tree[name]]}
    return tree

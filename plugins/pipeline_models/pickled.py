"""The tensors of a file that torch pickled, read without unpickling: no name of the file is looked up, nothing is called.

A pickle is a program for a small machine (CPython's pickletools documents it). Here that program is followed by a
machine of our own, which knows containers, plain values and one thing more: "rebuild a tensor of this part of that
storage". Every other name stands for itself and stays one. Work and memory are bounded by the length of the pickle.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_core import OperationError
from pipeline_models.foreign.recognise import read_entry, zip_names

MAX_PICKLE = 64 << 20
MAX_STEPS = 1_000_000
_TYPES = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2",
    "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?", "BFloat16Storage": "bf16",
}  # fmt: skip


@dataclass(frozen=True)
class Name:
    """A name that a pickle asks for. It is never looked up."""

    text: str


@dataclass(frozen=True)
class Called:
    """What a pickle would have had called with what; it was not."""

    name: Any
    given: Any


@dataclass(frozen=True)
class Storage:
    """Numbers that lie elsewhere in the file, under a key."""

    dtype: str
    key: str
    length: int

    @property
    def width(self) -> int:
        """Bytes of one number."""
        return 2 if self.dtype == "bf16" else np.dtype(self.dtype).itemsize


_MARK = object()


def tensors_of(content: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Tensors by name: those of the state dict in a file of torch.save. OperationError where there is none."""
    is_zip = bytes(content[:2]) == b"PK"
    value, numbers = (_read_zip if is_zip else _read_legacy)(content)
    return {name: _tensor(part, numbers) for name, part in _state_dict(value).items()}


def _read_zip(content: np.ndarray[Any, Any]) -> tuple[Any, Callable[[Storage], bytes]]:
    """What torch 1.6 and later writes: a zip of one pickle, data.pkl, and a file of numbers for each storage."""
    names = zip_names(content)
    pickles = [name for name in names if name.endswith("/data.pkl") or name == "data.pkl"]
    if len(pickles) != 1:
        raise OperationError(f"this is a zip with {len(pickles)} data.pkl in it; what torch.save writes has one")
    root = pickles[0].removesuffix("data.pkl")
    order = read_entry(content, f"{root}byteorder", 16) if f"{root}byteorder" in names else b"little"
    if order.strip() != b"little":
        raise OperationError("this file was written on a machine of another byte order")
    storages: dict[str, bytes] = {}

    def numbers(storage: Storage) -> bytes:
        path = f"{root}data/{storage.key}"
        if storage.key not in storages:
            if path not in names:
                raise OperationError(f"the file lacks the numbers '{storage.key[:40]}'")
            storages[storage.key] = read_entry(content, path, names[path])
        return storages[storage.key]

    return follow(read_entry(content, pickles[0], MAX_PICKLE)), numbers


def _read_legacy(content: np.ndarray[Any, Any]) -> tuple[Any, Callable[[Storage], bytes]]:
    """What torch wrote before: five pickles one after another, then the numbers of each storage behind their count."""
    stream = io.BytesIO(content[:MAX_PICKLE].tobytes())
    if _follow(stream) != _LEGACY:
        raise OperationError("this pickle was not written by torch.save; only tensors that it wrote can be converted")
    _, _, value, keys = (_follow(stream) for _ in range(4))
    if not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
        raise OperationError("this pickle of torch does not list its numbers")
    found: dict[str, bytes] = {}
    widths = {storage.key: storage.width for storage in _storages(value)}
    place = stream.tell()
    for key in keys:
        count = int.from_bytes(content[place : place + 8].tobytes(), "little")
        end = place + 8 + count * widths.get(key, 1)
        if end > len(content):
            raise OperationError("this pickle of torch is cut off")
        found[key] = content[place + 8 : end].tobytes()
        place = end

    def numbers(storage: Storage) -> bytes:
        if storage.key not in found:
            raise OperationError(f"the file lacks the numbers '{storage.key[:40]}'")
        return found[storage.key]

    return value, numbers


_LEGACY = 0x1950A86A20F9469CFC6C
"""With this number begin the files of torch before 1.6 (torch/serialization.py, MAGIC_NUMBER)."""


def _storages(value: Any) -> list[Storage]:
    """Every storage in a value."""
    found: list[Storage] = []
    waiting, seen = [value], set[int]()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Storage):
            found.append(part)
        elif isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, (list, tuple)):
            waiting += part
        elif isinstance(part, Called):
            waiting.append(part.given)
    return found


def _state_dict(value: Any) -> dict[str, Any]:
    """The tensors of what was pickled: of the state dict that people put into such files, under the names they use."""
    for name in (
        "params_ema",
        "params-ema",
        "params",
        "state_dict",
        "model_state_dict",
        "model",
        "net",
        "generator",
        "g",
    ):
        if isinstance(value, dict) and isinstance(value.get(name), dict) and not _is_tensor(value[name]):
            value = value[name]
            break
    found: dict[str, Any] = {}
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting:
        prefix, part, depth = waiting.pop()
        if _is_tensor(part):
            found[prefix.removesuffix(".")] = part
        elif isinstance(part, dict) and depth < 8:
            waiting += [(f"{prefix}{key}.", one, depth + 1) for key, one in part.items() if isinstance(key, (str, int))]
        if len(found) > 100_000:
            raise OperationError("this file has more than 100,000 tensors")
    if not found:
        raise OperationError("this file holds no tensors under names: it is no state dict")
    return dict(sorted(found.items()))


def _is_tensor(value: Any) -> bool:
    if isinstance(value, Called) and value.name == Name("torch._utils _rebuild_parameter"):
        return isinstance(value.given, tuple) and len(value.given) > 0 and _is_tensor(value.given[0])
    return (
        isinstance(value, Called)
        and value.name == Name("torch._utils _rebuild_tensor_v2")
        and isinstance(value.given, tuple)
        and len(value.given) >= 4
        and isinstance(value.given[0], Storage)
    )


def _tensor(value: Called, numbers: Callable[[Storage], bytes]) -> Any:
    if value.name == Name("torch._utils _rebuild_parameter"):
        value = value.given[0]
    storage, offset, shape, strides = value.given[:4]
    plain = isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides) <= 16
    if not plain or not all(type(n) is int and 0 <= n < 1 << 48 for n in (offset, *shape, *strides)):
        raise OperationError("a tensor of this file has a shape that can't be")
    content = numbers(storage)
    width = storage.width
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    # A tensor that repeats its numbers would be larger than the file: none of a network does.
    if math.prod(shape) and (last * width >= len(content) or math.prod(shape) * width > len(content)):
        raise OperationError("a tensor of this file lies beyond its numbers")
    flat = np.frombuffer(content[: len(content) // width * width], "u2" if storage.dtype == "bf16" else storage.dtype)
    if not math.prod(shape):
        flat, offset, strides = np.zeros(1, flat.dtype), 0, (0,) * len(shape)
    array = np.ndarray(shape, flat.dtype, flat, offset * width, tuple(step * width for step in strides)).copy()
    if storage.dtype != "bf16":
        return array
    import torch

    return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)


def follow(pickle: bytes) -> Any:
    """What a pickle makes, names and calls left as they stand. OperationError where it is damaged or does more."""
    return _follow(io.BytesIO(pickle))


def _follow(stream: io.BytesIO) -> Any:
    """The same of the pickle that comes next; the stream is then behind it."""
    machine = _Machine()
    try:
        for step, (code, given, _) in enumerate(pickletools.genops(stream)):
            if step > MAX_STEPS:
                raise OperationError(f"this pickle takes more than {MAX_STEPS:,} steps")
            if code.name == "STOP":
                return machine.stack.pop()
            machine.step(code.name, given)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise OperationError(
            f"this pickle is damaged, or not one of tensors ({type(error).__name__}: {str(error)[:80]})"
        ) from None
    raise OperationError("this pickle is cut off")


_VALUES: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "EMPTY_TUPLE": lambda: (),
    "EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": list, "MARK": lambda: _MARK,
}  # fmt: skip
_LITERAL = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_NOTHING = {"PROTO", "FRAME"}


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, code: str, given: Any) -> None:
        stack = self.stack
        if code in _LITERAL:
            stack.append(given)
        elif code in _VALUES:
            stack.append(_VALUES[code]())
        elif code in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[int(given)] = stack[-1]
        elif code == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif code in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[int(given)])
        elif code == "GLOBAL":
            stack.append(Name(str(given)))
        elif code == "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            stack.append(Name(f"{module} {name}"))
        elif code in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(code[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif code in ("TUPLE", "LIST", "DICT"):
            parts = self.marked()
            stack.append(tuple(parts) if code == "TUPLE" else parts if code == "LIST" else _pairs(parts))
        elif code in ("APPEND", "APPENDS", "ADDITEMS"):
            parts = [stack.pop()] if code == "APPEND" else self.marked()
            if isinstance(stack[-1], list):
                stack[-1].extend(parts)
        elif code in ("SETITEM", "SETITEMS"):
            parts = [stack.pop(), stack.pop()][::-1] if code == "SETITEM" else self.marked()
            if isinstance(stack[-1], dict):
                stack[-1].update(_pairs(parts))
        elif code in ("REDUCE", "NEWOBJ"):
            arguments, called = stack.pop(), stack.pop()
            stack.append(OrderedDict() if called == Name("collections OrderedDict") else Called(called, arguments))
        elif code == "BUILD":
            stack.pop()  # state of an object that was not made
        elif code == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif code == "POP":
            stack.pop()
        elif code == "POP_MARK":
            self.marked()
        elif code == "DUP":
            stack.append(stack[-1])
        elif code not in _NOTHING:
            raise OperationError(f"this pickle does more than hold tensors ({code})")

    def marked(self) -> list[Any]:
        """What lies above the last mark, which goes too."""
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise IndexError("no mark")
        found = self.stack[place + 1 :]
        del self.stack[place:]
        return found


def _pairs(parts: list[Any]) -> dict[Any, Any]:
    keys = [key if isinstance(key, (str, int, float, bool, type(None))) else str(id(key)) for key in parts[::2]]
    return dict(zip(keys, parts[1::2], strict=True))


def _storage(given: Any) -> Storage:
    """('storage', type, key, place, length), as torch.save tells of the numbers of a tensor; before 1.6 with a None more."""
    if not (isinstance(given, tuple) and len(given) in (5, 6) and given[0] == "storage" and isinstance(given[1], Name)):
        raise ValueError("no storage")
    if len(given) == 6 and given[5] is not None:
        raise ValueError("a part of a storage")
    dtype = _TYPES.get(given[1].text.removeprefix("torch "))
    if dtype is None or not (isinstance(given[2], str) and type(given[4]) is int):
        raise ValueError(f"a storage of {given[1].text[:40]}")
    return Storage(dtype, given[2], given[4])

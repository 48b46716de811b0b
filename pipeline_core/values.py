"""Any kind's value taken apart into plain JSON and flat buffers, and put together again.

A kind is a frozen dataclass of tensors, arrays, bytes and plain values (and tuples, lists, mappings and frozen
dataclasses of these). Nothing here knows Image or Mask: a plugin's own kind is moved, measured, guarded and stored the
same way.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

import numpy as np

from pipeline_core.devices import as_tensor, torch_if_loaded, transfer
from pipeline_core.pieces import checksum

Tree = Any
"""JSON: null, booleans, numbers, strings, and lists and objects that hold them."""


class UnstorableError(TypeError):
    """A value that holds something else than tensors and plain values."""


def is_tensor(value: Any) -> bool:
    """Whether it is a torch tensor, without importing torch."""
    torch = torch_if_loaded()
    return torch is not None and isinstance(value, torch.Tensor)


def is_buffer(value: Any) -> bool:
    return isinstance(value, np.ndarray) or is_tensor(value)


def buffers(value: Any) -> list[Any]:
    """Every array and tensor in a value, in the order of its fields."""
    found: list[Any] = []
    _collect(value, found)
    return found


def _collect(value: Any, found: list[Any]) -> None:
    kind: Any = type(value)
    if kind in _PLAIN:
        return
    if kind is np.ndarray:
        found.append(value)
    elif (names := _buffer_fields(kind)) is not None:
        for name in names:
            _collect(getattr(value, name), found)
    elif kind is tuple or kind is list:
        for part in value:
            if type(part) not in _PLAIN:
                _collect(part, found)
    elif is_buffer(value):
        found.append(value)
    elif isinstance(value, Mapping):
        for part in value.values():
            _collect(part, found)
    elif isinstance(value, (tuple, list)):
        for part in value:
            _collect(part, found)


_PLAIN = frozenset((str, int, float, bool, bytes, type(None)))


@cache
def _buffer_fields(kind: Any) -> tuple[str, ...] | None:
    """The fields of a kind that may hold buffers, by their annotations; None where it is no kind."""
    if not dataclasses.is_dataclass(kind):
        return None
    names = [f.name for f in dataclasses.fields(kind)]
    try:
        hints = typing.get_type_hints(kind)
        return tuple(name for name in names if not _is_plain(hints[name]))
    except Exception:  # annotations are code, and may name what is there for type checkers alone
        return tuple(names)


@cache
def _weighs_nothing(kind: Any) -> bool:
    fields = getattr(kind, "__dataclass_fields__", {})
    return _buffer_fields(kind) == () and "content" not in fields and not hasattr(kind, "content")


def _is_plain(hint: Any) -> bool:
    if hint in _PLAIN or hint is Ellipsis or typing.get_origin(hint) is Literal:
        return True
    if typing.get_origin(hint) in (tuple, list, dict, Mapping, types.UnionType, typing.Union):
        return all(map(_is_plain, typing.get_args(hint)))
    return False


def nbytes(value: Any) -> int:
    """The bytes of a value's buffers and byte strings."""
    kind: Any = type(value)
    if _weighs_nothing(kind):
        return 0
    own = getattr(value, "content", None)
    total = len(own) if isinstance(own, bytes) else 0
    for buffer in buffers(value):
        total += int(buffer.nbytes)
    return total


def change_buffers(value: Any, change: Callable[[Any], Any]) -> Any:
    """The value with `change` applied to every buffer; itself where nothing changed."""
    if is_buffer(value):
        return change(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {}
        for f in dataclasses.fields(value):
            if f.init:
                old = getattr(value, f.name)
                if (new := change_buffers(old, change)) is not old:
                    changed[f.name] = new
        return dataclasses.replace(value, **changed) if changed else value
    if isinstance(value, Mapping):
        mapped = {key: change_buffers(part, change) for key, part in value.items()}
        return mapped if any(mapped[key] is not part for key, part in value.items()) else value
    if isinstance(value, (tuple, list)):
        parts = [change_buffers(part, change) for part in value]
        if all(new is old for new, old in zip(parts, value, strict=True)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def move(value: Any, device: str) -> Any:
    """The value with its tensors on `device`. On the CPU arrays stay arrays."""

    def to_device(buffer: Any) -> Any:
        if isinstance(buffer, np.ndarray):
            if device == "cpu":
                return buffer
            return transfer(as_tensor(buffer), device)
        return transfer(buffer, device)

    return change_buffers(value, to_device)


def memory_order(array: np.ndarray[Any, Any]) -> list[int]:
    """Its axes from the one of the largest steps in memory to that of the smallest; first those of which there is but one."""
    return sorted(range(array.ndim), key=lambda axis: (array.shape[axis] > 1, -abs(array.strides[axis])))


def dense(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """The same memory as a C-contiguous array (axes permuted), or None where the memory has gaps or repeats."""
    if array.flags.c_contiguous:
        return array
    order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    turned = array.transpose(order)
    return turned if turned.flags.c_contiguous else None


def fingerprint(value: Any, known: Mapping[tuple[int, int], bytes] | None = None) -> int:
    """A fast checksum of a value's CPU memory, to tell whether somebody wrote into it; `known` are checksums by place and size.

    Not a name for content: see `pipeline_core.cache` for that. Memory on other devices counts by its version counter.
    """
    total = 0
    for buffer in buffers(value):
        if is_tensor(buffer) and buffer.device.type != "cpu":
            total = (total * 1000003 + buffer._version) % 2**64
            continue
        array = _bytes_of(buffer) if is_tensor(buffer) else buffer
        flat = dense(array)
        if flat is None:
            flat = np.ascontiguousarray(array)
        mixed = known.get((flat.ctypes.data, flat.nbytes)) if known else None
        if mixed is None:
            mixed = checksum(flat)
        total = (total * 1000003 + int.from_bytes(mixed)) % 2**64
    return total


def as_array(buffer: Any) -> np.ndarray[Any, Any]:
    """A buffer in the CPU's memory, of a type that numpy has, as an array of the same memory."""
    return buffer if isinstance(buffer, np.ndarray) else buffer.detach().numpy()


def _bytes_of(tensor: Any) -> np.ndarray[Any, Any]:
    """A CPU tensor's memory; as bytes where numpy lacks its type (bfloat16)."""
    import torch

    tensor = tensor.detach()
    try:
        array: np.ndarray[Any, Any] = tensor.numpy()
    except TypeError:
        array = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    return array


def compact(value: Any) -> Any:
    """The value with every view of a larger memory cloned, so that it keeps nothing else alive.

    A view cut from a picture keeps the whole picture; `.contiguous()` does not help, a clone does.
    """

    def own(buffer: Any) -> Any:
        if isinstance(buffer, np.ndarray):
            root = buffer
            while isinstance(root.base, np.ndarray):
                root = root.base
            return buffer if root.nbytes <= buffer.nbytes else buffer.copy()
        return buffer if buffer.untyped_storage().nbytes() <= buffer.nbytes else buffer.clone()

    return change_buffers(value, own)


def take_apart(value: Any) -> tuple[Tree, list[Any]]:
    """(plain JSON, flat list of arrays and tensors). UnstorableError names the field that is neither."""
    found: list[Any] = []

    def walk(part: Any, where: str) -> Tree:
        if part is None or isinstance(part, (bool, str)) or type(part) is int:
            return part
        if isinstance(part, float):
            return part if math.isfinite(part) else {"float": repr(part)}
        if is_buffer(part):
            library = "numpy" if isinstance(part, np.ndarray) else "torch"
            found.append(part)
            return {"buffer": len(found) - 1, "library": library}
        if isinstance(part, bytes):
            found.append(np.frombuffer(part, np.uint8))
            return {"bytes": len(found) - 1}
        if dataclasses.is_dataclass(part) and not isinstance(part, type):
            kind = type(part)
            held = {
                f.name: walk(getattr(part, f.name), f"{where}.{f.name}") for f in dataclasses.fields(part) if f.init
            }
            return {"kind": f"{kind.__module__}:{kind.__qualname__}", "fields": held}
        if isinstance(part, Mapping):
            return {"mapping": [[walk(k, f"{where} key"), walk(v, f"{where}[{k!r}]")] for k, v in part.items()]}
        if isinstance(part, (tuple, list)) and not hasattr(part, "_fields"):
            items = [walk(item, f"{where}[{i}]") for i, item in enumerate(part)]
            return {"tuple" if isinstance(part, tuple) else "list": items}
        raise UnstorableError(f"{where} is a {type(part).__name__}, which is neither a tensor nor a plain value")

    return walk(value, type(value).__name__), found


def put_together(tree: Tree, parts: list[Any]) -> Any:
    """The value that `take_apart` took apart; `parts` are arrays (made tensors here where they were tensors)."""
    if not isinstance(tree, dict):
        return tree
    if "float" in tree:
        return float(tree["float"])
    if "buffer" in tree:
        buffer = parts[tree["buffer"]]
        if tree["library"] == "torch" and isinstance(buffer, np.ndarray):
            import torch

            return torch.from_numpy(buffer)
        return buffer
    if "bytes" in tree:
        return parts[tree["bytes"]].tobytes()
    if "mapping" in tree:
        return {put_together(k, parts): put_together(v, parts) for k, v in tree["mapping"]}
    for name, made in (("tuple", tuple), ("list", list)):
        if name in tree:
            return made(put_together(item, parts) for item in tree[name])
    kind: Any = find_kind(tree["kind"])
    return kind(**{name: put_together(part, parts) for name, part in tree["fields"].items()})


def find_kind(name: str) -> type:
    """The class that `module:Name` names; only a frozen dataclass is taken."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise UnstorableError(f"{name} is not a kind")
    return found

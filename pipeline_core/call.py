"""One operation called with real values: arguments put in place, results held to their kinds, trespasses blamed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pipeline_core.devices import torch_if_loaded
from pipeline_core.errors import OperationError
from pipeline_core.operation import CORE_KINDS, Operation, a_kind, bind, show_kind
from pipeline_core.values import find_kind


class ResultError(OperationError):
    """An operation returned something else than its signature says."""


def call(
    operation: Operation,
    inputs: Mapping[str, Sequence[Any]],
    params: Mapping[str, Any],
    kinds: Sequence[str],
    folder: str | None = None,
) -> tuple[Any, ...]:
    """Calls the operation and returns its outputs, one value each, of these kinds.

    Whatever the operation raises passes through. ResultError where it returns something else than it says. `folder` is
    the working directory, where the caller knows it.
    """
    with restored(folder):
        return invoke(operation, inputs, bind(operation, params), kinds)


def invoke(
    operation: Operation,
    inputs: Mapping[str, Sequence[Any]],
    bound: Mapping[str, Any],
    kinds: Sequence[str],
) -> tuple[Any, ...]:
    """The bare call: params already bound, and `restored` around it."""
    assert operation.function is not None
    return checked(operation, operation.function(*operation.arguments(inputs), **bound), kinds)


def checked(operation: Operation, result: Any, kinds: Sequence[str]) -> tuple[Any, ...]:
    """What an operation returned, one value per output. ResultError where it is not of these kinds."""
    several = len(operation.outputs) > 1 or (isinstance(result, tuple) and hasattr(result, "_fields"))
    if not several and isinstance(result, kind_type(kinds[0])):
        return (result,)
    values = result if several else (result,)
    if not isinstance(values, tuple) or len(values) != len(kinds):
        wanted = ", ".join(output.name for output in operation.outputs)
        raise ResultError(f"it must return a NamedTuple of {wanted}, but returned {type(result).__name__}")
    for output, value, kind in zip(operation.outputs, values, kinds, strict=True):
        if not isinstance(value, kind_type(kind)):
            raise ResultError(
                f"output '{output.name}' must be {a_kind(show_kind(kind))}, but it returned {_name(value)}"
            )
    return values


def _name(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {tuple(shape)}" if shape is not None else "")


_KINDS: dict[str, type] = {}


def kind_type(name: str) -> type:
    if name not in _KINDS:
        _KINDS[name] = find_kind(f"{CORE_KINDS[name]}:{name}" if name in CORE_KINDS else name)
    return _KINDS[name]


def without_gradients() -> AbstractContextManager[Any]:
    """For the calling thread."""
    # Not inference_mode: that hides in-place writes from the version counter. An operation that trains turns it on.
    torch = torch_if_loaded()
    return torch.no_grad() if torch is not None else nullcontext()


class restored:  # noqa: N801  a context manager, read as one
    """Puts back what belongs to the whole process: the working directory and torch's default dtype.

    For the calling thread there are no gradients meanwhile.
    """

    __slots__ = ("dtype", "folder", "gradients")

    def __init__(self, folder: str | None = None) -> None:
        self.folder = working_folder() if folder is None else folder

    def __enter__(self) -> None:
        torch = torch_if_loaded()
        self.dtype = torch.get_default_dtype() if torch is not None else None
        # Not inference_mode: that hides in-place writes from the version counter. An operation that trains turns it on.
        self.gradients = torch.no_grad() if torch is not None else None
        if self.gradients is not None:
            self.gradients.__enter__()

    def __exit__(self, *_: object) -> None:
        if self.gradients is not None:
            self.gradients.__exit__(None, None, None)
        if self.folder and working_folder() != self.folder:
            os.chdir(self.folder)
        torch = torch_if_loaded()
        if torch is not None and torch.get_default_dtype() != (self.dtype or torch.float32):
            torch.set_default_dtype(self.dtype or torch.float32)


def working_folder() -> str:
    """The process's own; empty where somebody deleted it."""
    try:
        return os.getcwd()
    except OSError:
        return ""

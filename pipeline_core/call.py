"""One operation called with real values: arguments put in place, results held to their kinds, trespasses blamed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from pipeline_core.devices import torch_if_loaded
from pipeline_core.errors import OperationError
from pipeline_core.operation import CORE_KINDS, Operation, a_kind, bind, show_kind
from pipeline_core.values import find_kind


class ResultError(OperationError):
    """An operation returned something else than its signature says."""


Sources = Sequence[tuple[str, Sequence[tuple[int, int]]]]
"""Inputs by name: the steps that they come from, and which output of each."""
Given = Mapping[int, tuple[Any, ...]] | list[Any]
"""What steps gave, by step; in a list what nobody asks for may be missing."""


def call(
    operation: Operation, inputs: Mapping[str, Sequence[Any]], params: Mapping[str, Any], kinds: Sequence[str]
) -> tuple[Any, ...]:
    """Calls the operation and returns its outputs, one value each, of these kinds.

    Whatever the operation raises passes through. ResultError where it returns something else than it says.
    """
    with without_gradients():
        return Surroundings().call(operation, operation.arguments(inputs), params, kinds)


def inputs_of(sources: Sources, given: Given) -> dict[str, list[Any]]:
    """The values of inputs, of what each step gave."""
    return {name: [given[step][output] for step, output in links] for name, links in sources}


def arguments_of(operation: Operation, sources: Sources, given: Given) -> list[Any]:
    """The same in the order in which the function takes them."""
    if len(sources) < len(operation.inputs):
        return operation.arguments(inputs_of(sources, given))
    found: list[Any] = []
    for wanted, (_, links) in zip(operation.inputs, sources, strict=True):  # both in the order of the signature
        if wanted.many:
            found.append([given[step][output] for step, output in links] if links or not wanted.optional else None)
        else:
            step, output = links[0]
            found.append(given[step][output])
    return found


def checked(operation: Operation, result: Any, kinds: Sequence[str]) -> tuple[Any, ...]:
    """What an operation returned, one value per output. ResultError where it is not of these kinds."""
    if len(kinds) == 1 and type(result) is kind_type(kinds[0]):
        return (result,)
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
    shape = None if isinstance(value, type) else getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {tuple(shape)}" if shape is not None else "")


_KINDS: dict[str, type] = {}


def kind_type(name: str) -> type:
    if name not in _KINDS:
        _KINDS[name] = find_kind(f"{CORE_KINDS[name]}:{name}" if name in CORE_KINDS else name)
    return _KINDS[name]


def without_gradients() -> AbstractContextManager[Any]:
    """For the calling thread, meanwhile."""
    # Not inference_mode: that hides in-place writes from the version counter. An operation that trains turns it on.
    torch = torch_if_loaded()
    return torch.no_grad() if torch is not None else nullcontext()


class Surroundings:
    """What belongs to the whole process, as it was found: the working directory and torch's default dtype.

    Both are put back after each call of an operation, in any number of threads.
    """

    __slots__ = ("dtype", "folder")

    def __init__(self) -> None:
        torch = torch_if_loaded()
        self.folder = working_folder()
        self.dtype = torch.get_default_dtype() if torch is not None else None

    def call(
        self, operation: Operation, arguments: Sequence[Any], params: Mapping[str, Any], kinds: Sequence[str]
    ) -> tuple[Any, ...]:
        """As `call`, in a thread of ours: without gradients, and it stays so, which is quicker than off and on."""
        assert operation.function is not None
        bound, torch = bind(operation, params), torch_if_loaded()
        if torch is not None and torch.is_grad_enabled():
            torch.set_grad_enabled(False)
        try:
            result = operation.function(*arguments, **bound)
        finally:
            self.put_back()
        return checked(operation, result, kinds)

    def put_back(self) -> None:
        if working_folder() != self.folder and self.folder:
            os.chdir(self.folder)
        torch = torch_if_loaded()
        if torch is not None and torch.get_default_dtype() != (self.dtype or torch.float32):
            torch.set_default_dtype(self.dtype or torch.float32)


@contextmanager
def restored() -> Iterator[None]:
    """Puts back what belongs to the whole process. For the calling thread there are no gradients meanwhile."""
    found = Surroundings()
    with without_gradients():
        try:
            yield
        finally:
            found.put_back()


def working_folder() -> str:
    """The process's own; empty where somebody deleted it."""
    try:
        return os.getcwd()
    except OSError:
        return ""

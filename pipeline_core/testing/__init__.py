"""The contract that every operation keeps, for plugin authors: a test file of two lines.

    from pipeline_core.testing import contract
    test_contract = contract("pipeline_glow")

Each operation is called with small values of every kind and state that its inputs take, and with params made from its
signature: defaults, the first of `Field(examples=[...])`, else what name, type and limits suggest; then every choice
and truth value in turn. Refusing with an OperationError is a fair answer; refusing everything is not. What is checked
is listed in `pipeline_core.testing.checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

from pipeline_core.errors import PluginError
from pipeline_core.installed import discover
from pipeline_core.operation import Operation, kind_name, read
from pipeline_core.plugins import import_operations
from pipeline_core.testing.checks import CHECKS, Check
from pipeline_core.testing.samples import sample_files
from pipeline_core.testing.subject import ContractError, Subject

__all__ = ["Case", "ContractError", "check_operation", "contract", "contract_cases"]

Params = Mapping[str, Mapping[str, Any]]
Values = Mapping[type | str, Any]


@dataclass(frozen=True)
class Case:
    """One check of one operation; called, it raises a ContractError or returns."""

    operation: Operation
    check: Check
    params: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.operation.plugin}.{self.operation.name}-{self.check.__name__}"

    def __call__(self) -> None:
        with TemporaryDirectory(prefix="contract-") as folder, _one_thread():
            self.check(Subject(self.operation, sample_files(folder), self.params, self.values))


@dataclass(frozen=True)
class _NotLoaded:
    """The one case of a plugin that did not load."""

    plugin: str
    error: PluginError

    def __str__(self) -> str:
        return f"{self.plugin}-loads"

    def __call__(self) -> None:
        raise self.error


@contextmanager
def _one_thread() -> Iterator[None]:
    """Handing out work on pictures as small as these takes longer than doing it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def contract(*plugins: str, params: Params | None = None, values: Values | None = None) -> Callable[..., None]:
    """A pytest function with a case for every operation of these plugins (default: of all installed) and every check.

    params  by operation, values for params that can't be made up: `{"apply_lut": {"path": "tests/warm.cube"}}`
    values  by kind, what to give to inputs of models and of a plugin's own kinds: `{DeepImage: [deep]}`; by operation,
            such values for it alone: `{"super_resolve": {Model: [tiny_upscaler]}}`
    """
    import pytest

    cases: list[Callable[[], None]] = []
    for name in plugins or [plugin.name for plugin in discover()]:
        try:
            cases += contract_cases(import_operations(name).values(), params=params, values=values)
        except PluginError as error:
            cases.append(_NotLoaded(name, error))

    @pytest.mark.parametrize("case", [pytest.param(case, id=str(case)) for case in cases])
    def test_contract(case: Callable[[], None]) -> None:
        case()

    return test_contract


def contract_cases(
    operations: Iterable[Operation], *, params: Params | None = None, values: Values | None = None
) -> list[Case]:
    """Every check that applies to each of these (loaded) operations."""
    given = values or {}

    def own(operation: Operation) -> dict[str, Sequence[Any]]:
        of_all = {kind: found for kind, found in given.items() if isinstance(kind, type)}
        return {kind_name(kind): found for kind, found in {**of_all, **given.get(operation.name, {})}.items()}

    return [
        Case(operation, check, (params or {}).get(operation.name, {}), own(operation))
        for operation in operations
        for check, applies in CHECKS
        if applies(operation)
    ]


def check_operation(
    function: Callable[..., Any], *, params: Mapping[str, Any] | None = None, values: Values | None = None
) -> None:
    """The whole contract for one function, installed or not. ContractError with everything that it breaks."""
    operation = read(function, plugin="local")
    broken = []
    for case in contract_cases([operation], params={operation.name: params or {}}, values=values):
        try:
            case()
        except ContractError as error:
            broken.append(f"{case.check.__name__}: {error}")
    if broken:
        raise ContractError("\n".join(broken))

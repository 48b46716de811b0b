"""An operation under test: what it is tried with, what it answers, and how a breach is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline_core.call import ResultError, call
from pipeline_core.errors import OperationError
from pipeline_core.operation import Operation
from pipeline_core.testing.compare import difference
from pipeline_core.testing.samples import Trial, trials

Inputs = dict[str, list[Any]]
Outputs = tuple[Any, ...]


class ContractError(AssertionError):
    """An operation that breaks the contract; says which rule, and when."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A loaded operation with what it is tried with: two files for path params, an author's own params and values."""

    operation: Operation
    files: tuple[Path, Path]
    params: Mapping[str, Any]
    values: Mapping[str, Sequence[Any]]

    def trials(self) -> list[Trial]:
        return list(trials(self.operation, self.files[0], self.params, self.values))

    def run(self, trial: Trial, inputs: Inputs) -> Outputs | None:
        """The outputs; None where the operation refuses the inputs, as it may."""
        like = [(output.like and trial.kinds.get(output.like)) or output.kind for output in self.operation.outputs]
        try:
            return call(self.operation, inputs, trial.params, like)
        except ResultError as error:
            raise ContractError(f"{trial}: {error}") from None
        except OperationError as error:
            if not str(error).strip() or "\n" in str(error):
                raise ContractError(
                    f"{trial}: an OperationError says what is wrong in one line, got {error!s}"
                ) from None
            return None
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
            raise ContractError(
                f"{trial}: raised {found}; what an operation can't work with it refuses with OperationError"
            ) from error

    def accepted(self) -> Iterator[tuple[Trial, Outputs]]:
        """The trials that the operation takes, with their outputs."""
        for trial in self.trials():
            outputs = self.run(trial, trial.inputs())
            if outputs is not None:
                yield trial, outputs


def same(what: str, wanted: Outputs, found: Outputs | None, close: float = 0.0) -> None:
    if found is None or (not found and wanted):
        raise ContractError(f"{what}: it was refused")
    for one, other in zip(wanted, found, strict=True):
        if said := difference(one, other, close):
            raise ContractError(f"{what}: {said}")

"""Checks of what is known of an operation before it runs: facts, kinds, keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline_core.errors import GraphError
from pipeline_core.graph import Graph, build
from pipeline_core.image import Raster
from pipeline_core.infer import infer
from pipeline_core.operation import Operation
from pipeline_core.operation import operation as mark
from pipeline_core.plan import make_plan
from pipeline_core.plugins import Catalogue
from pipeline_core.schema import plain
from pipeline_core.spec import Spec
from pipeline_core.testing.samples import FORMS, Trial, changed, make_value
from pipeline_core.testing.subject import ContractError, Inputs, Subject

_NODE = "subject"


def infers_what_it_gives(subject: Subject) -> None:
    """What is said before the run about size, channels, dtype, colour and alpha is what the run gives."""
    for trial in subject.trials():
        inputs = trial.inputs()
        graph = _graph(subject.operation, inputs, trial.params)
        outputs = subject.run(trial, inputs)
        try:
            facts = infer(graph, [name for name in graph.order if name in graph.spec.nodes])[_NODE]
        except GraphError as error:
            if outputs is not None:
                raise ContractError(f"{trial}: refused before the run, taken by the run: {error}") from None
            continue
        for output, fact, value in zip(subject.operation.outputs, facts, outputs or (), strict=bool(outputs)):
            if fact is not None and _facts(fact) != _facts(value):
                raise ContractError(
                    f"{trial}: output '{output.name}' is inferred as {_facts(fact)}, but is {_facts(value)}"
                )


def _facts(value: Any) -> str:
    tiling = f" tiling {value.wrap}" if any(value.wrap) else ""
    return f"{value}{tiling}" if isinstance(value, Raster) else type(value).__name__


def is_refused_wrong_kinds(subject: Subject) -> None:
    """A link that gives another kind than an input takes is a mistake of the file, told before anything runs."""
    for trial in subject.trials()[:1]:
        for part in subject.operation.inputs:
            wrong = next(kind for kind in ("Table", "Image") if kind not in part.kinds)
            inputs = {**trial.inputs(), part.name: [make_value(wrong, FORMS[0], "", {})]}
            try:
                _graph(subject.operation, inputs, trial.params)
            except GraphError as error:
                if f"input '{part.name}'" in str(error):
                    continue
                raise ContractError(
                    f"a {wrong.lower()} for '{part.name}' was refused for another reason: {error}"
                ) from error
            raise ContractError(f"a {wrong.lower()} was taken for input '{part.name}'")


def has_steady_keys(subject: Subject) -> None:
    """Same params, same key, defaults written out or not; another value of any param, another key."""
    for trial in subject.trials()[:1]:
        key = _key(subject, trial, trial.params)
        if _key(subject, trial, dict(reversed(list(trial.params.items())))) != key:
            raise ContractError("the order in which params are written changes the key")
        for param in subject.operation.params:
            if not param.required and plain(trial.params[param.name]) == param.default:
                rest = {name: value for name, value in trial.params.items() if name != param.name}
                if _key(subject, trial, rest) != key:
                    raise ContractError(f"writing out the default of '{param.name}' changes the key")
            other = changed(param, trial.params[param.name], subject.files)
            is_other = other is not trial.params[param.name]
            if is_other and _key(subject, trial, {**trial.params, param.name: other}) == key:
                raise ContractError(f"'{param.name}' = {other!r} does not change the key")


def _key(subject: Subject, trial: Trial, params: Mapping[str, Any]) -> str:
    graph = _graph(subject.operation, trial.inputs(), params)
    plan = make_plan(graph, save=False, with_facts=False)
    return plan.steps[plan.index[_NODE]].key


def _graph(operation: Operation, inputs: Inputs, params: Mapping[str, Any]) -> Graph:
    """A pipeline in which nodes that give these values feed one node of the operation."""
    assert operation.function is not None
    sources = {f"{name}_{i}": value for name, values in inputs.items() for i, value in enumerate(values)}
    many = {part.name for part in operation.inputs if part.many}
    links = {name: [f"{name}_{i}" for i in range(len(values))] for name, values in inputs.items()}
    nodes: dict[str, Any] = {name: {"op": f"local.give_{name}"} for name in sources}
    nodes[_NODE] = {
        "op": f"local.{operation.name}",
        "inputs": {name: found if name in many else found[0] for name, found in links.items()},
        "params": plain(dict(params)),
    }
    spec = Spec.model_validate({"pipeline": 1, "nodes": nodes, "outputs": {"out": {"from": _NODE}}})
    functions = [operation.function, *(_giving(f"give_{name}", value) for name, value in sources.items())]
    return build(spec, Catalogue.of(functions))


def _giving(name: str, value: Any) -> Callable[[], Any]:
    def give() -> Any:
        return value

    give.__name__ = name
    give.__doc__ = "A sample."
    give.__annotations__ = {"return": type(value)}
    return mark(infer=lambda: value)(give)

"""Checks of what is known of an operation before it runs: facts, kinds, keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_core.errors import GraphError, OperationError
from pipeline_core.graph import Graph, build
from pipeline_core.image import Raster
from pipeline_core.infer import fact_of, infer
from pipeline_core.model import Model
from pipeline_core.operation import Operation, bind
from pipeline_core.operation import operation as mark
from pipeline_core.plan import make_plan
from pipeline_core.plugins import Catalogue
from pipeline_core.schema import plain
from pipeline_core.spec import Spec
from pipeline_core.testing.samples import FORMS, Trial, changed, make_value
from pipeline_core.testing.subject import ContractError, Inputs, Subject


def infers_what_it_gives(subject: Subject) -> None:
    """What is said before the run about size, channels, dtype, colour and alpha is what the run gives."""
    node = _OneNode(subject.operation)
    for trial in subject.trials():
        inputs = trial.inputs()
        _ask_rule(subject, trial, inputs)
        graph = node.graph(inputs, trial.params)
        outputs = subject.run(trial, inputs)
        try:
            facts = infer(graph, [name for name in graph.order if name in graph.spec.nodes])[node.name]
        except GraphError as error:
            if outputs is not None:
                raise ContractError(f"{trial}: refused before the run, taken by the run: {error}") from None
            continue
        for output, fact, value in zip(subject.operation.outputs, facts, outputs or (), strict=bool(outputs)):
            if fact is not None and _facts(fact) != _facts(value):
                raise ContractError(
                    f"{trial}: output '{output.name}' is inferred as {_facts(fact)}, but is {_facts(value)}"
                )


def _ask_rule(subject: Subject, trial: Trial, inputs: Inputs) -> None:
    """A run takes a rule that fails for one that can't tell; its author shall hear of it."""
    rule = subject.operation.facts.infer
    facts = {name: [fact_of(value) for value in values] for name, values in inputs.items()}
    known = {name: [fact for fact in found if fact is not None] for name, found in facts.items()}
    if rule is None or known != facts:
        return
    try:
        rule(*subject.operation.arguments(known), **bind(subject.operation, trial.params))
    except OperationError:
        return
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise ContractError(f"{trial}: the infer rule raised {found}; it may refuse by OperationError only") from error


def _facts(value: Any) -> str:
    if isinstance(value, Model):
        return str(value)
    if not isinstance(value, Raster):
        return type(value).__name__
    return f"{value} tiling {value.wrap}" if any(value.wrap) else str(value)


def is_refused_wrong_kinds(subject: Subject) -> None:
    """A link that gives another kind than an input takes is a mistake of the file, told before anything runs."""
    node = _OneNode(subject.operation)
    for trial in subject.trials()[:1]:
        for part in subject.operation.inputs:
            wrong = next(kind for kind in ("Table", "Image") if kind not in part.kinds)
            inputs = {**trial.inputs(), part.name: [make_value(wrong, FORMS[0], "", {})]}
            try:
                node.graph(inputs, trial.params)
            except GraphError as error:
                if f"input '{part.name}'" in str(error):
                    continue
                raise ContractError(
                    f"a {wrong.lower()} for '{part.name}' was refused for another reason: {error}"
                ) from error
            raise ContractError(f"a {wrong.lower()} was taken for input '{part.name}'")


def has_steady_keys(subject: Subject) -> None:
    """Same params, same key, defaults written out or not; another value of any param, another key."""
    node = _OneNode(subject.operation)
    for trial in subject.trials()[:1]:
        inputs = trial.inputs()

        def key(params: Mapping[str, Any], inputs: Inputs = inputs) -> str:
            plan = make_plan(node.graph(inputs, params), save=False, with_facts=False)
            return plan.steps[plan.index[node.name]].key

        plain_key = key(trial.params)
        if key(dict(reversed(list(trial.params.items())))) != plain_key:
            raise ContractError("the order in which params are written changes the key")
        for param in subject.operation.params:
            now = trial.params[param.name]
            rest = {name: value for name, value in trial.params.items() if name != param.name}
            if not param.required and plain(now) == param.default and key(rest) != plain_key:
                raise ContractError(f"writing out the default of '{param.name}' changes the key")
            other = changed(param, now, subject.files)
            if other is not now and key({**rest, param.name: other}) == plain_key:
                raise ContractError(f"'{param.name}' = {other!r} does not change the key")


class _OneNode:
    """Pipelines in which nodes that give values feed one node of an operation."""

    name = "subject"

    def __init__(self, operation: Operation) -> None:
        assert operation.function is not None
        self.operation = operation
        self.offered = Catalogue.of([operation.function])
        self.given: dict[str, Any] = {}

    def graph(self, inputs: Inputs, params: Mapping[str, Any]) -> Graph:
        nodes: dict[str, Any] = {}
        links: dict[str, Any] = {}
        many = {part.name for part in self.operation.inputs if part.many}
        for name, values in inputs.items():
            for i, value in enumerate(values):
                nodes[f"{name}_{i}"] = {"op": f"local.{self.source(f'{name}_{i}', value)}"}
            links[name] = [f"{name}_{i}" for i in range(len(values))] if name in many else f"{name}_0"
        nodes[self.name] = {
            "op": f"local.{self.operation.name}",
            "inputs": links,
            "params": plain(dict(params)),
        }
        spec = {"pipeline": 1, "nodes": nodes, "outputs": {"out": {"from": self.name}}}
        return build(Spec.model_validate(spec), self.offered)

    def source(self, name: str, value: Any) -> str:
        """The name of an operation that gives this value, and has one key whatever the value is."""
        source = f"give_{name}_{type(value).__name__}"
        self.given[source] = value
        if source not in self.offered.operations:

            def give() -> Any:
                return self.given[source]

            give.__name__ = source
            give.__doc__ = "A sample."
            give.__annotations__ = {"return": type(value)}
            self.offered.add([mark(infer=lambda: self.given[source])(give)])
        return source

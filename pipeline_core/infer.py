"""What is known of every value before anything runs: size, channels, dtype, colour, alpha state.

The facts are stand-ins (`Image.stand_in`): values of the right shape without memory. An operation's own `infer` rule
gives them, or the operation itself run on torch's meta device. Whatever fails for another reason than an
`OperationError` stays unknown: inference may never refuse a pipeline that would run.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_core.errors import GraphError, OperationError, PluginError, Problem
from pipeline_core.graph import Graph, Node
from pipeline_core.image import Image, Mask, Raster
from pipeline_core.keys import canonical
from pipeline_core.operation import Operation, bind

Facts = tuple[Raster | None, ...]
RASTERS = ("Image", "Mask")


def infer(graph: Graph, names: Sequence[str]) -> dict[str, Facts]:
    """The facts of the outputs of these nodes (in topological order). GraphError with every mismatch found."""
    facts: dict[str, Facts] = {}
    known: dict[Any, Facts | OperationError] = {}
    problems: list[Problem] = []
    for name in names:
        node = graph.nodes[name]
        try:
            operation = graph.catalogue.load(node.operation)
        except PluginError as error:
            message = f"node '{name}': plugin '{node.operation.plugin}' did not load: {error}"
            problems.append(Problem(message, graph.where(node)))
            facts[name] = (None,) * len(node.operation.outputs)
            continue
        given = {i: tuple(facts[link.node][link.output] for link in links) for i, links in node.links.items()}
        key = (
            operation.plugin,
            operation.name,
            _params_key(node),
            tuple((i, *map(_signature, v)) for i, v in given.items()),
        )
        if key not in known:
            known[key] = _infer_one(operation, node, given)
        found = known[key]
        if isinstance(found, OperationError):
            shown = ", ".join(f"{i} is {value}" for i, values in given.items() for value in values if value is not None)
            message = f"node '{name}' ({operation.name}): {found}{' [' + shown + ']' if shown else ''}"
            problems.append(Problem(message, graph.where(node)))
            found = (None,) * len(operation.outputs)
        facts[name] = found
    if problems:
        raise GraphError(problems=problems)
    return facts


def _params_key(node: Node) -> Any:
    try:
        return canonical(
            {name: str(value) if hasattr(value, "parts") else value for name, value in node.params.items()}
        )
    except TypeError:
        return id(node)


def _signature(value: Raster | None) -> Any:
    if value is None:
        return None
    channels = (value.channels, value.color, value.alpha) if isinstance(value, Image) else ()
    return (type(value).__name__, tuple(value.buffer.shape), value.dtype, value.wrap, *channels)


def _infer_one(
    operation: Operation, node: Node, given: Mapping[str, tuple[Raster | None, ...]]
) -> Facts | OperationError:
    unknown: Facts = (None,) * len(operation.outputs)
    rule = operation.facts.infer
    if any(value is None for values in given.values() for value in values):
        return unknown
    if rule is None and (not given or not any(kind in RASTERS for kind in node.kinds)):
        return unknown
    inputs = _arguments(
        operation, {n: [v for v in values if v is not None] for n, values in given.items()}, rule is None
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            params = bind(operation, node.params)
            found = rule(*inputs, **params) if rule else _on_meta(operation, inputs, params)
    except OperationError as error:
        return error
    except Exception:
        return unknown  # the operation needs real values; the run will tell what is wrong, if anything is
    outputs = found if isinstance(found, tuple) else (found,)
    if len(outputs) != len(unknown):
        return unknown
    return tuple(_stand_in(value) if isinstance(value, Raster) else None for value in outputs)


def _on_meta(operation: Operation, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
    import torch

    assert operation.function is not None
    with torch.no_grad(), torch.device("meta"):
        return operation.function(*inputs, **params)


def _arguments(operation: Operation, given: Mapping[str, Sequence[Raster]], on_meta: bool) -> list[Any]:
    arguments: list[Any] = []
    for wanted in operation.inputs:
        values = [value.to("meta") if on_meta else value for value in given.get(wanted.name, ())]
        arguments.append(
            (values or None if wanted.optional else values) if wanted.many else values[0] if values else None
        )
    return arguments


def _stand_in(value: Raster) -> Raster:
    batch, height, width, _ = (int(n) for n in value.buffer.shape)
    if isinstance(value, Image):
        return Image.stand_in(
            width, height, value.channels, batch=batch, dtype=value.dtype,
            color=value.color, alpha=value.alpha, wrap=value.wrap, meta=value.meta,
        )  # fmt: skip
    return Mask.stand_in(width, height, batch=batch, dtype=value.dtype, wrap=value.wrap)

"""What is known of every value before anything runs: size, channels, dtype, colour, alpha state; a model's facts.

The facts are stand-ins (`Image.stand_in`): values of the right shape without memory. A model's is what its `infer`
rule gives, as it is. An operation's own `infer` rule
gives them, or the operation itself: a pointwise one on one pixel, any other on torch's meta device. Whatever fails for another reason than an
`OperationError` stays unknown: inference may never refuse a pipeline that would run.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline_core.buffers import keep_freed_memory
from pipeline_core.errors import GraphError, OperationError, PluginError, Problem
from pipeline_core.graph import Graph, Node
from pipeline_core.image import Image, Raster
from pipeline_core.keys import canonical, paths_in
from pipeline_core.model import Model
from pipeline_core.operation import Operation, bind, support_radius

Fact = Raster | Model | None
Facts = tuple[Fact, ...]
RASTERS = frozenset(("Image", "Mask"))


def infer(graph: Graph, names: Sequence[str]) -> dict[str, Facts]:
    """The facts of the outputs of these nodes (in topological order). GraphError with every mismatch found."""
    keep_freed_memory()  # headers are in files, which are read for them
    facts: dict[str, Facts] = {}
    known: dict[Any, Facts | OperationError] = {}
    problems: list[Problem] = []
    without: dict[int, Facts] = {}
    """Of operations without a rule: what is known of results that are no pictures."""
    for name in names:
        node = graph.nodes[name]
        blank = without.get(id(node.operation))
        if blank is not None and RASTERS.isdisjoint(node.kinds):
            facts[name] = blank
            continue
        try:
            operation = graph.catalogue.load(node.operation)
        except PluginError as error:
            message = f"node '{name}': plugin '{node.operation.plugin}' did not load: {error}"
            problems.append(Problem(message, graph.where(node)))
            facts[name] = (None,) * len(node.operation.outputs)
            continue
        if operation.facts.infer is None and RASTERS.isdisjoint(node.kinds):
            facts[name] = without[id(node.operation)] = (None,) * len(operation.outputs)
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
            problems.append(Problem(message, graph.where(node), in_file=_reads_a_file(node)))
            found = (None,) * len(operation.outputs)
        facts[name] = found
    if problems:
        raise GraphError(problems=problems)
    return facts


def _reads_a_file(node: Node) -> bool:
    """Whether what an operation finds fault with is in a file, or in the params that say what of it is wanted."""
    return not node.links and any(path.is_file() for path in paths_in(node.params))


def _params_key(node: Node) -> Any:
    try:
        return canonical(
            {name: str(value) if hasattr(value, "parts") else value for name, value in node.params.items()}
        )
    except TypeError:
        return id(node)


def _signature(value: Fact) -> Any:
    if value is None:
        return None
    if isinstance(value, Model):
        return id(value)  # alive as long as the facts are
    channels = (value.channels, value.color, value.alpha) if isinstance(value, Image) else ()
    return (type(value).__name__, tuple(value.buffer.shape), value.dtype, value.wrap, *channels)


def _infer_one(operation: Operation, node: Node, given: Mapping[str, tuple[Fact, ...]]) -> Facts | OperationError:
    unknown: Facts = (None,) * len(operation.outputs)
    rule = operation.facts.infer
    values = {name: [value for value in found if value is not None] for name, found in given.items()}
    if any(None in found for found in given.values()):
        return unknown
    if rule is None and not given:
        return unknown
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            params = bind(operation, node.params)
            if rule is not None:
                found = rule(*operation.arguments(values), **params)
            elif support_radius(operation, params) == 0 and (size := _one_size(values)):
                return _on_one_pixel(operation, values, params, size)
            else:
                found = _on_meta(operation, values, params)
    except OperationError as error:
        return error
    except (Exception, SystemExit):
        return unknown  # the operation needs real values; the run will tell what is wrong, if anything is
    outputs = found if isinstance(found, tuple) else (found,)
    if len(outputs) != len(unknown):
        return unknown
    return tuple(fact_of(value) for value in outputs)


def fact_of(value: Any) -> Fact:
    """What of a value is known before it is there."""
    if isinstance(value, Raster):
        return value.like(dtype=value.dtype)
    return value if isinstance(value, Model) else None


def _one_size(values: Mapping[str, Sequence[Raster | Model]]) -> tuple[int, int] | None:
    sizes = {value.size for found in values.values() for value in found if isinstance(value, Raster)}
    return sizes.pop() if len(sizes) == 1 else None


def _on_one_pixel(
    operation: Operation,
    values: Mapping[str, Sequence[Raster | Model]],
    params: Mapping[str, Any],
    size: tuple[int, int],
) -> Facts:
    """What a pointwise operation makes of one pixel tells all but the size, and that it keeps.

    Cheaper than torch's meta device, whose first use costs a second of imports, and right for numpy code too.
    """
    pixel = {
        name: [_one_pixel(value) if isinstance(value, Raster) else value for value in found]
        for name, found in values.items()
    }
    assert operation.function is not None
    found = operation.function(*operation.arguments(pixel), **params)
    outputs = found if isinstance(found, tuple) else (found,)
    return tuple(
        value.like(width=size[0], height=size[1], dtype=value.dtype) if isinstance(value, Raster) else None
        for value in outputs
    )


def _one_pixel(value: Raster) -> Raster:
    return value.with_buffer(np.zeros((value.batch, 1, 1, len(value.channels)), value.dtype))


def _on_meta(operation: Operation, values: Mapping[str, Sequence[Raster | Model]], params: Mapping[str, Any]) -> Any:
    import torch

    assert operation.function is not None
    on_meta = {
        name: [value.to("meta") if isinstance(value, Raster) else value for value in found]
        for name, found in values.items()
    }
    with torch.no_grad(), torch.device("meta"):
        return operation.function(*operation.arguments(on_meta), **params)

"""A pipeline built in Python, without a file; the same model, the same checks, the same run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_core.graph import Graph
from pipeline_core.schema import plain
from pipeline_core.spec import Spec, spec_of


@dataclass(frozen=True)
class Ref:
    """A node of a pipeline in the making; `ref["alpha"]` is its output of that name."""

    link: str

    def __getitem__(self, output: str) -> Ref:
        return Ref(f"{self.link.partition('.')[0]}.{output}")


class Pipeline:
    """Nodes and outputs, added one by one.

    >>> p = Pipeline()
    >>> hero = p.node("hero", "load_image", path="art/hero.png")
    >>> small = p.node("small", "resize", image=hero, width=256, height=256)
    >>> p.output("small", small, path="out/small.png")
    """

    def __init__(self, *, folder: str | Path = ".") -> None:
        self.folder = Path(folder)
        self._nodes: dict[str, dict[str, Any]] = {}
        self._params: dict[str, dict[str, Any]] = {}
        self._outputs: dict[str, dict[str, Any]] = {}
        self._functions: list[Callable[..., Any]] = []

    def param(self, name: str, type: str, **fields: Any) -> str:  # noqa: A002  the word of the file format
        """A param of the whole pipeline; returns the reference `${name}` to write as a node's param."""
        self._params[name] = {"type": type, **fields}
        return f"${{{name}}}"

    def node(self, name: str, operation: str | Callable[..., Any], /, **given: Any) -> Ref:
        """A node. Keyword arguments that are nodes (or lists of them) are inputs, all others params.

        `operation` is the name of an installed operation, or a function that follows the rule for operations.
        """
        if name in self._nodes:
            raise ValueError(f"there already is a node '{name}'")
        if callable(operation):
            if operation not in self._functions:
                self._functions.append(operation)
            operation = f"local.{operation.__name__}"
        inputs: dict[str, str | list[str]] = {}
        params: dict[str, Any] = {}
        for key, value in given.items():
            if isinstance(value, Ref):
                inputs[key] = value.link
            elif isinstance(value, (list, tuple)) and value and all(isinstance(item, Ref) for item in value):
                inputs[key] = [item.link for item in value]
            else:
                params[key] = plain(value)
        self._nodes[name] = {"op": operation, "inputs": inputs, "params": params}
        return Ref(name)

    def output(self, name: str, node: Ref, /, *, path: str | Path | None = None, **params: Any) -> None:
        """Asks for a result; `path` says where a run with `save=True` writes it, `params` how it is encoded."""
        self._outputs[name] = {"from": node.link, "path": None if path is None else str(path), "params": plain(params)}

    @property
    def spec(self) -> Spec:
        """The pipeline as a Spec; `spec.model_dump_json(by_alias=True, exclude_unset=True)` is its file.

        SpecError with every problem.
        """
        made = {"pipeline": 1, "params": self._params, "nodes": self._nodes, "outputs": self._outputs}
        return spec_of(made, folder=self.folder)

    def graph(self, **params: Any) -> Graph:
        """The checked graph. GraphError with every problem."""
        from pipeline_core.api import load

        return load(self.spec, params, operations=self._functions)

    def run(self, *, save: bool = False, **params: Any) -> dict[str, Any]:
        """Runs it; the outputs as values, by name."""
        from pipeline_core.api import run

        return run(self.graph(**params), save=save)

"""The plain Python way: `pipeline_core.run("card.yaml", hero="art/x.png", seed=3)`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_core.errors import GraphError, Problem
from pipeline_core.graph import Graph, build
from pipeline_core.plugins import Catalogue, catalogue
from pipeline_core.spec import Spec, read_spec

if TYPE_CHECKING:
    from pipeline_core.cache import Cache
    from pipeline_core.events import Listener
    from pipeline_core.plan import Plan
    from pipeline_core.run import Result


def load(
    pipeline: str | Path | Spec,
    params: Mapping[str, Any] | None = None,
    *,
    paths: Mapping[str, str | Path] | None = None,
    operations: Iterable[Callable[..., Any]] = (),
    offered: Catalogue | None = None,
) -> Graph:
    """The graph of a pipeline file (or of a Spec). SpecError or GraphError with every problem found.

    `operations` are plain functions to offer beside those of the installed plugins.
    """
    spec, known = (pipeline, []) if isinstance(pipeline, Spec) else read_spec(pipeline)
    if spec is None:
        raise GraphError(problems=known)
    found = offered or catalogue()
    found.add(operations)
    return build(spec, found, params, paths=paths, known=known)


def check(pipeline: str | Path | Spec, *, deep: bool = False, **params: Any) -> list[Problem]:
    """Everything that is wrong or doubtful with a pipeline; an empty list if nothing is. Never raises for that.

    `deep` also infers sizes, channels, colour and alpha, which imports the plugins used.
    """
    from pipeline_core.errors import PipelineError

    try:
        graph = load(pipeline, params)
        if deep:
            from pipeline_core.infer import infer

            infer(graph, graph.order)
    except PipelineError as error:
        return list(error.problems) or [Problem(str(error))]
    return list(graph.warnings)


def plan(pipeline: str | Path | Spec, *, only: Sequence[str] = (), device: str = "cpu", **params: Any) -> Plan:
    """What a run would do: steps in order with keys, sizes and bytes. Nothing runs."""
    from pipeline_core.plan import make_plan

    return make_plan(load(pipeline, params), only=only, device=device)


def run(
    pipeline: str | Path | Spec | Graph,
    *,
    only: Sequence[str] = (),
    save: bool = False,
    cache: Cache | str | Path | bool = True,
    device: str = "auto",
    jobs: int | None = None,
    keep_going: bool = False,
    strips: bool = True,
    compiled: bool = False,
    operations: Iterable[Callable[..., Any]] = (),
    listeners: Sequence[Listener] = (),
    **params: Any,
) -> dict[str, Any]:
    """Runs a pipeline and returns its outputs as values, by name. Keyword arguments are the pipeline's params.

    Writes no output file unless `save`. `cache` is True for the usual folder, False for none, a folder, or a `Cache`
    that is kept open between runs. With `keep_going` what could not be made is missing from the result. Without `strips`
    every node is carried out on whole pictures. `compiled` has torch compile consecutive operations on an accelerator into
    few kernels, which takes seconds the first time in a process.
    Raises SpecError or GraphError before anything runs, NodeError if a node fails.
    """
    graph = pipeline if isinstance(pipeline, Graph) else load(pipeline, params, operations=operations)
    result = run_graph(
        graph,
        only=only,
        save=save,
        cache=cache,
        device=device,
        jobs=jobs,
        keep_going=keep_going,
        strips=strips,
        compiled=compiled,
        listeners=listeners,
    )
    return result.outputs


def run_graph(
    graph: Graph,
    *,
    only: Sequence[str] = (),
    save: bool = False,
    cache: Cache | str | Path | bool = True,
    device: str = "auto",
    jobs: int | None = None,
    keep_going: bool = False,
    strips: bool = True,
    compiled: bool = False,
    listeners: Sequence[Listener] = (),
) -> Result:
    """As `run`, with everything that is known about the run in the result."""
    from pipeline_core.devices import choose
    from pipeline_core.plan import make_plan

    plan = make_plan(graph, only=only, device=choose(device), save=save)
    with opened(cache, listeners) as kept:
        return run_plan(
            plan,
            cache=kept,
            jobs=jobs,
            keep_going=keep_going,
            strips=strips,
            compiled=compiled,
            listeners=listeners,
        )


def run_plan(
    plan: Plan,
    *,
    cache: Cache | None = None,
    jobs: int | None = None,
    keep_going: bool = False,
    metadata: bool = True,
    strips: bool = True,
    compiled: bool = False,
    listeners: Sequence[Listener] = (),
) -> Result:
    """Carries out a plan with everything around it: outputs written, the history of its nodes noted."""
    from pipeline_core.explain import note_history
    from pipeline_core.run import execute
    from pipeline_core.save import Writer

    writer = Writer(plan, cache=cache, metadata=metadata) if plan.save else None
    try:
        return execute(
            plan,
            listeners=listeners,
            jobs=jobs,
            keep_going=keep_going,
            cache=cache,
            writer=writer,
            strips=strips,
            compiled=compiled,
        )
    finally:
        if cache is not None:
            note_history(plan, cache)


@contextmanager
def opened(cache: Cache | str | Path | bool, listeners: Sequence[Listener] = ()) -> Iterator[Cache | None]:
    """A cache for the time of a run; one that was given open stays open."""
    from pipeline_core.events import Warned

    if cache is False:
        yield None
        return
    from pipeline_core.cache import Cache, default_folder

    if isinstance(cache, Cache):
        yield cache
        return

    def warn(message: str) -> None:
        for listener in listeners:
            listener(Warned(message))
        if not listeners:
            warnings.warn(message, RuntimeWarning, stacklevel=4)

    folder = default_folder() if cache is True else Path(cache)
    with Cache.open(folder, memory=0, warn=warn) as kept:  # memory is for a Cache that outlives the run
        yield kept

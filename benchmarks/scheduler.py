"""What the way from a spec to its outputs costs per node: `python -m benchmarks.scheduler [--nodes N] [--profile]`.

Chains, fan-outs and grids of nodes that do nothing, beside plain networkx (building and walking the same graph, calling
the same function) and dask's threaded scheduler, in the same process.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import networkx

from benchmarks.timing import machine
from pipeline_core import Pipeline, Table, operation
from pipeline_core.events import Event

ROUNDS = 3
EMPTY = Table((), ())
Links = list[list[int]]
"""For every node the nodes that it reads."""


@operation(cache="never")
def start_here() -> Table:
    """A source."""
    return EMPTY


@operation(cache="never")
def pass_on(tables: list[Table]) -> Table:
    """The first of its inputs."""
    return tables[0]


def chain(count: int) -> Links:
    return [[], *([i] for i in range(count - 1))]


def fan(count: int) -> Links:
    """One source, its readers, and one reader of them all."""
    return [[], *([0] for _ in range(count - 2)), list(range(1, count - 1))]


def grid(count: int) -> Links:
    """Every node reads the one to its left and the one above it."""
    side = round(count**0.5)
    return [[j for j, inside in ((i - 1, i % side > 0), (i - side, i >= side)) if inside] for i in range(side * side)]


SHAPES: dict[str, Callable[[int], Links]] = {"chain": chain, "fan-out": fan, "grid": grid}


class Stages:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        gc.collect()
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began


def ours(links: Links) -> dict[str, float]:
    """spec, graph, plan and run, each with its seconds."""
    from pipeline_core.graph import build
    from pipeline_core.plan import make_plan
    from pipeline_core.plugins import Catalogue
    from pipeline_core.run import execute

    offered = Catalogue.of([start_here, pass_on])  # what is installed is found once, however many nodes there are
    stage = Stages()
    with stage("spec"):
        made = Pipeline()
        nodes: list[Any] = []
        for i, sources in enumerate(links):
            if sources:
                nodes.append(made.node(f"n{i}", pass_on, tables=[nodes[j] for j in sources]))
            else:
                nodes.append(made.node(f"n{i}", start_here))
        made.output("last", nodes[-1])
        spec = made.spec
        assert len(spec.nodes) == len(links)
    with stage("graph"):
        graph = build(spec, offered)
    with stage("plan"):
        plan = make_plan(graph)
    events: list[Event] = []
    with stage("run"):
        result = execute(plan, jobs=2, listeners=[events.append])
    assert result.outputs["last"] == EMPTY
    assert result.computed == len(links)
    return stage.seconds


@operation(cache="always")
def keep_start() -> Table:
    """A source that is kept."""
    return EMPTY


@operation(cache="always")
def keep(tables: list[Table]) -> Table:
    """The first of its inputs, kept."""
    return tables[0]


def again(count: int) -> None:
    """A chain of which everything is kept: what a run costs that finds it all."""
    from pipeline_core.cache import Cache
    from pipeline_core.graph import build
    from pipeline_core.plan import make_plan
    from pipeline_core.plugins import Catalogue
    from pipeline_core.run import execute

    made = Pipeline()
    node = made.node("n0", keep_start)
    for i in range(1, count):
        node = made.node(f"n{i}", keep, tables=[node])
    made.output("last", node)
    graph = build(made.spec, Catalogue.of([keep_start, keep]))
    plan = make_plan(graph)
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS + 1):
            with Cache.open(Path(folder)) as cache:
                gc.collect()
                began = time.perf_counter()
                execute(plan, jobs=2, cache=cache)
                taken.append((time.perf_counter() - began) / count * 1e6)
    print(f"run again, all of {count:,} known: {statistics.median(taken[1:]):.1f} us a node (goal 5)", flush=True)


def plain_networkx(links: Links) -> float:
    """The graph built, sorted and walked, every node's function called."""
    gc.collect()
    began = time.perf_counter()
    network: Any = networkx.DiGraph()
    network.add_nodes_from(range(len(links)))
    network.add_edges_from((j, i) for i, sources in enumerate(links) for j in sources)
    values: dict[int, Table] = {}
    for i in networkx.topological_sort(network):
        values[i] = pass_on([values[j] for j in links[i]]) if links[i] else start_here()
    assert len(values) == len(links)
    return time.perf_counter() - began


def dask_threaded(links: Links) -> float:
    """dask's threaded scheduler on the same graph, with as many workers."""
    from dask.threaded import get

    gc.collect()
    began = time.perf_counter()
    tasks = {f"n{i}": (_first, *(f"n{j}" for j in sources)) for i, sources in enumerate(links)}
    assert get(tasks, f"n{len(links) - 1}", num_workers=2) == EMPTY
    return time.perf_counter() - began


def _first(*tables: Table) -> Table:
    return tables[0] if tables else EMPTY


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scheduler")
    parser.add_argument("--nodes", type=int, nargs="+", default=[10_000])
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=SHAPES)
    parser.add_argument("--again", type=int, nargs="*", default=[1_000, 10_000], help="nodes of the runs that find all")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--profile", action="store_true", help="where the time goes, instead of how much it is")
    given = parser.parse_args()
    ours(grid(100))  # imports
    if given.profile:
        profile(SHAPES[given.shapes[0]](given.nodes[0]))
        return
    print(f"{machine()}; microseconds per node, medians of {given.rounds} alternating rounds\n")
    print(
        "| shape | nodes | spec | graph | plan | run | all | networkx | dask |\n|---|---|---|---|---|---|---|---|---|"
    )
    for count in given.nodes:
        for name in given.shapes:
            measure(name, SHAPES[name](count), given.rounds)

    print()
    for count in given.again:
        again(count)


def measure(name: str, links: Links, rounds: int) -> None:
    taken: dict[str, list[float]] = {}
    for _ in range(rounds):
        found = ours(links)
        found = {**found, "all": sum(found.values()), "networkx": plain_networkx(links), "dask": dask_threaded(links)}
        for stage, seconds in found.items():
            taken.setdefault(stage, []).append(seconds / len(links) * 1e6)
    shown = " | ".join(f"{statistics.median(micros):.0f}" for micros in taken.values())
    print(f"| {name} | {len(links):,} | {shown} |", flush=True)


def profile(links: Links) -> None:
    profiler = cProfile.Profile()
    profiler.runcall(ours, links)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main()

"""What the way from a spec to its outputs costs per node: `python -m benchmarks.scheduler [--nodes N] [--profile]`.

Chains, fan-outs and grids of nodes that do nothing, beside plain networkx (building and walking the same graph, calling
the same function) and dask's threaded scheduler, in the same process. What is told here stage by stage is in
`python -m benchmarks scheduler` as ratios, beside a run that finds all its results and a file that is read and checked.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import networkx
import yaml

from benchmarks.timing import Comparison, Job, Taken, alternate, clocked, machine, median
from pipeline_core import Pipeline, Table, operation
from pipeline_core.events import Event
from pipeline_core.spec import Spec

ROUNDS = 3
WORKERS = 2
T = TypeVar("T")
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
    """What each stage takes."""

    def __init__(self) -> None:
        self.taken: dict[str, Taken] = {}

    def __call__(self, name: str, stage: Callable[[], T]) -> T:
        gc.collect()
        made: list[T] = []
        self.taken[name] = clocked(lambda: made.append(stage()))
        return made[0]


def ours(links: Links) -> dict[str, Taken]:
    """spec, graph, plan and run."""
    from pipeline_core.graph import build
    from pipeline_core.plan import make_plan
    from pipeline_core.plugins import Catalogue
    from pipeline_core.run import execute

    offered = Catalogue.of([start_here, pass_on])  # what is installed is found once, however many nodes there are

    def written() -> Spec:
        made = Pipeline()
        nodes: list[Any] = []
        for i, sources in enumerate(links):
            if sources:
                nodes.append(made.node(f"n{i}", pass_on, tables=[nodes[j] for j in sources]))
            else:
                nodes.append(made.node(f"n{i}", start_here))
        made.output("last", nodes[-1])
        return made.spec

    stage = Stages()
    spec = stage("spec", written)
    assert len(spec.nodes) == len(links)
    graph = stage("graph", lambda: build(spec, offered))
    plan = stage("plan", lambda: make_plan(graph))
    events: list[Event] = []
    result = stage("run", lambda: execute(plan, jobs=WORKERS, listeners=[events.append]))
    assert result.outputs["last"] == EMPTY
    assert result.computed == len(links)
    return stage.taken


def together(taken: Iterable[Taken]) -> Taken:
    return Taken(*map(sum, zip(*taken, strict=True)))


def all_stages(links: Links) -> Taken:
    return together(ours(links).values())


def plan_and_run(links: Links) -> Taken:
    found = ours(links)
    return together([found["plan"], found["run"]])


@operation(cache="always")
def keep_start() -> Table:
    """A source that is kept."""
    return EMPTY


@operation(cache="always")
def keep(tables: list[Table], *, number: int) -> Table:
    """The first of its inputs, kept; equal ones would be computed once."""
    return tables[0]


def again(links: Links, folder: Path) -> Job:
    """A graph of which everything is kept, after a first run: what one costs that finds it all."""
    from pipeline_core.cache import Cache
    from pipeline_core.graph import build
    from pipeline_core.plan import make_plan
    from pipeline_core.plugins import Catalogue
    from pipeline_core.run import execute

    made = Pipeline()
    nodes: list[Any] = []
    for i, sources in enumerate(links):
        if sources:
            nodes.append(made.node(f"n{i}", keep, tables=[nodes[j] for j in sources], number=i))
        else:
            nodes.append(made.node(f"n{i}", keep_start))
    made.output("last", nodes[-1])
    graph = build(made.spec, Catalogue.of([keep_start, keep]))
    plan = make_plan(graph)

    def job() -> Taken:
        with Cache.open(folder) as cache:
            gc.collect()
            return clocked(lambda: execute(plan, jobs=WORKERS, cache=cache))

    return job


def plain_networkx(links: Links) -> Taken:
    """The graph built, sorted and walked, every node's function called."""

    def walk() -> None:
        network: Any = networkx.DiGraph()
        network.add_nodes_from(range(len(links)))
        network.add_edges_from((j, i) for i, sources in enumerate(links) for j in sources)
        values: dict[int, Table] = {}
        for i in networkx.topological_sort(network):
            values[i] = pass_on([values[j] for j in links[i]]) if links[i] else start_here()
        assert len(values) == len(links)

    gc.collect()
    return clocked(walk)


def dask_threaded(links: Links) -> Taken:
    """dask's threaded scheduler on the same graph, with as many workers."""
    from dask.threaded import get

    def compute() -> None:
        tasks = {f"n{i}": (_first, *(f"n{j}" for j in sources)) for i, sources in enumerate(links)}
        assert get(tasks, f"n{len(links) - 1}", num_workers=WORKERS) == EMPTY

    gc.collect()
    return clocked(compute)


def _first(*tables: Table) -> Table:
    return tables[0] if tables else EMPTY


def written_file(path: Path, count: int) -> str:
    """A chain of nodes with a param or two each, laid out as people write it."""
    text = ["pipeline: 1", "nodes:", "  n0: {op: constant, params: {width: 64, height: 64, color: '#204080ff'}}"]
    for i in range(1, count):
        text += [f"  n{i}:", "    op: grade", "    inputs:", f"      image: n{i - 1}"]
        text += ["    params:", "      gain: 1.1", f"      lift: {i / count}"]
    text += ["outputs:", "  last:", f"    from: n{count - 1}", "    path: out/last.png", ""]
    path.write_text("\n".join(text))
    return path.read_text()


def comparisons(small: bool = False) -> Iterator[Comparison]:
    from pipeline_core.api import check

    count, written = (100, 100) if small else (10_000, 1_000)
    others = {"networkx": plain_networkx, "dask": dask_threaded}
    for name, shape in SHAPES.items():
        links = shape(count)
        peers = {peer: partial(job, links) for peer, job in others.items()}
        what = f"{name} of {count:,} trivial nodes, a node"
        yield Comparison(f"{what}: spec to outputs", partial(all_stages, links), peers, each=len(links))
        yield Comparison(
            f"{what}: plan and run",
            partial(plan_and_run, links),
            peers,
            dict.fromkeys(others, "20 us"),
            each=len(links),
        )
    with tempfile.TemporaryDirectory() as folder:
        yield Comparison(
            f"run again, all of {count:,} known, a node",
            again(chain(count), Path(folder)),
            {"dask, all computed": partial(dask_threaded, chain(count))},
            {"dask, all computed": "5 us"},
            each=count,
        )
        file = Path(folder) / "chain.yaml"
        text = written_file(file, written)
        assert check(file) == []
        yield Comparison(
            f"a file of {written:,} nodes read and checked",
            lambda: check(file),
            {"`yaml.safe_load`": lambda: yaml.safe_load(text)},
            {"`yaml.safe_load`": "0.50"},
        )


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
        with tempfile.TemporaryDirectory() as folder:
            taken = alternate({"again": again(chain(count), Path(folder))}, given.rounds)["again"]
        micros = median(taken) / count * 1e6
        print(f"run again, all of {count:,} known: {micros:.1f} us a node (goal 5)", flush=True)


def measure(name: str, links: Links, rounds: int) -> None:
    taken: dict[str, list[Taken]] = {}
    for _ in range(rounds):
        found = ours(links)
        found = {
            **found,
            "all": together(found.values()),
            "networkx": plain_networkx(links),
            "dask": dask_threaded(links),
        }
        for stage, one in found.items():
            taken.setdefault(stage, []).append(one)
    shown = " | ".join(f"{median(every) / len(links) * 1e6:.0f}" for every in taken.values())
    print(f"| {name} | {len(links):,} | {shown} |", flush=True)


def profile(links: Links) -> None:
    profiler = cProfile.Profile()
    profiler.runcall(ours, links)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main()

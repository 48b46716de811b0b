"""What has to be done? Only what the outputs need, in order, with keys, lifetimes, devices and bytes. Nothing runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline_core.errors import GraphError, Problem, did_you_mean, listing
from pipeline_core.garbage import held
from pipeline_core.graph import Graph, Node, Target
from pipeline_core.keys import FileState, identity, key, operation_key, paths_in, read_state
from pipeline_core.schema import show

if TYPE_CHECKING:
    from pipeline_core.infer import Facts

T = TypeVar("T")
Source = tuple[int, int]
"""(index of a step, position of its output)"""


@dataclass(slots=True)
class Step:
    """A node as planned. `sources` are its inputs by name, `reads` the steps that they come from, each once."""

    index: int
    node: Node
    sources: tuple[tuple[str, tuple[Source, ...]], ...]
    reads: tuple[int, ...]
    key: str
    operation_key: str
    files: dict[Path, FileState]
    device: str
    facts: Facts = ()

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def is_encoder(self) -> bool:
        """Whether it encodes an output, rather than being a node of the file."""
        return self.node.place[0] == "outputs"

    @property
    def bytes(self) -> int | None:
        """Of its outputs together; None where a size is not known before the run."""
        if not self.facts or any(fact is None for fact in self.facts):
            return None
        return sum(fact.nbytes for fact in self.facts if fact is not None)


@dataclass
class Plan:
    """Steps in an order in which they can run; `targets` are the outputs asked for."""

    graph: Graph
    steps: list[Step]
    targets: list[Target]
    device: str
    index: dict[str, int] = field(default_factory=dict)
    save: bool = True
    values: bool = True

    @cached_property
    def kept(self) -> set[int]:
        """The steps whose values the caller gets: outputs that are not saved, and with `values` the saved ones too."""
        return {self.index[t.link.node] for t in self.targets if self.values or not (self.save and t.encoder)}

    @property
    def wanted(self) -> list[int]:
        """The steps that are asked for: those whose values are kept, and the encoders of what is saved."""
        encoders = [self.index[t.encoder] for t in self.targets if self.save and t.encoder]
        return [*encoders, *sorted(self.kept)]

    def parts(self, step: Step) -> dict[str, Any]:
        """What a step's key is made of, for people: provenance, and the reason of the next miss."""
        operation = step.node.operation
        sources = {
            name: [
                [self.steps[i].name, self.steps[i].node.operation.outputs[output].name, self.steps[i].key]
                for i, output in links
            ]
            for name, links in step.sources
        }
        return {
            "operation": operation.name,
            "operation version": operation.version,
            "plugin": f"{operation.plugin} {operation.plugin_version}",
            "source": operation.source,
            "params": {name: show(value) for name, value in step.node.params.items() if not any(paths_in(value))},
            "files": {
                f"{name}: {path.name}": step.files[path].digest
                for name, value in step.node.params.items()
                for path in paths_in(value)
            },
            "inputs": sources,
        }

    @cached_property
    def dying(self) -> list[tuple[int, ...]]:
        """The steps whose values nobody reads any more when a step is done, for each step."""
        last = {source: step.index for step in self.steps for source in step.reads}
        dying: list[list[int]] = [[] for _ in self.steps]
        kept = self.kept
        for source, reader in last.items():
            if source not in kept:
                dying[reader].append(source)
        return list(map(tuple, dying))

    @property
    def peak_bytes(self) -> int:
        """The most that values take at one time when steps run one after another; unknown sizes count as nothing."""
        alive = peak = 0
        for step, dying in zip(self.steps, self.dying, strict=True):
            alive += step.bytes or 0
            peak = max(peak, alive)
            alive -= sum(self.steps[i].bytes or 0 for i in dying)
        return peak


@held()
def make_plan(
    graph: Graph,
    *,
    only: Sequence[str] = (),
    device: str = "cpu",
    save: bool = True,
    values: bool = True,
    with_facts: bool = True,
) -> Plan:
    """The plan for all outputs, or for those named in `only`.

    With `save` the steps that encode outputs are part of it. `with_facts` runs static inference too (which imports the plugins used, and torch). GraphError with every problem:
    an unknown output, a file that can't be read, sizes and states that do not fit.
    """
    targets = _chosen(graph, only)
    roots = [target.encoder if save and target.encoder else target.link.node for target in targets]
    names = _in_order(graph, roots)
    index = {name: i for i, name in enumerate(names)}
    paths = _paths(graph, names)
    files_read = _beside(lambda: _read_files(paths)) if paths else lambda: ({}, {})
    problems: list[Problem] = []
    facts: Mapping[str, Facts] = {}
    if with_facts:
        from pipeline_core.infer import infer

        try:
            facts = infer(graph, names)
        except GraphError as error:
            problems += error.problems
    files, reasons = files_read()
    if reasons:  # a file that is not there explains itself better than the inference that missed it
        missing = [_missing(why, path, *place, graph) for path, why in reasons.items() for place in paths[path]]
        blamed = {problem.location for problem in missing}
        problems = [*missing, *(problem for problem in problems if not _same_line(problem, blamed))]
    if problems:
        raise GraphError(problems=problems)
    identities: dict[int, bytes] = {}
    without_params: dict[int, str] = {}
    no_files: dict[Path, FileState] = {}
    steps: list[Step] = []
    keys: list[str] = []
    for name in names:
        node = graph.nodes[name]
        operation, params = node.operation, node.params
        own_files = no_files
        made = None if params else without_params.get(id(operation))
        if made is None:
            if files and params:
                own_files = {path: files[path] for path in paths_in(params)}
            who = identities.get(id(operation)) or identities.setdefault(id(operation), identity(operation))
            made = operation_key(who, params, {path: state.digest for path, state in own_files.items()})
            if not params:
                without_params[id(operation)] = made
        sources = []
        reads = []
        for wired, links in node.links.items():
            given = []
            for source, output in links:
                given.append((at := index[source], output))
                reads.append(at)
            sources.append((wired, tuple(given)))
        step = Step(
            len(steps),
            node,
            tuple(sources),
            tuple(reads if len(reads) < 2 else dict.fromkeys(reads)),
            key(made, sources, keys),
            made,
            own_files,
            operation.device or device,
            facts.get(name, ()),
        )
        steps.append(step)
        keys.append(step.key)
    return Plan(graph, steps, targets, device, index, save, values)


def _same_line(problem: Problem, places: Iterable[Any]) -> bool:
    return any(p and problem.location and p.line == problem.location.line for p in places)


def _chosen(graph: Graph, only: Sequence[str]) -> list[Target]:
    problems = []
    for name in only:
        if name not in graph.targets:
            hint = did_you_mean(name, graph.targets) or f"; the outputs are {listing(graph.targets)}"
            problems.append(Problem(f"no output '{name}'{hint}"))
    if problems:
        raise GraphError(problems=problems)
    return [target for name, target in graph.targets.items() if not only or name in only]


def _in_order(graph: Graph, roots: Sequence[str]) -> list[str]:
    """What the roots need, depth first: a value is made shortly before it is needed, so that little is alive at once."""
    order: dict[str, None] = {}
    opened: set[str] = set()
    nodes, stack = graph.nodes, [*reversed(roots)]
    while stack:
        name = stack[-1]
        if name in opened:  # all that it needs is done
            order[stack.pop()] = None
            continue
        opened.add(name)
        for links in reversed(nodes[name].links.values()):
            for source, _ in reversed(links):
                if source not in order:
                    stack.append(source)
    return list(order)


def _paths(graph: Graph, names: Sequence[str]) -> dict[Path, list[tuple[Node, str]]]:
    """Every path in the params, with the nodes and their params that have it."""
    found: dict[Path, list[tuple[Node, str]]] = {}
    for name in names:
        node = graph.nodes[name]
        for param, value in node.params.items():
            for path in paths_in(value):
                found.setdefault(path, []).append((node, param))
    return found


def _read_files(paths: Iterable[Path]) -> tuple[dict[Path, FileState], dict[Path, str]]:
    """Every file, read once and digested; why others can't be."""
    states: dict[Path, FileState] = {}
    reasons: dict[Path, str] = {}
    for path in paths:
        try:
            states[path] = read_state(path)
        except (OSError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError)
            reasons[path] = "file not found" if missing else getattr(error, "strerror", None) or str(error)
    return states, reasons


def _beside(job: Callable[[], T]) -> Callable[[], T]:
    """Begins a job in a thread of its own; what is returned waits for what it gives, or raises."""
    done: Future[T] = Future()

    def work() -> None:
        try:
            done.set_result(job())
        except BaseException as error:  # told to whoever waits
            done.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return done.result


def _missing(reason: str, path: Path, node: Node, param: str, graph: Graph) -> Problem:
    message = f"node '{node.name}', param '{param}': {reason}: {_shown(path, graph)}"
    return Problem(message, graph.where(node, "params", param))


def _shown(path: Path, graph: Graph) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)

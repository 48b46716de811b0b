"""Does it make sense? Names resolved, params validated, links typed, a DAG. All problems at once, with their places."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline_core.errors import (
    MAX_PROBLEMS,
    TOO_MANY,
    GraphError,
    Location,
    PluginError,
    Problem,
    did_you_mean,
    in_file_order,
    listing,
)
from pipeline_core.garbage import held
from pipeline_core.operation import Input, Operation, a_kind, show_kind
from pipeline_core.plugins import Catalogue
from pipeline_core.schema import Checker, checker, plain, show
from pipeline_core.spec import CachePolicy, NodeSpec, Spec, expand_home, given_params, references, substitute

if TYPE_CHECKING:
    import networkx

    Network = networkx.DiGraph[str]  # generic in the type stubs only

MAX_COMPARISONS = 20_000
"""Names compared in search of the nearest, over a whole file."""


class Link(NamedTuple):
    """One output of a node, as an input refers to it; `output` is its position."""

    node: str
    output: int = 0


@dataclass(slots=True)
class Node:
    """One use of an operation, checked. `params` are canonical and complete; paths in them are absolute.

    `place` is where the spec has it: ("nodes", name), or ("outputs", name) for the step that encodes an output.
    """

    name: str
    operation: Operation
    links: dict[str, tuple[Link, ...]]
    params: dict[str, Any]
    place: tuple[str, ...]
    cache: CachePolicy | None = None
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """An output of the pipeline: the link it shows and, where it is saved, the encoding node and the path."""

    name: str
    link: Link
    path: Path | None = None
    encoder: str | None = None


@dataclass
class Graph:
    """A pipeline that makes sense. `order` is topological; the encoding nodes come last."""

    spec: Spec
    catalogue: Catalogue
    params: dict[str, Any]
    nodes: dict[str, Node]
    targets: dict[str, Target]
    order: tuple[str, ...]
    warnings: list[Problem] = field(default_factory=list)

    @cached_property
    def network(self) -> Network:
        """Nodes and links as networkx has them, with all its algorithms for those who ask about the graph."""
        return _network(self.nodes)

    def where(self, node: Node, *path: str) -> Location | None:
        """The place of a node, or of something in it, in the pipeline file."""
        return self.spec.where(*node.place, *path, key=not path)


@held()
def build(
    spec: Spec,
    catalogue: Catalogue,
    params: Mapping[str, Any] | None = None,
    *,
    paths: Mapping[str, str | Path] | None = None,
    known: Sequence[Problem] = (),
) -> Graph:
    """The graph of a spec. GraphError with every problem, those `known` from reading the file among them.

    `params` are the pipeline's, given by the caller; `paths` say where to save outputs, against the file.
    """
    return _Builder(spec, catalogue, params or {}, paths or {}, known).build()


class _Builder:
    def __init__(
        self,
        spec: Spec,
        catalogue: Catalogue,
        params: Mapping[str, Any],
        paths: Mapping[str, str | Path],
        known: Sequence[Problem],
    ) -> None:
        self.spec, self.catalogue, self.paths = spec, catalogue, paths
        self.params, problems = given_params(spec, params)
        self.problems = [*known, *problems]
        self.warnings: list[Problem] = []
        self.nodes: dict[str, Node] = {}
        self.found: dict[str, _Facts | PluginError] = {}
        self.encoders: dict[str, dict[str, list[Operation]]] = {}
        """By kind and suffix."""
        self.encoding: dict[str, _Facts] = {}
        """Of encoders by name, without their format."""
        self.comparisons = 0

    def problem(self, message: str, *place: str, key: bool = False) -> None:
        if len(self.problems) >= MAX_PROBLEMS:
            raise GraphError(problems=[*self.problems, TOO_MANY])
        self.problems.append(Problem(message, self.spec.where(*place, key=key)))

    def near(self, name: str, names: Collection[str]) -> str:
        """`. Did you mean ...?`, as long as that is cheap: thousands of bad links to thousands of nodes are not."""
        self.comparisons += len(names)
        return did_you_mean(name, names) if self.comparisons <= MAX_COMPARISONS else ""

    def build(self) -> Graph:
        for name, node in self.spec.nodes.items():
            self.node(name, node)
        order = self.in_order()
        self.kinds(order)
        targets = self.targets()
        if self.problems:
            raise GraphError(problems=self.problems)
        self.unused(targets)
        encoders = [target.encoder for target in targets.values() if target.encoder]
        return Graph(
            self.spec, self.catalogue, self.params, self.nodes, targets, (*order, *encoders),
            in_file_order(self.warnings),
        )  # fmt: skip

    # --- nodes ---

    def facts(self, name: str) -> _Facts | PluginError:
        """What is known of an operation by name; the error where there is none."""
        if name not in self.found:
            try:
                self.found[name] = _facts(self.catalogue.find(name))
            except PluginError as error:
                self.found[name] = error
        return self.found[name]

    def node(self, name: str, node: NodeSpec) -> None:
        facts = self.facts(node.op)
        if isinstance(facts, PluginError):
            self.problem(f"node '{name}': {facts}", "nodes", name, "op")
            self.without_operation(name, node)
            return
        links = self.links(name, node, facts)
        params = self.node_params(f"node '{name}'", node.params, facts, ("nodes", name), elsewhere=node.inputs)
        self.nodes[name] = Node(name, facts.operation, links, params, ("nodes", name), node.cache)

    def without_operation(self, name: str, node: NodeSpec) -> None:
        """What can be checked of a node whose operation is not known: where its links and references lead."""
        for given, value in node.inputs.items():
            self.links_to(value, name, given)
        for param, raw in node.params.items():
            self.reference(f"node '{name}', param '{param}'", raw, ("nodes", name, "params", param))

    def reference(self, owner: str, raw: Any, where: tuple[str, ...]) -> None:
        try:
            substitute(raw, self.params)
        except ValueError as error:
            if not self.lacks(raw):
                self.problem(f"{owner}: {error}", *where)

    def links(self, name: str, node: NodeSpec, facts: _Facts) -> dict[str, tuple[Link, ...]]:
        links: dict[str, tuple[Link, ...]] = {}
        for given, value in node.inputs.items():
            wanted = facts.inputs.get(given)
            found = self.links_to(value, name, given)
            if wanted is None:
                self.unknown_input(name, given, facts)
                continue
            if isinstance(value, list) and not wanted.many:
                self.problem(
                    f"node '{name}', input '{given}': takes one link, got a list of {len(value)}",
                    "nodes",
                    name,
                    "inputs",
                    given,
                )
                continue
            links[given] = found
        for wanted in facts.operation.inputs:
            if not wanted.optional and wanted.name not in (*node.inputs, *node.params):
                kinds = " or ".join(show_kind(kind).lower() for kind in wanted.kinds)
                message = f"node '{name}', input '{wanted.name}': is missing; '{facts.operation.name}' wants {a_kind(kinds)} there"
                self.problem(message, "nodes", name, key=True)
        # In the order of the signature, so that keys do not depend on the order in the file.
        return {wanted: links[wanted] for wanted in facts.inputs if wanted in links}

    def links_to(self, value: str | list[str], name: str, given: str) -> tuple[Link, ...]:
        """The links of one input; those that lead nowhere are reported and left out."""
        owner, where = f"node '{name}', input '{given}'", ("nodes", name, "inputs", given)
        found = [self.link(text, owner, where) for text in (value if isinstance(value, list) else (value,))]
        return tuple(link for link in found if link is not None)

    def unknown_input(self, name: str, given: str, facts: _Facts) -> None:
        where = ("nodes", name, "inputs", given)
        if given in facts.params:
            self.problem(
                f"node '{name}': '{given}' is a param of '{facts.operation.name}', not an input; write it under 'params'",
                *where,
                key=True,
            )
            return
        known = f"; it takes {listing(facts.inputs)}" if facts.inputs else "; it takes none"
        hint = self.near(given, facts.inputs) or known
        self.problem(f"node '{name}': '{facts.operation.name}' has no input '{given}'{hint}", *where, key=True)

    def link(self, text: str, owner: str, where: tuple[str, ...]) -> Link | None:
        """The link that a text names, for an input or an output; nodes may stand in any order in the file."""
        target, dot, output = text.partition(".")
        spec = self.spec.nodes.get(target)
        if spec is None:
            if ("nodes", target) not in self.spec.holes:
                hint = self.near(target, self.spec.nodes) or f"; the nodes are {listing(self.spec.nodes)}"
                self.problem(f"{owner}: no node '{target}'{hint}", *where)
            return None
        facts = self.facts(spec.op)
        if isinstance(facts, PluginError):  # which is reported where that node stands
            return None
        position = facts.operation.output(output if dot else None)
        if position is None:
            outputs = [part.name for part in facts.operation.outputs]
            hint = self.near(output, outputs) or f"; '{facts.operation.name}' has {listing(outputs)}"
            self.problem(f"{owner}: '{target}' has no output '{output}'{hint}", *where)
            return None
        return Link(target, position)

    def node_params(
        self,
        owner: str,
        given: Mapping[str, Any],
        facts: _Facts,
        place: tuple[str, ...],
        elsewhere: Collection[str] = (),
    ) -> dict[str, Any]:
        params = dict(facts.defaults)
        for name, raw in given.items():
            check = facts.params.get(name)
            where = (*place, "params", name)
            if check is None:
                self.unknown_param(owner, name, facts, where)
                self.reference(f"{owner}, param '{name}'", raw, where)
                continue
            if self.lacks(raw):
                continue
            try:
                value = check(substitute(raw, self.params) if isinstance(raw, (str, list, dict)) else raw)
                params[name] = _absolute(value, self.spec.folder) if check.paths else value
            except ValueError as error:
                self.problem(f"{owner}, param '{name}': {error}", *where)
        for name in facts.required:
            if name not in given and name not in elsewhere:
                help_text = next(p.help for p in facts.operation.params if p.name == name)
                told = f" ({help_text})" if help_text else ""
                self.problem(f"{owner}: '{facts.operation.name}' wants param '{name}'{told}", *place, key=True)
        return params

    def lacks(self, raw: Any) -> bool:
        """Whether the value refers to a pipeline param that has no value: that mistake is reported with the param."""
        known = {*self.spec.params, *(name for section, name in self.spec.holes if section == "params")}
        return any(name not in self.params and name in known for name in references(raw))

    def unknown_param(self, owner: str, name: str, facts: _Facts, where: tuple[str, ...]) -> None:
        if name in facts.inputs:
            self.problem(
                f"{owner}: '{name}' is an input of '{facts.operation.name}', not a param; write it under 'inputs'",
                *where,
                key=True,
            )
            return
        known = f"; it has {listing(facts.params)}" if facts.params else "; it has none"
        hint = self.near(name, facts.params) or known
        self.problem(f"{owner}: '{facts.operation.name}' has no param '{name}'{hint}", *where, key=True)

    # --- the network ---

    def in_order(self) -> tuple[str, ...]:
        """Every node after those that it reads, as far as no loop is in the way; loops are reported."""
        readers: dict[str, list[str]] = {name: [] for name in self.nodes}
        missing = dict.fromkeys(self.nodes, 0)
        for name, node in self.nodes.items():
            for links in node.links.values():
                for link in links:
                    readers[link.node].append(name)
                    missing[name] += 1
        order = [name for name, count in missing.items() if not count]
        for name in order:  # which grows meanwhile
            for reader in readers[name]:
                missing[reader] -= 1
                if not missing[reader]:
                    order.append(reader)
        if len(order) == len(missing):
            return tuple(order)
        return self.without_loops()

    def without_loops(self) -> tuple[str, ...]:
        import networkx

        network = _network(self.nodes)
        loops: set[str] = set()
        for component in networkx.strongly_connected_components(network):
            first = next(name for name in self.nodes if name in component) if len(component) > 1 else min(component)
            if len(component) > 1 or network.has_edge(first, first):
                names = _loop(network, component, first)
                shown = names if len(names) <= 12 else [*names[:6], "...", *names[-4:]]
                self.problem(f"nodes feed each other in a loop: {' -> '.join(shown)}", "nodes", first, key=True)
                loops |= component
        return tuple(networkx.topological_sort(network.subgraph(self.nodes.keys() - loops)))

    def kinds(self, order: Iterable[str]) -> None:
        """The kind of every output, and whether every link gives what its input wants."""
        for name in order:
            node = self.nodes[name]
            for wanted in node.operation.inputs:
                for link in node.links.get(wanted.name, ()):
                    kinds = self.nodes[link.node].kinds if link.node in self.nodes else ()
                    given = kinds[link.output] if kinds else ""
                    if given and given not in wanted.kinds:
                        self.wrong_kind(node, wanted, link, given)
            node.kinds = self.kinds_of(node)

    def kinds_of(self, node: Node) -> tuple[str, ...]:
        found = []
        for output in node.operation.outputs:
            links = node.links.get(output.like, ()) if output.like else ()
            source = self.nodes.get(links[0].node) if links else None
            found.append(source.kinds[links[0].output] if source and source.kinds else output.kind)
        return tuple(found)

    def wrong_kind(self, node: Node, wanted: Input, link: Link, given: str) -> None:
        kinds = " or ".join(a_kind(show_kind(kind).lower()) for kind in wanted.kinds)
        source = self.nodes[link.node].operation
        named = link.node if len(source.outputs) == 1 else f"{link.node}.{source.outputs[link.output].name}"
        message = f"node '{node.name}', input '{wanted.name}': wants {kinds}, but '{named}' gives {a_kind(show_kind(given).lower())}"
        others = [
            f"{link.node}.{o.name}"
            for o, kind in zip(source.outputs, self.nodes[link.node].kinds, strict=True)
            if kind in wanted.kinds
        ]
        self.problem(message + (f"; write '{others[0]}'?" if others else ""), "nodes", node.name, "inputs", wanted.name)

    # --- outputs ---

    def targets(self) -> dict[str, Target]:
        for name in self.paths:
            if name not in self.spec.outputs:
                hint = self.near(name, self.spec.outputs) or f"; the outputs are {listing(self.spec.outputs)}"
                self.problems.append(Problem(f"no output '{name}'{hint}"))
        if not self.spec.outputs and not self.problems:
            self.problem(
                "the pipeline has no outputs, so there is nothing to do; write 'outputs: {name: {from: node}}'",
                "outputs",
                key=True,
            )
        targets: dict[str, Target] = {}
        taken: dict[str, str] = {}
        for name, output in self.spec.outputs.items():
            link = self.link(output.from_, f"output '{name}'", ("outputs", name, "from"))
            path = self.output_path(name)
            if link is None:
                continue
            if path is None:
                targets[name] = Target(name, link)
                continue
            file = os.path.realpath(path)
            if file in taken:
                self.problem(
                    f"output '{name}': writes the same file as output '{taken[file]}': {path}", "outputs", name, "path"
                )
            taken[file] = name
            encoder = self.encoder(name, link, path)
            if encoder is not None:
                self.nodes[encoder.name] = encoder
                targets[name] = Target(name, link, path, encoder.name)
        return targets

    def output_path(self, name: str) -> Path | None:
        text = self.spec.outputs[name].path
        try:
            if name in self.paths:
                path, folder = str(self.paths[name]), Path()
            elif text is None or self.lacks(text):
                return None
            else:
                path, folder = substitute(text, self.params), self.spec.folder
            if not isinstance(path, str) or not path or path.endswith(("/", "\\")):
                raise ValueError(f"must name a file (got {show(path)})")
            whole: Path = _absolute(_PATH(path), folder)
            if os.path.isdir(whole):  # False, not an error, for a name that is too long
                raise ValueError(f"must name a file, but {whole} is a folder")
        except ValueError as error:
            self.problem(f"output '{name}', 'path': {error}", "outputs", name, "path")
            return None
        return whole

    def encoder(self, name: str, link: Link, path: Path) -> Node | None:
        """The node that turns an output into the bytes of a file, by the path's suffix."""
        kinds = self.nodes[link.node].kinds
        kind = kinds[link.output] if kinds else ""
        if not kind:
            return None
        where = ("outputs", name, "path")
        known = self.encoders.get(kind) or self.encoders.setdefault(kind, self.catalogue.encoders(kind))
        suffix = PurePosixPath(path.name).suffix.lower().removeprefix(".")
        offered = known.get(suffix, [])
        if not offered:
            what = a_kind(show_kind(kind).lower())
            formats = f"; known for {what}: {listing(sorted(known), 30)}" if known else f"; no plugin saves {what}"
            shown = f"as '.{suffix}'" if suffix else "without a suffix"
            self.problem(f"output '{name}': can't save {what} {shown}{self.near(suffix, known) or formats}", *where)
            return None
        if len(offered) > 1:
            names = listing(f"{operation.plugin}.{operation.name}" for operation in offered)
            self.problem(
                f"output '{name}': two plugins save {a_kind(show_kind(kind).lower())} as '.{suffix}': {names}", *where
            )
            return None
        encoder = offered[0]
        who = f"{encoder.plugin}.{encoder.name}"
        facts = self.encoding.get(who) or self.encoding.setdefault(who, _without(_facts(encoder), "format"))
        given = {key: value for key, value in self.spec.outputs[name].params.items() if key != "format"}
        if len(given) < len(self.spec.outputs[name].params):
            self.problem(
                f"output '{name}': the format comes from the path's suffix",
                "outputs",
                name,
                "params",
                "format",
                key=True,
            )
        params = self.node_params(f"output '{name}'", given, facts, ("outputs", name))
        params["format"] = suffix
        wired = next(part.name for part in encoder.inputs if not part.optional)
        return Node(f"{name}.{suffix}", encoder, {wired: (link,)}, params, ("outputs", name), None, ("File",))

    def unused(self, targets: Mapping[str, Target]) -> None:
        needed = set(needed_by([target.link.node for target in targets.values()], self.nodes))
        for name in self.spec.nodes:
            if name not in needed:
                place = self.spec.where("nodes", name, key=True)
                self.warnings.append(Problem(f"node '{name}' is not used by any output", place, warning=True))


def _network(nodes: Mapping[str, Node]) -> Network:
    import networkx  # here, since that takes longer than most graphs

    network: Network = networkx.DiGraph()
    network.add_nodes_from(nodes)
    network.add_edges_from(
        (link.node, name) for name, node in nodes.items() for links in node.links.values() for link in links
    )
    return network


def _loop(network: Network, component: Collection[str], first: str) -> list[str]:
    """A shortest loop through `first`, in the way of the data: first, ..., first."""
    before: dict[str, str] = {}
    waiting = deque([first])
    while waiting:
        name = waiting.popleft()
        for reader in network.successors(name):
            if reader == first:
                names = [first]
                while name != first:
                    names.append(name)
                    name = before[name]
                return [first, *reversed(names)]
            if reader in component and reader not in before:
                before[reader] = name
                waiting.append(reader)
    raise AssertionError("a strongly connected component has a loop through each of its nodes")


def needed_by(names: Iterable[str], nodes: Mapping[str, Node]) -> dict[str, None]:
    """These nodes and everything they need, in no particular order."""
    needed: dict[str, None] = {}
    stack = list(names)
    while stack:
        name = stack.pop()
        if name not in needed:
            needed[name] = None
            stack += [link.node for links in nodes[name].links.values() for link in links]
    return needed


@dataclass(frozen=True)
class _Facts:
    """An operation with what checking its nodes needs, made once per operation."""

    operation: Operation
    inputs: dict[str, Input]
    params: dict[str, Checker]
    defaults: dict[str, Any]
    required: tuple[str, ...]


def _facts(operation: Operation) -> _Facts:
    checks = {param.name: checker(param.schema) for param in operation.params}
    return _Facts(
        operation,
        {wanted.name: wanted for wanted in operation.inputs},
        checks,
        {p.name: checks[p.name](plain(p.default)) for p in operation.params if not p.required},
        tuple(p.name for p in operation.params if p.required),
    )


def _without(facts: _Facts, name: str) -> _Facts:
    params = {key: check for key, check in facts.params.items() if key != name}
    defaults = {key: value for key, value in facts.defaults.items() if key != name}
    return _Facts(facts.operation, facts.inputs, params, defaults, tuple(n for n in facts.required if n != name))


def _absolute(value: Any, folder: Path) -> Any:
    """Every path in a value, taken from the pipeline file's folder."""
    if isinstance(value, Path):
        return Path.cwd() / folder / expand_home(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_absolute(part, folder) for part in value)
    if isinstance(value, dict):
        return {key: _absolute(part, folder) for key, part in value.items()}
    return value


_PATH = checker({"type": "string", "format": "path"})

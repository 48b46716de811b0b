"""pipeline graph"""

from __future__ import annotations

from pathlib import Path

import click

from pipeline_core.cli.drawing import Arrow, Box, Role, Sheet, draw
from pipeline_core.cli.options import FILE, PARAM, TRACEBACK, load
from pipeline_core.errors import GraphError, PipelineError
from pipeline_core.graph import Graph, needed_by
from pipeline_core.schema import show


@click.command("graph")
@FILE
@PARAM
@click.option(
    "-o", "--output", "path", type=click.Path(), help="Write .svg, .png, .mmd or .dot; default: print Mermaid."
)
@click.option("--sizes/--no-sizes", default=True, help="Infer sizes and show them (imports the plugins used).")
@TRACEBACK
def command(file: str, params: tuple[str, ...], path: str | None, sizes: bool, traceback: bool) -> None:
    """Draw a pipeline FILE: its nodes, links and outputs, with image sizes."""
    suffix = Path(path).suffix.lower() if path else ".mmd"
    if suffix not in (".svg", ".png", ".mmd", ".dot"):
        raise click.UsageError(f"can't draw '{suffix or path}'; the output must end in .svg, .png, .mmd or .dot")
    graph = load(file, params)
    content = draw(sheet(graph, _details(graph) if sizes else {}), suffix)
    if path is None:
        click.echo(content.decode())
        return
    from pipeline_core.folders import write_atomically

    try:
        write_atomically(Path(path), content)
    except OSError as error:
        raise PipelineError(f"can't write {path}: {error.strerror}") from error
    click.echo(f"{path} ({len(graph.spec.nodes)} nodes)")


def sheet(graph: Graph, details: dict[str, tuple[str, ...]]) -> Sheet:
    """The picture of a graph: a box per node and per output, an arrow per link."""
    used = needed_by([target.link.node for target in graph.targets.values()], graph.nodes)
    boxes, arrows = [], []
    for name in graph.spec.nodes:
        node = graph.nodes[name]
        role: Role = "unused" if name not in used else "step" if node.links else "source"
        given = graph.spec.nodes[name].params
        params = tuple(f"{key}: {show(value, 24)}" for key, value in list(given.items())[:3])
        boxes.append(Box(name, node.operation.name, params + details.get(name, ()), role, node.operation.plugin))
        for wanted, links in node.links.items():
            for link in links:
                arrows.append(Arrow(link.node, name, _label(graph, link.node, link.output, wanted)))
    for name, target in graph.targets.items():
        shown = (target.path.name,) if target.path else ()
        boxes.append(Box(name, "output", shown, "output", "", id=f"output {name}"))
        arrows.append(
            Arrow(target.link.node, f"output {name}", _label(graph, target.link.node, target.link.output, ""))
        )
    title = Path(graph.spec.file).name if graph.spec.file else "pipeline"
    return Sheet(title, tuple(boxes), tuple(arrows))


def _label(graph: Graph, source: str, output: int, wanted: str) -> str:
    outputs = graph.nodes[source].operation.outputs
    taken = (
        f"{outputs[output].name} → "
        if len(outputs) > 1 and wanted
        else outputs[output].name
        if len(outputs) > 1
        else ""
    )
    return taken + wanted


def _details(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Sizes by node; none where they can't be inferred, since a picture of a wrong pipeline is wanted too."""
    from pipeline_core.infer import infer

    try:
        facts = infer(graph, [name for name in graph.order if name in graph.spec.nodes])
    except GraphError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        return {}
    return {name: tuple(str(fact) for fact in found if fact is not None) for name, found in facts.items()}

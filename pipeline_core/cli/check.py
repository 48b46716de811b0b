"""pipeline check"""

from __future__ import annotations

import click

from pipeline_core.cli.options import FILE, PARAM, TRACEBACK, load, say_warnings
from pipeline_core.cli.tables import count


@click.command("check")
@FILE
@PARAM
@click.option("--deep", is_flag=True, help="Also infer sizes, channels, colour and alpha (imports the plugins used).")
@TRACEBACK
def command(file: str, params: tuple[str, ...], deep: bool, traceback: bool) -> None:
    """Say everything that is wrong with a pipeline FILE.

    Names, params, links and loops are checked without importing a plugin. Exit code 0 if the file is good, 2 if not.
    """
    graph = load(file, params)
    if deep:
        from pipeline_core.plan import make_plan

        make_plan(graph)
    say_warnings(graph, lambda line: click.echo(line, err=True))
    click.echo(f"{file}: good ({count(len(graph.spec.nodes), 'node')}, {count(len(graph.spec.outputs), 'output')})")

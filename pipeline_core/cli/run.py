"""pipeline run"""

from __future__ import annotations

import json
import sys

import click

from pipeline_core.cli.options import DEVICE, FILE, ONLY, PARAM, TRACEBACK, load, say_warnings


@click.command("run")
@FILE
@PARAM
@click.option("-o", "--output", "paths", multiple=True, metavar="OUTPUT=PATH", help="Save an output elsewhere.")
@ONLY
@DEVICE
@click.option("--jobs", type=click.IntRange(1, 1024), help="Steps that run side by side (default: one per core).")
@click.option("--keep-going", is_flag=True, help="After a failure, finish what does not depend on it.")
@click.option("--json", "as_json", is_flag=True, help="Print every event as a line of JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@TRACEBACK
def command(
    file: str,
    params: tuple[str, ...],
    paths: tuple[str, ...],
    only: tuple[str, ...],
    device: str,
    jobs: int | None,
    keep_going: bool,
    as_json: bool,
    quiet: bool,
    traceback: bool,
) -> None:
    """Run a pipeline FILE and save its outputs.

    Relative paths in the file start from the file's folder, those on the command line from where you are.
    """
    graph = load(file, params, paths)
    if not as_json:
        say_warnings(graph, lambda line: click.echo(line, err=True))

    from pipeline_core.cli.display import JsonLines, Lines, Live, summary
    from pipeline_core.devices import choose
    from pipeline_core.plan import make_plan
    from pipeline_core.run import execute
    from pipeline_core.save import Writer

    plan = make_plan(graph, only=only, device=choose(device))
    display = JsonLines() if as_json else Lines(quiet=True) if quiet else Live(plan) if sys.stderr.isatty() else Lines()
    with display:
        result = execute(plan, listeners=[display], jobs=jobs, keep_going=keep_going, writer=Writer(plan))
    if as_json:
        outputs = {name: str(path) for name, path in result.saved.items()}
        click.echo(json.dumps({"event": "Outputs", "outputs": outputs}))
    elif not quiet:
        click.echo(summary(plan, result))
    for failure in result.failures:
        click.echo(str(failure), err=True)
    if result.failures:
        raise click.exceptions.Exit(1)

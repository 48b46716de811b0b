"""pipeline info"""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline_core.cli.options import TRACEBACK


@click.command("info")
@click.argument("picture", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@TRACEBACK
def command(picture: str, as_json: bool, traceback: bool) -> None:
    """Print how a PICTURE was made, as it says itself: pipeline, params, seeds, version."""
    from pipeline_core.errors import OperationError, PipelineError
    from pipeline_core.plugins import catalogue
    from pipeline_core.save import PROVENANCE

    offered = catalogue()
    load = offered.load(offered.find("load_image")).function
    assert load is not None
    try:
        image = load(path=Path(picture))
    except OperationError as error:
        raise PipelineError(f"{picture}: {error}") from error
    try:
        made = json.loads(image.meta[PROVENANCE])
    except (KeyError, ValueError):
        raise PipelineError(f"{picture} does not say how it was made") from None
    if as_json:
        click.echo(json.dumps(made, indent=2, ensure_ascii=False))
        return
    click.echo(f"{picture}: {image}")
    click.echo(f"made by   {made.get('software')}\ndigest    {made.get('digest')}")
    for name, value in made.get("params", {}).items():
        click.echo(f"param     {name} = {value}")
    for name, node in made.get("nodes", {}).items():
        params = ", ".join(f"{key}={value}" for key, value in node.get("params", {}).items())
        click.echo(f"node      {name}: {node.get('operation')}({params})")

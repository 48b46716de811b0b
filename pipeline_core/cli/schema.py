"""pipeline schema"""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline_core.cli.options import TRACEBACK
from pipeline_core.errors import PipelineError


@click.command("schema")
@click.option("-o", "--output", "path", type=click.Path(), help="Write it to this file; default: print it.")
@TRACEBACK
def command(path: str | None, traceback: bool) -> None:
    """Print the JSON Schema of pipeline files with all installed operations.

    An editor that knows the YAML language server (VS Code with its YAML extension) completes and checks a pipeline
    file that begins with the line '# yaml-language-server: $schema=pipeline.schema.json'.
    """
    from pipeline_core.file_schema import file_schema
    from pipeline_core.folders import write_atomically
    from pipeline_core.plugins import catalogue

    offered = catalogue()
    for plugin in offered.broken:
        click.echo(f"warning: plugin '{plugin.name}' did not load: {plugin.problem}", err=True)
    text = json.dumps(file_schema(offered), indent=2, ensure_ascii=False) + "\n"
    if path is None:
        click.echo(text, nl=False)
        return
    try:
        write_atomically(Path(path), text.encode())
    except OSError as error:
        raise PipelineError(f"can't write {path}: {error.strerror}") from error
    click.echo(f"{path} ({len(list(offered))} operations)")

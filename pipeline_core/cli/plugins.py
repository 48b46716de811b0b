"""pipeline plugins"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import click

from pipeline_core.cli.options import TRACEBACK
from pipeline_core.cli.tables import table
from pipeline_core.errors import listing
from pipeline_core.installed import Plugin
from pipeline_core.kernels import library
from pipeline_core.plugins import Catalogue, catalogue


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@TRACEBACK
def command(as_json: bool, traceback: bool) -> None:
    """List the installed plugins: where they come from, how many operations they offer, why one did not load.

    Kernels are hot loops in C; a plugin whose kernels are not built, for want of a compiler, is right and slower.
    """
    offered = catalogue()
    if as_json:
        found = {"plugins": [_as_json(plugin) for plugin in offered.plugins], "conflicts": offered.conflicts}
        click.echo(json.dumps(found, indent=2))
        return
    if not offered.plugins:
        click.echo("no plugins are installed")
        return
    rows = [
        [plugin.name, plugin.distribution, plugin.version, _origin(plugin), _offers(plugin), _kernels(plugin) or ""]
        for plugin in offered.plugins
    ]
    click.echo(table(["plugin", "distribution", "version", "origin", "operations", "kernels"], rows))
    for line in trouble(offered):
        click.echo(line)


def trouble(offered: Catalogue) -> list[str]:
    """A line for each plugin that did not load and each name that two plugins offer."""
    lines = [
        f"plugin '{plugin.name}' did not load: {plugin.problem} (its operations are not available)"
        for plugin in offered.broken
    ]
    for name, plugins in sorted(offered.conflicts.items()):
        choices = " or ".join(f"'{plugin}.{name}'" for plugin in plugins)
        lines.append(f"operation '{name}' is offered by {len(plugins)} plugins: {listing(plugins)}. Write {choices}")
    return lines


def _origin(plugin: Plugin) -> str:
    return "editable" if plugin.source else "installed"


def _offers(plugin: Plugin) -> str:
    return "did not load" if plugin.problem else str(len(plugin.operations))


def _kernels(plugin: Plugin) -> str | None:
    """Whether they are built; None where it has none."""
    found = importlib.util.find_spec(plugin.name.partition(".")[0])  # imports nothing
    source = Path(found.origin).with_name("kernels.c") if found is not None and found.origin else None
    if source is None or not source.is_file():
        return None
    return "built" if library(source).is_file() else "not built"


def _as_json(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "origin": _origin(plugin),
        "operations": list(plugin.operations),
        "kernels": _kernels(plugin),
        "problem": plugin.problem or None,
    }

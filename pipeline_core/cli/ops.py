"""pipeline ops"""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import click

from pipeline_core.cli.options import TRACEBACK
from pipeline_core.cli.plugins import trouble
from pipeline_core.examples import example_node, example_yaml
from pipeline_core.operation import Operation, Param
from pipeline_core.pages import default_text, input_text, output_text
from pipeline_core.plugins import catalogue
from pipeline_core.schema import describe
from pipeline_core.search import Found
from pipeline_core.search import search as look_for

WIDTH = 100


def _complete(context: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return sorted(operation.name for operation in catalogue() if operation.name.startswith(incomplete))


@click.command("ops")
@click.argument("name", required=False, shell_complete=_complete)
@click.option(
    "--search",
    metavar="WORDS",
    help="Only those that answer to these words by name, alias (Nuke's, GIMP's, ...) or summary, best first.",
)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@TRACEBACK
def command(name: str | None, search: str | None, as_json: bool, traceback: bool) -> None:
    """List the operations by plugin; with a NAME, show all that there is to know about one."""
    if name and search is not None:
        raise click.UsageError("give a NAME or --search, not both")
    offered = catalogue()
    if name:
        operation = offered.find(name)
        click.echo(json.dumps(as_plain(operation), indent=2) if as_json else help_text(operation))
        return
    found = [Found(operation) for operation in offered] if search is None else look_for(offered, search)
    if as_json:
        lost = {plugin.name: plugin.problem for plugin in offered.broken}
        listed = {"operations": [as_plain(one.operation) for one in found], "broken": lost}
        click.echo(json.dumps(listed, indent=2))
        return
    if not found:
        click.echo(_nothing(search))
    elif search is None:
        click.echo(listing(operation for operation in offered))
    else:
        click.echo(ranked(found))
    for line in trouble(offered):
        click.echo(line, err=True)


def _nothing(search: str | None) -> str:
    return f"no operation has '{search}' in its name, summary or aliases" if search else "no operations are installed"


def ranked(found: Sequence[Found]) -> str:
    """Names and summaries in this order; and the alias, where an operation was found by one."""
    width = max(len(one.operation.name) for one in found)
    lines = [f"{one.operation.name:<{width}}  {one.operation.summary}" for one in found]
    return "\n".join(
        f"{line} (also known as {one.alias})" if one.alias else line for line, one in zip(lines, found, strict=True)
    )


def listing(operations: Iterable[Operation]) -> str:
    """Names and summaries by plugin."""
    by_plugin: dict[str, list[Operation]] = {}
    for operation in operations:
        by_plugin.setdefault(operation.plugin, []).append(operation)
    width = max(len(operation.name) for found in by_plugin.values() for operation in found)
    blocks = []
    for plugin, found in sorted(by_plugin.items()):
        lines = [f"  {op.name:<{width}}  {op.summary}" for op in sorted(found, key=lambda op: op.name)]
        blocks.append("\n".join([plugin, *lines]))
    return "\n\n".join(blocks)


def help_text(operation: Operation) -> str:
    """Everything about one operation, for the terminal."""
    blocks = [f"{operation.name}  ({operation.plugin} {operation.plugin_version}, version {operation.version})"]
    if operation.aliases:
        blocks[0] += f"\nalso known as {', '.join(operation.aliases)}"
    blocks.append(operation.doc)
    blocks += _block("inputs", [_line(part.name, input_text(part)) for part in operation.inputs])
    blocks += _block("params", [_param(param) for param in operation.params])
    blocks += _block("outputs", [_line(part.name, output_text(part)) for part in operation.outputs])
    blocks += _block("example", [textwrap.indent(example_yaml(operation), "  ")])
    return "\n\n".join(blocks)


def _block(title: str, lines: list[str]) -> list[str]:
    return ["\n".join([title, *lines])] if lines else []


def _line(name: str, text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=f"  {name:<16} ", subsequent_indent=" " * 19)


def _param(param: Param) -> str:
    default = default_text(param) if param.required else f"default {default_text(param)}"
    lines = [_line(param.name, f"{describe(param.schema)}; {default}")]
    if param.help:
        lines.append(textwrap.fill(param.help, WIDTH, initial_indent=" " * 19, subsequent_indent=" " * 19))
    return "\n".join(lines)


def as_plain(operation: Operation) -> dict[str, Any]:
    """An operation as JSON for other programs."""
    return {
        "name": operation.name,
        "plugin": operation.plugin,
        "plugin_version": operation.plugin_version,
        "version": operation.version,
        "summary": operation.summary,
        "help": operation.doc,
        "aliases": list(operation.aliases),
        "inputs": [dataclasses.asdict(part) for part in operation.inputs],
        "params": [{**dataclasses.asdict(param), "type": describe(param.schema)} for param in operation.params],
        "outputs": [dataclasses.asdict(part) for part in operation.outputs],
        "example": example_node(operation),
    }

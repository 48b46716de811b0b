"""What several commands take."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click

from pipeline_core.document import read_value
from pipeline_core.errors import PipelineError
from pipeline_core.graph import Graph
from pipeline_core.spec import Spec, read_spec

FILE = click.argument("file", type=click.Path())
PARAM = click.option(
    "-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Set a param of the pipeline."
)
ONLY = click.option("--only", multiple=True, metavar="OUTPUT", help="Make only this output (repeat for more).")
TRACEBACK = click.option("--traceback", is_flag=True, help="Show where in the code an error arose.")
DEVICE = click.option(
    "--device", default="auto", metavar="DEVICE", show_default=True, help="auto, cpu, cuda, cuda:N or mps."
)


def load(file: str, params: Iterable[str], paths: Iterable[str] = ()) -> Graph:
    """The graph of a file with `-p` and `-o` as given; everything wrong with it at once."""
    from pipeline_core.graph import build
    from pipeline_core.plugins import catalogue

    spec, problems = read_spec(file)
    if spec is None:
        raise PipelineError(problems=problems)
    given = pairs(params, "-p NAME=VALUE")
    return build(spec, catalogue(), read_params(spec, given), paths=pairs(paths, "-o OUTPUT=PATH"), known=problems)


def pairs(texts: Iterable[str], form: str) -> dict[str, str]:
    """`NAME=VALUE` texts as a mapping; a usage error for anything else."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"'{text}' is not {form}")
        found[name] = value
    return found


def read_params(spec: Spec, given: dict[str, str]) -> dict[str, Any]:
    """Values from the command line by the type of their param: text and paths as they are, all else as YAML reads it."""
    values: dict[str, Any] = {}
    for name, text in given.items():
        kind = spec.params[name].type if name in spec.params else "str"
        as_written = kind in ("str", "path") or (kind == "color" and not text.startswith("["))
        values[name] = text if as_written else read_value(text)
    return values


def say_warnings(graph: Graph, echo: Callable[[str], None]) -> None:
    for warning in graph.warnings:
        echo(str(warning))

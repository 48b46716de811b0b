"""What several commands take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipeline_core.cache import Cache
    from pipeline_core.graph import Graph
    from pipeline_core.spec import Spec

FILE = click.argument("file", type=click.Path())
PARAM = click.option(
    "-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Set a param of the pipeline."
)
ONLY = click.option("--only", multiple=True, metavar="OUTPUT", help="Make only this output (repeat for more).")
TRACEBACK = click.option("--traceback", is_flag=True, help="Show where in the code an error arose.")
DEVICE = click.option(
    "--device", default="auto", metavar="DEVICE", show_default=True, help="auto, cpu, cuda, cuda:N or mps."
)
CACHE = click.option(
    "--cache", "cache_dir", type=click.Path(), metavar="DIR", help="Where results are kept (else $PIPELINE_CACHE)."
)
COMPILE = click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="Have torch compile consecutive nodes on an accelerator (plain torch on the CPU too); takes seconds at first.",
)
NO_CACHE = click.option("--no-cache", is_flag=True, help="Neither look for kept results nor keep any.")


def cache_folder(cache_dir: str | None) -> Path:
    """The folder that `--cache` names, else the usual one."""
    from pipeline_core import folders

    return Path(cache_dir).absolute() if cache_dir else folders.cache_folder()


def open_cache(cache_dir: str | None, *, limit: int | None = None) -> Cache:
    """The cache of a command; its warnings go to stderr."""
    from pipeline_core.cache import Cache

    return Cache.open(
        cache_folder(cache_dir), memory=0, limit=limit, warn=lambda message: click.echo(f"warning: {message}", err=True)
    )


def parse_size(text: str) -> int:
    """`500M`, `20GiB`, `1e9`: bytes, in powers of 1024."""
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?)(?:i?b)?\s*", text.lower())
    try:
        assert match is not None
        return int(float(match.group(1)) * 1024 ** " kmgt".index(match.group(2) or " "))
    except (AssertionError, ValueError):
        raise click.BadParameter(f"'{text}' is not a size like 500M or 20G") from None


def parse_age(text: str) -> float:
    """`90s`, `30m`, `12h`, `7d`, `4w`: seconds."""
    match = re.fullmatch(r"\s*([0-9.]+)\s*([smhdw])\s*", text.lower())
    try:
        assert match is not None
        return float(match.group(1)) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[match.group(2)]
    except (AssertionError, ValueError):
        raise click.BadParameter(f"'{text}' is not an age like 30m, 12h or 7d") from None


def load(file: str, params: Iterable[str], paths: Iterable[str] = ()) -> Graph:
    """The graph of a file with `-p` and `-o` as given; everything wrong with it at once."""
    from pipeline_core.errors import PipelineError
    from pipeline_core.graph import build
    from pipeline_core.plugins import catalogue
    from pipeline_core.spec import read_spec

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
    from pipeline_core.document import read_value

    values: dict[str, Any] = {}
    for name, text in given.items():
        kind = spec.params[name].type if name in spec.params else "str"
        as_written = kind in ("str", "path") or (kind == "color" and not text.startswith("["))
        values[name] = text if as_written else read_value(text)
    return values


def say_warnings(graph: Graph, echo: Callable[[str], None]) -> None:
    for warning in graph.warnings:
        echo(str(warning))

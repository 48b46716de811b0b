"""pipeline run"""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace
from typing import Any

import click

from pipeline_core.cli.options import (
    CACHE,
    COMPILE,
    DEVICE,
    FILE,
    NO_CACHE,
    ONLY,
    PARAM,
    TRACEBACK,
    cache_folder,
    load,
    open_cache,
    parse_size,
    say_warnings,
)


@click.command("run")
@FILE
@PARAM
@click.option("-o", "--output", "paths", multiple=True, metavar="OUTPUT=PATH", help="Save an output elsewhere.")
@ONLY
@DEVICE
@click.option("--jobs", type=click.IntRange(1, 1024), help="Steps that run side by side (default: one per core).")
@click.option("--keep-going", is_flag=True, help="After a failure, finish what does not depend on it.")
@CACHE
@NO_CACHE
@click.option("--cache-limit", metavar="SIZE", help="How large the cache may grow, e.g. 20G; remembered.")
@click.option("--no-strips", is_flag=True, help="Carry out every node on whole pictures, not a few rows at a time.")
@COMPILE
@click.option(
    "--profile", is_flag=True, help="Show at the end what every node took: time, bytes, group, copies, cache."
)
@click.option("--no-metadata", is_flag=True, help="Leave out of saved pictures how they were made.")
@click.option("--json", "as_json", is_flag=True, help="Print every event as a line of JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@TRACEBACK
def command(**given: Any) -> None:
    """Run a pipeline FILE and save its outputs.

    Relative paths in the file start from the file's folder, those on the command line from where you are. What was
    computed before is not computed again: results are kept on disk by content.
    """
    asked = SimpleNamespace(**given)
    key = None if asked.no_cache else _stamp_key(asked)
    outputs = _still_there(asked, key) if key is not None else None
    if outputs is None:
        _run(asked, key)
    elif asked.as_json:
        click.echo(json.dumps({"event": "Outputs", "outputs": outputs, "up_to_date": True}))
    elif not asked.quiet:
        for name, path in outputs.items():
            click.echo(f"{name} -> {path}")
        click.echo(f"{asked.file}: up to date")


def _stamp_key(asked: SimpleNamespace) -> str | None:
    from pipeline_core.uptodate import stamp_key

    options = {
        "params": sorted(asked.params),
        "paths": sorted(asked.paths),
        "only": sorted(asked.only),
        "metadata": not asked.no_metadata,
    }
    if asked.params or asked.paths:
        options["folder"] = os.getcwd()  # relative paths on the command line start from here
    return stamp_key(asked.file, options)


def _still_there(asked: SimpleNamespace, key: str) -> dict[str, str] | None:
    """The outputs, if neither they nor anything that they are made of changed; answered without building the graph."""
    from pipeline_core.cache.record import read_stamp
    from pipeline_core.uptodate import up_to_date

    stamp = read_stamp(cache_folder(asked.cache_dir), key)
    return up_to_date(stamp, asked.file) if stamp is not None else None


def _run(asked: SimpleNamespace, key: str | None) -> None:
    graph = load(asked.file, asked.params, asked.paths)
    if not asked.as_json and not asked.quiet:
        say_warnings(graph, lambda line: click.echo(line, err=True))

    from pipeline_core.api import run_plan
    from pipeline_core.buffers import FEW, pool
    from pipeline_core.cli.display import JsonLines, Lines, Live, Profile, summary
    from pipeline_core.devices import choose
    from pipeline_core.garbage import at_work
    from pipeline_core.plan import make_plan
    from pipeline_core.uptodate import make_stamp

    pool.idle = FEW
    plan = make_plan(graph, only=asked.only, device=choose(asked.device), values=False)
    limit = parse_size(asked.cache_limit) if asked.cache_limit else None
    cache = None if asked.no_cache else open_cache(asked.cache_dir, limit=limit)
    # Without it everything ends at the first failure.
    plain = Lines(quiet=asked.quiet, skips=asked.keep_going)
    display = JsonLines() if asked.as_json else Live(plan) if sys.stderr.isatty() and not asked.quiet else plain
    profile = Profile() if asked.profile else None
    try:
        with display, at_work():
            result = run_plan(
                plan,
                cache=cache,
                jobs=asked.jobs,
                keep_going=asked.keep_going,
                metadata=not asked.no_metadata,
                strips=not asked.no_strips,
                compiled=asked.compiled,
                listeners=[display, *([profile] if profile else [])],
            )
        stamp = make_stamp(plan, result) if key is not None else None
        if cache is not None and key is not None and stamp is not None:
            cache.put_stamp(key, stamp)
    finally:
        if cache is not None:
            cache.close()
    if asked.as_json:
        outputs = {name: str(path) for name, path in result.saved.items()}
        click.echo(json.dumps({"event": "Outputs", "outputs": outputs}))
    elif not asked.quiet:
        click.echo(summary(plan, result, profile))
    for failure in result.failures:
        click.echo(str(failure), err=True)
    if result.failures:
        raise click.exceptions.Exit(1)

"""pipeline run"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from pipeline_core.cli.options import (
    CACHE,
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
@click.option("--no-metadata", is_flag=True, help="Leave out of saved pictures how they were made.")
@click.option("--json", "as_json", is_flag=True, help="Print every event as a line of JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@TRACEBACK
def command(
    file: str,
    params: tuple[str, ...],
    paths: tuple[str, ...],
    only: tuple[str, ...],
    cache_dir: str | None,
    no_cache: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Run a pipeline FILE and save its outputs.

    Relative paths in the file start from the file's folder, those on the command line from where you are. What was
    computed before is not computed again: results are kept on disk by content.
    """
    from pipeline_core.uptodate import stamp_key

    given = {
        "params": sorted(params),
        "paths": sorted(paths),
        "only": sorted(only),
        "metadata": not options["no_metadata"],
    }
    if params or paths:
        given["folder"] = _here()  # paths on the command line start from here
    key = None if no_cache else stamp_key(file, given)
    if key is not None and _say_up_to_date(key, file, cache_dir, as_json, quiet):
        return
    _run(file, params, paths, only, cache_dir, no_cache, as_json, quiet, key, options)


def _here() -> str:
    import os

    return os.getcwd()


def _say_up_to_date(key: str, file: str, cache_dir: str | None, as_json: bool, quiet: bool) -> bool:
    from pipeline_core.cache.record import read_stamp
    from pipeline_core.uptodate import up_to_date

    stamp = read_stamp(cache_folder(cache_dir), key)
    outputs = up_to_date(stamp, file) if stamp is not None else None
    if outputs is None:
        return False
    if as_json:
        click.echo(json.dumps({"event": "Outputs", "outputs": outputs, "up_to_date": True}))
    elif not quiet:
        for name, path in outputs.items():
            click.echo(f"{name} -> {path}")
        click.echo(f"{file}: up to date")
    return True


def _run(
    file: str,
    params: tuple[str, ...],
    paths: tuple[str, ...],
    only: tuple[str, ...],
    cache_dir: str | None,
    no_cache: bool,
    as_json: bool,
    quiet: bool,
    key: str | None,
    options: dict[str, Any],
) -> None:
    graph = load(file, params, paths)
    if not as_json and not quiet:
        say_warnings(graph, lambda line: click.echo(line, err=True))

    from pipeline_core.api import run_plan
    from pipeline_core.cli.display import JsonLines, Lines, Live, summary
    from pipeline_core.devices import choose
    from pipeline_core.plan import make_plan
    from pipeline_core.uptodate import make_stamp

    plan = make_plan(graph, only=only, device=choose(options["device"]), values=False)
    limit = parse_size(options["cache_limit"]) if options["cache_limit"] else None
    cache = None if no_cache else open_cache(cache_dir, limit=limit)
    display = JsonLines() if as_json else Lines(quiet=True) if quiet else Live(plan) if sys.stderr.isatty() else Lines()
    try:
        with display:
            result = run_plan(
                plan,
                cache=cache,
                jobs=options["jobs"],
                keep_going=options["keep_going"],
                metadata=not options["no_metadata"],
                listeners=[display],
            )
        stamp = make_stamp(plan, result) if key is not None else None
        if cache is not None and key is not None and stamp is not None:
            cache.put_stamp(key, stamp)
    finally:
        if cache is not None:
            cache.close()
    if as_json:
        outputs = {name: str(path) for name, path in result.saved.items()}
        click.echo(json.dumps({"event": "Outputs", "outputs": outputs}))
    elif not quiet:
        click.echo(summary(plan, result))
    for failure in result.failures:
        click.echo(str(failure), err=True)
    if result.failures:
        raise click.exceptions.Exit(1)

"""pipeline cache"""

from __future__ import annotations

import json

import click

from pipeline_core.cli.options import CACHE, open_cache, parse_age, parse_size
from pipeline_core.cli.tables import seconds, size, table


@click.group("cache")
def command() -> None:
    """Look at the kept results, and look after them."""


@command.command("info")
@CACHE
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def info(cache_dir: str | None, as_json: bool) -> None:
    """Print where the cache is, its size, and what is in it by operation."""
    with open_cache(cache_dir) as cache:
        found = cache.info()
    if as_json:
        shown = {
            "folder": str(found.folder), "entries": found.entries, "bytes": found.nbytes, "limit": found.limit,
            "hits": found.hits, "misses": found.misses, "hit_rate": found.hit_rate, "seconds_saved": found.seconds_saved,
            "by_operation": {
                name: {"entries": count, "bytes": total, "seconds": took}
                for name, (count, total, took) in found.by_operation.items()
            },
        }  # fmt: skip
        click.echo(json.dumps(shown, indent=2))
        return
    click.echo(f"{found.folder}\n{found.entries} entries, {size(found.nbytes)} of {size(found.limit)}")
    click.echo(f"{found.hits} hits, {found.misses} misses ({found.hit_rate:.0%}), {seconds(found.seconds_saved)} saved")
    if found.by_operation:
        largest = sorted(found.by_operation.items(), key=lambda item: -item[1][1])
        rows = [[name, str(count), size(total), seconds(took)] for name, (count, total, took) in largest]
        click.echo(table(["operation", "entries", "bytes", "took"], rows, right={1, 2, 3}))


@command.command("verify")
@CACHE
def verify(cache_dir: str | None) -> None:
    """Read every entry and drop what is damaged. Exit code 1 if anything was."""
    with open_cache(cache_dir) as cache:
        found = cache.verify()
    click.echo(f"{found.entries} entries read, {size(found.nbytes)}, {len(found.damaged)} damaged")
    for entry in found.damaged:
        click.echo(f"  {entry} dropped; it will be computed again", err=True)
    if found.damaged:
        raise click.exceptions.Exit(1)


@command.command("prune")
@CACHE
@click.option("--to", metavar="SIZE", help="Shrink to this size, e.g. 5G (default: the cache's limit).")
@click.option("--older", metavar="AGE", help="Drop what was not used for so long, e.g. 30m, 12h, 7d.")
def prune(cache_dir: str | None, to: str | None, older: str | None) -> None:
    """Drop what is worth least: cheap to compute again for its bytes, and long not used."""
    with open_cache(cache_dir) as cache:
        found = cache.prune(to=parse_size(to) if to else None, older=parse_age(older) if older else None)
    click.echo(f"{found.entries} entries dropped, {size(found.bytes_freed)} freed")


@command.command("clear")
@CACHE
def clear(cache_dir: str | None) -> None:
    """Drop everything."""
    with open_cache(cache_dir) as cache:
        found = cache.clear()
    click.echo(f"{found.entries} entries dropped, {size(found.bytes_freed)} freed")

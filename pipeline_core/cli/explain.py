"""pipeline explain"""

from __future__ import annotations

import click

from pipeline_core.cli.options import CACHE, FILE, PARAM, TRACEBACK, load, open_cache


@click.command("explain")
@FILE
@click.argument("node")
@PARAM
@CACHE
@TRACEBACK
def command(file: str, node: str, params: tuple[str, ...], cache_dir: str | None, traceback: bool) -> None:
    """Say why a NODE of a pipeline FILE would run or not: every part of its key beside that of its last run."""
    from pipeline_core.errors import PipelineError, did_you_mean, listing
    from pipeline_core.explain import explain
    from pipeline_core.plan import make_plan

    plan = make_plan(load(file, params), with_facts=False)
    if node not in plan.index:
        raise PipelineError(
            f"no node '{node}' in the plan{did_you_mean(node, plan.index) or '; it has ' + listing(plan.index)}"
        )
    with open_cache(cache_dir) as cache:
        click.echo("\n".join(explain(plan, plan.steps[plan.index[node]], cache)))

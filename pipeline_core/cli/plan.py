"""pipeline plan"""

from __future__ import annotations

import json
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
    load,
    open_cache,
    say_warnings,
)
from pipeline_core.cli.tables import size, table
from pipeline_core.explain import Finding, findings
from pipeline_core.plan import Plan, Step


@click.command("plan")
@FILE
@PARAM
@ONLY
@DEVICE
@CACHE
@NO_CACHE
@COMPILE
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@TRACEBACK
def command(
    file: str,
    params: tuple[str, ...],
    only: tuple[str, ...],
    device: str,
    cache_dir: str | None,
    no_cache: bool,
    compiled: bool,
    as_json: bool,
    traceback: bool,
) -> None:
    """Show what running a pipeline FILE would do: the steps in order, with keys, sizes and bytes. Nothing runs.

    Every step is a hit, a run with the reason, or not needed because what reads it is there. Steps of one group are
    carried out together, a few rows at a time, or on an accelerator, with --compile, as one program.
    """
    from pipeline_core.devices import choose
    from pipeline_core.plan import make_plan

    graph = load(file, params)
    plan = make_plan(graph, only=only, device=choose(device), values=False)
    found = _findings(plan, cache_dir, no_cache)
    groups = _groups(plan, found, compiled)
    if as_json:
        click.echo(json.dumps(_as_json(plan, found, groups), indent=2))
        return
    say_warnings(graph, lambda line: click.echo(line, err=True))
    rows = [_row(step, finding, groups) for step, finding in zip(plan.steps, found, strict=True)]
    click.echo(table(["step", "operation", "key", "gives", "bytes", "device", "group", "state"], rows, right={4}))
    for target in plan.targets:
        if target.path is not None:
            click.echo(f"{target.name} -> {target.path}")
    unknown = sum(step.bytes is None and "File" not in step.node.kinds for step in plan.steps)
    note = f" ({unknown} of unknown size not counted)" if unknown else ""
    click.echo(f"{len(plan.steps)} steps, peak {size(plan.peak_bytes)}{note}")


def _findings(plan: Plan, cache_dir: str | None, no_cache: bool) -> list[Finding]:
    from pipeline_core.save import Writer

    if no_cache:
        return [Finding("run", "no cache") for _ in plan.steps]
    with open_cache(cache_dir) as cache:
        return findings(plan, cache, Writer(plan, cache=cache))


def _groups(plan: Plan, found: list[Finding], compiled: bool) -> dict[int, int]:
    """The number of the group that a step would be carried out in, counted from 1."""
    from pipeline_core.groups import form

    needed = [step.index for step, finding in zip(plan.steps, found, strict=True) if finding.state == "run"]
    load = plan.graph.catalogue.load
    groups = form(plan, needed, lambda step: load(step.node.operation), writes=plan.save, compiled=compiled)
    return {index: number for number, group in enumerate(groups, 1) for index in group.steps}


def _row(step: Step, finding: Finding, groups: dict[int, int]) -> list[str]:
    gives = ", ".join("?" if fact is None else str(fact) for fact in step.facts)
    if step.node.kinds == ("File",):
        gives = f"a {step.node.params.get('format', '')} file"
    return [
        step.name,
        step.node.operation.name,
        step.key[:12],
        gives,
        "" if step.bytes is None else size(step.bytes),
        step.device,
        str(groups.get(step.index, "")),
        f"{finding.state}: {finding.why}" if finding.why else finding.state,
    ]


def _as_json(plan: Plan, found: list[Finding], groups: dict[int, int]) -> dict[str, Any]:
    return {
        "device": plan.device,
        "peak_bytes": plan.peak_bytes,
        "steps": [
            {
                "node": step.name,
                "operation": step.node.operation.name,
                "plugin": step.node.operation.plugin,
                "key": step.key,
                "gives": [None if fact is None else str(fact) for fact in step.facts],
                "bytes": step.bytes,
                "device": step.device,
                "inputs": {name: [plan.steps[i].name for i, _ in links] for name, links in step.sources},
                "group": groups.get(step.index),
                "drops": [plan.steps[i].name for i in plan.dying[step.index]],
                "state": finding.state,
                "why": finding.why,
            }
            for step, finding in zip(plan.steps, found, strict=True)
        ],
        "outputs": {target.name: None if target.path is None else str(target.path) for target in plan.targets},
    }

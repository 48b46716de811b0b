"""pipeline plan"""

from __future__ import annotations

import json
from typing import Any

import click

from pipeline_core.cli.options import DEVICE, FILE, ONLY, PARAM, TRACEBACK, load, say_warnings
from pipeline_core.cli.tables import size, table
from pipeline_core.plan import Plan, Step


@click.command("plan")
@FILE
@PARAM
@ONLY
@DEVICE
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@TRACEBACK
def command(
    file: str, params: tuple[str, ...], only: tuple[str, ...], device: str, as_json: bool, traceback: bool
) -> None:
    """Show what running a pipeline FILE would do: the steps in order, with keys, sizes and bytes. Nothing runs."""
    from pipeline_core.devices import choose
    from pipeline_core.plan import make_plan

    graph = load(file, params)
    plan = make_plan(graph, only=only, device=choose(device))
    if as_json:
        click.echo(json.dumps(_as_json(plan), indent=2))
        return
    say_warnings(graph, lambda line: click.echo(line, err=True))
    rows = [_row(step) for step in plan.steps]
    click.echo(table(["step", "operation", "key", "gives", "bytes", "device"], rows, right={4}))
    for target in plan.targets:
        if target.path is not None:
            click.echo(f"{target.name} -> {target.path}")
    unknown = sum(step.bytes is None and "File" not in step.node.kinds for step in plan.steps)
    note = f" ({unknown} of unknown size not counted)" if unknown else ""
    click.echo(f"{len(plan.steps)} steps, peak {size(plan.peak_bytes)}{note}")


def _row(step: Step) -> list[str]:
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
    ]


def _as_json(plan: Plan) -> dict[str, Any]:
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
                "drops": [plan.steps[i].name for i in step.last],
            }
            for step in plan.steps
        ],
        "outputs": {target.name: None if target.path is None else str(target.path) for target in plan.targets},
    }

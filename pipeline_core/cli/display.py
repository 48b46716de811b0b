"""Listeners of a run: a live display on a terminal, plain lines elsewhere, JSON lines for programs."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Self

from pipeline_core.cli.tables import seconds, size, table
from pipeline_core.events import Event, Failed, Finished, Progressed, Saved, Skipped, Started, Warned
from pipeline_core.plan import Plan
from pipeline_core.run import Result


class Lines:
    """One line on stderr for what is done; failures are printed by the command at the end."""

    def __init__(self, *, quiet: bool = False, skips: bool = True) -> None:
        self.quiet, self.skips = quiet, skips

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        sys.stderr.flush()

    def say(self, line: str) -> None:
        sys.stderr.write(line + "\n")

    def __call__(self, event: Event) -> None:
        if isinstance(event, Warned):
            self.say(f"warning: {event.message}")
        elif self.quiet:
            return
        elif isinstance(event, Finished):
            time = "cached" if event.cached else seconds(event.seconds)
            self.say(f"{event.node} ({event.operation}) {time}  {', '.join(event.shapes)}".rstrip())
        elif isinstance(event, Skipped) and self.skips:
            self.say(f"{event.node} skipped, because '{event.because}' failed")


class JsonLines(Lines):
    """Every event as one JSON object a line, on stdout."""

    def __call__(self, event: Event) -> None:
        sys.stdout.write(json.dumps({"event": type(event).__name__, **event._asdict()}) + "\n")
        sys.stdout.flush()


class Live(Lines):
    """A progress bar for the run and a line for every node at work, on a terminal."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.whole = self.progress.add_task("steps", total=len(plan.steps))
        self.tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def say(self, line: str) -> None:
        self.progress.console.print(line, markup=False, highlight=False)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.tasks[event.node] = self.progress.add_task(f"  {event.node} ({event.operation})", total=None)
        elif isinstance(event, Progressed):
            note = f" {event.note}" if event.note else ""
            self.progress.update(
                self.tasks[event.node],
                completed=event.done,
                total=event.total or None,
                description=f"  {event.node}{note}",
            )
        elif isinstance(event, (Finished, Failed, Skipped)):
            task = self.tasks.pop(event.node, None)
            if task is not None:
                self.progress.remove_task(task)
            self.progress.advance(self.whole)
        elif isinstance(event, Saved):
            self.say(f"saved {shown(event.path)}")
        elif isinstance(event, Warned):
            self.say(f"warning: {event.message}")


class Profile:
    """What every node took; printed at the end of the run."""

    def __init__(self) -> None:
        self.found: list[Finished] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Finished):
            self.found.append(event)

    def __str__(self) -> str:
        total = sum(event.seconds for event in self.found) or 1.0
        rows = [
            [
                event.node,
                event.operation,
                seconds(event.seconds),
                f"{event.seconds / total:.0%}",
                size(event.bytes) if event.bytes else "",
                _group(event),
                size(event.copied) if event.copied else "",
                "found" if event.cached else "stored" if event.stored else "",
            ]
            for event in self.found
        ]
        return table(["node", "operation", "time", "", "bytes", "group", "copied", "cache"], rows, right={2, 3, 4, 6})


def _group(event: Finished) -> str:
    how = f" ({event.strips} strips)" if event.strips else " (compiled)" if event.compiled else ""
    return f"{event.group}{how}" if event.group else ""


def summary(plan: Plan, result: Result, profile: Profile | None = None) -> str:
    """The end of a run: seconds per node (or all that is known), then where the outputs are and how large."""
    slow = sorted(result.node_seconds.items(), key=lambda item: -item[1])
    parts = []
    if profile is not None:
        parts.append(str(profile))
    elif slow:
        operations = {step.name: step.node.operation.name for step in plan.steps}
        shown_nodes = [[name, operations.get(name, ""), seconds(time)] for name, time in slow[:20]]
        if len(slow) > 20:
            shown_nodes.append([f"{len(slow) - 20} more", "", seconds(sum(time for _, time in slow[20:]))])
        parts.append(table(["node", "operation", "time"], shown_nodes, right={2}))
    facts = {step.name: step.facts for step in plan.steps}
    rows = []
    for target in plan.targets:
        path = result.saved.get(target.name)
        found = facts.get(target.link.node, ())
        fact = found[target.link.output] if target.link.output < len(found) else None
        if path is not None:
            rows.append([target.name, shown(str(path)), size(path.stat().st_size), "" if fact is None else str(fact)])
        elif target.name in result.outputs:
            rows.append([target.name, "(not saved: no path)", "", str(result.outputs[target.name])])
    if rows:
        parts.append(table(["output", "file", "bytes", "picture"], rows, right={2}))
    counted = f"{result.computed} computed, {result.cached} cached" if result.cached else f"{result.computed} computed"
    parts.append(f"{counted} in {seconds(result.seconds)}, peak {size(result.peak_bytes)} of values")
    return "\n\n".join(parts)


def shown(path: str) -> str:
    """A path as short as it can be said from here."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) else path

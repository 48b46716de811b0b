"""Why is there something to do? The first part of a key that differs from the node's last run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline_core.keys import digest
from pipeline_core.plan import Plan, Step

if TYPE_CHECKING:
    from pipeline_core.cache import Cache, Record
    from pipeline_core.save import Writer

NOT_KEPT = "its result was not kept"
State = Literal["hit", "run", "not needed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a run would do with a step, and why."""

    state: State
    why: str = ""
    record: Record | None = None


def pipeline_id(plan: Plan) -> str:
    """Names the pipeline file in the history of its nodes; local to a machine, never part of a key."""
    return digest(str(Path(plan.graph.spec.file).absolute()).encode())[:32]


def note_history(plan: Plan, cache: Cache) -> None:
    """Notes what every step is made of, to explain the next miss; nothing where the last run was made of the same."""
    name = pipeline_id(plan)
    whole = {"": {"steps": digest("\n".join([f"{step.name} {step.key}" for step in plan.steps]).encode())}}
    if cache.history(name, "") != whole[""]:
        cache.note_history(name, whole | {step.name: plan.parts(step) for step in plan.steps})


def findings(plan: Plan, cache: Cache, writer: Writer | None = None) -> list[Finding]:
    """For every step: a hit, a run with the reason, or not needed because what reads it is there.

    `writer` tells of the encoded outputs whether the file on disk still is what was written.
    """
    records = cache.find_many({step.key: step.name for step in plan.steps})
    states: list[Finding] = [Finding("not needed")] * len(plan.steps)
    name = pipeline_id(plan)
    stack = list(plan.wanted)
    seen: set[int] = set()
    while stack:
        index = stack.pop()
        if index in seen:
            continue
        seen.add(index)
        step = plan.steps[index]
        record = records.get(step.key)
        if record is not None:
            states[index] = Finding("hit", "", record)
            continue
        if step.node.place[0] == "outputs" and writer is not None:
            if writer.is_current(step):
                states[index] = Finding("hit", "the file is what was written")
                continue
            missing = not writer.path(step).exists()
        else:
            missing = False
        stack += step.reads
        reason = why(plan.parts(step), cache.history(name, step.name))
        if reason == NOT_KEPT and step.node.place[0] == "outputs":
            reason = "the file is gone" if missing else "the file is not what was written"
        states[index] = Finding("run", reason)
    return states


def why(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """The first difference, in the order: operation, plugin, params, files, inputs."""
    if before is None:
        return "never run"
    for name in ("operation", "operation version", "plugin"):
        if now.get(name) != before.get(name):
            return _plugin_change(now, before) if name == "plugin" else _change(name, before.get(name), now.get(name))
    if now.get("source") != before.get("source"):
        return f"source of {str(now.get('plugin')).split()[0]} changed"
    for group, word in (("params", "param"), ("files", "file")):
        found = _first_difference(now.get(group, {}), before.get(group, {}))
        if found is not None:
            name = found.partition(": ")[2] if word == "file" else found
            old, new = before.get(group, {}).get(found), now.get(group, {}).get(found)
            if word == "file":
                return f"file {name} changed" if old and new else f"file {name} {'added' if new else 'gone'}"
            return _change(f"param {name}", old, new)
    found = _first_difference(now.get("inputs", {}), before.get("inputs", {}))
    if found is not None:
        return _input_change(found, now.get("inputs", {}).get(found), before.get("inputs", {}).get(found))
    return NOT_KEPT


def _first_difference(now: Mapping[str, Any], before: Mapping[str, Any]) -> str | None:
    return next((name for name in [*now, *before] if now.get(name) != before.get(name)), None)


def _change(what: str, old: Any, new: Any) -> str:
    return f"{what}: {'(none)' if old is None else old} -> {'(none)' if new is None else new}"


def _plugin_change(now: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """`pipeline_glow 0.2 -> 0.3`, or one plugin for another."""
    (name, _, version), (old_name, _, old_version) = (str(made.get("plugin")).partition(" ") for made in (now, before))
    if name != old_name:
        return _change("plugin", before.get("plugin"), now.get("plugin"))
    return f"{name} {old_version} -> {version}"


def _input_change(name: str, now: Any, before: Any) -> str:
    if not now or not before:
        return f"input {name} {'added' if now else 'gone'}"
    for new, old in zip(now, before, strict=False):
        if new[:2] != old[:2] and new[2] != old[2]:
            return f"input {name}: {old[0]}.{old[1]} -> {new[0]}.{new[1]}"
        if new != old:
            return f"input {name}: '{new[0]}' changed"
    return f"input {name}: {len(before)} -> {len(now)} links"


def explain(plan: Plan, step: Step, cache: Cache) -> list[str]:
    """Lines that tell all about one step: its state, and every part of its key beside that of its last run."""
    finding = findings(plan, cache)[step.index]
    now, before = plan.parts(step), cache.history(pipeline_id(plan), step.name) or {}
    lines = [
        f"node '{step.name}' ({step.node.operation.name})",
        f"  {finding.state}{': ' + finding.why if finding.why else ''}",
        f"  key {step.key}",
    ]
    if finding.record is not None:
        lines.append(f"  kept: {finding.record.nbytes:,} bytes, took {finding.record.seconds:.3f} s")
    for name in ("plugin", "operation version"):
        lines.append(_line(name, now[name], before.get(name, now[name])))
    for group in ("params", "files", "inputs"):
        old = before.get(group, now[group])
        for name in dict.fromkeys([*now[group], *old]):
            new_value, old_value = now[group].get(name), old.get(name)
            lines.append(_line(f"{group[:-1]} {name}", _shown(new_value), _shown(old_value)))
    return lines


def _shown(value: Any) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, list):
        return ", ".join(f"{node}.{output} {key[:12]}" for node, output, key in value)
    return str(value)[:60]


def _line(name: str, now: Any, before: Any) -> str:
    return f"  {name} = {now}" if now == before else f"* {name} = {now}  (was {before})"

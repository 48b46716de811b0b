"""R6: what must miss misses, what must hit hits; no two values have one key."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import yaml

from benchmarks.soak.changes import HITS, INIT, MISSES, Change, edit
from benchmarks.soak.outcome import Outcome
from benchmarks.soak.project import Scene, computed, make
from benchmarks.soak.typed import values
from pipeline_core.keys import operation_key


def r6(count: int, work: Path) -> Outcome:
    """Compares the keys of 200 values pairwise, then makes one change after the other to a project that has run."""
    changes = [*MISSES, *HITS]
    some = changes[:: max(1, len(changes) // count)]
    outcome = Outcome("R6", rounds=len(some))
    given = values()
    keys = [operation_key(b"op", {"value": value}, {}) for value in given]
    collisions = [(a, b) for a, b in itertools.combinations(range(len(given)), 2) if keys[a] == keys[b]]
    for a, b in collisions:
        outcome.fail(f"one key for {given[a]!r} and {given[b]!r}")
    ready = make(work / "project")
    try:
        computed(ready.run())
    except RuntimeError as error:
        outcome.fail(f"a plain run failed: {error}")
        return outcome
    good = {True: 0, False: 0}
    for change in some:
        problem = attacked(change, ready, work / "changed")
        good[change.misses] += not problem
        if problem:
            outcome.fail(f"{change.name}: {problem}")
    misses = sum(change.misses for change in some)
    pairs = len(given) * (len(given) - 1) // 2
    outcome.figures = (
        f"{len(collisions)} collisions in {pairs:,} pairs; {good[True]} of {misses} changes miss, "
        f"{good[False]} of {len(some) - misses} hit"
    )
    blind = Change("", True, ("note",), edit(INIT, "checkout.", "checkout!"), forget_sources)
    ready.run(forget_sources)
    outcome.caught(1 if attacked(blind, ready, work / "changed") else None, "sources not in the key")
    return outcome


def attacked(change: Change, ready: Scene, folder: Path) -> str:
    """What is wrong with the run after the change; '' if nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ready.folder, folder)
    scene = replace(ready, folder=folder, spec=yaml.safe_load(yaml.safe_dump(ready.spec)), options=[], env={})
    if not change.misses:
        shutil.rmtree(folder / "out")  # else the answer may be "up to date", which asks nothing of the nodes
    change.make(scene)
    try:
        ran = computed(scene.run(change.before))
    except RuntimeError as error:
        return str(error)
    if change.misses:
        stale = [node for node in change.nodes if node not in ran]
        return f"stale: {stale}" if stale else ""
    nodes = set(scene.nodes) if change.nodes == ("*",) else set(change.nodes)
    again = sorted(nodes & ran)
    return f"computed again: {again}" if again else ""


def forget_sources() -> None:
    """The broken build: the code of an editable plugin does not count."""
    from pipeline_core import installed

    installed.digest_of_sources = lambda module: "always the same"

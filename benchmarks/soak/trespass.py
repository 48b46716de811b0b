"""R8: operations that write into an input, return a view of it, or write later into what they returned; whole and in strips."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.soak.children import ask
from benchmarks.soak.operations import soak_noise
from benchmarks.soak.outcome import Outcome
from pipeline_core import Image, NodeError, Pipeline, operation

KEPT: list[np.ndarray] = []


@operation(support=0, cache="always", infer=lambda image, *, by: image)
def reads(image: Image, *, by: float) -> Image:
    """A good operation."""
    return image.with_buffer(image.buffer * np.float32(by))


@operation(support=0, cache="always", infer=lambda image, *, by: image)
def writes_into_its_input(image: Image, *, by: float) -> Image:
    """Multiplies in place."""
    image.buffer[...] *= np.float32(by)
    return image.with_buffer(image.buffer.copy())


@operation(support=0, cache="always", infer=lambda image, *, by: image)
def writes_and_returns_its_input(image: Image, *, by: float) -> Image:
    """Multiplies in place and returns the same memory."""
    image.buffer[...] *= np.float32(by)
    return image


@operation(support=0, cache="always", infer=lambda image, *, by: image)
def returns_a_view(image: Image, *, by: float) -> Image:
    """Mirrored, in the memory of its input."""
    return image.with_buffer(image.buffer[:, :, ::-1])


@operation(support=0, cache="always", infer=lambda image, *, by: image)
def keeps_what_it_returns(image: Image, *, by: float) -> Image:
    """Writes, at every call, into all that it returned before."""
    for array in KEPT:
        array[...] = -1
    array = image.buffer * np.float32(by)
    KEPT.append(array)
    return image.with_buffer(array)


@operation(support=0, cache="always", infer=lambda image, *, by: image)
def writes_and_fails(image: Image, *, by: float) -> Image:
    """Does not even return."""
    image.buffer[...] *= np.float32(by)
    raise ValueError("no luck")


BAD = (writes_into_its_input, writes_and_returns_its_input, returns_a_view, keeps_what_it_returns, writes_and_fails)


def r8(count: int, work: Path) -> Outcome:
    """Puts one or two bad nodes among good readers of the same value, or behind it alone."""
    outcome = Outcome("R8", rounds=count)
    refused = 0
    for number in range(count):
        try:
            problem, blamed = ask(lambda: attack(number, work / f"r8-{number}", True))  # noqa: B023  called at once
        except RuntimeError as error:
            problem, blamed = str(error), False
        refused += blamed
        if problem:
            outcome.fail(f"round {number}, {BAD[number % len(BAD)].__name__}: {problem}")
    outcome.figures = f"{refused} runs refused with the plugin's name, {count - refused} right; the cache right in all"
    caught = next((n for n in range(1, 31) if ask(lambda: attack(n, work / f"control-{n}", False))[0]), None)  # noqa: B023
    outcome.caught(caught, "guard off")
    return outcome


def attack(number: int, cache: Path, guard: bool) -> tuple[str, bool]:
    """(what went wrong, whether the plugin was refused)."""
    from pipeline_core.cache import Cache
    from pipeline_core.plan import make_plan
    from pipeline_core.run import execute

    if number % 4 > 1:
        in_strips()
    bad = BAD[number % len(BAD)]
    graph, expected = pipeline(number, bad)
    plan = make_plan(graph, save=False)
    with Cache.open(cache, memory=0) as opened:
        # What is written into while it is being returned can't be told from another result: one after the other.
        jobs = 1 if bad is keeps_what_it_returns else 1 + number % 3
        result = execute(plan, jobs=jobs, keep_going=True, cache=opened, guard=guard)
    for failure in result.failures:
        if not isinstance(failure, NodeError) or failure.plugin != "local":
            return f"blamed nobody: {failure}", True
    for name, image in result.outputs.items():
        if not np.array_equal(image.buffer, expected[name]):
            return f"output '{name}' is wrong, and nobody was blamed for it", False
    if not result.failures and len(result.outputs) != len(plan.targets):
        return "outputs are missing", False
    with Cache.open(cache, memory=0) as opened:
        for key, record in opened.find_many([step.key for step in plan.steps]).items():
            name = next(step.name for step in plan.steps if step.key == key)
            loaded = opened.load(record)
            if loaded is not None and not np.array_equal(loaded[0].buffer, expected[name]):
                return f"the cache holds a wrong '{name}'", False
    return "", bool(result.failures)


def in_strips() -> None:
    """For this process: small pictures are cut, too."""
    from pipeline_core import frames, groups, strips

    groups.SMALL = strips.SMALL = 0
    frames.STRIP, frames.LEAST = 1, 4


def pipeline(number: int, bad: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """A value with good readers and bad ones, in a shuffled order; what every node must give, unless it is refused."""
    luck = random.Random(number)
    side = luck.choice((8, 64, 300))
    made, expected = Pipeline(), {}
    source = made.node("source", soak_noise, seed=number, size=side, seconds=0.002)
    given = np.random.default_rng(number).random((1, side, side, 4), np.float32)
    expected["source"] = given
    nodes = [(reads, f"good{i}") for i in range(3)] + [(bad, f"bad{i}") for i in range(luck.choice((1, 2)))]
    luck.shuffle(nodes)
    if luck.random() < 0.3:
        nodes = [(bad, "bad0")]
    else:
        made.output("source", source)
    for i, (function, name) in enumerate(nodes):
        node = made.node(name, function, image=source, by=0.5 + i / 8)
        after = made.node(f"after-{name}", reads, image=node, by=0.5)
        by = np.float32(0.5 + i / 8)
        expected[name] = given[:, :, ::-1] if function is returns_a_view else given * by
        expected[f"after-{name}"] = expected[name] * np.float32(0.5)
        made.output(name, node)
        made.output(f"after-{name}", after)
    return made.graph(), expected

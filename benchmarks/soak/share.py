"""R5: eight processes and a collector on one cache that holds a quarter of what they make."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from benchmarks.soak.children import Asked, ask, start, wait
from benchmarks.soak.kill import blob_files, prune
from benchmarks.soak.operations import soak_corner, soak_noise, soak_roll
from benchmarks.soak.outcome import Outcome
from pipeline_core import Pipeline
from pipeline_core.events import Finished, Warned
from pipeline_core.graph import Graph

PROCESSES = 8
FILES, FEW = 40, 12
"""Few where a process does not come to run every file: then nothing is said about how often a key is computed."""
SIDE = 160
"""400 kB of RGBA float32: three results that are large and cheap, before a small one that is dear."""
DEAR_SECONDS = 0.05


@dataclass
class Answer:
    """One run of one file."""

    number: int
    digest: str = ""
    computed: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)


def r5(count: int, work: Path) -> Outcome:
    """Every process runs the files over and over, each time in an order of its own."""
    each = max(1, count // PROCESSES)
    outcome = Outcome("R5", rounds=each * PROCESSES)
    graphs = [pipeline(number) for number in range(FILES if each >= FEW else FEW)]
    clean, shared = work / "clean", work / "cache"
    expected = ask(lambda: [once(number, graph, clean, None).digest for number, graph in enumerate(graphs)])
    blobs = [path.stat().st_size for path in blob_files(clean)]
    need, limit = sum(blobs), sum(blobs) // 4
    collector = start(lambda: collect_every_second(shared))
    at_work = [Asked(lambda n=n: work_through(graphs, shared, limit, each, n)) for n in range(PROCESSES)]
    peak = watch(at_work, shared)
    computed: Counter[str] = Counter()
    for child in at_work:
        for answer in child.result():
            computed.update(answer.computed)
            if answer.digest != expected[answer.number] or answer.warned:
                outcome.fail(f"file {answer.number}: {answer.warned or 'wrong'}")
    os.kill(collector, signal.SIGKILL)
    wait(collector)
    ask(lambda: prune(shared))
    left, average = size(shared), computed.total() / len(computed)
    if average > 1.2 and each >= FILES:
        outcome.fail(f"each key was computed {average:.2f} times on average")
    if left > limit + max(blobs):
        outcome.fail(f"{left:,} bytes are left of {limit:,} allowed")
    outcome.figures = (
        f"{len(computed)} keys computed {average:.2f} times on average (at most {max(computed.values())}); need "
        f"{need / 2**20:.0f} MiB, limit {limit / 2**20:.0f}, peak {peak / 2**20:.1f}, after {left / 2**20:.1f}"
    )
    return outcome


def pipeline(number: int) -> Graph:
    made = Pipeline()
    node = made.node("noise", soak_noise, seed=number, size=SIDE)
    for step in range(3):
        node = made.node(f"roll{step}", soak_roll, image=node, shift=step + 1)
    made.output("corner", made.node("corner", soak_corner, image=node, seconds=DEAR_SECONDS))
    return made.graph()


def once(number: int, graph: Graph, cache: Path, limit: int | None) -> Answer:
    """Runs a file as a process of its own would: with a cache that is opened and closed."""
    from pipeline_core.api import run_graph
    from pipeline_core.cache import Cache

    answer = Answer(number)

    def listen(event: Any) -> None:
        if isinstance(event, Warned):
            answer.warned.append(event.message)
        elif isinstance(event, Finished) and not event.cached:
            answer.computed.append(f"{number} {event.node}")

    with Cache.open(cache, memory=0, limit=limit, warn=answer.warned.append) as opened:
        result = run_graph(graph, cache=opened, device="cpu", jobs=2, listeners=[listen])
    answer.digest = xxhash.xxh3_128_hexdigest(result.outputs["corner"].buffer)
    return answer


def work_through(graphs: Sequence[Graph], cache: Path, limit: int, times: int, seed: int) -> list[Answer]:
    luck, waiting, answers = random.Random(seed), [], []
    for _ in range(times):
        waiting = waiting or luck.sample(range(len(graphs)), len(graphs))
        number = waiting.pop()
        answers.append(once(number, graphs[number], cache, limit))
    return answers


def collect_every_second(cache: Path) -> None:
    while True:
        time.sleep(1)
        prune(cache)


def watch(at_work: Sequence[Asked], cache: Path) -> int:
    """The most bytes that blobs took while the children worked."""
    peak = 0
    while any(not child.ended() for child in at_work):
        peak = max(peak, size(cache))
        time.sleep(0.05)
    return peak


def size(cache: Path) -> int:
    total = 0
    for path in blob_files(cache):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # collected in this moment
            continue
    return total

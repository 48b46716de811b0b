"""R1: SIGKILL while results are stored. R17: SIGKILL, and two runs at once, while an output is saved."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import xxhash

from benchmarks.soak.children import ask, command, kill_after, run_command, start, wait
from benchmarks.soak.operations import soak_noise, soak_roll
from benchmarks.soak.outcome import Outcome
from pipeline_core import Pipeline
from pipeline_core.events import Finished, Warned
from pipeline_core.graph import Graph

ENTRIES = 50
SIDES = (512, 16, 256, 64, 384)
"""Pixels of RGBA float32: 512 x 512 is 4 MiB."""
NODE_SECONDS = 0.004


def fifty() -> Graph:
    """Five chains of ten nodes, every one an output."""
    pipeline = Pipeline()
    for chain, side in enumerate(SIDES):
        node = pipeline.node(f"n{chain}-0", soak_noise, seed=chain, size=side, seconds=NODE_SECONDS)
        pipeline.output(f"n{chain}-0", node)
        for step in range(1, ENTRIES // len(SIDES)):
            name = f"n{chain}-{step}"
            node = pipeline.node(name, soak_roll, image=node, shift=step, seconds=NODE_SECONDS)
            pipeline.output(name, node)
    return pipeline.graph()


def run_fifty(graph: Graph, cache: Path, told: int | None = None) -> dict[str, Any]:
    """Runs it; digests of the outputs, the nodes taken from the cache, warnings. Node names go to `told` when done."""
    from pipeline_core.api import run_graph

    cached: set[str] = set()
    warned: list[str] = []

    def listen(event: Any) -> None:
        if isinstance(event, Warned):
            warned.append(event.message)
        elif isinstance(event, Finished) and event.cached:
            cached.add(event.node)
        elif isinstance(event, Finished) and told is not None:
            os.write(told, f"{event.node}\n".encode())

    result = run_graph(graph, cache=cache, device="cpu", jobs=2, listeners=[listen])
    digests = {name: xxhash.xxh3_128_hexdigest(image.buffer) for name, image in result.outputs.items()}
    return {"digests": digests, "cached": cached, "warned": warned}


def r1(count: int, work: Path) -> Outcome:
    """Kills a run that stores 50 results, looks at what is there, runs it again and compares every pixel."""
    outcome = Outcome("R1")
    graph, luck = fifty(), random.Random(1)
    clean, began = work / "clean", time.perf_counter()
    expected = ask(lambda: run_fifty(graph, clean))["digests"]
    whole_run = time.perf_counter() - began
    blobs = {path.name: path.read_bytes() for path in blob_files(clean)}
    lost, kept = [], []
    for number in range(count):
        folder = work / f"r1-{number}"
        finished = killed_run(graph, folder, 0, luck.uniform(0, whole_run * 1.1), lambda: None)
        for path in damaged(folder, blobs):
            outcome.fail(f"round {number}: {path.name} is damaged under its final name")
        again = ask(lambda: run_fifty(graph, folder))  # noqa: B023  called before the loop goes on
        wrong = [name for name, digest in again["digests"].items() if digest != expected[name]]
        if wrong or len(again["digests"]) != ENTRIES or again["warned"]:
            outcome.fail(f"round {number}: wrong {wrong}, warnings {again['warned']}")
        ask(lambda: prune(folder))  # noqa: B023
        if left := temporary_files(folder):
            outcome.fail(f"round {number}: {len(left)} temporary files left")
        lost.append(len(finished - again["cached"]))
        kept.append(len(again["cached"]))
        shutil.rmtree(folder)
    outcome.rounds = count
    outcome.caught(r1_control(graph, work, blobs, luck), "results written under their final name")
    outcome.figures = (
        f"0 to {max(kept)} of {ENTRIES} kept (mean {sum(kept) / count:.0f}), finished nodes lost with the writer: "
        f"mean {sum(lost) / count:.1f}, at most {max(lost)}"
    )
    return outcome


def r1_control(graph: Graph, work: Path, blobs: dict[str, bytes], luck: random.Random) -> int | None:
    for number in range(1, 301):
        folder = work / "r1-control"
        killed_run(graph, folder, luck.randrange(10, ENTRIES), luck.uniform(0, 0.01), write_in_place)
        bad = damaged(folder, blobs)
        shutil.rmtree(folder, ignore_errors=True)
        if bad:
            return number
    return None


def killed_run(graph: Graph, cache: Path, nodes: int, seconds: float, before: Callable[[], None]) -> set[str]:
    """A run that is killed so many seconds after it finished so many nodes; the nodes that it had finished."""
    reading, writing = os.pipe()

    def job() -> None:
        before()
        run_fifty(graph, cache, writing)

    pid = start(job)
    os.close(writing)
    with os.fdopen(reading) as told:
        finished = {told.readline().strip() for _ in range(nodes)}
        kill_after(pid, seconds)
        return finished | set(told.read().split())


def write_in_place() -> None:
    """The broken build: no temporary name, no rename."""
    from pipeline_core.cache import disk

    careful = disk.Disk._write

    def write(self: disk.Disk, contents: Any, output: Any, temporaries: ExitStack) -> Any:
        if not output.blob:  # the folder's speed is being measured
            return careful(self, contents, output, temporaries)
        path = self.path(output.blob)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        checksum = contents.write(file)
        os.close(file)
        return disk._Staged(replace(output, checksum=checksum), None, contents)

    disk.Disk._write = write  # type: ignore[method-assign]


def blob_files(cache: Path) -> Iterator[Path]:
    """Every file that has its final name."""
    return (path for path in (cache / "v1" / "blobs").glob("*/*") if path.parent.name != "tmp")


def damaged(cache: Path, blobs: dict[str, bytes]) -> list[Path]:
    """Files that are not what a clean run wrote under that name."""
    return [path for path in blob_files(cache) if path.read_bytes() != blobs.get(path.name)]


def prune(cache: Path) -> None:
    from pipeline_core.cache import Cache

    with Cache.open(cache, memory=0) as opened:
        opened.prune()


def temporary_files(cache: Path) -> list[Path]:
    return list((cache / "v1" / "blobs" / "tmp").glob("*"))


# --- R17 ------------------------------------------------------------------------------------------------------------

PICTURE = """\
pipeline: 1
params:
  shade: {type: color, default: red}
nodes:
  ramp: {op: gradient, params: {width: 900, height: 700, start: "${shade}"}}
outputs:
  ramp: {from: ramp, path: out/ramp.png, params: {compression: 0}}
"""
SHADES = ("red", "teal")


def r17(count: int, work: Path) -> Outcome:
    """Kills runs while they save; every other time a second run saves another picture under the same name."""
    outcome = Outcome("R17", rounds=count)
    file = work / "r17.yaml"
    file.write_text(PICTURE)
    output = work / "out" / "ramp.png"
    whole = {}
    for shade in SHADES:
        done = command(*saving(file, shade))
        if done.code:
            outcome.fail(f"a plain run failed: {done.err}")
            return outcome
        whole[shade] = output.read_bytes()
    luck, seen = random.Random(17), {"absent": 0, "old": 0, "new": 0}
    for number in range(count):
        before = luck.choice([None, *whole.values()])
        state = save_and_kill(file, output, before, number % 2 == 1, luck, lambda: None)
        if state is not None and state not in whole.values():
            outcome.fail(f"round {number}: {len(state):,} bytes under the final name, which are no whole picture")
        elif state is None and before is not None:
            outcome.fail(f"round {number}: the picture that was there is gone")
        seen["absent" if state is None else "old" if state == before else "new"] += 1
    outcome.figures = ", ".join(f"{state} {times}" for state, times in seen.items())
    outcome.caught(r17_control(file, output, whole, luck), "written in place")
    return outcome


def r17_control(file: Path, output: Path, whole: dict[str, bytes], luck: random.Random) -> int | None:
    for number in range(1, 101):
        state = save_and_kill(file, output, None, False, luck, save_in_place)
        if state is not None and state not in whole.values():
            return number
    return None


def saving(file: Path, shade: str) -> list[str]:
    return ["run", str(file), "--no-cache", "--no-metadata", "--device", "cpu", "-q", "-p", f"shade={shade}"]


def save_and_kill(
    file: Path, output: Path, before: bytes | None, two: bool, luck: random.Random, broken: Callable[[], None]
) -> bytes | None:
    """What is under the final name after a run that was killed while it saved (beside one that was not, if `two`)."""
    output.unlink(missing_ok=True)
    if before is not None:
        output.write_bytes(before)
    reading, writing = os.pipe()

    def prepare() -> None:
        broken()
        tell_when_saving(writing)

    first, second = luck.sample(SHADES, 2)
    with tempfile.TemporaryFile() as said:
        pid = start(lambda: run_command(saving(file, first), said, said, None, {}, (), prepare))
        rival = start(lambda: run_command(saving(file, second), said, said, None, {}, (), lambda: None)) if two else 0
        os.close(writing)
        os.read(reading, 1)
        os.close(reading)
        kill_after(pid, luck.uniform(0, 0.004))
        if rival:
            wait(rival)
    return output.read_bytes() if output.exists() else None


def tell_when_saving(writing: int) -> None:
    from pipeline_core import save

    write = save.write_atomically

    def told(path: Path, content: bytes, **options: Any) -> None:
        os.write(writing, b"s")
        write(path, content, **options)

    save.write_atomically = told


def save_in_place() -> None:
    """The broken build: no temporary name, no rename."""
    from pipeline_core import save

    def write(path: Path, content: bytes, **options: Any) -> None:
        with open(path, "wb", buffering=0) as file:
            for start_at in range(0, len(content), 1 << 16):
                file.write(content[start_at : start_at + (1 << 16)])

    save.write_atomically = write

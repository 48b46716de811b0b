"""R4: the cache, or an output, lies on a disk that is full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.soak.children import command
from benchmarks.soak.outcome import Outcome

DISK = 4 << 20
PIPELINE = """\
pipeline: 1
nodes:
  a: {op: gradient, cache: always, params: {width: 400, height: 300, angle: 10, channels: RGBA}}
  b: {op: flip, cache: always, inputs: {image: a}}
  c: {op: rotate90, cache: always, inputs: {image: b}}
  d: {op: flop, cache: always, inputs: {image: c}}
outputs:
  one: {from: d, path: out/one.png, params: {compression: 0}}
  two: {from: b, path: out/two.png, params: {compression: 0}}
"""
"""Four results of 1.9 MB, and two pictures of half a megabyte."""


def r4(count: int, work: Path) -> Outcome:
    """Half the rounds fill the disk under the cache to one level or another, half that under the output."""
    outcome = Outcome("R4", rounds=count)
    file = work / "r4.yaml"
    file.write_text(PIPELINE)
    first = command("run", file, "--no-cache", "--no-metadata", "--device", "cpu", "-q")
    if first.code:
        outcome.fail(f"a plain run failed: {first.err}")
        return outcome
    pictures = {name: (work / "out" / name).read_bytes() for name in ("one.png", "two.png")}
    disk = work / "disk"
    disk.mkdir()
    try:
        for number in range(count):
            part = (number // 2 + 0.5) / max(1, count // 2)
            with small_disk(disk):
                problem = full_cache(file, disk, part, pictures) if number % 2 == 0 else full_output(file, disk, part)
            if problem:
                outcome.fail(f"round {number}, {part:.0%} taken: {problem}")
    except (OSError, subprocess.CalledProcessError):
        return Outcome("R4", skipped="needs the right to mount a small disk (tmpfs)")
    outcome.figures = "cache full: right pixels, one warning, exit 0; output full: exit 1, one line, nothing left"
    return outcome


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True, capture_output=True)


def full_cache(file: Path, disk: Path, part: float, pictures: dict[str, bytes]) -> str:
    (disk / "filling").write_bytes(bytes(int(DISK * part)))
    outputs = file.parent / "out"
    for name in pictures:
        (outputs / name).unlink(missing_ok=True)
    done = command("run", file, "--cache", disk / "cache", "--no-metadata", "--device", "cpu", "-q")
    if done.code or "Traceback" in done.err:
        return f"exit code {done.code}: {done.err}"
    if len(done.err.splitlines()) != 1:
        return f"not one warning: {done.err.splitlines()}"
    if any((outputs / name).read_bytes() != content for name, content in pictures.items()):
        return "the pixels are wrong"
    (disk / "filling").unlink()
    again = command("run", file, "--cache", disk / "cache", "--no-metadata", "--device", "cpu", "-q", "--only", "two")
    return f"the run after said {again.err!r}" if again.code else ""


def full_output(file: Path, disk: Path, part: float) -> str:
    free = int(1000 + 300_000 * part)  # less than a picture
    (disk / "filling").write_bytes(bytes(DISK - (1 << 16) - (free & ~4095)))
    output = disk / "one.png"
    done = command(
        "run", file, "--no-cache", "--no-metadata", "--device", "cpu", "-q", "--only", "one", "-o", f"one={output}"
    )
    if done.code != 1 or "Traceback" in done.err:
        return f"exit code {done.code}: {done.err}"
    lines = done.err.splitlines()
    if len(lines) != 1 or "one" not in lines[0] or str(output) not in lines[0] or "bytes" not in lines[0]:
        return f"not one line with node, path and bytes: {lines}"
    left = sorted(path.name for path in disk.iterdir())
    return "" if left == ["filling"] else f"left behind: {left}"

"""R9: an input is overwritten under its name, with its size and its mtime; the answer must be the new picture."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from benchmarks.soak.children import command
from benchmarks.soak.outcome import Outcome

SIDE = 24
PIPELINE = """\
pipeline: 1
nodes:
  photo: {op: load_image, params: {path: art/photo.png}}
  turned: {op: flip, inputs: {image: photo}}
outputs:
  turned: {from: turned, path: out/turned.png}
"""


def r9(count: int, work: Path) -> Outcome:
    """Overwrites in place or by a rename, in turn; after every tenth, a second run must have nothing to do."""
    outcome = Outcome("R9", rounds=count)
    file, photo = work / "r9.yaml", work / "art" / "photo.png"
    file.write_text(PIPELINE)
    photo.parent.mkdir(exist_ok=True)
    luck = random.Random(9)
    write(photo, luck)
    idle = 0
    run(file)
    for number in range(count):
        pixels = overwrite(photo, luck, by_rename=number % 2 == 1)
        said = run(file)
        if not np.array_equal(saved(file), pixels[::-1]):
            outcome.fail(f"round {number}: stale: {said}")
        if number % 10 == 0:
            idle += "up to date" in run(file)
    if idle != len(range(0, count, 10)):
        outcome.fail(f"unchanged runs had something to do: {idle} of {len(range(0, count, 10))} were up to date")
    outcome.figures = f"0 stale expected; same name, size, mtime; unchanged runs up to date: {idle}"
    outcome.caught(control(file, photo, luck), "digests remembered by size and mtime")
    return outcome


def control(file: Path, photo: Path, luck: random.Random) -> int | None:
    for number in range(1, 11):
        run(file, trust_the_clock)
        pixels = overwrite(photo, luck, by_rename=False)
        run(file, trust_the_clock)
        if not np.array_equal(saved(file), pixels[::-1]):
            return number
    return None


def write(photo: Path, luck: random.Random) -> np.ndarray:
    """A picture whose file always has the same size: nothing is compressed."""
    pixels = np.random.default_rng(luck.getrandbits(32)).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    Pillow.fromarray(pixels).save(photo, compress_level=0)
    return pixels


def overwrite(photo: Path, luck: random.Random, *, by_rename: bool) -> np.ndarray:
    before = photo.stat()
    target = photo.with_name("new.png") if by_rename else photo
    pixels = write(target, luck)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    if by_rename:
        os.replace(target, photo)
    after = photo.stat()
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    return pixels


def run(file: Path, broken: Callable[[], None] = lambda: None) -> str:
    done = command("run", file, "--cache", file.parent / "cache", "--device", "cpu", "--no-metadata", before=broken)
    return done.out + done.err


def saved(file: Path) -> np.ndarray:
    with Pillow.open(file.parent / "out" / "turned.png") as picture:
        return np.asarray(picture)


def trust_the_clock() -> None:
    """The broken build: a file's digest is that of its name, size and mtime."""
    from pipeline_core import keys, plan, run, uptodate

    def digest(path: Path) -> str:
        found = os.stat(path)
        return f"{path.name} {found.st_size} {found.st_mtime_ns}"

    def state(path: Path) -> keys.FileState:
        return keys.FileState(digest(path), ())

    keys.digest_file = uptodate._digest = digest  # type: ignore[assignment]
    plan.read_state = state
    run.unchanged = lambda path, known: True

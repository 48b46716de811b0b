"""How much memory a run takes at its peak: `python -m benchmarks.memory [--side N]`.

Each in a process of its own, whole command, beside a process of libvips that makes the same: a picture of N x N pixels
(32,000 to see what is meant for, 2 to 4 GB of disk; 8,192 by default) from a tiled TIFF, graded, blurred, laid under a
colour, scaled to a quarter and written as TIFF; and the 4K asset of `benchmarks.asset`. Then a chain of 50 operations.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.timing import machine

ROUNDS = 3
MIB = 2**20
FILE = """\
pipeline: 1
nodes:
  picture: {{op: load_image, params: {{path: large.tif}}}}
  graded: {{op: grade, inputs: {{image: picture}}, params: {{gain: 1.1, gamma: 1.05}}}}
  soft: {{op: blur, inputs: {{image: graded}}, params: {{sigma: 2.0}}}}
  tint: {{op: constant, params: {{width: {side}, height: {side}, color: "#2040ff40"}}}}
  merged: {{op: merge, inputs: {{base: soft, top: tint}}}}
  small: {{op: resize, inputs: {{image: merged}}, params: {{scale: 0.25, filter: lanczos3}}}}
outputs:
  small: {{from: small, path: ours.tif, params: {{depth: 8, compression: 1}}}}
"""


class Taken(NamedTuple):
    """By one process."""

    seconds: float
    busy: float
    """Seconds of all cores together."""
    mib: float


def run(*command: str | Path, folder: Path) -> Taken:
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: exit {child.returncode}")
    return Taken(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def prepare(side: int) -> None:
    """The files, in the working directory: soft steps under noise, tiles deflated; and the asset's."""
    import numpy as np
    import pyvips

    from benchmarks.asset import HEIGHT, WIDTH
    from benchmarks.asset import prepare as prepare_asset

    half, cut = prepare_asset(Path(), WIDTH, HEIGHT)
    Path("sizes").write_text(" ".join(map(str, (*half, *cut))))
    Path("large.yaml").write_text(FILE.format(side=side))
    ramp = np.linspace(0, 200, 512)[:, None, None]
    tile = (np.random.default_rng(0).random((512, 512, 4)) * 40 + ramp).astype(np.uint8)
    times = -(-side // 512)
    picture = pyvips.Image.new_from_array(tile).replicate(times, times).crop(0, 0, side, side)
    picture = picture.copy(interpretation="srgb")
    picture.tiffsave("large.tif", compression="deflate", tile=True, bigtiff=True)


def vips_large() -> None:
    """The same as FILE, in the working directory."""
    import pyvips

    picture = pyvips.Image.new_from_file("large.tif", access="sequential").cast("float") / 255
    alpha, share = picture.extract_band(3), 0x40 / 255
    graded = (picture.extract_band(0, n=3) * 1.1) ** (1 / 1.05)
    soft = (graded * alpha).bandjoin(alpha).gaussblur(2.0, precision="float")
    tint = [0x20 / 255 * share, 0x40 / 255 * share, share, share]
    small = (soft * (1 - share) + tint).resize(0.25, kernel="lanczos3")
    alpha = small.extract_band(3)
    result = ((small.extract_band(0, n=3) / alpha).bandjoin(alpha) * 255).rint().cast("uchar")
    result.copy(interpretation="srgb").tiffsave("vips.tif", compression="deflate")


def chain() -> None:
    """50 operations at 4K; prints how many pictures more than input and output the peak took."""
    from benchmarks.strips import HEIGHT, WIDTH, bench_lift, bench_scale, bench_source
    from pipeline_core import Pipeline
    from pipeline_core.api import run_graph

    made = Pipeline()
    node = made.node("source", bench_source)
    for i in range(50):
        if i % 10 == 9:
            node = made.node(f"n{i}", "blur", image=node, sigma=1.0)
        else:
            node = made.node(f"n{i}", (bench_scale, bench_lift)[i % 2], image=node, by=(1.01, 0.01)[i % 2])
    made.output("last", node)
    graph = made.graph()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    run_graph(graph, cache=False, device="cpu")
    picture = WIDTH * HEIGHT * 4 * 4
    beyond = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before - picture
    print(f"\n50 operations at 4K: {beyond / picture:.2f} pictures beyond input and output (goal 3)")


def compare(what: str, folder: Path, ours: list[str], theirs: list[str]) -> None:
    """Alternating, medians."""
    pairs = [(run(*ours, folder=folder), run(*theirs, folder=folder)) for _ in range(ROUNDS)]
    mine, other = (
        Taken(*(statistics.median(values) for values in zip(*(pair[side] for pair in pairs), strict=True)))
        for side in (0, 1)
    )
    print(
        f"| {what} | {mine.mib:,.0f} MiB | {other.mib:,.0f} MiB | {mine.mib / other.mib:.2f} | "
        f"{mine.seconds:.1f} s | {other.seconds:.1f} s | {mine.seconds / other.seconds:.2f} | "
        f"{mine.busy / other.busy:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("--side", type=int, default=8192)
    jobs = {"prepare": prepare, "vips_large": vips_large, "chain": chain}
    parser.add_argument("--job", choices=jobs, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        jobs[given.job](*([given.side] if given.job == "prepare" else []))
        return
    # Nothing large is done in this process: a child's peak begins with that of its parent.
    ours = ["-c", "from pipeline_core.cli import main; main()", "run", "--no-cache", "--quiet"]
    mine = ["-m", "benchmarks.memory", "--side", str(given.side), "--job"]
    print(f"{machine()}; medians of {ROUNDS} alternating whole processes\n")
    print("| what | peak | of libvips | ratio | time | of libvips | ratio | of processor time |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(*mine, "prepare", folder=folder)
        sizes = (folder / "sizes").read_text().split()
        compare("4K asset", folder, [*ours, "asset.yaml"], ["vips.py", ".", *sizes])
        compare(f"{given.side:,} x {given.side:,}", folder, [*ours, "large.yaml"], [*mine, "vips_large"])
    sys.stdout.flush()
    subprocess.run([sys.executable, *mine, "chain"], check=True)


if __name__ == "__main__":
    main()

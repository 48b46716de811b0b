"""How much memory a run takes at its peak: `python -m benchmarks.memory [--side N]`.

Each in a process of its own, whole command, beside a process of libvips that makes the same: a picture of N x N pixels
(32,000 to see what is meant for, 2 to 4 GB of disk; 8,192 by default) from a tiled TIFF, graded, blurred, laid under a
colour, scaled to a quarter and written as TIFF; and the 4K asset of `benchmarks.asset`. Then a chain of 50 operations.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.timing import HEAD, Comparison, Taken, machine, tell

ROUNDS = 3
SMALL = 1024
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


def run(folder: Path, *command: str | Path) -> Taken:
    """A process of its own, with its peak."""
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

    scale = 4 if side == SMALL else 1
    half, cut = prepare_asset(Path(), WIDTH // scale, HEIGHT // scale)
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


OURS = ["-c", "from pipeline_core.cli import main; main()", "run", "--no-cache", "--quiet"]


def comparisons(small: bool = False, side: int = 8192) -> Iterator[Comparison]:
    side = SMALL if small else side
    # Nothing large is done in this process: a child's peak begins with that of its parent.
    mine = ["-m", "benchmarks.memory", "--side", str(side), "--job"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(folder, *mine, "prepare")
        sizes = (folder / "sizes").read_text().split()
        yield Comparison(
            "the asset as a process",
            partial(run, folder, *OURS, "asset.yaml"),
            {"libvips": partial(run, folder, "vips.py", ".", *sizes)},
            peaks={"libvips": "1.8"},
        )
        yield Comparison(
            f"{side:,} x {side:,} graded, blurred, merged, quartered",
            partial(run, folder, *OURS, "large.yaml"),
            {"libvips": partial(run, folder, *mine, "vips_large")},
            {"libvips": "1.5 for 32,000"},
            {"libvips": "1.5 GB for 32,000"},
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
    print(f"{machine()}; medians of {ROUNDS} alternating whole processes\n\n{HEAD}")
    tell(comparisons(side=given.side), ROUNDS)
    subprocess.run([sys.executable, "-m", "benchmarks.memory", "--job", "chain"], check=True)


if __name__ == "__main__":
    main()

"""One asset from files to a file: `python -m benchmarks.asset [--rounds N] [--small]`.

Two 4K RGBA PNGs are multiplied and laid over each other, halved with Lanczos, turned by 10 degrees, cut, sharpened and
written as PNG at level 1: as a pipeline file, and as straight-line code of others. Warm, in one process; then as whole
commands. Every figure is a ratio: ours to the other, round by round, so that what else the machine does meets both.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import PIL.Image
import pyvips

from benchmarks.asset_peers import VIPS, Peers
from benchmarks.codecs import photo
from benchmarks.timing import machine, process
from pipeline_core.api import run

WIDTH, HEIGHT = 3840, 2160
FILE = """\
pipeline: 1
nodes:
  a: {{op: load_image, params: {{path: a.png}}}}
  b: {{op: load_image, params: {{path: b.png}}}}
  product: {{op: merge, inputs: {{base: a, top: b}}, params: {{operation: multiply}}}}
  card: {{op: merge, inputs: {{base: product, top: b}}, params: {{operation: over}}}}
  half: {{op: resize, inputs: {{image: card}}, params: {{width: {w}, height: {h}, filter: lanczos3}}}}
  turned: {{op: rotate, inputs: {{image: half}}, params: {{angle: 10, filter: bilinear}}}}
  cut: {{op: crop, inputs: {{image: turned}}, params: {{x: {x}, y: {y}, width: {cw}, height: {ch}}}}}
  sharp: {{op: unsharp_mask, inputs: {{image: cut}}, params: {{amount: 1.0, sigma: 2.0}}}}
outputs:
  sharp: {{from: sharp, path: ours.png, params: {{compression: 1}}}}
"""
Job = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asset")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--small", action="store_true", help="960 x 540, to see that it runs")
    given = parser.parse_args()
    width, height = (960, 540) if given.small else (WIDTH, HEIGHT)
    pyvips.cache_set_max(0)  # else it decodes the files once and for all
    print(f"{machine()}; {width} x {height}, {given.rounds} alternating rounds")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        half, cut = prepare(folder, width, height)
        peers = Peers(folder, half, cut)

        def ours() -> None:
            run(folder / "asset.yaml", save=True, cache=False, device="cpu")

        warm: dict[str, Job] = {
            "OpenCV, 8 bits": peers.opencv,
            "libvips": peers.vips,
            "OpenCV, floats": peers.opencv_float,
            "Pillow": peers.pillow,
            "bare torch": peers.bare_torch,
            "OpenImageIO": peers.openimageio,
        }
        table("warm, in one process", ours, warm, given.rounds)
        table("whole commands", command(folder), commands(folder, half, cut), given.rounds)


def prepare(folder: Path, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """The two pictures, the pipeline file and that of libvips; the size after halving, and what is cut then."""
    half, cut = (width // 2, height // 2), (width // 20, height // 20, width * 2 // 5, height * 2 // 5)
    pixels = photo(width, height)
    for name, found in (("a", pixels), ("b", np.ascontiguousarray(pixels[::-1, ::-1]))):
        PIL.Image.fromarray(found).save(folder / f"{name}.png", compress_level=6)
    x, y, cw, ch = cut
    (folder / "asset.yaml").write_text(FILE.format(w=half[0], h=half[1], x=x, y=y, cw=cw, ch=ch))
    (folder / "vips.py").write_text(VIPS)
    return half, cut


def command(folder: Path) -> Job:
    pipeline = Path(sys.executable).with_name("pipeline")
    return process([pipeline, "run", folder / "asset.yaml", "--no-cache", "--quiet"])


def commands(folder: Path, half: tuple[int, int], cut: tuple[int, int, int, int]) -> dict[str, Job]:
    """What is installed of others, as commands of their own."""
    found = {"pyvips": process([sys.executable, folder / "vips.py", folder, *map(str, (*half, *cut))])}
    magick = shutil.which("magick")
    if magick is not None:
        x, y, cw, ch = cut
        size = f"{half[0]}x{half[1]}!"
        both = ["(", folder / "a.png", folder / "b.png", "-compose", "multiply", "-composite", ")", folder / "b.png"]
        turn = ["-distort", "SRT", "10", "-crop", f"{cw}x{ch}+{x}+{y}", "+repage", "-unsharp", "0x2+1+0"]
        after = ["-compose", "over", "-composite", "-filter", "Lanczos", "-resize", size, *turn]
        found["ImageMagick"] = process([magick, *both, *after, "-quality", "15", folder / "magick.png"])
    return found


def table(title: str, ours: Job, others: Mapping[str, Job], rounds: int) -> None:
    """Medians, and the ratio of ours to each: the median of all rounds and how far it spreads."""
    taken: dict[str, list[float]] = {"pipeline-core": [], **{name: [] for name in others}}
    jobs = {"pipeline-core": ours, **others}
    for turn in range(rounds + 1):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            if turn:  # the first round warms up
                taken[name].append(time.perf_counter() - began)
    print(f"\n| {title} | ms | ours to it | from | to |\n|---|---|---|---|---|")
    for name, seconds in taken.items():
        ratios = sorted(mine / its for mine, its in zip(taken["pipeline-core"], seconds, strict=True))
        middle = statistics.median(seconds) * 1e3
        print(f"| {name} | {middle:,.0f} | {statistics.median(ratios):.2f} | {ratios[0]:.2f} | {ratios[-1]:.2f} |")


if __name__ == "__main__":
    main()

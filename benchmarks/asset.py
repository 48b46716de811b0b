"""One asset from files to a file: `python -m benchmarks.asset [--rounds N] [--small]`.

Two 4K RGBA PNGs are multiplied and laid over each other, halved with Lanczos, turned by 10 degrees, cut, sharpened and
written as PNG at level 1: as a pipeline file, and as straight-line code of others. Warm, in one process; then without
the files, from 8-bit pixels in memory to the sharpened picture; then as whole commands.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image

from benchmarks.asset_peers import VIPS, Peers
from benchmarks.codecs import photo
from benchmarks.timing import Absent, Comparison, Job, process, table
from pipeline_core import Image, Pipeline, operation
from pipeline_core.api import run, run_graph
from pipeline_core.graph import Graph

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


def comparisons(small: bool = False) -> Iterator[Comparison]:
    width, height = (960, 540) if small else (WIDTH, HEIGHT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        half, cut = prepare(folder, width, height)
        peers = Peers(folder, half, cut)
        yield Comparison(
            "asset from files to a file, warm",
            lambda: run(folder / "asset.yaml", save=True, cache=False, device="cpu"),
            {
                "OpenCV, 8 bits": peers.opencv,
                "OpenCV, floats": peers.opencv_float,
                "Pillow": peers.pillow,
                "libvips": peers.vips,
                "OpenImageIO": peers.openimageio,
                "bare torch": peers.bare_torch,
                "kornia": peers.kornia,
            },
            {"OpenCV, 8 bits": "0.50", "libvips": "0.50"},
        )
        graph, pixels = computing(folder, half, cut), peers.read()
        yield Comparison(
            "its computing alone",
            lambda: run_graph(graph, cache=False, device="cpu"),
            {
                "OpenCV, 8 bits": lambda: peers.opencv_compute(*pixels),
                "bare torch": lambda: peers.torch_compute(*pixels),
                "kornia": lambda: peers.kornia_compute(*pixels),
            },
            {"OpenCV, 8 bits": "0.50", "bare torch": "0.15"},
        )
        yield Comparison(
            "asset as a whole command",
            command(folder),
            commands(folder, half, cut),
            {"pyvips": "0.70", "ImageMagick": "0.50"},
        )


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


def computing(folder: Path, half: tuple[int, int], cut: tuple[int, int, int, int]) -> Graph:
    """The same nodes between pictures that are there already and the last one's value."""
    a, b = (
        Image(np.asarray(PIL.Image.open(folder / f"{name}.png"))[None], channels=tuple("RGBA"), alpha="straight")
        for name in "ab"
    )

    @operation(infer=lambda: a, cache="never")
    def bench_a() -> Image:
        """The picture below."""
        return a

    @operation(infer=lambda: b, cache="never")
    def bench_b() -> Image:
        """The picture on top."""
        return b

    made = Pipeline()
    top = made.node("b", bench_b)
    product = made.node("product", "merge", base=made.node("a", bench_a), top=top, operation="multiply")
    card = made.node("card", "merge", base=product, top=top, operation="over")
    small = made.node("half", "resize", image=card, width=half[0], height=half[1], filter="lanczos3")
    turned = made.node("turned", "rotate", image=small, angle=10, filter="bilinear")
    x, y, width, height = cut
    kept = made.node("cut", "crop", image=turned, x=x, y=y, width=width, height=height)
    made.output("sharp", made.node("sharp", "unsharp_mask", image=kept, amount=1.0, sigma=2.0))
    return made.graph()


def command(folder: Path) -> Job:
    pipeline = Path(sys.executable).with_name("pipeline")
    return process([pipeline, "run", folder / "asset.yaml", "--no-cache", "--quiet"])


def commands(folder: Path, half: tuple[int, int], cut: tuple[int, int, int, int]) -> dict[str, Job]:
    """Others as commands of their own."""

    def pyvips() -> object:
        import pyvips  # noqa: F401  it's to say that it is missing

        return in_vips()

    in_vips = process([sys.executable, folder / "vips.py", folder, *map(str, (*half, *cut))])
    x, y, cw, ch = cut
    size = f"{half[0]}x{half[1]}!"
    both = ["(", folder / "a.png", folder / "b.png", "-compose", "multiply", "-composite", ")", folder / "b.png"]
    turn = ["-distort", "SRT", "10", "-crop", f"{cw}x{ch}+{x}+{y}", "+repage", "-unsharp", "0x2+1+0"]
    after = ["-compose", "over", "-composite", "-filter", "Lanczos", "-resize", size, *turn]
    # quality 15 is zlib level 1 with filters chosen row by row
    finish = ["-quality", "15", folder / "magick.png"]

    def magick() -> object:
        return process([imagemagick(), *both, *after, *finish])()

    a, b, oiio = folder / "a.png", folder / "b.png", folder / "oiiotool.png"
    joined = [a, b, "--mul", b, "--swap", "--over", "--resize:filter=lanczos3", f"{half[0]}x{half[1]}"]
    turned = ["--rotate:filter=triangle", "10", "--cut", f"{cw}x{ch}+{x}+{y}", "--unsharp:width=12", "--origin", "+0+0"]
    saved = ["-d", "uint8", "--compression", "zip:1", "-o", oiio]

    def oiiotool() -> object:
        found = shutil.which("oiiotool", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        if found is None:
            raise Absent("no command oiiotool")
        return process([found, *joined, *turned, *saved])()

    return {"pyvips": pyvips, "ImageMagick": magick, "oiiotool": oiiotool}


def imagemagick() -> str:
    """Its command, which versions before 7 call `convert`; so are programs of others."""
    for name in ("magick", "convert"):
        found = shutil.which(name)
        if found and b"ImageMagick" in subprocess.run([found, "-version"], capture_output=True, check=False).stdout:
            return found
    raise Absent("no command magick or convert of ImageMagick")


if __name__ == "__main__":
    table("asset", comparisons)

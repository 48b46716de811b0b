"""One asset from files to a file: `python -m benchmarks.asset [--rounds N] [--small]`.

Two 4K RGBA PNGs are multiplied and laid over each other, halved with Lanczos, turned by 10 degrees, cut, sharpened and
written as PNG at level 1: as a pipeline file, and as straight-line code for OpenCV (8 bits) and libvips. Warm, in one
process; then as whole commands.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pyvips

from benchmarks.codecs import photo
from benchmarks.timing import machine, medians
from pipeline_core.api import run
from pipeline_core.events import Event, Finished

Array = np.ndarray[Any, Any]
WIDTH, HEIGHT = 3840, 2160
ANGLE, AMOUNT, SIGMA = 10.0, 1.0, 2.0
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


class Asset:
    """The pictures and the file in a folder, and everybody's way to make the same."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self.folder, self.half = folder, (width // 2, height // 2)
        self.cut = width // 20, height // 20, width * 2 // 5, height * 2 // 5
        a = photo(width, height)
        for name, pixels in (("a", a), ("b", np.ascontiguousarray(a[::-1, ::-1]))):
            PIL.Image.fromarray(pixels).save(folder / f"{name}.png", compress_level=6)
        x, y, cw, ch = self.cut
        text = FILE.format(w=self.half[0], h=self.half[1], x=x, y=y, cw=cw, ch=ch)
        (folder / "asset.yaml").write_text(text)

    def ours(self, *listeners: Any) -> None:
        run(self.folder / "asset.yaml", save=True, cache=False, device="cpu", listeners=listeners)

    def opencv(self) -> None:
        a, b = (cv2.imread(str(self.folder / f"{name}.png"), cv2.IMREAD_UNCHANGED) for name in "ab")
        cv2.imwrite(str(self.folder / "cv2.png"), self.opencv_compute(a, b), [cv2.IMWRITE_PNG_COMPRESSION, 1])

    def opencv_compute(self, a: Array, b: Array) -> Array:
        """8 bits all the way, as one writes it who is after speed."""
        product = cv2.multiply(a, b, scale=1 / 255)
        alpha = cv2.cvtColor(b[..., 3], cv2.COLOR_GRAY2BGRA)
        alpha[..., 3] = b[..., 3]
        kept = cv2.multiply(product, cv2.bitwise_not(alpha), scale=1 / 255)
        card = cv2.add(b, kept)
        half = cv2.resize(card, self.half, interpolation=cv2.INTER_LANCZOS4)
        matrix = cv2.getRotationMatrix2D((self.half[0] / 2 - 0.5, self.half[1] / 2 - 0.5), ANGLE, 1)
        turned = cv2.warpAffine(half, matrix, self.half, flags=cv2.INTER_LINEAR)
        x, y, cw, ch = self.cut
        cut = turned[y : y + ch, x : x + cw]
        return cv2.addWeighted(cut, 1 + AMOUNT, cv2.GaussianBlur(cut, (0, 0), SIGMA), -AMOUNT, 0)

    def vips(self) -> None:
        a, b = (pyvips.Image.new_from_file(str(self.folder / f"{name}.png")) for name in "ab")
        card = a.composite2(b, "multiply").composite2(b, "over")
        half = card.cast("uchar").resize(0.5, kernel="lanczos3")
        turned = half.similarity(angle=-ANGLE, interpolate=pyvips.Interpolate.new("bilinear"))
        x, y, cw, ch = self.cut
        left, upper = (turned.width - self.half[0]) // 2, (turned.height - self.half[1]) // 2
        cut = turned.crop(left + x, upper + y, cw, ch)
        sharp = cut + (cut - cut.gaussblur(SIGMA)) * AMOUNT
        sharp.cast("uchar").pngsave(str(self.folder / "vips.png"), compression=1)


def stages(asset: Asset) -> None:
    """Where our own time goes."""
    rows: dict[str, list[float]] = {}

    def heard(event: Event) -> None:
        if isinstance(event, Finished):
            rows.setdefault(event.node, []).append(event.seconds)

    for _ in range(5):
        asset.ours(heard)
    print("\n| node | ms |\n|---|---|")
    for name, seconds in rows.items():
        print(f"| {name} | {statistics.median(seconds) * 1e3:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asset")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--small", action="store_true", help="960 x 540, to see that it runs")
    parser.add_argument("--stages", action="store_true", help="where our own time goes, instead")
    given = parser.parse_args()
    width, height = (960, 540) if given.small else (WIDTH, HEIGHT)
    pyvips.cache_set_max(0)  # else it decodes the files once and for all
    with tempfile.TemporaryDirectory() as folder:
        asset = Asset(Path(folder), width, height)
        if given.stages:
            asset.ours()
            stages(asset)
            return
        warm = {"pipeline-core": asset.ours, "OpenCV, 8 bits": asset.opencv, "libvips": asset.vips}
        for job in warm.values():
            job()
        found = medians(warm, given.rounds)
        print(f"{machine()}; {width} x {height}, medians of {given.rounds} alternating runs\n")
        print("| warm, in one process | ms | ours to it | goal |\n|---|---|---|---|")
        mine = found["pipeline-core"]
        for name, seconds in found.items():
            print(f"| {name} | {seconds * 1e3:,.0f} | {mine / seconds:.2f} | 0.50 |")


if __name__ == "__main__":
    main()

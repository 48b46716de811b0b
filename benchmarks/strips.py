"""What strips gain for operations as a plugin's author writes them: `python -m benchmarks.strips [--rounds N]`.

Ten pointwise operations in plain torch on 3840 x 2160 RGBA, 8 bits in, floats inside: as nodes of a pipeline, with strips
and without; as ten lines of torch on whole pictures; and the same ten lines written out in strips by hand. Then one
operation alone, beside torch with `out=` on a buffer that is used again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.timing import Comparison, Job, table
from pipeline_core import Image, Pipeline, operation
from pipeline_core.graph import Graph

WIDTH, HEIGHT = 3840, 2160
CHANNELS = ("R", "G", "B", "A")
ROWS = 32
SOURCE = np.random.default_rng(0).integers(0, 256, (1, HEIGHT, WIDTH, 4), np.uint8)


def _picture() -> Image:
    return Image.stand_in(WIDTH, HEIGHT, CHANNELS, dtype="uint8", alpha="straight")


@operation(infer=_picture, cache="never")
def bench_source() -> Image:
    """A picture that is there."""
    return Image(SOURCE, channels=CHANNELS, alpha="straight")


@operation(support=0)
def bench_scale(image: Image, *, by: float) -> Image:
    """x * by"""
    return image.with_pixels(image.pixels * by)


@operation(support=0)
def bench_lift(image: Image, *, by: float) -> Image:
    """x + by"""
    return image.with_pixels(image.pixels + by)


@operation(support=0)
def bench_clamp(image: Image) -> Image:
    """Into 0 to 1."""
    return image.with_pixels(image.pixels.clamp(0, 1))


@operation(support=0)
def bench_invert(image: Image) -> Image:
    """1 - x"""
    return image.with_pixels(1 - image.pixels)


@operation(support=0)
def bench_square(image: Image) -> Image:
    """x * x"""
    return image.with_pixels(image.pixels * image.pixels)


def ten() -> Graph:
    made = Pipeline()
    node = made.node("source", bench_source)
    for turn in range(2):
        node = made.node(f"scale{turn}", bench_scale, image=node, by=1.1)
        node = made.node(f"lift{turn}", bench_lift, image=node, by=0.01)
        node = made.node(f"clamp{turn}", bench_clamp, image=node)
        node = made.node(f"invert{turn}", bench_invert, image=node)
        node = made.node(f"square{turn}", bench_square, image=node)
    made.output("last", node)
    return made.graph()


def written_out(pixels: torch.Tensor) -> torch.Tensor:
    for _ in range(2):
        pixels = pixels * 1.1
        pixels = pixels + 0.01
        pixels = pixels.clamp(0, 1)
        pixels = 1 - pixels
        pixels = pixels * pixels
    return pixels


def floats(rows: np.ndarray) -> torch.Tensor:  # type: ignore[type-arg]  # of any type
    return torch.from_numpy(rows).permute(0, 3, 1, 2).float() / 255


def whole() -> torch.Tensor:
    return written_out(floats(SOURCE))


KEPT = torch.empty(1, 4, HEIGHT, WIDTH)
SAME = torch.empty(1, HEIGHT, WIDTH, 4).permute(0, 3, 1, 2)


def by_hand() -> torch.Tensor:
    """In one thread, which is quickest with so few rows, and the same memory every time, as a careful author would."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for top in range(0, HEIGHT, ROWS):
        KEPT[:, :, top : top + ROWS] = written_out(floats(SOURCE[:, top : top + ROWS]))
    torch.set_num_threads(threads)
    return KEPT


def engine(graph: Graph, *, strips: bool) -> Job:
    from pipeline_core.api import run_graph

    return lambda: run_graph(graph, cache=False, device="cpu", strips=strips).outputs["last"]


@operation(infer=lambda: _picture().like(), cache="never")
def bench_floats() -> Image:
    """The same in floats."""
    return FLOATS


FLOATS = Image(SOURCE.astype(np.float32) / 255, channels=CHANNELS, alpha="straight")


def one() -> Graph:
    made = Pipeline()
    made.output("last", made.node("scale", bench_scale, image=made.node("floats", bench_floats), by=1.1))
    return made.graph()


def with_out() -> torch.Tensor:
    return torch.mul(FLOATS.pixels, 1.1, out=SAME)


def comparisons(small: bool = False) -> Iterator[Comparison]:
    """At 4K however `small`, since strips are for pictures that caches can't hold."""
    graph = ten()
    yield Comparison(
        "ten pointwise nodes",
        engine(graph, strips=True),
        {
            "bare torch, whole pictures": whole,
            "bare torch, strips by hand": by_hand,
            "no strips": engine(graph, strips=False),
        },
        {"bare torch, whole pictures": "0.10", "bare torch, strips by hand": "1.5"},
    )
    graph = one()
    yield Comparison(
        "one operation with a new picture for its result",
        engine(graph, strips=True),
        {"torch with `out=`": with_out, "no strips": engine(graph, strips=False)},
        {"torch with `out=`": "1.15"},
    )


if __name__ == "__main__":
    table("strips", comparisons)

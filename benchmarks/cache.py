"""What the cache costs and saves, with pictures of 3840 x 2160 RGBA float32: `python -m benchmarks.cache`.

What of it is a ratio to something else is told by `python -m benchmarks cache`, too.
"""

from __future__ import annotations

import gc
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import xxhash

from benchmarks.strips import ten
from benchmarks.timing import HEAD, Comparison, Job, Taken, clocked, machine, medians, process, tell
from pipeline_core import Image, Pipeline, operation
from pipeline_core.cache import Cache, proofs
from pipeline_core.cache.record import Record
from pipeline_core.graph import Graph

WIDTH, HEIGHT = 3840, 2160
NODES = 18
PASSES = 5
"""So that a node takes over 100 ms; a picture has 133 MB."""
CHANNELS = ("R", "G", "B", "A")
ROUNDS = 5


@operation(infer=lambda *, seed: Image.stand_in(WIDTH, HEIGHT, CHANNELS, alpha="straight"))
def bench_noise(*, seed: int) -> Image:
    """Noise."""
    pixels = np.random.default_rng(seed).random((1, HEIGHT, WIDTH, 4), np.float32)
    return Image(pixels, channels=CHANNELS, alpha="straight")


@operation(infer=lambda image, *, power: image)
def bench_curve(image: Image, *, power: float) -> Image:
    """A power curve, over and over: one core at work, as a filter's kernel would be."""
    array = np.empty_like(image.buffer)
    for _ in range(PASSES):
        np.power(image.buffer, np.float32(power), out=array)
    return image.with_buffer(array)


def chain(seed: int) -> Graph:
    made = Pipeline()
    node = made.node("noise", bench_noise, seed=seed)
    for i in range(NODES):
        node = made.node(f"curve{i}", bench_curve, image=node, power=1.0 + i / 50)
    made.output("last", node)
    return made.graph()


def on_a_miss(folder: Path) -> tuple[dict[str, float], dict[str, int]]:
    """Seconds of a run with a new cache, of one without, and of writing one picture bare; most bytes, and results stored."""
    from pipeline_core.api import run_graph

    graph = chain(1)
    shown: dict[str, int] = {}

    def run(cache: Path | bool) -> Callable[[], None]:
        def job() -> None:
            gc.collect()
            with peak_memory() as peak:
                run_graph(graph, cache=cache, device="cpu", jobs=1)
            name = "off" if cache is False else "on"
            shown[name] = max(shown.get(name, 0), peak[0])
            if cache:
                with Cache.open(folder) as kept:
                    shown["stored"] = kept.info().entries
                shutil.rmtree(folder, ignore_errors=True)

        return job

    picture, beside = bench_noise(seed=2).buffer, folder.with_name("beside")

    def bare() -> None:
        picture.tofile(beside)
        beside.unlink()

    found = medians({"off": run(False), "on": run(folder), "bare": bare}, ROUNDS)
    return found, shown


class peak_memory:  # noqa: N801  a context manager, read as one
    """The most resident bytes of this process meanwhile, looked at 100 times a second."""

    def __enter__(self) -> list[int]:
        import psutil

        self.found, self.done = [0], threading.Event()
        memory = psutil.Process().memory_info

        def look() -> None:
            while not self.done.wait(0.01):
                self.found[0] = max(self.found[0], memory().rss)

        self.thread = threading.Thread(target=look, daemon=True)
        self.thread.start()
        return self.found

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()


def loading(folder: Path) -> tuple[float, float, int]:
    """Median seconds to load one proved result, and to read and hash the same bytes; how many."""
    image = bench_noise(seed=3)
    with Cache.open(folder, memory=0) as cache:
        found = stored(cache, image)
        assert cache._disk is not None
        path = cache._disk.path(found.outputs[0].blob)

        def load() -> None:
            proofs.forget()
            assert cache.load(found) is not None

        def limit() -> None:
            whole, chunk = xxhash.xxh3_128(), memoryview(bytearray(1 << 18))
            with open(path, "rb", buffering=0) as file:
                while got := file.readinto(chunk):
                    whole.update(chunk[:got])

        seconds = medians({"load": load, "limit": limit}, 3 * ROUNDS)
    return seconds["load"], seconds["limit"], found.nbytes


def cheap(graph: Graph, folder: Path | None) -> Job:
    """A first run of it, with an empty cache or without one."""
    from pipeline_core.api import run_graph

    def job() -> Taken:
        gc.collect()
        taken = clocked(lambda: run_graph(graph, cache=folder or False, device="cpu"))
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        return taken

    return job


def hit(folder: Path) -> Iterator[Comparison]:
    """A result on disk passed over once, beside one in memory: proved a while ago in this process, and proved now."""
    picture = bench_noise(seed=3)
    with Cache.open(folder, memory=0) as cache:
        found = stored(cache, picture)

        def from_disk() -> object:
            values = cache.load(found)
            assert values is not None
            return values[0].pixels.sum()

        def proved() -> object:
            proofs.forget()
            return from_disk()

        def in_memory() -> object:
            return picture.pixels.sum()

        time.sleep(0.1)
        from_disk()
        yield Comparison(
            "a hit on disk, to the first pass over its pixels",
            from_disk,
            {"the same in memory": in_memory},
            {"the same in memory": "1.3"},
        )
        yield Comparison("the same at the first time in a process, when it is proved", proved, {"in memory": in_memory})


def stored(cache: Cache, picture: Image) -> Record:
    """The record of it."""
    cache.store(
        key="k", operation_key="o", values=(picture,), seconds=9, recompute_seconds=9, policy="always", node="n"
    )
    cache.flush()
    found = cache.find("k")
    assert found is not None
    return found


def again(folder: Path) -> Comparison:
    """An unchanged run of 12 nodes in 4K, and the price it is held against: imports, and hashing."""
    from PIL import Image as Pillow

    (folder / "art").mkdir(parents=True)
    noise = np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    noise[:, :, :] //= 16
    Pillow.fromarray(noise).save(folder / "art" / "photo.png", compress_level=1)
    lines = ["pipeline: 1", "nodes:", "  n0: {op: load_image, params: {path: art/photo.png}}"]
    lines += [f"  n{i}: {{op: {('flip', 'flop')[i % 2]}, inputs: {{image: n{i - 1}}}}}" for i in range(1, 12)]
    lines += ["outputs:", "  last: {from: n11, path: out/last.jpg}"]
    file = folder / "twelve.yaml"
    file.write_text("\n".join(lines) + "\n")
    command = [Path(sys.executable).with_name("pipeline"), "run", file, "--device", "cpu"]
    price = (
        "import pydantic, yaml, sqlite3, sys; from blake3 import blake3\n"
        "for path in sys.argv[1:]: blake3(open(path, 'rb').read()).hexdigest()"
    )
    inputs = process([sys.executable, "-c", price, folder / "art" / "photo.png"])
    return Comparison(
        "`pipeline run` again, 12 nodes in 4K, nothing changed",
        process(command, PIPELINE_CACHE=str(folder / "cache")),
        {"imports and hashing": inputs},
        {"imports and hashing": "2"},
    )


def comparisons(small: bool = False) -> Iterator[Comparison]:
    """At 4K however `small`."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        graph = ten()
        off = cheap(graph, None)
        yield Comparison(
            "a cheap first run, ten pointwise nodes, with a cache",
            cheap(graph, folder / "cheap"),
            {"without": off},
            {"without": "1.05"},
        )
        yield from hit(folder / "hit")
        yield again(folder / "again")


def main() -> None:
    print(f"{machine()}; medians of alternating runs\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        miss, shown = on_a_miss(folder / "miss")
        memory = shown["on"] - shown["off"]
        print(
            f"A miss: {NODES + 1} nodes of {miss['off'] / (NODES + 1) * 1e3:.0f} ms, 133 MB each: {miss['on']:.2f} s with the cache, "
            f"{miss['off']:.2f} s without: {miss['on'] / miss['off']:.2f}x (goal 1.15x), {memory / 2**20:,.0f} MiB more memory; "
            f"{shown['stored']} stored, and to write one bare takes {miss['bare'] * 1e3:.0f} ms"
        )
        load, limit, size = loading(folder / "load")
        print(
            f"A hit: {size / load / 1e9:.2f} GB/s proved and mapped; reading and hashing alone {size / limit / 1e9:.2f} GB/s: "
            f"{load / limit:.2f}x (goal 1.5 GB/s or 1.3x)"
        )
        print(f"\n{HEAD}")
        tell([again(folder / "again")], ROUNDS)


if __name__ == "__main__":
    main()

"""What an accelerator gains, and what the engine costs there: `python -m benchmarks.accelerator [--device cuda]`.

Ten pointwise operations in plain torch on 3840 x 2160 RGBA: as nodes of a pipeline on the accelerator, called and compiled, and
on the CPU, and as bare torch on the accelerator; one asset from files to a file (see `benchmarks.asset`); what the first run takes that
compiles; then ways to bring pixels there and back. Says why where there is no accelerator.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.asset import computing, prepare
from benchmarks.strips import CHANNELS, HEIGHT, SOURCE, WIDTH, ten, written_out
from benchmarks.timing import machine
from pipeline_core.api import run, run_graph
from pipeline_core.devices import choose
from pipeline_core.values import move

ROUNDS = 9


def seconds(job: Callable[[], object], device: str, rounds: int = ROUNDS) -> float:
    """Median, with the device done."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else torch.mps.synchronize
    taken = []
    for turn in range(rounds + 2):
        wait()
        began = time.perf_counter()
        job()
        wait()
        if turn >= 2:
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def nodes(device: str) -> None:
    """The same ten operations by the engine and without it."""
    graph = ten()
    on_device = torch.from_numpy(SOURCE).to(device)

    def bare_there() -> torch.Tensor:
        return written_out(on_device.permute(0, 3, 1, 2).to(torch.float32) / 255)

    def bare() -> torch.Tensor:
        there = torch.from_numpy(SOURCE).to(device)
        return written_out(there.permute(0, 3, 1, 2).to(torch.float32) / 255)

    by_torch = torch.compile(written_out, dynamic=False)

    def bare_compiled() -> torch.Tensor:
        found: torch.Tensor = by_torch(on_device.permute(0, 3, 1, 2).to(torch.float32) / 255)
        return found

    began = time.perf_counter()
    run_graph(graph, cache=False, device=device, compiled=True)
    print(f"\nthe first run that compiles: {time.perf_counter() - began:.1f} s")
    ways: dict[str, Callable[[], object]] = {
        "pipeline, accelerator": lambda: run_graph(graph, cache=False, device=device),
        "pipeline, accelerator, compiled": lambda: run_graph(graph, cache=False, device=device, compiled=True),
        "bare torch, accelerator, upload and all": bare,
        "bare torch, accelerator, compiled, pixels already there": bare_compiled,
        "bare torch, accelerator, pixels already there": bare_there,
        "pipeline, CPU": lambda: run_graph(graph, cache=False, device="cpu"),
    }
    found = {name: seconds(job, device) for name, job in ways.items()}
    first = next(iter(found.values()))
    print("\n| ten pointwise operations, 4K | ms | pipeline on the accelerator to it |\n|---|---|---|")
    for name, taken in found.items():
        print(f"| {name} | {taken * 1e3:.2f} | {first / taken:.2f} |")
    here = run_graph(graph, cache=False, device="cpu").outputs["last"]
    for compiled in (False, True):
        there = move(run_graph(graph, cache=False, device=device, compiled=compiled).outputs["last"], "cpu")
        how = "compiled" if compiled else "called"
        print(f"\nlargest difference to the CPU's, {how}: {np.abs(there.array - here.array).max():.2e}")


def one_asset(device: str) -> None:
    """From files to a file, and its computing alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        half, cut = prepare(folder, WIDTH, HEIGHT)
        file, graph = folder / "asset.yaml", computing(folder, half, cut)

        def whole(on: str, *, compiled: bool = False) -> Callable[[], object]:
            return lambda: run(file, save=True, cache=False, device=on, compiled=compiled)

        def alone(on: str, *, compiled: bool = False) -> Callable[[], object]:
            return lambda: run_graph(graph, cache=False, device=on, compiled=compiled)

        ways = {
            "from files to a file, accelerator": whole(device),
            "from files to a file, accelerator, compiled": whole(device, compiled=True),
            "from files to a file, CPU": whole("cpu"),
            "computing alone, accelerator, upload and all": alone(device),
            "computing alone, accelerator, compiled": alone(device, compiled=True),
            "computing alone, CPU": alone("cpu"),
        }
        print("\n| one asset, 4K | ms |\n|---|---|")
        for way, job in ways.items():
            print(f"| {way} | {seconds(job, device) * 1e3:.2f} |")


def transfers(device: str) -> None:
    """Bytes there and back."""
    pixels = torch.from_numpy(SOURCE)
    floats = torch.from_numpy(np.random.default_rng(0).random((1, HEIGHT, WIDTH, len(CHANNELS)), np.float32))
    there = floats.to(device)
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "up, 8 bits": (pixels.nbytes, lambda: pixels.to(device)),
        "up, 8 bits, through pinned memory": (
            pixels.nbytes,
            lambda: pixels.pin_memory().to(device, non_blocking=True),
        ),
        "up, floats": (floats.nbytes, lambda: floats.to(device)),
        "up, floats, through pinned memory": (
            floats.nbytes,
            lambda: floats.pin_memory().to(device, non_blocking=True),
        ),
        "down, floats": (floats.nbytes, lambda: there.to("cpu")),
        "down, floats, through pinned memory": (
            floats.nbytes,
            lambda: torch.empty_like(floats, pin_memory=True).copy_(there, non_blocking=True),
        ),
    }
    print("\n| transfer, 4K RGBA | ms | GB/s |\n|---|---|---|")
    for name, (size, job) in ways.items():
        taken = seconds(job, device)
        print(f"| {name} | {taken * 1e3:.2f} | {size / taken / 1e9:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerator")
    parser.add_argument("--device", default="auto")
    device = choose(parser.parse_args().device)
    if device == "cpu":
        print("no accelerator on this machine: nothing to measure")
        return
    name = torch.cuda.get_device_name() if device.startswith("cuda") else device
    print(f"{name}, torch {torch.__version__}; {machine()}; medians of {ROUNDS}")
    nodes(device)
    one_asset(device)
    transfers(device)


if __name__ == "__main__":
    main()

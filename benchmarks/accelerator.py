"""What an accelerator gains, and what the engine costs there: `python -m benchmarks.accelerator [--device cuda]`.

Ten pointwise operations in plain torch and a Gaussian blur on 3840 x 2160 RGBA: as nodes of a pipeline on the accelerator
and on the CPU, and as bare torch on the accelerator; then ways to bring pixels there and back. Says why where there is none.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.strips import CHANNELS, HEIGHT, SOURCE, WIDTH, ten, written_out
from benchmarks.timing import machine
from pipeline_core.api import run_graph
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

    ways: dict[str, Callable[[], object]] = {
        "pipeline, accelerator": lambda: run_graph(graph, cache=False, device=device),
        "bare torch, accelerator, upload and all": bare,
        "bare torch, accelerator, pixels already there": bare_there,
        "pipeline, CPU": lambda: run_graph(graph, cache=False, device="cpu"),
    }
    found = {name: seconds(job, device) for name, job in ways.items()}
    first = next(iter(found.values()))
    print("\n| ten pointwise operations, 4K | ms | pipeline on the accelerator to it |\n|---|---|---|")
    for name, taken in found.items():
        print(f"| {name} | {taken * 1e3:.2f} | {first / taken:.2f} |")
    there = move(run_graph(graph, cache=False, device=device).outputs["last"], "cpu")
    here = run_graph(graph, cache=False, device="cpu").outputs["last"]
    print(f"\nlargest difference between the two: {np.abs(there.array - here.array).max():.2e}")


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
    transfers(device)


if __name__ == "__main__":
    main()

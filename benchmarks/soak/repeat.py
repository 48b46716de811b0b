"""R10: the same file in fresh processes, with one thread and two, one worker and several, its nodes in any order."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.soak.outcome import Outcome
from pipeline_core import Image, Seed, operation

TOLERANCE = 1e-6
"""Between thread counts; relative to the largest value."""
NODES: dict[str, Any] = {
    "ramp": {"op": "gradient", "params": {"width": 640, "height": 400, "angle": 30, "channels": "RGBA"}},
    "checks": {"op": "checkerboard", "params": {"width": 640, "height": 400}},
    "turned": {"op": "rotate", "inputs": {"image": "ramp"}, "params": {"angle": 17}},
    "bright": {"op": "exposure", "inputs": {"image": "turned"}, "params": {"stops": 0.7}},
    "grey": {"op": "saturation", "inputs": {"image": "bright"}, "params": {"amount": 0.3}},
    "card": {"op": "merge", "inputs": {"base": "checks", "top": "grey"}},
    "small": {"op": "resize", "inputs": {"image": "card"}, "params": {"width": 333, "filter": "lanczos3"}},
    "noise": {"op": "repeat_noise", "params": {"seed": 5}},
    "trained": {"op": "repeat_trained", "params": {"seed": 5}},
}
OUTPUTS = ("turned", "grey", "card", "small", "noise", "trained")


@operation(cache="never", infer=lambda *, seed: Image.stand_in(64, 64))
def repeat_noise(*, seed: Seed) -> Image:
    """Noise of a generator of its own."""
    import torch

    return Image(torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(seed)))


@operation(cache="never", infer=lambda *, seed: Image.stand_in(64, 64))
def repeat_trained(*, seed: Seed) -> Image:
    """A picture that a small network was trained on for 30 steps."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(1, 3, 64, 64, generator=generator)
    weights = [torch.randn(8, 3, 3, 3, generator=generator) * 0.2, torch.randn(3, 8, 3, 3, generator=generator) * 0.2]
    with torch.enable_grad():
        for weight in weights:
            weight.requires_grad_()
        optimizer = torch.optim.Adam(weights, lr=0.01)
        for _ in range(30):
            hidden = torch.relu(torch.conv2d(target, weights[0], padding=1))
            found = torch.conv2d(hidden, weights[1], padding=1)
            optimizer.zero_grad()
            (found - target).square().mean().backward()
            optimizer.step()
    return Image(found.detach().permute(0, 2, 3, 1))


def r10(count: int, work: Path) -> Outcome:
    """Half the processes have one thread, half two; every other one several workers; each its nodes in another order."""
    outcome = Outcome("R10", rounds=count)
    luck = random.Random(10)
    first: dict[int, dict[str, str]] = {}
    arrays = {threads: work / f"{threads}.npz" for threads in (1, 2)}
    for number in range(count):
        threads, jobs = 1 + number % 2, (1, 4)[number // 2 % 2]
        nodes = dict(luck.sample(sorted(NODES.items()), len(NODES)))
        if number % 3 == 2:
            nodes["more"] = {"op": "repeat_noise", "params": {"seed": 6}}
        file = work / f"{number}.json"
        outputs = {name: {"from": name} for name in nodes if name in (*OUTPUTS, "more")}
        file.write_text(json.dumps({"pipeline": 1, "nodes": nodes, "outputs": outputs}))
        digests = in_a_fresh_process(file, threads, jobs, arrays[threads])
        digests.pop("more", None)
        expected = first.setdefault(threads, digests)
        if wrong := [name for name in expected if digests.get(name) != expected[name]]:
            outcome.fail(f"process {number}, {threads} threads, {jobs} workers: {wrong} differ")
    outcome.figures = "bit-identical within a thread count"
    if count > 1:
        with np.load(arrays[1]) as one, np.load(arrays[2]) as two:
            off = {name: float(np.abs(one[name] - two[name]).max() / np.abs(one[name]).max()) for name in OUTPUTS}
        worst = max(off, key=lambda name: off[name])
        outcome.figures += f"; between one thread and two at most {off[worst]:.1e} ({worst})"
        if off[worst] > TOLERANCE:
            outcome.fail(f"one thread and two differ by {off[worst]:.1e} in '{worst}'")
    return outcome


def in_a_fresh_process(file: Path, threads: int, jobs: int, arrays: Path) -> dict[str, str]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    called = [sys.executable, "-m", "benchmarks.soak.repeat", str(file), str(threads), str(jobs), str(arrays)]
    done = subprocess.run(called, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def main(file: str, threads: str, jobs: str, arrays: str) -> None:
    """Runs the file without a cache and prints the digest of every output."""
    import cv2
    import torch
    import xxhash

    import pipeline_core

    torch.set_num_threads(int(threads))
    cv2.setNumThreads(int(threads))
    outputs = pipeline_core.run(
        file, cache=False, device="cpu", jobs=int(jobs), operations=[repeat_noise, repeat_trained]
    )
    values = {name: np.ascontiguousarray(image.array) for name, image in outputs.items()}
    np.savez(arrays, **values)
    print(json.dumps({name: xxhash.xxh3_128_hexdigest(value) for name, value in values.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Networks in pipelines: `super_resolve` beside its network called bare, its memory, and how soon a bundled model is ready.

python -m benchmarks.models            # the speed, on 1080p; --rounds N, --small
python -m benchmarks.models memory     # peak memory of a 4K picture, and of smaller ones under caps
python -m benchmarks.models capped     # the latter alone
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.timing import Comparison, medians, table

MIB = 1 << 20
WHOLE, PLENTY = 65536, 1 << 20
"""The side of a tile that is any picture; and MiB that are more than any takes."""


def picture(width: int, height: int) -> Any:
    from pipeline_core import Image

    return Image(np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8))


def comparisons(small: bool = False) -> Iterator[Comparison]:
    import torch
    from pipeline_models import networks
    from pipeline_models.load import load_model
    from pipeline_models.upscale.super_resolve import super_resolve

    torch.set_grad_enabled(False)
    width, height = (320, 180) if small else (1920, 1080)
    image = picture(width, height)
    network = networks.build(load_model(name="photo-x2"))
    yield Comparison(
        f"`super_resolve`, {width} x {height} to twice the size",
        lambda: super_resolve(image),
        {"its network in bare torch": lambda: network(image.pixels)},
        {"its network in bare torch": "1.2"},
    )


def soon() -> None:
    """How soon a bundled model is ready."""
    from pipeline_models import networks
    from pipeline_models.load import load_model

    def ready() -> None:
        networks.forget()
        networks.build(load_model(name="photo-x2"))

    print(f"\nphoto-x2 loaded and built: {medians({'ready': ready}, 20)['ready'] * 1e3:.1f} ms (goal 50)")


def filled(image: Any, **params: int) -> Any:
    """The picture with holes over a fifth of it, filled by the network."""
    from pipeline_models.inpaint import inpaint

    from pipeline_core import Mask
    from training.holes import irregular

    hole = irregular(image.height, image.width, np.random.default_rng(1), 0.2)
    return inpaint(image, Mask(hole.astype(np.float32)[None, ..., None]), **params)


def child(what: str, width: int, height: int, memory: int, cap: float) -> None:
    """Works under a cap of `cap` MiB above what the process has (0: none); prints what it took, and some pixels.

    A `memory` of 0: all in one tile.
    """
    import psutil
    import torch
    from pipeline_models.upscale.super_resolve import super_resolve

    torch.set_num_threads(1)
    work = {"super_resolve": super_resolve, "inpaint": filled}[what]
    image = picture(width, height)
    if what == "inpaint":
        image = image.with_buffer(image.array)  # float, so that differences are seen
    work(image.with_buffer(image.buffer[:, :64, :64]))  # all is imported
    held = psutil.Process().memory_info()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if cap:
        resource.setrlimit(resource.RLIMIT_AS, (held.vms + int(cap * MIB),) * 2)
    began = time.process_time()
    result = work(image, **{"memory": memory} if memory else {"tile": WHOLE})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    seconds = time.process_time() - began
    pixels = result.array[0, :: max(1, height // 64), :: max(1, width // 64)].ravel()[:20000]
    print(
        json.dumps(
            {
                "seconds": seconds,
                "peak": (peak - before) / MIB,
                "result": result.nbytes / MIB,
                "pixels": pixels.tolist(),
            }
        )
    )


def apart(*arguments: object) -> dict[str, Any] | None:
    command = [sys.executable, "-m", "benchmarks.models", "child", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None  # type: ignore[no-any-return]  # our own JSON


def sooner(*arguments: object) -> dict[str, Any] | None:
    """The quickest of three runs; None where one failed."""
    found = [apart(*arguments) for _ in range(3)]
    return None if None in found else min((one for one in found if one), key=lambda one: one["seconds"])


def memory() -> None:
    print("| picture | memory given | peak above the picture and the result |\n|---|---|---|")
    for given in (256, 1024):
        found = apart("super_resolve", 3840, 2160, given, 0)
        print(
            f"| 4K to 8K | {given} MiB | {found['peak'] - found['result']:.0f} MiB |"
            if found
            else f"| 4K | {given} | failed |",
            flush=True,
        )
    capped()


def capped() -> None:
    """R12: less memory than the whole needs."""
    print("\n| | of the need untiled | finished | pixels differ by | processor time |\n|---|---|---|---|---|")
    for what, width, height in (("super_resolve", 640, 360), ("inpaint", 1280, 720)):
        whole = sooner(what, width, height, 0, 0)
        assert whole is not None
        for share in (1.2, 0.8, 0.5):
            found = sooner(what, width, height, PLENTY, share * whole["peak"])
            if found is None:
                print(f"| {what} | {share} | no | | |", flush=True)
                continue
            apart_by = np.abs(np.subtract(found["pixels"], whole["pixels"])).max()
            print(
                f"| {what} | {share} | yes | {apart_by:.1e} | {found['seconds'] / whole['seconds']:.2f} |", flush=True
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], *map(int, sys.argv[3:6]), float(sys.argv[6]))
    elif sys.argv[1:] == ["capped"]:
        capped()
    elif sys.argv[1:] == ["memory"]:
        memory()
    else:
        table("models", comparisons)
        soon()

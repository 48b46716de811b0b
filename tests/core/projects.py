"""A small project on disk, and the command called in this process: what the tests of the cache have in common."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image as Pillow

from pipeline_core.api import load, run_graph
from pipeline_core.cache import Cache
from pipeline_core.cli import main
from pipeline_core.events import Event, Finished, Warned

TWELVE = """\
pipeline: 1
params:
  left: {type: int, default: 2}
nodes:
  photo: {op: load_image, params: {path: art/photo.png}}
  cut: {op: crop, inputs: {image: photo}, params: {x: 1, y: 2, width: 20, height: 16}}
  turned: {op: flip, inputs: {image: cut}}
  quarter: {op: rotate90, inputs: {image: turned}}
  padded: {op: pad, inputs: {image: quarter}, params: {left: "${left}"}}
  mirrored: {op: flop, inputs: {image: padded}}
  shifted: {op: offset, inputs: {image: mirrored}, params: {x: 3, y: 1}}
  across: {op: transpose, inputs: {image: shifted}}
  corner: {op: crop, inputs: {image: photo}, params: {x: 0, y: 0, width: 9, height: 9}}
  upside: {op: flip, inputs: {image: corner}}
  around: {op: rotate90, inputs: {image: upside}}
  beside: {op: flop, inputs: {image: around}}
outputs:
  card: {from: across, path: out/card.png}
  aside: {from: beside, path: out/aside.png}
"""
AFTER_PADDED = {"padded", "mirrored", "shifted", "across"}


@dataclass(frozen=True)
class Called:
    """How a command ended."""

    code: int
    out: str
    err: str


def call(*arguments: object, cwd: Path | None = None) -> Called:
    """The command `pipeline` in this process."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["pipeline", *map(str, arguments)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", argv))
        stack.enter_context(contextlib.chdir(cwd or os.getcwd()))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Called(code, out.getvalue(), err.getvalue())


def save_photo(path: Path, seed: int = 1, **options: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)
    Pillow.fromarray(pixels).save(path, **options)


def make_project(folder: Path, text: str = TWELVE) -> Path:
    """The pipeline file of twelve nodes, with its photograph."""
    save_photo(folder / "art" / "photo.png")
    file = folder / "twelve.yaml"
    file.write_text(text)
    return file


@dataclass(frozen=True)
class Ran:
    """What one run computed, took from the cache, and warned of (encoders of outputs left out)."""

    computed: set[str]
    cached: int
    warned: list[str]
    outputs: dict[str, np.ndarray]


def run(file: Path, cache: Path | Cache, *, only: Iterable[str] = (), save: bool = False, **params: object) -> Ran:
    """Runs a file with a cache, by the Python way."""
    seen: list[Event] = []
    graph = load(file, params)
    result = run_graph(graph, only=tuple(only), cache=cache, save=save, device="cpu", listeners=[seen.append])
    done = [event for event in seen if isinstance(event, Finished) and event.node in graph.spec.nodes]
    return Ran(
        {event.node for event in done if not event.cached},
        result.cached,
        [event.message for event in seen if isinstance(event, Warned)],
        {name: image.array.copy() for name, image in result.outputs.items()},
    )


def blobs(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "v1" / "blobs").glob("*/*") if path.parent.name != "tmp")

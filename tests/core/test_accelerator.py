"""Whole pipelines on an accelerator give what they give on the CPU. Skipped where there is none."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline_core import Image, Pipeline, operation
from pipeline_core.api import run_graph
from pipeline_core.cache import Cache
from pipeline_core.events import Event, Finished, Warned
from pipeline_core.graph import Graph
from pipeline_core.image import Raster
from pipeline_core.testing.value_checks import accelerator
from pipeline_core.values import move

DEVICE = accelerator()
pytestmark = pytest.mark.skipif(DEVICE is None, reason="this machine has no accelerator")
SIZE = 384


def poster() -> Graph:
    """Of every family something: generated, drawn, filtered, graded, keyed, turned, merged, measured."""
    made = Pipeline()
    clouds = made.node("clouds", "noise", width=SIZE, height=SIZE, kind="perlin", octaves=4, seed=3)
    grain = made.node("grain", "mask_from_channel", image=clouds, channel="Y")
    board = made.node("board", "checkerboard", width=SIZE, height=SIZE)
    sky = made.node("sky", "gradient", width=SIZE, height=SIZE)
    graded = made.node("graded", "grade", image=sky, gain=1.2)
    soft = made.node("soft", "blur", image=graded, sigma=3.0)
    card = made.node("card", "merge", base=soft, top=board, mask=grain, operation="soft-light", opacity=0.5)
    turned = made.node("turned", "rotate", image=card, angle=10.0)
    half = made.node("half", "resize", image=turned, width=SIZE // 2, filter="lanczos3")
    sharp = made.node("sharp", "unsharp_mask", image=half)
    made.output("sharp", sharp)
    made.output("facts", made.node("facts", "statistics", image=sharp))
    return made.graph()


def values(**options: object) -> dict[str, object]:
    return {name: move(value, "cpu") for name, value in run_graph(poster(), **options).outputs.items()}  # type: ignore[arg-type]


def assert_alike(one: object, other: object) -> None:
    assert isinstance(one, Raster)
    assert isinstance(other, Raster)
    assert str(one) == str(other)
    assert np.abs(one.array - other.array).max() < 1e-4


def test_a_pipeline_gives_on_an_accelerator_what_it_gives_on_the_cpu() -> None:
    assert DEVICE is not None
    here, there = values(cache=False, device="cpu"), values(cache=False, device=DEVICE)
    assert_alike(here["sharp"], there["sharp"])


def test_values_stay_on_the_accelerator_between_nodes() -> None:
    assert DEVICE is not None
    made = run_graph(poster(), cache=False, device=DEVICE).outputs["sharp"]
    assert isinstance(made.buffer, torch.Tensor)
    assert made.device.startswith(DEVICE)


def test_what_an_accelerator_made_is_found_on_the_cpu_and_the_other_way_round(tmp_path: Path) -> None:
    assert DEVICE is not None
    for first, second in ((DEVICE, "cpu"), ("cpu", DEVICE)):
        with Cache.open(tmp_path / first, memory=0) as cache:
            made = run_graph(poster(), cache=cache, device=first)
            cache.flush()
            again = run_graph(poster(), cache=cache, device=second)
            assert made.computed > 0
            assert again.computed == 0
            assert np.array_equal(move(made.outputs["sharp"], "cpu").array, move(again.outputs["sharp"], "cpu").array)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler uses what torch deprecates
def test_compiled_it_gives_the_same() -> None:
    assert DEVICE is not None
    told: list[Event] = []
    called = values(cache=False, device=DEVICE)
    compiled = values(cache=False, device=DEVICE, compiled=True, listeners=[told.append])
    again = values(cache=False, device=DEVICE, compiled=True)
    assert not [event for event in told if isinstance(event, Warned)]
    assert {event.node for event in told if isinstance(event, Finished) and event.compiled} >= {
        "graded",
        "card",
        "sharp",
    }
    for made in (compiled, again):
        assert_alike(made["sharp"], called["sharp"])


def test_seconds_are_those_of_the_device() -> None:
    assert DEVICE is not None

    @operation()
    def long(image: Image) -> Image:
        """Launched at once, and done much later."""
        square = image.pixels.new_ones(4096, 4096)
        for _ in range(30):
            square = (square @ square).clamp(0, 1)
        return image.with_pixels(image.pixels * square.mean())

    made = Pipeline()
    made.output("last", made.node("long", long, image=made.node("board", "checkerboard", width=SIZE, height=SIZE)))
    run_graph(made.graph(), cache=False, device=DEVICE)
    began = time.perf_counter()
    result = run_graph(made.graph(), cache=False, device=DEVICE)
    whole = time.perf_counter() - began
    assert result.node_seconds["long"] > 0.3 * whole

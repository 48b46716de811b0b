"""Groups through operations that change size or place: the same pixels as step by step, and groups only where it pays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline_core import Image, Pipeline, Rows, operation
from pipeline_core import frames as frames_module
from pipeline_core import groups as groups_module
from pipeline_core import strips as strips_module
from pipeline_core.api import run_graph
from pipeline_core.events import Event, Finished
from pipeline_core.groups import form
from pipeline_core.plan import make_plan

WIDTH, HEIGHT = 37, 211
EXACT = ("crop", "pad", "flip", "flop", "offset", "translate", "rotate90", "brighter", "nearest")


def _sized(*, wrap: bool = False, **_: Any) -> Image:
    return Image.stand_in(WIDTH, HEIGHT, ("R", "G", "B", "A"), alpha="straight", wrap=(wrap, wrap))


@operation(infer=_sized, cache="never")
def noise(*, seed: int = 1, wrap: bool = False) -> Image:
    """Noise with alpha."""
    pixels = np.random.default_rng(seed).random((1, HEIGHT, WIDTH, 4), np.float32)
    return Image(pixels, channels=("R", "G", "B", "A"), alpha="straight", wrap=(wrap, wrap))


@operation(support=0)
def brighter(image: Image, *, amount: float = 1.5) -> Image:
    """Pointwise."""
    return image.with_pixels(image.pixels * amount)


@pytest.fixture(autouse=True)
def _small_pictures_count_as_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (groups_module, strips_module):
        monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(frames_module, "STRIP", 1)
    monkeypatch.setattr(frames_module, "LEAST", 3)


def _step(name: str, draw: Any, width: int, height: int) -> tuple[str, dict[str, Any], bool]:
    """(operation, params, whether results are the same to the bit)."""
    if name == "crop":
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        size = {"width": draw(st.integers(1, width - x)), "height": draw(st.integers(1, height - y))}
        return name, {"x": x, "y": y, **size}, True
    if name == "pad":
        sides = {side: draw(st.integers(0, 30)) for side in ("left", "right", "top", "bottom")}
        mode = draw(st.sampled_from(("constant", "edge", "repeat", "mirror")))
        return name, {**sides, "mode": mode, "color": "#10203080"}, True
    if name in ("offset", "translate"):
        return name, {"x": draw(st.integers(-50, 50)), "y": draw(st.integers(-250, 250))}, True
    if name == "rotate90":
        return name, {"turns": 2}, True
    if name in ("rotate", "affine", "shift"):
        near: dict[str, Any] = {
            "filter": draw(st.sampled_from(("nearest", "bilinear", "bicubic"))),
            "fill": "#10203080",
        }
        if name == "rotate":
            return name, {**near, "angle": draw(st.sampled_from((1.5, -4.0, 30.0, 180.0)))}, True
        if name == "shift":
            return "translate", {**near, "x": 2.3, "y": draw(st.sampled_from((-40.75, 3.1)))}, True
        rows = [[0.9, 0.05, 3.0], [draw(st.sampled_from((0.0, 0.04))), 0.8, -2.5]]
        return name, {**near, "matrix": rows, "antialias": False, "height": draw(st.integers(20, 250))}, True
    if name == "blur":
        return name, {"sigma": draw(st.sampled_from((0.6, 1.5)))}, False
    if name in ("nearest", "area", "bilinear", "bicubic", "mitchell", "lanczos3"):
        size = {"width": draw(st.integers(1, 60)), "height": draw(st.integers(1, 300))}
        return "resize", {**size, "filter": name, "antialias": draw(st.booleans())}, name == "nearest"
    return name, {}, True


NAMES = (*EXACT, "rotate", "affine", "shift", "blur", "area", "bicubic", "mitchell", "lanczos3", "bilinear")


@settings(
    max_examples=20, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_chain_gives_what_it_gives_step_by_step(data: st.DataObject) -> None:
    wrap, exact = data.draw(st.booleans()), True
    steps: list[tuple[Any, dict[str, Any]]] = []
    for _ in range(data.draw(st.integers(1, 5))):
        facts = make_plan(chain(*steps, wrap=wrap).graph()).steps[-1].facts[0]
        assert isinstance(facts, Image)
        name, params, same = _step(data.draw(st.sampled_from(NAMES)), data.draw, facts.width, facts.height)
        steps.append((brighter if name == "brighter" else name, params))
        exact &= same
    graph = chain(*steps, wrap=wrap).graph()
    whole = run_graph(graph, cache=False, strips=False).outputs["last"]
    for jobs in (1, 3):
        found = run_graph(graph, cache=False, jobs=jobs).outputs["last"]
        assert str(found) == str(whole)
        assert found.wrap == whole.wrap
        np.testing.assert_allclose(found.array, whole.array, rtol=0, atol=0 if exact else 2e-6)


def chain(*steps: tuple[Any, dict[str, Any]], wrap: bool = False) -> Pipeline:
    made = Pipeline()
    node = made.node("noise", noise, wrap=wrap)
    for i, (name, params) in enumerate(steps):
        node = made.node(f"n{i}", name, image=node, **params)
    made.output("last", node)
    return made


def grouped(made: Pipeline) -> list[list[str]]:
    plan = make_plan(made.graph())
    groups = form(plan, range(len(plan.steps)), lambda step: plan.graph.catalogue.load(step.node.operation))
    return [[plan.steps[i].name for i in group.steps] for group in groups]


def test_a_change_of_size_stays_in_the_group() -> None:
    crop = ("crop", {"x": 3, "y": 40, "width": 30, "height": 150})
    half = ("resize", {"scale": 0.5, "filter": "lanczos3"})
    made = chain((brighter, {}), crop, ("blur", {"sigma": 1.0}), half, ("flip", {}), (brighter, {}))
    assert grouped(made) == [["n0", "n1", "n2", "n3", "n4", "n5"]]
    events: list[Event] = []
    found = run_graph(made.graph(), cache=False, listeners=[events.append]).outputs["last"]
    strips = {event.node: event.strips for event in events if isinstance(event, Finished) and event.strips}
    assert set(strips) == {"n0", "n1", "n2", "n3", "n4", "n5"}
    whole = run_graph(made.graph(), cache=False, strips=False).outputs["last"]
    np.testing.assert_allclose(found.array, whole.array, rtol=0, atol=1e-6)


def test_one_change_of_size_alone_is_run_whole() -> None:
    assert grouped(chain(("flip", {}))) == []


def _everything(image: Image) -> Rows:
    """Every row of the result wants all rows of the input."""
    return Rows(
        image, lambda start, stop, strip: strip.with_buffer(strip.buffer[:, start:stop]), lambda a, b: (0, HEIGHT)
    )


@operation(infer=lambda image: image, rows=_everything)
def sideways(image: Image) -> Image:
    """As a turn by 45 degrees would."""
    return image


def test_what_needs_nearly_all_rows_begins_a_new_group() -> None:
    made = chain((brighter, {}), (sideways, {}), (brighter, {}))
    assert grouped(made) == [["n0"], ["n1", "n2"]]
    whole = run_graph(made.graph(), cache=False, strips=False).outputs["last"]
    assert np.array_equal(run_graph(made.graph(), cache=False).outputs["last"].array, whole.array)


def test_readers_of_several_sizes_share_a_group_where_their_rows_lie_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "LARGEST", 1)
    monkeypatch.setattr(frames_module, "LEAST", 32)
    made = Pipeline()
    node = made.node("bright", brighter, image=made.node("noise", noise))
    made.output("small", made.node("small", "resize", image=node, scale=0.25, filter="area"))
    made.output("large", node)
    assert grouped(made) == [["bright", "small"]]
    upper = made.node("upper", "crop", image=node, x=0, y=100, width=WIDTH, height=100)
    made.output("upper", made.node("above", brighter, image=upper))
    assert grouped(made) == [["bright", "small"], ["upper", "above"]]
    found, whole = (run_graph(made.graph(), cache=False, strips=strips).outputs for strips in (True, False))
    for name, value in whole.items():
        np.testing.assert_allclose(found[name].array, value.array, rtol=0, atol=1e-6)
    assert math.isclose(whole["small"].height, HEIGHT / 4, abs_tol=1)

"""Carrying out a plan: order, side by side, lifetimes, events, blame, failures, cancelling."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import specimens
import torch

from pipeline_core import AnyRaster, File, GraphError, Image, Mask, NodeError, OperationError, Table, progress
from pipeline_core.cache import Cache
from pipeline_core.events import Event, Failed, Finished, Progressed, RunFinished, RunStarted, Skipped, Started
from pipeline_core.graph import build
from pipeline_core.plan import Plan, make_plan
from pipeline_core.plugins import Catalogue
from pipeline_core.run import Result, execute
from pipeline_core.spec import spec_of

Node = dict[str, Any]


def node(op: Callable[..., Any] | str, *, params: dict[str, Any] | None = None, **inputs: Any) -> Node:
    return {"op": op if isinstance(op, str) else op.__name__, "inputs": inputs, "params": params or {}}


def planned(
    nodes: dict[str, Node], *more: Callable[..., Any], outputs: dict[str, str] | None = None, with_facts: bool = False
) -> Plan:
    given = {name: {"from": link} for name, link in (outputs or {"o": list(nodes)[-1]}).items()}
    spec = spec_of({"pipeline": 1, "nodes": nodes, "outputs": given})
    return make_plan(build(spec, Catalogue.of([*specimens.ALL, *more])), with_facts=with_facts)


def ran(
    nodes: dict[str, Node], *more: Callable[..., Any], outputs: dict[str, str] | None = None, **options: Any
) -> Result:
    return execute(planned(nodes, *more, outputs=outputs), **options)


def failure(nodes: dict[str, Node], *more: Callable[..., Any], **options: Any) -> NodeError:
    with pytest.raises(NodeError) as caught:
        ran(nodes, *more, **options)
    return caught.value


CHAIN = {"a": node("flat"), "b": node("double", image="a"), "c": node("add", base="a", top="b")}


# --- values ---------------------------------------------------------------------------------------------------------


def test_values_flow_along_the_links() -> None:
    result = ran({**CHAIN, "t": node("total", images=["a", "b", "c"])}, outputs={"c": "c", "t": "t", "a": "a"})
    assert result.outputs["a"].array[0, 0, 0, 0] == 0.5
    assert result.outputs["c"].array[0, 0, 0, 0] == 1.5
    assert result.outputs["t"].array[0, 0, 0, 0] == 3.0
    assert (result.computed, result.cached) == (4, 0)


def test_the_order_of_a_list_is_kept() -> None:
    def first(images: list[Image]) -> Image:
        """First."""
        return images[0]

    nodes = {
        "a": node("flat", params={"value": 0.1}),
        "b": node("flat", params={"value": 0.2}),
        "f": node(first, images=["b", "a", "b"]),
    }
    assert ran(nodes, first).outputs["o"].array[0, 0, 0, 0] == np.float32(0.2)


def test_optional_inputs_are_none() -> None:
    seen: list[Any] = []

    def perhaps(image: Image, mask: Mask | None = None, more: list[Image] | None = None) -> Image:
        """Perhaps."""
        seen.append((mask is None, more if more is None else len(more)))
        return image

    ran({"a": node("flat"), "p": node(perhaps, image="a")}, perhaps)
    ran(
        {
            "a": node("flat"),
            "s": node("split", image="a"),
            "p": node(perhaps, image="a", mask="s.coverage", more=["a", "s"]),
        },
        perhaps,
    )
    assert seen == [(True, None), (False, 2)]


def test_several_outputs_of_one_node() -> None:
    result = ran(
        {"a": node("flat"), "s": node("split", image="a"), "w": node("whole", mask="s.coverage")},
        outputs={"i": "s", "m": "w"},
    )
    assert isinstance(result.outputs["i"], Image)
    assert result.outputs["m"].array.max() == 0


def test_only_what_the_outputs_need_runs() -> None:
    def never(image: Image) -> Image:
        """Never."""
        raise AssertionError

    assert ran({"a": node("flat"), "n": node(never, image="a")}, never, outputs={"o": "a"}).computed == 1


def test_the_same_node_twice_as_an_input_and_as_an_output() -> None:
    result = ran({"a": node("flat"), "c": node("add", base="a", top="a")}, outputs={"x": "c", "y": "c", "z": "a"})
    assert result.outputs["x"] is result.outputs["y"]
    assert result.outputs["x"].array[0, 0, 0, 0] == 1.0


# --- lifetimes --------------------------------------------------------------------------------------------------------


def test_a_value_is_dropped_with_its_last_reader() -> None:
    alive: list[weakref.ref[Any]] = []
    counts: list[int] = []

    def step(image: Image) -> Image:
        """Step."""
        gc.collect()
        counts.append(sum(ref() is not None for ref in alive))
        made = image.with_array(image.array + 1)
        alive.append(weakref.ref(made.buffer))
        return made

    nodes = {"n0": node("flat")} | {f"n{i}": node(step, image=f"n{i - 1}") for i in range(1, 20)}
    result = ran(nodes, step, jobs=1)
    assert max(counts) <= 2
    one = result.outputs["o"].nbytes
    assert result.peak_bytes <= 2 * one
    assert planned(nodes, step).peak_bytes == 0  # nothing is known before the run without facts


def test_the_plan_knows_its_peak() -> None:
    nodes = {"n0": node("flat", params={"width": 64, "height": 64})} | {
        f"n{i}": node("double", image=f"n{i - 1}") for i in range(1, 20)
    }
    plan = planned(nodes, with_facts=True)
    assert plan.peak_bytes == 2 * 64 * 64 * 3 * 4
    assert execute(plan, jobs=1).peak_bytes == plan.peak_bytes


def test_a_wide_fan_is_not_held_longer_than_needed() -> None:
    """Depth first: a pair is made, added up and dropped before the next is made."""
    nodes: dict[str, Node] = {"s0": node("flat", params={"width": 64, "height": 64})}
    for i in range(1, 30):
        nodes[f"x{i}"] = node("flat", params={"value": i / 100, "width": 64, "height": 64})
        nodes[f"s{i}"] = node("add", base=f"s{i - 1}", top=f"x{i}")
    assert execute(planned(nodes, with_facts=True), jobs=1).peak_bytes <= 4 * 64 * 64 * 3 * 4


# --- side by side -------------------------------------------------------------------------------------------------------


def test_independent_steps_run_side_by_side() -> None:
    together = threading.Barrier(2, timeout=10)

    def meet(image: Image) -> Image:
        """Waits for the other."""
        together.wait()
        return image

    ran(
        {
            "a": node("flat"),
            "x": node(meet, image="a"),
            "y": node(meet, image="a"),
            "c": node("add", base="x", top="y"),
        },
        meet,
        jobs=2,
    )


def test_an_operation_that_was_quick_before_still_runs_beside_others() -> None:
    """Threads are not woken for steps that take no time; that an operation took none on little says nothing of much."""
    together = threading.Barrier(2, timeout=10)

    def meet(image: Image) -> Image:
        """Waits for the other, where there are many pixels."""
        if image.width > 2:
            together.wait()
        return image

    nodes = {"little": node("flat"), "much": node("flat", params={"width": 64})}
    nodes |= {f"n{i}": node(meet, image="little") for i in range(30)}
    nodes["t"] = node("total", images=[f"n{i}" for i in range(30)])
    nodes |= {"x": node(meet, image="much"), "y": node(meet, image="much"), "c": node("add", base="x", top="y")}
    ran(nodes, meet, jobs=2)


def test_one_that_takes_long_all_of_a_sudden_does_not_hold_up_the_others() -> None:
    together = threading.Barrier(2, timeout=10)

    def meet(image: Image, *, wait: bool = False) -> Image:
        """Waits for the other, if told."""
        if wait:
            together.wait()
        return image

    nodes = {"a": node("flat"), "n0": node(meet, image="a")}
    nodes |= {f"n{i}": node(meet, image=f"n{i - 1}") for i in range(1, 30)}
    nodes |= {f"x{i}": node(meet, params={"wait": True}, image="n29") for i in range(2)}
    ran(nodes | {"c": node("add", base="x0", top="x1")}, meet, jobs=2)


@pytest.mark.parametrize("seed", range(6))
def test_quick_and_slow_steps_in_any_order_all_come_to_their_end(seed: int) -> None:
    chance = random.Random(seed)

    def varies(images: list[Image], *, seconds: float) -> Image:
        """Takes its time."""
        time.sleep(seconds)
        return images[0]

    nodes = {"n0": node("flat")}
    for i in range(1, 300):
        sources = [f"n{chance.randrange(max(0, i - 20), i)}" for _ in range(chance.randint(1, 3))]
        wait = chance.choice([0.0] * 20 + [0.001, 0.025])
        nodes[f"n{i}"] = node(varies, images=sources, params={"seconds": wait})
    result = execute(planned(nodes, varies, outputs={f"o{i}": f"n{i}" for i in range(250, 300)}), jobs=4)
    assert len(result.outputs) == 50


def test_one_job_runs_one_step_at_a_time() -> None:
    inside: list[int] = []
    most: list[int] = []

    def slow(image: Image) -> Image:
        """Slow."""
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return image

    nodes = (
        {"a": node("flat")}
        | {f"n{i}": node(slow, image="a") for i in range(8)}
        | {"t": node("total", images=[f"n{i}" for i in range(8)])}
    )
    ran(nodes, slow, jobs=1)
    assert max(most) == 1


def test_ten_thousand_nodes_in_a_chain_and_in_a_fan() -> None:
    def passed(image: Image) -> Image:
        """Passed on."""
        return image

    chain = {"n0": node("flat")} | {f"n{i}": node(passed, image=f"n{i - 1}") for i in range(1, 10_000)}
    assert ran(chain, passed, jobs=2).computed == 10_000
    fan = {"a": node("flat")} | {f"n{i}": node(passed, image="a") for i in range(1, 9_999)} | {"t": node("total", images=[f"n{i}" for i in range(1, 9_999)])}  # fmt: skip
    assert ran(fan, passed, jobs=2).computed == 10_000


# --- events -------------------------------------------------------------------------------------------------------------


def test_everything_is_told_in_order() -> None:
    def long(image: Image) -> Image:
        """Long."""
        progress(1, 2, "half")
        return image

    told: list[Event] = []
    ran({"a": node("flat"), "b": node(long, image="a")}, long, jobs=1, listeners=[told.append])
    assert [type(event) for event in told] == [
        RunStarted,
        Started,
        Finished,
        Started,
        Progressed,
        Finished,
        RunFinished,
    ]
    assert told[0] == RunStarted(2, 0)
    assert told[4] == Progressed("b", 1, 2, "half")
    finished = told[5]
    assert isinstance(finished, Finished)
    assert (finished.node, finished.operation, finished.shapes) == ("b", "long", ("4x3 RGB float32 srgb_rec709_scene",))
    assert finished.bytes == 4 * 3 * 3 * 4
    last = told[-1]
    assert isinstance(last, RunFinished)
    assert (last.ok, last.computed) == (True, 2)


def test_a_listener_that_fails_is_not_swallowed() -> None:
    def listener(event: Event) -> None:
        raise RuntimeError("a listener's fault")

    with pytest.raises(RuntimeError, match="a listener's fault"):
        ran(CHAIN, listeners=[listener])


def test_progress_outside_a_run_does_nothing() -> None:
    progress(1, 2, "x")


# --- trespassers --------------------------------------------------------------------------------------------------------


def through_torch(image: Image) -> Image:
    """Writes through torch."""
    image.pixels.mul_(2)
    return image.with_pixels(image.pixels.clone())


def through_numpy(image: Image) -> Image:
    """Writes through numpy."""
    image.buffer[...] = 0
    return image.with_array(image.array.copy())


def through_a_view(image: Image) -> Image:
    """Writes into a corner."""
    torch.from_numpy(image.buffer)[0, -1:, -1:, -1:] += 1
    return image.with_array(np.zeros_like(image.buffer))


def and_returns_it(image: Image) -> Image:
    """Writes and returns what it was given."""
    image.buffer[0, 0, 0, 0] += 1
    return image


def of_a_tensor(image: Image) -> Image:
    """Writes into a tensor in place."""
    image.buffer.add_(1)
    return image.with_buffer(torch.zeros_like(image.buffer))


def as_tensor(image: Image) -> Image:
    """The same as a tensor."""
    return image.with_pixels(image.pixels.clone())


@pytest.mark.parametrize("trespasser", [through_torch, through_numpy, through_a_view, and_returns_it])
def test_an_operation_that_writes_into_its_input_is_blamed(trespasser: Callable[..., Any]) -> None:
    nodes = {"a": node("flat"), "bad": node(trespasser, image="a"), "c": node("add", base="a", top="bad")}
    error = failure(nodes, trespasser, jobs=1)
    assert error.node == "bad"
    assert "writes into its input; it must clone it first" in str(error)
    assert "'a'" in error.reason


def test_writing_into_a_tensor_is_blamed_too() -> None:
    nodes = {
        "a": node("flat"),
        "t": node(as_tensor, image="a"),
        "bad": node(of_a_tensor, image="t"),
        "c": node("add", base="t", top="bad"),
    }
    assert failure(nodes, as_tensor, of_a_tensor, jobs=1).node == "bad"


def test_the_array_of_an_image_can_not_be_written() -> None:
    def writes(image: Image) -> Image:
        """Writes into the view."""
        image.array[...] = 0
        return image

    error = failure({"a": node("flat"), "bad": node(writes, image="a")}, writes)
    assert "read-only" in str(error)


def test_a_kept_reference_that_is_written_later_is_found() -> None:
    kept: list[Any] = []

    def keeps(image: Image) -> Image:
        """Keeps its buffer and changes it at the next call."""
        if kept:
            kept[0][...] = 9
        made = image.with_array(image.array + 1)
        kept.append(made.buffer)
        return made

    nodes = {
        "a": node("flat"),
        "k": node(keeps, image="a"),
        "l": node(keeps, image="k"),
        "c": node("add", base="k", top="l"),
    }
    error = failure(nodes, keeps, jobs=1)
    assert error.node == "l"
    assert "the value of 'k' changed while this node ran" in error.reason


def test_without_the_guard_nobody_is_blamed() -> None:
    """The control: what the tests above catch, the guard catches."""
    nodes = {"a": node("flat"), "bad": node(through_numpy, image="a"), "c": node("add", base="a", top="bad")}
    assert ran(nodes, through_numpy, jobs=1, guard=False).outputs["o"].array.max() == 0


# --- failures -----------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    image: Image
    mask: Mask


@dataclass(frozen=True)
class Own:
    x: int


RESULTS: list[tuple[str, Any, str]] = [
    ("nothing", lambda image: None, "output 'image' must be an Image, but it returned NoneType"),
    ("array", lambda image: image.array, "but it returned ndarray of shape (1, 3, 4, 3)"),
    ("tensor", lambda image: image.pixels, "but it returned Tensor of shape (1, 3, 3, 4)"),
    ("mask", lambda image: Mask(image.buffer[..., :1]), "but it returned Mask"),
    ("table", lambda image: Table((), ()), "but it returned Table"),
    ("tuple", lambda image: (image, image), "but it returned tuple"),
    ("own", lambda image: Own(1), "but it returned Own"),
    ("class", lambda image: Image, "but it returned type"),
    (
        "bad shape",
        lambda image: Image(np.zeros((3, 4, 3), np.float32)),
        "the buffer must be (B, H, W, C), got (3, 4, 3)",
    ),
    (
        "bad dtype",
        lambda image: Image(np.zeros((1, 3, 4, 3))),
        "must be one of uint8, uint16, float16, float32, got float64",
    ),
    ("bad channels", lambda image: Image(np.zeros((1, 3, 4, 4), np.float32)), "4 channels in the buffer, but 3 names"),
    ("empty", lambda image: Image(np.zeros((1, 0, 4, 3), np.float32)), "the buffer is empty"),
    ("bad alpha", lambda image: Image(image.buffer, alpha="straight"), "alpha is 'straight', but the channels are"),
]


@pytest.mark.parametrize(("returned", "wanted"), [row[1:] for row in RESULTS], ids=[row[0] for row in RESULTS])
def test_a_wrong_result_is_told_as_the_operations_fault(returned: Callable[[Image], Any], wanted: str) -> None:
    def wrong(image: Image) -> Image:
        """Wrong."""
        return returned(image)  # type: ignore[no-any-return]

    error = failure({"a": node("flat"), "w": node(wrong, image="a")}, wrong)
    assert wanted in error.reason
    assert (error.node, error.operation, error.plugin) == ("w", "wrong", "local")


def test_too_few_of_several_outputs() -> None:
    def two(image: Image) -> Pair:
        """Two."""
        return (image,)  # type: ignore[return-value]

    assert (
        "must return a NamedTuple of image, mask" in failure({"a": node("flat"), "t": node(two, image="a")}, two).reason
    )


def recursive(image: Image) -> Image:
    return recursive(image)


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise ValueError("even this")


def raises(error: Callable[[], BaseException]) -> Callable[[Image], Image]:
    def run(image: Image) -> Image:
        raise error()

    return run


class Rude(BaseException):
    pass


FAULTS: list[tuple[str, Callable[[Image], Image], str]] = [
    ("value", raises(lambda: ValueError("too large")), "failed: too large"),
    ("no message", raises(KeyError), "KeyError"),
    ("key", raises(lambda: KeyError("x")), "KeyError: 'x'"),
    ("lines", raises(lambda: RuntimeError("one\n  two\x1b[31m\nthree")), "one two\\x1b[31m three"),
    ("long", raises(lambda: RuntimeError("x" * 100_000)), "xxx..."),
    ("memory", raises(lambda: MemoryError("no more")), "no more"),
    ("exit", raises(lambda: SystemExit(3)), "SystemExit: 3"),
    ("interrupt", raises(KeyboardInterrupt), "KeyboardInterrupt"),
    ("rude", raises(lambda: Rude("x")), "Rude: x"),
    ("stop", raises(lambda: StopIteration("x")), "StopIteration: x"),
    ("generator exit", raises(GeneratorExit), "GeneratorExit"),
    ("operation", raises(lambda: OperationError("wants a square; crop it")), "failed: wants a square; crop it"),
    ("system", raises(lambda: OSError(28, "No space left")), "No space left"),
    ("unicode", raises(lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")), "can't decode"),
    ("group", raises(lambda: ExceptionGroup("many", [ValueError("a")])), "many"),
    ("recursion", recursive, "recursion"),
    ("unspeakable", raises(UnspeakableError), "UnspeakableError"),
]


@pytest.mark.parametrize(("fault", "wanted"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_whatever_an_operation_raises_names_the_node(fault: Callable[[Image], Image], wanted: str) -> None:
    def faulty(image: Image, *, amount: float = 1.0, other: int = 2) -> Image:
        """Faulty."""
        return fault(image)

    error = failure({"a": node("flat"), "bad": node(faulty, image="a", params={"amount": 2})}, faulty)
    text = str(error)
    assert text.startswith("node 'bad': operation 'faulty' (plugin 'local') failed: ")
    assert wanted in text
    assert text.endswith("[image: 4x3 RGB float32 srgb_rec709_scene, amount=2.0]")
    assert "\n" not in text
    assert len(text) < 1500
    assert error.__cause__ is not None


def test_a_failure_stops_the_run_and_skips_what_needs_it() -> None:
    def bad(image: Image) -> Image:
        """Bad."""
        raise ValueError("bad")

    told: list[Event] = []
    failure(
        {"a": node("flat"), "b": node(bad, image="a"), "c": node("double", image="b")},
        bad,
        listeners=[told.append],
        jobs=1,
    )
    assert any(isinstance(event, Failed) and event.node == "b" for event in told)
    assert not any(isinstance(event, Started) and event.node == "c" for event in told)
    last = told[-1]
    assert isinstance(last, RunFinished)
    assert not last.ok


def test_keep_going_finishes_what_does_not_depend_on_it() -> None:
    def bad(image: Image) -> Image:
        """Bad."""
        raise ValueError("bad")

    nodes = {
        "a": node("flat"), "b": node(bad, image="a"), "c": node("double", image="b"), "d": node("double", image="c"),
        "e": node("double", image="a"), "f": node("add", base="e", top="d"), "g": node(bad, image="e"),
    }  # fmt: skip
    told: list[Event] = []
    result = ran(nodes, bad, outputs={n: n for n in "abcdefg"}, keep_going=True, listeners=[told.append])
    assert sorted(result.outputs) == ["a", "e"]
    assert sorted(error.node for error in result.failures if isinstance(error, NodeError)) == ["b", "g"]
    assert sorted(event.node for event in told if isinstance(event, Skipped)) == ["c", "d", "f"]


def test_a_plugins_error_is_the_cause_with_its_traceback() -> None:
    def bad(image: Image) -> Image:
        """Bad."""
        return 1 / 0  # type: ignore[return-value]

    error = failure({"a": node("flat"), "b": node(bad, image="a")}, bad)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert error.__cause__.__traceback__ is not None


# --- what belongs to the whole process ------------------------------------------------------------------------------------


@pytest.fixture
def state() -> Iterator[None]:
    folder, dtype = os.getcwd(), torch.get_default_dtype()
    yield
    os.chdir(folder)
    torch.set_default_dtype(dtype)


@pytest.mark.usefixtures("state")
def test_the_working_directory_and_the_default_dtype_are_put_back(tmp_path: Path) -> None:
    def rude(image: Image) -> Image:
        """Rude."""
        os.chdir(tmp_path)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(True)
        return image

    before = os.getcwd()
    ran({"a": node("flat"), "r": node(rude, image="a"), "s": node(rude, image="r")}, rude, jobs=1)
    assert os.getcwd() == before
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.usefixtures("state")
def test_they_are_put_back_after_a_failure_too(tmp_path: Path) -> None:
    def rude(image: Image) -> Image:
        """Rude."""
        os.chdir(tmp_path)
        torch.set_default_dtype(torch.float64)
        raise ValueError("rude")

    before = os.getcwd()
    failure({"a": node("flat"), "r": node(rude, image="a")}, rude, jobs=1)
    assert (os.getcwd(), torch.get_default_dtype()) == (before, torch.float32)


def test_no_gradients_are_kept() -> None:
    def grown(image: Image) -> Image:
        """Grown."""
        weight = torch.ones(1, requires_grad=True)
        return image.with_pixels(image.pixels * weight)

    assert not ran({"a": node("flat"), "g": node(grown, image="a")}, grown).outputs["o"].buffer.requires_grad


# --- files --------------------------------------------------------------------------------------------------------------


def test_a_file_that_changes_while_it_is_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"one")

    def touchy(*, path: Path) -> Image:
        """Reads while another writes."""
        content = path.read_bytes()
        path.write_bytes(b"two")
        return specimens.filled(2, 2, len(content))

    assert (
        "'x' changed while it was read; run again"
        in failure({"t": node(touchy, params={"path": str(file)})}, touchy).reason
    )


def test_a_missing_file_is_found_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="node 'f', param 'path': file not found"):
        planned({"f": node("from_file", params={"path": str(tmp_path / "nothing")})})


def test_kinds_of_a_plugin_travel_like_ours() -> None:
    def make() -> Own:
        """Make."""
        return Own(3)

    def use(own: Own) -> Table:
        """Use."""
        return Table(("x",), ((own.x,),))

    def any_raster(raster: AnyRaster) -> AnyRaster:
        """Same."""
        return raster

    def text(image: Image) -> File:
        """Text."""
        return File(b"x")

    assert ran({"m": node(make), "u": node(use, own="m")}, make, use).outputs["o"].rows == ((3,),)
    assert isinstance(ran({"a": node("flat"), "r": node(any_raster, raster="a")}, any_raster).outputs["o"], Image)
    assert ran({"a": node("flat"), "t": node(text, image="a")}, text).outputs["o"].content == b"x"


def test_a_damaged_result_that_is_asked_for_is_made_again(tmp_path: Path) -> None:
    nodes = {"a": {**node("flat", params={"width": 64, "height": 2000}), "cache": "always"}}
    with Cache.open(tmp_path) as cache:
        wanted = ran(nodes, cache=cache).outputs["o"].array
    blobs = [file for file in (tmp_path / "v1" / "blobs").rglob("*") if file.is_file()]
    assert blobs
    for file in blobs:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.chmod(0o644)
        file.write_bytes(content)
    with Cache.open(tmp_path, warn=lambda message: None) as cache:
        result = ran(nodes, cache=cache)
    assert np.array_equal(result.outputs["o"].array, wanted)
    assert result.computed == 1


# --- cancelling ---------------------------------------------------------------------------------------------------------

CANCELLED = """
import sys, time
import numpy as np
import pipeline_core
from pipeline_core import Image, Pipeline, progress

def sleeps(*, n: int = 1) -> Image:
    '''Sleeps for ever.'''
    print("started", flush=True)
    time.sleep(600)
    return Image(np.zeros((1, 1, 1, 3), np.float32))

def reports(*, n: int = 1) -> Image:
    '''Reports for ever, and swallows errors.'''
    print("started", flush=True)
    while True:
        try:
            time.sleep(0.02)
            progress(1, 2)
        except Exception:
            pass

p = Pipeline()
p.output("o", p.node("n", {operation}))
try:
    p.run()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    import os
    os._exit(0)
"""


@pytest.mark.parametrize("operation", ["sleeps", "reports"])
def test_ctrl_c_ends_a_run_within_a_second(operation: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(CANCELLED).replace("{operation}", operation))
    run = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert run.stdout is not None
        assert run.stdout.readline() == "started\n"
        sent = time.monotonic()
        run.send_signal(signal.SIGINT)
        rest, errors = run.communicate(timeout=10)
        assert time.monotonic() - sent < 1.0
        assert (rest, run.returncode) == ("interrupted\n", 0), errors
    finally:
        run.kill()
        run.wait()

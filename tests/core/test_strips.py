"""Groups carried out in strips: the same values, the same records, the same errors as step by step."""

from __future__ import annotations

import gc
import math
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from pipeline_core import Image, Mask, NodeError, OperationError, Pipeline, Table, each_tile, operation, progress
from pipeline_core import crew as crew_module
from pipeline_core import frames as frames_module
from pipeline_core import groups as groups_module
from pipeline_core import results as results_module
from pipeline_core import strips as strips_module
from pipeline_core.api import run_graph
from pipeline_core.cache import Cache
from pipeline_core.events import Event, Finished, Progressed
from pipeline_core.graph import Graph
from pipeline_core.marks import WholeMark
from pipeline_core.run import Result

WIDTH, HEIGHT = 50, 203


@pytest.fixture(autouse=True)
def _small_pictures_count_as_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups_module, "SMALL", 0)
    monkeypatch.setattr(strips_module, "SMALL", 0)
    monkeypatch.setattr(frames_module, "STRIP", 1)


@operation(cache="never")
def photo(*, seed: int = 1, channels: str = "RGBA", dtype: str = "float32", wrap: bool = False) -> Image:
    """Noise."""
    pixels = np.random.default_rng(seed).random((2, HEIGHT, WIDTH, len(channels)), np.float32)
    if dtype != "float32":
        pixels = np.rint(pixels * np.iinfo(dtype).max).astype(dtype)
    alpha = "straight" if "A" in channels else "none"
    return Image(pixels, channels=tuple(channels), alpha=alpha, wrap=(wrap, wrap))  # type: ignore[arg-type]  # one of its literals


@operation(support=0)
def brighter(image: Image, *, amount: float = 1.5) -> Image:
    """Torch, as anybody would write it."""
    return image.with_pixels(image.pixels * amount)


@operation(support=0)
def moved(image: Image) -> Image:
    """Keeps the type."""
    return image.with_buffer(image.buffer[..., list(range(len(image.channels)))[::-1]])


@operation(support=0)
def both(first: Image, second: Image) -> Image:
    """Two pictures."""
    return first.with_array(first.array - second.array)


class Parts(NamedTuple):
    image: Image
    mask: Mask


@operation(support=0)
def parted(image: Image) -> Parts:
    """Two outputs."""
    return Parts(
        image.with_pixels(image.pixels[:, :3], channels=("R", "G", "B"), alpha="none"), Mask(image.buffer[..., 3:])
    )


@operation(support=0)
def masked(image: Image, mask: Mask) -> Image:
    """An image and a mask."""
    return image.with_pixels(image.pixels * mask.pixels)


def ran(made: Pipeline | Graph, *, strips: bool = True, **given: Any) -> tuple[Result, list[Event]]:
    events: list[Event] = []
    graph = made if isinstance(made, Graph) else made.graph()
    return run_graph(graph, cache=given.pop("cache", False), strips=strips, listeners=[events.append], **given), events


def in_strips(events: list[Event]) -> dict[str, int]:
    return {event.node: event.strips for event in events if isinstance(event, Finished) and event.strips}


def same_as_whole(made: Pipeline, nodes: set[str], close: float = 0.0) -> None:
    """These nodes run in strips, and every output is what it is without."""
    for jobs in (1, 3):
        found, events = ran(made, jobs=jobs)
        assert set(in_strips(events)) == nodes
        whole, events = ran(made, strips=False)
        assert in_strips(events) == {}
        assert found.computed == whole.computed
        for name, value in whole.outputs.items():
            other = found.outputs[name]
            assert str(other) == str(value)
            assert type(other.buffer) is type(value.buffer)
            assert other.buffer.shape == value.buffer.shape
            assert np.allclose(other.array, value.array, rtol=0, atol=close)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16"])
@pytest.mark.parametrize("wrap", [False, True])
def test_a_chain_gives_the_same(dtype: str, wrap: bool) -> None:
    made = Pipeline()
    node = made.node("photo", photo, dtype=dtype, wrap=wrap)
    for name in ("a", "b"):
        node = made.node(name, moved, image=node)
        made.output(name, node)  # kept as a value, and read
    node = made.node("blurred", "blur", image=node, sigma=1.5)
    made.output("c", made.node("c", brighter, image=node))
    same_as_whole(made, {"a", "b", "blurred", "c"}, close=1e-6)


def test_branches_several_outputs_and_masks() -> None:
    made = Pipeline()
    node = made.node("photo", photo)
    parts = made.node("parts", parted, image=made.node("bright", brighter, image=node))
    soft = made.node("soft", "feather_mask", mask=parts["mask"], radius=3)
    made.output("card", made.node("card", masked, image=parts["image"], mask=soft))
    made.output("soft", soft)
    made.output("difference", made.node("difference", both, first=node, second=made.node("turned", moved, image=node)))
    same_as_whole(made, {"parts", "bright", "soft", "card", "difference", "turned"}, close=1e-6)


def test_margins_are_the_frame_at_its_edges_only() -> None:
    made = Pipeline()
    node = made.node("photo", photo, channels="RGB")
    for i, (name, params) in enumerate(
        [("median", {"radius": 2}), ("dilate", {"radius": 3}), ("unsharp_mask", {"sigma": 1.0}), ("sharpen", {})]
    ):
        node = made.node(f"n{i}", name, image=node, **params)
    made.output("last", node)
    same_as_whole(made, {"n0", "n1", "n2", "n3"}, close=1e-6)


def test_strips_that_do_not_divide_the_height(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Pipeline()
    made.output("last", made.node("near", "blur", image=made.node("photo", photo), sigma=2.0))
    for least in (1, 7, 202, 203, 500):
        monkeypatch.setattr(frames_module, "LEAST", least)
        same_as_whole(made, {"near"}, close=1e-6)


@operation(support=0)
def fussy(image: Image) -> Image:
    """Fails on a strip."""
    if image.height < HEIGHT:
        raise OperationError("too small")
    return image.with_pixels(image.pixels + 1)


@operation(support=0)
def tells_its_height(image: Image) -> Image:
    """Says something of a strip that is not so of the whole."""
    return image.with_pixels(image.pixels + 1, meta={"height": str(image.height)})


@operation(support=0)
def longer(image: Image) -> Image:
    """Not what `support` says."""
    return image.with_pixels(torch.cat([image.pixels, image.pixels], 2))


@pytest.mark.parametrize("function", [fussy, tells_its_height, longer])
def test_what_does_not_work_in_strips_is_run_whole(function: Callable[..., Any], tmp_path: Path) -> None:
    made = Pipeline()
    first = made.node("first", brighter, image=made.node("photo", photo))
    last = made.node("last", brighter, image=made.node("odd", function, image=first))
    made.output("first", first)
    made.output("last", last)
    whole, _ = ran(made, strips=False)
    with Cache.open(tmp_path, memory=0) as cache:
        found, events = ran(made, cache=cache)
        assert in_strips(events) == {}
        assert np.array_equal(found.outputs["last"].array, whole.outputs["last"].array)
        assert np.array_equal(found.outputs["first"].array, whole.outputs["first"].array)
        assert found.outputs["last"].meta == whole.outputs["last"].meta
        cache.flush()
        again, _ = ran(made, cache=cache)
    assert again.computed == 0


@operation(support=0)
def fails(image: Image) -> Image:
    """Fails."""
    raise OperationError(f"no luck with {image.height} rows")


def test_an_error_speaks_of_the_whole_picture() -> None:
    made = Pipeline()
    made.output("bad", made.node("bad", fails, image=made.node("good", brighter, image=made.node("photo", photo))))
    with pytest.raises(NodeError, match=f"'bad'.*no luck with {HEIGHT} rows") as caught:
        ran(made)
    assert f"{WIDTH}x{HEIGHT}" in str(caught.value.inputs)


@operation(support=0)
def writes(image: Image) -> Image:
    """Writes into its input."""
    image.pixels.mul_(2)
    return image.with_pixels(image.pixels * 1)


@pytest.mark.parametrize("first", [True, False])
def test_who_writes_into_an_input_is_named(first: bool) -> None:
    """Into what the group was given, or into a strip that another step reads."""
    made = Pipeline()
    node = made.node("photo", photo)
    if not first:
        node = made.node("bright", brighter, image=node)
    bad = made.node("bad", writes, image=node)
    made.output("both", made.node("both", both, first=node, second=bad))
    with pytest.raises(NodeError, match=r"'writes'.*writes into its input"):
        ran(made)


@operation(support=0)
def writes_and_fails(image: Image) -> Image:
    """Writes into its input, and can't do with a strip."""
    if image.height < HEIGHT:
        image.buffer[0, -1, -1, -1] += 1
        raise OperationError("too small")
    return image.with_array(image.array + 1)


@operation(support=0)
def mirrored(image: Image) -> Image:
    """A view."""
    return image.with_buffer(image.buffer[:, :, ::-1])


@operation(support=0)
def writes_a_pixel(image: Image) -> Image:
    """Only where a mask is empty, say."""
    image.buffer[0, 0, 0, 0] += 1
    return image.with_array(image.array + 1)


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("chain", [[writes], [writes_a_pixel], [writes_and_fails], [mirrored, writes_a_pixel]])
def test_who_writes_into_what_nobody_else_reads_is_named(chain: list[Callable[..., Any]], jobs: int) -> None:
    """Rows are looked at before and after each strip: there is no mark of the whole then."""
    made = Pipeline()
    node = made.node("photo", photo)
    for function in chain:
        node = made.node(function.__name__, function, image=node)
    made.output("last", node)
    with pytest.raises(NodeError, match=r"of 'photo' changed.*writes into its input"):
        ran(made, jobs=jobs)


@operation
def heights(image: Image) -> Table:
    """Not in strips."""
    return Table(("height",), ((image.height,),))


@pytest.fixture
def whole_marks(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A mark for each value that was looked at whole."""
    taken: list[object] = []

    class Counted(WholeMark):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            taken.append(self)

    monkeypatch.setattr(results_module, "WholeMark", Counted)
    return taken


def test_what_one_group_reads_is_not_looked_at_before(whole_marks: list[object]) -> None:
    made = Pipeline()
    made.output("last", made.node("last", brighter, image=made.node("photo", photo)))
    ran(made)
    assert whole_marks == []


@pytest.mark.parametrize("asked_for", [True, False])
def test_what_somebody_else_reads_or_asks_for_is_looked_at_whole(whole_marks: list[object], asked_for: bool) -> None:
    made = Pipeline()
    node = made.node("photo", photo)
    made.output("last", made.node("last", brighter, image=node))
    if asked_for:
        made.output("photo", node)
    else:
        made.output("height", made.node("height", heights, image=node))
    ran(made)
    assert len(whole_marks) == 1


@operation
def writes_whole(image: Image) -> Image:
    """Not in strips; one pixel."""
    image.buffer[0, -1, -1, -1] += 1
    return image.with_array(image.array + 1)


@pytest.mark.parametrize("function", [moved, brighter, parted])
def test_what_a_group_makes_is_looked_at_while_it_is_made(
    function: Callable[..., Any], whole_marks: list[object]
) -> None:
    """Of arrays, of tensors, and of several values."""
    made = Pipeline()
    node = made.node("made", function, image=made.node("photo", photo))
    image = node["image"] if function is parted else node
    good = made.node("good", heights, image=image)
    made.output("good", good)
    ran(made, jobs=2)
    assert whole_marks == []
    made.output("bad", made.node("bad", writes_whole, image=image))
    with pytest.raises(NodeError, match=r"'made' changed.*'writes_whole'"):
        ran(made, jobs=1)


CANVAS: list[np.ndarray[Any, Any]] = []


@operation(cache="never")
def paints(*, on: int) -> Image:
    """Always on the same canvas."""
    if not CANVAS:
        CANVAS.append(np.zeros((1, HEIGHT, WIDTH, 3), np.float32))
    CANVAS[0][:, on] = 1
    return Image(CANVAS[0])


def test_what_its_maker_writes_into_before_its_group_runs_is_found() -> None:
    """A mark is taken before anything else runs, of however few pixels."""
    CANVAS.clear()
    made = Pipeline()
    nodes = [made.node(f"p{i}", paints, on=i) for i in range(2)]
    made.output("last", made.node("last", both, first=nodes[0], second=nodes[1]))
    with pytest.raises(NodeError, match="'p0' changed"):
        ran(made, jobs=1)


@operation(support=0)
def waits(image: Image) -> Image:
    """Gives others time."""
    paints(on=5)
    CANVAS[0][...] = 3
    return image.with_array(image.array + 1)


def test_what_is_made_anew_by_another_hand_while_a_group_reads_it_is_found() -> None:
    """Even in rows that no strip has read yet."""
    CANVAS.clear()
    made = Pipeline()
    made.output("last", made.node("last", waits, image=made.node("painted", paints, on=1)))
    with pytest.raises(NodeError, match="'painted' changed"):
        ran(made, jobs=1)


@pytest.mark.parametrize("jobs", [1, 2])
def test_nothing_holds_a_value_when_its_run_is_over(jobs: int) -> None:
    """Not even until the cyclic collector comes: the memory is used again by the next run."""
    made = Pipeline()
    made.output("last", made.node("last", brighter, image=made.node("photo", photo)))
    graph = made.graph()
    gc.collect()
    gc.disable()
    try:
        outputs = ran(graph, jobs=jobs)[0].outputs
        held = weakref.ref(outputs["last"].buffer)
        outputs.clear()
        assert held() is None
    finally:
        gc.enable()


def test_what_is_made_in_strips_is_found_again(tmp_path: Path) -> None:
    def made(amount: float) -> Graph:
        pipeline = Pipeline()
        node = pipeline.node("photo", photo)
        node = pipeline.node("inside", brighter, image=node, amount=amount)
        first = pipeline.node("first", brighter, image=node)
        pipeline.output("first", first)
        pipeline.output("last", pipeline.node("last", brighter, image=first))
        return pipeline.graph()

    with Cache.open(tmp_path, memory=0) as cache:
        assert ran(made(2.0), cache=cache)[0].computed == 4
        cache.flush()
        again, _ = ran(made(2.0), cache=cache)
        assert again.computed == 0
        plain, _ = ran(made(2.0), strips=False)
        for name, value in plain.outputs.items():
            assert np.array_equal(again.outputs[name].array, value.array)


def test_a_change_above_a_group_that_changes_no_pixel_runs_nothing_in_it(tmp_path: Path) -> None:
    @operation(cache="always")
    def upstream(*, version: int) -> Image:
        """The same whatever the version."""
        return photo()

    def made(version: int) -> Graph:
        pipeline = Pipeline()
        inside = pipeline.node("inside", brighter, image=pipeline.node("upstream", upstream, version=version))
        pipeline.output("last", pipeline.node("last", moved, image=inside))
        return pipeline.graph()

    with Cache.open(tmp_path, memory=0) as cache:
        assert ran(made(1), cache=cache)[0].computed == 3
        cache.flush()
        assert ran(made(2), cache=cache)[0].computed == 1


@operation(support=0)
def dear(image: Image) -> Image:
    """Takes its time for every strip."""
    threading.Event().wait(0.02)
    return image.with_pixels(image.pixels + 1)


def test_a_dear_step_inside_a_group_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline_core.cache.storing.SMALL", 0)  # else everything this small is kept

    def made(amount: float) -> Graph:
        pipeline = Pipeline()
        node = pipeline.node("photo", photo)
        for name, function in (("cheap", brighter), ("dear", dear)):
            node = pipeline.node(name, function, image=node)
        pipeline.output("last", pipeline.node("last", brighter, image=node, amount=amount))
        return pipeline.graph()

    with Cache.open(tmp_path, memory=0) as cache:
        assert ran(made(1.0), cache=cache)[0].computed == 4
        cache.flush()
        found, _ = ran(made(2.0), cache=cache)
        assert set(found.node_seconds) == {"last"}
        assert np.array_equal(found.outputs["last"].array, ran(made(2.0), strips=False)[0].outputs["last"].array)


def test_progress_and_cancel_between_strips() -> None:
    seen: list[Progressed] = []
    calls: list[int] = []

    @operation(support=0)
    def noted(image: Image) -> Image:
        """Counts its calls."""
        calls.append(image.height)
        progress(1, 2)
        return image.with_pixels(image.pixels + 1)

    def listen(event: Event) -> None:
        if isinstance(event, Progressed):
            seen.append(event)
            if event.done == 3:
                raise KeyboardInterrupt

    made = Pipeline()
    made.output("last", made.node("last", noted, image=made.node("photo", photo)))
    with pytest.raises(KeyboardInterrupt):
        run_graph(made.graph(), cache=False, jobs=1, listeners=[listen])
    assert {(event.node, event.total, event.note) for event in seen} == {("last", math.ceil(HEIGHT / 16), "strips")}
    assert len(calls) < HEIGHT // 16


def test_strips_run_side_by_side_and_each_in_one_thread() -> None:
    both_are_here = threading.Barrier(2, timeout=20)
    workers: set[threading.Thread] = set()

    @operation(support=0)
    def tiled(image: Image) -> Image:
        """In tiles."""
        result, worker = np.empty_like(image.array), threading.current_thread()
        if worker not in workers:
            workers.add(worker)
            both_are_here.wait()

        def work(rows: slice, columns: slice) -> None:
            assert threading.current_thread() is worker
            result[:, rows, columns] = image.array[:, rows, columns] + 1

        each_tile(image.width, image.height, (image.width, 4), work)
        return image.with_array(result)

    made = Pipeline()
    made.output("last", made.node("last", tiled, image=made.node("photo", photo)))
    found, events = ran(made, jobs=2)
    assert set(in_strips(events)) == {"last"}
    assert len(workers) == 2
    assert np.array_equal(found.outputs["last"].array, photo().array + 1)


@pytest.mark.parametrize(
    ("held", "patience", "least", "most"), [(1e-9, 60.0, 3, 6), (1.0, 60.0, 1, 2), (1.0, 0.0, 3, 6)]
)
def test_no_more_workers_than_calls_are_long_for(
    held: float, patience: float, least: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who would only wait for the interpreter's lock. While nobody knows how long calls take, they wait a moment."""
    monkeypatch.setattr(crew_module, "HELD", held)
    monkeypatch.setattr(crew_module, "PATIENCE", patience)
    at_work: set[threading.Thread] = set()

    @operation(support=0)
    def takes_a_while(image: Image) -> Image:
        """Without the lock."""
        at_work.add(threading.current_thread())
        threading.Event().wait(0.05)
        return image.with_pixels(image.pixels + 1)

    made = Pipeline()
    made.output("last", made.node("last", takes_a_while, image=made.node("photo", photo)))
    found, events = ran(made, jobs=6)
    assert in_strips(events) == {"last": math.ceil(HEIGHT / 16)}
    assert least <= len(at_work) <= most
    assert np.array_equal(found.outputs["last"].array, photo().array + 1)


@pytest.mark.parametrize("jobs", [1, 2])
def test_torch_works_in_one_thread_for_a_strip_and_as_before_elsewhere(jobs: int) -> None:
    inside: set[int] = set()
    outside: list[int] = []

    @operation(support=0)
    def counts(image: Image) -> Image:
        """Torch's threads: here, and in one that has nothing to do with it."""
        inside.add(torch.get_num_threads())
        if jobs == 1 and not outside:
            other = threading.Thread(target=lambda: outside.append(torch.get_num_threads()))
            other.start()
            other.join()
        return image.with_pixels(image.pixels + 1)

    made = Pipeline()
    made.output("last", made.node("last", counts, image=made.node("photo", photo)))
    graph, before = made.graph(), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        ran(graph, jobs=jobs)
        assert inside == {1}
        assert outside == ([3] if jobs == 1 else [])
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_workers_that_wait_for_each_other_become_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "LEAST", 2)
    workers: list[int] = []

    @operation(support=0)
    def waits(image: Image) -> Image:
        """As many short calls do, for the interpreter."""
        time.sleep(0.003)
        workers.append(threading.get_ident())
        return image.with_array(image.array + 1)

    made = Pipeline()
    made.output("last", made.node("last", waits, image=made.node("photo", photo)))
    found, _ = ran(made, jobs=8)
    assert len(set(workers)) > 2
    assert len(set(workers[-20:])) == 2
    assert np.array_equal(found.outputs["last"].array, photo().array + 1)


def test_pictures_of_several_heights_are_run_whole() -> None:
    @operation(support=0)
    def placed(base: Image, top: Image) -> Image:
        """Takes any sizes."""
        array = base.array.copy()
        array[:, : top.height // 2] += top.array[:, : top.height // 2, : base.width]
        return base.with_array(array)

    @operation
    def half(image: Image) -> Image:
        """The upper half; nobody knows before."""
        return image.with_array(image.array[:, : image.height // 2])

    made = Pipeline()
    node = made.node("photo", photo)
    top = made.node("top", half, image=node)
    made.output("last", made.node("last", placed, base=made.node("bright", brighter, image=node), top=top))
    same_as_whole(made, set())

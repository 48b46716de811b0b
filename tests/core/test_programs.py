"""Groups carried out by programs that torch compiles: the same values, and whatever can't be compiled is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline_core import Image, Mask, NodeError, Pipeline, operation, programs
from pipeline_core import groups as groups_module
from pipeline_core import strips as strips_module
from pipeline_core.api import run_graph
from pipeline_core.cache import Cache
from pipeline_core.events import Event, Finished, Warned
from pipeline_core.graph import Graph

WIDTH, HEIGHT = 40, 70
CALLS: list[str] = []


@pytest.fixture(autouse=True)
def _written_down_but_not_compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compilers take long and are torch's to test; what was written down is carried out as it is."""
    monkeypatch.setattr(groups_module, "SMALL", 0)
    monkeypatch.setattr(strips_module, "SMALL", 0)
    monkeypatch.setattr(programs, "_recipes", {})
    CALLS.clear()
    with torch.compiler.set_stance("force_eager"):
        yield


@operation(cache="never")
def photo(*, seed: int = 1, dtype: str = "float32", author: str = "") -> Image:
    """Noise."""
    pixels = np.random.default_rng(seed).random((2, HEIGHT, WIDTH, 4), np.float32)
    if dtype != "float32":
        pixels = np.rint(pixels * np.iinfo(dtype).max).astype(dtype)
    meta = {"author": author} if author else {}
    return Image(pixels, channels=tuple("RGBA"), alpha="straight", meta=meta)


@operation(support=0)
def brighter(image: Image, *, amount: float = 1.5) -> Image:
    """Torch, as anybody would write it."""
    CALLS.append("brighter")
    return image.with_pixels(image.pixels * amount)


@operation(support=1)
def softer(image: Image) -> Image:
    """A stencil."""
    padded = torch.nn.functional.pad(image.pixels, (1, 1, 1, 1), mode="replicate")
    return image.with_pixels(torch.nn.functional.avg_pool2d(padded, 3, stride=1))


@operation(support=0)
def inside(image: Image) -> Mask:
    """Another kind."""
    return Mask((image.pixels.mean(1, keepdim=True) > 0.5).float().permute(0, 2, 3, 1), wrap=image.wrap)


@operation(support=0)
def shown(image: Image, mask: Mask) -> Image:
    """Reads two steps."""
    return image.with_pixels(image.pixels * mask.pixels)


@operation(support=0)
def in_numpy(image: Image) -> Image:
    """Leaves torch."""
    return image.with_array(np.sqrt(image.array))


@operation(support=0)
def looks(image: Image) -> Image:
    """Does what the pixels say."""
    pixels = image.pixels
    return image.with_pixels(pixels * 2 if float(pixels.min()) >= 0 else pixels)


@operation(support=0)
def grainy(image: Image, *, seed: int = 1) -> Image:
    """Random numbers."""
    generator = torch.Generator(image.device).manual_seed(seed)
    pixels = image.pixels
    return image.with_pixels(pixels + torch.rand(pixels.shape, generator=generator, device=pixels.device))


@operation(support=0)
def reads_meta(image: Image) -> Image:
    """Pixels by what meta says."""
    return image.with_pixels(image.pixels + len(image.meta["author"]))


@operation(support=0)
def counts(image: Image) -> Image:
    """Not the same every time."""
    CALLS.append("counts")
    return image.with_pixels(image.pixels + len(CALLS))


@operation(support=0)
def writes(image: Image) -> Image:
    """A trespasser."""
    image.pixels.mul_(2)
    return image


def graph(*steps: Callable[..., Any], **source: Any) -> Graph:
    made = Pipeline()
    node = made.node("photo", photo, **source)
    for number, step in enumerate(steps):
        node = made.node(f"{step.__name__}{number}", step, image=node)
    made.output("last", node)
    return made.graph()


def compiled(graph: Graph, **options: Any) -> tuple[Image, list[bool], list[str]]:
    """(the output, for each step of the group whether it was part of a program, warnings)."""
    events: list[Event] = []
    options = {"cache": False, "device": "cpu", **options}
    made = run_graph(graph, compiled=True, listeners=[events.append], **options)
    finished = [event for event in events if isinstance(event, Finished) and event.group]
    warnings = [event.message for event in events if isinstance(event, Warned)]
    return made.outputs["last"], [event.compiled for event in finished], warnings


def plain(graph: Graph) -> Image:
    found: Image = run_graph(graph, cache=False, device="cpu", strips=False).outputs["last"]
    return found


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_chain_is_one_program_that_gives_the_same(dtype: str) -> None:
    chain = graph(brighter, softer, brighter, dtype=dtype)
    made, ways, warnings = compiled(chain)
    expected = plain(chain)
    assert ways == [True, True, True]
    assert not warnings
    assert str(made) == str(expected)
    assert np.abs(made.array - expected.array).max() < 1e-6


def test_branches_and_other_kinds() -> None:
    made = Pipeline()
    source = made.node("photo", photo)
    light = made.node("light", brighter, image=source)
    mask = made.node("mask", inside, image=source)
    made.output("last", made.node("shown", shown, image=light, mask=mask))
    made.output("mask", mask)
    whole = made.graph()
    found, ways, _ = compiled(whole)
    assert ways == [True, True, True]
    assert np.array_equal(found.array, plain(whole).array)


def test_a_program_serves_other_pixels_and_is_not_made_again() -> None:
    compiled(graph(brighter, softer))
    learned = len(CALLS)
    other = graph(brighter, softer, seed=2)
    made, ways, _ = compiled(other)
    assert learned > 0
    assert len(CALLS) == learned
    assert ways == [True, True]
    assert np.array_equal(made.array, plain(other).array)


def test_the_same_steps_of_another_pipeline_go_by_the_same_program() -> None:
    compiled(graph(brighter, softer))
    made = Pipeline()
    other = made.node("before", in_numpy, image=made.node("other", photo, seed=2))
    made.output("other", other)
    node = made.node("soft", softer, image=made.node("light", brighter, image=made.node("photo", photo, seed=3)))
    made.output("last", node)
    whole, learned = made.graph(), len(CALLS)
    found, _, _ = compiled(whole, strips=True)
    assert len(CALLS) == learned
    assert np.array_equal(found.array, plain(whole).array)


def test_other_params_and_other_sizes_have_other_programs() -> None:
    first, _, _ = compiled(graph(brighter))
    made = Pipeline()
    made.output("last", made.node("brighter", brighter, image=made.node("photo", photo), amount=3.0))
    second, ways, _ = compiled(made.graph())
    assert ways == [True]
    assert np.allclose(second.array, 2 * first.array)


@pytest.mark.parametrize("step", [in_numpy, looks, grainy])
def test_what_needs_more_than_torch_goes_in_strips_on_the_cpu(step: Callable[..., Any]) -> None:
    chain = graph(brighter, step, brighter)
    for _ in range(2):  # learned, and known
        made, ways, warnings = compiled(chain)
        assert ways == [False, False, False]
        assert not warnings
        if step is not grainy:  # what it draws goes by strips, with or without programs
            assert np.array_equal(made.array, plain(chain).array)


def test_elsewhere_programs_end_before_it_and_begin_again_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "OTHERWISE_IN_STRIPS", frozenset())
    for step in (in_numpy, looks, grainy):
        chain = graph(brighter, softer, step, brighter, brighter)
        for _ in range(2):
            made, ways, warnings = compiled(chain)
            assert ways == [True, True, False, True, True]
            assert not warnings
            assert np.abs(made.array - plain(chain).array).max() < 1e-6


def test_meta_is_passed_on_and_is_not_part_of_a_program() -> None:
    for author in ("Ada", "Grace"):
        made, ways, _ = compiled(graph(brighter, softer, author=author))
        assert ways == [True, True]
        assert made.meta == {"author": author}
    assert len(programs._recipes) == 1


def test_an_operation_that_reads_meta_is_called() -> None:
    for author in ("Ada", "Grace"):
        chain = graph(brighter, reads_meta, author=author)
        made, ways, _ = compiled(chain)
        assert ways == [False, False]
        assert np.array_equal(made.array, plain(chain).array)


def test_a_program_that_gives_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "OTHERWISE_IN_STRIPS", frozenset())
    _, ways, warnings = compiled(graph(brighter, softer, counts, brighter))
    assert ways == [True, True, False, True]
    assert len(warnings) == 1
    assert "'counts': not compiled, " in warnings[0]
    assert "samples differ from what the operations give" in warnings[0]


def test_what_a_compiler_refuses_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(graph: torch.fx.GraphModule, **_: Any) -> torch.fx.GraphModule:
        if any("avg_pool" in str(node.target) for node in graph.graph.nodes):
            raise RuntimeError("no such kernel\n\nand pages more")
        return graph

    monkeypatch.setattr(programs, "OTHERWISE_IN_STRIPS", frozenset())
    monkeypatch.setattr(torch, "compile", refuse)
    chain = graph(brighter, brighter, softer, brighter, brighter)
    made, ways, warnings = compiled(chain)
    assert ways == [True, True, False, True, True]
    assert warnings == ["'softer': not compiled, RuntimeError: no such kernel and pages more"]
    assert np.array_equal(made.array, plain(chain).array)


def test_who_writes_into_an_input_is_named() -> None:
    made = Pipeline()
    source = made.node("photo", photo)
    made.output("last", made.node("first", writes, image=source))
    made.output("other", made.node("second", brighter, image=source))
    with pytest.raises(NodeError, match=r"'writes'.* writes into its input"):
        run_graph(made.graph(), cache=False, device="cpu", compiled=True)


def test_an_error_names_its_node() -> None:
    @operation(support=0)
    def fails(image: Image) -> Image:
        """No."""
        raise ValueError("no")

    with pytest.raises(NodeError, match="fails1"):
        compiled(graph(brighter, fails))


def test_an_inner_node_that_is_to_be_kept_is_kept(tmp_path: Path) -> None:
    @operation(support=0, cache="always")
    def dear(image: Image) -> Image:
        """Wanted again."""
        return image.with_pixels(image.pixels**2)

    made = Pipeline()
    node = made.node("light", dear, image=made.node("photo", photo))
    made.output("last", made.node("soft", softer, image=node))
    with Cache.open(tmp_path) as cache:
        _, ways, _ = compiled(made.graph(), cache=cache)
        cache.flush()
        kept = run_graph(made.graph(), cache=cache, only=["last"], device="cpu")
    assert ways == [True, True]
    assert kept.cached > 0

"""Inference: a mismatch is told with file and line before anything runs; what is unknown stays unknown."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
import specimens
import torch

from pipeline_core import GraphError, Image, Mask, OperationError, operation
from pipeline_core.graph import Graph, build
from pipeline_core.infer import infer
from pipeline_core.plugins import Catalogue
from pipeline_core.spec import parse_spec

RAN: list[str] = []


def graph(text: str, *more: Callable[..., Any]) -> Graph:
    """A pipeline of these nodes; its output is the last."""
    last = re.findall(r"^  (\w+):", text, re.MULTILINE)[-1]
    whole = f"pipeline: 1\nnodes:\n{text}\noutputs: {{o: {{from: {last}}}}}\n"
    spec, problems = parse_spec(whole.encode(), "x.yaml")
    assert spec is not None
    return build(spec, Catalogue.of([*specimens.ALL, *more]), known=problems)


def facts(text: str, *more: Callable[..., Any]) -> dict[str, list[str]]:
    made = graph(text, *more)
    return {
        name: ["?" if fact is None else str(fact) for fact in found] for name, found in infer(made, made.order).items()
    }


def refused(text: str, *more: Callable[..., Any]) -> list[str]:
    made = graph(text, *more)
    with pytest.raises(GraphError) as caught:
        infer(made, made.order)
    return str(caught.value).splitlines()


def test_rules_carry_sizes_through_the_graph() -> None:
    found = facts(
        "  a: {op: flat, params: {width: 7}}\n  b: {op: double, inputs: {image: a}}\n  c: {op: add, inputs: {base: a, top: b}}"
    )
    assert found == {name: ["7x3 RGB float32 srgb_rec709_scene"] for name in "abc"}


def test_a_mismatch_is_told_with_its_line_and_what_would_mend_it() -> None:
    found = refused(
        "  a: {op: flat, params: {width: 7}}\n  b: {op: flat}\n  c: {op: add, inputs: {base: a, top: b}}\n  d: {op: add, inputs: {base: b, top: a}}"
    )
    assert found == [
        "x.yaml:5:3: node 'c' (add): base is 7x3, top is 4x3; resize one "
        "[base is 7x3 RGB float32 srgb_rec709_scene, top is 4x3 RGB float32 srgb_rec709_scene]",
        "x.yaml:6:3: node 'd' (add): base is 4x3, top is 7x3; resize one "
        "[base is 4x3 RGB float32 srgb_rec709_scene, top is 7x3 RGB float32 srgb_rec709_scene]",
    ]


def test_a_mismatch_of_colour_is_told() -> None:
    def linear(image: Image) -> Image:
        """Linear."""
        return image.with_pixels(image.pixels**2.2, color="lin_rec709_scene")

    found = refused(
        "  a: {op: flat}\n  b: {op: linear, inputs: {image: a}}\n  c: {op: add, inputs: {base: a, top: b}}", linear
    )
    assert "base is srgb_rec709_scene, top is lin_rec709_scene; color_convert one" in found[0]


def test_what_follows_a_mismatch_is_unknown_not_wrong() -> None:
    text = "  a: {op: flat, params: {width: 7}}\n  b: {op: flat}\n  c: {op: add, inputs: {base: a, top: b}}\n  d: {op: add, inputs: {base: c, top: b}}"
    assert len(refused(text)) == 1


def test_without_a_rule_torch_code_runs_on_the_meta_device() -> None:
    def half(image: Image, *, factor: int = 2) -> Image:
        """Half the size."""
        RAN.append(str(image.buffer.device))
        return image.with_pixels(torch.nn.functional.avg_pool2d(image.pixels, factor), alpha="none")

    RAN.clear()
    found = facts("  a: {op: flat, params: {width: 8, height: 6}}\n  b: {op: half, inputs: {image: a}}", half)
    assert found["b"] == ["4x3 RGB float32 srgb_rec709_scene"]
    assert RAN == ["meta"]


def test_nodes_alike_are_inferred_once() -> None:
    def once(image: Image) -> Image:
        """Once."""
        RAN.append("once")
        return image.with_pixels(image.pixels + 1)

    RAN.clear()
    facts("  a: {op: flat}\n" + "\n".join(f"  n{i}: {{op: once, inputs: {{image: a}}}}" for i in range(50)), once)
    assert RAN == ["once"]


def rule_raises(image: Image) -> Image:
    raise ValueError("a fault in the rule")


def stubborn(image: Image) -> Image:
    """Needs values."""
    if image.pixels.mean() > 0.4:  # a meta tensor has no truth value
        return image
    raise OperationError("too dark")


def by_array(image: Image) -> Image:
    """Needs an array."""
    return image.with_array(image.array * 2)


def item(image: Image) -> Image:
    """Needs an item."""
    return image.with_pixels(image.pixels * image.pixels.max().item())


@operation(infer=rule_raises)
def faulty(image: Image) -> Image:
    """Its rule is wrong."""
    return image


@operation(infer=lambda image: None)
def silent(image: Image) -> Image:
    """Its rule says nothing."""
    return image


@operation(infer=lambda image: (image, image))
def talkative(image: Image) -> Image:
    """Its rule says too much."""
    return image


@operation(infer=lambda image: sys.exit(3))
def leaving(image: Image) -> Image:
    """Its rule leaves."""
    return image


def endless(image: Image) -> Image:
    """Calls itself."""
    return endless(image)


def listed(image: Image) -> Image:
    """Names channels by a list, as authors do."""
    return Image(image.pixels.permute(0, 2, 3, 1), channels=["R", "G", "B"], wrap=[True, False])  # type: ignore[arg-type]


@pytest.mark.parametrize("operation", [stubborn, by_array, item, faulty, silent, talkative, leaving, endless])
def test_unknown_stays_unknown_and_nothing_is_refused_for_it(operation: Callable[..., Any]) -> None:
    name = operation.__name__
    found = facts(
        f"  a: {{op: flat}}\n  b: {{op: {name}, inputs: {{image: a}}}}\n  c: {{op: add, inputs: {{base: a, top: b}}}}",
        operation,
    )
    assert found["b"] == ["?"]
    assert found["c"] == ["?"]


def test_channels_may_be_given_as_a_list() -> None:
    found = facts(
        "  a: {op: flat}\n  b: {op: listed, inputs: {image: a}}\n  c: {op: listed, inputs: {image: b}}", listed
    )
    assert found["c"] == ["4x3 RGB float32 srgb_rec709_scene"]


def test_several_outputs_and_masks() -> None:
    @operation(infer=lambda image: specimens.Parts(image, Mask.stand_in(image.width, image.height)))
    def parted(image: Image) -> specimens.Parts:
        """Parts."""
        return specimens.split(image)

    found = facts(
        "  a: {op: flat}\n  b: {op: parted, inputs: {image: a}}\n  c: {op: same, inputs: {raster: b.coverage}}", parted
    )
    assert found["b"] == ["4x3 RGB float32 srgb_rec709_scene", "4x3 mask float32"]
    assert found["c"] == ["4x3 mask float32"]


def test_an_operation_error_on_the_meta_device_is_a_mistake_in_the_file() -> None:
    def square_only(image: Image) -> Image:
        """Squares."""
        if image.width != image.height:
            raise OperationError(f"wants a square, got {image.width}x{image.height}")
        return image

    assert refused("  a: {op: flat}\n  b: {op: square_only, inputs: {image: a}}", square_only)[0].startswith(
        "x.yaml:4:3: node 'b' (square_only): wants a square, got 4x3"
    )


def test_lists_and_optional_inputs() -> None:
    seen: list[Any] = []

    def rule(images: list[Image], mask: Mask | None = None, more: list[Image] | None = None) -> Image:
        seen.append((len(images), mask, more))
        return images[0]

    @operation(infer=rule)
    def several(images: list[Image], mask: Mask | None = None, more: list[Image] | None = None) -> Image:
        """Several."""
        return images[0]

    assert facts("  a: {op: flat}\n  b: {op: several, inputs: {images: [a, a]}}", several)["b"] == [
        "4x3 RGB float32 srgb_rec709_scene"
    ]
    assert seen == [(2, None, None)]


def test_a_stand_in_takes_no_memory() -> None:
    assert Image.stand_in(100_000, 100_000).buffer.base.nbytes <= 16
    assert facts("  a: {op: flat, params: {width: 64, height: 100000000}}\n  b: {op: double, inputs: {image: a}}")["b"][
        0
    ].startswith("64x100000000")

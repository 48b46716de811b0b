"""Which steps run together in strips."""

from __future__ import annotations

import networkx as nx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_core import Image, Mask, Pipeline, operation
from pipeline_core.groups import LONGEST, Group, form
from pipeline_core.plan import Plan, make_plan

WIDTH, HEIGHT = 1920, 1200


def _sized(*, width: int = WIDTH, height: int = HEIGHT) -> Image:
    return Image.stand_in(width, height)


@operation(infer=_sized)
def ground(*, width: int = WIDTH, height: int = HEIGHT) -> Image:
    """A large picture."""
    return Image(np.zeros((1, height, width, 3), np.float32))


@operation(support=0)
def point(image: Image, *, amount: float = 1.0) -> Image:
    """Pointwise."""
    return image.with_array(image.array * amount)


@operation(support=0)
def join(images: list[Image]) -> Image:
    """Pointwise, of several."""
    return images[0].with_array(sum((image.array for image in images[1:]), images[0].array))


@operation(support=lambda radius, **_: radius)
def near(image: Image, *, radius: int = 1) -> Image:
    """A neighbourhood."""
    return image.with_array(image.array)


@operation(infer=lambda image: image)
def all_of_it(image: Image) -> Image:
    """Needs the whole."""
    return image.with_array(image.array - image.array.mean())


@operation(infer=lambda image: Mask.stand_in(image.width, image.height))
def level(image: Image) -> Mask:
    """Needs the whole, gives a mask."""
    return Mask(image.array[..., :1])


def planned(made: Pipeline) -> Plan:
    return make_plan(made.graph())


def grouped(made: Pipeline) -> list[list[str]]:
    plan = planned(made)
    return [[plan.steps[i].name for i in group.steps] for group in groups(plan)]


def groups(plan: Plan) -> list[Group]:
    return form(plan, range(len(plan.steps)), lambda step: plan.graph.catalogue.load(step.node.operation))


def test_a_chain_is_one_group_and_a_reduction_ends_it() -> None:
    made = Pipeline()
    node = made.node("ground", ground)
    for name, function in (("a", point), ("b", near), ("mean", all_of_it), ("c", point), ("d", point)):
        node = made.node(name, function, image=node)
    made.output("d", node)
    assert grouped(made) == [["a", "b"], ["c", "d"]]
    plan = planned(made)
    first, second = groups(plan)
    assert first.outputs == (first.leader,)
    assert [plan.steps[i].name for i in second.sources] == ["mean"]


def test_branches_meet_in_the_group_of_the_step_that_joins_them() -> None:
    made = Pipeline()
    left = made.node("left", point, image=made.node("one", ground))
    right = made.node("right", point, image=made.node("mean", all_of_it, image=made.node("two", ground)))
    made.output("joined", made.node("joined", join, images=[left, right]))
    assert grouped(made) == [["left", "right", "joined"]]


def test_what_somebody_else_reads_is_an_output() -> None:
    made = Pipeline()
    first = made.node("first", point, image=made.node("ground", ground))
    second = made.node("second", point, image=first)
    made.output("second", second)
    made.output("mean", made.node("mean", all_of_it, image=first))
    plan = planned(made)
    (group,) = groups(plan)
    assert [plan.steps[i].name for i in group.outputs] == ["first", "second"]


def test_a_group_never_waits_for_what_waits_for_it() -> None:
    made = Pipeline()
    first = made.node("first", point, image=made.node("ground", ground))
    mean = made.node("mean", all_of_it, image=first)
    made.output("joined", made.node("joined", join, images=[first, mean]))
    assert grouped(made) == [["first"], ["joined"]]


def test_margins_that_add_up_part_a_group() -> None:
    made = Pipeline()
    node = made.node("ground", ground)
    for name, radius in (("a", 20), ("b", 12), ("c", 1), ("d", 65), ("e", 2)):
        node = made.node(name, near, image=node, radius=radius)
    made.output("e", node)
    assert grouped(made) == [["a", "b"], ["c"], ["e"]]  # d needs more rows than strips are good for


def test_small_pictures_and_pictures_of_several_sizes_are_left_whole() -> None:
    made = Pipeline()
    small = made.node("small", point, image=made.node("ground", ground, width=64, height=64))
    made.output("small", small)
    large = made.node("large", ground)
    made.output("joined", made.node("joined", join, images=[large, made.node("other", ground, width=WIDTH - 1)]))
    assert grouped(made) == []


def test_very_long_chains_are_parted() -> None:
    made = Pipeline()
    node = made.node("ground", ground)
    for i in range(LONGEST + 10):
        node = made.node(f"n{i}", point, image=node)
    made.output("last", node)
    assert [len(names) for names in grouped(made)] == [LONGEST, 10]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_graph_stays_without_circles(data: st.DataObject) -> None:
    made = Pipeline()
    nodes = [made.node("ground", ground)]
    for i in range(data.draw(st.integers(1, 14))):
        inputs = data.draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=3, unique_by=lambda node: node.link))
        kind = data.draw(st.sampled_from(("join", "near", "all")))
        if kind == "join":
            nodes.append(made.node(f"n{i}", join, images=inputs))
        elif kind == "near":
            nodes.append(made.node(f"n{i}", near, image=inputs[0], radius=data.draw(st.sampled_from((1, 12, 40)))))
        else:
            nodes.append(made.node(f"n{i}", all_of_it, image=inputs[0]))
    for i, node in enumerate(data.draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=3))):
        made.output(f"o{i}", node)
    plan = planned(made)
    found = groups(plan)
    members = [i for group in found for i in group.steps]
    assert len(members) == len(set(members))
    home = {i: group.leader for group in found for i in group.steps}
    units = nx.DiGraph()
    for step in plan.steps:
        for _, links in step.sources:
            units.add_edges_from(
                (home.get(s, s), home.get(step.index, step.index))
                for s, _ in links
                if home.get(s, s) != home.get(step.index, step.index)
            )
    assert nx.is_directed_acyclic_graph(units)
    for group in found:
        for step in plan.steps:
            if step.index not in group.steps:
                read = {s for _, links in step.sources for s, _ in links}.intersection(group.steps)
                assert read.issubset(group.outputs)
        assert plan.kept.intersection(group.steps).issubset(group.outputs)

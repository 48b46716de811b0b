"""Carries out a group as programs that torch compiles: what consecutive operations do to tensors becomes few kernels.

The first time, operations are called as ever, with the pixels, and called again with tensors that have none, by which torch writes down
what they do. One that looks at pixels in Python, leaves torch, or draws random numbers stays a call; programs end before it
and begin again after it. They are used from then on if they gave what the operations gave. They go with the operations' keys,
and with sizes and facts of what is read, and last as long as the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline_core.call import restored
from pipeline_core.devices import settle
from pipeline_core.errors import Cancelled
from pipeline_core.frames import NotInStrips
from pipeline_core.image import Raster
from pipeline_core.recipes import Piece, Recipe, Steps, Template, buffers, call, called, follow, pieces, with_tensor
from pipeline_core.strips import Made, Member, Values

if TYPE_CHECKING:
    import torch

KEPT = 256
"""Groups whose programs are kept."""
OTHERWISE_IN_STRIPS = frozenset(("cpu",))
"""Devices on which a group of which not every step can be part of one program is better carried out in strips."""
NEAR, RARE = 1e-4, 1e-4
"""How far a program's samples may lie from the operations', and what share of them may lie further, where rounding decides."""


class _Uncompiled(Exception):  # noqa: N818  not a fault: the operations are called
    """Why there is no program."""


_recipes: dict[str, Recipe] = {}
_alone = threading.Lock()
"""Torch runs no program while it traces, in whatever thread."""


def carry_out(
    members: Sequence[Member],
    outputs: Sequence[int],
    given: Mapping[int, Values],
    *,
    keys: Sequence[str],
    check_cancelled: Callable[[], None],
    warn: Callable[[str], None],
) -> Made | None:
    """`members` in their order, the steps whose values are wanted, and the values of the steps they read, all on one device.

    `keys` are of the members' operations with their params. None on the CPU where not all of it is one program: strips are faster then.
    NotInStrips where a step fails, or gives what is on another device.
    """
    began = time.perf_counter()
    # By their places among these, so that the same steps of another pipeline find the same recipe.
    place = {index: at for at, index in enumerate([*given, *(member.index for member in members)])}
    steps = {place[member.index]: _placed(member, place) for member in members}
    wanted = [place[index] for index in outputs]
    values = {place[source]: tuple([with_tensor(value) for value in found]) for source, found in given.items()}
    devices = {value.device for found in values.values() for value in found}
    if len(devices) != 1:
        raise NotInStrips
    links = [steps[at].links for at in steps]
    name = repr((list(keys), links, wanted, [[_facts(value) for value in found] for found in values.values()]))
    with restored(), _alone:
        recipe = _recipes.get(name)
        if recipe is None:
            recipe = _recipes[name] = _learn(steps, wanted, values, check_cancelled, warn)
            while len(_recipes) > KEPT:
                del _recipes[next(iter(_recipes))]
        compiled = {at for piece in recipe if piece.program is not None for at in piece.steps}
        if len(compiled) < len(members) and devices <= OTHERWISE_IN_STRIPS:
            return None
        made = follow(recipe, steps, values, check_cancelled)
        settle(*devices)
    share = (time.perf_counter() - began) / len(members)
    return Made(
        {index: made[place[index]] for index in outputs},
        {member.index: share for member in members},
        compiled=frozenset([member.index for member in members if place[member.index] in compiled]),
    )


def _placed(member: Member, place: Mapping[int, int]) -> Member:
    links = tuple([(name, tuple([(place[s], output) for s, output in found])) for name, found in member.links])
    part = replace(member.part, index=place[member.index], sources=tuple([place[s] for s in member.part.sources]))
    return replace(member, links=links, part=part)


def _facts(value: Raster) -> list[Any]:
    """Of what is read: all but the pixels, and what `meta` says."""
    buffer, names = value.buffer, ("channels", "color", "alpha", "wrap")
    own = [getattr(value, name, None) for name in names]
    return [
        type(value).__name__,
        *own,
        bool(value.meta),
        tuple(buffer.shape),
        buffer.stride(),
        buffer.dtype,
        str(buffer.device),
    ]


# --- learning one ---


def _learn(
    steps: Steps,
    outputs: Sequence[int],
    given: Mapping[int, Values],
    check_cancelled: Callable[[], None],
    warn: Callable[[str], None],
) -> Recipe:
    """Calls all steps and traces those that can be; what is between the others is compiled, and compared with what was called."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    plain = pieces([(index,) for index in steps], steps, outputs)
    (device,) = {value.device for values in given.values() for value in values}
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    facts = {index: _without_pixels(values, fake) for index, values in given.items()}
    values, traced = dict(given), set()
    for index, piece in zip(steps, plain, strict=True):
        check_cancelled()
        # Before its tracing, so that what a plugin keeps for later calls is made with numbers in it.
        values[index] = called(steps[index], values)
        if any(value.device != device for value in values[index]):
            raise NotInStrips
        facts[index] = _without_pixels(values[index], fake)
        if _can_be_traced(piece, steps, facts):
            traced.add(index)
        elif device in OTHERWISE_IN_STRIPS:
            return plain
        for source in piece.dying:
            del values[source]
    runs: list[tuple[int, ...]] = []
    for is_traced, found in groupby(steps, traced.__contains__):
        run = tuple(found)
        runs += [run] if is_traced else [(index,) for index in run]
    refused: dict[str, str] = {}
    recipe = _compile(runs, steps, outputs, given, facts, traced, refused, check_cancelled)
    if refused:
        warn(f"{', '.join(map(repr, refused))}: not compiled, {next(iter(refused.values()))}")
    return recipe


def _compile(
    runs: list[tuple[int, ...]],
    steps: Steps,
    outputs: Sequence[int],
    given: Mapping[int, Values],
    facts: Mapping[int, Values],
    traced: set[int],
    refused: dict[str, str],
    check_cancelled: Callable[[], None],
) -> Recipe:
    """Programs for the runs of traced steps. One that fails is cut in two, until it is clear which steps have to be called.

    `refused` gets why, by the names of their operations.
    """
    values, recipe = dict(given), list[Piece]()
    while len(recipe) < len(runs):
        check_cancelled()
        piece = pieces(runs, steps, outputs)[len(recipe)]
        singly = pieces([(index,) for index in piece.steps], steps, piece.gives)
        found = follow(singly, steps, values, check_cancelled)
        if piece.steps[0] in traced:
            try:
                piece = _compiled(piece, steps, facts)
                made = follow([piece], steps, values, check_cancelled)
                _compare(buffers(piece.gives, found), buffers(piece.gives, made))
            except (Cancelled, NotInStrips):
                raise
            except Exception as error:
                at, half = len(recipe), len(piece.steps) // 2
                if half:
                    runs[at : at + 1] = [piece.steps[:half], piece.steps[half:]]
                else:
                    traced.discard(piece.steps[0])
                    refused[steps[piece.steps[0]].operation.name] = _reason(error)
                continue
        values.update({index: found[index] for index in piece.gives})
        for index in piece.dying:
            del values[index]
        recipe.append(piece)
    return tuple(recipe)


def _reason(error: Exception) -> str:
    """In a line; torch's own begin with what they were at."""
    if isinstance(error, _Uncompiled):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"


class _Unread(dict[str, str]):
    """A picture's `meta` while an operation is traced. It may be passed on; a program does not go with what it says."""

    def _refuse(self, *_: object) -> NoReturn:
        raise _Uncompiled("it reads meta")

    __getitem__ = __iter__ = __len__ = __contains__ = get = keys = values = items = copy = _refuse


def _without_pixels(values: Values, fake: Any) -> Values:
    return tuple(
        [
            replace(
                value,
                buffer=fake.from_tensor(value.buffer),
                meta=MappingProxyType(_Unread()) if value.meta else value.meta,
            )
            for value in values
        ]
    )


def _can_be_traced(piece: Piece, steps: Steps, facts: Mapping[int, Values]) -> bool:
    """Whether a step does with any pixels what it does with these. It may fail in whatever way without pixels."""
    try:
        _trace(piece, steps, facts)
    except Exception:  # it is called, then
        return False
    return True


def _trace(
    piece: Piece, steps: Steps, facts: Mapping[int, Values]
) -> tuple[torch.fx.GraphModule, dict[int, list[Template]]]:
    """(what the steps do, what they give)."""
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    templates: dict[int, list[Template]] = {}
    metas = {id(value.meta): (i, at) for i in piece.reads for at, value in enumerate(facts[i])}

    def work(*read: torch.Tensor) -> list[torch.Tensor]:
        given = iter(read)
        values = {index: tuple([value.with_buffer(next(given)) for value in facts[index]]) for index in piece.reads}
        for index in piece.steps:
            values[index] = call(steps[index], values)
        for index in piece.gives:
            templates[index] = [Template(value, metas.get(id(value.meta))) for value in values[index]]
        return buffers(piece.gives, values)

    graph = make_fx(work, tracing_mode="fake", _allow_non_fake_inputs=True)(*buffers(piece.reads, facts))
    for node in graph.graph.nodes:
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise _Uncompiled(f"{node.target} draws random numbers")
    return graph, templates


def _compiled(piece: Piece, steps: Steps, facts: Mapping[int, Values]) -> Piece:
    import torch

    graph, templates = _trace(piece, steps, facts)
    # In this thread: a process for every core, each of which imports torch, costs more than a few kernels.
    program = torch.compile(graph, fullgraph=True, dynamic=False, options={"compile_threads": 1})
    return replace(piece, program=program, templates=templates)


def _compare(ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor]) -> None:
    """_Uncompiled where what the operations gave is not what their programs gave."""
    import torch

    for one, other in zip(ours, theirs, strict=True):
        if one.shape != other.shape or one.dtype != other.dtype:
            raise _Uncompiled(
                f"the program gives {other.dtype} {tuple(other.shape)}, not {one.dtype} {tuple(one.shape)}"
            )
        far = ~torch.isclose(one.float(), other.float(), rtol=NEAR, atol=NEAR, equal_nan=True)
        if int(far.sum()) > RARE * far.numel():
            raise _Uncompiled(f"{int(far.sum())} of {far.numel()} samples differ from what the operations give")

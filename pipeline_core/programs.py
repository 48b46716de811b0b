"""Carries out a group as programs that torch compiles: what consecutive operations do to tensors becomes few kernels.

The first time, operations are called as ever, with the pixels, and called again with tensors that have none, by which torch writes down
what they do. One that looks at pixels in Python, leaves torch, or draws random numbers stays a call; programs end before it
and begin again after it. They are used from then on if they gave what the operations gave. They go with the operations' keys,
and with sizes and facts of what is read, and last as long as the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from pipeline_core.call import checked, restored
from pipeline_core.devices import settle
from pipeline_core.errors import Cancelled
from pipeline_core.frames import NotInStrips
from pipeline_core.image import Raster
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


class Template(NamedTuple):
    """A value without pixels; `meta` is the step and output whose `meta` it carries, None where it has its own."""

    value: Raster
    meta: tuple[int, int] | None

    def filled(self, buffer: Any, values: Mapping[int, Values]) -> Raster:
        if self.meta is None:
            return self.value.with_buffer(buffer)
        step, output = self.meta
        return self.value.with_buffer(buffer, meta=values[step][output].meta)


@dataclass(frozen=True)
class Piece:
    """Consecutive steps of a group: made by one program, or, without one, a single step that is called.

    reads      the steps before them that they read
    gives      those of them whose values somebody wants later
    dying      the steps before them that nobody reads after them
    templates  the values they give, without pixels
    """

    members: tuple[Member, ...]
    reads: tuple[int, ...]
    gives: tuple[int, ...]
    dying: tuple[int, ...]
    program: Callable[..., Sequence[torch.Tensor]] | None = None
    templates: Mapping[int, Sequence[Template]] = field(default_factory=dict)


Recipe = tuple[Piece, ...]
_recipes: dict[str, Recipe] = {}
_learning = threading.Lock()


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
    given = {source: tuple([_with_tensor(value) for value in values]) for source, values in given.items()}
    devices = {value.device for values in given.values() for value in values}
    if len(devices) != 1:
        raise NotInStrips
    name = _name(members, outputs, given, keys)
    with restored():
        recipe = _recipes.get(name)
        if recipe is None:
            with _learning:
                recipe = _recipes.get(name) or _learn(members, outputs, given, check_cancelled, warn)
                _recipes[name] = recipe
                while len(_recipes) > KEPT:
                    del _recipes[next(iter(_recipes))]
        compiled = frozenset(member.index for piece in recipe if piece.program is not None for member in piece.members)
        if len(compiled) < len(members) and devices <= OTHERWISE_IN_STRIPS:
            return None
        values = _follow(recipe, given, check_cancelled)
        settle(*devices)
    share = (time.perf_counter() - began) / len(members)
    return Made({i: values[i] for i in outputs}, {member.index: share for member in members}, compiled=compiled)


def _name(members: Sequence[Member], outputs: Sequence[int], given: Mapping[int, Values], keys: Sequence[str]) -> str:
    """What a recipe goes with. Steps count by their places, so that the same steps of another pipeline find it too."""
    place = {index: at for at, index in enumerate([*given, *(member.index for member in members)])}
    links = [[(name, [(place[s], output) for s, output in found]) for name, found in m.links] for m in members]
    facts = [[_facts(value) for value in values] for values in given.values()]
    return repr((list(keys), links, [place[index] for index in outputs], facts))


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


def _with_tensor(value: Any) -> Raster:
    """A picture's array as a tensor, of the same memory where torch takes it."""
    if not isinstance(value, Raster):
        raise NotInStrips
    if not isinstance(value.buffer, np.ndarray):
        return value
    import torch

    fits = value.buffer.flags.writeable and min(value.buffer.strides) >= 0
    return value.with_buffer(torch.from_numpy(value.buffer if fits else value.buffer.copy()))


# --- following a recipe ---


def _follow(
    recipe: Sequence[Piece], given: Mapping[int, Values], check_cancelled: Callable[[], None]
) -> dict[int, Values]:
    values = dict(given)
    for piece in recipe:
        check_cancelled()
        if piece.program is None:
            (member,) = piece.members
            values[member.index] = _called(member, values)
        else:
            made = iter(piece.program(*_buffers(piece.reads, values)))
            for index, templates in piece.templates.items():
                values[index] = tuple([template.filled(next(made), values) for template in templates])
        for index in piece.dying:
            del values[index]
    return values


def _called(member: Member, values: Mapping[int, Values]) -> Values:
    """The values of a step. NotInStrips whatever it raises: the run calls it again, and says what is wrong."""
    try:
        return tuple([_with_tensor(value) for value in _call(member, values)])
    except (Cancelled, NotInStrips):
        raise
    except Exception as error:
        raise NotInStrips from error


def _call(member: Member, values: Mapping[int, Values]) -> Values:
    given = [
        (None if links is None else [values[source][output] for source, output in links])
        if many
        else (values[links[0][0]][links[0][1]] if links else None)
        for many, links in member.arguments()
    ]
    assert member.operation.function is not None
    return checked(member.operation, member.operation.function(*given, **member.bound), member.kinds)


def _buffers(steps: Iterable[int], values: Mapping[int, Values]) -> list[Any]:
    return [value.buffer for index in steps for value in values[index]]


# --- learning one ---


def _learn(
    members: Sequence[Member],
    outputs: Sequence[int],
    given: Mapping[int, Values],
    check_cancelled: Callable[[], None],
    warn: Callable[[str], None],
) -> Recipe:
    """Calls all steps and traces those that can be; what is between the others is compiled, and compared with what was called."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    plain = _pieces([(member,) for member in members], outputs)
    (device,) = {value.device for values in given.values() for value in values}
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    facts = {index: _without_pixels(values, fake) for index, values in given.items()}
    values, traced = dict(given), set()
    for member, piece in zip(members, plain, strict=True):
        check_cancelled()
        # Before its tracing, so that what a plugin keeps for later calls is made with numbers in it.
        values[member.index] = _called(member, values)
        if any(value.device != device for value in values[member.index]):
            raise NotInStrips
        facts[member.index] = _without_pixels(values[member.index], fake)
        if _can_be_traced(piece, facts):
            traced.add(member.index)
        elif device in OTHERWISE_IN_STRIPS:
            return plain
        for index in piece.dying:
            del values[index]
    runs: list[tuple[Member, ...]] = []
    for is_traced, found in groupby(members, lambda member: member.index in traced):
        run = tuple(found)
        runs += [run] if is_traced else [(member,) for member in run]
    refused: dict[str, str] = {}
    recipe = _compile(runs, outputs, given, facts, traced, refused, check_cancelled)
    if refused:
        warn(f"{', '.join(map(repr, refused))}: not compiled, {next(iter(refused.values()))}")
    return recipe


def _compile(
    runs: list[tuple[Member, ...]],
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
        piece = _pieces(runs, outputs)[len(recipe)]
        called = _follow(_pieces([(member,) for member in piece.members], piece.gives), values, check_cancelled)
        if piece.members[0].index in traced:
            try:
                piece = _compiled(piece, facts)
                made = _follow([piece], values, check_cancelled)
                _compare(_buffers(piece.gives, called), _buffers(piece.gives, made))
            except (Cancelled, NotInStrips):
                raise
            except Exception as error:
                at, half = len(recipe), len(piece.members) // 2
                if half:
                    runs[at : at + 1] = [piece.members[:half], piece.members[half:]]
                else:
                    traced.discard(piece.members[0].index)
                    refused[piece.members[0].operation.name] = _reason(error)
                continue
        values.update({index: called[index] for index in piece.gives})
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


def _pieces(runs: Sequence[tuple[Member, ...]], outputs: Sequence[int]) -> Recipe:
    """Without programs."""
    reads = [tuple(dict.fromkeys(s for m in run for s in m.part.sources if s not in _indices(run))) for run in runs]
    last = {source: number for number, sources in enumerate(reads) for source in sources}
    return tuple(
        [
            Piece(
                run,
                sources,
                tuple([i for i in _indices(run) if i in last or i in outputs]),
                tuple([source for source in sources if last[source] == number and source not in outputs]),
            )
            for number, (run, sources) in enumerate(zip(runs, reads, strict=True))
        ]
    )


def _indices(run: Iterable[Member]) -> list[int]:
    return [member.index for member in run]


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


def _can_be_traced(piece: Piece, facts: Mapping[int, Values]) -> bool:
    """Whether a step does with any pixels what it does with these. It may fail in whatever way without pixels."""
    try:
        _trace(piece, facts)
    except Exception:  # it is called, then
        return False
    return True


def _trace(piece: Piece, facts: Mapping[int, Values]) -> tuple[torch.fx.GraphModule, dict[int, list[Template]]]:
    """(what the steps do, what they give)."""
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    templates: dict[int, list[Template]] = {}
    metas = {id(value.meta): (i, at) for i in piece.reads for at, value in enumerate(facts[i])}

    def steps(*buffers: torch.Tensor) -> list[torch.Tensor]:
        given = iter(buffers)
        values = {index: tuple([value.with_buffer(next(given)) for value in facts[index]]) for index in piece.reads}
        for member in piece.members:
            values[member.index] = _call(member, values)
        for index in piece.gives:
            templates[index] = [Template(value, metas.get(id(value.meta))) for value in values[index]]
        return _buffers(piece.gives, values)

    graph = make_fx(steps, tracing_mode="fake", _allow_non_fake_inputs=True)(*_buffers(piece.reads, facts))
    for node in graph.graph.nodes:
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise _Uncompiled(f"{node.target} draws random numbers")
    return graph, templates


def _compiled(piece: Piece, facts: Mapping[int, Values]) -> Piece:
    import torch

    graph, templates = _trace(piece, facts)
    # In this thread: a process for every core, each of which imports torch, costs more than a few kernels.
    program = torch.compile(graph, fullgraph=True, dynamic=False, options={"compile_threads": 1})
    return Piece(piece.members, piece.reads, piece.gives, piece.dying, program, templates)


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

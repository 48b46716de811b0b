"""How a group is carried out by programs: pieces one after the other, each made by a program or by calling its step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline_core.call import arguments_of, checked
from pipeline_core.devices import as_own_tensor
from pipeline_core.errors import Cancelled
from pipeline_core.frames import NotInStrips
from pipeline_core.image import Raster
from pipeline_core.strips import Member, Values

if TYPE_CHECKING:
    import torch

Steps = Mapping[int, Member]
"""The steps of a group in their order, by number."""


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

    steps      their numbers
    reads      the steps before them that they read
    gives      those of them whose values somebody wants later
    dying      the steps before them that nobody reads after them
    templates  the values they give, without pixels
    """

    steps: tuple[int, ...]
    reads: tuple[int, ...]
    gives: tuple[int, ...]
    dying: tuple[int, ...]
    program: Callable[..., Sequence[torch.Tensor]] | None = None
    templates: Mapping[int, Sequence[Template]] = field(default_factory=dict)


Recipe = tuple[Piece, ...]


def pieces(runs: Sequence[tuple[int, ...]], steps: Steps, outputs: Sequence[int]) -> Recipe:
    """Of runs of consecutive steps, as yet without programs."""
    reads = [tuple(dict.fromkeys(s for i in run for s in steps[i].part.sources if s not in run)) for run in runs]
    last = {source: number for number, sources in enumerate(reads) for source in sources}
    return tuple(
        [
            Piece(
                run,
                sources,
                tuple([i for i in run if i in last or i in outputs]),
                tuple([source for source in sources if last[source] == number and source not in outputs]),
            )
            for number, (run, sources) in enumerate(zip(runs, reads, strict=True))
        ]
    )


def follow(
    recipe: Sequence[Piece], steps: Steps, given: Mapping[int, Values], check_cancelled: Callable[[], None]
) -> dict[int, Values]:
    """The values of the outputs. NotInStrips where a step that is called fails."""
    values = dict(given)
    for piece in recipe:
        check_cancelled()
        if piece.program is None:
            (index,) = piece.steps
            values[index] = called(steps[index], values)
        else:
            made = iter(piece.program(*buffers(piece.reads, values)))
            for index, templates in piece.templates.items():
                values[index] = tuple([template.filled(next(made), values) for template in templates])
        for index in piece.dying:
            del values[index]
    return values


def called(member: Member, values: Mapping[int, Values]) -> Values:
    """The values of a step. NotInStrips whatever it raises: the run calls it again, and says what is wrong."""
    try:
        return tuple([with_tensor(value) for value in call(member, values)])
    except (Cancelled, NotInStrips):
        raise
    except Exception as error:
        raise NotInStrips from error


def call(member: Member, values: Mapping[int, Values]) -> Values:
    """The bare call; whatever the operation raises passes through."""
    operation = member.operation
    assert operation.function is not None
    result = operation.function(*arguments_of(operation, member.links, values), **member.bound)
    return checked(operation, result, member.kinds)


def with_tensor(value: Any) -> Raster:
    """A picture's array as a tensor, of the same memory where torch takes it. NotInStrips for what is no picture."""
    if not isinstance(value, Raster):
        raise NotInStrips
    return value.with_buffer(as_own_tensor(value.buffer)) if isinstance(value.buffer, np.ndarray) else value


def buffers(steps: Iterable[int], values: Mapping[int, Values]) -> list[Any]:
    return [value.buffer for index in steps for value in values[index]]

"""Checks of what an operation gives and leaves alone. Each raises a ContractError that says what was found."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_core.call import call
from pipeline_core.errors import OperationError
from pipeline_core.frames import NotInStrips, Part
from pipeline_core.image import File, Image, ImageSet, Raster, Table
from pipeline_core.operation import bind, support_radius
from pipeline_core.rows import RowFile, Rows
from pipeline_core.strips import Member, carry_out
from pipeline_core.testing.samples import HEIGHT, WIDTH, Trial
from pipeline_core.testing.subject import ContractError, Inputs, Subject, same
from pipeline_core.values import change_buffers, fingerprint, move, put_together, take_apart

CLOSE = 1e-6
"""How far results may lie apart that need not be bit for bit the same."""

CLOSE_ON_ACCELERATORS = 1e-4
STRIPS = (1, 5, 13)


def gives_what_it_says(subject: Subject) -> None:
    """It takes at least one trial, gives the kinds it says, and raises nothing but OperationError."""
    found = subject.trials()
    if not found:
        kinds = sorted({kind for part in subject.operation.inputs if not part.optional for kind in part.kinds})
        raise ContractError(f"nothing to try it with: give values of its kinds, contract(..., values={{...}}): {kinds}")
    answers = [subject.run(trial, trial.inputs()) for trial in found]
    if all(answer is None for answer in answers):
        raise ContractError(f"refuses all of {len(found)} trials, the last with: {_refusal(subject, found[-1])}")


def _refusal(subject: Subject, trial: Trial) -> str:
    try:
        call(subject.operation, trial.inputs(), trial.params, [output.kind for output in subject.operation.outputs])
    except OperationError as error:
        return f"{error}. Params that can't be made up are given by Field(examples=[...]) or contract(..., params=...)"
    return "nothing"


def leaves_inputs_alone(subject: Subject) -> None:
    """It writes into no input, be it an array or a tensor."""
    for trial in subject.trials():
        for library, inputs in (("numpy", trial.inputs()), ("torch", _as_tensors(trial.inputs()))):
            before = {name: fingerprint(tuple(values)) for name, values in inputs.items()}
            subject.run(trial, inputs)
            for name, values in inputs.items():
                if fingerprint(tuple(values)) != before[name]:
                    raise ContractError(f"{trial}: it wrote into its input '{name}' ({library})")


def gives_the_same_twice(subject: Subject) -> None:
    """Same inputs, params and seed: the same bytes."""
    for trial, outputs in subject.accepted():
        again = subject.run(trial, trial.inputs())
        same(f"{trial}: a second call gives another result", outputs, again)


def keeps_no_buffer(subject: Subject) -> None:
    """Whoever writes into a result does not change the next one."""
    for trial, outputs in subject.accepted():
        kept = change_buffers(
            outputs, lambda buffer: buffer.copy() if isinstance(buffer, np.ndarray) else buffer.clone()
        )
        change_buffers(outputs, _spoil)
        again = subject.run(trial, trial.inputs())
        same(f"{trial}: it keeps a buffer that it returned, and gives it again", kept, again)


def _spoil(buffer: Any) -> Any:
    if not isinstance(buffer, np.ndarray) or buffer.flags.writeable:
        buffer[...] = 77
    return buffer


def can_be_stored(subject: Subject) -> None:
    """What it gives is made of tensors and plain values, so that the cache can keep it."""
    for trial, outputs in subject.accepted():
        for output, value in zip(subject.operation.outputs, outputs, strict=True):
            try:
                again = put_together(*take_apart(value))
            except TypeError as error:
                raise ContractError(f"{trial}: output '{output.name}' can't be stored: {error}") from error
            same(f"{trial}: output '{output.name}' is not the same when stored and read", (value,), (again,))


def treats_a_batch_as_its_items(subject: Subject) -> None:
    """A batch of two gives what two batches of one give, unless it refuses batches.

    A table's rows of one picture are those with its place in column `image`; without one, a table is of any.
    """
    for trial in subject.trials():
        items = [trial.inputs(0), trial.inputs(1)]
        both = {
            name: [_stacked(*pair) for pair in zip(items[0][name], items[1][name], strict=True)] for name in items[0]
        }
        together = subject.run(trial, both)
        if together is None:
            continue
        for i, inputs in enumerate(items):
            alone = subject.run(trial, inputs)
            part = tuple(_item(value, i, str(trial)) for value in together)
            if alone is not None:
                same(f"{trial}: item {i} of a batch differs from the same image alone", alone, part, CLOSE)


def _stacked(one: Any, other: Any) -> Any:
    if isinstance(one, ImageSet):
        images = {name: _stacked(image, other.images[name]) for name, image in one.images.items()}
        return dataclasses.replace(one, images=images)
    if not isinstance(one, Raster):
        return one
    return one.with_buffer(np.concatenate([one.buffer, other.buffer]))


def _item(value: Any, i: int, when: str) -> Any:
    if isinstance(value, Table) and "image" in value.columns:
        place = value.columns.index("image")
        mine = [row for row in value.rows if row[place] == i]
        return Table(value.columns, tuple((*row[:place], 0, *row[place + 1 :]) for row in mine))
    if isinstance(value, ImageSet):
        images = {name: _item(image, i, when) for name, image in value.images.items()}
        return dataclasses.replace(value, images=images)
    if not isinstance(value, Raster):
        return value
    if value.batch != 2:
        raise ContractError(f"{when}: a batch of two gave a batch of {value.batch}")
    return value.with_buffer(value.buffer[i : i + 1])


def takes_arrays_and_tensors_alike(subject: Subject) -> None:
    """A tensor gives what an array of the same values gives."""
    for trial, outputs in subject.accepted():
        again = subject.run(trial, _as_tensors(trial.inputs()))
        same(f"{trial}: tensors give another result than arrays", outputs, again, CLOSE)


def _as_tensors(inputs: Inputs) -> Inputs:
    import torch

    def tensor(buffer: Any) -> Any:
        return torch.from_numpy(buffer) if isinstance(buffer, np.ndarray) else buffer

    return {name: [change_buffers(value, tensor) for value in values] for name, values in inputs.items()}


def runs_in_tiles(subject: Subject) -> None:
    """With `support`, a tile and a margin of that radius give the pixels that the whole gives."""
    for trial, outputs in subject.accepted():
        radius = _radius(subject, trial)
        if not all(isinstance(value, Raster) and value.size == (WIDTH, HEIGHT) for value in outputs):
            continue
        for rows, columns in _tiles(trial.form.wrap):
            margin = math.ceil(min(radius, WIDTH))
            above, left = min(margin, rows.start), min(margin, columns.start)
            outer = (slice(rows.start - above, rows.stop + margin), slice(columns.start - left, columns.stop + margin))
            cut_short = outer[0].stop > HEIGHT or outer[1].stop > WIDTH or (rows.start and above < margin)
            if cut_short or (columns.start and left < margin):
                continue
            inputs = {name: [_cut(value, *outer) for value in values] for name, values in trial.inputs().items()}
            given = subject.run(trial, inputs)
            inner = (slice(above, above + rows.stop - rows.start), slice(left, left + columns.stop - columns.start))
            tile = tuple(_cut(value, *inner) for value in given or ())
            whole = tuple(_cut(value, rows, columns) for value in outputs)
            same(f"{trial}: a tile with a margin of {margin} pixels differs from the whole", whole, tile, CLOSE)


def _radius(subject: Subject, trial: Trial) -> float:
    try:
        radius = support_radius(subject.operation, bind(subject.operation, trial.params))
    except Exception as error:
        raise ContractError(f"{trial}: support(**params) raised {type(error).__name__}: {error}") from error
    if math.isnan(radius) or radius < 0:
        raise ContractError(f"{trial}: support must be a radius of 0 or more, got {radius}")
    return radius


def runs_in_strips(subject: Subject) -> None:
    """With `support` or `rows`, the whole made a few rows at a time is the whole: bit for bit where it is pointwise."""
    for trial, outputs in subject.accepted():
        given = trial.inputs()
        bound = bind(subject.operation, trial.params)
        rule, radius = _rule(subject, trial, given), 0.0
        if subject.operation.facts.rows is None:
            radius = _radius(subject, trial)
            if not all(isinstance(value, Raster) and value.size == (WIDTH, HEIGHT) for value in outputs):
                continue
        elif rule is None:
            continue
        if radius > HEIGHT:
            continue
        links = tuple(
            (name, tuple((number, i) for i in range(len(values))))
            for number, (name, values) in enumerate(given.items())
        )
        values = {number: tuple(found) for number, found in enumerate(given.values())}
        kinds = [type(value).__name__ for value in outputs]
        part = Part(len(given), tuple(values), math.ceil(radius), rule)
        member = Member(subject.operation, bound, kinds, links, part)
        for rows in STRIPS:
            what = f"{trial}: made of strips of {rows} rows it differs from the whole"
            try:
                if isinstance(rule, RowFile):
                    made: tuple[Any, ...] = (_written(member, values, rule, rows, outputs[0].media_type),)
                else:
                    made = carry_out([member], [member.index], values, jobs=1, rows=rows).values[member.index]
            except NotInStrips as error:
                if rule is None and (error.__cause__ is None or isinstance(error.__cause__, OperationError)):
                    continue  # it says so, and is run on the whole
                raise ContractError(f"{trial}: on a strip it raised {error.__cause__!r}") from error
            same(what, outputs, made, CLOSE if radius or rule else 0.0)


def _rule(subject: Subject, trial: Trial, given: Inputs) -> Rows | RowFile | None:
    """What the operation's `rows` says of these inputs."""
    rule = subject.operation.facts.rows
    if rule is None:
        return None
    facts = {
        name: [value.like(dtype=value.dtype) if isinstance(value, Raster) else value for value in values]
        for name, values in given.items()
    }
    bound = bind(subject.operation, trial.params)
    try:
        found: Rows | RowFile | None = rule(*subject.operation.arguments(facts), **bound)
    except Exception as error:
        raise ContractError(f"{trial}: its 'rows' rule raised {type(error).__name__}: {error}") from error
    return found


def _written(member: Member, values: dict[int, tuple[Any, ...]], rule: RowFile, rows: int, media_type: str) -> File:
    """The file that a step writes row by row, as if it had been encoded whole."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        (image,) = values[0]
        writer = rule.open(path, image.like(dtype=image.dtype))
        carry_out(
            [member], [member.index], values, jobs=1, rows=rows, sinks={member.index: lambda v, _: writer.write(v)}
        )
        writer.close()
        return File(path.read_bytes(), media_type)


def _tiles(wrap: bool) -> list[tuple[slice, slice]]:
    """Rows and columns of a tile in the middle, and of one in the corner where there is a corner."""
    middle = (slice(HEIGHT // 2 - 3, HEIGHT // 2 + 3), slice(WIDTH // 2 - 4, WIDTH // 2 + 4))
    return [middle] if wrap else [middle, (slice(0, 5), slice(0, 6))]


def _cut(value: Any, rows: slice, columns: slice) -> Any:
    if not isinstance(value, Raster):
        return value
    return value.with_buffer(value.buffer[:, rows, columns], wrap=(False, False))


def agrees_across_devices(subject: Subject) -> None:
    """An accelerator gives what the CPU gives, within 1e-4 of colour times alpha: under next to no alpha colour is chance."""
    device = accelerator()
    if device is None:
        return
    for trial, outputs in subject.accepted():
        there = {name: [move(value, device) for value in values] for name, values in trial.inputs().items()}
        again = subject.run(trial, there)
        here, there_too = (
            tuple(value.associate() if isinstance(value, Image) else value for value in values)
            for values in (outputs, move(again, "cpu"))
        )
        same(f"{trial}: {device} gives another result than cpu", here, there_too, CLOSE_ON_ACCELERATORS)


def accelerator() -> str | None:
    """'cuda' or 'mps' where this machine has one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else None

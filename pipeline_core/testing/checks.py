"""The contract: every check, and which operations it is for."""

from __future__ import annotations

from collections.abc import Callable

from pipeline_core.operation import Operation
from pipeline_core.testing.graph_checks import has_steady_keys, infers_what_it_gives, is_refused_wrong_kinds
from pipeline_core.testing.subject import Subject
from pipeline_core.testing.value_checks import (
    accelerator,
    agrees_across_devices,
    can_be_stored,
    gives_the_same_twice,
    gives_what_it_says,
    keeps_no_buffer,
    leaves_inputs_alone,
    runs_in_strips,
    runs_in_tiles,
    takes_arrays_and_tensors_alike,
    treats_a_batch_as_its_items,
)

Check = Callable[[Subject], None]


def _always(operation: Operation) -> bool:
    return True


def _wired(operation: Operation) -> bool:
    return bool(operation.inputs)


def _has_rasters(operation: Operation) -> bool:
    return any(kind in ("Image", "Mask") for part in operation.inputs for kind in part.kinds)


def _has_items(operation: Operation) -> bool:
    return _has_rasters(operation) and operation.facts.batch == "items"


def _in_tiles(operation: Operation) -> bool:
    return operation.facts.support is not None and _has_rasters(operation)


def _in_strips(operation: Operation) -> bool:
    return _in_tiles(operation) or operation.facts.rows is not None


def _on_accelerators(operation: Operation) -> bool:
    return operation.device != "cpu" and accelerator() is not None


CHECKS: tuple[tuple[Check, Callable[[Operation], bool]], ...] = (
    (gives_what_it_says, _always),
    (leaves_inputs_alone, _wired),
    (gives_the_same_twice, _always),
    (keeps_no_buffer, _always),
    (can_be_stored, _always),
    (treats_a_batch_as_its_items, _has_items),
    (takes_arrays_and_tensors_alike, _has_rasters),
    (runs_in_tiles, _in_tiles),
    (runs_in_strips, _in_strips),
    (infers_what_it_gives, _always),
    (is_refused_wrong_kinds, _wired),
    (has_steady_keys, _always),
    (agrees_across_devices, _on_accelerators),
)

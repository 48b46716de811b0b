"""The collector is held still, and what others do with it is left alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from pipeline_core.garbage import held, set_aside


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_what_was_made_meanwhile_is_old_and_can_be_collected() -> None:
    with held():
        made: list[list[object]] = [[] for _ in range(1000)]
        assert not gc.isenabled()
    assert gc.isenabled()
    assert len(gc.get_objects(0)) < 1000
    assert gc.is_tracked(made[0])
    assert gc.get_freeze_count() == 0


def test_what_somebody_else_has_set_aside_stays_there() -> None:
    gc.freeze()
    with held(), set_aside():
        pass
    with set_aside():
        pass
    assert gc.get_freeze_count() > 0


def test_one_that_was_off_stays_off() -> None:
    gc.disable()
    with held():
        pass
    assert not gc.isenabled()

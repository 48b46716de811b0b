"""Work on parts: every pixel once, each worker with memory of its own."""

from __future__ import annotations

import gc
import threading
import weakref
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from pipeline_core import Scratch, each_tile, empty, tiles
from pipeline_core.buffers import FEW, Pool


@pytest.mark.parametrize("side", [(1, 1), (7, 16), (3, 5), (100, 100)])
def test_every_pixel_is_in_one_tile(side: tuple[int, int]) -> None:
    count = np.zeros((9, 7), int)

    def work(rows: slice, columns: slice) -> None:
        assert rows.stop - rows.start <= side[1]
        assert columns.stop - columns.start <= side[0]
        count[rows, columns] += 1

    each_tile(7, 9, side, work)
    assert (count == 1).all()


def test_what_goes_wrong_in_a_tile_is_told() -> None:
    def work(rows: slice, columns: slice) -> None:
        raise ValueError(f"row {rows.start}")

    with pytest.raises(ValueError, match="row 0"):
        each_tile(4, 4, (4, 1), work)


def test_scratch_is_used_again_and_each_worker_has_its_own() -> None:
    scratch = Scratch()
    first = scratch.array("a", (4, 5))
    assert np.shares_memory(first, scratch.array("a", (2, 3)))
    assert not np.shares_memory(first, scratch.array("b", (4, 5)))
    assert scratch.array("a", (2, 2), np.float64).dtype == np.float64
    mine, theirs = scratch.array("c", (3,)), []
    worker = threading.Thread(target=lambda: theirs.append(scratch.array("c", (3,))))
    worker.start()
    worker.join()
    assert not np.shares_memory(mine, theirs[0])


def test_empty_gives_memory_that_nothing_looks_at_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline_core.buffers.pool", Pool())  # nobody else's memory
    large = (512, 1024, 3)
    first = empty(large)
    view = first[3:5]
    address = first.ctypes.data
    del first
    view[:] = 7
    other = empty(large)
    assert not np.shares_memory(view, other)
    other[:] = 1
    assert (view == 7).all()
    del view
    assert empty(large).ctypes.data == address
    assert empty((3, 4), np.uint8).shape == (3, 4)


def test_memory_of_a_strip_does_for_smaller_ones_and_is_given_back_where_no_other_run_comes() -> None:
    pool = Pool()
    addresses = [pool.empty((6 << 20,), np.uint8).ctypes.data for _ in range(2)]
    assert pool.empty((1 << 20,), np.uint8).ctypes.data == addresses[0] == addresses[1]
    pool.rest()
    assert pool.empty((6 << 20,), np.uint8).ctypes.data == addresses[0]
    pool.idle, held = FEW, pool.empty((6 << 20,), np.uint8)
    large = pool.empty((FEW + (2 << 20),), np.uint8)
    pool.rest()
    assert [len(mapped) for mapped, _ in pool._maps] == [held.nbytes, large.nbytes]
    del held
    pool.rest()
    assert [len(mapped) for mapped, _ in pool._maps] == [large.nbytes]


@pytest.mark.parametrize("alone", [False, True])
def test_what_is_worked_on_is_let_go_of_at_once(alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when the collector comes by: a picture is dropped with its last reader, and its memory used again."""
    monkeypatch.setattr(tiles, "cores", lambda: 2)
    picture = np.zeros((8, 8))
    seen = weakref.ref(picture)

    def work(rows: slice, columns: slice, picture: np.ndarray[Any, Any] = picture) -> None:
        picture[rows, columns] += 1

    gc.disable()
    try:
        with tiles.in_one_core() if alone else nullcontext():
            each_tile(8, 8, (8, 1), work)
        assert picture.sum() == 64
        del picture, work
        assert seen() is None
    finally:
        gc.enable()

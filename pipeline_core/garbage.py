"""The cyclic garbage collector, held still while many lasting objects are made.

It looks through all of them whenever their number has grown by a quarter, and finds nothing: for a graph of 100,000
nodes that is more work than the graph.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held() -> Iterator[None]:
    """Also as a decorator. What else lives in the process is collected a little later."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            with set_aside():  # and back: it counts as old then, and is not looked through twice on the way there
                pass
            gc.enable()


@contextmanager
def set_aside() -> Iterator[None]:
    """What is there already is not looked through meanwhile. Where somebody else has set things aside, that is left alone."""
    is_ours = not gc.get_freeze_count()
    if is_ours:
        gc.freeze()
    try:
        yield
    finally:
        if is_ours:
            gc.unfreeze()


@contextmanager
def at_work() -> Iterator[None]:
    """Within `held`: something long is done, so it is collected after all, but for what was there before."""
    was_on = gc.isenabled()
    gc.freeze()
    gc.enable()
    try:
        yield
    finally:
        gc.unfreeze()
        if not was_on:
            gc.disable()

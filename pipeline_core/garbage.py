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
            gc.enable()


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

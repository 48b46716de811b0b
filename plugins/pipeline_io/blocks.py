"""Work on a picture's rows, some at a time, on several cores; the result does not depend on how many there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pipeline_core import progress

Result = TypeVar("Result")


def map_blocks(function: Callable[[int, int], Result], height: int, rows: int) -> Iterator[Result]:
    """`function(start, stop)` for each block of rows, in order. Where a run is cancelled, what has not begun is not."""
    starts = range(0, height, rows)
    if len(starts) < 2:
        yield function(0, height)
        return
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        # numpy and zlib let go of the interpreter while they work.
        for start, result in zip(
            starts, pool.map(lambda start: function(start, min(start + rows, height)), starts), strict=True
        ):
            yield result
            progress(start + rows, height)
    finally:
        pool.shutdown(cancel_futures=True)

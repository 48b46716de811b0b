"""Work on one small part of a picture at a time, several side by side: each stays in a core's cache."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2

from pipeline_core import progress


def each_tile(width: int, height: int, side: tuple[int, int], work: Callable[[slice, slice], None]) -> None:
    """`work(rows, columns)` for every tile of a picture, each (width, height) large; on as many threads as OpenCV has."""
    tiles = [
        (slice(y, min(y + side[1], height)), slice(x, min(x + side[0], width)))
        for y in range(0, height, side[1])
        for x in range(0, width, side[0])
    ]
    if len(tiles) == 1:
        work(*tiles[0])
        return
    with ThreadPoolExecutor(cv2.getNumThreads()) as pool:
        for done, _ in enumerate(pool.map(work, *zip(*tiles, strict=True))):
            progress(done, len(tiles), "tiles")

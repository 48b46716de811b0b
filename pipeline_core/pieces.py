"""Checksums of memory, for damage and for writes that nobody should have made: of pieces on all cores, and then of these.

What is hashed on one core waits for memory; and where a value was proved piece by piece, its pieces are known.
"""

from __future__ import annotations

from typing import Any

import xxhash

from pipeline_core.tiles import side_by_side

PIECE = 4 << 20
"""Bytes. It is part of what the cache has on disk."""
CORES = 8
"""More don't get more out of memory."""


def checksum(memory: Any) -> bytes:
    """xxh3-128 of a contiguous buffer of at most one piece; of a larger one, of its pieces' checksums one after the other."""
    view = memoryview(memory)
    if view.nbytes <= PIECE:
        return xxhash.xxh3_128_digest(view)
    view = view.cast("B")
    found = [b""] * -(-view.nbytes // PIECE)

    def piece(number: int) -> None:
        found[number] = xxhash.xxh3_128_digest(view[number * PIECE : (number + 1) * PIECE])

    side_by_side(len(found), piece, most=CORES)
    return xxhash.xxh3_128_digest(b"".join(found))


class Checksum:
    """The same of what comes part by part."""

    def __init__(self) -> None:
        self._whole: list[bytes] = []
        self._piece, self._room = xxhash.xxh3_128(), PIECE

    def update(self, part: memoryview) -> None:
        """Of bytes."""
        while len(part):
            if not self._room:
                self._whole.append(self._piece.digest())
                self._piece, self._room = xxhash.xxh3_128(), PIECE
            taken = part[: self._room]
            self._piece.update(taken)
            self._room -= len(taken)
            part = part[len(taken) :]

    def digest(self) -> bytes:
        last = self._piece.digest()
        return xxhash.xxh3_128_digest(b"".join([*self._whole, last])) if self._whole else last

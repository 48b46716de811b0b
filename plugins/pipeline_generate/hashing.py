"""Random numbers by place: a pixel's number depends on its place and the seed, on nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.uint32]
STEP, RISE = np.uint32(1664525), np.uint32(1013904223)


def hashed(x: NDArray[np.int64], y: NDArray[np.int64], seed: int, stream: int) -> tuple[Integers, Integers, Integers]:
    """Three independent 32-bit numbers for each place (x and y broadcast).

    pcg4d of M. Jarzynski and M. Olano, "Hash Functions for GPU Rendering", JCGT 9(3), 2020: integers only, so the same
    on every machine. Places are taken modulo 2^32.
    """
    u, v = (np.ascontiguousarray(part).astype(np.uint32) for part in np.broadcast_arrays(x, y))
    w = np.full_like(u, seed & 0xFFFFFFFF)
    t = np.full_like(u, ((seed >> 32) * 0x9E3779B9 + stream) & 0xFFFFFFFF)
    u, v, w, t = (part * STEP + RISE for part in (u, v, w, t))
    _mix(u, v, w, t)
    u, v, w, t = (part ^ (part >> np.uint32(16)) for part in (u, v, w, t))
    _mix(u, v, w, t)
    return u, v, w


def _mix(u: Integers, v: Integers, w: Integers, t: Integers) -> None:
    u += v * t
    v += w * u
    w += u * v
    t += v * w


def unit(number: Integers) -> NDArray[np.float32]:
    """From 0 up to, not including, 1: the upper 24 bits, which is what a float32 holds."""
    found: Any = (number >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)
    return found  # type: ignore[no-any-return]  # numpy widens what float32 times float32 is

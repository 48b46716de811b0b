"""Random numbers that depend on a seed and a place, on nothing else: not on a batch, an order, a window or a device."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Integers = NDArray[np.uint32]
STEP, RISE = np.uint32(1664525), np.uint32(1013904223)


def generator(*parts: int | str) -> torch.Generator:
    """A generator of its own for `parts`: a seed, a step, what it is for."""
    return torch.Generator().manual_seed(_number(*parts))


def normal(seed: int, item: int, count: int, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> torch.Tensor:
    """`(count, len(rows), len(columns))` numbers of the standard normal distribution, by their places."""
    number = _number(seed, item)
    y, x = rows[None, :, None], columns[None, None, :]
    group = np.arange(-(-count // 4), dtype=np.int64)[:, None, None]
    u, v, w, t = _hashed(x, y, group + (number >> 32), number & 0xFFFFFFFF)
    pairs = []
    for one, other in (
        (u, v),
        (w, t),
    ):  # G. Box and M. Muller, "A Note on the Generation of Random Normal Deviates", 1958
        radius = np.sqrt(-2 * np.log((one + 0.5) * 2.0**-32))
        angle = (2 * np.pi * 2.0**-32) * other
        pairs += [radius * np.cos(angle), radius * np.sin(angle)]
    found = np.stack(pairs, 1).reshape(-1, len(rows), len(columns))[:count]
    return torch.from_numpy(found.astype(np.float32))


def _number(*parts: int | str) -> int:
    told = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(told, "little") >> 1


def _hashed(*places: Any) -> tuple[Integers, Integers, Integers, Integers]:
    """pcg4d of M. Jarzynski and M. Olano, "Hash Functions for GPU Rendering", JCGT 9(3), 2020; places modulo 2^32."""
    u, v, w, t = (
        np.ascontiguousarray(part).astype(np.uint32)
        for part in np.broadcast_arrays(*(np.asarray(p, np.int64) for p in places))
    )
    u, v, w, t = (part * STEP + RISE for part in (u, v, w, t))
    _mix(u, v, w, t)
    u, v, w, t = (part ^ (part >> np.uint32(16)) for part in (u, v, w, t))
    _mix(u, v, w, t)
    return u, v, w, t


def _mix(u: Integers, v: Integers, w: Integers, t: Integers) -> None:
    u += v * t
    v += w * u
    w += u * v
    t += v * w

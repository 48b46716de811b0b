"""Grains in place of transparency: the `dissolve` of paint programs."""

from __future__ import annotations

from typing import Any

from pipeline_compose.arrays import Array, namespace
from pipeline_compose.layers import straightened

_WORD = 0xFFFFFFFF


def scattered(planes: Array, amount: Array | float, seed: int, origin: tuple[int, int]) -> Array:
    """Associated planes, alpha last, made opaque where alpha times amount exceeds chance, and transparent elsewhere.

    Chance hangs on seed, row and column alone (`origin` is that of the first pixel): the same for every item of a
    batch, in every band, on every device.
    """
    xp = namespace(planes)
    alpha = planes[:, -1:]
    grains = xp.where(alpha * amount > _chance(planes, seed, origin), 1.0, xp.zeros_like(alpha))
    return xp.concatenate([straightened(planes) * grains, grains], 1)


def _chance(planes: Array, seed: int, origin: tuple[int, int]) -> Array:
    """`(H, W)` from 0 to below 1, in steps of 2**-24: what a float32 holds exactly."""
    xp = namespace(planes)
    rows, columns = (
        xp.arange(start, start + length, dtype=xp.int64, device=planes.device)
        for start, length in zip(origin, planes.shape[2:], strict=True)
    )
    start = _hash(_hash(seed & _WORD) ^ (seed >> 32))
    mixed = _hash(_hash(rows ^ start)[:, None] ^ columns)
    return xp.asarray(mixed >> 8, dtype=xp.float32) / 2**24


def _hash(x: Any) -> Any:
    """A permutation of 32-bit words whose outputs look random: C. Wellons' lowbias32."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _WORD
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _WORD
    return x ^ (x >> 16)

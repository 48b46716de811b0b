"""Merging by shares: the alphas tell what part of each colour the result has, once for all channels.

Of straight colours c, with t, b for top and base, ta, ba for their alphas and Ft, Fb for Porter and Duff's fractions:
c = (ta Ft ct + ba Fb cb) / (ta Ft + ba Fb), and for a blend mode a third share, ta ba, of B(cb, ct). So no colour is
multiplied by its alpha first and divided by it at the end. A share is one number where alphas are: then it is often 0 or
1, and nothing is to be computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from pipeline_compose.arrays import Array
from pipeline_compose.operators import Rule
from pipeline_core import Alpha, Image, Scratch

MOST_CHANNELS = 32  # OpenCV takes a few more, all of its versions take these
ONE = np.float32(1)


class _Side(NamedTuple):
    """One item of top or base: its colours `(C, H, W)`, to be written into, and its alpha `(H, W)`, or 1."""

    colors: Array
    alpha: Array
    straight: bool
    finite: bool


class _Shares(NamedTuple):
    """What of each goes into the result: planes `(H, W)` or numbers; and the alpha of the result."""

    top: Array
    base: Array
    blend: Array
    alpha: Array


def goes_by_shares(rule: Rule, *images: Image) -> bool:
    """Whether `merge_by_shares` can do it."""
    if rule.fractions is None or not all(isinstance(image.buffer, np.ndarray) for image in images):
        return False
    associated = [image.alpha == "associated" for image in images]
    return not (all(associated) if rule.blend is None else any(associated))


def merge_by_shares(
    out: Array,
    base: Image,
    top: Image,
    names: Sequence[str],
    rule: Rule,
    amount: Array,
    channels: Sequence[str],
    alpha: Alpha,
    scratch: Scratch,
) -> None:
    """Write top merged with base to `out`, `(B, H, W, C)` with these channels in this alpha state.

    `amount`, a number or `(B, H, W)`, is how much of it is mixed into base.
    """
    into = [channels.index(name) for name in names] + ([] if alpha == "none" else [channels.index("A")])
    for item, place in enumerate(out):
        above, below = _side(top, names, item, scratch, "top"), _side(base, names, item, scratch, "base")
        some = amount if np.ndim(amount) == 0 else amount[item % len(amount)]
        shares = _shares(above, below, rule, some, alpha)
        colors = _summed(above, below, rule, shares)
        planes = [*colors] if alpha == "none" else [*colors, np.broadcast_to(shares.alpha, colors.shape[1:])]
        _join(planes, into, place)


def _side(image: Image, names: Sequence[str], item: int, scratch: Scratch, name: str) -> _Side:
    where = [image.index(channel) for channel in [*names, "A"] if channel in image.channels]
    stored = _apart(image.buffer[item % image.batch], where, scratch, name)
    alpha: Array = ONE
    if image.alpha != "none" and not stored[-1].min() == _full(stored) == stored[-1].max():
        alpha = _floats(stored[-1], scratch, f"{name} alpha")
    return _Side(
        _floats(stored[: len(names)], scratch, f"{name} colors"),
        alpha,
        image.alpha == "straight",
        stored.dtype.kind == "u",
    )


def _apart(buffer: Array, where: Sequence[int], scratch: Scratch, name: str) -> Array:
    """These channels of `(H, W, C)` as planes: one after the other in memory they are many times faster to work on."""
    planes = scratch.array(f"{name} {buffer.dtype.name}", (len(where), *buffer.shape[:2]), buffer.dtype)
    by_opencv = _is_plain(buffer) and buffer.dtype != np.float16
    if by_opencv and sorted(where) == list(range(buffer.shape[2])):
        cv2.split(buffer, [planes[where.index(channel)] for channel in range(len(where))])
        return planes
    for plane, channel in zip(planes, where, strict=True):
        if by_opencv:
            cv2.extractChannel(buffer, channel, plane)
        else:
            plane[:] = buffer[..., channel]
    return planes


def _full(stored: Array) -> float:
    return float(np.iinfo(stored.dtype).max) if stored.dtype.kind == "u" else 1.0


def _floats(stored: Array, scratch: Scratch, name: str) -> Array:
    """As `Image.array` does it; may be the same memory."""
    if stored.dtype == np.float32:
        return stored
    floats = scratch.array(name, stored.shape)
    if stored.dtype.kind == "u":
        np.divide(stored, np.float32(_full(stored)), out=floats, dtype=np.float32)
    else:
        floats[:] = stored
    return floats


def _shares(top: _Side, base: _Side, rule: Rule, amount: Array, alpha: Alpha) -> _Shares:
    assert rule.fractions is not None
    ta, ba = top.alpha, base.alpha
    of_top, of_base = (fraction(ta, ba) for fraction in rule.fractions)
    blend = ta * ba if rule.blend is not None else ONE * 0
    if np.ndim(amount) or amount != 1:
        of_top, of_base, blend = of_top * amount, 1 - (1 - of_base) * amount, blend * amount
    covered_by_top, covered_by_base = ta * of_top, ba * of_base
    coverage = covered_by_top + covered_by_base
    if rule.blend is not None:
        coverage += blend
    top_share = covered_by_top if top.straight else of_top
    base_share = covered_by_base if base.straight else of_base
    if alpha == "straight":
        divisor = coverage if coverage.min() > 0 else np.where(coverage == 0, ONE, coverage)
        if np.ndim(divisor) or divisor != 1:
            top_share, base_share, blend = (np.divide(share, divisor) for share in (top_share, base_share, blend))
    return _Shares(top_share, base_share, blend, coverage)


def _summed(top: _Side, base: _Side, rule: Rule, shares: _Shares) -> Array:
    """The colours of the result, `(C, H, W)`, in memory of one of its parts."""
    parts = [(top.colors, shares.top, top.finite), (base.colors, shares.base, base.finite)]
    if rule.blend is not None:
        mixed = rule.blend(base.colors[None], top.colors[None])[0]
        parts.insert(0, (mixed, shares.blend, False))
    total = None
    for colors, share, finite in parts:
        if np.ndim(share) or share != 1:
            if finite and np.ndim(share) == 0 and share == 0:
                continue
            np.multiply(colors, share, out=colors)
        total = colors if total is None else np.add(total, colors, out=total)
    return np.zeros_like(top.colors) if total is None else total


def _join(planes: Sequence[Array], into: Sequence[int], place: Array) -> None:
    """Write planes to these channels of `(H, W, C)`."""
    if sorted(into) == list(range(place.shape[2])) and _is_plain(place):
        cv2.merge([planes[into.index(channel)] for channel in range(len(into))], place)
        return
    for plane, channel in zip(planes, into, strict=True):
        place[..., channel] = plane


def _is_plain(buffer: Array) -> bool:
    """Whether OpenCV takes `(H, W, C)`: pixels next to each other."""
    channels, itemsize = buffer.shape[2], buffer.itemsize
    return bool(channels <= MOST_CHANNELS and buffer.strides[1:] == (itemsize * channels, itemsize))

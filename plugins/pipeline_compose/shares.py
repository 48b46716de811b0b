"""Merging by shares: the alphas tell what part of each colour the result has, once for all channels.

Of straight colours c, with t, b for top and base, ta, ba for their alphas and Ft, Fb for Porter and Duff's fractions:
c = (ta Ft ct + ba Fb cb) / (ta Ft + ba Fb), and for a blend mode a third share, ta ba, of B(cb, ct). So no colour is
multiplied by its alpha first and divided by it at the end. A share is one number where alphas are: then it is often 0 or
1, and nothing is to be computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from pipeline_compose.arrays import Array
from pipeline_compose.blend import SEPARABLE
from pipeline_compose.operators import Rule
from pipeline_compose.porter_duff import Seen
from pipeline_core import Alpha, Image, Scratch

MOST_CHANNELS = 32  # OpenCV takes a few more, all of its versions take these
ONE = np.float32(1)


class _Side(NamedTuple):
    """One item of top or base: its colours `(C, H, W)` as they are stored, what 1 is stored as, and its alpha, or 1."""

    stored: Array
    full: float
    alpha: Array
    straight: bool


class _Shares(NamedTuple):
    """What of each goes into the result: planes `(H, W)` or numbers; and the alpha of the result."""

    top: Array
    base: Array
    blend: Array
    alpha: Array


class _Pad(NamedTuple):
    """Results of numpy's functions in memory that is used again; numbers of numbers."""

    scratch: Scratch
    shape: tuple[int, ...]

    def __call__(self, name: str, function: np.ufunc, one: Array, other: Array) -> Array:
        if np.ndim(one) or np.ndim(other):
            return function(one, other, out=self.scratch.array(name, self.shape))
        return function(one, other)


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
        shares = _shares(above, below, rule, some, alpha, _Pad(scratch, place.shape[:2]))
        colors = scratch.array("merged", above.stored.shape)
        step = len(colors) if rule.whole_colors else 1  # one plane after the other leaves more room in the cache
        for start in range(0, len(colors), step):
            _add_up(above, below, rule, shares, slice(start, start + step), colors, scratch)
        planes = [*colors]
        if alpha != "none":
            planes.append(shares.alpha if np.ndim(shares.alpha) else np.full_like(colors[0], shares.alpha))
        _join(planes, into, place)


def _side(image: Image, names: Sequence[str], item: int, scratch: Scratch, name: str) -> _Side:
    stored = _apart(image.buffer[item % image.batch], _where(image.channels, *names), scratch, name)
    full = {1: 255.0, 2: 65535.0}[stored.itemsize] if stored.dtype.kind == "u" else 1.0
    alpha: Array = ONE
    if image.alpha != "none" and not stored[-1].min() == full == stored[-1].max():
        alpha = _floats(stored[-1], full, scratch, f"{name} alpha")
    return _Side(stored[: len(names)], full, alpha, image.alpha == "straight")


@lru_cache
def _where(channels: tuple[str, ...], *names: str) -> tuple[int, ...]:
    """Where these are, and alpha where there is one."""
    return tuple([channels.index(name) for name in (*names, "A") if name in channels])


def _apart(buffer: Array, where: Sequence[int], scratch: Scratch, name: str) -> Array:
    """These channels of `(H, W, C)` as planes: one after the other in memory they are many times faster to work on."""
    planes = scratch.array(f"{name} stored", (len(where), *buffer.shape[:2]), buffer.dtype)
    by_opencv = _is_plain(buffer) and buffer.dtype != np.float16
    if by_opencv and len(where) == buffer.shape[2]:
        in_order: list[Array] = [*planes]
        for plane, channel in zip(planes, where, strict=True):
            in_order[channel] = plane
        cv2.split(buffer, in_order)
        return planes
    for plane, channel in zip(planes, where, strict=True):
        if by_opencv:
            cv2.extractChannel(buffer, channel, plane)
        else:
            plane[:] = buffer[..., channel]
    return planes


def _floats(stored: Array, full: float, scratch: Scratch, name: str) -> Array:
    """As `Image.array` does it, where `full` is stored for 1; may be the same memory."""
    if stored.dtype == np.float32:
        return stored
    floats = scratch.array(name, stored.shape)
    if full != 1:
        np.divide(stored, np.float32(full), out=floats, dtype=np.float32)
    else:
        np.copyto(floats, stored)
    return floats


def _shares(top: _Side, base: _Side, rule: Rule, amount: Array, alpha: Alpha, pad: _Pad) -> _Shares:
    assert rule.fractions is not None
    ta, ba, blend = top.alpha, base.alpha, ONE * 0
    is_all = not np.ndim(amount) and amount == 1
    if rule.blend is not None:  # both are straight
        blend = pad("both", np.multiply, ta, ba)
        of_top = pad("of top", np.subtract, ta, blend)
        if not is_all:
            blend, of_top = pad("both", np.multiply, blend, amount), pad("of top", np.multiply, of_top, amount)
        of_base = pad("of base", np.subtract, ba, blend)
        coverage = pad("coverage", np.add, of_top, ba)
    else:
        of_top, of_base = (
            _fraction(seen, other, name, pad)
            for seen, other, name in zip(rule.fractions, (ba, ta), ("of top", "of base"), strict=True)
        )
        if not is_all:  # base is left where there is nothing of the result
            of_top = pad("of top", np.multiply, of_top, amount)
            rest = pad("rest", np.multiply, pad("rest", np.subtract, ONE, of_base), amount)
            of_base = pad("of base", np.subtract, ONE, rest)
        covered = pad("covered by top", np.multiply, ta, of_top), pad("covered by base", np.multiply, ba, of_base)
        coverage = pad("coverage", np.add, *covered)
        of_top, of_base = covered[0] if top.straight else of_top, covered[1] if base.straight else of_base
    if alpha == "straight":
        divisor = coverage if coverage.min() > 0 else np.where(coverage == 0, ONE, coverage)
        if np.ndim(divisor) or divisor != 1:
            of_top, of_base = pad("of top", np.divide, of_top, divisor), pad("of base", np.divide, of_base, divisor)
            blend = pad("both", np.divide, blend, divisor) if rule.blend is not None else blend
    return _Shares(of_top, of_base, blend, coverage)


def _fraction(seen: Seen, other: Array, name: str, pad: _Pad) -> Array:
    if seen is Seen.OUTSIDE:
        return pad(name, np.subtract, ONE, other)
    return other if seen is Seen.INSIDE else ONE if seen is Seen.ALL else ONE * 0


def _add_up(top: _Side, base: _Side, rule: Rule, shares: _Shares, planes: slice, out: Array, scratch: Scratch) -> None:
    """Write some planes of the result's colours."""
    total = out[planes]
    multiplies = rule.blend is SEPARABLE["multiply"]
    # Integers of one scale are added up as they are, and divided once; that is exact where a share is 1.
    together = top.full == base.full and (rule.blend is None or multiplies)
    full = ONE * top.full if together else ONE
    t, b = (
        _floats(side.stored[planes], 1.0 if together else side.full, scratch, name)
        for name, side in (("top floats", top), ("base floats", base))
    )
    if multiplies:
        np.multiply(b, shares.blend / full, out=total)
        np.add(total, shares.top, out=total)
        np.multiply(total, t, out=total)
        parts = [(b, shares.base)]
    else:
        parts = [(t, shares.top), (b, shares.base)]
        if rule.blend is not None:
            np.multiply(rule.blend(b[None], t[None])[0], shares.blend, out=total)
        else:
            total = np.multiply(t, shares.top, out=total)
            parts = parts[1:]
    for colors, share in parts:
        np.multiply(colors, share, out=colors)
        np.add(total, colors, out=total)
    if full != 1:
        np.divide(total, full, out=total)


def _join(planes: Sequence[Array], into: Sequence[int], place: Array) -> None:
    """Write planes to these channels of `(H, W, C)`."""
    if len(into) == place.shape[2] and _is_plain(place):
        cv2.merge([planes[into.index(channel)] for channel in range(len(into))], place)
        return
    for plane, channel in zip(planes, into, strict=True):
        place[..., channel] = plane


def _is_plain(buffer: Array) -> bool:
    """Whether OpenCV takes `(H, W, C)`: pixels next to each other."""
    channels, itemsize = buffer.shape[2], buffer.itemsize
    return bool(channels <= MOST_CHANNELS and buffer.strides[1:] == (itemsize * channels, itemsize))

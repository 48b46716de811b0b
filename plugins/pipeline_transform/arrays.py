"""Warps on the CPU, by OpenCV, tile by tile; `tensors` has the same for accelerators, and for filters that widen.

OpenCV 5 interpolates linearly at exact places for images of 1, 3 and 4 float channels (for others, and for all of its
other filters, at 1/32 of a pixel, which is too coarse). Bicubic interpolation is made of four linear ones; other filters take pixel after pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from pipeline_core import AnyRaster, Scratch, each_tile, empty, progress
from pipeline_transform.paint import encoded
from pipeline_transform.resampling import KERNELS, Kernel
from pipeline_transform.warping import Warp

Array = np.ndarray[Any, Any]

STRIP = 16  # rows at once where a tile needs nothing of its own
TILE = 128  # pixels of a side where it does
LONGEST = 32766  # OpenCV takes no longer side
FINE = 8192  # up to here a place in float32 is exact to a few ten-thousandths of a pixel
ROOM = 8  # how many times as many pixels of the picture as of the result a tile may need
NO_SHRINK = 1 + 1e-6  # a turn is no stretch, but for rounding errors
SECOND = np.array([1, -2, 1], np.float32)
SAME = np.array([0, 1, 0], np.float32)


class _Frame(NamedTuple):
    """Channels of one picture, as many as OpenCV takes, and what is beyond the edge."""

    item: int
    channels: slice
    pixels: Array
    behind: tuple[float, ...]


class _Places(NamedTuple):
    """Where the pixels of a tile come from: across and down, from the centre of the pixel at `first`."""

    across: Array
    down: Array
    first: tuple[int, int]
    last: tuple[int, int]


def sampled(image: AnyRaster, warp: Warp, kind: str, background: Array) -> AnyRaster:
    """The warped picture over the background."""
    array, margin = image.array, KERNELS[kind].radius
    result = empty((image.batch, warp.height, warp.width, array.shape[3]))
    border = [margin if wraps else 0 for wraps in image.wrap]
    if any(border):
        array = np.stack([_rounded_off(item, *border) for item in array])
    size = array.shape[2], array.shape[1]
    frames, scratch = _frames(array, background), Scratch()
    interpolated = {"bilinear": _bilinear, "bicubic": _bicubic}.get(kind) or _by_taps(KERNELS[kind])
    simple = kind == "bilinear"
    longest = warp.longest or max(image.size)
    near = not simple or longest > FINE
    # Of a picture and of a part of it places are the same to the bit where all are numbers that float32 holds.
    grain = 2.0 ** -(15 if near else 23 - longest.bit_length())
    others: list[tuple[slice, slice]] = []

    def work(rows: slice, columns: slice) -> None:
        x, y = _centers(columns, rows)
        if warp.antialias and _shrinks(warp, x, y):
            others.append((rows, columns))
            return
        at = _places(warp, x, y, image, size, margin, scratch, grain, near=near)
        if not _takes(at, simple):
            others.append((rows, columns))
            return
        for frame in frames:
            part: Array = result[frame.item, rows, columns]
            if part.shape[2] == frame.pixels.shape[2]:
                interpolated(frame, at, part, scratch)
            else:
                single = scratch.array("single", (*part.shape[:2], frame.pixels.shape[2]))
                interpolated(frame, at, single, scratch)
                part[..., frame.channels] = single

    each_tile(warp.width, warp.height, (warp.width, STRIP) if simple else (TILE, TILE), work)
    if others:
        from pipeline_transform import tensors

        sampler = tensors.Sampler(image, warp, KERNELS[kind], background)
        for done, (rows, columns) in enumerate(others):
            progress(done, len(others), "tiles")
            result[:, rows, columns] = sampler.part(rows, columns).permute(2, 0, 1, 3).numpy()
    return image.with_buffer(result, wrap=warp.wrap)


def picked(image: AnyRaster, warp: Warp, background: Array) -> AnyRaster:
    """The warped picture in its own dtype, each pixel the one under the place it comes from."""
    buffer = image.buffer if isinstance(image.buffer, np.ndarray) else image.buffer.numpy()
    stored = buffer.view(np.uint16) if buffer.dtype == np.float16 else buffer  # OpenCV has no kernel for it
    result = empty((image.batch, warp.height, warp.width, buffer.shape[3]), stored.dtype)
    frames, scratch = _frames(stored, encoded(background, image.dtype).view(stored.dtype)), Scratch()

    def work(rows: slice, columns: slice) -> None:
        x, y = _centers(columns, rows)
        maps = []
        for name, place, size, wraps in zip("xy", _source(warp, x, y), image.size, image.wrap, strict=True):
            under = np.floor(place, out=scratch.array(name, (y.size, x.size)), casting="same_kind")
            maps.append(np.remainder(under, size, out=under) if wraps else under)
        for frame in frames:
            found = cv2.remap(
                frame.pixels,
                maps[0],
                maps[1],
                cv2.INTER_NEAREST,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=frame.behind,
            )
            result[frame.item, rows, columns, frame.channels] = found.reshape(*maps[0].shape, -1)

    each_tile(warp.width, warp.height, (warp.width, STRIP), work)
    return image.with_buffer(result.view(buffer.dtype), wrap=warp.wrap)


def _frames(array: Array, background: Array) -> list[_Frame]:
    """Every picture, in groups of 4, 3 or 1 channels."""
    groups, start, count = [], 0, array.shape[3]
    while start < count:
        taken = next(size for size in (4, 3, 1) if size <= count - start)
        groups.append(slice(start, start + taken))
        start += taken
    return [
        _Frame(i, group, np.ascontiguousarray(item[..., group]), tuple(map(float, background[group])))
        for i, item in enumerate(array)
        for group in groups
    ]


def _rounded_off(item: Array, x: int, y: int) -> Array:
    """A picture that tiles, with a border of what comes after the seam."""
    return np.pad(item, ((y, y), (x, x), (0, 0)), "wrap")


def _centers(columns: slice, rows: slice) -> tuple[Array, Array]:
    x, y = (np.arange(part.start, part.stop) + 0.5 for part in (columns, rows))
    return x[None, :], y[:, None]


def _source(warp: Warp, x: Array, y: Array) -> tuple[Array, Array]:
    with np.errstate(all="ignore"):  # there are places at infinity and none
        return warp.source(x, y)


def _shrinks(warp: Warp, x: Array, y: Array) -> bool:
    """Whether a pixel of the result covers more than one of the picture somewhere here."""
    right, below = np.append(x - 0.5, x[:, -1:] + 0.5, 1), np.append(y - 0.5, y[-1:] + 0.5, 0)
    beside = [np.broadcast_to(place, (y.size, right.size)) for place in _source(warp, right, y)]
    under = [np.broadcast_to(place, (below.size, x.size)) for place in _source(warp, x, below)]
    with np.errstate(invalid="ignore", over="ignore"):
        return any(
            bool((np.diff(across, axis=1) ** 2 + np.diff(down, axis=0) ** 2 > NO_SHRINK**2).any())
            for across, down in zip(beside, under, strict=True)
        )


def _places(
    warp: Warp,
    x: Array,
    y: Array,
    image: AnyRaster,
    size: tuple[int, int],
    margin: int,
    scratch: Scratch,
    grain: float,
    *,
    near: bool,
) -> _Places:
    """Where these pixels come from, in multiples of `grain`; with `near` counted from close by, where float32 is most exact."""
    # Beside so large a number float64 has no finer ones than that.
    rounding = 1.5 * 2.0**52 * grain
    maps, first, last = [], [], []
    for name, given, period, length in zip("xy", _source(warp, x, y), image.size, size, strict=True):
        tiles = period != length
        place, shift = (np.remainder(given, period), margin - 0.5) if tiles else (given, -0.5)
        start, stop = 0, length - 1
        if near:
            ends = np.nan_to_num([np.fmin.reduce(place, None), np.fmax.reduce(place, None)])  # NaN: there is no place
            low, high = (ends + shift).clip(-margin, length + margin)
            start, stop = math.floor(low) - margin + 1, math.floor(high) + margin
        place = np.add(
            place, shift - start + rounding, out=scratch.array("exact", (y.size, x.size), np.float64), dtype=np.float64
        )
        maps.append(np.subtract(place, rounding, out=scratch.array(name, (y.size, x.size)), casting="same_kind"))
        first.append(start)
        last.append(stop)
    return _Places(maps[0], maps[1], (first[0], first[1]), (last[0], last[1]))


def _takes(at: _Places, simple: bool) -> bool:
    """Whether OpenCV takes the part of the picture that this tile needs, and it is not too large to be prepared."""
    width, height = (stop - start + 1 for start, stop in zip(at.first, at.last, strict=True))
    return max(width, height) <= LONGEST and (simple or width * height <= ROOM * max(at.across.size, TILE**2))


def _near(frame: _Frame, at: _Places) -> Array:
    """The part of the picture that the places are counted in, continued by what is behind."""
    height, width = frame.pixels.shape[:2]
    (left, top), (right, bottom) = at.first, at.last
    if (left, top, right, bottom) == (0, 0, width - 1, height - 1):
        return frame.pixels
    inside = frame.pixels[max(top, 0) : max(bottom + 1, 0), max(left, 0) : max(right + 1, 0)]
    if inside.shape[:2] == (bottom - top + 1, right - left + 1):
        return inside
    found = np.empty((bottom - top + 1, right - left + 1, frame.pixels.shape[2]), np.float32)
    found[:] = frame.behind
    y, x = max(-top, 0), max(-left, 0)
    found[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return found


def _bilinear(frame: _Frame, at: _Places, result: Array, scratch: Scratch) -> None:
    _linear(_near(frame, at), at, result, frame.behind)


def _linear(pixels: Array, at: _Places, result: Array, behind: tuple[float, ...]) -> Array:
    return cv2.remap(pixels, at.across, at.down, cv2.INTER_LINEAR, result, cv2.BORDER_CONSTANT, behind)


def _bicubic(frame: _Frame, at: _Places, result: Array, scratch: Scratch) -> None:
    """Catmull-Rom at t between two pixels is L p - t (1 - t) / 2 L p'': L is linear, p'' the second difference.

    Cubic Hermite interpolation with the slopes (p[i + 1] - p[i - 1]) / 2, sorted; in two dimensions the product of
    both: four linear interpolations, whose weights change slowly.
    """
    pixels = _near(frame, at)
    nothing, shape = (0.0,) * len(frame.behind), result.shape
    across, down = (_bow(part, name, shape, scratch) for part, name in ((at.across, "bow x"), (at.down, "bow y")))
    other = scratch.array("other", shape)
    xx = cv2.sepFilter2D(pixels, -1, SECOND, SAME, scratch.array("xx", pixels.shape))
    xy = cv2.sepFilter2D(xx, -1, SAME, SECOND, scratch.array("xy", pixels.shape))
    _linear(xy, at, result, nothing)
    result *= down
    result += _linear(xx, at, other, nothing)
    result *= across
    yy = cv2.sepFilter2D(pixels, -1, SAME, SECOND, xy)
    other = _linear(yy, at, other, nothing)
    other *= down
    result += other
    result += _linear(pixels, at, other, frame.behind)


def _by_taps(kernel: Kernel) -> Callable[[_Frame, _Places, Array, Scratch], None]:
    """Sums of the pixels within a filter's reach, each taken by itself: first along the rows."""
    steps = range(1 - kernel.radius, kernel.radius + 1)

    def interpolated(frame: _Frame, at: _Places, result: Array, scratch: Scratch) -> None:
        pixels, channels, nothing = _near(frame, at), result.shape[2], (0.0,) * len(frame.behind)
        if any(frame.behind):  # what is taken is the difference from it, so that it is met exactly outside
            pixels = pixels - np.array(frame.behind, np.float32)
        (x, across), (y, down) = (_taps(place, kernel, steps) for place in (at.across, at.down))
        line, taken = scratch.array("line", result.shape), scratch.array("taken", result.shape)
        across = [cv2.merge([weight] * channels).reshape(result.shape) for weight in across]
        result[:] = 0
        for row, weight in zip(steps, down, strict=True):
            line[:] = 0
            for column, own in zip(steps, across, strict=True):
                cv2.remap(pixels, x + column, y + row, cv2.INTER_NEAREST, taken, cv2.BORDER_CONSTANT, nothing)
                taken *= own
                line += taken
            line *= cv2.merge([weight] * channels).reshape(result.shape)
            result += line
        if any(frame.behind):
            result += np.array(frame.behind, np.float32)

    return interpolated


def _taps(place: Array, kernel: Kernel, steps: Sequence[int]) -> tuple[Array, list[Array]]:
    """The pixel before each place, and the weights of those at these steps from it."""
    before = np.floor(place)
    part = np.nan_to_num(place - before)
    weights = [kernel.weight(step - part) for step in steps]
    total = sum(weights[1:], start=weights[0])
    return before, [weight / total for weight in weights]


def _bow(at: Array, name: str, shape: tuple[int, ...], scratch: Scratch) -> Array:
    """-t (1 - t) / 2 for each channel, 0 where there is no place."""
    bow, part = scratch.array(name, shape), scratch.array("part", at.shape)
    with np.errstate(invalid="ignore"):
        np.subtract(at, np.floor(at, out=part), out=part)
        part *= (part - 1) * np.float32(0.5)
    cv2.patchNaNs(part, 0.0)
    return cv2.merge([part] * shape[2], bow)

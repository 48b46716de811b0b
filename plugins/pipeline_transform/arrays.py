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

from pipeline_core import AnyRaster, Image, Scratch, each_tile, empty, progress
from pipeline_transform.paint import encoded
from pipeline_transform.resampling import KERNELS, Kernel, associated
from pipeline_transform.warping import Warp

Array = np.ndarray[Any, Any]

STRIP = 16  # rows at once where a tile needs nothing of its own
TILE = 128  # pixels of a side where it does
WIDE = (256, 128)  # where it needs little
PLACED = 480  # pixels of the picture that a tile needs, across and down, up to which float32 holds them in 9 bits
FRACTION = 15  # and what is behind the point in these
MOST_CHANNELS = 32  # OpenCV takes a few more, all of its versions take these
LONGEST = 32766  # OpenCV takes no longer side
FINE = 8192  # up to here a place in float32 is exact to a few ten-thousandths of a pixel
ROOM = 8  # how many times as many pixels of the picture as of the result a tile may need
NO_SHRINK = 1 + 1e-6  # a turn is no stretch, but for rounding errors
SECOND = np.array([1, -2, 1], np.float32)
SAME = np.array([0, 1, 0], np.float32)


class _Frame(NamedTuple):
    """Channels of one picture, as many as OpenCV takes, and what is beyond the edge.

    `alpha` is what those of them that are `colors` are still to be multiplied by: a channel of a picture.
    """

    item: int
    channels: slice
    pixels: Array
    behind: tuple[float, ...]
    alpha: tuple[Array, int] | None = None
    colors: tuple[bool, ...] = ()


class _Places(NamedTuple):
    """Where the pixels of a tile come from: across and down, from the centre of the pixel at `first`."""

    across: Array
    down: Array
    first: tuple[int, int]
    last: tuple[int, int]


def sampled(image: AnyRaster, warp: Warp, kind: str, background: Array) -> AnyRaster:
    """The warped picture over the background, which is associated; in the alpha state that the picture has."""
    margin, simple = KERNELS[kind].radius, kind == "bilinear"
    longest = warp.longest or max(image.size)
    placed = simple and _is_placed(warp)
    near = placed or not simple or longest > FINE
    side = WIDE if placed else (TILE, TILE) if not simple else (warp.width, STRIP)
    buffer = image.buffer if isinstance(image.buffer, np.ndarray) else image.array
    result = empty((image.batch, warp.height, warp.width, buffer.shape[3]))
    border = [margin if wraps else 0 for wraps in image.wrap]
    if any(border):
        buffer = np.stack([_rounded_off(item, *border) for item in buffer])
    size = buffer.shape[2], buffer.shape[1]
    colors = _colors(image)
    if simple and not placed:  # all of the picture may be needed for any tile
        array = associated(image.with_buffer(buffer)).array
        frames = _frames(array, background)
    else:
        frames = _frames(buffer, background, colors)
    scratch = Scratch()
    interpolated = {"bilinear": _bilinear, "bicubic": _bicubic}.get(kind) or _by_taps(KERNELS[kind])
    # Of a picture and of a part of it places are the same to the bit where all are numbers that float32 holds.
    fine = 23 - longest.bit_length()
    grain = 2.0 ** -(max(fine, FRACTION) if placed else FRACTION if near else fine)
    others: list[tuple[slice, slice]] = []

    def work(rows: slice, columns: slice) -> None:
        x, y = _centers(columns, rows)
        if warp.antialias and _shrinks(warp, x, y):
            others.append((rows, columns))
            return
        if placed and not any(border):
            at = _affine_places(warp, x, y, size, margin, scratch, grain)
        else:
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
        _unassociate(result[:, rows, columns], colors, scratch)

    each_tile(warp.width, warp.height, side, work)
    if others:
        from pipeline_transform import tensors

        sampler = tensors.Sampler(associated(image), warp, KERNELS[kind], background)
        for done, (rows, columns) in enumerate(others):
            progress(done, len(others), "tiles")
            part = result[:, rows, columns]
            part[:] = sampler.part(rows, columns).permute(2, 0, 1, 3).numpy()
            _unassociate(part, colors, scratch)
    return image.with_buffer(result, wrap=warp.wrap)


def _is_placed(warp: Warp) -> bool:
    """Whether tiles need parts of the picture that are not much larger."""
    if not warp.affine:
        return False
    corners = warp.source(np.array([[0.0, WIDE[0]]]), np.array([[0.0], [WIDE[1]]]))
    return max(float(np.ptp(place)) for place in corners) <= PLACED


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


def _colors(image: AnyRaster) -> tuple[list[int], int] | None:
    """The channels that are to be multiplied by alpha, and alpha's own."""
    if not isinstance(image, Image) or image.coverage != "straight":
        return None
    return image.color_indices, image.index("A")


def _frames(array: Array, background: Array, colors: tuple[list[int], int] | None = None) -> list[_Frame]:
    """Every picture, in groups of 4, 3 or 1 channels."""
    groups, start, count = [], 0, array.shape[3]
    while start < count:
        taken = next(size for size in (4, 3, 1) if size <= count - start)
        groups.append(slice(start, start + taken))
        start += taken
    return [
        _Frame(
            i,
            group,
            np.ascontiguousarray(item[..., group]),
            tuple(map(float, background[group])),
            (item, colors[1]) if colors else None,
            tuple(channel in colors[0] for channel in range(group.start, group.stop)) if colors else (),
        )
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


def _affine_places(
    warp: Warp, x: Array, y: Array, size: tuple[int, int], margin: int, scratch: Scratch, grain: float
) -> _Places:
    """As `_places` from close by: what columns add to a place, and what rows add.

    Both are counted from the whole picture's first pixel, so that they are the same in any part of it.
    """
    zero, top, rounding = np.zeros((1, 1)), np.full((1, 1), -float(warp.top)), 1.5 * 2.0**52 * grain
    maps, first, last = [], [], []
    by_columns, before, by_rows = warp.source(x, top), warp.source(zero, top), warp.source(zero, y)
    for name, there, here, row, length in zip("xy", by_columns, before, by_rows, size, strict=True):
        column = there - here
        ends = column.min() + row.min() - 0.5, column.max() + row.max() - 0.5
        low, high = (float(end.clip(-margin, length + margin)) for end in ends)
        start = math.floor(low) - margin + 1
        place = np.add(column, row - (start + 0.5), out=scratch.array("exact", (y.size, x.size), np.float64))
        place += rounding
        maps.append(np.subtract(place, rounding, out=scratch.array(name, place.shape), casting="same_kind"))
        first.append(start)
        last.append(math.floor(high) + margin)
    return _Places(maps[0], maps[1], (first[0], first[1]), (last[0], last[1]))


def _takes(at: _Places, simple: bool) -> bool:
    """Whether OpenCV takes the part of the picture that this tile needs, and it is not too large to be prepared."""
    width, height = (stop - start + 1 for start, stop in zip(at.first, at.last, strict=True))
    return max(width, height) <= LONGEST and (simple or width * height <= ROOM * max(at.across.size, TILE**2))


def _near(frame: _Frame, at: _Places, scratch: Scratch) -> Array:
    """The part of the picture that the places are counted in, associated floats, continued by what is behind."""
    channels = frame.pixels.shape[2]
    (left, top), (right, bottom) = at.first, at.last
    rows, columns = (slice(max(low, 0), max(high + 1, 0)) for low, high in ((top, bottom), (left, right)))
    inside = frame.pixels[rows, columns]
    is_all = inside.shape[:2] == (bottom - top + 1, right - left + 1)
    alpha = None
    if frame.alpha is not None and inside.size:
        item, channel = frame.alpha
        alpha = _alpha(item[rows, columns], channel, scratch)
        if alpha.min() == 1 == alpha.max():
            alpha = None
    if is_all and inside.dtype == np.float32 and alpha is None:
        return inside
    found = scratch.array("near", (bottom - top + 1, right - left + 1, channels))
    if not is_all:
        found[:] = frame.behind
    y, x = max(-top, 0), max(-left, 0)
    place = found[y : y + inside.shape[0], x : x + inside.shape[1]]
    if inside.dtype.kind == "u":
        np.divide(inside, np.float32(np.iinfo(inside.dtype).max), out=place, dtype=np.float32)
        inside = place
    if alpha is not None:
        np.multiply(inside, _factors(alpha, frame.colors, scratch), out=place)
    elif inside is not place:
        place[:] = inside
    return found


def _alpha(item: Array, channel: int, scratch: Scratch) -> Array:
    """A channel of `(H, W, C)` as floats."""
    alpha = scratch.array("alpha", item.shape[:2])
    if item.dtype.kind == "u":
        np.divide(item[..., channel], np.float32(np.iinfo(item.dtype).max), out=alpha, dtype=np.float32)
    elif item.dtype == np.float32 and item.shape[2] <= MOST_CHANNELS and item.strides[1:] == (4 * item.shape[2], 4):
        cv2.extractChannel(item, channel, alpha)
    else:
        alpha[:] = item[..., channel]
    return alpha


def _factors(alpha: Array, colors: Sequence[bool], scratch: Scratch) -> Array:
    """Alpha for the channels that are colours, 1 for the others: `(H, W, C)`."""
    factors = scratch.array("factors", (*alpha.shape, len(colors)))
    if list(colors) == [True, True, True, False]:
        cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGRA, factors)
        return factors
    for channel, is_color in enumerate(colors):
        factors[..., channel] = alpha if is_color else 1
    return factors


def _unassociate(part: Array, colors: tuple[list[int], int] | None, scratch: Scratch) -> None:
    """Divides colours `(B, H, W, C)` by alpha, where that is not 0."""
    if colors is None:
        return
    for item in part:
        alpha = _alpha(item, colors[1], scratch)
        if not alpha.all():
            alpha[alpha == 0] = 1
        factors = _factors(alpha, [channel in colors[0] for channel in range(item.shape[2])], scratch)
        np.divide(item, factors, out=item)


def _bilinear(frame: _Frame, at: _Places, result: Array, scratch: Scratch) -> None:
    _linear(_near(frame, at, scratch), at, result, frame.behind)


def _linear(pixels: Array, at: _Places, result: Array, behind: tuple[float, ...]) -> Array:
    return cv2.remap(pixels, at.across, at.down, cv2.INTER_LINEAR, result, cv2.BORDER_CONSTANT, behind)


def _bicubic(frame: _Frame, at: _Places, result: Array, scratch: Scratch) -> None:
    """Catmull-Rom at t between two pixels is L p - t (1 - t) / 2 L p'': L is linear, p'' the second difference.

    Cubic Hermite interpolation with the slopes (p[i + 1] - p[i - 1]) / 2, sorted; in two dimensions the product of
    both: four linear interpolations, whose weights change slowly.
    """
    pixels = _near(frame, at, scratch)
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
        pixels, channels, nothing = _near(frame, at, scratch), result.shape[2], (0.0,) * len(frame.behind)
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

"""Turning a picture by any angle."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from pipeline_core import AnyRaster, Color, operation, progress
from pipeline_transform.moves import stand_in
from pipeline_transform.paint import TRANSPARENT, channel_values, encoded
from pipeline_transform.resampling import KERNELS, Filter, Kernel, associated, handed_back, weighted_sums
from pipeline_transform.turns import rotate90

if TYPE_CHECKING:
    import torch

Point = tuple[float, float]
TAPS_AT_ONCE = 2**22  # of 28 bytes each: the working memory of one strip


class Turn(NamedTuple):
    """Where an output pixel comes from: (x, y) - to, turned back by the angle, + `origin`."""

    cos: float
    sin: float
    origin: Point
    to: Point
    width: int
    height: int


def _inferred(
    image: AnyRaster,
    *,
    angle: float,
    expand: bool = False,
    filter: str = "bicubic",  # noqa: A002  as in `rotate`
    center: Point | None = None,
    **_: Any,
) -> AnyRaster:
    turns = _exact_turns(image, angle, expand, center)
    if turns is not None:
        swapped = turns % 2 == 1
        width, height = (image.height, image.width) if swapped else image.size
        return stand_in(image, width, height, wrap=image.wrap[::-1] if swapped else image.wrap)
    turn = _turn(image, angle, expand, center)
    dtype = image.dtype if filter == "nearest" else "float32"
    return stand_in(image, turn.width, turn.height, dtype=dtype, wrap=(False, False))


@operation(infer=_inferred, aliases=("turn",))
def rotate(
    image: AnyRaster,
    *,
    angle: Annotated[float, Field(description="degrees, clockwise")],
    expand: Annotated[bool, Field(description="grow the size so that nothing is cut off")] = False,
    filter: Literal["nearest"] | Filter = "bicubic",  # noqa: A002  the word of the field
    center: Annotated[Point, Field(description="x, y that stays in place; the middle by default")] | None = None,
    fill: Annotated[Color, Field(description="of the corners that the picture does not reach")] = TRANSPARENT,
) -> AnyRaster:
    """Turn by any angle, about the middle or another point.

    With `expand` the size grows to hold the whole picture, and `center` makes no difference. Quarter turns that fit the
    size are exact and keep the dtype (see `rotate90`); else all filters but `nearest` give float32.
    Filters as in `resize`.

    Outside the picture is `fill`, in the image's own colour space; the edge blends into it. An image without alpha
    takes its RGB and drops its alpha, so that `transparent` gives black; a mask takes its alpha, so that `transparent`
    is outside. Colours are weighted by alpha and the alpha state is handed back as it was. An image that tiles has no
    outside: the corners show the next tiles; the result tiles no more.

    Convention: a positive angle turns clockwise as one sees it, as in OpenImageIO; pixel centres are at half pixels, so
    the middle is (width / 2, height / 2).
    """
    turns = _exact_turns(image, angle, expand, center)
    if turns == 0:
        return image
    if turns is not None:
        return rotate90(image, turns=turns)
    turn = _turn(image, angle, expand, center)
    if filter == "nearest":
        return _picked(image, turn, channel_values(fill, image))
    source = associated(image)
    background = channel_values(fill, source)
    return handed_back(_sampled(source, turn, KERNELS[filter], background), image)


def _exact_turns(image: AnyRaster, angle: float, expand: bool, center: Point | None) -> Literal[0, 1, 2, 3] | None:
    """How many quarter turns this is, if whole pixels land on whole pixels and the size fits; else None."""
    turns = angle / 90 % 4
    if turns != 0 and center is not None and not expand:
        return None
    fits = expand or turns in (0, 2) or image.width == image.height
    for whole in (0, 1, 2, 3):
        if turns == whole and fits:
            return whole  # type: ignore[return-value]  # mypy widens the literals to int
    return None


def _turn(image: AnyRaster, angle: float, expand: bool, center: Point | None) -> Turn:
    cos, sin = _cos_sin(angle)
    middle = (image.width / 2, image.height / 2)
    if not expand:
        return Turn(cos, sin, center or middle, center or middle, image.width, image.height)
    # A hair less than the exact size, so that rounding errors add no empty row.
    width = math.ceil(image.width * abs(cos) + image.height * abs(sin) - 1e-6)
    height = math.ceil(image.width * abs(sin) + image.height * abs(cos) - 1e-6)
    return Turn(cos, sin, middle, (width / 2, height / 2), width, height)


def _cos_sin(angle: float) -> Point:
    """Exact for quarter turns, so that whole pixels land on whole pixels."""
    exact = {0.0: (1.0, 0.0), 90.0: (0.0, 1.0), 180.0: (-1.0, 0.0), 270.0: (0.0, -1.0)}
    radians = math.radians(angle)
    return exact.get(angle % 360, (math.cos(radians), math.sin(radians)))


def _places(turn: Turn, device: torch.device, rows_at_once: int) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
    """Strips of output rows, each with the x and y, `(rows * width,)`, that its pixels come from."""
    import torch

    exact = torch.float32 if device.type == "mps" else torch.float64  # float32 is a few ten-thousandths off at 4K
    x = torch.arange(turn.width, dtype=exact, device=device) + (0.5 - turn.to[0])
    for top in range(0, turn.height, rows_at_once):
        progress(top, turn.height, "rows")
        rows = slice(top, min(top + rows_at_once, turn.height))
        y = torch.arange(rows.start, rows.stop, dtype=exact, device=device)[:, None] + (0.5 - turn.to[1])
        # Turned back: y points down, so (cos, sin) turns clockwise and (cos, -sin) counterclockwise.
        yield (
            rows,
            (x * turn.cos + y * turn.sin + turn.origin[0]).flatten(),
            (y * turn.cos - x * turn.sin + turn.origin[1]).flatten(),
        )


def _sampled(image: AnyRaster, turn: Turn, kernel: Kernel, background: Any) -> AnyRaster:
    """The turned picture over the background, each pixel a weighted sum of those around the place it comes from."""
    import torch

    pixels = image.pixels
    batch, channels, height, width = pixels.shape
    lines = pixels.permute(2, 3, 0, 1).reshape(height * width, batch * channels)
    behind = torch.from_numpy(background).to(pixels.device).repeat(batch)
    result = pixels.new_empty(turn.height, turn.width, batch, channels)
    rows_at_once = max(1, TAPS_AT_ONCE // (turn.width * (2 * kernel.radius) ** 2))
    for rows, x, y in _places(turn, pixels.device, rows_at_once):
        column, across = _taps(x, kernel, width, wrap=image.wrap[0])
        row, down = _taps(y, kernel, height, wrap=image.wrap[1])
        place = (row[:, :, None] * width + column[:, None, :]).flatten(1)
        weights = (down[:, :, None] * across[:, None, :]).flatten(1)
        sums = weighted_sums(lines, place, weights)
        # What the weights inside the picture lack to 1 is the background's share.
        sums += (1 - weights.sum(1, keepdim=True)) * behind
        result[rows] = sums.reshape(-1, turn.width, batch, channels)
    return image.with_buffer(result.permute(2, 0, 1, 3), wrap=(False, False))


def _taps(at: torch.Tensor, kernel: Kernel, size: int, *, wrap: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The pixels within the kernel's reach of each place, `(N, taps)`, and their weights: 0 outside the picture."""
    import torch

    first = (at - 0.5).floor()
    steps = torch.arange(1 - kernel.radius, 1 + kernel.radius, device=at.device, dtype=torch.int32)
    # Only the fraction goes on in float32: it is what the weights depend on.
    weights = kernel.weight(steps + (first - at + 0.5).to(torch.float32)[:, None])
    weights = weights / weights.sum(1, keepdim=True)
    place = first.to(torch.int32)[:, None] + steps
    if wrap:
        return place % size, weights
    return place.clamp(0, size - 1), weights.where((place >= 0) & (place < size), weights.new_zeros(()))


def _picked(image: AnyRaster, turn: Turn, background: Any) -> AnyRaster:
    """The turned picture in its own dtype, each pixel the one under the place it comes from."""
    import numpy as np
    import torch

    buffer = image.buffer
    if isinstance(buffer, np.ndarray):
        buffer = torch.from_numpy(np.array(buffer))
    behind = torch.from_numpy(encoded(background, image.dtype)).to(buffer.device)
    result = buffer.new_empty(image.batch, turn.height, turn.width, buffer.shape[3])
    for rows, x, y in _places(turn, buffer.device, max(1, TAPS_AT_ONCE // turn.width)):
        column, row = x.floor().long(), y.floor().long()
        outside = torch.zeros_like(column, dtype=torch.bool)
        if not image.wrap[0]:
            outside |= (column < 0) | (column >= image.width)
        if not image.wrap[1]:
            outside |= (row < 0) | (row >= image.height)
        strip = buffer[:, row % image.height, column % image.width]
        strip = behind.where(outside[:, None], strip)
        result[:, rows] = strip.reshape(image.batch, -1, turn.width, buffer.shape[3])
    return image.with_buffer(result, wrap=(False, False))

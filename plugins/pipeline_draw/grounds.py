"""Whole pictures from nothing: flat, ramps, checks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_core import Color, Image, Rows, each_tile, empty, operation
from pipeline_draw.paint import Channels, Length, Space, canvas, channel_values, mixed, names_for

SRGB = "srgb_rec709_scene"
BLACK = (0.0, 0.0, 0.0, 1.0)
WHITE = (1.0, 1.0, 1.0, 1.0)
CHECKS = (0.4, 0.4, 0.4, 1.0), (0.6, 0.6, 0.6, 1.0)
BAND = 16
"""Rows made at a time."""
Corners = tuple[Color, Color, Color, Color]
Kinds = Annotated[Channels, Field(description="auto: RGB, with A when a colour is not opaque")]


def _flat(*, width: int, height: int, color: Color, channels: Channels = "auto", space: str = SRGB) -> Image:
    return canvas(width, height, names_for(channels, color), space)


def _flat_in_rows(*, width: int, color: Color, **params: Any) -> Rows:
    picture = _flat(width=width, color=color, **params)
    values = channel_values(color, picture.channels)

    def make(start: int, stop: int) -> Image:
        buffer = np.empty((1, stop - start, width, len(values)), np.float32)
        buffer[:] = values
        return picture.with_buffer(buffer)

    return Rows(picture, make)


@operation(infer=_flat, rows=_flat_in_rows, device="cpu", aliases=("solid", "EmptyImage"))
def constant(*, width: Length, height: Length, color: Color, channels: Kinds = "auto", space: Space = SRGB) -> Image:
    """A picture of one colour.

    float32; alpha is straight where there is an A channel. Y gets the colour's luma (Rec. 709 weights).
    """
    picture = _flat(width=width, height=height, color=color, channels=channels, space=space)
    buffer = empty(picture.buffer.shape)
    buffer.reshape(height, -1)[:] = np.tile(
        channel_values(color, picture.channels), width
    )  # numpy is slow pixel by pixel
    return picture.with_buffer(buffer)


def _ramped(
    *,
    width: int,
    height: int,
    start: Color = BLACK,
    end: Color = WHITE,
    corners: Corners | None = None,
    channels: Channels = "auto",
    space: str = SRGB,
    **_: Any,
) -> Image:
    return canvas(width, height, names_for(channels, *(corners or (start, end))), space)


@operation(version=2, infer=_ramped, device="cpu", aliases=("ramp", "linear_gradient"))
def gradient(
    *,
    width: Length,
    height: Length,
    start: Color = BLACK,
    end: Color = WHITE,
    angle: Annotated[float, Field(description="degrees clockwise: 0 runs to the right, 90 down")] = 0.0,
    corners: Annotated[Corners, Field(description="top left, top right, bottom left, bottom right")] | None = None,
    channels: Kinds = "auto",
    space: Space = SRGB,
) -> Image:
    """A linear ramp from one colour to another, or between four corners.

    float32, in the values of the space as they are. `corners` take the place of `start`, `end` and `angle`. Colours are
    weighted by their alpha, so that a ramp to transparent keeps its hue; the result's alpha is straight.

    Convention: the ramp starts and ends at the centres of the outermost pixels, which have exactly the colours given,
    as OpenImageIO's `fill` does.
    """
    picture = _ramped(width=width, height=height, start=start, end=end, corners=corners, channels=channels, space=space)
    across, down = _shares(width)[None, :], _shares(height)[:, None]
    if corners is not None:
        return _in_bands(picture, lambda rows: _four(across, down[rows], corners, picture.channels))
    share = _along(across, down, angle)
    return _in_bands(picture, lambda rows: mixed(share(rows), start, end, picture.channels))


def _in_bands(picture: Image, some: Callable[[slice], Any]) -> Image:
    """A picture made a few rows at a time, which stay in a core's cache."""
    result = empty(picture.buffer.shape)

    def work(rows: slice, _: slice) -> None:
        result[:, rows] = some(rows)

    each_tile(picture.width, picture.height, (picture.width, BAND), work)
    return picture.with_buffer(result)


def _shares(count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """0 at the first pixel, 1 at the last."""
    return np.arange(count) / max(1, count - 1)


def _along(across: Any, down: Any, angle: float) -> Callable[[slice], Any]:
    """How far the pixels of some rows are along the angle, 0 to 1 between the outermost pixels."""
    width, height = across.size - 1, down.size - 1
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    reach = abs(cos) * width + abs(sin) * height

    def share(rows: slice) -> Any:
        if reach < 1e-9:
            return np.zeros((len(down[rows]), across.size))
        return (((across - 0.5) * width * cos + (down[rows] - 0.5) * height * sin) / reach + 0.5).clip(0, 1)

    return share


def _four(across: Any, down: Any, corners: Corners, names: tuple[str, ...]) -> Any:
    weights = [(1 - across) * (1 - down), across * (1 - down), (1 - across) * down, across * down]
    values = [channel_values(color, names).astype(np.float64) for color in corners]
    alphas = [value[-1] if "A" in names else 1.0 for value in values]
    alpha = sum(weight * part for weight, part in zip(weights, alphas, strict=True))[..., None]
    total = sum((weight * part)[..., None] * value for weight, part, value in zip(weights, alphas, values, strict=True))
    colors = total / np.where(alpha == 0, 1.0, alpha)
    if "A" in names:
        colors = np.concatenate([colors[..., :-1], alpha], axis=-1)
    return colors[None].astype(np.float32)


@operation(version=2, infer=_ramped, device="cpu", aliases=("radial_gradient",))
def radial(
    *,
    width: Length,
    height: Length,
    start: Color = WHITE,
    end: Color = BLACK,
    center: Annotated[tuple[float, float], Field(description="x, y in pixels; the middle by default")] | None = None,
    radius: Annotated[float, Field(gt=0, description="pixels; to the farthest corner by default")] | None = None,
    channels: Kinds = "auto",
    space: Space = SRGB,
) -> Image:
    """A round ramp: `start` in the middle, `end` from the radius on.

    float32; colours are weighted by their alpha, and the result's alpha is straight.

    Convention: pixel centres are at half pixels, so the middle is (width / 2, height / 2).
    """
    picture = _ramped(width=width, height=height, start=start, end=end, channels=channels, space=space)
    x, y = center or (width / 2, height / 2)
    reach = radius or math.hypot(max(x, width - x), max(y, height - y))
    across, down = (np.arange(width) + 0.5 - x)[None, :], (np.arange(height) + 0.5 - y)[:, None]

    def some(rows: slice) -> Any:
        return mixed((np.hypot(across, down[rows]) / reach).clip(0, 1), start, end, picture.channels)

    return _in_bands(picture, some)


def _checked(
    *, width: int, height: int, a: Color = CHECKS[0], b: Color = CHECKS[1], channels: Channels = "auto",
    space: str = SRGB, **_: Any,
) -> Image:  # fmt: skip
    return canvas(width, height, names_for(channels, a, b), space)


@operation(infer=_checked, device="cpu", aliases=("checker", "CheckerBoard2"))
def checkerboard(
    *,
    width: Length,
    height: Length,
    size: Annotated[int, Field(ge=1, description="pixels of a check's side")] = 16,
    a: Color = CHECKS[0],
    b: Color = CHECKS[1],
    channels: Kinds = "auto",
    space: Space = SRGB,
) -> Image:
    """Checks of two colours.

    `a` is at the top left. float32; alpha is straight where there is an A channel.
    """
    picture = _checked(width=width, height=height, a=a, b=b, channels=channels, space=space)
    odd = (np.arange(height)[:, None] // size + np.arange(width)[None, :] // size) % 2 == 1
    first, second = channel_values(a, picture.channels), channel_values(b, picture.channels)
    return picture.with_buffer(np.where(odd[None, ..., None], second, first))

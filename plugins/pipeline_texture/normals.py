"""Normal maps: from heights, between conventions, one upon another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Image, Mask, OperationError, each_tile, empty, operation
from pipeline_core import opencv as cv2
from pipeline_texture.vectors import check_rgb, of_length_1, unit, vectors, with_vectors

if TYPE_CHECKING:
    from torch import Tensor

Direction = Literal["opengl", "directx"]
"""Whether green grows up the picture (OpenGL: Unity, Godot, Blender, glTF) or down (DirectX: Unreal, CryEngine)."""

Y_AXIS, X_AXIS = 1, 2
BAND = 16
"""Rows made at a time."""
Weights = tuple[float, float, float]
Array = Any
"""Of numpy or torch."""

# Weights across the derivative; along it, all take half the difference of the two neighbours.
_ACROSS = {"central": (0.0, 1.0, 0.0), "sobel": (0.25, 0.5, 0.25), "scharr": (3 / 16, 10 / 16, 3 / 16)}


def _of_height(height: Image | Mask, **_: Any) -> Image:
    _check_height(height)
    names = ("R", "G", "B")
    made = Image.stand_in(height.width, height.height, names, batch=height.batch, color="data", wrap=height.wrap)
    return replace(made, meta=height.meta)


def _check_height(height: Image | Mask) -> None:
    if len(height.channels) != 1:
        raise OperationError(
            f"the height has {len(height.channels)} channels ({', '.join(height.channels)}): give one, "
            "by 'to_gray' or 'mask_from_channel'"
        )


@operation(
    version=2, infer=_of_height, support=1, aliases=("normal_map", "bump_to_normal", "normalmap", "NormalMapSimple")
)
def height_to_normal(
    height: Image | Mask,
    *,
    strength: Annotated[
        float, Field(description="how many pixels high the value 1 is; below 0 turns it inside out")
    ] = 4.0,
    kernel: Annotated[Literal["central", "sobel", "scharr"], Field(description="how slopes are measured")] = "sobel",
    direction: Annotated[Direction, Field(description="whether green grows up or down")] = "opengl",
) -> Image:
    """Make a tangent-space normal map of a height map.

    The normal is that of the surface z = strength * height: (-dz/dx, -dz/dy, 1) brought to length 1 and stored as
    0.5 + 0.5 n in R, G and B, of colour `data`. Slopes are central differences, smoothed across by Sobel's (1 2 1) or
    Scharr's (3 10 3) weights. Wants one channel (`to_gray`, `mask_from_channel`); a height map of 8 bits shows steps.

    Convention: x is to the right; y is up in `opengl` and down in `directx`. Slopes go round where the picture tiles;
    elsewhere the surface goes on beyond the frame at the slope that it has there.
    """
    _check_height(height)
    if height.device == "cpu":
        stored = _in_bands(height, strength, _ACROSS[kernel], direction)
    else:
        import torch

        around = _continued(_continued(height.pixels[:, 0], Y_AXIS, height.wrap[1]), X_AXIS, height.wrap[0])
        stored = torch.stack(_stored(around * strength, _ACROSS[kernel], direction), dim=-1)
    return Image(stored, channels=("R", "G", "B"), color="data", wrap=height.wrap, meta=height.meta)


def _in_bands(height: Image | Mask, strength: float, across: Weights, direction: Direction) -> Any:
    """`(B, H, W, 3)` by numpy, a few rows at a time, which stay in a core's cache."""
    around = _continued(height.array[..., 0], Y_AXIS, height.wrap[1])
    result = empty((height.batch, height.height, height.width, 3))

    def work(rows: slice, _: slice) -> None:
        for item, out in zip(around[:, rows.start : rows.stop + 2], result[:, rows], strict=True):
            band = _continued(item[None], X_AXIS, height.wrap[0]) * np.float32(strength)
            cv2.merge([plane[0] for plane in _stored(band, across, direction)], out)

    each_tile(height.width, height.height, (height.width, BAND), work)
    return result


def _continued(planes: Array, axis: int, wraps: bool) -> Array:
    """`(B, H, W)` with one more row or column on both sides: round the tile, or on at the slope of the last two."""
    size, lines = planes.shape[axis], [slice(None)] * 3

    def line(at: int) -> Array:
        lines[axis] = slice(at, at + 1)
        return planes[tuple(lines)]

    first, last = line(0), line(size - 1)
    if wraps:
        first, last = last, first
    else:
        first, last = 2 * first - line(min(1, size - 1)), 2 * last - line(max(0, size - 2))
    return _joined([first, planes, last], axis)


def _joined(parts: list[Array], axis: int) -> Array:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis)
    import torch

    return torch.cat(parts, axis)


def _stored(around: Array, across: Weights, direction: Direction) -> list[Array]:
    """R, G and B of the normals, `(B, H, W)`, of heights with a border, which is used up."""
    dx = _slope(around, X_AXIS, across)
    dy = _slope(around, Y_AXIS, across)
    half = 0.5 / (dx * dx + dy * dy + 1) ** 0.5
    green = dy * half if direction == "opengl" else -dy * half
    return [0.5 - dx * half, 0.5 + green, 0.5 + half]


def _slope(around: Array, axis: int, across: Weights) -> Array:
    """Half the difference of the neighbours along one axis, weighted across it; the border is used up."""
    if axis == X_AXIS:
        along = (around[:, :, 2:] - around[:, :, :-2]) * 0.5
        before, here, after = along[:, :-2], along[:, 1:-1], along[:, 2:]
    else:
        along = (around[:, 2:] - around[:, :-2]) * 0.5
        before, here, after = along[:, :, :-2], along[:, :, 1:-1], along[:, :, 2:]
    return here if across[0] == 0 else (before + after) * across[0] + here * across[1]


@operation(support=0, aliases=("flip_green", "invert_green", "normal_flip_y", "opengl_to_directx"))
def normal_convert(normal: Image) -> Image:
    """Turn an OpenGL normal map into a DirectX one, or the other way round.

    Both ways are one: green becomes 1 - green, y points the other way. All other channels stay; the result is of
    colour `data`.
    """
    check_rgb(normal)
    straight = normal.unassociate()
    pixels = straight.pixels.clone()
    pixels[:, normal.index("G")] = 1 - pixels[:, normal.index("G")]
    return straight.with_pixels(pixels, color="data").with_alpha_state(normal.alpha)


@operation(version=2, support=0, aliases=("renormalize", "normalize_normals"))
def normal_normalize(normal: Image) -> Image:
    """Bring the vectors of a normal map to length 1, as they are wanted after blending, blurring or resizing.

    Convention: a vector of length 0 becomes (0, 0, 1), straight up. The result is of colour `data`.
    """
    return of_length_1(normal) if normal.device == "cpu" else with_vectors(normal, unit(vectors(normal)))


@operation(support=0, aliases=("normal_blend", "combine_normals", "BlendAngleCorrectedNormals"))
def normal_combine(
    base: Image,
    detail: Image,
    *,
    method: Annotated[
        Literal["reoriented", "whiteout", "udn"], Field(description="how the detail lies on the base")
    ] = "reoriented",
    strength: Annotated[float, Field(ge=0, le=16, description="of the detail's slopes; 0 leaves the base")] = 1.0,
) -> Image:
    """Lay the details of one normal map upon another.

    `reoriented` turns the detail with the surface of the base, and so keeps it on steep slopes; `whiteout` and `udn`
    are cheaper and flatten it there. All after C. Barré-Brisebois and S. Hill, "Blending in Detail", 2012. Both maps
    must be of one convention (`normal_convert`). The other channels are those of the base; of colour `data`.

    Convention: both maps are brought to length 1 first; a base that points straight into the surface takes no detail.
    """
    if base.size != detail.size:
        found = f"base is {base.width}x{base.height}, detail is {detail.width}x{detail.height}"
        raise OperationError(f"{found}: 'resize' or 'crop' one, or repeat it with 'pad'")
    if len({base.batch, detail.batch} - {1}) > 1:
        raise OperationError(f"batches of {base.batch} and {detail.batch}: they must be equal, or one")
    under, over = unit(vectors(base, "the base")), unit(vectors(detail, "the detail"))
    over = unit(over * over.new_tensor([strength, strength, 1.0]).view(1, 3, 1, 1))
    combined = with_vectors(base, unit(_combined(under, over, method)))
    return combined.with_buffer(
        combined.buffer, wrap=(base.wrap[0] and detail.wrap[0], base.wrap[1] and detail.wrap[1])
    )


def _combined(under: Tensor, over: Tensor, method: str) -> Tensor:
    """Formulas of "Blending in Detail", for vectors of length 1; the result is not."""
    import torch

    x1, y1, z1 = (under[:, i : i + 1] for i in range(3))
    x2, y2, z2 = (over[:, i : i + 1] for i in range(3))
    if method == "udn":
        return torch.cat([x1 + x2, y1 + y2, z1], dim=1)
    if method == "whiteout":
        return torch.cat([x1 + x2, y1 + y2, z1 * z2], dim=1)
    # The shortest turn that takes +z to the base's normal, applied to the detail: with t = n1 + (0, 0, 1) and
    # u = (-x2, -y2, z2) it is t (t . u) / t.z - u.
    t = torch.cat([x1, y1, z1 + 1], dim=1)
    u = torch.cat([-x2, -y2, z2], dim=1)
    toward = (t * u).sum(1, keepdim=True)
    turned = t * (toward / torch.where(t[:, 2:] > 0, t[:, 2:], 1.0)) - u
    return torch.where(t[:, 2:] > 1e-6, turned, under)

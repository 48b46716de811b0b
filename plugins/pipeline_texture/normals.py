"""Normal maps: from heights, between conventions, one upon another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline_core import Image, Mask, OperationError, operation
from pipeline_texture.vectors import check_rgb, unit, vectors, with_vectors

if TYPE_CHECKING:
    from torch import Tensor

Direction = Literal["opengl", "directx"]
"""Whether green grows up the picture (OpenGL: Unity, Godot, Blender, glTF) or down (DirectX: Unreal, CryEngine)."""

Y_AXIS, X_AXIS = 2, 3

# Weights across the derivative; along it, all take half the difference of the two neighbours.
_ACROSS = {"central": (0.0, 1.0, 0.0), "sobel": (0.25, 0.5, 0.25), "scharr": (3 / 16, 10 / 16, 3 / 16)}


@operation(support=1, aliases=("normal_map", "bump_to_normal", "normalmap", "NormalMapSimple"))
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
    import torch

    if len(height.channels) != 1:
        raise OperationError(
            f"the height has {len(height.channels)} channels ({', '.join(height.channels)}): give one, "
            "by 'to_gray' or 'mask_from_channel'"
        )
    around = _continued(_continued(height.pixels * strength, Y_AXIS, height.wrap[1]), X_AXIS, height.wrap[0])
    right = _slope(around, X_AXIS, _ACROSS[kernel])
    down = _slope(around, Y_AXIS, _ACROSS[kernel])
    green = down if direction == "opengl" else -down
    normals = unit(torch.cat([-right, green, torch.ones_like(right)], dim=1))
    stored = (normals * 0.5 + 0.5).permute(0, 2, 3, 1)
    return Image(stored, channels=("R", "G", "B"), color="data", wrap=height.wrap, meta=height.meta)


def _continued(pixels: Tensor, axis: int, wraps: bool) -> Tensor:
    """One more row or column on both sides: round the tile, or on at the slope of the last two."""
    import torch

    size = pixels.shape[axis]
    first, last = pixels.narrow(axis, 0, 1), pixels.narrow(axis, size - 1, 1)
    if wraps:
        return torch.cat([last, pixels, first], dim=axis)
    second, before = pixels.narrow(axis, min(1, size - 1), 1), pixels.narrow(axis, max(0, size - 2), 1)
    return torch.cat([2 * first - second, pixels, 2 * last - before], dim=axis)


def _slope(around: Tensor, axis: int, across: tuple[float, float, float]) -> Tensor:
    """Half the difference of the neighbours along one axis, weighted across it; the border is used up."""
    size, other = around.shape[axis] - 2, Y_AXIS + X_AXIS - axis
    along = (around.narrow(axis, 2, size) - around.narrow(axis, 0, size)) * 0.5
    length = along.shape[other] - 2
    before, here, after = (along.narrow(other, i, length) for i in range(3))
    return here if across[0] == 0 else before * across[0] + here * across[1] + after * across[2]


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


@operation(support=0, aliases=("renormalize", "normalize_normals"))
def normal_normalize(normal: Image) -> Image:
    """Bring the vectors of a normal map to length 1, as they are wanted after blending, blurring or resizing.

    Convention: a vector of length 0 becomes (0, 0, 1), straight up. The result is of colour `data`.
    """
    return with_vectors(normal, unit(vectors(normal)))


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

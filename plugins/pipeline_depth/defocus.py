"""What a lens focused at one depth makes of the others."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_core import Image, OperationError, operation, progress
from pipeline_core import opencv as cv2
from pipeline_depth.deep_image import Floats
from pipeline_depth.depth import depth_of

STEP = 1 / 8
"""How much larger the radius of a layer may be than that of the one before, where that is more than a pixel."""


@operation(
    device="cpu",
    support=lambda limit, **_: math.ceil(limit) + 1,
    infer=lambda image, depth=None, **_: image.like(),
    aliases=("ZDefocus", "depth_of_field", "dof", "lens_blur", "zblur", "bokeh"),
)
def z_defocus(
    image: Image,
    depth: Image | None = None,
    *,
    focus: Annotated[float, Field(gt=0, description="the depth that is sharp", examples=[5.0])],
    radius: Annotated[float, Field(ge=0, le=256, description="of what is infinitely far, in pixels")] = 8.0,
    limit: Annotated[float, Field(ge=0, le=256, description="the largest radius, in pixels")] = 32.0,
    sharp: Annotated[float, Field(ge=0, description="how much depth around the focus is sharp")] = 0.0,
) -> Image:
    """Blur by depth, as a lens does that is focused at one.

    The radius of a point's disc is `radius` times |1 - focus / depth| (a thin lens: Potmesil and Chakravarty 1981, "A lens and
    aperture camera model for synthetic image generation"). Depth is the second image's Z or only channel, else the image's
    own Z, in units of your choice; smaller is nearer.

    The picture is taken apart into layers of like radius. Each is blurred, and they are laid over one another: what is near
    and blurred covers what is behind it softly, what is sharp has no halo of what is behind it, and where nothing is known
    of what lies behind, what is seen nearest to it stands in. Colour and alpha alone are blurred, on associated values.

    Convention: depths of 0 and less are nearest, NaN is infinitely far. Beyond the frame the edge pixels are repeated, or the
    image tiles where it wraps.
    """
    where = image.color_indices + ([image.index("A")] if image.coverage != "none" else [])
    if not where:
        raise OperationError(f"no colour to blur: the image has {', '.join(image.channels)}")
    circles = np.broadcast_to(_circles(depth_of(image, depth), focus, radius, limit, sharp), image.buffer.shape[:3])
    lit = image.associate()
    result = np.array(lit.array)
    for i in range(image.batch):
        result[i][..., where] = _blurred(lit.array[i][..., where], circles[i], _radii(limit), image.wrap)
    return lit.with_array(result).with_alpha_state(image.alpha)


def _circles(z: Floats, focus: float, radius: float, limit: float, sharp: float) -> Floats:
    """The radius of each pixel's disc; negative before the focus."""
    far = np.where(np.isnan(z), np.inf, z).astype(np.float64)
    near_end, far_end = max(focus - sharp / 2, 1e-30), focus + sharp / 2
    with np.errstate(divide="ignore"):
        size = np.where(
            far > far_end,
            1 - far_end / np.where(far > 0, far, 1),
            np.minimum(1 - near_end / np.where(far > 0, far, 0), 0),
        )
    return np.clip(size * radius if radius else np.zeros_like(size), -limit, limit).astype(np.float32)


def _radii(limit: float) -> list[float]:
    """Radii of layers, from the sharp one on: a pixel apart, then a part of their size."""
    found = [0.0]
    while found[-1] < limit:
        found.append(min(found[-1] + max(1.0, found[-1] * STEP), limit))
    return found


def _blurred(picture: Floats, circles: Floats, radii: list[float], wrap: tuple[bool, bool]) -> Floats:
    """Layers blurred by their radius, from front to back, over one another."""
    border = math.ceil(min(radii[-1], float(np.abs(circles).max()))) + 1
    picture, circles = _padded(picture, border, wrap), _padded(circles[..., None], border, wrap)[..., 0]
    total = np.zeros_like(picture)
    clear = np.ones(picture.shape[:2], np.float32)
    layers = [-radius for radius in reversed(radii[1:])] + radii
    for i, middle in enumerate(layers):
        share = _share(circles, layers, i)
        rows, columns = (np.flatnonzero(share.any(axis)) for axis in (1, 0))
        if not len(rows):
            continue
        reach = math.ceil(abs(middle))
        box = tuple(slice(max(0, places[0] - reach), places[-1] + reach + 1) for places in (rows, columns))
        part = np.dstack([picture[box] * share[box][..., None], share[box]])
        soft = cv2.filter2D(part, -1, _disc(abs(middle)), borderType=cv2.BORDER_CONSTANT) if reach else part
        total[box] += clear[box][..., None] * soft[..., :-1]
        clear[box] *= 1 - np.clip(soft[..., -1], 0, 1)
        progress(i, len(layers), "layers")
    inside = (slice(border, -border), slice(border, -border))
    seen = 1 - clear[inside]
    return np.asarray(total[inside] / np.maximum(seen, 1e-6)[..., None])


def _share(circles: Floats, layers: list[float], i: int) -> Floats:
    """How much of each pixel belongs to a layer: all where the radius is its own, less towards those of the next."""
    share = np.zeros_like(circles)
    if i:
        before = (circles - layers[i - 1]) / np.float32(layers[i] - layers[i - 1])
        share = np.where((before > 0) & (before <= 1), before, share)
    else:
        share = np.where(circles <= layers[0], np.float32(1), share)
    if i + 1 < len(layers):
        after = (layers[i + 1] - circles) / np.float32(layers[i + 1] - layers[i])
        share = np.where((after > 0) & (after < 1), after, share)
    return np.asarray(share, np.float32)


def _disc(radius: float) -> Floats:
    """Weights of a disc that covers the pixels at its rim in part; their sum is 1."""
    reach = math.ceil(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    cover = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return np.asarray(cover / cover.sum(), np.float32)


def _padded(array: Floats, border: int, wrap: tuple[bool, bool]) -> Floats:
    for axis, tiles in ((0, wrap[1]), (1, wrap[0])):
        widths: list[Any] = [(0, 0), (0, 0), (0, 0)]
        widths[axis] = (border, border)
        array = np.pad(array, widths, mode="wrap" if tiles else "edge")
    return array

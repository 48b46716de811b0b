"""The ways in which a hole is filled, each a `Fill` (see `holes`)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pipeline_core import Image
from pipeline_core import opencv as cv2
from pipeline_models.inpaint.diffusion import diffused
from pipeline_models.inpaint.holes import Fill
from pipeline_models.inpaint.patches import sources

Array = np.ndarray[Any, Any]
UNITS = 65535.0
"""From the least to the greatest known value, as OpenCV is given them."""
FLAGS = {"telea": "INPAINT_TELEA", "navier-stokes": "INPAINT_NS"}


def diffusing() -> Fill:
    """Smoothly from the edges."""
    return lambda image, known: diffused(image.pixels, known, image.wrap)


def marching(method: Literal["telea", "navier-stokes"], radius: float) -> Fill:
    """OpenCV's, channel by channel in float32; on the CPU."""

    def fill(image: Image, known: Tensor) -> Tensor:
        there = known[0, 0].cpu().numpy() > 0
        planes = [
            _marched(image.array[0, :, :, i], there, image.wrap, method, radius) for i in range(len(image.channels))
        ]
        return torch.from_numpy(np.stack(planes)[None]).to(known.device)

    return fill


def _marched(
    plane: Array, known: Array, wrap: tuple[bool, bool], method: Literal["telea", "navier-stokes"], radius: float
) -> Array:
    """One channel `(H, W)`."""
    low, high = plane[known].min(), plane[known].max()
    span = (float(high) - float(low)) / UNITS
    if not span > 0:
        return np.full_like(plane, low)
    # Its front goes round an image that tiles: half of it once more on either side is as far as a front comes.
    (height, width), sides = plane.shape, zip(plane.shape[::-1], wrap, strict=True)
    across, down = (side // 2 if wraps else 0 for side, wraps in sides)
    # OpenCV takes no picture of one row or column, and none must be read round the frame where it does not tile.
    border = ((down, down + (height == 1)), (across, across + (width == 1)))
    values = np.pad(np.where(known, (plane - low) / span, 0).astype(np.float32), border, mode="wrap")
    hole = np.pad((~known).astype(np.uint8), border, mode="wrap")
    found = cv2.inpaint(values, hole, radius, getattr(cv2, FLAGS[method]))[
        down : down + height, across : across + width
    ]
    # Telea's adds a half to be rounded down to integers, and a step of up to one and a half: hence the UNITS.
    result: Array = np.clip(found - (method == "telea") * 0.5, 0, UNITS) * span + low
    return result.astype(np.float32)


def patching(seed: int) -> Fill:
    """By copying whole pixels from where patches look alike; smoothly where no whole patch is known."""

    def fill(image: Image, known: Tensor) -> Tensor:
        random = torch.Generator().manual_seed(seed)
        found = sources(_look(image, known), known, image.wrap, random)
        if found is None:
            return diffused(image.pixels, known, image.wrap)
        result = image.pixels.clone()
        hole = known[0, 0] == 0
        result[0][:, hole] = image.pixels[0][:, found[0], found[1]]
        return result

    return fill


def _look(image: Image, known: Tensor) -> Tensor:
    """By what patches are compared: colours (all channels where there are none), as they look, in one unit."""
    where = image.color_indices + [i for i, name in enumerate(image.channels) if name == "A"]
    look = image.pixels[:, where or list(range(len(image.channels)))]
    if image.color.startswith("lin_"):
        look = look.abs() ** (1 / 2.2) * look.sign()
    if look.shape[1] > 1 and bool((look == look[:, :1]).all()):
        look = look[:, :1]
    count = known.sum()
    mean = (look * known).sum((2, 3), keepdim=True) / count
    spread = (((look - mean) * known) ** 2).sum((2, 3), keepdim=True).div(count).mean().sqrt()
    return torch.where(known > 0, (look - mean) / spread.clamp(min=1e-6), 0.0)

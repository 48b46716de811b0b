"""Rounding whose errors are handed on to the pixels that come after: Floyd and Steinberg."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline_core import Image, progress

if TYPE_CHECKING:
    from torch import Tensor

Floats = np.ndarray[Any, np.dtype[np.float32]]
SHARES = tuple(np.float32(n / 16) for n in (7, 3, 5, 1))
"""Of the error, for the pixel to the right and those below: to the left, straight and to the right."""


def visible(image: Image) -> Any:
    """`(B, H, W, 1)`: 1 where there is something to see, 0 where alpha is 0; None where that is everywhere."""
    return None if image.coverage == "none" else (image.array[..., [image.index("A")]] != 0).astype(np.float32)


def diffused(color: Tensor, rounded: Callable[[Floats], tuple[Floats, Floats]], seen: Any = None) -> Tensor:
    """`(B, C, H, W)` with every pixel rounded, left to right and top to bottom, and its error shared among the next.

    R. Floyd and L. Steinberg 1976, "An adaptive algorithm for spatial greyscale". `rounded` takes `(n, C)`
    values, and gives the rounded ones and those that the errors are measured from. What is not `seen` has no errors.
    Pixels of equal x + 2 y don't depend on each other, so that they are rounded at once.
    """
    import torch

    batch, channels, height, width = color.shape
    steps = width + 2 * (height - 1)
    result = np.empty((batch, height, width, channels), np.float32)
    # A picture skewed so that pixels that are rounded at once lie side by side: [x + 2 y, y], with room for what is left over.
    lanes = np.zeros((steps + 3, height + 1, channels), np.float32)
    counts = np.ones((*lanes.shape[:2], 1), np.float32)
    rows = np.arange(height)
    places = (rows[:, None] * 2 + np.arange(width), rows[:, None])
    for item in range(batch):
        lanes[:] = 0
        lanes[places] = color[item].permute(1, 2, 0).cpu().numpy()
        if seen is not None:
            counts[places] = seen[item]
        for step in range(steps):
            top, bottom = max(0, (step - width + 2) // 2), min(height, step // 2 + 1)
            found, given = rounded(lanes[step, top:bottom])
            with np.errstate(invalid="ignore"):
                error = given - found
            error = np.where(np.isfinite(error), error, np.float32(0)) * counts[step, top:bottom]
            lanes[step + 1, top:bottom] += error * SHARES[0]
            lanes[step + 1, top + 1 : bottom + 1] += error * SHARES[1]
            lanes[step + 2, top + 1 : bottom + 1] += error * SHARES[2]
            lanes[step + 3, top + 1 : bottom + 1] += error * SHARES[3]
            lanes[step, top:bottom] = found
            if step % 256 == 0:
                progress(item * steps + step, batch * steps, "rows")
        result[item] = lanes[places]
    return torch.from_numpy(result).permute(0, 3, 1, 2).to(color.device)

"""One formula for numpy arrays and torch tensors, after the pattern of the Python array API standard.

On a CPU numpy is the faster: torch spreads every small step over all cores, which then wait for each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline_core import Image, Mask
from pipeline_core import empty as reused

Array = Any
"""A numpy array or torch tensor `(B, C, H, W)` of float32: planes of colour, alpha the last where there is one."""


def namespace(array: Array) -> Any:
    """numpy or torch, whichever the array is of."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def pixels_of(raster: Image | Mask) -> Array:
    """`(B, C, H, W)` float32, to be read only: an array of what is in CPU memory, else a tensor."""
    return raster.array.transpose(0, 3, 1, 2) if raster.device == "cpu" else raster.pixels


def empty(shape: tuple[int, ...], like: Array) -> Array:
    """Memory for float32, of the kind and where `like` is."""
    if isinstance(like, np.ndarray):
        return reused(shape)
    xp = namespace(like)
    return xp.empty(shape, dtype=xp.float32, device=like.device)

"""The kernels of `arrays` on torch tensors `(B, H, W, C)`, for accelerators: sums and picks of shifted views."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline_filter.arrays import Wrap, chords
from pipeline_filter.weights import Weights

Y_AXIS, X_AXIS = 1, 2

where = torch.where


def with_sums(
    change: Callable[[Tensor, Tensor, None], Tensor],
    tensor: Tensor,
    weights: Weights | tuple[Weights, Weights],
    wrap: Wrap,
) -> Tensor:
    """`change(values, weighted sums around them, None)`; weights as `correlate` or `separable` take them."""
    sums = separable(tensor, *weights, wrap) if isinstance(weights, tuple) else correlate(tensor, weights, wrap)
    return change(tensor, sums, None)


def weighted(one: Tensor, factor: float, other: Tensor, other_factor: float, plus: float) -> Tensor:
    """The sum of two tensors, each times a number, and a number."""
    return one * factor + other * other_factor + plus


def shown(alpha: Tensor) -> Tensor:
    """1 where there is some alpha."""
    return (alpha != 0).to(alpha)


def spread(plane: Tensor, where: Sequence[int], channels: int) -> Tensor:
    """`(B, H, W)` for the channels at these places, 0 for the others."""
    return torch.stack([plane if i in where else torch.zeros_like(plane) for i in range(channels)], dim=-1)


def kept(result: Tensor, values: Tensor, where: Sequence[int]) -> Tensor:
    """The result with the channels of `values` at these places."""
    for i in where:
        result[..., i] = values[..., i]
    return result


def extended(tensor: Tensor, reach: tuple[int, int], wrap: Wrap) -> Tensor:
    """With a border of (x, y) pixels: the edge repeated, or the tile gone round."""
    for axis, distance, wraps in ((Y_AXIS, reach[1], wrap[1]), (X_AXIS, reach[0], wrap[0])):
        if distance:
            size = tensor.shape[axis]
            places = torch.arange(-distance, size + distance, device=tensor.device)
            tensor = tensor.index_select(axis, places % size if wraps else places.clamp(0, size - 1))
    return tensor


def separable(tensor: Tensor, across: Weights, down: Weights, wrap: Wrap) -> Tensor:
    """Weighted sums, along the rows and then along the columns."""
    return correlate(correlate(tensor, across[None], wrap), down[:, None], wrap)


def correlate(tensor: Tensor, weights: Weights, wrap: Wrap) -> Tensor:
    """Weighted sums over a neighbourhood with odd sides. Not torch's convolution: that may round to TF32 on a GPU."""
    around = extended(tensor, (weights.shape[1] // 2, weights.shape[0] // 2), wrap)
    _, height, width, _ = tensor.shape
    total = torch.zeros_like(tensor)
    for y, x in np.argwhere(weights).tolist():
        total.add_(around[:, y : y + height, x : x + width], alpha=float(weights[y, x]))
    return total


def extreme(tensor: Tensor, shape: str, radius: int, wrap: Wrap, *, largest: bool) -> Tensor:
    """The largest or smallest value in a `square`, `disc` or `cross`."""
    pick = torch.maximum if largest else torch.minimum
    if shape == "disc":
        return chords(extended(tensor, (radius, radius), wrap), radius, pick)  # type: ignore[no-any-return]  # a tensor
    across = _extreme_along(tensor, X_AXIS, radius, wrap, largest)
    if shape == "cross":
        return pick(across, _extreme_along(tensor, Y_AXIS, radius, wrap, largest))
    return _extreme_along(across, Y_AXIS, radius, wrap, largest)


def _extreme_along(tensor: Tensor, axis: int, radius: int, wrap: Wrap, largest: bool) -> Tensor:
    reach = (radius, 0) if axis == X_AXIS else (0, radius)
    windows = extended(tensor, reach, wrap).unfold(axis, 2 * radius + 1, 1)
    return windows.amax(-1) if largest else windows.amin(-1)

"""A small network that takes noise of a given strength out of a picture: the gated U of `gated_inpainter`.

Beside the picture it is given a plane that tells the strength (K. Zhang, W. Zuo and L. Zhang, FFDNet, 2018), so that one
network serves all strengths; what it finds is the noise in units of that.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from pipeline_models.networks.gated_inpainter import GatedInpainter

MIDDLE, SPREAD = 0.5, 0.25
"""Colours are differences from the middle, in units of this, and so is the noise."""


class GatedDenoiser(GatedInpainter):
    """`(B, channels, H, W)` from 0 to 1, and the noise's standard deviation `(B, 1, 1, 1)`: the picture without it."""

    factor = 1

    def forward(self, pixels: Tensor, strength: Tensor, rows: int | None = None) -> Tensor:
        """The picture without the noise; any size, beyond the edges of which the outermost pixel goes on."""
        height, width = pixels.shape[-2:]
        edges = (0, -width % self.step, 0, -height % self.step)
        whole = (
            functional.pad((pixels - MIDDLE) / SPREAD, edges, mode="replicate")
            if any(edges)
            else (pixels - MIDDLE) / SPREAD
        )
        level = (strength / SPREAD).expand(len(pixels), 1, *whole.shape[-2:])
        found: Tensor = super().forward(whole, level, rows)
        return found[..., :height, :width] * SPREAD + MIDDLE


def network(
    *,
    channels: int = 3,
    widths: Sequence[int] = (32, 64, 96),
    down: Sequence[int] = (2, 2),
    middle: int = 3,
    up: Sequence[int] = (2, 2),
) -> GatedDenoiser:
    """One with random numbers."""
    return GatedDenoiser(channels, widths, down, middle, up)

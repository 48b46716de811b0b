"""A spatial generator of textures: a grid of noise becomes a picture of any size.

As in N. Jetchev, U. Bergmann and R. Vollgraf, "Texture Synthesis with Spatial Generative Adversarial Networks", 2016,
but nothing is padded: what lies around a cell comes in as more cells. So a part of a grid gives the same pixels alone and
in the whole, and a grid that tiles gives a picture that tiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import interpolate, leaky_relu

DILATIONS = (1, 1, 2, 4, 8, 4, 2)


class TextureGenerator(nn.Module):
    """`stride` pixels for a cell of the grid; `margin` cells on each side are read and give no pixels."""

    stride = 4
    margin = sum(DILATIONS) + 1

    def __init__(self, *, channels: int, labels: int, latent_channels: int, width: int) -> None:
        super().__init__()
        self.latent_channels = latent_channels
        sizes = [latent_channels, *(width for _ in DILATIONS)]
        self.coarse = nn.ModuleList(
            nn.Conv2d(entering, leaving, 3, dilation=dilation)
            for entering, leaving, dilation in zip(sizes[:-1], sizes[1:], DILATIONS, strict=True)
        )
        self.styles = nn.ModuleList(nn.Embedding(labels, 2 * width) for _ in DILATIONS)
        for style in self.styles:
            nn.init.normal_(style.weight, std=0.05)  # type: ignore[arg-type]  # an embedding's weight is a tensor
        self.middle = nn.Conv2d(width, width // 2, 3)
        self.fine = nn.Conv2d(width // 2, width // 2, 3)
        self.pixels = nn.Conv2d(width // 2, channels, 3)

    def forward(self, noise: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """`(B, latent_channels, h, w)` and `(B,)` to `(B, channels, 4 (h - 2 margin), 4 (w - 2 margin))`, 0 to 1."""
        x = noise
        for convolution, style, dilation in zip(self.coarse, self.styles, DILATIONS, strict=True):
            scale, shift = style(labels)[:, :, None, None].chunk(2, 1)
            made = leaky_relu(convolution(x) * (1 + scale) + shift, 0.2)
            inner = x[..., dilation:-dilation, dilation:-dilation]
            x = (made + inner) * 0.7071 if inner.shape == made.shape else made
        x = leaky_relu(self.middle(interpolate(x, scale_factor=2.0)), 0.2)
        x = leaky_relu(self.fine(interpolate(x, scale_factor=2.0)), 0.2)
        return torch.sigmoid(self.pixels(x))


def network(*, channels: int, labels: Sequence[str], latent_channels: int = 16, width: int = 48) -> TextureGenerator:
    """One with random numbers; a style for each label."""
    return TextureGenerator(channels=channels, labels=len(labels), latent_channels=latent_channels, width=width)

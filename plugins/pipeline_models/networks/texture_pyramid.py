"""A spatial generator of textures, from coarse to fine: a grid of noise becomes a picture of any size.

As in N. Jetchev, U. Bergmann and R. Vollgraf, "Texture Synthesis with Spatial Generative Adversarial Networks", 2016,
with the convolutions of T. Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020: a label's style
weighs what enters a convolution, what leaves is brought back to unit size by the weights alone, and noise comes in at
every size. Nothing is padded: what lies around a cell comes in as more cells. So a part of a grid gives the same pixels
alone and in the whole, and a grid that tiles gives a picture that tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, leaky_relu, pixel_shuffle

DILATIONS = (1, 1, 2, 2, 1)
"""Of the convolutions at the size of the grid; at each finer size there are two more."""


class TexturePyramid(nn.Module):
    """`stride` pixels for a cell of the grid; `margin` cells on each side are read and give no pixels."""

    def __init__(self, *, channels: int, labels: int, coarse: int, widths: Sequence[int]) -> None:
        super().__init__()
        finer = len(widths) - 1
        self.stride = 1 << finer
        self.coarse = coarse
        self.planes = [4**level for level in range(1, finer + 1)]
        self.latent_channels = coarse + sum(self.planes)
        self.first = nn.ModuleList(
            _Styled(entering, widths[0], labels, dilation)
            for entering, dilation in zip((coarse, *(widths[0] for _ in DILATIONS)), DILATIONS, strict=False)
        )
        self.finer = nn.ModuleList(
            nn.ModuleList((_Styled(wide, narrow, labels), _Styled(narrow, narrow, labels)))
            for wide, narrow in pairwise(widths)
        )
        self.grain = nn.ParameterList(nn.Parameter(torch.zeros(labels, narrow)) for narrow in widths[1:])
        self.pixels = nn.Conv2d(widths[-1], channels, 1)
        nn.init.normal_(self.pixels.weight, std=0.5 * widths[-1] ** -0.5)  # a gray that can still move both ways
        lost = sum(DILATIONS) * self.stride + sum(2 << level for level in range(finer))
        self.margin = -(-lost // self.stride)
        self.spare = self.margin * self.stride - lost

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """`(B, latent_channels, h, w)` and `(B,)` to `(B, channels, stride (h - 2 margin), stride (w - 2 margin))`, 0 to 1."""
        x, *grains = torch.split(noise, [self.coarse, *self.planes], 1)
        for layer in self.first:
            x = layer(x, labels)
        for level, (layers, weight, planes) in enumerate(zip(self.finer, self.grain, grains, strict=True)):
            x = layers[0](interpolate(x, scale_factor=2.0), labels)  # type: ignore[index]  # a ModuleList
            grain = pixel_shuffle(planes, 2 << level)
            edge = (grain.shape[-1] - x.shape[-1]) // 2
            grain = grain[..., edge : edge + x.shape[-2], edge : edge + x.shape[-1]]
            x = x + (grain * weight[labels][:, :, None, None]).to(x.dtype)
            x = layers[1](x, labels)  # type: ignore[index]  # a ModuleList
        if self.spare:
            x = x[..., self.spare : -self.spare, self.spare : -self.spare]
        return torch.sigmoid(self.pixels(x))


class _Styled(nn.Module):
    """A convolution of 3x3 whose inputs a label weighs; its outputs are of unit size if its inputs are."""

    def __init__(self, entering: int, leaving: int, labels: int, dilation: int = 1) -> None:
        super().__init__()
        self.dilation = dilation
        self.weight = nn.Parameter(torch.randn(leaving, entering, 3, 3))
        self.style = nn.Parameter(torch.ones(labels, entering))
        self.bias = nn.Parameter(torch.zeros(labels, leaving))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        squares = self.weight.square().sum((2, 3))
        size = ((self.style.square()[:, None] * squares).sum(2) + 1e-8).rsqrt()
        weigh, size, bias = (
            part[labels][:, :, None, None].to(x.dtype) for part in (self.style, 2**0.5 * size, 2**0.5 * self.bias)
        )
        x = conv2d(x * weigh, self.weight, dilation=self.dilation)
        return leaky_relu(torch.addcmul(bias.to(x.dtype), x, size.to(x.dtype)), 0.2)


def network(
    *, channels: int, labels: Sequence[str], coarse: int = 24, widths: Sequence[int] = (128, 112, 80, 48, 32), **_: int
) -> TexturePyramid:
    """One with random numbers; a style for each label. `latent_channels` follows from the widths."""
    return TexturePyramid(channels=channels, labels=len(labels), coarse=coarse, widths=widths)

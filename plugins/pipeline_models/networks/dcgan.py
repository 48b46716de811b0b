"""A generator of pictures from random numbers and the discriminator that it was trained against.

A. Radford, L. Metz and S. Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", 2016: strided convolutions and nothing else. Labels scale and shift the generator's normalised features, and
enter the discriminator by projection (T. Miyato and M. Koyama, "cGANs with Projection Discriminator", 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, normalize

LARGEST_START = 7
"""The smaller side is halved until it is at most this: 28 starts at 7, 32, 64 and 128 at 4."""


class Dcgan(nn.Module):
    """Both networks. Calling it makes pictures; `discriminator` judges them."""

    def __init__(
        self, size: tuple[int, int], channels: int, labels: int, latent_channels: int, width: int, norm: str
    ) -> None:
        super().__init__()
        self.latent_channels = latent_channels
        self.generator = Generator(size, channels, labels, latent_channels, width)
        self.discriminator = Discriminator(size, channels, labels, width, norm)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """`(B, latent_channels, 1, 1)` and `(B,)` to `(B, channels, height, width)`, 0 to 1."""
        pixels: Tensor = self.generator(noise, labels)
        return pixels


class Generator(nn.Module):
    """Each layer doubles the size and halves the features; the last has `width` of them."""

    def __init__(self, size: tuple[int, int], channels: int, labels: int, latent_channels: int, width: int) -> None:
        super().__init__()
        layers = halvings(size)
        features = [width * 2 ** (layers - 1 - i) for i in range(layers)]
        self.start = features[0], size[1] >> layers, size[0] >> layers
        self.first = nn.Linear(latent_channels, features[0] * self.start[1] * self.start[2], bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(count) for count in features)
        self.styles = nn.ModuleList(nn.Embedding(labels, 2 * count) for count in features if labels)
        self.layers = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False) for a, b in pairwise(features))
        self.pixels = nn.ConvTranspose2d(features[-1], channels, 4, 2, 1)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        x = self._normalised(0, self.first(noise.flatten(1)).unflatten(1, self.start), labels)
        for i, layer in enumerate(self.layers, 1):
            x = self._normalised(i, layer(x), labels)
        return (torch.tanh(self.pixels(x)) + 1) / 2

    def _normalised(self, i: int, features: Tensor, labels: Tensor) -> Tensor:
        features = self.norms[i](features)
        if self.styles:
            scale, shift = self.styles[i](labels)[:, :, None, None].chunk(2, 1)
            features = features * (1 + scale) + shift
        return torch.relu(features)


class Discriminator(nn.Module):
    """The way back; `norm` is 'batch' (Radford et al.), 'spectral' (Miyato et al. 2018) or 'none'."""

    def __init__(self, size: tuple[int, int], channels: int, labels: int, width: int, norm: str) -> None:
        super().__init__()
        layers = halvings(size)
        features = [width * 2**i for i in range(layers)]
        spectral = norm == "spectral"
        self.layers = nn.ModuleList(Convolution(a, b, (4, 4), spectral) for a, b in pairwise([channels, *features]))
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(count) if norm == "batch" and i else nn.Identity() for i, count in enumerate(features)
        )
        self.whole = Convolution(features[-1], 4 * width, (size[1] >> layers, size[0] >> layers), spectral, stride=1)
        self.score = nn.Linear(4 * width, 1)
        self.of_label = nn.Embedding(labels, 4 * width) if labels else None

    def forward(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """`(B,)`: above 0 for what it takes for real."""
        x = pixels * 2 - 1
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = leaky_relu(norm(layer(x)), 0.2)
        x = leaky_relu(self.whole(x), 0.2).flatten(1)
        said: Tensor = self.score(x)[:, 0]
        if self.of_label is not None:
            said = said + (self.of_label(labels) * x).sum(1)
        return said


class Convolution(nn.Module):
    """Of a stride of 2 it halves the size. If `spectral`, its weights are divided by their largest singular value.

    T. Miyato, T. Kataoka, M. Koyama and Y. Yoshida, "Spectral Normalization for Generative Adversarial Networks", 2018,
    algorithm 1: one power iteration for each step of training.
    """

    def __init__(self, entering: int, leaving: int, sides: tuple[int, int], spectral: bool, stride: int = 2) -> None:
        super().__init__()
        self.spectral, self.stride = spectral, stride
        self.weight = nn.Parameter(0.02 * torch.randn(leaving, entering, *sides))
        self.bias = nn.Parameter(torch.zeros(leaving))
        self.direction: Tensor
        if spectral:
            self.register_buffer("direction", torch.randn(leaving))

    def forward(self, pixels: Tensor) -> Tensor:
        weight = self.weight / self._largest() if self.spectral else self.weight
        return conv2d(pixels, weight, self.bias, self.stride, self.stride - 1)

    def _largest(self) -> Tensor:
        matrix = self.weight.flatten(1)
        with torch.no_grad():
            across = normalize(matrix.T @ self.direction, dim=0)
            along = normalize(matrix @ across, dim=0)
            if self.training:
                self.direction = along
        return along @ matrix @ across


def halvings(size: Sequence[int]) -> int:
    """How many layers a picture of this size has. ValueError where it can't be made."""
    count, side = 0, min(size)
    while side > LARGEST_START:
        side, count = (side + 1) // 2, count + 1
    if not count or side < 3 or any(length % 2**count or length >> count > 4 * LARGEST_START for length in size):
        raise ValueError(
            f"{size[0]}x{size[1]} can't be doubled up to; sides of 28, 32, 48, 64, 96 or 128 can (4 to 7 times a power of 2)"
        )
    return count


def network(
    *,
    size: Sequence[int],
    channels: Sequence[str],
    labels: Sequence[str] = (),
    latent_channels: int = 100,
    width: int = 64,
    norm: str = "batch",
    **_: str,
) -> Dcgan:
    """One with random numbers; `color` and `alpha`, what the pictures are, change nothing of it."""
    if norm not in ("batch", "spectral", "none"):
        raise ValueError(f"norm is '{norm}', not batch, spectral or none")
    return Dcgan((size[0], size[1]), len(channels), len(labels), latent_channels, width, norm)

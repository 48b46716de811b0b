"""Trains `digits-classifier`, which reads digits: `python -m training.digits_classifier`.

On the 1,797 handwritten digits of 8x8 pixels that come with scikit-learn (E. Alpaydin and C. Kaynak, "Optical Recognition
of Handwritten Digits", UCI Machine Learning Repository, 1998, CC BY 4.0), bright on dark, turned, moved and stretched a
little; one in five is held back.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from pipeline_models.networks import make
from torch import nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, interpolate

from training.weights import write_model

NAME = "digits-classifier"
CONFIG = {"channels": 1, "labels": [str(i) for i in range(10)], "size": [16, 16], "width": 24, "features": 64}
STEPS, BATCH, RATE = 1200, 64, 3e-3


def digits(*, held_back: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """`(N, 1, 8, 8)` of 0 to 1, and what they are."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    part = order[np.arange(len(order)) % 5 == 0] if held_back else order[np.arange(len(order)) % 5 != 0]
    pixels = torch.from_numpy(found.images[part]).float()[:, None] / 16
    return pixels, torch.from_numpy(found.target[part]).long()


def as_read(pixels: torch.Tensor) -> torch.Tensor:
    """At the size that the network reads."""
    return interpolate(pixels, size=(16, 16), mode="bilinear", antialias=True)


def varied(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each turned, stretched, moved, made fainter and noisier by some other amount."""

    def random(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(len(pixels), generator=generator)

    angle, slant = random(-0.2, 0.2), random(-0.2, 0.2)
    across, down = random(0.85, 1.2), random(0.85, 1.2)
    turn = torch.stack([
        torch.stack([across * angle.cos(), slant - angle.sin(), random(-0.15, 0.15)], -1),
        torch.stack([angle.sin(), down * angle.cos(), random(-0.15, 0.15)], -1),
    ], 1)  # fmt: skip
    # By way of more pixels than either, as digits made elsewhere have.
    large = interpolate(pixels, size=(32, 32), mode="bicubic" if random(0, 1)[0] < 0.5 else "bilinear")
    moved = grid_sample(large, affine_grid(turn, list(large.shape), align_corners=False), align_corners=False)
    made = as_read(moved) * random(0.7, 1.1).view(-1, 1, 1, 1)
    return (made + random(0, 0.08).view(-1, 1, 1, 1) * torch.randn(made.shape, generator=generator)).clamp(0, 1)


@torch.no_grad()
def accuracy(network: nn.Module) -> float:
    """Of the digits held back."""
    pixels, answers = digits(held_back=True)
    return float((network(as_read(pixels)).argmax(1) == answers).float().mean())


def train() -> nn.Module:
    """A trained network; a minute."""
    torch.manual_seed(1)
    network = make("small_classifier", CONFIG)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    pixels, answers = digits(held_back=False)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * max(1e-3, (1 + math.cos(math.pi * step / STEPS)) / 2)
        generator = torch.Generator().manual_seed(step)
        which = torch.randint(len(answers), (BATCH,), generator=generator)
        loss = cross_entropy(network(varied(pixels[which], generator)), answers[which], label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    network = train()
    figures = {"accuracy": round(accuracy(network), 4), "on": "the 360 digits held back"}
    model = write_model(
        NAME, network, architecture="small_classifier", config=CONFIG, task="classify handwritten digits, bright on dark",
        data="scikit-learn's digits (UCI Optical Recognition of Handwritten Digits, CC BY 4.0), one in five held back",
        script="python -m training.digits_classifier", figures=figures,
    )  # fmt: skip
    print(model, figures)


if __name__ == "__main__":
    main()

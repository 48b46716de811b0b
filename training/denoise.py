"""Trains `photo-denoise`, which takes noise out of photographs: `python -m training.denoise`.

A crop of a photograph, turned, mirrored, shrunk, its colours changed, is what is wanted; with normal noise it is what is
given, and a plane beside it says how strong the noise is (K. Zhang, W. Zuo and L. Zhang, FFDNet, 2018), so that one
network serves all strengths. The network tells the noise in units of its strength. Half of the crops have the same
noise in all channels, in part, as grain has. The weights kept are a moving average of those trained.

Killed and started again, it goes on from its last checkpoint, in `training/out`. `--device cuda --batch 64` for a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pipeline_models.networks import in_channels_last, make
from pipeline_models.networks.gated_denoiser import SPREAD
from torch import Tensor, nn

from training.course import OUT, Course, Learner, cost, half, options, prepare
from training.crops import Crops, between, of_photographs, swapped
from training.inpaint import psnr
from training.photographs import HELD_BACK, SOURCE, photograph
from training.weights import write_model

NAME = "photo-denoise"
CONFIG: dict[str, Any] = {"channels": 3, "widths": [32, 64, 96], "down": [2, 2], "middle": 3, "up": [2, 2]}
SIDE, SCALES = 96, (1.0, 0.75, 0.5)
RATE, AVERAGING = 1.2e-3, 0.998
WEAKEST, STRONGEST = 0.008, 0.25
"""Standard deviations of the noise."""


def noise_of(wanted: Tensor, strength: Tensor) -> Tensor:
    """Normal, of this strength for each crop; half of the crops have some of it in all channels alike."""
    count, device = len(wanted), wanted.device
    share = torch.where(torch.rand(count, 1, 1, 1, device=device) < 0.5, torch.rand(count, 1, 1, 1, device=device), 0.0)
    alike = torch.randn(count, 1, *wanted.shape[2:], device=device)
    return strength * (share.sqrt() * alike + (1 - share).sqrt() * torch.randn_like(wanted))


def batch(crops: Crops, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """What is wanted, the same with noise, and its strength."""
    wanted = swapped(crops.some(count))
    gains = between(0.6, 1.0, count, 1, 1, 1, device=wanted.device)
    wanted = wanted * gains + torch.rand_like(gains) * (1 - gains)
    strength = between(math.log(WEAKEST), math.log(STRONGEST), count, 1, 1, 1, device=wanted.device).exp()
    noisy = wanted + noise_of(wanted, strength)
    return wanted, noisy, strength


@torch.no_grad()
def measure(network: nn.Module, strengths: tuple[int, ...] = (10, 25, 50)) -> Mapping[str, Mapping[str, float]]:
    """PSNR of each photograph that was held back, with noise of these deviations in 255, before and after."""
    rows = {}
    for number, name in enumerate(HELD_BACK):
        whole = photograph(name)[:400, :400]
        pixels = torch.from_numpy(whole.copy()).permute(2, 0, 1)[None].float() / 255
        row = {}
        for strength in strengths:
            random = np.random.default_rng([number, strength])
            noise = torch.from_numpy(random.normal(0, strength / 255, pixels.shape)).float()
            found = network(pixels + noise, torch.full((1, 1, 1, 1), strength / 255))
            for told, part in (("noisy", pixels + noise), ("denoised", found)):
                shown = part.clamp(0, 1).mul(255).round()[0].permute(1, 2, 0).numpy()
                row[f"{told} {strength}"] = psnr(shown, whole)
        rows[name] = row
    return rows


def main() -> None:
    given = options(40, 12, __doc__).parse_args()
    prepare(given)
    network = in_channels_last(make("gated_denoiser", CONFIG).to(given.device))
    learner = Learner(network, RATE, keep=AVERAGING, clip=1.0)
    crops = of_photographs(SIDE, SCALES, given.device)
    course = Course(given.minutes, given.checkpoint or OUT / f"{NAME}.pt", learner.parts, given.device)
    for step, done in course:
        wanted, noisy, strength = batch(crops, given.batch)
        with half(given.device):
            found = network(noisy.contiguous(memory_format=torch.channels_last), strength)
        # By the noise, nearly, so that weak noise counts as much as strong.
        loss = ((found.float() - wanted) ** 2 / (strength * SPREAD)).mean((1, 2, 3)).add(1e-6).sqrt().mean()
        learner.learn(loss, step, done)
        course.told = {"loss": loss.detach()}
    mean = learner.mean.cpu()
    figures = {
        "psnr_db": {name: {k: round(v, 2) for k, v in row.items()} for name, row in measure(mean).items()},
        "on": "photographs held back from training, normal noise of deviation 10, 25 and 50 of 255",
    }
    model = write_model(
        NAME, mean, architecture="gated_denoiser", config=CONFIG, task="take noise out of photographs", data=SOURCE,
        script="python -m training.denoise", figures=figures, folder=given.weights, **cost(given, course.step),
    )  # fmt: skip
    print(model, figures)


if __name__ == "__main__":
    main()

"""Trains `photo-x2` and `photo-x4`, which enlarge photographs: `python -m training.photo 2` and `... 4`.

Pairs are made from photographs: a crop, turned, mirrored, shrunk by a random factor and with its colours changed, is
what is wanted; the same shrunk by the factor with an antialiased bicubic filter is what is given. Every eighth pair is
of stripes, of any direction and width: where photographs are few, a network learns from them to see stripes of its own
in what shrinking leaves of wood or cloth. The loss is quadratic for small errors (Charbonnier et al., Deterministic
edge-preserving regularization in computed imaging, 1997), so that where the given leaves several answers open, their
mean is learned. `photo-x2` first learns without stripes, by the size of the errors alone. The weights kept are a moving
average of those trained.

Killed and started again, it goes on from its last checkpoint, in `training/out`.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pipeline_models.networks import in_channels_last, make
from pipeline_models.networks.residual_upscaler import ResidualUpscaler
from torch import Tensor, nn
from torch.nn import functional

from training.photographs import HELD_BACK, SOURCE, photograph, photographs
from training.weights import write_model

OUT = Path(__file__).with_name("out")
BATCH, GIVEN = 16, {2: 40, 4: 24}
FIRST, STEPS = {2: 6250, 4: 0}, {2: 6750, 4: 5000}
"""Steps of the first part, without stripes, and of both together."""

RATE, WARMING, AVERAGING = 1.5e-3, 100, 0.999
QUADRATIC = (0.001, 0.05)
"""Errors up to about this count by their square, larger ones by their size; in the first part and then."""

STRIPED = 8
"""One of so many pairs is of stripes."""
CONFIG = {
    2: {"factor": 2, "channels": 3, "width": 32, "blocks": 6},
    4: {"factor": 4, "channels": 3, "width": 32, "blocks": 6},
}


def shrunk(pixels: Tensor, factor: int) -> Tensor:
    """Antialiased bicubic, then 8 bits: what a camera's picture or a web page's would be."""
    size = (pixels.shape[-2] // factor, pixels.shape[-1] // factor)
    small = functional.interpolate(pixels, size=size, mode="bicubic", antialias=True)
    return small.clamp(0, 1).mul(255).round().div(255)


class Crops:
    """Random wanted crops, drawn from a pyramid of every photograph at several sizes."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.random = size, np.random.default_rng(seed)
        self.pictures: list[Tensor] = []
        for pixels in photographs().values():
            whole = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
            for scale in (1.0, 0.8, 0.64, 0.5):
                if min(round(side * scale) for side in whole.shape[-2:]) >= size:
                    self.pictures.append(scaled(whole, scale) if scale < 1 else whole)
        areas = np.array([math.sqrt(part.shape[-1] * part.shape[-2]) for part in self.pictures])
        self.shares = areas / areas.sum()

    def batch(self, striped: bool) -> Tensor:
        return torch.cat([self._stripes() if striped and i % STRIPED == 0 else self._crop() for i in range(BATCH)])

    def _crop(self) -> Tensor:
        random, size = self.random, self.size
        for _ in range(4):  # flat crops teach little: most of them are drawn again
            picture = self.pictures[random.choice(len(self.pictures), p=self.shares)]
            top, left = (int(random.integers(0, side - size + 1)) for side in picture.shape[-2:])
            crop = picture[..., top : top + size, left : left + size]
            if float(crop.std(dim=(-1, -2)).mean()) > 0.04:
                break
        crop = torch.rot90(crop, int(random.integers(4)), (-1, -2))
        if random.random() < 0.5:
            crop = crop.flip(-1)
        if random.random() < 0.5:
            crop = crop[:, random.permutation(3)]
        if random.random() < 0.2:
            crop = 1 - crop
        contrast = float(random.uniform(0.6, 1.0))
        return crop * contrast + float(random.uniform(0, 1 - contrast))

    def _stripes(self) -> Tensor:
        """Waves between two colours, fine to coarse, more or less steep and bent, under some noise."""
        random, size = self.random, self.size
        down, across = np.mgrid[:size, :size] / size - 0.5
        angle, bend = random.uniform(0, np.pi), random.normal(0, 0.3, 3)
        along = across * np.cos(angle) + down * np.sin(angle)
        along = along + bend[0] * across**2 + bend[1] * across * down + bend[2] * down**2
        cycles = size * np.exp(random.uniform(np.log(0.02), np.log(0.5)))
        wave = np.tanh(np.sin(2 * np.pi * (along * cycles + random.random())) * np.exp(random.uniform(-1, 2)))
        one, other = random.random((2, 3, 1, 1))
        pixels = one + (other - one) * (wave / np.abs(wave).max() + 1) / 2 + random.normal(0, 0.02, (3, size, size))
        return torch.from_numpy(pixels.astype(np.float32))[None].clamp(0, 1)


def scaled(pixels: Tensor, scale: float) -> Tensor:
    size = tuple(round(side * scale) for side in pixels.shape[-2:])
    return functional.interpolate(pixels, size=size, mode="bicubic", antialias=True).clamp(0, 1)


def loss_of(found: Tensor, wanted: Tensor, quadratic: float) -> Tensor:
    return (((found - wanted) ** 2 + quadratic**2).sqrt() - quadratic).mean()


def rate(step: int, first: int, steps: int) -> float:
    """A cosine over all of it; the second part begins where the first, cut short, ends, or at its top."""
    cut = 0.67
    if step < first:
        return RATE * min(1.0, (step + 1) / WARMING) * (1 + math.cos(math.pi * cut * step / first)) / 2
    top = RATE * (1 + math.cos(math.pi * cut)) / 2 if first else RATE * min(1.0, (step + 1) / WARMING)
    return top * max(0.01, (1 + math.cos(math.pi * (step - first) / (steps - first))) / 2)


def train(factor: int, steps: int, seed: int = 1) -> tuple[ResidualUpscaler, float]:
    """The network after so many steps, and the seconds of processor time that they took."""
    torch.manual_seed(seed)
    network = make("residual_upscaler", CONFIG[factor])
    assert isinstance(network, ResidualUpscaler)
    in_channels_last(network)
    with torch.no_grad():  # begin as bicubic
        network.last.weight.mul_(0.1)
        network.last.bias.zero_()  # type: ignore[union-attr]  # it has one
    average = copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), RATE, betas=(0.9, 0.99))
    first, step, spent = FIRST[factor], 0, 0.0
    checkpoint = OUT / f"photo-x{factor}.pt"
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        optimizer.load_state_dict(kept["optimizer"])
        step, spent = kept["step"], kept["spent"]
    crops = Crops(GIVEN[factor] * factor, seed + step)
    began, told = time.process_time() - spent, time.time()
    while step < steps:
        done = step / steps
        for group in optimizer.param_groups:
            group["lr"] = rate(step, first, steps)
        wanted = crops.batch(striped=step >= first)
        given = shrunk(wanted, factor).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT):
            found = network(given)
        loss = loss_of(found.float(), wanted, QUADRATIC[step >= first])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own lack
        nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()
        step += 1
        with torch.no_grad():
            keep = min(AVERAGING, step / (step + 20))
            for kept_part, part in zip(average.parameters(), network.parameters(), strict=True):
                kept_part.lerp_(part, 1 - keep)
        if time.time() - told > 120:
            told = time.time()
            gains = {name: round(row["gain"], 3) for name, row in measure(average, factor).items()}
            print(f"{done:.1%} step {step} loss {loss.item():.5f} gains {gains}", flush=True)
            OUT.mkdir(exist_ok=True)
            torch.save(
                {"network": network.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(),
                 "step": step, "spent": time.process_time() - began}, checkpoint.with_suffix(".new"),
            )  # fmt: skip
            os.replace(checkpoint.with_suffix(".new"), checkpoint)
    return average, time.process_time() - began


BFLOAT = True
"""Half as long on a processor that multiplies bfloat16; the numbers that are trained stay float32."""


def luma(pixels: Tensor) -> Tensor:
    """Rec. 601, as the field measures."""
    return (pixels * pixels.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)


def psnr(found: Tensor, wanted: Tensor, shave: int) -> float:
    """Of luma, in 8 bits, borders left out."""
    inner = slice(shave, -shave)
    found, wanted = (luma(part.clamp(0, 1).mul(255).round().div(255))[:, inner, inner] for part in (found, wanted))
    return float(-10 * torch.log10(((found - wanted) ** 2).mean()))


@torch.no_grad()
def measure(network: nn.Module, factor: int) -> dict[str, dict[str, float]]:
    """PSNR of bicubic and of the network on each photograph that was held back."""
    rows = {}
    for name in HELD_BACK:
        whole = torch.from_numpy(photograph(name).copy()).permute(2, 0, 1)[None].float() / 255
        whole = whole[..., : whole.shape[-2] // factor * factor, : whole.shape[-1] // factor * factor]
        given = shrunk(whole, factor)
        # Both cubics; what is to be beaten is the better one.
        plain = max(
            psnr(
                functional.interpolate(given, scale_factor=factor, mode="bicubic", antialias=sharper), whole, 2 * factor
            )
            for sharper in (False, True)
        )
        found = psnr(network(given), whole, 2 * factor)
        rows[name] = {"bicubic": plain, "network": found, "gain": found - plain}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("factor", type=int, choices=(2, 4))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    factor: int = given.factor
    steps = given.steps or STEPS[factor]
    network, seconds = train(factor, steps)
    figures: dict[str, Any] = {
        "psnr_luma_db": {
            name: {k: round(v, 2) for k, v in row.items()} for name, row in measure(network, factor).items()
        },
        "on": "photographs held back from training, shrunk by antialiased bicubic, borders shaved",
    }
    model = write_model(
        f"photo-x{factor}", network, architecture="residual_upscaler", config=CONFIG[factor],
        task=f"enlarge photographs {factor} times", data=SOURCE, script=f"python -m training.photo {factor}", figures=figures,
        cost=f"{steps} steps, {seconds / 60:.0f} minutes of processor time",
    )  # fmt: skip
    print(model, figures)


if __name__ == "__main__":
    main()

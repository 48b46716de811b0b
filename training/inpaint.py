"""Trains `photo-inpaint`, which fills holes in photographs: `python -m training.inpaint`.

A crop of a photograph, turned, mirrored, shrunk, its colours changed, is what is wanted. Irregular holes are cut into
it and filled smoothly, as the operation does it; the network learns what is missing in them. Loss, in the holes alone:
Charbonnier at first (Lai et al., Fast and Accurate Image Super-Resolution with Deep Laplacian Pyramid Networks, 2018),
then the root of each crop's mean square error. The weights kept are a moving average of those trained.

Killed and started again, it goes on from its last checkpoint, in `training/out`.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pipeline_models.inpaint.diffusion import diffused
from pipeline_models.networks import in_channels_last, make
from torch import Tensor, nn
from torch.nn import functional

from training.holes import irregular
from training.photographs import HELD_BACK, SOURCE, photograph, photographs
from training.weights import write_model

NAME = "photo-inpaint"
OUT = Path(__file__).with_name("out")
CONFIG: dict[str, Any] = {"channels": 3, "widths": [32, 64, 96], "down": [1, 2], "middle": 3, "up": [2, 2]}
BATCH, SIDE = 12, 128
RATE, WARMING, AVERAGING, SQUARES_FROM = 1.2e-3, 100, 0.998, 0.55
SPREAD = 0.25
"""Colours are given to the network as differences from their mean, in units of this."""


class Crops:
    """Random crops with holes, drawn from every photograph at several sizes."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.pictures: list[Tensor] = []
        for pixels in photographs().values():
            whole = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
            for scale in (1.0, 0.75, 0.5):
                height, width = (round(side * scale) for side in whole.shape[-2:])
                if min(height, width) >= SIDE:
                    size = (height, width)
                    smaller = functional.interpolate(whole, size=size, mode="bicubic", antialias=True).clamp(0, 1)
                    self.pictures.append(whole if scale == 1 else smaller)
        areas = np.array([math.sqrt(part.shape[-1] * part.shape[-2]) for part in self.pictures])
        self.shares = areas / areas.sum()

    def batch(self) -> tuple[Tensor, Tensor]:
        """What is wanted, and the holes in it."""
        pairs = [(self._crop(), self._hole()) for _ in range(BATCH)]
        wanted, holes = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        return wanted, holes

    def _crop(self) -> Tensor:
        random = self.random
        for _ in range(3):  # flat crops teach little: most of them are drawn again
            picture = self.pictures[random.choice(len(self.pictures), p=self.shares)]
            top, left = (int(random.integers(0, side - SIDE + 1)) for side in picture.shape[-2:])
            crop = picture[..., top : top + SIDE, left : left + SIDE]
            if float(crop.std(dim=(-1, -2)).mean()) > 0.04:
                break
        crop = torch.rot90(crop, int(random.integers(4)), (-1, -2))
        if random.random() < 0.5:
            crop = crop.flip(-1)
        if random.random() < 0.5:
            crop = crop[:, random.permutation(3)]
        gray = bool((crop[:, 0] == crop[:, 1]).all())
        gains = random.uniform(0.6, 1.0, 3) if gray and random.random() < 0.5 else np.full(3, random.uniform(0.6, 1.1))
        return crop * torch.from_numpy(gains.astype(np.float32)).view(1, 3, 1, 1)

    def _hole(self) -> Tensor:
        random = self.random
        scale = float(np.exp(random.uniform(math.log(0.4), math.log(1.3))))
        hole = irregular(SIDE, SIDE, random, random.uniform(0.04, 0.28), strokes=random.uniform(0.3, 1), scale=scale)
        return torch.from_numpy(hole).float()[None, None]


def prepared(wanted: Tensor, holes: Tensor, spread: Tensor | float = SPREAD) -> tuple[Tensor, Tensor]:
    """What is wanted and its smooth fill, in the units of the network."""
    known = 1 - holes
    mean = (wanted * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp(min=1)
    wanted = (wanted - mean) / spread
    return wanted, diffused(wanted, known)


def loss_of(found: Tensor, wanted: Tensor, holes: Tensor, squares: bool) -> Tensor:
    """Of what is in the holes."""
    error = (found - wanted) ** 2 * holes
    if squares:
        return (error.mean((1, 2, 3)) + 1e-5).sqrt().mean()
    return ((error + 1e-4).sqrt() * holes).sum() / (holes.sum() * wanted.shape[1])


def train(minutes: float, seed: int = 1) -> nn.Module:
    """Trains for so many minutes of processor time, checkpoints counted in."""
    torch.manual_seed(seed)
    network = in_channels_last(make("gated_inpainter", CONFIG))
    average = copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), RATE, betas=(0.9, 0.99))
    step, spent = 0, 0.0
    checkpoint = OUT / f"{NAME}.pt"
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        optimizer.load_state_dict(kept["optimizer"])
        step, spent = kept["step"], kept["spent"]
    crops = Crops(seed + step)
    units = np.random.default_rng(seed + step)
    began, told = time.process_time() - spent, time.time()
    while (done := (time.process_time() - began) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARMING) * max(0.01, (1 + math.cos(math.pi * done)) / 2)
        wanted, holes = crops.batch()
        spread = torch.from_numpy(SPREAD * units.uniform(0.6, 1.6, (BATCH, 1, 1, 1)).astype(np.float32))
        wanted, filled = prepared(wanted, holes, spread)
        with torch.autocast("cpu", torch.bfloat16):  # half as long where a processor multiplies it
            added = network(filled.contiguous(memory_format=torch.channels_last), holes).float()
        loss = loss_of(added, wanted, holes, squares=done > SQUARES_FROM)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own lack
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            keep = min(AVERAGING, step / (step + 20))
            for kept_part, part in zip(average.parameters(), network.parameters(), strict=True):
                kept_part.lerp_(part, 1 - keep)
        if time.time() - told > 120:
            told = time.time()
            gains = {name: round(row["gain"], 3) for name, row in measure(average, shares=(0.175,)).items()}
            spent = time.process_time() - began
            print(f"{done:.1%} {spent:.0f} s step {step} loss {loss.item():.5f} gains {gains}", flush=True)
            OUT.mkdir(exist_ok=True)
            torch.save(
                {"network": network.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(),
                 "step": step, "spent": spent}, checkpoint.with_suffix(".new"),
            )  # fmt: skip
            os.replace(checkpoint.with_suffix(".new"), checkpoint)
    return average


def psnr(found: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> float:
    """Of whole 8-bit pictures, all channels."""
    return float(10 * np.log10(255**2 / ((found.astype(np.float64) - wanted) ** 2).mean()))


@torch.no_grad()
def measure(network: nn.Module, shares: tuple[float, ...] = (0.1, 0.175, 0.25)) -> Mapping[str, Mapping[str, float]]:
    """Mean PSNR over holes of these shares, on each photograph that was held back: OpenCV's methods, and ours."""
    rows = {}
    for number, name in enumerate(HELD_BACK):
        whole = photograph(name)[:400, :400]
        found: dict[str, list[float]] = {}
        for share in shares:
            random = np.random.default_rng([number, round(1000 * share)])
            hole = irregular(whole.shape[0], whole.shape[1], random, share)
            for method, flag in (("telea", cv2.INPAINT_TELEA), ("navier-stokes", cv2.INPAINT_NS)):
                best = max((cv2.inpaint(whole, hole, radius, flag) for radius in (3, 5)), key=lambda x: psnr(x, whole))
                found.setdefault(method, []).append(psnr(best, whole))
            holes = torch.from_numpy(hole).float()[None, None]
            pixels = torch.from_numpy(whole.copy()).permute(2, 0, 1)[None].float() / 255
            mean = (pixels * (1 - holes)).sum((2, 3), keepdim=True) / (1 - holes).sum()
            _, filled = prepared(pixels, holes)
            for method, ours in (("diffuse", filled), ("model", network(filled, holes))):
                shown = (ours * SPREAD + mean).clamp(0, 1).mul(255).round()[0].permute(1, 2, 0).numpy()
                found.setdefault(method, []).append(psnr(shown, whole))
        means = {method: float(np.mean(values)) for method, values in found.items()}
        rows[name] = {**means, "gain": means["model"] - max(means["telea"], means["navier-stokes"])}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=40, help="of processor time")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    network = train(given.minutes)
    figures = {
        "psnr_db": {name: {k: round(v, 2) for k, v in row.items()} for name, row in measure(network).items()},
        "on": "photographs held back from training, irregular holes over 10, 17.5 and 25 %, whole picture",
    }
    minutes = f"{given.minutes:g}"
    model = write_model(
        NAME, network, architecture="gated_inpainter", config=CONFIG, task="fill holes in photographs", data=SOURCE,
        script=f"python -m training.inpaint --minutes {minutes}", figures=figures, cost=f"{minutes} minutes of processor time",
    )  # fmt: skip
    print(model, figures)


if __name__ == "__main__":
    main()

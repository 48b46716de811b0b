"""Trains `photo-inpaint`, which fills holes in photographs: `python -m training.inpaint`.

A crop of a photograph, turned, mirrored, shrunk, its colours changed, is what is wanted. Irregular holes are cut into
it and filled smoothly, as the operation does it; the network learns what is missing in them. Loss, in the holes alone:
Charbonnier at first (Lai et al., Fast and Accurate Image Super-Resolution with Deep Laplacian Pyramid Networks, 2018),
then the root of each crop's mean square error. The weights kept are a moving average of those trained.

Killed and started again, it goes on from its last checkpoint, in `training/out`. `--device cuda --batch 64` for a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np
import torch
from pipeline_models.inpaint.diffusion import diffused
from pipeline_models.networks import in_channels_last, make
from torch import Tensor, nn

from training.course import OUT, Course, Learner, cost, half, options, prepare
from training.crops import Crops, between, of_photographs, swapped
from training.holes import irregular
from training.photographs import HELD_BACK, SOURCE, photograph
from training.weights import write_model

NAME = "photo-inpaint"
CONFIG: dict[str, Any] = {"channels": 3, "widths": [32, 64, 96], "down": [1, 2], "middle": 3, "up": [2, 2]}
SIDE, SCALES = 128, (1.0, 0.75, 0.5)
RATE, AVERAGING, SQUARES_FROM = 1.2e-3, 0.998, 0.55
SPREAD = 0.25
"""Colours are given to the network as differences from their mean, in units of this."""

HOLES, AT_ONCE = 4096, 4
"""So many holes are drawn before; so many batches are filled smoothly together, which takes no longer on a GPU."""


def drawn(count: int, seed: int) -> Tensor:
    """Holes, `(1, SIDE, SIDE)` each."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        scale = float(np.exp(random.uniform(math.log(0.4), math.log(1.3))))
        share, strokes = random.uniform(0.04, 0.28), random.uniform(0.3, 1)
        found.append(irregular(SIDE, SIDE, random, share, strokes=strokes, scale=scale))
    return torch.from_numpy(np.stack(found))[:, None].float()


def batches(crops: Crops, holes: Crops, count: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """What is wanted, its smooth fill, and where the holes are, for ever."""
    every = torch.arange(HOLES, device=holes.numbers.device)
    while True:
        wanted = swapped(crops.some(AT_ONCE * count))
        which = every[torch.randint(HOLES, (len(wanted),), device=wanted.device)]
        hole = holes.some(len(wanted), which, tries=1)
        gray = (wanted[:, :1] == wanted).all(1, keepdim=True).flatten(1).all(1)
        tinted = (gray & (torch.rand(len(wanted), device=wanted.device) < 0.5)).view(-1, 1)
        one = between(0.6, 1.1, len(wanted), 1, device=wanted.device)
        gains = torch.where(tinted, between(0.6, 1.0, len(wanted), 3, device=wanted.device), one)
        spread = SPREAD * between(0.6, 1.6, len(wanted), 1, 1, 1, device=wanted.device)
        wanted, filled = prepared(wanted * gains.view(-1, 3, 1, 1), hole, spread)
        yield from zip(*(torch.split(part, count) for part in (wanted, filled, hole)), strict=True)


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
    given = options(40, 12, __doc__).parse_args()
    prepare(given)
    network = in_channels_last(make("gated_inpainter", CONFIG).to(given.device))
    learner = Learner(network, RATE, keep=AVERAGING, clip=1.0)
    crops = of_photographs(SIDE, SCALES, given.device)
    holes = Crops([*drawn(HOLES, 1)], SIDE, given.device)
    course = Course(given.minutes, given.checkpoint or OUT / f"{NAME}.pt", learner.parts, given.device)
    for (step, done), (wanted, filled, hole) in zip(course, batches(crops, holes, given.batch), strict=False):
        with half(given.device):
            found = network(filled.contiguous(memory_format=torch.channels_last), hole)
        loss = loss_of(found.float(), wanted, hole, squares=done > SQUARES_FROM)
        learner.learn(loss, step, done)
        course.told = {"loss": loss.detach()}
    mean = learner.mean.cpu()
    figures = {
        "psnr_db": {name: {k: round(v, 2) for k, v in row.items()} for name, row in measure(mean).items()},
        "on": "photographs held back from training, irregular holes over 10, 17.5 and 25 %, whole picture",
    }
    model = write_model(
        NAME, mean, architecture="gated_inpainter", config=CONFIG, task="fill holes in photographs", data=SOURCE,
        script="python -m training.inpaint", figures=figures, folder=given.weights, **cost(given, course.step),
    )  # fmt: skip
    print(model, figures)


if __name__ == "__main__":
    main()

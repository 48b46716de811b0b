"""Trains `segment-scenes`, which says of every pixel what it is of: `python -m training.segment_scenes`.

A U-Net on scenes of `training.scenes`. Loss: cross entropy, and the soft Dice loss of F. Milletari, N. Navab and
S. Ahmadi, "V-Net", 2016, which counts small classes as much as large ones.
"""

from __future__ import annotations

import argparse

import torch
from pipeline_models.networks import make
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from training.scene_batches import HELD_BACK, Batch, drawn, trained
from training.scenes import LABELS
from training.weights import write_model

NAME = "segment-scenes"
CONFIG = {"channels": 3, "labels": ["ground", *LABELS], "widths": [24, 40, 64, 96, 128]}
CYCLES = (2000, 3000)


def loss_of(network: nn.Module, batch: Batch) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):  # half as long; the numbers that are trained stay float32
        scores = network(batch.pixels)
    scores = scores.float()
    shares = scores.softmax(1)
    wanted = one_hot(batch.labels, scores.shape[1]).permute(0, 3, 1, 2).float()
    both = (shares * wanted).sum((0, 2, 3))
    dice = 1 - (2 * both + 1) / (shares.sum((0, 2, 3)) + wanted.sum((0, 2, 3)) + 1)
    loss: torch.Tensor = cross_entropy(scores, batch.labels) + dice.mean()
    return loss


@torch.no_grad()
def measure(network: nn.Module, seeds: range) -> dict[str, float]:
    """Intersection over union of each class, over all pixels of these scenes, and the mean of all and of the shapes."""
    names: list[str] = CONFIG["labels"]  # type: ignore[assignment]  # as written above
    counts = torch.zeros(len(names), len(names), dtype=torch.long)
    for start in range(seeds.start, seeds.stop, 50):
        batch = drawn(range(start, min(start + 50, seeds.stop)))
        found = network(batch.pixels.float() / 255).argmax(1)
        pairs = batch.labels.long() * len(names) + found
        counts += torch.bincount(pairs.flatten(), minlength=len(names) ** 2).view(len(names), -1)
    both = counts.diagonal()
    iou = (both / (counts.sum(0) + counts.sum(1) - both)).tolist()
    return {"mean": sum(iou) / len(iou), "shapes": sum(iou[1:]) / len(iou[1:]), **dict(zip(names, iou, strict=True))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    torch.manual_seed(1)
    few = range(HELD_BACK, HELD_BACK + 100)
    network = trained(
        NAME,
        make("unet", CONFIG),
        CYCLES,
        loss_of,
        tell=lambda network: f"mean IoU {measure(network, few)['mean']:.4f}",
    )
    figures = measure(network, range(HELD_BACK, HELD_BACK + 500))
    model = write_model(
        NAME, network, architecture="unet", config=CONFIG, task="segment shapes in generated scenes",
        data="scenes of training/scenes.py, seeds from 0", script="python -m training.segment_scenes",
        figures={"iou": {k: round(v, 4) for k, v in figures.items()}, "on": "500 scenes, seeds from 1,000,000"},
    )  # fmt: skip
    print(model, figures)


if __name__ == "__main__":
    main()

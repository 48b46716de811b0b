"""Trains `detect-scenes`, which finds shapes and their boxes: `python -m training.detect_scenes`.

A detector of centres on scenes of `training.scenes`, whose trunk begins with what `segment-scenes` has learnt. Losses: the focal loss of "Objects as Points" (equation 1) for the
heat, and -log of intersection over union for the edges (J. Yu et al., "UnitBox", 2016).
"""

from __future__ import annotations

import argparse

import torch
from pipeline_models.load import load_model
from pipeline_models.networks import make
from pipeline_models.networks.center_detector import STRIDE
from torch import nn
from torch.nn.functional import logsigmoid

from training.scene_batches import HELD_BACK, Batch, drawn, trained
from training.scenes import LABELS, SIZE, scenes
from training.vision_figures import ap50, best_threshold, boxes_of
from training.weights import write_model

NAME = "detect-scenes"
CONFIG = {"channels": 3, "labels": list(LABELS), "widths": [24, 40, 64, 96, 128]}
CYCLES = (1200,)
NARROW, WIDE = 0.6, 8.0
"""A peak's deviation: an eighth of the box, and at least so many cells."""
NEAR = 0.4
"""Cells with at least so much of a peak learn its edges."""


def targets(batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Heat `(B, classes, H, W)`; how much of the nearest peak each cell has `(B, H, W)`; edges of it `(B, 4, H, W)`."""
    cells = SIZE // STRIDE
    place = torch.arange(cells) + 0.5
    left, top, right, bottom = (batch.edges[..., i, None] / STRIDE for i in range(4))
    # The middle of the cell that holds the middle of the box, so that every peak reaches 1.
    x, y = (((a + b) / 2).floor() + 0.5 for a, b in ((left, right), (top, bottom)))
    across = torch.exp(-(((place - x) / ((right - left) / WIDE).clamp_min(NARROW)) ** 2) / 2)
    down = torch.exp(-(((place - y) / ((bottom - top) / WIDE).clamp_min(NARROW)) ** 2) / 2)
    peaks = down[..., :, None] * across[..., None, :] * (batch.kinds >= 0)[..., None, None]
    heat = torch.stack([(peaks * (batch.kinds == kind)[..., None, None]).amax(1) for kind in range(len(LABELS))], dim=1)
    share, which = peaks.max(1)
    edges = batch.edges.gather(1, which.flatten(1)[..., None].expand(-1, -1, 4))
    return heat, share, edges.transpose(1, 2).reshape(-1, 4, cells, cells)


def loss_of(network: nn.Module, batch: Batch) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):  # half as long; the numbers that are trained stay float32
        heat, reach = network(batch.pixels)
    heat, reach = heat.float(), reach.float()
    wanted, share, edges = targets(batch)
    sure = heat.sigmoid()
    peak = wanted == 1
    focal = torch.where(peak, (1 - sure) ** 2 * logsigmoid(heat), (1 - wanted) ** 4 * sure**2 * logsigmoid(-heat))
    near = share >= NEAR
    place = (torch.arange(wanted.shape[-1]) + 0.5) * STRIDE
    x, y = place.expand(len(place), -1), place[:, None].expand(-1, len(place))
    goal = torch.stack([x - edges[:, 0], y - edges[:, 1], edges[:, 2] - x, edges[:, 3] - y], 1)
    goal = goal.permute(0, 2, 3, 1)[near].clamp_min(0.1)
    found = reach.permute(0, 2, 3, 1)[near]
    shared = torch.minimum(goal, found)
    both = (shared[:, 0] + shared[:, 2]) * (shared[:, 1] + shared[:, 3])
    areas = [(part[:, 0] + part[:, 2]) * (part[:, 1] + part[:, 3]) for part in (goal, found)]
    iou = both / (areas[0] + areas[1] - both)
    return -focal.sum() / peak.sum() - iou.log().mean()


def begun() -> nn.Module:
    """A fresh network with the trunk of segment-scenes, as far as they are alike."""
    network = make("center_detector", CONFIG)
    own = network.state_dict()
    known = {name: torch.from_numpy(part.copy()) for name, part in load_model(name="segment-scenes").tensors.items()}
    network.load_state_dict({name: known[name] if name.startswith("trunk.") else part for name, part in own.items()})
    return network


@torch.no_grad()
def rough(network: nn.Module, seeds: range) -> str:
    """Of all shapes, how many have a peak of their class at their middle: told while training goes on."""
    batch = drawn(seeds)
    heat, _ = network(batch.pixels.float() / 255)
    wanted, _, _ = targets(batch)
    return f"{float((heat[wanted == 1].sigmoid() > 0.3).float().mean()):.4f} of peaks seen"


def kept() -> nn.Module:
    """The network that is there."""
    network = make("center_detector", CONFIG)
    network.load_state_dict(
        {name: torch.from_numpy(part.copy()) for name, part in load_model(name=NAME).tensors.items()}
    )
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--measure", action="store_true", help="train nothing: threshold and figures of what is there")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(1)
    few = range(HELD_BACK, HELD_BACK + 100)
    if given.measure:
        network = kept()
    else:
        network = trained(NAME, begun(), CYCLES, loss_of, tell=lambda network: rough(network, few))
    told = {
        "architecture": "center_detector", "config": CONFIG, "task": "detect shapes in generated scenes",
        "data": "scenes of training/scenes.py, seeds from 0; its trunk began as that of segment-scenes",
        "script": "python -m training.detect_scenes",
    }  # fmt: skip
    model = write_model(NAME, network, figures={}, **told)  # type: ignore[arg-type]  # as written above
    made, others = (scenes(range(HELD_BACK + first, HELD_BACK + first + 500)) for first in (0, 500))
    measured = ap50(made, boxes_of(made, model))  # of the model as it is in the file
    threshold, f1 = best_threshold(others, boxes_of(others, model))
    told["config"] = CONFIG | {"threshold": threshold}
    figures = {
        "ap50": {k: round(v, 4) for k, v in measured.items()}, "on": "500 scenes, seeds from 1,000,000",
        "threshold": f"of the best F1, {f1:.3f}, on 500 scenes from 1,000,500",
    }  # fmt: skip
    print(write_model(NAME, network, figures=figures, **told), figures)  # type: ignore[arg-type]  # as written above


if __name__ == "__main__":
    main()

"""Trains `textures`, a spatial GAN of materials: `python -m training.textures [--minutes N] [--figures]`.

On the pictures `brick`, `grass` and `gravel` of scikit-image (512x512, gray, from texture libraries in the public domain);
the lowest quarter of each is held back. A discriminator of patches (hinge loss; J. Lim and J. Ye, "Geometric GAN", 2017;
labels by projection, T. Miyato and M. Koyama, "cGANs with Projection Discriminator", 2018) tells made from real, and the
sliced Wasserstein distance of patches of Laplacian pyramids (T. Karras et al. 2018, section 5) pulls their statistics
together. The weights that are kept are a running mean.
"""

from __future__ import annotations

import argparse
import copy
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from pipeline_models.networks import make
from pipeline_models.vision.distances import sliced_wasserstein
from pipeline_models.vision.pyramid import laplacian, patches
from torch import nn
from torch.nn.functional import leaky_relu
from torch.nn.utils.parametrizations import spectral_norm

from training.weights import write_model

NAME = "textures"
LABELS = ("brick", "grass", "gravel")
CONFIG = {"channels": 1, "labels": list(LABELS), "latent_channels": 16, "width": 48}
HELD_BACK = 128
"""Rows at the bottom of each picture that the figures are measured on."""
CROP, BATCH = 128, 6
RATE = 1e-3
LEVELS, PATCH, PATCHES, DIRECTIONS = 4, 7, 1024, 96
ADVERSARIAL = 0.02, 0.3
"""Weight of the discriminator's say beside the distance of statistics: for the first third of the time, and after it."""
Pictures = dict[int, torch.Tensor]


def pictures(*, held_back: bool) -> Pictures:
    """`(1, H, W)` of 0 to 1, by label."""
    import skimage.data

    found = {}
    for label, name in enumerate(LABELS):
        whole = torch.from_numpy(getattr(skimage.data, name)()).float()[None] / 255
        found[label] = whole[:, -HELD_BACK:] if held_back else whole[:, :-HELD_BACK]
    return found


def crops(found: Pictures, labels: torch.Tensor, generator: torch.Generator, size: int = CROP) -> torch.Tensor:
    """`(B, 1, size, size)`, mirrored by chance; grass and gravel look the same from any side."""
    made = []
    for label in labels.tolist():
        picture = found[label]
        top = int(torch.randint(picture.shape[1] - size + 1, (1,), generator=generator))
        left = int(torch.randint(picture.shape[2] - size + 1, (1,), generator=generator))
        crop = picture[:, top : top + size, left : left + size]
        chance = torch.rand(3, generator=generator)
        if chance[0] < 0.5:
            crop = crop.flip(2)
        if LABELS[label] != "brick" and chance[1] < 0.5:
            crop = crop.flip(1)
        if LABELS[label] != "brick" and chance[2] < 0.5:
            crop = crop.transpose(1, 2)
        made.append(crop)
    return torch.stack(made)


class Discriminator(nn.Module):
    """Whether patches are real, at two scales."""

    def __init__(self, width: int = 40) -> None:
        super().__init__()
        sizes = (1, width, 2 * width, 4 * width)
        self.layers = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, 5, 2, 2)) for a, b in pairwise(sizes))
        self.score = spectral_norm(nn.Conv2d(sizes[-1], 1, 3, 1, 1))
        self.embedding = nn.Embedding(len(LABELS), sizes[-1])

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        x = pixels * 4 - 2
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
        said: torch.Tensor = self.score(x) + (x * self.embedding(labels)[:, :, None, None]).mean(1, keepdim=True)
        return said


def apart(made: torch.Tensor, real: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The sliced Wasserstein distance of the patches of two batches, over all levels; it has gradients."""
    total = made.new_zeros(())
    for level, other in zip(
        laplacian(made, LEVELS, (False, False)), laplacian(real, LEVELS, (False, False)), strict=True
    ):
        vectors = []
        for part in (level, other):
            which = torch.randint(len(part), (PATCHES,), generator=generator)
            where = torch.rand(PATCHES, 2, generator=generator)
            vectors.append(patches(part, PATCH, which, where, (False, False)).flatten(1))
        scale = vectors[1].std() + 1e-4
        directions = torch.randn(vectors[0].shape[1], DIRECTIONS, generator=generator)
        directions = directions / directions.norm(dim=0, keepdim=True)
        shadows = [(directions.T @ part.T / scale).sort(dim=1).values for part in vectors]
        total = total + (shadows[0] - shadows[1]).abs().mean()
    return total


def noise_for(network: Any, count: int, size: int, generator: torch.Generator) -> torch.Tensor:
    """A grid for square pictures, for any network with the interface of `TextureGenerator`."""
    cells = size // network.stride + 2 * network.margin
    return torch.randn(count, network.latent_channels, cells, cells, generator=generator)


def train(minutes: float, checkpoint: Path) -> nn.Module:
    """The running mean of a generator trained for so long; goes on from a checkpoint."""
    torch.manual_seed(3)
    generator, critic = make("texture_generator", CONFIG), Discriminator()
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own stub lacks it
    mean = copy.deepcopy(generator)
    first = torch.optim.Adam(generator.parameters(), RATE, betas=(0.5, 0.99))
    second = torch.optim.Adam(critic.parameters(), RATE, betas=(0.0, 0.99))
    step, before = 0, 0.0
    parts: dict[str, Any] = {"generator": generator, "critic": critic, "mean": mean, "first": first, "second": second}
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        step, before = saved["step"], saved["minutes"]
    real = pictures(held_back=False)
    last = time.monotonic()
    began = last - 60 * before
    while (passed := (time.monotonic() - began) / 60) < minutes:
        for optimizer in (first, second):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, 4 * (1 - passed / minutes) + 0.02)
        chance = torch.Generator().manual_seed(step)
        labels = torch.full((BATCH,), step % len(LABELS))
        wanted = crops(real, labels, chance)
        with torch.autocast("cpu", torch.bfloat16):  # half of the time
            made = generator(noise_for(generator, BATCH, CROP, chance), labels)
        made = made.float()
        said = (critic(wanted, labels), critic(made.detach(), labels))
        loss = (1 - said[0]).relu().mean() + (1 + said[1]).relu().mean()
        second.zero_grad(set_to_none=True)
        loss.backward()
        second.step()
        statistics = apart(made, wanted, chance)
        loss = statistics - ADVERSARIAL[passed > minutes / 3] * critic(made, labels).mean()
        first.zero_grad(set_to_none=True)
        loss.backward()
        first.step()
        with torch.no_grad():
            for old, new in zip(mean.parameters(), generator.parameters(), strict=True):
                old.lerp_(new, max(0.005, 1 / (1 + step)))
        step += 1
        if step % 20 == 0:
            print(f"{passed:.1f} min, step {step}: statistics {statistics.item():.3f}, critic {said[0].mean().item():.2f} "
                  f"{said[1].mean().item():.2f}", flush=True)  # fmt: skip
        if time.monotonic() - last > 60:
            last = time.monotonic()
            _save(parts, step, passed, checkpoint)
    _save(parts, step, minutes, checkpoint)
    return mean


def _save(parts: dict[str, Any], step: int, minutes: float, checkpoint: Path) -> None:
    torch.save(
        {**{name: part.state_dict() for name, part in parts.items()}, "step": step, "minutes": minutes}, checkpoint
    )


@torch.no_grad()
def figures(network: nn.Module) -> dict[str, dict[str, float]]:
    """Sliced Wasserstein distances (mean over the levels, times 1000) to crops held back, beside that of two halves of
    the real crops."""
    found = {}
    unseen, seen = pictures(held_back=True), pictures(held_back=False)
    for label, name in enumerate(LABELS):
        chance = torch.Generator().manual_seed(1)
        labels = torch.full((16,), label)
        made = network(noise_for(network, 16, CROP, chance), labels)
        held = crops(unseen, labels, chance)
        halves = crops(seen, labels, chance), held
        found[name] = {
            "made to held back": round(1000 * _distance(made, held), 1),
            "real to held back": round(1000 * _distance(*halves), 1),
        }
    return found


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    generator = torch.Generator().manual_seed(2)
    found = []
    for first, second in zip(
        laplacian(one, LEVELS, (False, False)), laplacian(other, LEVELS, (False, False)), strict=True
    ):
        vectors = []
        for part in (first, second):
            which, where = (
                torch.randint(len(part), (4096,), generator=generator),
                torch.rand(4096, 2, generator=generator),
            )
            vectors.append(patches(part, PATCH, which, where, (False, False)).flatten(1))
        scale = vectors[1].std()
        found.append(sliced_wasserstein(vectors[0] / scale, vectors[1] / scale, 256, 0))
    return sum(found) / len(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, default=Path("textures.pt"))
    parser.add_argument("--figures", action="store_true", help="measure the model that is there")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.figures:
        from pipeline_models.load import load_model
        from pipeline_models.networks import build

        print(figures(build(load_model(name=NAME))))
        return
    network = train(given.minutes, given.checkpoint).eval()
    found = figures(network)
    model = write_model(
        NAME, network, architecture="texture_generator", config=CONFIG,
        task="make textures of a material, of any size, seamless where wanted",
        data="scikit-image's pictures brick, grass and gravel (public domain), the lowest quarter of each held back",
        script="python -m training.textures", figures=found, color="srgb_rec709_scene",
    )  # fmt: skip
    print(model, found)


if __name__ == "__main__":
    main()

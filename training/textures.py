"""Trains `textures`, a spatial GAN of materials: `python -m training.textures [--figures]`.

On the pictures `brick`, `grass` and `gravel` of scikit-image (512x512, gray, from texture libraries in the public domain);
the lowest quarter of each is held back. Two discriminators of patches, one of them at half the size (hinge loss; J. Lim and
J. Ye, "Geometric GAN", 2017; labels by projection, T. Miyato and M. Koyama, "cGANs with Projection Discriminator", 2018)
tell made from real, and the sliced Wasserstein distance of patches of Laplacian pyramids (T. Karras et al. 2018, section 5)
pulls their statistics together. The weights that are kept are a running mean.

Killed and started again, it goes on from its last checkpoint, in `training/out`. `--device cuda --batch 18` for a GPU; a
processor alone takes very long.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from PIL import Image as Picture
from pipeline_models.gan.sample import gan_sample
from pipeline_models.load import load_model
from pipeline_models.networks import build, make
from pipeline_models.vision.distances import sliced_wasserstein
from pipeline_models.vision.pyramid import laplacian, patches
from pipeline_texture.tiling import seam_score
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, leaky_relu, normalize

from pipeline_core import Model
from training.course import OUT, Course, cost, follow, options, prepare
from training.crops import Crops
from training.weights import write_model

NAME = "textures"
LABELS = ("brick", "grass", "gravel")
CONFIG = {"channels": 1, "labels": list(LABELS), "coarse": 24, "widths": [128, 112, 80, 48, 32], "latent_channels": 364}
HELD_BACK = 128
"""Rows at the bottom of each picture that the figures are measured on."""
CROP = 128
RATES, FALLING = {"styled": 2.5e-3, "pixels": 2.5e-4, "critics": 4e-4}, 0.5
"""Of what is brought to unit size, of the last layer, and of the discriminators. They fall to nothing after this share of
the time."""

ALONE = 0.03
"""So long statistics alone are learnt: critics that meet pictures far from any texture throw them off."""

LEVELS, PATCH, PATCHES, DIRECTIONS = 5, 7, 2048, 96
STATISTICS = 1.0
"""Weight of the distance of statistics beside the discriminators' say."""
AVERAGING = 0.998
SEEDS, SIZES = 32, ((256, 256), (128, 192), (64, 64))
"""That seams are measured on."""
Pictures = dict[int, Tensor]


def pictures(*, held_back: bool) -> Pictures:
    """`(1, H, W)` of 0 to 1, by label."""
    import skimage.data

    found = {}
    for label, name in enumerate(LABELS):
        whole = torch.from_numpy(getattr(skimage.data, name)()).float()[None] / 255
        found[label] = whole[:, -HELD_BACK:] if held_back else whole[:, :-HELD_BACK]
    return found


def some(crops: Crops, labels: Tensor) -> Tensor:
    """`(B, 1, size, size)` of these materials; grass and gravel look the same from any side, brick only mirrored."""
    ways = torch.randint(8, labels.shape, device=labels.device)
    return crops.some(len(labels), labels, torch.where(labels == LABELS.index("brick"), ways % 4, ways), tries=1)


class Bounded(nn.Conv2d):
    """A convolution that stretches nothing: its numbers are divided by their largest singular value.

    T. Miyato et al., "Spectral Normalization for Generative Adversarial Networks", 2018. torch's own is none for numbers of
    mixed precision.
    """

    def __init__(self, entering: int, leaving: int, size: int, stride: int, padding: int) -> None:
        super().__init__(entering, leaving, size, stride, padding)
        self.way: Tensor
        self.register_buffer("way", torch.randn(leaving))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            rows = self.weight.flatten(1)
            with torch.no_grad():
                other = normalize(rows.T @ self.way, dim=0)
                self.way = normalize(rows @ other, dim=0)
            weight = self.weight / (self.way @ rows @ other)
        found: Tensor = self._conv_forward(x, weight, self.bias)
        return found


class Discriminator(nn.Module):
    """Whether patches are real."""

    def __init__(self, widths: tuple[int, ...] = (48, 96, 192, 256)) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, widths[0], 3, 1, 1)
        self.layers = nn.ModuleList(Bounded(a, b, 4, 2, 1) for a, b in pairwise((widths[0], *widths)))
        self.last = Bounded(widths[-1], widths[-1], 3, 1, 1)
        self.score = Bounded(widths[-1], 1, 1, 1, 0)
        self.embedding = nn.Embedding(len(LABELS), widths[-1])

    def forward(self, pixels: Tensor, labels: Tensor) -> Tensor:
        x = leaky_relu(self.first(pixels * 4 - 2), 0.2)
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
        x = leaky_relu(self.last(x), 0.2)
        weight = self.embedding(labels)[:, :, None, None] / x.shape[1] ** 0.5
        said: Tensor = self.score(x) + (x * weight).sum(1, keepdim=True)
        return said


class Critics(nn.Module):
    """One at full size and one at half of it."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = Discriminator(), Discriminator()

    def forward(self, pixels: Tensor, labels: Tensor) -> list[Tensor]:
        return [self.fine(pixels, labels).float(), self.coarse(avg_pool2d(pixels, 2), labels).float()]


def apart(made: Tensor, real: Tensor) -> Tensor:
    """The sliced Wasserstein distance of the patches of two batches, over all levels, mean over the materials."""
    total = made.new_zeros(())
    for pair in zip(laplacian(made, LEVELS, (False, False)), laplacian(real, LEVELS, (False, False)), strict=True):
        vectors = [_patches(part) for part in pair]
        scale = vectors[1].std((1, 2), keepdim=True) + 1e-4
        directions = normalize(torch.randn(DIRECTIONS, vectors[0].shape[1], device=made.device), dim=1)
        shadows = [(directions @ part / scale).sort(dim=2).values for part in vectors]
        total = total + (shadows[0] - shadows[1]).abs().mean()
    return total


def _patches(level: Tensor) -> Tensor:
    """`(labels, PATCH * PATCH, PATCHES)`, from anywhere in the pictures of each label."""
    count, _, height, width = level.shape
    device = level.device
    each, shape = count // len(LABELS), (len(LABELS), 1, PATCHES)
    corner = torch.randint(each, shape, device=device)
    corner = corner + torch.arange(0, count, each, device=device).view(-1, 1, 1)
    corner = corner * height + torch.randint(height - PATCH + 1, shape, device=device)
    corner = corner * width + torch.randint(width - PATCH + 1, shape, device=device)
    reach = torch.arange(PATCH, device=device)
    return level.flatten()[corner + (reach[:, None] * width + reach).view(-1, 1)]


def noise_for(network: Any, count: int, size: int, generator: torch.Generator | None = None) -> Tensor:
    """A grid for square pictures, for any network with the interface of `TexturePyramid`."""
    cells = size // network.stride + 2 * network.margin
    device = next(network.parameters()).device
    return torch.randn(count, network.latent_channels, cells, cells, generator=generator, device=device)


def train(given: Any) -> tuple[nn.Module, int]:
    """The running mean of a generator trained for so long, and how many steps that took."""
    device: str = given.device
    generator: Any = make("texture_pyramid", CONFIG).to(device)
    critics = Critics().to(device)
    for part in (generator, critics):
        part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own stub lacks it
    mean = copy.deepcopy(generator)
    last = [*generator.pixels.parameters()]
    styled = [part for name, part in generator.named_parameters() if not name.startswith("pixels")]
    first = torch.optim.Adam([{"params": styled}, {"params": last}], betas=(0.0, 0.99))
    second = torch.optim.Adam(critics.parameters(), betas=(0.0, 0.99))
    parts = {"generator": generator, "critics": critics, "mean": mean, "first": first, "second": second}
    each = given.batch // len(LABELS)
    labels = torch.arange(len(LABELS), device=device).repeat_interleave(each)
    crops = Crops([*pictures(held_back=False).values()], CROP, device)
    kind = device.partition(":")[0]
    course = Course(given.minutes, given.checkpoint or OUT / f"{NAME}.pt", parts, device)
    for step, done in course:
        share = min(1.0, (step + 1) / 100, (1 - done) / (1 - FALLING) + 0.01)
        for optimizer, names in ((first, ("styled", "pixels")), (second, ("critics",))):
            for group, name in zip(optimizer.param_groups, names, strict=True):
                group["lr"] = RATES[name] * share
        wanted = some(crops, labels)
        with torch.autocast(kind, torch.bfloat16):  # half of the time
            made = generator(noise_for(generator, len(labels), CROP), labels).float()
            # Together, so that both are judged by the same critics.
            said = critics(torch.cat([wanted, made.detach()]), torch.cat([labels, labels]))
        loss = sum((1 - one[: len(labels)]).relu().mean() + (1 + one[len(labels) :]).relu().mean() for one in said)
        second.zero_grad(set_to_none=True)
        loss.backward()
        second.step()
        critics.requires_grad_(False)
        with torch.autocast(kind, torch.bfloat16):
            found = critics(made, labels)
        critics.requires_grad_(True)
        statistics = apart(made, wanted)
        first.zero_grad(set_to_none=True)
        (STATISTICS * statistics - (done > ALONE) * sum(one.mean() for one in found)).backward()
        first.step()
        follow(mean, generator, min(AVERAGING, (step + 1) / (step + 21)))
        course.told = {
            "statistics": statistics.detach(), "of the critics": loss.detach(),
            "real": said[0][: len(labels)].mean().detach(), "made": found[0].mean().detach(),
        }  # fmt: skip
        if step % 1000 == 500 and given.sheets:
            sheet(mean, given.sheets / f"{NAME}-{step}.png")
    return mean, course.step


@torch.no_grad()
def sheet(network: nn.Module, path: Path) -> None:
    """What it makes of each material, to be looked at."""
    labels = torch.arange(len(LABELS), device=next(network.parameters()).device)
    made = network(noise_for(network, len(LABELS), 256), labels)
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(np.uint8(torch.cat([*made], 2)[0].cpu().numpy() * 255 + 0.5)).save(path)


@torch.no_grad()
def figures(network: nn.Module) -> dict[str, dict[str, float]]:
    """Sliced Wasserstein distances (mean over the levels, times 1000) to crops held back, beside that of two halves of
    the real crops."""
    found = {}
    unseen, seen = (Crops([*pictures(held_back=held).values()], HELD_BACK, "cpu") for held in (True, False))
    for label, name in enumerate(LABELS):
        torch.manual_seed(1)
        labels = torch.full((16,), label)
        made = network(noise_for(network, 16, HELD_BACK), labels)
        held = some(unseen, labels)
        halves = some(seen, labels), held
        found[name] = {
            "made to held back": round(1000 * _distance(made, held), 1),
            "real to held back": round(1000 * _distance(*halves), 1),
        }
    return found


def seams(model: Model) -> dict[str, dict[str, float]]:
    """Steps across the seams of what tiles, to those inside (`seam_score`), over seeds and sizes."""
    found = {}
    for label in LABELS:
        ratios: dict[str, list[float]] = {"x": [], "y": []}
        for seed in range(SEEDS):
            for width, height in SIZES:
                made = gan_sample(model, seed=seed, label=label, width=width, height=height, wrap=True)
                for axis, _, _, ratio, _ in seam_score(made).rows:
                    ratios[str(axis)].append(float(ratio or 0))
        told = {f"{axis}, {name}": of(ratios[axis]) for axis in ratios for name, of in (("mean", fmean), ("most", max))}
        found[label] = {name: round(value, 2) for name, value in told.items()}
    return found


def measured(model: Model, network: nn.Module, **told: Any) -> Model:
    """Writes the network with its figures; the model in the file is what is measured."""
    figures_of, seams_of = figures(network), seams(model)
    found: dict[str, Any] = {label: {**figures_of[label], "seam to interior": seams_of[label]} for label in LABELS}
    found["on"] = f"distances times 1000 to 16 crops; {SEEDS} seeds, {', '.join(f'{w}x{h}' for w, h in SIZES)}"
    return write_model(NAME, network, figures=found, **told)


def _distance(one: Tensor, other: Tensor) -> float:
    generator = torch.Generator().manual_seed(2)
    found = []
    for pair in zip(laplacian(one, 4, (False, False)), laplacian(other, 4, (False, False)), strict=True):
        vectors = []
        for part in pair:
            which = torch.randint(len(part), (4096,), generator=generator)
            where = torch.rand(4096, 2, generator=generator)
            vectors.append(patches(part, PATCH, which, where, (False, False)).flatten(1))
        scale = vectors[1].std()
        found.append(sliced_wasserstein(vectors[0] / scale, vectors[1] / scale, 256, 0))
    return sum(found) / len(found)


def main() -> None:
    parser = options(50, 6, __doc__)
    parser.add_argument("--figures", action="store_true", help="train nothing: measure the model that is there")
    parser.add_argument("--sheets", type=Path, help="folder for pictures to look at while it trains")
    given = parser.parse_args()
    prepare(given, 3)
    if given.figures:
        model = load_model(name=NAME)
        kept = {
            key: value for key, value in model.manifest.items() if key in ("task", "data", "script", "color", "cost")
        }
        model = measured(model, build(model), architecture=model.architecture, config=CONFIG, **kept)
        print(model, model.manifest["figures"])
        return
    network, steps = train(given)
    network.cpu().eval()
    told: dict[str, Any] = {
        "architecture": "texture_pyramid", "config": CONFIG,
        "task": "make textures of a material, of any size, seamless where wanted",
        "data": "scikit-image's pictures brick, grass and gravel (public domain), the lowest quarter of each held back",
        "script": "python -m training.textures", "color": "srgb_rec709_scene", "folder": given.weights, **cost(given, steps),
    }  # fmt: skip
    model = measured(write_model(NAME, network, figures={}, **told), network, **told)
    if given.sheets:
        sheet(network, given.sheets / f"{NAME}.png")
    print(model, model.manifest["figures"])


if __name__ == "__main__":
    main()

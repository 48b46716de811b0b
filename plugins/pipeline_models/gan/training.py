"""Two networks trained against each other, one step after the other; a training can be put away and taken up again."""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pipeline_models import networks
from pipeline_models.gan.augment import augmented
from pipeline_models.gan.chance import generator as chance_of
from pipeline_models.gan.presets import Settings

TOLD = ("discriminator", "generator", "real", "made")
"""What each step tells: both losses, and the mean score of real and of made pictures."""
SHEET = 8
_SETTLING, _AT_ONCE = 10, 64
"""Batches, and pictures in each, on which the normalisation of the kept generator is measured."""


class Training:
    """Everything that changes from step to step. What a step does depends on it, on the seed and on the step's number."""

    def __init__(
        self, pixels: Tensor, labels: Tensor, config: Mapping[str, Any], settings: Settings, seed: int
    ) -> None:
        self.pixels, self.labels, self.settings, self.seed = pixels, labels, settings, seed
        self.device = pixels.device
        self.kinds = len(config.get("labels", ()))
        with torch.device("meta"):  # so that no global generator is asked
            both: Any = networks.make("dcgan", config)  # Any: torch does not tell what the parts of a module are
        both.to_empty(device="cpu")
        fill(both, chance_of(seed, "start"))
        both.to(self.device)
        self.both = both
        self.mean: Any = copy.deepcopy(self.both.generator)
        self.first = _adam(self.both.generator, settings.rate, settings.momentum)
        self.second = _adam(self.both.discriminator, settings.critic_rate, settings.momentum)
        self.done = 0
        self.told: list[list[float]] = []
        self.sheets: dict[int, Tensor] = {}

    def step(self) -> None:
        """One step of the discriminator and one of the generator."""
        chance = chance_of(self.seed, "step", self.done)
        count = self.settings.batch
        which = torch.randint(len(self.pixels), (2, count), generator=chance)
        noise = torch.randn(2, count, self.settings.latent_channels, 1, 1, generator=chance).to(self.device)
        real, wanted, asked = (
            part.to(self.device) for part in (self.pixels[which[0]], self.labels[which[0]], self.labels[which[1]])
        )
        of_real, of_made = self._train_discriminator(real, wanted, noise[0], asked, chance)
        of_generator = self._train_generator(noise[1], asked, chance)
        self._follow()
        self.told.append([of_real[0] + of_made[0], of_generator, of_real[1], of_made[1]])
        self.done += 1

    def _train_discriminator(
        self, real: Tensor, wanted: Tensor, noise: Tensor, asked: Tensor, chance: torch.Generator
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        with torch.no_grad():
            made = self.both.generator(noise, asked)
        real = real.requires_grad_(self.settings.r1 > 0)
        scores = self._judged(real, wanted, chance), self._judged(made, asked, chance)
        if self.settings.loss == "hinge":
            losses = (1 - scores[0]).relu().mean(), (1 + scores[1]).relu().mean()
        else:
            losses = softplus(-scores[0]).mean(), softplus(scores[1]).mean()
        loss = losses[0] + losses[1]
        if self.settings.r1 > 0:
            (slope,) = torch.autograd.grad(scores[0].sum(), real, create_graph=True)
            loss = loss + self.settings.r1 / 2 * slope.square().sum((1, 2, 3)).mean()
        self.second.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        self.second.step()
        return (losses[0].item(), scores[0].mean().item()), (losses[1].item(), scores[1].mean().item())

    def _train_generator(self, noise: Tensor, asked: Tensor, chance: torch.Generator) -> float:
        scores = self._judged(self.both.generator(noise, asked), asked, chance)
        loss = -scores.mean() if self.settings.loss == "hinge" else softplus(-scores).mean()
        self.first.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        self.first.step()
        return loss.item()

    def _judged(self, pixels: Tensor, labels: Tensor, chance: torch.Generator) -> Tensor:
        seen = augmented(pixels, chance) if self.settings.augment else pixels
        scores: Tensor = self.both.discriminator(seen, labels)
        return scores

    @torch.no_grad()
    def _follow(self) -> None:
        # The mean of few steps is that of all of them, so that it does not remember the random start.
        share = 1 - min(self.settings.mean, self.done / (self.done + 10))
        for old, new in zip(self.mean.parameters(), self.both.generator.parameters(), strict=True):
            old.lerp_(new, share)

    @torch.no_grad()
    def generator(self) -> nn.Module:
        """The generator as it is kept: the mean, its normalisation measured on pictures of its own."""
        found: Any = copy.deepcopy(self.mean).train()
        for norm in found.norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's way to ask for the plain mean of all batches
        for i in range(_SETTLING):
            chance = chance_of(self.seed, "settling", i)
            asked = self.labels[torch.randint(len(self.labels), (_AT_ONCE,), generator=chance)].to(self.device)
            found(torch.randn(_AT_ONCE, self.settings.latent_channels, 1, 1, generator=chance).to(self.device), asked)
        kept: nn.Module = found.eval()
        return kept

    @torch.no_grad()
    def keep_sheet(self) -> None:
        """Remembers what it makes of the same random numbers as ever: a row for each of up to ten labels."""
        rows = min(self.kinds, 10) or SHEET
        chance = chance_of(self.seed, "sheet")
        noise = torch.randn(rows * SHEET, self.settings.latent_channels, 1, 1, generator=chance).to(self.device)
        asked = torch.arange(rows, device=self.device).repeat_interleave(SHEET)
        made = self.generator()(noise, asked).cpu().unflatten(0, (rows, SHEET))
        self.sheets[self.done] = made.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2).contiguous()

    def content(self) -> bytes:
        """All of it as bytes; `restore` takes it up again."""
        file = io.BytesIO()
        parts = {name: getattr(self, name).state_dict() for name in _PARTS}
        told = torch.tensor(self.told, dtype=torch.float64)
        torch.save({**parts, "done": self.done, "told": told, "sheets": self.sheets}, file)
        return file.getvalue()

    def restore(self, content: bytes) -> None:
        """Goes on where `content` was taken."""
        saved = torch.load(io.BytesIO(content), map_location=self.device, weights_only=True)
        for name in _PARTS:
            getattr(self, name).load_state_dict(saved[name])
        self.done, self.told = saved["done"], saved["told"].tolist()
        self.sheets = {step: sheet.cpu() for step, sheet in saved["sheets"].items()}


_PARTS = ("both", "mean", "first", "second")


def _adam(network: nn.Module, rate: float, momentum: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), rate, betas=(momentum, 0.999))


@torch.no_grad()
def fill(network: nn.Module, chance: torch.Generator) -> None:
    """Random numbers of deviation 0.02, as Radford et al. take them; more where few numbers enter, which 0.02 would still."""
    for name, part in network.named_parameters():
        if part.ndim > 1:
            # A transposed convolution gives each pixel a quarter of its places.
            doubling = part.ndim == 4 and "generator" in name
            entering = part[:, 0].numel() // 4 if doubling else part[0].numel()
            nn.init.normal_(part, 0, max(0.02, entering**-0.5), generator=chance)
        elif ".norms." in name and name.endswith("weight"):
            nn.init.normal_(part, 1, 0.02, generator=chance)
        else:
            part.zero_()
    for name, buffer in network.named_buffers():
        if name.endswith("direction"):
            nn.init.normal_(buffer, generator=chance)
        elif name.endswith("running_var"):
            buffer.fill_(1)
        else:
            buffer.zero_()

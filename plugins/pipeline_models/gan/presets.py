"""What is set about a training."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Norm = Literal["batch", "spectral", "none"]
Loss = Literal["logistic", "hinge"]
Preset = Literal["dcgan", "few", "digits", "tiny"]


@dataclass(frozen=True)
class Settings:
    """How networks are built and trained.

    width            features of the layer next to the pixels; each layer farther from them has twice as many
    latent_channels  random numbers for a picture
    rate             of Adam, for the generator; `critic_rate` for the discriminator
    momentum         Adam's beta1
    norm             of the discriminator's layers
    loss             'logistic' as in I. Goodfellow et al. 2014 (not saturating), 'hinge' as in J. Lim and J. Ye 2017
    r1               weight of the gradient penalty on real pictures: L. Mescheder et al. 2018, equation 9
    mean             the kept generator is a running mean, with this much of the old for each step; 0: as it is
    augment          what both real and made pictures go through before they are judged: see augment.py
    """

    width: int
    latent_channels: int
    batch: int
    rate: float
    critic_rate: float
    momentum: float
    norm: Norm
    loss: Loss
    r1: float
    mean: float
    augment: bool

    def changed(self, **given: Any) -> Settings:
        """The same, but for what is given."""
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    def told(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


PRESETS: dict[Preset, Settings] = {
    # A. Radford et al. 2016, section 4.
    "dcgan": Settings(64, 100, 128, 2e-4, 2e-4, 0.5, "batch", "logistic", 0.0, 0.0, False),
    # Some hundred pictures: a discriminator that can't learn them by heart.
    "few": Settings(32, 100, 32, 2e-4, 4e-4, 0.0, "spectral", "hinge", 0.1, 0.999, True),
    # Small gray pictures on a small machine.
    "digits": Settings(16, 32, 32, 1e-3, 2e-3, 0.0, "spectral", "hinge", 0.0, 0.995, True),
    # To see that it works.
    "tiny": Settings(4, 8, 8, 1e-3, 1e-3, 0.5, "none", "logistic", 0.1, 0.9, True),
}

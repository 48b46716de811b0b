"""The random numbers from which a generator makes a given picture."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field

from pipeline_core import Image, Model, OperationError, Seed, Table, operation, progress
from pipeline_models import networks
from pipeline_models.gan import chance
from pipeline_models.gan.discriminate import check_alike
from pipeline_models.gan.generators import Generator
from pipeline_models.gan.sample import LATENT, Label

CANDIDATES = 64
"""Random numbers that are tried for each label, before the best are improved."""
RATE = 0.05


class Projected(NamedTuple):
    """What comes nearest, and from which numbers."""

    image: Image
    latents: Table


def _infer_projected(image: Image, model: Model, *, label: str | int | None = None, **_: Any) -> Projected:
    generator = _checked(image, model, label)
    return Projected(generator.stand_in(image.batch, image.size, False), Table(_columns(generator), ()))


@operation(infer=_infer_projected, aliases=("gan_inversion", "invert_gan", "find_latent"))
def gan_project(
    image: Image,
    model: Model,
    *,
    label: Label = None,
    seed: Seed = 0,
    steps: Annotated[int, Field(ge=0, le=100_000, description="of improvement")] = 200,
    starts: Annotated[int, Field(ge=1, le=64, description="random numbers that are improved side by side")] = 8,
    prior: Annotated[float, Field(ge=0, description="how much improbable numbers count against likeness")] = 1e-4,
) -> Projected:
    """Find what a generator makes that comes nearest to a picture, and from which random numbers.

    Gives the picture as the generator makes it, and `latents`: a row for each picture, with its `label`, the `error` (the
    root of the mean square difference) and the numbers z0, z1, ..., from which 'gan_sample' and 'gan_interpolate' make it
    again. Without a `label`, the one that fits best is found. A picture is found again only if the generator can make it.

    The best of many random starts are improved by gradient descent (J.-Y. Zhu et al., "Generative Visual Manipulation on
    the Natural Image Manifold", 2016, without their network for a first guess).
    """
    generator = _checked(image, model, label)
    network: Any = networks.build(model, image.device)
    pixels = image.associate().pixels
    made, rows = [], []
    for item in range(image.batch):
        target = pixels[item : item + 1]
        numbers, labels = _starts(generator, network, target, label, seed, starts)
        numbers = _improved(network, target, numbers, labels, steps, prior, (item, image.batch))
        tries = network(numbers, labels)
        errors = (tries - target).square().mean((1, 2, 3))
        best = int(errors.argmin())
        name = generator.labels[int(labels[best])] if generator.labels else None
        rows.append((item, name, float(errors[best].sqrt()), *numbers[best].flatten().tolist()))
        made.append(tries[best])
    state = "none" if generator.alpha == "none" else "associated"
    found = image.with_pixels(torch.stack(made), alpha=state, wrap=(False, False)).with_alpha_state(image.alpha)
    return Projected(found, Table(_columns(generator), tuple(rows)))


def _starts(
    generator: Generator, network: Any, target: torch.Tensor, label: str | int | None, seed: int, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The random numbers that come nearest as they are, and their labels."""
    asked = [generator.label(label, 0)] if label is not None or not generator.labels else range(len(generator.labels))
    labels = torch.tensor([one for one in asked for _ in range(CANDIDATES)], device=target.device)
    noise = torch.randn(
        len(labels), generator.latent_channels, 1, 1, generator=chance.generator(seed, "project")
    ).to(target.device)  # fmt: skip
    errors = (network(noise, labels) - target).square().mean((1, 2, 3))
    best = errors.topk(min(count, len(errors)), largest=False).indices
    return noise[best], labels[best]


def _improved(
    network: Any, target: torch.Tensor, numbers: torch.Tensor, labels: torch.Tensor, steps: int, prior: float,
    place: tuple[int, int],
) -> torch.Tensor:  # fmt: skip
    with torch.enable_grad():  # off inside operations
        numbers = numbers.clone().requires_grad_()
        descent = torch.optim.Adam([numbers], RATE)
        for step in range(steps):
            progress(place[0] * steps + step, place[1] * steps)
            # Each start goes its own way: a sum, not a mean.
            errors = (network(numbers, labels) - target).square().mean((1, 2, 3))
            loss = (errors + prior * numbers.square().mean((1, 2, 3))).sum()
            (slope,) = torch.autograd.grad(loss, numbers)
            numbers.grad = slope
            descent.step()
    return numbers.detach()


def _columns(generator: Generator) -> tuple[str, ...]:
    return "image", "label", "error", *(f"{LATENT}{i}" for i in range(generator.latent_channels))


def _checked(image: Image, model: Model, label: str | int | None) -> Generator:
    generator = Generator(model)
    if generator.spatial:
        raise OperationError(
            f"'{model.name}' makes pictures of cells, each with its own random numbers; these are not searched"
        )
    generator.label(label, 0)
    check_alike(generator, image)
    return generator

"""What the discriminator thinks."""

from __future__ import annotations

from typing import Any

import torch

from pipeline_core import Image, Model, OperationError, Table, operation, progress
from pipeline_models import networks
from pipeline_models.gan.generators import Generator
from pipeline_models.gan.sample import Label

COLUMNS = ("image", "label", "score", "real")
AT_ONCE = 256


def _infer_judged(model: Model, image: Image, *, label: str | int | None = None) -> Table:
    check_alike(judge(model, label), image)
    return Table(COLUMNS, ())


@operation(infer=_infer_judged, aliases=("critic", "is_it_real", "gan_score"))
def discriminate(model: Model, image: Image, *, label: Label = None) -> Table:
    """What the discriminator of a trained GAN thinks of each picture: real, or made?

    A row for each picture: `image`, its place in the batch; `label`, what it was taken for: the one asked for, or the one
    with the highest score; `score`, above 0 for real; and `real`, its sigmoid, between 0 and 1. Scores of one model can be
    compared with each other, not with another's.
    """
    generator = judge(model, label)
    check_alike(generator, image)
    network: Any = networks.build(model, image.device)
    pixels = image.associate().pixels
    asked = [generator.label(label, 0)] if label is not None or not generator.labels else range(len(generator.labels))
    rows: list[tuple[Any, ...]] = []
    for start in range(0, image.batch, AT_ONCE):
        progress(start, image.batch)
        part = pixels[start : start + AT_ONCE]
        scores = torch.stack([
            network.discriminator(part, torch.full((len(part),), one, device=part.device)) for one in asked
        ], 1)  # fmt: skip
        best, which = scores.max(1)
        for i, (score, place) in enumerate(zip(best.tolist(), which.tolist(), strict=True)):
            name = generator.labels[asked[place]] if generator.labels else None
            rows.append((start + i, name, score, float(torch.tensor(score).sigmoid())))
    return Table(COLUMNS, tuple(rows))


def judge(model: Model, label: str | int | None) -> Generator:
    """The model, if it has a discriminator and knows the label."""
    if model.architecture != "dcgan":
        raise OperationError(
            f"'{model.name}' has no discriminator; 'load_model' with name digits has, and what 'gan_train' gives"
        )
    generator = Generator(model)
    generator.label(label, 0)
    return generator


def check_alike(generator: Generator, image: Image) -> None:
    """OperationError for a picture unlike those trained on."""
    size = generator.size(None, None, False)
    if image.size != size:
        raise OperationError(
            f"'{generator.model.name}' knows pictures of {size[0]}x{size[1]}, this is {image.width}x{image.height}: 'resize' it"
        )
    if image.channels != generator.channels:
        raise OperationError(
            f"'{generator.model.name}' knows {', '.join(generator.channels)}, this has {', '.join(image.channels)}: "
            "'to_gray', 'to_rgb' or 'select_channels'"
        )
    if image.color != generator.color:
        raise OperationError(
            f"'{generator.model.name}' knows {generator.color}, this is {image.color}: 'color_convert' it"
        )

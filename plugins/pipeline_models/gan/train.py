"""A generator of pictures like those given."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field

from pipeline_core import Checkpoint, Image, Model, OperationError, Seed, Table, operation, progress
from pipeline_models import networks
from pipeline_models.gan.presets import PRESETS, Loss, Norm, Preset, Settings
from pipeline_models.gan.training import SHEET, TOLD, Training
from pipeline_models.networks import dcgan

CHECKPOINT_SECONDS = 20.0
ROWS = 200
"""At most so many rows tell of the losses."""


class Trained(NamedTuple):
    """What comes of it."""

    model: Model
    losses: Table
    samples: Image


def _infer_trained(
    images: Image,
    labels: Table | None = None,
    *,
    preset: Preset = "dcgan",
    steps: int = 2000,
    seed: int = 0,
    column: str = "label",
    **given: Any,
) -> Trained:
    """Asked only where there are no labels, which are not known before they are there."""
    _check_size(images)
    settings = PRESETS[preset].changed(**given)
    config = _config(images, [], settings)
    with torch.device("meta"):
        state = networks.make("dcgan", config).state_dict()
    tensors = {name: np.broadcast_to(np.zeros((), np.float32), part.shape) for name, part in state.items()}
    told = _manifest(images, settings, steps, seed)
    sheets = 2 + sum(1 for step in range(1, steps) if _is_moment(step))
    width, height = (length * SHEET for length in images.size)
    samples = images.like(width=width, height=height, wrap=(False, False), meta={})
    samples = samples.with_buffer(np.broadcast_to(np.zeros((), np.float32), (sheets, *samples.buffer.shape[1:])))
    return Trained(Model("dcgan", tensors, config, told), Table(("step", *TOLD), ()), samples)


@operation(
    batch="set",
    infer=_infer_trained,
    cache="always",
    aliases=("dcgan", "train_gan", "generative_adversarial_network"),
)
def gan_train(
    images: Image,
    labels: Table | None = None,
    *,
    preset: Annotated[Preset, Field(description="where to start from; what follows changes it")] = "dcgan",
    steps: Annotated[int, Field(ge=1, le=10**7, description="of both networks")] = 2000,
    seed: Seed = 0,
    column: Annotated[str, Field(description="of 'labels', that tells what each picture is")] = "label",
    width: Annotated[int | None, Field(ge=1, le=256, description="features next to the pixels")] = None,
    batch: Annotated[int | None, Field(ge=2, le=4096, description="pictures in a step")] = None,
    rate: Annotated[float | None, Field(gt=0, le=1, description="of learning, of the generator")] = None,
    critic_rate: Annotated[float | None, Field(gt=0, le=1, description="of learning, of the discriminator")] = None,
    norm: Annotated[Norm | None, Field(description="of the discriminator's layers")] = None,
    loss: Annotated[Loss | None, Field(description="what both play for")] = None,
    r1: Annotated[float | None, Field(ge=0, description="weight of the gradient penalty on real pictures")] = None,
    mean: Annotated[float | None, Field(ge=0, lt=1, description="of the running mean that is kept; 0 for none")] = None,
    augment: Annotated[bool | None, Field(description="move pictures before they are judged")] = None,
) -> Trained:
    """Train a network that makes pictures like these, against one that tells them apart.

    `images` is a batch, of 28x28 to 128x128 (sides of 4 to 7 times a power of two), 0 to 1, with any channels; alpha is
    learnt like colour, associated. With `labels`, a table of a row for each picture, the network makes what it is asked
    for. Out come `model`, for 'gan_sample' and its like ('encode_model' saves it); `losses`, a table; and `samples`, a
    batch of sheets made on the way from the same random numbers, a row for each label.

    Presets: `dcgan` is that of Radford et al. 2016, for thousands of pictures and an accelerator; `few` holds a
    discriminator back from learning some hundred pictures by heart (spectral norm, R1, changes to what it sees, a running
    mean); `digits` is that for small pictures, minutes on a CPU; `tiny` shows that it works.

    It goes on where it was when it was stopped or killed, and ends with the same numbers as if it had not been, given the
    same number of threads; another device rounds otherwise, which training makes more of. More `steps` go on from what is
    there too.

    Convention: random numbers are normal, not uniform as in the paper. The normalisation of the kept generator is measured
    after the last step.
    """
    _check_size(images)
    settings = PRESETS[preset].changed(
        width=width, batch=batch, rate=rate, critic_rate=critic_rate, norm=norm, loss=loss, r1=r1, mean=mean, augment=augment
    )  # fmt: skip
    pixels = _pixels(images)
    names, which = _labels(labels, column, images.batch)
    config = _config(images, names, settings)
    checkpoint = Checkpoint(_digest(pixels, which, config, settings, seed))
    # Gradients are off inside operations.
    with torch.enable_grad():
        training = Training(pixels, which, config, settings, seed)
        _go(training, steps, checkpoint)
    training.both.generator = training.generator()
    tensors = {name: part.detach().cpu().numpy() for name, part in training.both.state_dict().items()}
    told = _manifest(images, settings, steps, seed)
    return Trained(Model("dcgan", tensors, config, told), _table(training.told), _samples(training, images, steps))


def _config(images: Image, labels: list[str], settings: Settings) -> dict[str, Any]:
    return {
        "size": [images.width, images.height], "channels": list(images.channels), "labels": labels,
        "latent_channels": settings.latent_channels, "width": settings.width, "norm": settings.norm,
        "color": images.color, "alpha": images.alpha,
    }  # fmt: skip


def _manifest(images: Image, settings: Settings, steps: int, seed: int) -> dict[str, Any]:
    return {
        "name": "gan", "task": "make pictures", "source": "trained by gan_train", "steps": steps, "seed": seed,
        "settings": settings.told(), "pictures": images.batch,
    }  # fmt: skip


def _go(training: Training, steps: int, checkpoint: Checkpoint) -> None:
    """Up to that step, from a checkpoint where there is one."""
    kept = checkpoint.read()
    if kept is not None:
        before = training.content()
        training.restore(kept)
        if training.done > steps:
            training.restore(before)
    if not training.done and not training.sheets:
        training.keep_sheet()
    written = time.monotonic()
    while training.done < steps:
        progress(training.done, steps, _note(training.told))
        training.step()
        if _is_moment(training.done):
            training.keep_sheet()
        if time.monotonic() - written >= CHECKPOINT_SECONDS or training.done == steps:
            checkpoint.write(training.content())
            written = time.monotonic()
    progress(steps, steps, _note(training.told))


def _is_moment(step: int) -> bool:
    """Sheets are kept ever more rarely: after 25, 50, 100, ... steps."""
    return step % 25 == 0 and (step // 25).bit_count() == 1


def _note(told: list[list[float]]) -> str:
    if not told:
        return ""
    lately = np.mean(told[-20:], axis=0)
    return f"losses {lately[0]:.2f}, {lately[1]:.2f}"


def _table(told: list[list[float]]) -> Table:
    every = -(-len(told) // ROWS)
    rows = [
        (min(i + every, len(told)), *np.mean(told[i : i + every], axis=0).tolist()) for i in range(0, len(told), every)
    ]
    return Table(("step", *TOLD), tuple(rows))


def _samples(training: Training, images: Image, steps: int) -> Image:
    sheets = {step: sheet for step, sheet in training.sheets.items() if step < steps}
    training.keep_sheet()
    sheets[steps] = training.sheets[steps]
    pixels = torch.stack([sheets[step] for step in sorted(sheets)])
    alpha: Literal["none", "associated"] = "none" if images.alpha == "none" else "associated"
    found = Image(
        pixels.permute(0, 2, 3, 1).contiguous().numpy(), channels=images.channels, color=images.color, alpha=alpha
    )
    return found.with_alpha_state(images.alpha)


def _check_size(images: Image) -> None:
    try:
        dcgan.halvings(images.size)
    except ValueError as error:
        raise OperationError(f"{error}; 'resize' the pictures before") from None
    if max(images.size) > 128:
        raise OperationError(
            f"the pictures are {images.width}x{images.height}, at most 128x128 are learnt: 'resize' them before"
        )


def _pixels(images: Image) -> torch.Tensor:
    pixels = images.associate().pixels
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # not a number is neither
        raise OperationError(
            f"pictures of 0 to 1 are learnt, these have {low:.3g} to {high:.3g}: 'tonemap' or 'clamp' them before"
        )
    return pixels.contiguous()


def _labels(labels: Table | None, column: str, count: int) -> tuple[list[str], torch.Tensor]:
    """Their names in order, and the number of each picture's."""
    if labels is None:
        return [], torch.zeros(count, dtype=torch.long)
    if column not in labels.columns:
        raise OperationError(f"the labels have no column '{column}'; they have {', '.join(labels.columns)}")
    if len(labels.rows) != count:
        raise OperationError(f"there are {len(labels.rows)} labels and {count} pictures; a row is wanted for each")
    where = labels.columns.index(column)
    told = [str(row[where]) for row in labels.rows]
    names = sorted(set(told))
    return names, torch.tensor([names.index(name) for name in told])


def _digest(pixels: torch.Tensor, which: torch.Tensor, config: Any, settings: Settings, seed: int) -> str:
    """Of all that a training depends on but the number of steps: what it does at a step does not depend on that."""
    code = [Path(dcgan.__file__), *sorted(Path(__file__).parent.glob("*.py"))]
    told = (torch.__version__, config, settings, seed, tuple(pixels.shape))
    hasher = hashlib.blake2b(repr(told).encode(), digest_size=20)
    for part in (pixels, which):
        hasher.update(part.cpu().numpy().tobytes())
    for path in code:
        hasher.update(path.read_bytes())
    return f"gan-{hasher.hexdigest()}"

"""Which pixels are of what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from pipeline_core import Image, Mask, Model, OperationError, operation
from pipeline_models.networks.unet import UNet
from pipeline_models.vision.reading import As, Reader, Reading, one_answer, reader

MARGIN = 64
"""So much of a picture that tiles is seen beyond its seam: two thirds of what our largest shapes measure."""
TILE = 2048
"""Larger pictures are seen in pieces of this side, with as much around them as the network looks at."""


def _mask_of(
    image: Image,
    model: Model,
    *,
    classes: list[str] | None = None,
    reading: Reading = Reading(),  # noqa: B008  frozen
    **_: Any,
) -> Mask:
    reads = reader(model, reading)
    reads.check(image)
    if reads.labels:
        _wanted(reads, classes, len(reads.labels))
    return Mask.stand_in(image.width, image.height, batch=image.batch, wrap=image.wrap, meta=image.meta)


@operation(infer=_mask_of, aliases=("semantic_segmentation", "unet", "select_subject"))
def segment(
    image: Image,
    model: Model,
    *,
    classes: Annotated[
        list[str] | None, Field(min_length=1, description="inside the mask; all but the model's first by default")
    ] = None,
    threshold: Annotated[
        float | None, Field(ge=0, le=1, description="probability from which a pixel is wholly inside; soft by default")
    ] = None,
    reading: As = Reading(),  # noqa: B008  frozen
) -> Mask:
    """A mask of what a network takes for one of these classes: `load_model` with name segment-scenes, or another.

    The value is the probability that a pixel is of any of `classes`, soft at edges and where the network is unsure;
    with `threshold`, 1 where it is at least that, else 0. `segment_classes` tells one class from another.

    The model's answer is scores for each class and pixel (their softmax is taken), or one score (its sigmoid is), at any
    scale. Pictures of any size go in as they are, or brought to `reading.size`.

    Convention: the first of several classes is the ground, which no shape is of. Transparent is seen as black. Values are
    taken as sRGB; scene-linear pictures are refused.
    """
    reads = reader(model, reading)
    parts = []
    for shares in _shares(image, reads):
        wanted = _wanted(reads, classes, shares.shape[1])
        parts.append(shares[:, wanted].sum(1, keepdim=True).clamp_max(1))
    found = torch.cat(parts)
    if threshold is not None:
        found = (found >= threshold).float()
    return Mask(found.permute(0, 2, 3, 1), wrap=image.wrap, meta=image.meta)


def _classes_of(image: Image, model: Model, *, reading: Reading = Reading()) -> Image:  # noqa: B008  frozen
    reader(model, reading).check(image)
    return Image.stand_in(
        image.width, image.height, ("class",), batch=image.batch, dtype="uint8", color="data", wrap=image.wrap,
        meta=image.meta,
    )  # fmt: skip


@operation(infer=_classes_of, aliases=("label_map", "argmax", "class_ids"))
def segment_classes(image: Image, model: Model, *, reading: As = Reading()) -> Image:  # noqa: B008  frozen
    """The most probable class of each pixel, as its number in one channel `class`.

    As in `segment`; the result is data of 8 bits: 0 is the model's first class. Where all are sure of nothing the first
    of equals is taken.
    """
    reads = reader(model, reading)
    numbers = []
    for shares in _shares(image, reads):
        if shares.shape[1] > 256:
            raise OperationError(f"'{model.name}' has {shares.shape[1]} classes; 8 bits hold 256: use 'segment'")
        inside = shares[:, 0] >= 0.5
        numbers.append((inside if shares.shape[1] == 1 else shares.argmax(1)).to(torch.uint8))
    return Image(torch.cat(numbers)[..., None], channels=("class",), color="data", wrap=image.wrap, meta=image.meta)


def _shares(image: Image, reads: Reader) -> Iterator[torch.Tensor]:
    """Probabilities of each class, `(B, classes, H, W)`, of some pictures after the others."""
    reads.check(image)
    network = reads.network(image.device)
    # How far others look is not known.
    if isinstance(network, UNet) and reads.size is None and max(image.size) > TILE + 2 * network.reach:
        for i in range(image.batch):
            yield _in_pieces(image.with_buffer(image.buffer[i : i + 1]), reads, network.reach)
        return
    for window in reads.windows(image, MARGIN):
        scores = one_answer(network(window.pixels), reads.model, 4, "segment")
        scores = window.back(scores)
        yield scores.sigmoid() if scores.shape[1] == 1 else scores.softmax(1)


def _in_pieces(image: Image, reads: Reader, reach: int) -> torch.Tensor:
    """As the whole, `(1, classes, H, W)`, without the memory that it would take."""
    rows = []
    for top in range(0, image.height, TILE):
        row = []
        for left in range(0, image.width, TILE):
            across, before = _around(left, image.width, reach, image.wrap[0])
            down, above = _around(top, image.height, reach, image.wrap[1])
            piece = image.with_buffer(image.array[:, down[:, None], across], wrap=(False, False)).to(image.device)
            (shares,) = _shares(piece, reads)
            row.append(
                shares[..., above : above + TILE, before : before + TILE][
                    ..., : image.height - top, : image.width - left
                ]
            )
        rows.append(torch.cat(row, dim=3))
    return torch.cat(rows, dim=2)


def _around(start: int, length: int, reach: int, wraps: bool) -> tuple[np.ndarray[Any, Any], int]:
    """The places of a piece with what lies around it, and how many of them are before it."""
    end = min(start + TILE, length)
    if wraps:
        return np.arange(start - reach, end + reach) % length, reach
    first = max(0, start - reach)
    return np.arange(first, min(length, end + reach)), start - first


def _wanted(reads: Reader, classes: list[str] | None, count: int) -> list[int]:
    if classes is None:
        return list(range(1, count)) or [0]
    known = [reads.label(i) for i in range(count)]
    for name in classes:
        if name not in known:
            raise OperationError(f"'{reads.model.name}' knows no '{name}'; it knows {', '.join(known[:20])}")
    return sorted({known.index(name) for name in classes})

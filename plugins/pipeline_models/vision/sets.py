"""Sets of pictures held against each other: what a network made against what is real."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from pipeline_core import Image, Model, OperationError, Seed, Table, operation
from pipeline_models.vision import distances
from pipeline_models.vision.features import features
from pipeline_models.vision.pyramid import laplacian, level_count, patches

PATCH = 7
MEASURES = ("measure", "value")
NEAREST = ("image", "nearest", "distance", "ratio", "copy")
PICTURES = 64
"""So many pictures are taken apart at a time."""


def _infer_compare(made: Image, real: Image, model: Model | None = None, **_: Any) -> Table:
    _check_alike(made, real)
    return Table(MEASURES, ())


@operation(
    batch="set",
    infer=_infer_compare,
    aliases=("sliced_wasserstein", "swd", "fid", "precision_recall", "compare_batches"),
)
def compare_sets(
    made: Image,
    real: Image,
    model: Model | None = None,
    *,
    patches: Annotated[int, Field(ge=64, le=2**21, description="drawn from each level of each set")] = 16384,
    projections: Annotated[int, Field(ge=1, le=4096, description="random directions")] = 512,
    normalize: Annotated[
        Literal["each", "real"],
        Field(description="patches by their own set's mean and deviation, or both by the real one's"),
    ] = "each",
    neighbours: Annotated[int, Field(ge=1, le=100, description="of precision and recall")] = 3,
    seed: Seed = 0,
) -> Table:
    """Measure how far a set of made pictures lies from a set of real ones; a batch is a set.

    Rows of `measure` and `value`, each less the closer the sets, but for precision and recall:

    `swd` is the mean of the levels' sliced Wasserstein distances of patches of 7x7 pixels, `swd/1`, `swd/2`, ... those of
    the levels, finest first (T. Karras, T. Aila, S. Laine and J. Lehtinen, "Progressive Growing of GANs", 2018, section
    5, who print 1000 times these). It is above 0 for two samples of the same too: hold it against that of two halves of
    the real set. With `normalize: real`, colour and contrast of the whole set count as well.

    With a `model` of features: `precision` (how much of what was made looks real) and `recall` (how much of what is real
    could have been made) of T. Kynkäänniemi et al. 2019, and `frechet`, the squared Fréchet distance of M. Heusel et al.
    2017, which means something when there are many more pictures than features.

    The pictures of both sets may differ in number and, without a model, in size. Colour is compared as it is, times alpha.

    Convention: levels are halved as long as the smaller side stays at 16; patches are drawn at the same places of both
    sets, so that a set is at 0 from itself. Where both tile, patches go across the seam.
    """
    _check_alike(made, real)
    rows = _swd(made, real, patches, projections, normalize == "real", seed)
    if model is not None:
        rows += _of_features(features(made, model), features(real, model), neighbours)
    return Table(MEASURES, tuple(rows))


def _swd(made: Image, real: Image, count: int, projections: int, by_real: bool, seed: int) -> list[tuple[str, float]]:
    wrap = made.wrap[0] and real.wrap[0], made.wrap[1] and real.wrap[1]
    levels = min(level_count(image.height, image.width) for image in (made, real))
    drawn = [_patches_of(image, levels, count, wrap, seed) for image in (made, real)]
    found = []
    for level, (ours, theirs) in enumerate(zip(*drawn, strict=True)):
        ways = [_mean_and_deviation(members) for members in (ours, theirs)]
        if by_real:
            ways[0] = ways[1]
        flat = [((x - mean) / by).flatten(1) for x, (mean, by) in zip((ours, theirs), ways, strict=True)]
        distance = distances.sliced_wasserstein(flat[0], flat[1], projections, seed + level)
        found.append((f"swd/{2**level}", distance))
    return [("swd", sum(value for _, value in found) / len(found)), *found]


def _patches_of(image: Image, levels: int, count: int, wrap: tuple[bool, bool], seed: int) -> list[torch.Tensor]:
    """`(count, C, 7, 7)` for each level, as many from each picture as can be."""
    which = torch.arange(count) % image.batch
    where = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    parts: list[list[torch.Tensor]] = [[] for _ in range(levels)]
    order = []
    for start in range(0, image.batch, PICTURES):
        part = image.with_buffer(image.buffer[start : start + PICTURES])
        mine = ((which >= start) & (which < start + PICTURES)).nonzero()[:, 0]
        order.append(mine)
        for kept, level in zip(parts, laplacian(part.associate().pixels, levels, wrap), strict=True):
            kept.append(patches(level, PATCH, which[mine] - start, where[mine], wrap))
    back = torch.cat(order).argsort()
    return [torch.cat(kept)[back.to(kept[0].device)] for kept in parts]


def _mean_and_deviation(members: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each channel; a deviation of 1 where there is none."""
    deviation, mean = torch.std_mean(members, dim=(0, 2, 3), keepdim=True, correction=0)
    return mean, torch.where(deviation > 1e-12, deviation, 1.0)


def _of_features(made: torch.Tensor, real: torch.Tensor, neighbours: int) -> list[tuple[str, float]]:
    few = min(len(made), len(real))
    if few <= neighbours:
        raise OperationError(
            f"precision and recall of {neighbours} neighbours need {neighbours + 1} pictures in both sets, there are "
            f"{len(made)} made and {len(real)} real; give larger batches, or fewer 'neighbours'"
        )
    precision, recall = distances.precision_and_recall(made, real, neighbours)
    return [("precision", precision), ("recall", recall), ("frechet", distances.frechet(made, real))]


def _infer_nearest(made: Image, real: Image, model: Model | None = None, **_: Any) -> Table:
    _check_alike(made, real)
    _check_sizes(made, real, model)
    return Table(NEAREST, ())


@operation(batch="set", infer=_infer_nearest, aliases=("nearest_neighbour", "find_copies", "memorization"))
def nearest(
    made: Image,
    real: Image,
    model: Model | None = None,
    *,
    ratio: Annotated[float, Field(ge=0, le=1, description="a copy is nearer than this, of its neighbourhood")] = 1 / 3,
    tolerance: Annotated[float, Field(ge=0, description="at most this far is a copy, whatever is near")] = 2 / 255,
    neighbours: Annotated[int, Field(ge=1, le=1000, description="pictures that are its neighbourhood")] = 10,
) -> Table:
    """Find the real picture nearest to each made one, and say whether that is a copy; a batch is a set.

    A row for each made picture: `image`, its place in the batch; `nearest`, that of the real one; `distance`, the root
    of the mean square difference of their pixels, colour times alpha; `ratio`, that distance over the mean distance to
    the real ones that follow in nearness; and `copy`. With a `model`, the same of its features, which see past shifts
    and brightness.

    Convention: a copy is at most `tolerance` away, or its `ratio` is below the limit: T. Yoon et al. 2023 take 1/3 of
    the second nearest, N. Carlini et al. 2023 the mean of many, which a picture that is there twice does not mislead.
    With one real picture `ratio` is empty.
    """
    _check_alike(made, real)
    _check_sizes(made, real, model)
    ours, theirs = (_as_vectors(image, model) for image in (made, real))
    scale = ours.shape[1] ** 0.5
    far, which = distances.nearest(ours, theirs, min(neighbours + 1, len(theirs)))
    far = far / scale
    return Table(
        NEAREST,
        tuple(_judged(i, int(which[i, 0]), far[i].tolist(), ratio, tolerance) for i in range(made.batch)),
    )


def _judged(image: int, which: int, far: list[float], ratio: float, tolerance: float) -> tuple[Any, ...]:
    rest = sum(far[1:]) / len(far[1:]) if far[1:] else None
    share = None if rest is None else far[0] / rest if rest else 1.0
    return image, which, far[0], share, far[0] <= tolerance or (share is not None and share < ratio)


def _as_vectors(image: Image, model: Model | None) -> torch.Tensor:
    return image.associate().pixels.flatten(1) if model is None else features(image, model)


def _check_alike(made: Image, real: Image) -> None:
    if made.channels != real.channels:
        raise OperationError(
            f"made has {', '.join(made.channels)}, real has {', '.join(real.channels)}: 'select_channels' or 'to_rgb'"
        )
    if made.color != real.color:
        raise OperationError(f"made is {made.color}, real is {real.color}: 'color_convert' one of them")


def _check_sizes(made: Image, real: Image, model: Model | None) -> None:
    if model is None and made.size != real.size:
        raise OperationError(
            f"made is {made.width}x{made.height}, real is {real.width}x{real.height}: 'resize' or 'crop' one of them"
        )

"""Textures that repeat: made, and measured."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, Image, Mask, OperationError, Table, operation
from pipeline_texture.coverage import associated, handed_back
from pipeline_texture.cut import cut_weights

Floats = np.ndarray[Any, np.dtype[np.float32]]
Array = np.ndarray[Any, np.dtype[np.float64]]
Axes = Literal["both", "x", "y"]


def _tiled(image: AnyRaster, *, axes: Axes = "both", **_: Any) -> AnyRaster:
    return image.with_buffer(np.broadcast_to(np.float32(0), image.buffer.shape), wrap=_wrap(image, axes))


def _wrap(image: Image | Mask, axes: Axes) -> tuple[bool, bool]:
    return image.wrap[0] or axes != "y", image.wrap[1] or axes != "x"


@operation(device="cpu", infer=_tiled, aliases=("seamless", "make_seamless", "tile_seamless", "SeamlessTile"))
def make_tileable(
    image: AnyRaster,
    *,
    method: Annotated[
        Literal["cut", "blend", "preserve"], Field(description="how the picture goes over into its shifted copy")
    ] = "cut",
    overlap: Annotated[float, Field(gt=0, le=0.5, description="how far from the edges, as a share of the side")] = 0.25,
    axes: Annotated[Axes, Field(description="in which directions it shall tile")] = "both",
) -> AnyRaster:
    """Make a texture that repeats without seams, of the same size.

    At the edges the picture goes over into a copy of itself that is shifted by half its width (then its height), and so
    has no seam there. `cut` goes over along the line where the two differ least (A. Efros and W. Freeman, "Image
    Quilting for Texture Synthesis and Transfer", SIGGRAPH 2001): sharp everywhere, best for stones, grass, weave.
    `blend` cross-fades: best for soft pictures, but what is overlaid loses contrast. `preserve` cross-fades and gives
    the contrast back: differences from the mean are divided by the root of the squared weights (E. Heitz and F. Neyret,
    "High-Performance By-Example Noise using a Histogram-Preserving Blending Operator", 2018, section 3); best for
    noise, sand, plaster; values may leave 0 to 1.

    Wants an evenly lit picture; the light of a photo (one side darker) stays. Near the edges it shows things twice,
    half a tile apart. Colours are weighted by alpha and the alpha state is handed back; in colour `data` A is a channel like
    the others. A normal map is better made from its tiling height, else `normal_normalize` it.

    Convention: the middle of the picture, `overlap` and more from the edges, stays as it is; alpha and masks are
    cross-faded plainly in `preserve`. A cut is closed: it ends where it began.
    """
    source = associated(image)
    plain = np.array([isinstance(image, Mask) or name == "A" for name in image.channels])
    items = []
    for item in source.array:
        if axes != "y":
            item = _across(item, overlap, method, plain)  # noqa: PLW2901  one picture, step by step
        if axes != "x":
            item = _across(item.swapaxes(0, 1), overlap, method, plain).swapaxes(0, 1)  # noqa: PLW2901
        items.append(item)
    return handed_back(source.with_buffer(np.stack(items), wrap=_wrap(image, axes)), image)


def _across(lines: Floats, overlap: float, method: str, plain: np.ndarray[Any, Any]) -> Floats:
    """`(L, N, C)` that tiles along N."""
    size = lines.shape[1]
    reach = max(1, int(size * overlap))
    copy = np.roll(lines, size // 2, 1)
    if method == "cut":
        return np.where(cut_weights(lines, copy, reach)[..., None], lines, copy)
    to_edge = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5)
    t = np.clip(to_edge / reach, 0, 1)
    weight = (t * t * (3 - 2 * t))[None, :, None].astype(np.float32)
    blended: Floats = copy + (lines - copy) * weight
    if method == "preserve":
        mean = lines.mean((0, 1), dtype=np.float64).astype(np.float32)
        restored = mean + (blended - mean) / np.sqrt(weight**2 + (1 - weight) ** 2)
        blended = np.where(plain, blended, restored)
    return np.where(weight == 1, lines, blended)


SCORE = ("axis", "seam", "interior", "ratio", "rank")


def _infer_score(image: Image | Mask) -> Table:
    _one(image)
    return Table(SCORE, ())


@operation(device="cpu", infer=_infer_score, aliases=("tile_check", "seam_check"))
def seam_score(image: AnyRaster) -> Table:
    """Measure how visible the seams of a repeated picture are.

    A row for each axis (`x`: the left edge against the right one; `y`: top against bottom). `seam` is the mean absolute
    step across the seam, `interior` that between neighbouring lines inside, `ratio` the one by the other: about 1 where
    the picture tiles. `rank` is the share of the lines inside with a smaller step than the seam: 1 says that it is the
    hardest edge of all. All channels, colours weighted by alpha, as they are, in float64.

    Convention: where there are no steps at all the ratio is 1 at a seam without step and infinite at any other.
    """
    _one(image)
    item: Array = associated(image).array[0].astype(np.float64)
    return Table(SCORE, (("x", *_score(item)), ("y", *_score(item.swapaxes(0, 1)))))


def _one(image: Image | Mask) -> None:
    if image.batch > 1:
        raise OperationError(
            f"'seam_score' measures one picture, this is a batch of {image.batch}: give them one by one"
        )


def _score(lines: Array) -> tuple[float, float, float, float]:
    seam = float(np.abs(lines[:, 0] - lines[:, -1]).mean())
    steps = np.abs(np.diff(lines, axis=1)).mean((0, 2)) if lines.shape[1] > 1 else np.zeros(1)
    interior = float(steps.mean())
    ratio = seam / interior if interior else 1.0 if seam == 0 else float("inf")
    return seam, interior, ratio, float((steps < seam).mean())

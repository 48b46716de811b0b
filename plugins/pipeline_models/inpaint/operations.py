"""The operations `inpaint`, `outpaint` and `remove_object`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from pipeline_core import Image, Mask, Model, OperationError, Seed, operation
from pipeline_core import opencv as cv2
from pipeline_models import weights_file
from pipeline_models.inpaint.fills import diffusing, marching, patching
from pipeline_models.inpaint.holes import Fill, check_pair, filled
from pipeline_models.inpaint.learned import inpainter_of, learned
from pipeline_models.precision import Precision, PrecisionParam

Method = Literal["telea", "navier-stokes", "diffuse", "patch", "model"]
MethodParam = Annotated[Method, Field(description="how holes are filled")]
SeedParam = Annotated[Seed, Field(description="of the search for patches")]
RadiusParam = Annotated[
    float, Field(gt=0, le=64, description="pixels around each that telea and navier-stokes look at")
]
TileParam = Annotated[
    int | None,
    Field(ge=16, le=65536, description="side of a network's tile in pixels; left out, what the memory allows"),
]
MemoryParam = Annotated[
    int, Field(ge=16, description="MiB that a network may take, besides the picture and the result")
]
Edge = Annotated[int, Field(ge=0, le=16384, description="pixels")]

BUNDLED = "photo-inpaint"


def _infer(image: Image, mask: Mask, model: Model | None = None, *, method: str = "model", **_: Any) -> Image:
    _refuse(model, method)
    return _like(image, check_pair(image, mask))


@operation(
    infer=_infer,
    aliases=("heal", "content_aware_fill", "fill_holes_inpaint", "telea", "lama", "INPAINT", "fillholes"),
)
def inpaint(
    image: Image,
    mask: Mask,
    model: Model | None = None,
    *,
    method: MethodParam = "model",
    seed: SeedParam = 0,
    radius: RadiusParam = 5.0,
    tile: TileParam = None,
    memory: MemoryParam = 1024,
    precision: PrecisionParam = "full",
) -> Image:
    """Fill what a mask covers with what could have been there.

    `telea` and `navier-stokes` are OpenCV's, marching inwards from the edge. `diffuse` is smooth: a membrane through
    the edge. `patch` copies pixels from where the surroundings look alike: best for textures and large holes. `model`
    is a network, for photographs the closest to what was there: one that comes with the project (`photo-inpaint`), or
    one of `load_model`. It runs in tiles that join without a seam, smaller ones where memory does not suffice.

    What the mask does not cover stays as it is, to the bit, and the type of the image stays too; an image that tiles
    is read across its seams. Values beyond 0 to 1 and below 0 are filled like others. Colour is filled as straight
    colour, what alpha hides counting for nothing; alpha is filled too. Channels that are neither colour nor alpha are
    filled the same way, by `model` smoothly. Where nothing is known, nothing changes.

    Convention: every pixel with a mask above 0 is unknown to the fill, and the fill is blended in by the mask, so a
    soft mask makes a soft edge; blended as associated colour. Values that are not finite are not known either.
    """
    check_pair(image, mask)
    _refuse(model, method)
    fill = _fill(model, method, image.device, seed=seed, radius=radius, tile=tile, memory=memory, precision=precision)
    return filled(image, mask.to(image.device).pixels.clamp(0, 1), fill)


def _wider(
    image: Image,
    model: Model | None = None,
    *,
    left: int = 0,
    top: int = 0,
    right: int = 0,
    bottom: int = 0,
    method: str = "patch",
    **_: Any,
) -> Image:
    _refuse(model, method)
    return image.like(
        width=left + image.width + right, height=top + image.height + bottom, dtype=image.dtype,
        wrap=_wrap(image, left + right, top + bottom),
    )  # fmt: skip


@operation(infer=_wider, aliases=("uncrop", "extend_canvas", "ImagePadForOutpaint", "generative_expand"))
def outpaint(
    image: Image,
    model: Model | None = None,
    *,
    left: Edge = 0,
    top: Edge = 0,
    right: Edge = 0,
    bottom: Edge = 0,
    method: MethodParam = "patch",
    seed: SeedParam = 0,
    radius: RadiusParam = 5.0,
    tile: TileParam = None,
    memory: MemoryParam = 1024,
    precision: PrecisionParam = "full",
) -> Image:
    """Make a picture larger, and fill what is new as `inpaint` does.

    The picture itself stays as it is, to the bit. It tiles no more along the sides that grow.
    """
    _refuse(model, method)
    wrap = _wrap(image, left + right, top + bottom)
    buffer, cover = _framed(image, (top, bottom), (left, right))
    fill = _fill(model, method, image.device, seed=seed, radius=radius, tile=tile, memory=memory, precision=precision)
    return filled(image.with_buffer(buffer, wrap=wrap), cover, fill)


@operation(infer=_infer, aliases=("erase_object", "object_removal", "magic_eraser", "paint_out"))
def remove_object(
    image: Image,
    mask: Mask,
    model: Model | None = None,
    *,
    grow: Annotated[int, Field(ge=0, le=256, description="pixels by which the mask is made larger")] = 4,
    feather: Annotated[int, Field(ge=0, le=256, description="pixels, outside, over which the fill is blended in")] = 3,
    method: MethodParam = "patch",
    seed: SeedParam = 0,
    radius: RadiusParam = 5.0,
    tile: TileParam = None,
    memory: MemoryParam = 1024,
    precision: PrecisionParam = "full",
) -> Image:
    """Take out what a mask marks: the mask is made larger, filled as `inpaint` does, and blended in at its edge.

    The mask is made larger so that the rim of the object, its blur and its shadow go too. Beyond `grow` and
    `feather` pixels nothing changes.

    Convention: what the mask covers by half or more is marked. Distances are those between pixel centres.
    """
    check_pair(image, mask)
    _refuse(model, method)
    fill = _fill(model, method, image.device, seed=seed, radius=radius, tile=tile, memory=memory, precision=precision)
    return filled(image, _grown(mask, image.wrap, grow, feather).to(image.device), fill)


def _fill(
    model: Model | None, method: Method, device: str, *, seed: int, radius: float, tile: int | None, memory: int,
    precision: Precision,
) -> Fill:  # fmt: skip
    if method == "model":
        return learned(inpainter_of(model or _bundled(), device), tile, memory, precision, device)
    if method == "patch":
        return patching(seed)
    return diffusing() if method == "diffuse" else marching(method, radius)


def _refuse(model: Model | None, method: str) -> None:
    if model is not None and method != "model":
        raise OperationError(f"a model is wired, but the method is '{method}'; write 'model', or take the link away")


def _bundled() -> Model:
    return weights_file.model_of(weights_file.read_bytes(weights_file.FOLDER / f"{BUNDLED}.safetensors"))


def _like(image: Image, batch: int) -> Image:
    return Image.stand_in(
        image.width, image.height, image.channels, batch=batch, dtype=image.dtype, color=image.color,
        alpha=image.alpha, wrap=image.wrap, meta=image.meta,
    )  # fmt: skip


def _wrap(image: Image, across: int, down: int) -> tuple[bool, bool]:
    return image.wrap[0] and across == 0, image.wrap[1] and down == 0


def _framed(image: Image, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[Any, Tensor]:
    """The buffer with so many rows and columns of zeros around it, and a cover of these."""
    (top, bottom), (left, right) = rows, columns
    height, width = image.height, image.width
    shape = (image.batch, top + height + bottom, left + width + right, len(image.channels))
    buffer: Any
    if isinstance(image.buffer, np.ndarray):
        buffer = np.zeros(shape, image.buffer.dtype)
    else:
        buffer = torch.zeros(shape, dtype=image.buffer.dtype, device=image.buffer.device)
    buffer[:, top : top + height, left : left + width] = image.buffer
    cover = torch.ones((1, 1, *shape[1:3]), device=image.device)
    cover[..., top : top + height, left : left + width] = 0
    return buffer, cover


def _grown(mask: Mask, wrap: tuple[bool, bool], grow: int, feather: int) -> Tensor:
    """1 up to `grow` pixels from what the mask marks, falling to 0 over the next `feather`."""
    reach = grow + feather + 1
    parts = []
    for item in mask.array[..., 0]:
        across, down = (reach if wraps else 0 for wraps in wrap)
        marked = np.pad(item >= 0.5, ((down, down), (across, across)), mode="wrap")
        if marked.any():
            far = cv2.distanceTransform((~marked).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            cover = np.clip(1 - (far - grow) / (feather + 1), 0, 1)
        else:
            cover = np.zeros(marked.shape, np.float32)
        parts.append(cover[down : down + item.shape[0], across : across + item.shape[1]])
    return torch.from_numpy(np.stack(parts).astype(np.float32))[:, None]

"""Several pictures on one sheet."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_core import Color, Image, OperationError, empty, operation
from pipeline_transform.moves import framed
from pipeline_transform.paint import TRANSPARENT, channel_values, encoded

Columns = Annotated[int, Field(ge=1, description="pictures side by side; as many as rows by default")]


def _sheet(images: list[Image], *, columns: int | None = None, gap: int = 0, **_: Any) -> Image:
    _check(images)
    across, down = _counts(len(images), columns)
    width, height = _cell(images)
    dtype = "float32" if len({image.dtype for image in images}) > 1 else images[0].dtype
    return images[0].like(
        width=across * (width + gap) - gap, height=down * (height + gap) - gap, dtype=dtype, wrap=(False, False)
    )


@operation(infer=_sheet, aliases=("contact_sheet", "contactsheet", "montage", "image_grid"))
def mosaic(
    images: list[Image],
    *,
    columns: Columns | None = None,
    gap: Annotated[int, Field(ge=0, description="pixels between pictures")] = 0,
    color: Annotated[Color, Field(description="of gaps and empty places")] = TRANSPARENT,
) -> Image:
    """Pictures side by side in rows, as on a contact sheet.

    All cells have the size of the widest and the highest picture; smaller ones stand in the middle of theirs. Channels,
    colour and alpha must agree. Exact, in the images' own dtype where they share one, else float32. `color` as in
    `pad`.

    Convention: row by row from the top left; a picture that can't be in the very middle stands half a pixel to the left
    of it or above it.
    """
    sheet = _sheet(images, columns=columns, gap=gap)
    across, _ = _counts(len(images), columns)
    width, height = _cell(images)
    background = encoded(channel_values(color, sheet), sheet.dtype)
    first = images[0].buffer
    full = gap == 0 and len(images) % across == 0 and len({image.size for image in images}) == 1
    if full and isinstance(first, np.ndarray):
        canvas: Any = empty((sheet.batch, sheet.height, sheet.width, len(background)), sheet.dtype)
    else:
        nothing = np.empty((sheet.batch, 0, 0, len(background)), sheet.dtype)
        blank = nothing if isinstance(first, np.ndarray) else first[:, :0, :0]
        canvas = framed(blank, background, (sheet.height, 0), (sheet.width, 0))
    for i, image in enumerate(images):
        left = i % across * (width + gap) + (width - image.width) // 2
        top = i // across * (height + gap) + (height - image.height) // 2
        canvas[:, top : top + image.height, left : left + image.width] = _alike(image, sheet.dtype, first)
    return sheet.with_buffer(canvas)


def _batch_sheet(image: Image, *, columns: int | None = None, gap: int = 0, **_: Any) -> Image:
    return _sheet(_items(image), columns=columns, gap=gap)


@operation(batch="set", infer=_batch_sheet, aliases=("batch_to_grid", "make_grid", "preview_batch"))
def batch_sheet(
    image: Image,
    *,
    columns: Columns | None = None,
    gap: Annotated[int, Field(ge=0, description="pixels between pictures")] = 0,
    color: Annotated[Color, Field(description="of gaps and empty places")] = TRANSPARENT,
) -> Image:
    """The pictures of a batch side by side in rows, so that they can be seen and saved at once.

    Exact, in the batch's own dtype; as 'mosaic' does it with pictures that come by links of their own.

    Convention: row by row from the top left.
    """
    return mosaic(_items(image), columns=columns, gap=gap, color=color)


def _items(image: Image) -> list[Image]:
    return [image.with_buffer(image.buffer[i : i + 1]) for i in range(image.batch)]


def _check(images: list[Image]) -> None:
    if not images:
        raise OperationError("there are no pictures to put on the sheet")
    first = images[0]
    for i, image in enumerate(images[1:], 2):
        if (image.channels, image.color, image.alpha) != (first.channels, first.color, first.alpha):
            raise OperationError(f"picture {i} is {image}, but the first is {first}; convert one of them")
        if image.batch != first.batch:
            raise OperationError(f"picture {i} is a batch of {image.batch}, but the first is one of {first.batch}")


def _counts(count: int, columns: int | None) -> tuple[int, int]:
    across = min(count, columns or math.ceil(math.sqrt(count)))
    return across, math.ceil(count / across)


def _cell(images: list[Image]) -> tuple[int, int]:
    return max(image.width for image in images), max(image.height for image in images)


def _alike(image: Image, dtype: str, first: Any) -> Any:
    """The image's buffer in this dtype, numpy or torch as the first one."""
    if isinstance(first, np.ndarray):
        return image.to("cpu").array if image.dtype != dtype else np.asarray(image.to("cpu").buffer)
    if image.dtype != dtype:
        return image.pixels.permute(0, 2, 3, 1).to(first.device)
    buffer = image.to(str(first.device)).buffer
    if isinstance(buffer, np.ndarray):  # on the CPU both are at home
        import torch

        return torch.from_numpy(np.array(buffer))  # a copy: torch has no read-only
    return buffer

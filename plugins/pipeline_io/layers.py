"""The layers of a file, listed, and images put together as layers of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_core import Image, OperationError, Table, operation
from pipeline_io import exr
from pipeline_io.facts import sniff
from pipeline_io.source import content_of

_COLUMNS = ("part", "layer", "channels", "type", "width", "height", "deep")


def _infer_list(*, path: Path) -> Table:
    content_of(path)
    return Table(_COLUMNS, ())


@operation(device="cpu", infer=_infer_list, aliases=("exr_info", "list_aovs", "oiiotool --info"))
def list_layers(*, path: Path) -> Table:
    """List the layers of an OpenEXR file: part, name, channels, type, size.

    A row's layer (with its part, where two parts have layers of one name) is what `load_image` takes; the main layer's
    name is empty. The size is the display window's.
    """
    content = content_of(path)
    try:
        name = sniff(content)
        if name != "exr":
            raise OperationError(f"layers are listed of exr files, but this is a {name}")
        parts = exr.parts(content)
    except OperationError as error:
        raise OperationError(f"{path}: {error}") from None
    rows = []
    for part in parts:
        left, top, right, bottom = part.display
        for layer, channels in part.layers.items():
            names = ", ".join(name.rpartition(".")[2] for name, _ in channels)
            kinds = ", ".join(dict.fromkeys(kind for _, kind in channels))
            rows.append(
                (part.name or str(part.index), layer, names, kinds, right - left + 1, bottom - top + 1, part.deep)
            )
    return Table(_COLUMNS, tuple(rows))


def _infer_stack(images: list[Image], *, names: list[str]) -> Image:
    channels = _layered(images, names)
    first = images[0]
    return Image.stand_in(
        first.width, first.height, channels, batch=first.batch, dtype=_dtype(images), **_fields(images, names, channels)
    )


@operation(device="cpu", infer=_infer_stack, aliases=("Shuffle", "add_aov", "multilayer", "ch append"))
def stack_layers(
    images: list[Image],
    *,
    names: Annotated[
        list[str], Field(description="one name for each image; an empty one leaves its channels as they are called")
    ],
) -> Image:
    """Put images together as the layers of one, to be saved as OpenEXR.

    The channels of the image named `diffuse` become diffuse.R, diffuse.G, ...; of the one without a name they stay. All
    images have one size. Where their types differ, the values become float32. Alpha state, colour space, texts and wrap
    are those of the image without a name, or else of the first; values are not changed.
    """
    channels = _layered(images, names)
    dtype = _dtype(images)
    buffers = [image.array if dtype == "float32" else _numpy(image) for image in images]
    return Image(np.concatenate(buffers, axis=3), channels=channels, **_fields(images, names, channels))


def _layered(images: list[Image], names: list[str]) -> tuple[str, ...]:
    if len(names) != len(images):
        raise OperationError(f"{len(images)} images need as many names, got {len(names)}: {', '.join(names)}")
    sizes = dict.fromkeys((image.batch, image.height, image.width) for image in images)
    if len(sizes) > 1:
        shown = ", ".join(f"{width}x{height}" for _, height, width in sizes)
        raise OperationError(f"layers of one image have one size, got {shown}: use resize, crop or pad first")
    channels = [f"{name}.{part}" if name else part for image, name in zip(images, names, strict=True)
                for part in image.channels]  # fmt: skip
    twice = next((name for i, name in enumerate(channels) if name in channels[:i]), None)
    if twice:
        raise OperationError(f"two layers have a channel '{twice}': give each image a name of its own")
    return tuple(channels)


def _dtype(images: list[Image]) -> str:
    kinds = {image.dtype for image in images}
    return kinds.pop() if len(kinds) == 1 else "float32"


def _fields(images: list[Image], names: list[str], channels: tuple[str, ...]) -> dict[str, Any]:
    """Of the image without a name, where there are several of the one with alpha, or else of the first."""
    unnamed = [image for image, name in zip(images, names, strict=True) if not name]
    lead = next((image for image in unnamed if "A" in image.channels), (unnamed or images)[0])
    alpha = lead.alpha if "A" in channels else "none"
    return {"alpha": alpha, "color": lead.color, "meta": lead.meta, "wrap": lead.wrap}


def _numpy(image: Image) -> np.ndarray[Any, Any]:
    buffer = image.buffer
    return np.asarray(buffer if isinstance(buffer, np.ndarray) else buffer.detach().cpu().numpy())

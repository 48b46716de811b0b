"""The layers of a file, listed, and images put together as layers of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_core import Image, OperationError, Table, operation
from pipeline_io.facts import Facts
from pipeline_io.sniff import format_of
from pipeline_io.source import content_of, facts_of

Row = tuple[bool | int | float | str | None, ...]

_COLUMNS = (
    "part", "layer", "channels", "left", "top", "width", "height", "blend", "opacity", "visible", "clipped", "mask",
    "deep",
)  # fmt: skip


def _infer_list(*, path: Path) -> Table:
    content_of(path)
    return Table(_COLUMNS, ())


@operation(
    device="cpu",
    infer=_infer_list,
    aliases=("exr_info", "list_aovs", "oiiotool --info", "psd_layers"),
)
def list_layers(*, path: Path) -> Table:
    """List the layers of an OpenEXR or Photoshop file.

    A row's layer, with its part where two have one name, is what `load_image` takes. Left, top, width and height say
    where the file has pixels, in the picture's own coordinates. Of a Photoshop file the rows go from the bottom to the
    top, blend is the name that `merge` has for the mode, opacity is 0 to 1, and groups are left out. A picture in
    another format is one row.
    """
    content = content_of(path)
    try:
        name = format_of(content)
        rows = {"exr": _exr_rows, "psd": _psd_rows}.get(name)
        found = list(rows(content)) if rows else [_only_row(facts_of(path, content))]
    except OperationError as error:
        raise OperationError(error if str(error).startswith(str(path)) else f"{path}: {error}") from None
    return Table(_COLUMNS, tuple(found))


def _exr_rows(content: bytes) -> Iterator[Row]:
    from pipeline_io import exr_header

    for part in exr_header.parts(content):
        left, top, right, bottom = part.data
        box = (left - part.display[0], top - part.display[1], right - left + 1, bottom - top + 1)
        for layer, channels in part.layers.items():
            names = ", ".join(name.rpartition(".")[2] for name, _ in channels)
            yield (part.name or str(part.index), layer, names, *box, None, None, None, None, None, part.deep)


def _psd_rows(content: bytes) -> Iterator[Row]:
    from pipeline_io import psd

    document = psd.read(content)
    names = ", ".join(psd.channels(document, alpha=True))
    for layer in document.layers:
        if layer.is_picture:
            box = (layer.box.left, layer.box.top, layer.box.width, layer.box.height)
            looks = (layer.blend, layer.opacity / 255, layer.visible, layer.clipped, layer.mask is not None)
            yield (str(layer.index), layer.name, names, *box, *looks, False)


def _only_row(facts: Facts) -> Row:
    return ("0", "", ", ".join(facts.channels), 0, 0, *facts.size, None, None, None, None, None, False)


def _infer_stack(images: list[Image], *, names: list[str]) -> Image:
    channels = _layered(images, names)
    first = images[0]
    return Image.stand_in(
        first.width, first.height, channels, batch=first.batch, dtype=_dtype(images), **_fields(images, names, channels)
    )


@operation(device="cpu", infer=_infer_stack, aliases=("add_aov", "multilayer"))
def stack_layers(
    images: list[Image],
    *,
    names: Annotated[
        list[str],
        Field(
            description="one name for each image; an empty one leaves its channels as they are called",
            examples=[["", "diffuse"]],
        ),
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

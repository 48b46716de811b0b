"""The layers of a file, all at once: of Photoshop's as a batch, of OpenEXR's as the channels of one image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from pydantic import Field

from pipeline_core import Image, OperationError, Table, operation
from pipeline_io.facts import EVERYTHING, MAX_PIXELS, Facts, within_limits
from pipeline_io.load import fields_of, infer_image, load_image
from pipeline_io.sniff import format_of
from pipeline_io.source import content_of, named

if TYPE_CHECKING:
    from pipeline_io import psd

Row = tuple[bool | int | float | str | None, ...]

COLUMNS = (
    "image", "name", "kind", "parent", "left", "top", "width", "height", "blend", "opacity", "visible", "clipped",
    "effects",
)  # fmt: skip


class Layers(NamedTuple):
    """What `load_layers` gives."""

    image: Image
    table: Table
    canvas: Image


Strict = Annotated[
    bool, Field(description="refuse visible adjustments and fills, whose effect is not in the pixels of any layer")
]


def _infer_layers(*, path: Path, strict: bool = True) -> Layers:
    with named(path):
        document, facts, drawn = _read(content_of(path), strict)
        fields = fields_of(facts, "auto", "auto")
        one = Image.stand_in(facts.width, facts.height, facts.channels, dtype=facts.dtype, meta=facts.meta, **fields)
        batch = Image.stand_in(
            facts.width, facts.height, facts.channels, batch=len(drawn), dtype=facts.dtype, meta=facts.meta, **fields
        )
        return Layers(batch, Table(COLUMNS, tuple(_rows(document, drawn))), one)


@operation(
    version=2,
    device="cpu",
    infer=_infer_layers,
    aliases=("psd_import", "read_layers", "import_layers", "layers_from_file"),
)
def load_layers(*, path: Path, strict: Strict = True) -> Layers:
    """Load all layers of a Photoshop file, as `layer_stack` puts them together again.

    `image` is a batch of the layers, from the bottom to the top, each on a canvas of the picture's size with its mask in
    its alpha (straight). `table` has a row for each layer and group: `image` is its place in the batch, `name`, `kind`
    (layer, group, adjustment), `parent` the row of the group that holds it, the box where the file has its pixels,
    `blend` by the name that `merge` has for it, `opacity` (times fill), `visible` and `clipped` to the one below. A group
    with a mask has a picture, white in the mask; what has no pixels has none. `canvas` is an empty picture to stack on.

    `layer_stack` with `canvas` as base, `image` and `table` gives the picture of the file, as far as it is in pixels.
    Effects of layers (shadows, strokes) are not applied; `effects` says which layers have some. One layer alone is loaded by `load_image` with `layer`.

    Convention: what reaches beyond the canvas is cut off.
    """
    from pipeline_io import psd_pixels

    with named(path):
        document, facts, drawn = _read(content_of(path), strict)
        pixels = np.stack([psd_pixels.layer_on_canvas(document, layer, facts) for layer in drawn])
        fields = fields_of(facts, "auto", "auto")
        image = Image(pixels, channels=facts.channels, meta=facts.meta, **fields)
        canvas = image.with_buffer(np.zeros_like(pixels[:1]))
        return Layers(image, Table(COLUMNS, tuple(_rows(document, drawn))), canvas)


def _read(content: bytes, strict: bool) -> tuple[psd.Document, Facts, list[psd.Layer]]:
    """The file, what its layers are on the canvas, and those that have a picture."""
    from pipeline_io import psd

    name = format_of(content)
    if name != "psd":
        raise OperationError(f"load_layers is for psd files, but this is a {name}; load_exr_layers loads those of exr")
    document = psd.read(content)
    if strict:
        _refuse_adjustments(document)
    drawn = [layer for layer in document.layers if _has_picture(layer)]
    if not drawn:
        raise OperationError("the psd file has no layers: load_image loads its picture")
    facts = psd.probe(content, part=str(next(iter(drawn)).index))
    within_limits(facts)
    if len(drawn) * facts.width * facts.height > MAX_PIXELS:
        raise OperationError(
            f"{len(drawn)} layers of {facts.width}x{facts.height} are above the limit of {MAX_PIXELS:,} pixels: "
            "load them one by one by load_image with layer"
        )
    return document, replace(facts, stored=None), drawn


def _has_picture(layer: psd.Layer) -> bool:
    masked = layer.mask is not None and not layer.mask_off
    return (layer.is_group and masked) or (layer.is_picture and not layer.is_adjustment)


def _refuse_adjustments(document: psd.Document) -> None:
    from pipeline_io import psd

    hidden, above = {layer.index for layer in document.layers if not layer.visible}, psd.parents(document)

    def is_seen(index: int | None) -> bool:
        return index is None or (index not in hidden and is_seen(above[index]))

    found = [layer.name for layer in document.layers if layer.is_adjustment and is_seen(layer.index)]
    if found:
        raise OperationError(
            f"layer '{found[0]}' is an adjustment or a fill, which is not in pixels: rasterize it, or load the others with "
            "'strict: false'"
        )


def _rows(document: psd.Document, drawn: list[psd.Layer]) -> Iterator[Row]:
    from pipeline_io import psd

    place = {layer.index: i for i, layer in enumerate(drawn)}
    above = psd.parents(document)
    listed = [layer for layer in document.layers if layer.index in above]
    row = {layer.index: i for i, layer in enumerate(listed)}
    for layer in listed:
        kind = "group" if layer.is_group else "adjustment" if layer.is_adjustment else "layer"
        parent = above[layer.index]
        yield (
            place.get(layer.index), layer.name, kind, None if parent is None else row[parent],
            layer.box.left, layer.box.top, layer.box.width, layer.box.height,
            layer.blend, layer.coverage, layer.visible, layer.clipped,
            layer.effects,
        )  # fmt: skip


Chosen = Annotated[
    list[str] | None, Field(description="layers by the names of `list_layers`, an empty one is the main one; or all")
]


def _infer_exr(*, path: Path, layers: list[str] | None = None) -> Image:
    parts = [(name, infer_image(path=path, layer=EVERYTHING, part=part)) for name, part in _parts(path)]
    channels, dtype = _joined([(name, image.channels) for name, image in parts], layers), _dtype(parts)
    first = parts[0][1]
    alpha = "associated" if "A" in channels else "none"
    return Image.stand_in(
        first.width, first.height, tuple(channels), dtype=dtype, color=_color(parts, tuple(channels)), alpha=alpha,
        meta=first.meta,
    )  # fmt: skip


@operation(device="cpu", infer=_infer_exr, aliases=("load_aovs", "read_aovs", "exr_layers", "multilayer_exr"))
def load_exr_layers(*, path: Path, layers: Chosen = None) -> Image:
    """Load all layers (AOVs) of an OpenEXR file, those of all its parts, as the channels of one image.

    Channels keep the names that the file has for them: R, G, B, A of the main layer, diffuse.R, N.X, Z, ...; those of a
    further part that have no layer's name get its part's. `shuffle` takes a layer out, `select_channels` some channels,
    `stack_layers` puts changed ones in again, and saving as .exr writes them all.

    Half stays half; with a layer of another type all become float32. Colour, alpha and texts are the first part's. Deep
    parts are left out: `load_deep` loads them.

    Convention: all parts have the first one's display window.
    """
    parts = [(name, load_image(path=path, layer=EVERYTHING, part=part)) for name, part in _parts(path)]
    channels, dtype = _joined([(name, image.channels) for name, image in parts], layers), _dtype(parts)
    planes = [parts[i][1].buffer[..., [at]] for i, at in channels.values()]
    first = parts[0][1]
    return Image(
        np.concatenate([plane.astype(dtype, copy=False) for plane in planes], axis=-1),
        channels=tuple(channels),
        color=_color(parts, tuple(channels)),
        alpha="associated" if "A" in channels else "none",
        meta=first.meta,
    )


def _parts(path: Path) -> list[tuple[str, str]]:
    """(what its channels are called after, its number) of each part with pixels; the first one's have no such name."""
    from pipeline_io import exr_header

    content = content_of(path)
    with named(path):
        if format_of(content) != "exr":
            raise OperationError(f"load_exr_layers is for exr files, but this is a {format_of(content)}")
        found = [part for part in exr_header.parts(content) if not part.deep]
        if not found:
            raise OperationError("all parts of the exr file are deep: load_deep loads them")
        display = found[0].display
        other = next((part for part in found if part.display != display), None)
        if other is not None:
            raise OperationError(f"damaged exr file: part '{other.name}' has another display window than the first")
        return [("" if i == 0 else part.name or str(part.index), str(part.index)) for i, part in enumerate(found)]


def _joined(parts: list[tuple[str, tuple[str, ...]]], layers: list[str] | None) -> dict[str, tuple[int, int]]:
    """Where each channel is, by its name: (number of the part, place in it)."""
    found: dict[str, tuple[int, int]] = {}
    for i, (name, channels) in enumerate(parts):
        for at, channel in enumerate(channels):
            full = channel if "." in channel or not name else f"{name}.{channel}"
            if full in found:
                raise OperationError(f"two parts have a channel '{full}': load one by load_image with part")
            found[full] = (i, at)
    if layers is None:
        return found
    there = dict.fromkeys(channel.rpartition(".")[0] for channel in found)
    unknown = next((layer for layer in layers if layer not in there), None)
    if unknown is not None:
        raise OperationError(f"no layer '{unknown}'; the file has {', '.join(name or 'a main one' for name in there)}")
    return {channel: place for channel, place in found.items() if channel.rpartition(".")[0] in layers}


def _dtype(parts: list[tuple[str, Image]]) -> str:
    return "float16" if all(image.dtype == "float16" for _, image in parts) else "float32"


def _color(parts: list[tuple[str, Image]], channels: tuple[str, ...]) -> str:
    """Of the first part that has a colour, where there are such channels."""
    from pipeline_io.exr import shows_color

    if not shows_color(channels):
        return "data"
    return next((image.color for _, image in parts if image.color != "data"), "data")

"""The operation `super_resolve`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from pipeline_core import Image, Model, OperationError, operation
from pipeline_models import foreign, networks, weights_file
from pipeline_models.foreign.run import Foreign
from pipeline_models.lookup import looked_up
from pipeline_models.memory import room
from pipeline_models.precision import Precision, PrecisionParam
from pipeline_models.upscale.photograph import HIDDEN, enlarge_image
from pipeline_models.upscale.resampling import LANCZOS, enlarge
from pipeline_models.upscale.tiles import Enlarger, Sides, Tile, fitting, in_tiles, rows_of

MethodParam = Annotated[
    Literal["model", "lanczos"], Field(description="a network, or plain resampling that adds nothing")
]
FactorParam = Annotated[
    Literal[2, 3, 4] | None, Field(description="how many times as wide and high; left out, the model's, or 2")
]
TileParam = Annotated[
    int | None, Field(ge=16, le=65536, description="side of a tile in pixels; left out, what the memory allows")
]
OverlapParam = Annotated[
    int | None,
    Field(ge=0, le=1024, description="margin of a tile in pixels; left out, what the network needs, of others' 32"),
]
MemoryParam = Annotated[
    int, Field(ge=64, description="MiB that the network may take, besides the picture and the result")
]

Factor = Literal[2, 3, 4]

AROUND = 48
"""MiB of the memory given that are left for what torch and the allocator keep around a tile's own."""


def _infer(
    image: Image,
    model: Model | None = None,
    *,
    method: str = "model",
    factor: Factor | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    memory: int = 1024,
    precision: Precision = "full",
) -> Image:
    _refuse(model, method)
    if model is not None and model.architecture not in foreign.FORMATS:
        with torch.device("meta"):
            _check_purpose(model, networks.make(model.architecture, model.config))
    times = factor or (2 if model is None else int(model.config["factor"]))
    return image.like(width=image.width * times, height=image.height * times)


@operation(
    infer=_infer,
    aliases=("upscale", "ImageUpscaleWithModel", "ESRGAN", "waifu2x", "super_resolution", "enlarge", "sr"),
)
def super_resolve(
    image: Image,
    model: Model | None = None,
    *,
    method: MethodParam = "model",
    factor: FactorParam = None,
    tile: TileParam = None,
    overlap: OverlapParam = None,
    memory: MemoryParam = 1024,
    precision: PrecisionParam = "full",
) -> Image:
    """Enlarge a picture 2, 3 or 4 times by a network that adds the detail which plain resampling lacks.

    Without a `model` it is one for photographs that comes with the project (`photo-x2`, `photo-x4`); `load_model` gives
    others. A factor below the model's is reached by shrinking its result (antialiased bicubic).

    The network runs over tiles, each with the margin that it needs, so that they join without a seam; where memory
    does not suffice they are halved until they fit. How far the network of another's file looks is not known: 32 pixels
    are taken, and `overlap` takes more.

    The result is float32. Images in a linear colour space (`lin_...`) are encoded with the curve of sRGB for the network.
    Values beyond 0 to 1 lose nothing: the network sees them clipped, and what lies beyond is enlarged by itself, without
    ringing, and added. Each pixel's colour is made from straight values; where alpha hides everything, from what is
    seen beside it. Alpha is enlarged by Lanczos without ringing, channels that are no colour (depth, ids) by repeating
    pixels, and the alpha state is handed back. Gray images are taken as colour. An image that tiles is read across its
    seams, and still tiles.

    Convention: pixel centres are at half pixels, so the corners of the picture stay where they are. Beyond an edge the
    outermost pixel goes on; with `lanczos`, which weights colour by alpha as `resize` does, there are none to be weighted.
    """
    _refuse(model, method)
    if method == "lanczos":
        lit = image.associate()
        return lit.with_pixels(enlarge(lit.pixels, factor or 2, LANCZOS, image.wrap)).with_alpha_state(image.alpha)
    enlarger = replace(enlarger_of(model or _bundled(factor or 2), image.device), precision=precision)
    if overlap is not None:
        if enlarger.size and overlap > min(enlarger.size) // 4:
            width, height = enlarger.size[::-1]
            raise OperationError(
                f"the model takes pictures of {width}x{height} alone: 'overlap' may be {min(enlarger.size) // 4} at most, "
                f"not {overlap}"
            )
        enlarger = replace(enlarger, reach=overlap)
    wanted = factor or enlarger.factor
    if wanted > enlarger.factor:
        raise OperationError(
            f"the model enlarges {enlarger.factor} times, not {wanted}; enlarge twice, or wire another model"
        )
    result = enlarge_tiled(image, enlarger, tile, memory)
    return _shrunk(result, wanted, enlarger.factor) if wanted < enlarger.factor else result


def enlarger_of(model: Model, device: str) -> Enlarger:
    """The network of a model, with what is to be known for enlarging. OperationError where it does something else."""
    network = networks.build(model, device)
    factor, reach = _check_purpose(model, network)
    channels, multiple = int(getattr(network, "channels", 3)), int(getattr(network, "multiple", 1))
    return Enlarger(network, factor, reach, channels, multiple, size=fixed_sides(network))


def fixed_sides(network: nn.Module) -> Sides | None:
    """Height and width of the pictures that a network takes, where it takes no others."""
    size: Sides | None = getattr(network, "size", None)
    return size[::-1] if size else None


def _check_purpose(model: Model, network: nn.Module) -> tuple[int, int]:
    """Its factor, and how far it looks."""
    factor, reach = getattr(network, "factor", None), getattr(network, "reach", None)
    if isinstance(factor, int) and isinstance(reach, int) and (factor > 1 or isinstance(network, Foreign)):
        return factor, reach
    raise OperationError(f"'{model.name}' ({model.manifest.get('task', model.architecture)}) does not enlarge pictures")


def _refuse(model: Model | None, method: str) -> None:
    if model is not None and method != "model":
        raise OperationError(f"a model is wired, but the method is '{method}'; write 'model', or take the link away")


def _bundled(factor: int) -> Model:
    name = "photo-x2" if factor == 2 else "photo-x4"
    return weights_file.model_of(weights_file.read_bytes(weights_file.FOLDER / f"{name}.safetensors"))


def enlarge_tiled(image: Image, enlarger: Enlarger, side: int | None, memory: int) -> Image:
    """All of the image by a network, in tiles of `side` pixels, or as large as so many MiB allow."""
    margin = enlarger.margin(HIDDEN if image.alpha != "none" else 0)
    factor = enlarger.factor
    shape = (image.batch, image.height * factor, image.width * factor, len(image.channels))
    result = torch.empty(shape, device=image.device)
    if enlarger.size:
        if side:
            width, height = enlarger.size[::-1]
            raise OperationError(f"the model takes pictures of {width}x{height} alone; leave 'tile' out")
        sides = (enlarger.size[0] - 2 * margin, enlarger.size[1] - 2 * margin)
    elif side:
        sides = (side, side)
    else:
        sides, enlarger = _fitted(image, enlarger, margin, memory)
    for item in range(image.batch):

        def work(tile: Tile, item: int = item) -> None:
            piece = _piece(image, item, tile, margin, enlarger.size)
            found = enlarge_image(piece, enlarger).permute(0, 2, 3, 1)[0]
            top, left = tile.top * factor, tile.left * factor
            bottom, right = top + tile.height * factor, left + tile.width * factor
            around = margin * factor
            result[item, top:bottom, left:right] = found[around:, around:][: bottom - top, : right - left]

        sides = in_tiles(work, (image.height, image.width), sides, enlarger.multiple)
    return image.with_buffer(result)


def _fitted(image: Image, enlarger: Enlarger, margin: int, memory: int) -> tuple[Sides, Enlarger]:
    """Tiles that take so many MiB with their margins, and the network in bands that do."""
    memory = room(memory, image.device)
    most = max(memory - AROUND, memory / 2) * 2**20
    cost = enlarger.cost(image.device)
    cost = replace(cost, pixel=cost.pixel + 4 * len(image.channels) * (2 + 2 * enlarger.factor**2))
    sides = fitting((image.height, image.width), most, cost, margin, enlarger.multiple)
    if not cost.column:
        return sides, enlarger
    rows = rows_of(enlarger.network, sides[1] + 2 * margin, most, image.device)
    return sides, replace(enlarger, band=rows * (sides[1] + 2 * margin))


def _piece(image: Image, item: int, tile: Tile, margin: int, size: Sides | None) -> Image:
    """One tile of one picture with a margin around it: across the seam of an image that tiles, else the edge goes on.

    Of a certain size, where one is told: more is then seen below it and to the right.
    """
    height, width = size or (tile.height + 2 * margin, tile.width + 2 * margin)
    rows = _places(tile.top - margin, tile.top - margin + height, image.height, image.wrap[1])
    columns = _places(tile.left - margin, tile.left - margin + width, image.width, image.wrap[0])
    return image.with_buffer(looked_up(image.buffer[item : item + 1], rows, columns), wrap=(False, False))


def _places(begin: int, end: int, length: int, wraps: bool) -> Tensor:
    places = torch.arange(begin, end)
    return places % length if wraps else places.clamp(0, length - 1)


def _shrunk(image: Image, wanted: int, factor: int) -> Image:
    """From `factor` times to `wanted` times, antialiased bicubic; across the seam of an image that tiles."""
    lit = image.associate()
    pixels = lit.pixels
    extra = [4 * factor if wraps else 0 for wraps in image.wrap]
    columns = _places(-extra[0], image.width + extra[0], image.width, image.wrap[0]).to(pixels.device)
    rows = _places(-extra[1], image.height + extra[1], image.height, image.wrap[1]).to(pixels.device)
    size = [side * wanted // factor for side in (len(rows), len(columns))]
    small = functional.interpolate(pixels[:, :, rows][..., columns], size=size, mode="bicubic", antialias=True)
    across, down = (pad * wanted // factor for pad in extra)
    small = small[..., down : small.shape[-2] - down, across : small.shape[-1] - across]
    return lit.with_pixels(small).with_alpha_state(image.alpha)

"""A picture as a batch of tiles, and back."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_core import AnyRaster, Image, OperationError, operation, progress

Array = np.ndarray[Any, Any]
Side = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2, description="width and height")]
Overlap = Annotated[int, Field(ge=0, description="pixels that neighbours share")]


def _cut(image: AnyRaster, *, size: list[int], overlap: int = 0) -> AnyRaster:
    across, down = _grid(image.size, size, overlap)
    width, height = (min(whole, part) for whole, part in zip(image.size, size, strict=True))
    return _stand_in(image, width, height, image.batch * len(across) * len(down))


@operation(infer=_cut, batch="set", device="cpu", aliases=("tile_split", "ImageTile", "slice"))
def split_tiles(
    image: AnyRaster,
    *,
    size: Annotated[Side, Field(examples=[[256, 256]])],
    overlap: Overlap = 0,
) -> AnyRaster:
    """Cut a picture into tiles of one size: a batch, for what can't take it whole. `merge_tiles` puts them together.

    Tiles overlap by at least `overlap` pixels, so that what an operation makes of their rims can be faded out. The pixels
    keep their type. A picture smaller than a tile is one tile of its own size.

    Convention: row by row from the top left, picture after picture; the last tile of a row or column ends where the picture
    does, and overlaps its neighbour by what is needed for that.
    """
    tiles = _cut(image, size=size, overlap=overlap)
    across, down = _grid(image.size, size, overlap)
    buffer = _array(image)
    parts = [buffer[:, y : y + tiles.height, x : x + tiles.width] for y, x in product(down, across)]
    # Picture after picture: the parts of one stand together.
    return tiles.with_buffer(np.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:]))


def _put_together(tiles: AnyRaster, *, width: int, height: int, overlap: int = 0) -> AnyRaster:
    across, down = _grid((width, height), [tiles.width, tiles.height], overlap)
    count = len(across) * len(down)
    if tiles.width > width or tiles.height > height or tiles.batch % count:
        raise OperationError(
            f"{width}x{height} takes {count} tiles of {tiles.width}x{tiles.height} overlapping by {overlap}, or a multiple "
            f"of that; these are {tiles.batch}: give split_tiles' size and overlap, times the scale if they were enlarged"
        )
    return _stand_in(tiles, width, height, tiles.batch // count)


@operation(infer=_put_together, batch="set", device="cpu", aliases=("tile_merge", "ImageUntile", "untile", "unsplit"))
def merge_tiles(
    tiles: AnyRaster,
    *,
    width: Annotated[int, Field(ge=1, description="of the whole picture")],
    height: Annotated[int, Field(ge=1, description="of the whole picture")],
    overlap: Overlap = 0,
) -> AnyRaster:
    """Put the tiles of `split_tiles` together; where they overlap one fades into the next.

    `overlap` is what `split_tiles` was given. Tiles that were enlarged on the way fit when `width`, `height` and `overlap`
    are enlarged as much. The pixels keep their type, and those on which the tiles agree their value to the bit; others are
    mixed, colours weighted by alpha.

    Convention: the fade is linear over all of the overlap, from pixel centre to pixel centre; integers are rounded.
    """
    whole = _put_together(tiles, width=width, height=height, overlap=overlap)
    across, down = _grid((width, height), [tiles.width, tiles.height], overlap)
    buffer = _array(tiles).reshape(-1, len(down), len(across), *tiles.buffer.shape[1:])
    rows = []
    for row in range(len(down)):
        rows.append(_joined([buffer[:, row, i] for i in range(len(across))], across, 2, tiles))
        progress(row, len(down), "rows of tiles")
    return whole.with_buffer(_joined(rows, down, 1, tiles))


def _grid(whole: tuple[int, int], size: list[int], overlap: int) -> tuple[list[int], list[int]]:
    """Where tiles begin, across and down."""
    starts = []
    for length, part in zip(whole, size, strict=True):
        if part <= overlap and part < length:
            raise OperationError(f"tiles of {part} pixels can't overlap by {overlap}: make them larger")
        starts.append([0] if length <= part else [*range(0, length - part, part - overlap), length - part])
    return starts[0], starts[1]


def _stand_in(image: AnyRaster, width: int, height: int, batch: int) -> AnyRaster:
    shape = (batch, height, width, len(image.channels))
    wrap = (image.wrap[0] and width == image.width, image.wrap[1] and height == image.height)
    return image.with_buffer(np.broadcast_to(np.zeros((), image.dtype), shape), wrap=wrap)


def _array(image: Image | Any) -> Array:
    buffer = image.buffer
    return np.asarray(buffer if isinstance(buffer, np.ndarray) else buffer.cpu().numpy())


def _joined(parts: list[Array], starts: list[int], axis: int, like: AnyRaster) -> Array:
    """Parts along an axis, `(B, H, W, C)`, each faded into what stands there already."""
    if len(parts) == 1:
        return parts[0]
    length = parts[0].shape[axis]
    shape = list(parts[0].shape)
    shape[axis] = starts[-1] + length
    joined = np.empty(shape, parts[0].dtype)
    along = np.moveaxis(joined, axis, 0)
    along[:length] = np.moveaxis(parts[0], axis, 0)
    for part, (before, start) in zip(parts[1:], pairwise(starts), strict=True):
        new = np.moveaxis(part, axis, 0)
        shared = before + length - start
        along[start + shared : start + length] = new[shared:]
        if shared:
            share = ((np.arange(shared, dtype=np.float32) + np.float32(0.5)) / np.float32(shared)).reshape(-1, 1, 1, 1)
            along[start : start + shared] = _faded(along[start : start + shared], new[:shared], share, like)
    return joined


def _faded(old: Array, new: Array, share: Array, like: AnyRaster) -> Array:
    """From old to new; what is the same in both stays, to the bit."""
    same = ((old == new) | ((old != old) & (new != new))).all(-1, keepdims=True)
    if same.all():
        return old
    a, b = (part.astype(np.float32) for part in (old, new))
    if isinstance(like, Image) and like.coverage == "straight":
        alpha, colors = like.index("A"), like.color_indices
        kept, taken = a[..., [alpha]] * (1 - share), b[..., [alpha]] * share
        seen = kept + taken
        mixed = a + (b - a) * share
        weight = taken / np.where(seen == 0, 1, seen)
        mixed[..., colors] = np.where(seen == 0, mixed[..., colors], (a + (b - a) * weight)[..., colors])
    else:
        mixed = a + (b - a) * share
    if old.dtype.kind == "u":
        mixed = np.rint(mixed).clip(0, np.iinfo(old.dtype).max)
    return np.where(same, old, mixed.astype(old.dtype))

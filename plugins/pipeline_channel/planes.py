"""Channels one by one, `(B, H, W, 1)`, in numpy or torch buffers, in their own dtype where they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from pipeline_core import Image, Mask, OperationError, each_tile, empty
from pipeline_core import opencv as cv2

MOST_CHANNELS = 32  # OpenCV takes a few more, all of its versions take these
STRIP = 64
FULL_SCALE = {"uint8": 255, "uint16": 65535}


@dataclass(frozen=True)
class Plane:
    """One channel of an image or mask, or a constant of a size."""

    raster: Image | Mask
    index: int | None = None
    constant: float = 0.0

    @property
    def dtype(self) -> str | None:
        """The stored type; None for a constant, which takes any."""
        return None if self.index is None else self.raster.dtype

    @property
    def batch(self) -> int:
        return 1 if self.index is None else self.raster.batch

    def whole(self, dtype: str) -> Any:
        """The buffer that it is a channel of, in this dtype; of a constant one with a single channel."""
        if self.index is None:
            return self._filled(dtype)
        if self.raster.dtype == dtype:
            return self.raster.buffer
        if self.raster.device == "cpu" and isinstance(self.raster.buffer, np.ndarray):
            return self.raster.array
        return self.raster.pixels.permute(0, 2, 3, 1)

    def stored(self, dtype: str, batch: int) -> Any:
        """`(batch, H, W, 1)`; a dtype other than its own is float32, with integers as 0..1."""
        at = self.index or 0
        buffer = self.whole(dtype)[..., at : at + 1]
        shape = (batch, *buffer.shape[1:])
        return np.broadcast_to(buffer, shape) if isinstance(buffer, np.ndarray) else buffer.expand(shape)

    def _filled(self, dtype: str) -> Any:
        shape = (1, self.raster.height, self.raster.width, 1)
        scale = FULL_SCALE.get(dtype)
        value = self.constant if scale is None else round(self.constant * scale)
        if isinstance(self.raster.buffer, np.ndarray):
            return np.full(shape, value, dtype)
        import torch

        return torch.full(shape, value, dtype=getattr(torch, dtype), device=self.raster.device)


def stacked(planes: Sequence[Plane]) -> Any:
    """One buffer of these channels: in their own dtype if they have one dtype, else float32."""
    dtypes = {plane.dtype for plane in planes} - {None}
    dtype = dtypes.pop() if len(dtypes) == 1 else None
    batch = max(plane.batch for plane in planes)
    wholes = [plane.whole(dtype or "float32") for plane in planes]
    if len(planes) <= MOST_CHANNELS and all(_is_plain(whole) for whole in wholes):
        return _mixed(planes, wholes, batch)
    buffers = [plane.stored(dtype or "float32", batch) for plane in planes]
    shape = (*buffers[0].shape[:3], len(buffers))
    if all(isinstance(buffer, np.ndarray) for buffer in buffers):
        whole: Any = np.empty(shape, buffers[0].dtype)
    else:
        import torch

        buffers = [torch.from_numpy(np.array(b)) if isinstance(b, np.ndarray) else b for b in buffers]
        whole = torch.empty(shape, dtype=buffers[0].dtype, device=buffers[0].device)
    for i, buffer in enumerate(buffers):  # twice as fast as concatenating along an axis this short
        whole[..., i : i + 1] = buffer
    return whole


def _is_plain(whole: Any) -> bool:
    """Whether OpenCV can take channels out of it."""
    if not isinstance(whole, np.ndarray) or whole.shape[3] > MOST_CHANNELS:
        return False
    channels = whole.shape[3]
    # How far it is to the next channel means nothing where there is one.
    return whole.strides[2] == whole.itemsize * channels and (channels == 1 or whole.strides[3] == whole.itemsize)


def _mixed(planes: Sequence[Plane], wholes: Sequence[Any], batch: int) -> Any:
    """The channels of several buffers, put beside each other by OpenCV in one pass."""
    sources = {id(whole): whole for whole in wholes}
    starts = dict(zip(sources, accumulate((whole.shape[3] for whole in sources.values()), initial=0), strict=False))
    numbers = [
        (starts[id(whole)] + (plane.index or 0), i) for i, (plane, whole) in enumerate(zip(planes, wholes, strict=True))
    ]
    height, width = wholes[0].shape[1:3]
    result = empty((batch, height, width, len(planes)), wholes[0].dtype)
    kind = np.uint16 if result.dtype == np.float16 else result.dtype  # OpenCV has no kernel for it

    def work(rows: slice, columns: slice) -> None:
        for item, out in enumerate(result):
            if all(whole.shape[3] == 1 for whole in wholes):
                cv2.merge([whole[item % len(whole), rows, :, 0].view(kind) for whole in wholes], out[rows].view(kind))
                continue
            given = [whole[item % len(whole), rows].view(kind) for whole in sources.values()]
            cv2.mixChannels(given, [out[rows].view(kind)], [number for pair in numbers for number in pair])

    each_tile(width, height, (width, STRIP), work)
    return result


def check_sizes(rasters: dict[str, Image | Mask]) -> None:
    """One size, and batches that are equal or one; OperationError that names the two that differ."""
    (first, one), *others = rasters.items()
    for name, other in others:
        if other.size != one.size:
            raise OperationError(
                f"'{first}' is {one.width}x{one.height}, '{name}' is {other.width}x{other.height}: 'resize' or 'crop' one"
            )
    batches = sorted({raster.batch for raster in rasters.values()} - {1})
    if len(batches) > 1:
        raise OperationError(f"batches of {batches[0]} and {batches[1]}: they must be equal, or one")


def wrap_of(rasters: Sequence[Image | Mask]) -> tuple[bool, bool]:
    """What is made of several pictures tiles where all of them do."""
    return all(raster.wrap[0] for raster in rasters), all(raster.wrap[1] for raster in rasters)


def named(image: Image | Mask, name: str) -> int:
    """The position of a channel; OperationError that lists the names where there is none."""
    if name not in image.channels:
        kind = "mask" if isinstance(image, Mask) else "image"
        raise OperationError(f"the {kind} has no channel '{name}', only {', '.join(image.channels)}")
    return image.channels.index(name)


def check_names(names: Sequence[str]) -> None:
    """Every channel has a name, and no two have one."""
    if "" in names:
        raise OperationError("a channel needs a name, got an empty one")
    twice = next((name for name in names if list(names).count(name) > 1), None)
    if twice is not None:
        raise OperationError(f"two channels would have the name '{twice}': give each its own")

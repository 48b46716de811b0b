"""How pictures are given to a network, and where in them its answers lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn.functional import interpolate, pad

from pipeline_core import Image, Model, OperationError
from pipeline_models import networks

LUMA = (0.2126, 0.7152, 0.0722)  # Rec. ITU-R BT.709-6, item 3.2
ENCODED = ("srgb_rec709_scene", "data")
AT_ONCE = 1 << 20
"""So many pixels are given to a network together; one picture may have more."""


class Reading(BaseModel):
    """What a network from elsewhere wants; what is left out is as the model says, else as it is for ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Annotated[
        tuple[Annotated[int, Field(ge=1, le=16384)], Annotated[int, Field(ge=1, le=16384)]] | None,
        Field(description="width, height that pictures are brought to; as they are by default"),
    ] = None
    fit: Annotated[
        Literal["stretch", "inside"] | None,
        Field(description="to that size: both sides (stretch), or as large as fits, gray at the right and below"),
    ] = None
    channels: Annotated[Literal[1, 3] | None, Field(description="gray, or red, green and blue")] = None
    mean: Annotated[list[float] | None, Field(description="taken from each channel of 0 to 1")] = None
    std: Annotated[list[float] | None, Field(description="that what is left is divided by")] = None
    scale: Annotated[float | None, Field(gt=0, description="the value of white, before mean and std")] = None
    labels: Annotated[list[str] | None, Field(description="names of the classes, in order")] = None


As = Annotated[Reading, Field(description="how a network that does not say so itself wants its pictures")]


@dataclass(frozen=True)
class Reader:
    """A network with what it wants."""

    model: Model
    size: tuple[int, int] | None
    fit: str | None
    channels: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float
    labels: tuple[str, ...]

    def label(self, index: int) -> str:
        """The name of a class; its number where it has none."""
        return self.labels[index] if index < len(self.labels) else str(index)

    def check(self, image: Image) -> None:
        """OperationError for a picture that it can't read."""
        if image.color not in ENCODED:
            raise OperationError(
                f"'{self.model.name}' reads srgb_rec709_scene, this is {image.color}: 'color_convert' it before"
            )
        if not ({"R", "G", "B"} <= set(image.channels) or "Y" in image.channels):
            raise OperationError(
                f"'{self.model.name}' reads R, G, B or Y, this has {', '.join(image.channels)}: 'select_channels' or "
                "'rename_channels'"
            )

    def network(self, device: str) -> nn.Module:
        """The network itself, on that device."""
        return networks.build(self.model, device)

    def seen(self, image: Image, channels: int) -> torch.Tensor:
        """`(B, channels, H, W)`, what there is to see: of 0 to 1, transparent is black, NaN is black."""
        lit = image.associate()
        if {"R", "G", "B"} <= set(image.channels):
            colors = lit.pixels[:, [image.index(name) for name in "RGB"]]
            if channels == 1:
                colors = (colors * colors.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        else:
            colors = lit.channel("Y").expand(-1, channels, -1, -1)
        return colors.nan_to_num(0.0, 1.0, 0.0).clamp(0, 1)

    def normal(self, pixels: torch.Tensor) -> torch.Tensor:
        """The numbers that it was trained with."""
        if (self.scale, self.mean, self.std) != (1.0, (0.0,), (1.0,)):
            mean, std = (pixels.new_tensor(part).view(1, -1, 1, 1) for part in (self.mean, self.std))
            pixels = (pixels * self.scale - mean) / std
        return pixels.contiguous(memory_format=torch.channels_last)

    def windows(self, image: Image, margin: int = 0, fit: str = "stretch") -> Iterator[Window]:
        """The pictures of a batch, as many at once as there is room for, as the network wants them.

        With a margin, pictures that tile are given with so much of what is beyond their seams. To the one size that a network
        of others takes they are brought as `fit` says, where nothing else does.
        """
        self.check(image)
        network = self.network(image.device)
        fixed = getattr(network, "size", None)
        if fixed and self.size not in (None, fixed):
            given, (width, height) = f"{self.size[0]}x{self.size[1]}", fixed
            raise OperationError(
                f"'{self.model.name}' takes pictures of {width}x{height} alone, not {given}: leave 'reading.size' out"
            )
        if fixed and self.size is None:
            yield from replace(self, size=fixed, fit=self.fit or fit).windows(image)
            return
        channels = self.channels or int(getattr(network, "channels", 3))
        _check_numbers(self, channels)
        # A network from elsewhere may take, or answer for, one picture only.
        ours = self.model.architecture in networks.architectures()
        many = max(1, AT_ONCE // (image.width * image.height)) if ours else 1
        for first in range(0, image.batch, many):
            part = image.with_buffer(image.buffer[first : first + many])
            yield self._window(first, self.seen(part, channels), image.wrap, margin)

    def _window(self, first: int, pixels: torch.Tensor, wrap: tuple[bool, bool], margin: int) -> Window:
        height, width = pixels.shape[-2:]
        left, top = (margin if wraps else 0 for wraps in wrap)
        if self.size is not None:
            wide, high = self.size
            scale = min(wide / width, high / height)
            inner = (
                (wide, high) if self.fit != "inside" else (max(1, round(width * scale)), max(1, round(height * scale)))
            )
            pixels = interpolate(pixels, size=inner[::-1], mode="bilinear", antialias=True)
            pixels = pad(pixels, (0, wide - inner[0], 0, high - inner[1]), value=0.5)
            return Window(first, self.normal(pixels), (0, 0), inner, (width, height))
        multiple = int(getattr(self.network(str(pixels.device)), "multiple", 1))
        right, bottom = (
            margin_before + (-(length + 2 * margin_before)) % multiple
            for length, margin_before in ((width, left), (height, top))
        )
        pixels = _wider(_wider(pixels, left, right, wrap[0]).mT, top, bottom, wrap[1]).mT
        return Window(first, self.normal(pixels), (left, top), (width, height), (width, height))


@dataclass(frozen=True)
class Window:
    """Pictures of a batch from `first` on, as the network wants them: `pixels` `(B, C, H, W)`.

    The pictures, of `size`, are at `start` and there of the size `inner`.
    """

    first: int
    pixels: torch.Tensor
    start: tuple[int, int]
    inner: tuple[int, int]
    size: tuple[int, int]

    def back(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps `(B, C, h, w)` of what the network saw, of the pictures alone and in their size."""
        high, wide = (a / b for a, b in zip(maps.shape[-2:], self.pixels.shape[-2:], strict=True))
        (left, top), (width, height) = self.start, self.inner
        maps = maps[
            ..., round(top * high) : round((top + height) * high), round(left * wide) : round((left + width) * wide)
        ]
        if maps.shape[-2:] == self.size[::-1]:
            return maps
        return interpolate(maps, size=self.size[::-1], mode="bilinear", antialias=True)


def reader(model: Model, given: Reading) -> Reader:
    """How a model reads: as the node says, else as the model's config does."""
    told: Mapping[str, Any] = model.config
    size = given.size or told.get("size")
    labels = given.labels or told.get("labels") or ()
    channels = given.channels or told.get("channels")
    mean, std = given.mean or told.get("mean") or [0.0], given.std or told.get("std") or [1.0]
    if any(value == 0 for value in std):
        raise OperationError("'std' has a 0, which nothing can be divided by")
    found = Reader(
        model, (int(size[0]), int(size[1])) if size else None, given.fit or told.get("fit"), channels,
        tuple(map(float, mean)), tuple(map(float, std)), given.scale or float(told.get("scale", 1.0)),
        tuple(map(str, labels)),
    )  # fmt: skip
    if channels is not None:
        _check_numbers(found, channels)
    return found


def _check_numbers(reads: Reader, channels: int) -> None:
    if channels not in (1, 3):
        raise OperationError(f"'{reads.model.name}' reads {channels} channels; pictures have 1 or 3")
    for name, values in (("mean", reads.mean), ("std", reads.std)):
        if len(values) not in (1, channels):
            raise OperationError(f"'{name}' has {len(values)} values; {channels} channels want one, or {channels}")


def one_answer(found: Any, model: Model, dimensions: int, what: str) -> torch.Tensor:
    """The one tensor that a network answers with; OperationError where it is another kind of network."""
    if isinstance(found, (list, tuple)) and len(found) == 1:
        found = found[0]
    if not isinstance(found, torch.Tensor) or found.ndim != dimensions:
        shapes = [tuple(part.shape) for part in (found if isinstance(found, (list, tuple)) else [found])]
        raise OperationError(f"'{model.name}' is no network to {what}: it answers with {', '.join(map(str, shapes))}")
    return found.float()


def _wider(pixels: torch.Tensor, before: int, after: int, wraps: bool) -> torch.Tensor:
    """More columns on both sides: those from beyond the seam, or the outermost again."""
    if not before and not after:
        return pixels
    width = pixels.shape[-1]
    columns = torch.arange(-before, width + after, device=pixels.device)
    return pixels[..., columns % width if wraps else columns.clamp(0, width - 1)]

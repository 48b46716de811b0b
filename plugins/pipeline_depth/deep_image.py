"""The kind `DeepImage`: any number of samples per pixel, each with its depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline_core import OperationError

Floats = np.ndarray[Any, np.dtype[np.float32]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

MAX_SAMPLES = 2**28


@dataclass(frozen=True, eq=False, repr=False)
class DeepImage:
    """One picture with any number of samples per pixel, in any order of depth, in CPU memory.

    offsets   `(height * width + 1,)` int64: pixel i (row by row) owns the samples offsets[i] to offsets[i + 1]
    samples   `(N, C)` float32: colour is associated (multiplied by the sample's own alpha)
    channels  names of the columns: Z is the depth of a sample's front, ZBack of its back where it is a volume
    color     a Colour Interop Forum id, or "data" where no channel is colour
    """

    offsets: Integers
    samples: Floats
    width: int
    height: int
    channels: tuple[str, ...]
    color: str = "lin_rec709_scene"
    meta: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "offsets", _array(self.offsets))
        object.__setattr__(self, "samples", _array(self.samples))
        pixels = self.width * self.height
        if self.width < 1 or self.height < 1:
            raise ValueError(f"DeepImage: the size must be at least 1x1, got {self.width}x{self.height}")
        if tuple(self.offsets.shape) != (pixels + 1,):
            raise ValueError(f"DeepImage: {pixels} pixels need {pixels + 1} offsets, got {tuple(self.offsets.shape)}")
        if tuple(self.samples.shape[1:]) != (len(self.channels),):
            raise ValueError(f"DeepImage: samples of {tuple(self.samples.shape)} for the channels {self.channels}")
        if len(set(self.channels)) != len(self.channels):
            raise ValueError(f"DeepImage: two channels have one name: {self.channels}")
        if int(self.offsets[0]) != 0 or int(self.offsets[-1]) != len(self.samples):
            raise ValueError(f"DeepImage: the offsets must run from 0 to the {len(self.samples)} samples there are")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), as people say it."""
        return self.width, self.height

    @property
    def counts(self) -> Integers:
        """How many samples each pixel has, `(height * width,)`."""
        return np.diff(self.offsets)

    def __str__(self) -> str:
        return f"{self.width}x{self.height} deep {','.join(self.channels)} {len(self.samples):,} samples {self.color}"

    def __repr__(self) -> str:
        return f"<DeepImage {self}>"


def _array(buffer: Any) -> np.ndarray[Any, Any]:
    """A tensor's memory as an array; what is on another device comes to the CPU."""
    return buffer if isinstance(buffer, np.ndarray) else buffer.detach().cpu().numpy()


def offsets_of(pixel: Integers, pixels: int) -> Integers:
    """The offsets of samples that lie in the order of their pixels."""
    offsets = np.zeros(pixels + 1, np.int64)
    np.cumsum(np.bincount(pixel, minlength=pixels), out=offsets[1:])
    return offsets


def check_composable(image: DeepImage) -> None:
    """OperationError where samples can't be put over one another."""
    apart = [name for name in image.channels if name in ("AR", "AG", "AB")]
    if apart:
        raise OperationError(f"the deep image has an alpha per colour ({', '.join(apart)}); one A for all is needed")
    for name in ("A", "Z"):
        if name not in image.channels:
            raise OperationError(f"the deep image has no channel '{name}': it has {', '.join(image.channels)}")
    unknown = int(np.isnan(depths(image)).any(axis=1).sum())
    if unknown:
        raise OperationError(f"the depth of {unknown:,} samples of the deep image is NaN")


def check_alike(images: list[DeepImage]) -> None:
    """OperationError where deep images are of different sizes, channels or colour spaces."""
    first = images[0]
    for image in images:
        check_composable(image)
        if image.size != first.size:
            raise OperationError(f"deep images of one size are needed: got {first} and {image}")
        if set(image.channels) - {"ZBack"} != set(first.channels) - {"ZBack"}:
            raise OperationError(f"deep images with the same channels are needed: got {first} and {image}")
        if image.color != first.color:
            raise OperationError(f"deep images of one colour space are needed: got {first} and {image}")


def depths(image: DeepImage) -> Floats:
    """`(N, 2)`: the front and the back of every sample; one and the same where it is no volume."""
    front = image.samples[:, image.channels.index("Z")]
    back = image.samples[:, image.channels.index("ZBack")] if "ZBack" in image.channels else front
    return np.stack([front, np.maximum(front, back)], axis=1)


def shared_pixels(images: list[DeepImage]) -> Flags:
    """In which pixels more than one of these images has samples."""
    return np.asarray(np.sum([image.counts > 0 for image in images], axis=0) > 1)


def joined(images: list[DeepImage]) -> tuple[Integers, Floats, tuple[str, ...]]:
    """All samples of these images: their pixels, their values, and the names of those.

    ZBack is there where one of the images has it; a sample of one that has none ends where it starts.
    """
    channels = images[0].channels
    if "ZBack" not in channels and any("ZBack" in image.channels for image in images):
        channels += ("ZBack",)
    pixel = np.concatenate([np.repeat(np.arange(len(image.counts)), image.counts) for image in images])
    return pixel, np.concatenate([_in_order(image, channels) for image in images]), channels


def _in_order(image: DeepImage, channels: tuple[str, ...]) -> Floats:
    """The samples with their columns in this order."""
    if image.channels == channels:
        return image.samples
    return image.samples[:, [image.channels.index(name if name in image.channels else "Z") for name in channels]]

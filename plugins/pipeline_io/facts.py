"""What a file's header says before a pixel is decoded, and the limits that it is held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipeline_core import Alpha, OperationError

MAX_FILE_BYTES = 2**31
"""Larger files are refused unread: 2 GiB."""

MAX_PIXELS = 2**28
"""Larger pictures are refused undecoded: 16384 x 16384."""

MAX_STREAMED_PIXELS = 2**34
"""The limit where rows are read as they are needed: 131072 x 131072."""

FormatName = Literal[
    "png", "jpeg", "webp", "tiff", "bmp", "exr", "hdr", "psd", "dds", "tga", "qoi", "pnm", "jxl", "avif"
]
READ = "PNG, JPEG, WebP, TIFF, BMP, OpenEXR, HDR, PSD, DDS, TGA, QOI, PNM, JPEG XL and AVIF"

MAIN, EVERYTHING = "", "*"
"""Layers of exr that have no name of their own: the main picture, and all channels."""

CHANNELS: dict[int, tuple[str, ...]] = {
    1: ("Y",),
    2: ("Y", "A"),
    3: ("R", "G", "B"),
    4: ("R", "G", "B", "A"),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """Which of a file's pixels are wanted, where it holds more than one picture, and where in the result they lie.

    `channels` are their names and types (half, float, uint) in the file; `left` and `top` may be negative.
    """

    part: int
    channels: tuple[tuple[str, str], ...]
    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Facts:
    """A file's header in our words. Width and height are as stored, before `orientation` (Exif's 1 to 8) is applied.

    `room` is the most bytes of pixels that the file's own bytes can hold, where its compression has a limit.
    `stored` says what to decode where that is not simply everything; `shrink` that the size is a half, a quarter or an
    eighth of the file's.
    """

    format: FormatName
    width: int
    height: int
    channels: tuple[str, ...]
    dtype: str = "uint8"
    alpha: Alpha = "none"
    color: str = "srgb_rec709_scene"
    orientation: int = 1
    meta: Mapping[str, str] = field(default_factory=dict)
    room: int | None = None
    stored: Stored | None = None
    shrink: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as seen: orientations 5 to 8 lie on their side."""
        return (self.height, self.width) if self.orientation > 4 else (self.width, self.height)

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded pixels."""
        return self.width * self.height * len(self.channels) * {"uint8": 1, "float32": 4}.get(self.dtype, 2)


def within_limits(facts: Facts, most: int = MAX_PIXELS) -> Facts:
    """The facts themselves; OperationError where decoding them would cost more than a file may ask for."""
    width, height = facts.width, facts.height
    if width < 1 or height < 1:
        raise OperationError(f"damaged {facts.format} file: its header says {width}x{height} pixels")
    if width * height > most:
        raise OperationError(
            f"{width}x{height} is {width * height:,} pixels, above the limit of {most:,}: cut it into parts"
        )
    if facts.room is not None and facts.nbytes > facts.room + 65536:
        raise OperationError(
            f"damaged {facts.format} file: its header says {width}x{height} pixels, more than its bytes can hold"
        )
    return facts

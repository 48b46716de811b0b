"""The colour of an image as straight planes, and a key put back as its alpha."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline_core import Image, Mask, OperationError, each_tile, empty
from pipeline_core import opencv as cv2

if TYPE_CHECKING:
    from torch import Tensor

Floats = np.ndarray[Any, np.dtype[np.float32]]
MOST_CHANNELS = 32  # OpenCV takes a few more, all of its versions take these
STRIP = 24
"""Rows made at a time."""


class Keyed(NamedTuple):
    image: Image
    mask: Mask


def color_of(image: Image, operation: str, kinds: Sequence[str] = ("RGB", "Y")) -> Tensor:
    """`(B, C, H, W)`, contiguous: straight R, G, B, or Y where the operation takes that too."""
    return image.unassociate().pixels[:, colors_of(image, operation, kinds)].contiguous()


def colors_of(image: Image, operation: str, kinds: Sequence[str]) -> list[int]:
    """Where R, G and B are, or Y where the operation takes that too."""
    found = [name for name in image.channels if name in "RGBY"]
    for names in kinds:
        if sorted(found) == sorted(names):
            return [image.index(name) for name in names]
    wanted = " or ".join(", ".join(names) for names in kinds)
    raise OperationError(f"{operation} wants {wanted}, the image has {', '.join(image.channels)}")


def keyed_by(image: Image, mask: Mask) -> Keyed:
    """As `keyed`, of arrays: the colours stay as they are."""
    straight = image.unassociate()
    channels = image.channels
    if image.alpha == "none":
        after = max(image.index(name) for name in channels if name in "RGBY") + 1
        channels = (*channels[:after], "A", *channels[after:])
    batch, at = max(image.batch, mask.batch), channels.index("A")
    result = empty((batch, image.height, image.width, len(channels)))

    def work(rows: slice, _: slice) -> None:
        given, covers = straight.with_buffer(straight.buffer[:, rows]).array, mask.array[:, rows]
        for i, out in enumerate(result[:, rows]):
            item, cover = given[i % len(given)], covers[i % len(covers)]
            if image.alpha != "none":
                out[:] = item
                with np.errstate(invalid="ignore"):  # infinity times 0
                    out[..., at] *= cover[..., 0]
            elif len(channels) > MOST_CHANNELS:
                out[:] = np.insert(item, at, cover[..., 0], axis=2)
            else:
                places = [*range(at), item.shape[2], *range(at, item.shape[2])]
                numbers = [number for pair in zip(places, range(len(channels)), strict=True) for number in pair]
                cv2.mixChannels([item, np.ascontiguousarray(cover)], [out], numbers)

    each_tile(image.width, image.height, (image.width, STRIP), work)
    state = "straight" if image.alpha == "none" else straight.alpha
    return Keyed(straight.with_array(result, channels=channels, alpha=state).with_alpha_state(image.alpha), mask)


def with_color(image: Image, color: Tensor, coverage: Tensor | None = None) -> Image:
    """The image with these straight colours, its alpha (1 where it has none) multiplied by `coverage`.

    Alpha that is new stands behind the colour, and is straight.
    """
    import torch

    straight = image.unassociate()
    names = "RGB" if color.shape[1] == 3 else "Y"
    channels = image.channels
    planes = {name: color[:, i : i + 1] for i, name in enumerate(names)}
    if coverage is not None:
        planes["A"] = coverage if image.alpha == "none" else coverage * straight.channel("A")
        if image.alpha == "none":
            after = max(channels.index(name) for name in names) + 1
            channels = (*channels[:after], "A", *channels[after:])
    batch = max(image.batch, len(color))
    parts = [planes[name] if name in planes else straight.channel(name) for name in channels]
    stacked = torch.cat([part.expand(batch, -1, -1, -1) for part in parts], dim=1)
    alpha = "straight" if "A" in channels else "none"
    done = straight.with_pixels(stacked, channels=channels, alpha=alpha)
    return done.with_alpha_state(image.alpha)


def keyed(image: Image, color: Tensor, coverage: Tensor) -> Keyed:
    """The image with its alpha multiplied by the key, and the key."""
    return Keyed(with_color(image, color, coverage), Mask(coverage.permute(0, 2, 3, 1), wrap=image.wrap))


def check_pair(image: Image, plate: Image) -> None:
    """A plate shows the same frame without the figure."""
    if plate.size != image.size:
        found = f"image is {image.width}x{image.height}, plate is {plate.width}x{plate.height}"
        raise OperationError(f"{found}: crop or resize the plate")
    if plate.color != image.color:
        raise OperationError(f"image is {image.color}, plate is {plate.color}: convert one of them with color_convert")
    if len({image.batch, plate.batch} - {1}) > 1:
        raise OperationError(f"batches of {image.batch} and {plate.batch}: must be equal, or one")


def ramp(values: Tensor, low: float, high: float) -> Tensor:
    """0 up to `low`, 1 from `high` on, a straight line between; a step at `high` where they are one."""
    if high <= low:
        return (values >= high).to(values.dtype)
    return ((values - low) / (high - low)).clamp(0, 1)

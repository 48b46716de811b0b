"""Radiance HDR: the header's facts, and writing. Source: the Radiance manual, "Picture File Format" (Ward)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from pipeline_core import OperationError
from pipeline_io.facts import CHANNELS, Facts

_SIZE = re.compile(rb"\n\n([-+])Y (\d{1,9}) ([-+])X (\d{1,9})\n")
_TURNED = re.compile(rb"\n\n[-+]X \d+ [-+]Y \d+\n")


def probe(content: bytes) -> Facts:
    """What the header says."""
    found = _SIZE.search(content, 0, 65536)
    if found is None:
        if _TURNED.search(content, 0, 65536):
            raise OperationError("an hdr file stored column by column; what is read is stored row by row")
        raise OperationError("damaged hdr file: its header does not say the size")
    if b"32-bit_rle_xyze" in content[: found.start()]:
        raise OperationError("an hdr file of XYZ; what is read is RGB")
    if (found[1], found[3]) != (b"-", b"+"):
        raise OperationError("an hdr file stored from another corner; what is read is stored from the upper left")
    height, width = int(found[2]), int(found[4])
    return Facts(
        "hdr",
        width,
        height,
        CHANNELS[3],
        dtype="float32",
        color="lin_rec709_scene",
        # A run of 127 in two bytes; four bytes make a pixel of twelve.
        room=(len(content) - found.end()) * 64 * 3,
    )


def encode(pixels: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
    """An HDR of `(H, W, 3)` float32 pixels, 8 bits and a common exponent each, not run-length coded.

    Rounded to the nearest; negative values are 0, and what is too large for the exponent is the largest.
    """
    height, width, _ = pixels.shape
    values = np.clip(pixels, 0, np.float32(255 * 2.0**119))
    _, exponent = np.frexp(values.max(axis=2))
    # The largest of the three is to be from 128 to 255: where it rounds to 256, half the scale.
    exponent += np.rint(np.ldexp(values.max(axis=2), 8 - exponent)) > 255
    mantissa = np.rint(np.ldexp(values, (8 - exponent)[:, :, None]))
    out = np.zeros((height, width, 4), np.uint8)
    held = (values.max(axis=2) > 0) & (exponent > -128)
    out[held, :3] = mantissa[held]
    out[held, 3] = exponent[held] + 128
    head = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n"
    return head.encode() + out.tobytes()

"""Operations for the attacks: numpy alone, so that a forked child can run them, and the same bits on every machine."""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline_core import Image, Seed, operation

CHANNELS = ("R", "G", "B", "A")


def _noise_facts(*, seed: Seed, size: int, seconds: float = 0.0) -> Image:
    return Image.stand_in(size, size, channels=CHANNELS, alpha="straight")


@operation(cache="always", infer=_noise_facts)
def soak_noise(*, seed: Seed, size: Annotated[int, Field(ge=1)], seconds: float = 0.0) -> Image:
    """Noise of a size; `seconds` is how long it takes at least."""
    time.sleep(seconds)
    pixels = np.random.default_rng(seed).random((1, size, size, 4), np.float32)
    return Image(pixels, channels=CHANNELS, alpha="straight")


def _same_facts(image: Image, *, shift: int, seconds: float = 0.0) -> Image:
    return image


@operation(cache="always", infer=_same_facts)
def soak_roll(image: Image, *, shift: int, seconds: float = 0.0) -> Image:
    """The picture shifted round by rows, and a little of itself; `seconds` is how long it takes at least."""
    time.sleep(seconds)
    array = image.buffer
    return image.with_buffer(np.roll(array, shift, 1) * np.float32(0.75) + array * np.float32(0.25))


def _corner_facts(image: Image, *, seconds: float = 0.0) -> Image:
    return Image.stand_in(8, 8, channels=CHANNELS, alpha="straight")


@operation(cache="always", infer=_corner_facts)
def soak_corner(image: Image, *, seconds: float = 0.0) -> Image:
    """The first 8 rows and columns: small, and dear where `seconds` says so."""
    time.sleep(seconds)
    return image.with_buffer(np.ascontiguousarray(image.buffer[:, :8, :8]))

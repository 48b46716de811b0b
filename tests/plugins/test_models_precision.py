"""Networks that multiply with 16 bits: what an accelerator does, done on the CPU, where operations never do it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pipeline_models import networks, precision
from pipeline_models.denoise import denoise_model
from pipeline_models.inpaint import inpaint
from pipeline_models.load import load_model
from pipeline_models.precision import Precision, computing
from pipeline_models.upscale.super_resolve import super_resolve

from pipeline_core import Image, Mask
from training.holes import irregular
from training.photographs import HELD_BACK, photograph

WHERE = Mask(irregular(96, 120, np.random.default_rng(0), 0.2).astype(np.float32)[None, ..., None])
OPERATIONS: dict[str, Callable[[Image, Precision], Image]] = {
    "x2": lambda image, bits: super_resolve(image, precision=bits),
    "x4": lambda image, bits: super_resolve(image, factor=4, precision=bits),
    "denoise": lambda image, bits: denoise_model(image, strength=0.05, precision=bits),
    "inpaint": lambda image, bits: inpaint(image, WHERE, precision=bits),
}


@pytest.fixture
def photo() -> Image:
    return Image(photograph(HELD_BACK[0])[None, 100:196, 100:220].astype(np.float32) / 255)


@pytest.mark.parametrize("name", OPERATIONS)
def test_on_the_cpu_it_makes_no_difference(photo: Image, name: str) -> None:
    found = [OPERATIONS[name](photo, bits).array for bits in ("full", "half")]
    assert np.array_equal(*found)


@pytest.mark.parametrize("name", OPERATIONS)
def test_half_is_within_half_a_step_of_8_bits(photo: Image, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OPERATIONS[name](photo, "full").array

    def everywhere(bits: Precision, device: str) -> object:
        return precision._short("cpu") if bits == "half" else computing(bits, device)

    for module in ("upscale.tiles", "inpaint.learned"):
        monkeypatch.setattr(f"pipeline_models.{module}.computing", everywhere)
    half = OPERATIONS[name](photo, "half")
    assert half.dtype == "float32"
    assert 0 < np.abs(half.array - full).max() < 0.5 / 255


@torch.no_grad()
def test_rows_at_a_time_too(photo: Image) -> None:
    network = networks.build(load_model(name="photo-x2"))
    with precision._short("cpu"):
        whole, rows = network(photo.pixels), network(photo.pixels, rows=16)
    assert (whole - rows).abs().max() < 0.5 / 255
    assert rows.dtype == torch.float32

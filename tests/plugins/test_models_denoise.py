"""Noise taken out of photographs by a network: how well, and what stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pipeline_filter import denoise
from pipeline_models.denoise import denoise_model, measured
from pipeline_models.load import load_model

from pipeline_core import Image, OperationError
from training.photographs import photograph


def noisy(strength: float, side: int = 128, gain: float = 1) -> tuple[Image, Image]:
    """A part of a photograph that no training saw, as it is and with noise."""
    whole = photograph("skimage:camera.png")[100 : 100 + side, 160 : 160 + side].astype(np.float32) / 255 * gain
    noise = np.random.default_rng(1).normal(0, strength, whole.shape).astype(np.float32)
    return Image(whole[None]), Image((whole + noise)[None])


def psnr(found: Image, wanted: Image) -> float:
    return float(-10 * np.log10(np.square(found.array - wanted.array).mean()))


@pytest.mark.parametrize("strength", [0.04, 0.1, 0.2])
def test_more_of_the_photograph_is_left_than_by_means_over_what_looks_alike(strength: float) -> None:
    whole, given = noisy(strength)
    found = denoise_model(given)
    plain = max(psnr(denoise(given, strength=share * strength), whole) for share in (0.7, 0.9))
    assert psnr(found, whole) > plain + 1.0
    assert (
        psnr(found, whole) > psnr(denoise_model(given, strength=strength), whole) - 0.3
    )  # measured is as good as told


@pytest.mark.parametrize("strength", [0.03, 0.1])
def test_convention_the_strength_is_the_deviation_of_the_noise_and_is_measured(strength: float) -> None:
    _, given = noisy(strength)
    assert measured(given) == pytest.approx(strength, abs=0.006)  # fine texture counts as noise
    flat = Image.stand_in(1, 1).with_buffer(np.full((1, 1, 1, 3), 0.5, np.float32))
    assert measured(flat) == 0
    assert np.allclose(denoise_model(flat).array, 0.5, atol=0.02)


def test_tiles_are_as_the_whole_and_what_tiles_still_tiles() -> None:
    _, given = noisy(0.1)
    assert torch.allclose(denoise_model(given, tile=48).pixels, denoise_model(given, tile=128).pixels, atol=1e-5)
    tiling = Image(given.array, wrap=(True, True))
    turned = Image(np.roll(given.array, (16, 40), (1, 2)), wrap=(True, True))
    found = np.roll(denoise_model(tiling, strength=0.1).array, (16, 40), (1, 2))
    assert np.allclose(found, denoise_model(turned, strength=0.1).array, atol=1e-5)


def test_alpha_and_light_beyond_white_stay() -> None:
    whole, given = noisy(0.05)
    alpha = np.ones_like(whole.array[..., :1])
    alpha[:, 40:60] = 0.5
    alpha[:, 60:] = 0
    with_alpha = Image(np.concatenate([given.array, alpha], -1), channels=("R", "G", "B", "A"), alpha="straight")
    found = denoise_model(with_alpha, strength=0.05)
    assert np.array_equal(found.array[..., 3:], alpha)
    assert psnr(Image(found.array[:, :60, :, :3]), Image(whole.array[:, :60])) > psnr(
        Image(given.array[:, :60]), Image(whole.array[:, :60])
    ) + 4  # fmt: skip
    lit = given.array.copy()
    lit[:, 30:50, 30:50] = 20
    found = denoise_model(Image(lit, color="lin_rec709_scene"), strength=0.02)
    assert np.allclose(found.array[:, 32:48, 32:48], 20, rtol=0.01)


def test_each_picture_of_a_batch_is_measured_by_itself() -> None:
    weak, strong = noisy(0.03)[1], noisy(0.15)[1]
    both = denoise_model(Image(np.concatenate([weak.array, strong.array])))
    assert np.allclose(both.array[:1], denoise_model(weak).array, atol=1e-6)
    assert np.allclose(both.array[1:], denoise_model(strong).array, atol=1e-6)


def test_a_model_of_another_purpose_is_refused() -> None:
    with pytest.raises(OperationError, match=r"'photo-inpaint' \(fill holes in photographs\) does not take noise out"):
        denoise_model(noisy(0.1)[1], load_model(name="photo-inpaint"))

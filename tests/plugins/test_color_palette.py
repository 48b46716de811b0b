"""Few colours: quantize, palette_map, and dithering by error diffusion."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pipeline_color import dither, palette_map, quantize

from pipeline_core import Image, OperationError

RNG = np.random.default_rng(4)


def picture(height: int = 40, width: int = 56, channels: str = "RGB") -> Image:
    y, x = np.mgrid[:height, :width] / width
    pixels = np.stack([x, y, (np.sin(9 * x * y) + 1) / 2, np.ones_like(x)], axis=2)[..., : len(channels)]
    alpha = "straight" if "A" in channels else "none"
    return Image(pixels[None].astype(np.float32), channels=tuple(channels), alpha=alpha)  # type: ignore[arg-type]


def listed(plane: np.ndarray, steps: int) -> np.ndarray:
    """Floyd and Steinberg's algorithm pixel by pixel, as their paper tells it."""
    work = np.pad(plane.astype(np.float64), ((0, 1), (1, 1)))
    for y in range(plane.shape[0]):
        for x in range(1, plane.shape[1] + 1):
            rounded = np.rint(work[y, x] * steps) / steps
            error = work[y, x] - rounded
            work[y, x] = rounded
            for dy, dx, share in ((0, 1, 7), (1, -1, 3), (1, 0, 5), (1, 1, 1)):
                work[y + dy, x + dx] += error * share / 16
    return work[:-1, 1:-1]


@pytest.mark.parametrize("size", [(1, 9), (9, 1), (7, 12), (12, 7)])
def test_convention_errors_go_right_and_down_row_by_row(size: tuple[int, int]) -> None:
    plane = RNG.random(size, np.float32)
    found = dither(Image(plane[None, ..., None], channels=("Y",)), levels=3, method="floyd-steinberg").array[0, ..., 0]
    assert np.abs(found - listed(plane, 2)).max() < 1e-6


def test_diffusion_keeps_averages_and_hides_nothing_under_alpha_0() -> None:
    image = picture(64, 64)
    shown = dither(image, levels=2, method="floyd-steinberg").array
    assert set(np.unique(shown)) == {0, 1}
    blocks = [part.array[0].reshape(8, 8, 8, 8, 3).mean((1, 3)) for part in (image, image.with_array(shown))]
    assert np.abs(blocks[0] - blocks[1]).max() < 0.12
    pixels = np.full((1, 8, 8, 4), 0.5, np.float32)
    pixels[:, :, :4, 3] = 0
    results = []
    for hidden in (0.1, 7.0, np.nan):
        pixels[:, :, :4, :3] = hidden
        straight = Image(pixels.copy(), channels=tuple("RGBA"), alpha="straight")
        results.append(dither(straight, levels=2, method="floyd-steinberg").array[:, :, 4:])
    assert all(np.array_equal(one, results[0]) for one in results)


def test_few_colours_are_found_as_they_are() -> None:
    colors = RNG.random((5, 3), np.float32)
    image = Image(colors[RNG.integers(0, 5, (1, 20, 30))])
    found = quantize(image, colors=8)
    assert np.allclose(found.image.array, image.array, atol=1e-6)
    assert np.allclose(np.unique(found.palette.array[0, 0], axis=0), np.unique(colors, axis=0), atol=1e-6)
    assert found.palette.size == (8, 1)


def test_more_colours_are_nearer_and_no_more_than_asked_for() -> None:
    image = picture()
    errors = []
    for colors in (2, 8, 32):
        found = quantize(image, colors=colors)
        assert len(np.unique(found.image.array.reshape(-1, 3), axis=0)) <= colors
        assert np.array_equal(palette_map(image, found.palette).array, found.image.array)
        errors.append(np.square(found.image.array - image.array).mean())
    assert errors[0] > 2 * errors[1] > 6 * errors[2]
    values = image.array.reshape(-1, 3).copy()
    # OpenCV's from random starts
    best, *_ = cv2.kmeans(values, 8, None, (3, 50, 1e-4), 5, cv2.KMEANS_RANDOM_CENTERS)  # type: ignore[call-overload]
    assert errors[1] * values.size < 1.15 * best


def test_what_is_transparent_has_no_colour_in_the_palette() -> None:
    pixels = np.zeros((1, 10, 10, 4), np.float32)
    pixels[0, :, :5] = [1, 0, 0, 1]
    pixels[0, :, 5:] = [0, 1, 0, 0]
    image = Image(pixels, channels=tuple("RGBA"), alpha="straight")
    assert np.array_equal(np.unique(quantize(image, colors=4).palette.array[0, 0], axis=0), [[1, 0, 0]])


@pytest.mark.parametrize("shown", ["none", "floyd-steinberg"])
def test_a_palette_by_colours(shown: str) -> None:
    image = picture(channels="RGBA")
    found = palette_map(image, colors=[(0, 0, 0, 1), (1, 1, 1, 1), (1, 0, 0, 1)], dither=shown)  # type: ignore[arg-type]
    assert found.alpha == "straight"
    assert {tuple(c) for c in found.array[0, ..., :3].reshape(-1, 3)} == {(0, 0, 0), (1, 1, 1), (1, 0, 0)}
    gray = Image(np.array([[[[0.2], [0.9]]]], np.float32), channels=("Y",))
    assert palette_map(gray, colors=[(0, 0, 0, 1), (1, 1, 1, 1)]).array.ravel().tolist() == [0, 1]


def test_refused() -> None:
    image = picture()
    with pytest.raises(OperationError, match="give one of them"):
        palette_map(image)
    with pytest.raises(OperationError, match="the palette lin_rec709_scene: color_convert"):
        palette_map(image, Image(image.buffer, color="lin_rec709_scene"))
    with pytest.raises(OperationError, match="5,000 colours: 1 to 4096"):
        palette_map(image, Image(RNG.random((1, 50, 100, 3), np.float32)))
    with pytest.raises(OperationError, match="only Z"):
        quantize(Image(RNG.random((1, 4, 4, 1), np.float32), channels=("Z",)))

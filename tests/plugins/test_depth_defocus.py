"""z_defocus: sharp at the focus, soft elsewhere, and nothing bleeds where it should not."""

from __future__ import annotations

import numpy as np
import pytest
from pipeline_depth import z_defocus

from pipeline_core import Image, OperationError

NAMES = ("R", "G", "B", "A", "Z")
RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


def scene(front: float, back: float, size: int = 48) -> Image:
    """A red square before blue, both with a fine pattern in green."""
    pixels = np.zeros((1, size, size, 5), np.float32)
    pixels[..., :3], pixels[..., 3], pixels[..., 4] = BLUE, 1, back
    inside = slice(size // 4, 3 * size // 4)
    pixels[:, inside, inside, :3], pixels[:, inside, inside, 4] = RED, front
    pixels[:, ::2, ::2, 1] = 1
    return Image(pixels, NAMES, color="lin_rec709_scene", alpha="associated")


def test_the_focus_stays_to_the_bit_and_depth_with_it() -> None:
    image = scene(5, 5)
    assert np.array_equal(z_defocus(image, focus=5.0).array, image.array)
    both = z_defocus(scene(4.5, 5.5), focus=5.0, sharp=1.0)
    assert np.array_equal(both.array, scene(4.5, 5.5).array)


def test_convention_the_radius_is_that_of_a_thin_lens() -> None:
    point = np.zeros((1, 41, 41, 2), np.float32)
    point[0, 20, 20, 0] = 1
    for z, wanted in ((np.inf, 8.0), (10.0, 4.0), (2.5, 8.0), (np.nan, 8.0), (0.0, 12.0), (1.0, 12.0)):
        point[..., 1] = z
        image = Image(point.copy(), ("Y", "Z"), color="lin_rec709_scene")
        found = z_defocus(image, focus=5.0, radius=8.0, limit=12.0).array[0, ..., 0]
        assert found.sum() == pytest.approx(1, abs=1e-4)
        y, x = np.mgrid[-20:21, -20:21]
        spread = np.sqrt((found * (x * x + y * y)).sum() * 2)  # of a disc the mean square is half its radius's
        assert spread == pytest.approx(wanted, abs=0.6)


def test_a_sharp_figure_before_a_soft_ground_has_no_halo() -> None:
    found = z_defocus(scene(5, np.inf), focus=5.0, radius=8.0).array[0]
    inside = found[12:36, 12:36]
    assert np.array_equal(inside, scene(5, np.inf).array[0, 12:36, 12:36])
    outside = np.ones((48, 48), bool)
    outside[12:36, 12:36] = False
    assert found[outside][:, 0].max() < 1e-6  # none of the figure's red
    assert np.abs(found[outside][:, 2] - 1).max() < 1e-5  # and no hole where the figure stood
    assert found[outside][:, 1].std() < 0.1


def test_a_soft_figure_covers_the_sharp_ground_softly() -> None:
    found = z_defocus(scene(2, 5), focus=5.0, radius=4.0).array[0]
    red = found[24, :, 0]
    assert 0.2 < red[9] < 0.6
    assert (np.diff(red[:24]) > -1e-5).all()
    assert np.array_equal(found[:4], scene(2, 5).array[0, :4])
    assert np.abs(found[..., 0] + found[..., 2] - 1).max() < 1e-4  # no dark rim
    assert found[..., 3] == pytest.approx(1, abs=1e-5)


def test_into_nothing_it_fades_without_a_fringe() -> None:
    image = scene(2, 1e30)
    pixels = np.array(image.array)
    pixels[..., :4] *= pixels[..., 4:] < 1e29
    pixels[..., 1] = 0
    associated = image.with_array(pixels)
    hidden = np.array(associated.unassociate().array)
    hidden[..., :3][hidden[..., 3] == 0] = 77
    for given in (associated, associated.with_array(hidden, alpha="straight")):
        found = z_defocus(given, focus=5.0, radius=4.0)
        assert found.alpha == given.alpha
        lit = found.associate().array[0]
        assert np.abs(lit[..., 0] - lit[..., 3]).max() < 1e-5
        assert 0.2 < lit[24, 10, 3] < 0.8


def test_a_slope_has_no_bands() -> None:
    image = np.ones((1, 64, 200, 2), np.float32) * 0.5
    image[..., 1] = np.linspace(1, 40, 200)
    found = z_defocus(Image(image, ("Y", "Z")), focus=5.0, radius=10.0).array[0, ..., 0]
    assert np.abs(found - 0.5).max() < 1e-4


def test_a_depth_of_its_own_and_tiling() -> None:
    image = scene(2, 5)
    depth = Image(image.buffer[..., 4:], ("Z",), color="data")
    plain = Image(image.buffer[..., :3], color="lin_rec709_scene")
    found = z_defocus(plain, depth, focus=5.0, radius=4.0).array
    assert np.allclose(found, z_defocus(image, focus=5.0, radius=4.0).array[..., :3], atol=1e-6)
    tiling = Image(np.array(plain.buffer), color="lin_rec709_scene", wrap=(True, True))
    rolled = [np.roll(part.array, 20, 2) for part in (tiling, depth)]
    moved = z_defocus(tiling.with_array(rolled[0]), depth.with_array(rolled[1]), focus=5.0, radius=4.0).array
    assert np.allclose(moved, np.roll(z_defocus(tiling, depth, focus=5.0, radius=4.0).array, 20, 2), atol=1e-5)


def test_refused() -> None:
    with pytest.raises(OperationError, match="no depth"):
        z_defocus(Image(np.zeros((1, 4, 4, 3), np.float32)), focus=1.0)

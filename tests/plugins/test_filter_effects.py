"""pixelize, vignette, bloom and drop_shadow: their formulas, alpha, and edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pipeline_filter import bloom, blur, drop_shadow, pixelize, vignette

from pipeline_core import Image, Mask, OperationError

RNG = np.random.default_rng(8)


def picture(channels: str = "RGB", size: tuple[int, int] = (20, 13), **fields: object) -> Image:
    values = RNG.random((1, size[1], size[0], len(channels)), np.float32)
    alpha = "straight" if "A" in channels else "none"
    return Image(values, channels=tuple(channels), alpha=alpha, **fields)  # type: ignore[arg-type]  # fields of an image


def disc(size: int = 41, radius: float = 6, color: float = 0.5) -> Image:
    y, x = np.mgrid[:size, :size] - size // 2
    alpha = (np.hypot(x, y) <= radius).astype(np.float32)
    return Image(
        np.stack([np.full_like(alpha, color)] * 3 + [alpha], axis=-1)[None], channels=tuple("RGBA"), alpha="straight"
    )


def test_convention_blocks_begin_in_the_upper_left_corner() -> None:
    image = picture()
    found = pixelize(image, size=8).array[0]
    for rows in (slice(0, 8), slice(8, 13)):
        for columns in (slice(0, 8), slice(8, 16), slice(16, 20)):
            mean = image.array[0, rows, columns].mean((0, 1))
            np.testing.assert_allclose(
                found[rows, columns], np.broadcast_to(mean, found[rows, columns].shape), atol=1e-6
            )
    np.testing.assert_array_equal(pixelize(image, size=1).array, image.array)


def test_hidden_colours_do_not_show_in_blocks() -> None:
    values = np.zeros((1, 4, 4, 4), np.float32)
    values[..., :3], values[0, :, :2, 3] = (0, 1, 0), 1
    values[0, :, :2, :3] = (1, 0, 0)
    found = pixelize(Image(values, channels=tuple("RGBA"), alpha="straight"), size=4)
    assert found.array[0, 0, 0].tolist() == [1, 0, 0, 0.5]
    assert pixelize(Mask(values[..., 3:]), size=4).array.flatten().tolist() == [0.5] * 16


def test_a_vignette_leaves_the_middle_and_takes_from_the_corners() -> None:
    image = picture("RGBA", (41, 21))
    found = vignette(image, amount=0.6, start=0.3).array[0] / image.array[0]
    np.testing.assert_allclose(found[10, 20], 1, atol=1e-6)
    np.testing.assert_array_equal(found[..., 3], 1)
    far = np.hypot(20 / 20.5, 10 / 10.5) / np.sqrt(2)
    u = (far - 0.3) / 0.7
    np.testing.assert_allclose(found[0, 0, :3], 1 - 0.6 * (3 * u**2 - 2 * u**3), atol=1e-5)
    np.testing.assert_allclose(found, found[::-1, ::-1], atol=1e-5)
    assert vignette(picture(wrap=(True, True))).wrap == (False, False)
    assert (vignette(image, amount=-0.5).array[0, 0, 0, :3] > image.array[0, 0, 0, :3]).all()


def test_a_round_vignette_is_as_far_down_as_across() -> None:
    image = Image(np.ones((1, 21, 41, 3), np.float32))
    found = vignette(image, amount=1, start=0, roundness=1).array[0, ..., 0]
    np.testing.assert_allclose(found[10, 30], found[20, 20], atol=1e-5)
    assert vignette(image, amount=1, start=0).array[0, 20, 20, 0] < found[20, 20]


def test_light_beyond_the_threshold_spills_over() -> None:
    values = np.zeros((1, 61, 61, 3), np.float32)
    values[0, 30, 30] = (5.0, 0.5, 0.9)
    found = bloom(Image(values), threshold=1.0, sigma=4, amount=0.5).array[0]
    spilled = blur(Image(np.maximum(values - 1, 0)), sigma=4).array[0]
    np.testing.assert_allclose(found, values[0] + 0.5 * spilled, atol=1e-6)
    assert found[30, 36, 0] > 0.005
    assert found[..., 1:].sum() == pytest.approx(1.4), "what is below the threshold stays where it is"


def test_light_of_what_is_transparent_counts_by_its_alpha() -> None:
    image = picture("RGBA", (30, 30))
    straight, associated = bloom(image, threshold=0.5, sigma=2), bloom(image.associate(), threshold=0.5, sigma=2)
    np.testing.assert_allclose(straight.associate().array, associated.array, atol=1e-5)
    np.testing.assert_array_equal(straight.array[..., 3], image.array[..., 3])
    np.testing.assert_array_equal(bloom(picture(), threshold=2).array.shape, (1, 13, 20, 3))


def test_a_shadow_lies_where_it_is_thrown_and_under_the_figure() -> None:
    image = disc()
    found = drop_shadow(image, x=10, y=4, sigma=0, opacity=0.5, color=(0.2, 0.0, 0.0, 1.0)).array[0]
    assert found[20, 20].tolist() == pytest.approx([0.5, 0.5, 0.5, 1])
    assert found[24, 30].tolist() == pytest.approx([0.2, 0, 0, 0.5])
    assert found[20, 10, 3] == 0
    soft = drop_shadow(image, x=10, y=4, sigma=2, opacity=0.5).associate().array[0]
    assert 0.1 < soft[24, 36, 3] < 0.4
    assert soft[..., :3].max() <= 0.5 + 1e-6


def test_a_shadow_leaves_the_frame_or_comes_in_on_the_other_side() -> None:
    image = disc(21, 4)
    gone = drop_shadow(image, x=40, y=0, sigma=1)
    np.testing.assert_allclose(gone.associate().array, image.associate().array, atol=1e-6)
    left = drop_shadow(image, x=-12, y=0, sigma=0).array[0, 10]
    assert left[0, 3] == pytest.approx(0.6)
    round_again = drop_shadow(image.with_buffer(image.buffer, wrap=(True, True)), x=12, y=0, sigma=1).array[0, 10]
    assert round_again[1, 3] > 0.3


def test_a_shadow_on_premultiplied_and_on_gray() -> None:
    image = disc()
    one, other = drop_shadow(image), drop_shadow(image.associate())
    assert (one.alpha, other.alpha) == ("straight", "associated")
    np.testing.assert_allclose(one.associate().array, other.array, atol=1e-6)
    gray = Image(image.array[..., [0, 3]], channels=("Y", "A"), alpha="straight")
    shown = drop_shadow(gray, x=10, y=4, sigma=0, color=(0.0, 1.0, 0.0, 1.0)).array[0, 24, 30]
    assert shown.tolist() == pytest.approx([0.7152, 0.6])
    with pytest.raises(OperationError, match="without alpha there is no figure"):
        drop_shadow(picture())


@pytest.mark.parametrize("by", [(3, -2), (-400, 1), (2, 4000)])
@pytest.mark.parametrize("wrap", [(False, False), (True, False), (True, True)])
def test_compiled_shadows_are_what_formulas_give(
    wrap: tuple[bool, bool], by: tuple[int, int], as_formulas: Callable[..., None]
) -> None:
    params: Any = {"x": by[0], "y": by[1], "sigma": 1.5, "color": (0.2, 0.4, 0.1, 0.9)}
    as_formulas(
        lambda image: drop_shadow(image.with_buffer(image.buffer, wrap=wrap), **params), ("YA", "RGBA", "ABRGZ")
    )

"""noise and uv_map: by place and seed alone, seamless where asked, in 0..1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pipeline_generate import noise, uv_map
from pipeline_generate.hashing import hashed

SMOOTH: list[dict[str, Any]] = [
    {"kind": "value"},
    {"kind": "perlin"},
    {"kind": "simplex"},
    {"kind": "worley"},
    {"kind": "worley", "feature": "f2"},
    {"kind": "worley", "feature": "f2-f1"},
]
PINNED = [0.15072393, 0.39496672, 0.35194266, 0.46672937, 0.45283404, 0.5213778, 0.1163507, 0.4590981]
ALL = [{"kind": "white"}, *SMOOTH, {"kind": "worley", "feature": "cell"}]


def pixels(**params: Any) -> np.ndarray[Any, Any]:
    return np.asarray(noise(**{"width": 48, "height": 40, "scale": 9.0, **params}).buffer)[0]


def test_the_hash_is_pcg4d() -> None:
    # Worked out by hand from the paper's listing, in Python's own integers.
    def listing(v: list[int]) -> list[int]:
        mask = 0xFFFFFFFF
        x, y, z, w = ((part * 1664525 + 1013904223) & mask for part in v)
        for mixed in (False, True):
            if mixed:
                x, y, z, w = (part ^ (part >> 16) for part in (x, y, z, w))
            x = (x + y * w) & mask
            y = (y + z * x) & mask
            z = (z + x * y) & mask
            w = (w + y * z) & mask
        return [x, y, z]

    found = hashed(np.array([[3, -1]]), np.array([[-7, 12345]]), seed=99, stream=5)
    for i, place in enumerate([(3, -7 & 0xFFFFFFFF), (0xFFFFFFFF, 12345)]):
        assert [int(part[0, i]) for part in found] == listing([*place, 99, 5])


@pytest.mark.parametrize("params", ALL, ids=str)
def test_a_pixel_does_not_depend_on_the_size(params: Any) -> None:
    params = {**params, "seed": 5, "octaves": 3}
    whole = pixels(**params)
    assert np.array_equal(whole[11:31, 17:40], pixels(**params, width=23, height=20, x=17.0, y=11.0))


@pytest.mark.parametrize("params", ALL, ids=str)
@pytest.mark.parametrize("seamless", [False, True])
def test_values_lie_in_0_to_1_and_differ_by_seed(params: Any, seamless: bool) -> None:
    first, other = (pixels(**params, seamless=seamless, octaves=2, seed=seed) for seed in (0, 2**62))
    assert first.min() >= 0
    assert first.max() <= 1
    assert first.std() > 0.05
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.5  # there are few cells


@pytest.mark.parametrize("params", SMOOTH, ids=str)
@pytest.mark.parametrize("octaves", [1, 3])
def test_seamless_noise_has_no_seam(params: Any, octaves: int) -> None:
    params = {**params, "octaves": octaves, "seamless": True, "scale": 24.0}
    tile = pixels(**params)
    assert noise(width=48, height=40, **params).wrap == (True, True)
    for axis in (0, 1):
        jumps = np.abs(np.diff(np.concatenate([tile, tile.take([0], axis)], axis), axis=axis))
        assert jumps.take(-1, axis).max() <= 1.5 * jumps.take(range(jumps.shape[axis] - 1), axis).max()
    # The plane goes on with the same tile: moved by its size, nothing changes.
    assert pixels(**params, x=48.0, y=-40.0) == pytest.approx(tile, abs=1e-5)


def test_seamless_white_noise_and_not_seamless_are_alike() -> None:
    assert np.array_equal(pixels(kind="white"), pixels(kind="white", seamless=True))
    assert noise(width=4, height=4).wrap == (False, False)


def test_white_noise_is_even() -> None:
    values = pixels(kind="white", width=128, height=128, seed=3)
    counts, _ = np.histogram(values, 16, (0, 1))
    assert counts == pytest.approx(1024, abs=130)  # 4 sigma
    right, below = values[:, 1:] - values.mean(), values[1:] - values.mean()
    assert abs((right * (values[:, :-1] - values.mean())).mean()) < 0.003
    assert abs((below * (values[:-1] - values.mean())).mean()) < 0.003


def test_perlin_noise_is_half_at_lattice_points_and_value_noise_is_the_random_value() -> None:
    # Scale 1: pixel centres are in the middle of cells; moved by half a pixel, on the lattice points.
    assert pixels(kind="perlin", scale=1.0, x=0.5, y=0.5) == pytest.approx(0.5, abs=1e-6)
    assert np.array_equal(pixels(kind="value", scale=1.0, x=0.5, y=0.5), pixels(kind="white", x=1.0, y=1.0))


def test_worley_is_the_distance_to_the_nearest_of_all_points() -> None:
    cells = np.arange(-3, 12)
    to_right, to_below, own = (
        (part >> np.uint32(8)).astype(np.float64) / 2**24 for part in hashed(cells[None, :], cells[:, None], 8, 0)
    )
    points = np.stack([(cells[None, :] + to_right).ravel(), (cells[:, None] + to_below).ravel()], -1)
    y, x = (np.mgrid[:40, :48] + 0.5) / 9
    distances = np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1])
    f1, f2 = np.sort(distances, -1)[..., :2].transpose(2, 0, 1)
    found = {
        feature: pixels(kind="worley", feature=feature, seed=8)[..., 0] for feature in ("f1", "f2", "f2-f1", "cell")
    }
    assert found["f1"] == pytest.approx(f1 / np.sqrt(2), abs=1e-5)
    assert found["f2"] == pytest.approx(f2 / np.sqrt(2.5), abs=1e-5)
    assert found["f2-f1"] == pytest.approx((f2 - f1) / np.sqrt(2.5), abs=1e-5)
    assert found["cell"] == pytest.approx(own.ravel()[distances.argmin(-1)], abs=1e-6)


def test_octaves_add_detail_by_gain_and_lacunarity() -> None:
    def roughness(**params: Any) -> float:
        return float(np.abs(np.diff(pixels(scale=30.0, **params), axis=1)).mean())

    assert roughness(octaves=4, gain=0.3) < roughness(octaves=4, gain=0.7)
    assert roughness(octaves=2, lacunarity=2.0) < roughness(octaves=2, lacunarity=5.0)
    assert np.array_equal(pixels(octaves=4, gain=0.0), pixels(octaves=1))


def test_channels_are_independent() -> None:
    rgb = noise(width=64, height=64, kind="white", channels="RGB", space="lin_rec709_scene")
    assert rgb.channels == ("R", "G", "B")
    assert rgb.color == "lin_rec709_scene"
    assert np.abs(np.corrcoef(rgb.array.reshape(-1, 3).T) - np.eye(3)).max() < 0.06


def test_noise_is_the_same_on_every_machine() -> None:
    # Written down once: a change of these is a new version of the operation.
    found = [pixels(**params, octaves=2, seed=1)[5, 7, 0] for params in ALL]
    assert found == pytest.approx(PINNED, abs=1e-7)


def test_convention_uv_is_at_pixel_centres_from_the_bottom_left() -> None:
    image = uv_map(width=4, height=2)
    assert image.color == "data"
    assert image.channels == ("R", "G", "B")
    assert image.array[0, :, :, 0] == pytest.approx(np.tile([0.125, 0.375, 0.625, 0.875], (2, 1)))
    assert image.array[0, :, 0, 1] == pytest.approx([0.75, 0.25])
    assert uv_map(width=4, height=2, origin="top_left").array[0, :, 0, 1] == pytest.approx([0.25, 0.75])
    assert not image.array[..., 2].any()


@pytest.mark.parametrize("params", [{}, {"channels": "RGB", "seamless": True}, {"kind": "white", "space": "x"}])
def test_inference_says_what_the_run_gives(params: Any) -> None:
    of_noise: Any = noise
    of_uv: Any = uv_map
    guess, result = of_noise.__operation__.infer(width=5, height=4, **params), noise(width=5, height=4, **params)
    assert str(guess) == str(result)
    assert guess.wrap == result.wrap
    assert str(of_uv.__operation__.infer(width=5, height=4)) == str(uv_map(width=5, height=4))

"""Pictures cut into tiles and put together again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_transform import merge_tiles, resize, split_tiles

from pipeline_core import Image, Mask, OperationError
from pipeline_core.image import Alpha


def picture(
    dtype: str = "float32", width: int = 23, height: int = 17, batch: int = 1, alpha: Alpha = "straight"
) -> Image:
    values = np.random.default_rng(2).random((batch, height, width, 4), np.float32)
    buffer = (values * 255).astype(dtype) if dtype.startswith("u") else values.astype(dtype)
    return Image(buffer, channels=tuple("RGBA"), alpha=alpha)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 30), st.integers(4, 12), st.integers(4, 12), st.integers(0, 3),
    st.sampled_from(["uint8", "uint16", "float16", "float32"]), st.integers(1, 2),
)  # fmt: skip
def test_there_and_back_is_the_same_to_the_bit(
    width: int, height: int, across: int, down: int, overlap: int, dtype: str, batch: int
) -> None:
    image = picture(dtype, width, height, batch)
    if dtype == "float32":
        image.buffer[0, 0, 0, :2] = np.nan, np.inf
    tiles = split_tiles(image, size=[across, down], overlap=overlap)
    assert tiles.size == (min(across, width), min(down, height))
    back = merge_tiles(tiles, width=width, height=height, overlap=overlap)
    assert (back.dtype, back.alpha) == (image.dtype, image.alpha)
    assert back.buffer.tobytes() == image.buffer.tobytes()


def test_convention_tiles_go_row_by_row_and_the_last_ends_with_the_picture() -> None:
    mask = Mask(np.arange(7 * 5, dtype=np.float32).reshape(1, 5, 7, 1))
    tiles = split_tiles(mask, size=[4, 3], overlap=1)
    assert tiles.array[:, 0, 0, 0].tolist() == [0, 3, 14, 17]
    assert split_tiles(mask, size=[4, 4]).array[:, 0, 0, 0].tolist() == [0, 3, 7, 10]


def test_tiles_that_differ_fade_into_one_another() -> None:
    tiles = Mask(np.stack([np.zeros((1, 6, 1)), np.ones((1, 6, 1))]).astype(np.float32))
    merged = merge_tiles(tiles, width=8, height=1, overlap=4).array.ravel()
    assert merged.tolist() == [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]
    codes = merge_tiles(tiles.with_array((tiles.array * 100).astype(np.uint8)), width=8, height=1, overlap=4)
    assert codes.buffer.ravel().tolist() == [0, 0, 12, 38, 62, 88, 100, 100]


def test_hidden_colour_does_not_fade_in() -> None:
    pair = np.array([[[[0, 1, 0, 0]] * 4], [[[1, 0, 0, 1]] * 4]], np.float32)
    merged = merge_tiles(Image(pair, channels=tuple("RGBA"), alpha="straight"), width=4 + 2, height=1, overlap=2)
    seen = merged.array[0, 0]
    assert np.allclose(seen[seen[:, 3] > 0, :3], [1, 0, 0])


def test_tiles_that_were_enlarged() -> None:
    image = picture(width=24, height=16)
    tiles = split_tiles(image, size=[12, 12], overlap=4)
    large = merge_tiles(resize(tiles, width=24, height=24, filter="nearest"), width=48, height=32, overlap=8)
    assert np.array_equal(large.array, resize(image, width=48, height=32, filter="nearest").array)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda image: split_tiles(image, size=[4, 8], overlap=4), "tiles of 4 pixels can't overlap by 4"),
        (lambda image: merge_tiles(image, width=100, height=17), "100x17 takes 5 tiles of 23x17"),
        (lambda image: merge_tiles(image, width=10, height=17), "10x17 takes 1 tiles of 23x17"),
    ],
)
def test_refused(ask: Any, words: str) -> None:
    with pytest.raises(OperationError, match=words):
        ask(picture())

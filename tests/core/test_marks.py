"""Marks: what they find, and what a thin one does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from pipeline_core import Image, Mask, Table
from pipeline_core.marks import APART, NoRowsError, RowMark, ThinMark, WholeMark, look, rows_in_memory

WIDTH, HEIGHT = 40, 90


def pixels() -> np.ndarray[Any, Any]:
    return np.random.default_rng(2).random((1, HEIGHT, WIDTH, 4), np.float32)


def planes(batch: int) -> Image:
    """A tensor as convolutions give it."""
    return Image(torch.rand(batch, 4, HEIGHT, WIDTH).permute(0, 2, 3, 1), channels=tuple("RGBA"), alpha="straight")


def by_rows(values: tuple[Any, ...]) -> RowMark:
    parts = rows_in_memory(values)
    return RowMark({(low, high): look(parts, low, high) for low, high in ((0, 33), (30, 60), (60, HEIGHT))})


@pytest.mark.parametrize("mark", [WholeMark, by_rows])
@pytest.mark.parametrize(
    "value",
    [
        Image(pixels(), channels=tuple("RGBA"), alpha="straight"),
        Image(pixels()[..., :3].copy()),
        planes(1),
        planes(2),
        Mask(np.zeros((2, HEIGHT, WIDTH, 1), np.uint8)),
    ],
)
def test_a_write_anywhere_shows(mark: Callable[..., Any], value: Any) -> None:
    found = mark((value,))
    batch, height, width, channels = value.buffer.shape
    for place in ((0, 0, 0, 0), (batch - 1, height - 1, width - 1, channels - 1), (0, 31, 7, 0)):
        assert found.fits((value,))
        before = value.buffer[place].item()
        value.buffer[place] = before + 1
        assert not found.fits((value,))
        value.buffer[place] = before


def test_a_row_mark_knows_its_rows_alone() -> None:
    image = Image(pixels(), channels=tuple("RGBA"), alpha="straight")
    found = RowMark({(10, 20): look(rows_in_memory((image,)), 10, 20)})
    image.buffer[:, 20] = 0
    assert found.fits((image,))
    image.buffer[:, 19] = 0
    assert not found.fits((image,))


def test_a_thin_mark_shows_what_was_made_anew_but_not_a_pixel() -> None:
    image = Image(
        np.random.default_rng(2).random((1, 600, 400, 4), np.float32), channels=tuple("RGBA"), alpha="straight"
    )
    found = ThinMark((image,))
    flat = image.buffer.reshape(-1)
    flat[1 : APART // 4] += 1
    assert found.fits((image,))
    image.buffer[:, -APART // (400 * 16) - 1 :] += 1
    assert not found.fits((image,))


@pytest.mark.parametrize(
    "value",
    [
        Table((), ()),
        Image(np.broadcast_to(np.float32(0), (1, 4, 4, 3))),
        Image(pixels()[:, :, ::2, :3]),
        Image(torch.zeros(1, 4, 4, 3, device="meta")),
    ],
)
def test_what_has_no_rows_in_memory_is_refused(value: Any) -> None:
    with pytest.raises(NoRowsError):
        rows_in_memory((value,))

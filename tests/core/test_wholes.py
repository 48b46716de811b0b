"""Strips put together: the same values in the same memory order, whatever way they take into memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pipeline_core import Image, Mask
from pipeline_core import wholes as wholes_module
from pipeline_core.frames import NotInStrips
from pipeline_core.marks import RowMark
from pipeline_core.wholes import Whole

WIDTH, HEIGHT = 37, 61


def picture(dtype: str, batch: int, channels: int) -> np.ndarray[Any, Any]:
    noise = np.random.default_rng(3).random((batch, HEIGHT, WIDTH, channels)) * 255
    return noise.astype(dtype)


@pytest.mark.parametrize("past_caches", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 3, 1, 2), (3, 0, 1, 2), (0, 2, 1, 3)])
@pytest.mark.parametrize(("dtype", "batch", "channels"), [("float32", 1, 4), ("uint8", 2, 3), ("uint16", 1, 1)])
def test_strips_in_any_order_are_the_whole(
    dtype: str, batch: int, channels: int, order: tuple[int, ...], past_caches: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wholes_module, "BEYOND_CACHES", 0 if past_caches else 1 << 40)
    pixels = picture(dtype, batch, channels)
    names = tuple("RGBX"[:channels])
    whole = None
    for start in (40, 0, 59, 20):
        stop = min(start + 20, 59 if start == 40 else HEIGHT)
        rows = np.ascontiguousarray(pixels[:, start:stop].transpose(order)).transpose(np.argsort(order).tolist())
        strip = Image(rows, channels=names)
        whole = whole or Whole(strip, HEIGHT, marked=True)
        whole.put(strip, start, stop)
    assert whole is not None
    found = whole.value()
    assert np.array_equal(found.buffer, pixels)
    mark = RowMark(whole.seen)
    assert mark.fits((found,))
    lies = sorted((axis for axis in order if pixels.shape[axis] > 1), key=lambda axis: -found.buffer.strides[axis])
    assert lies == [axis for axis in order if pixels.shape[axis] > 1]
    found.buffer[-1, -1, -1, -1] += 1
    assert not mark.fits((found,))


def test_a_strip_with_gaps_and_one_read_backwards_are_put_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wholes_module, "BEYOND_CACHES", 0)
    pixels = picture("float32", 1, 4)
    wide = np.repeat(pixels, 2, axis=2)
    whole = Whole(Image(pixels[:, :30], channels=tuple("RGBX")), HEIGHT)
    whole.put(Image(wide[:, :30, ::2], channels=tuple("RGBX")), 0, 30)
    whole.put(Image(pixels[:, ::-1][:, :31], channels=tuple("RGBX")), 30, 61)
    assert np.array_equal(whole.value().buffer[:, :30], pixels[:, :30])
    assert np.array_equal(whole.value().buffer[:, 30:], pixels[:, :29:-1])


def test_tensors_stay_tensors() -> None:
    mask = Mask(torch.rand(1, 8, WIDTH, 1))
    whole = Whole(mask, 16)
    whole.put(mask, 8, 16)
    whole.put(mask, 0, 8)
    found = whole.value()
    assert isinstance(found.buffer, torch.Tensor)
    assert torch.equal(found.buffer, torch.cat([mask.buffer, mask.buffer], 1))


@pytest.mark.parametrize(
    "other",
    [
        Image(np.zeros((1, 8, WIDTH, 3), np.float32), color="data"),
        Image(np.zeros((1, 8, WIDTH, 3), np.float32), meta={"a": "b"}),
        Image(np.zeros((1, 8, WIDTH, 3), np.float16)),
        Image(np.zeros((1, 8, WIDTH - 1, 3), np.float32)),
        Image(np.zeros((1, 7, WIDTH, 3), np.float32)),
        Image(np.zeros((2, 8, WIDTH, 3), np.float32)),
    ],
)
def test_strips_that_differ_in_more_than_their_rows_make_no_whole(other: Image) -> None:
    whole = Whole(Image(np.zeros((1, 8, WIDTH, 3), np.float32)), 16)
    with pytest.raises(NotInStrips):
        whole.put(other, 8, 16)

"""combine_masks and threshold: one mask of two, and one of what is bright."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pipeline_compose import combine_masks
from pipeline_key import threshold

from pipeline_core import Image, Mask, OperationError


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("union", [0.75, 1.0, 0.5]),
        ("intersection", [0.25, 0.5, 0.0]),
        ("subtract", [0.25, 0.5, 0.5]),
        ("difference", [0.5, 0.5, 0.5]),
        ("add", [1.0, 1.0, 0.5]),
        ("multiply", [0.1875, 0.5, 0.0]),
    ],
)
def test_one_mask_of_two(how: Any, wanted: list[float]) -> None:
    base, top = (Mask(np.array(row, np.float32).reshape(1, 1, 3, 1)) for row in ([0.25, 1, 0.5], [0.75, 0.5, 0]))
    assert combine_masks(base, top, operation=how).array.flatten().tolist() == wanted
    with pytest.raises(OperationError, match="base is 3x1, top is 1x3"):
        combine_masks(base, top.with_buffer(top.buffer.transpose(0, 2, 1, 3)))


def test_a_mask_of_two_tiles_where_both_do() -> None:
    base = Mask(np.zeros((1, 2, 2, 1), np.float32), wrap=(True, True))
    assert combine_masks(base, base.with_buffer(base.buffer, wrap=(True, False))).wrap == (True, False)


def test_convention_a_pixel_of_exactly_the_value_is_inside() -> None:
    image = Image(np.array([0.25, 0.5, 0.75], np.float32).reshape(1, 1, 3, 1), channels=("Y",))
    assert threshold(image, value=0.5).array.flatten().tolist() == [0, 1, 1]
    assert threshold(image, value=0.5, softness=1.0).array.flatten().tolist() == [0.25, 0.5, 0.75]
    assert threshold(Mask(image.buffer), value=0.6).array.flatten().tolist() == [0, 0, 1]


def test_of_colour_the_luma_of_its_straight_values_counts() -> None:
    values = np.array([[0.0, 0.5, 0.0, 0.5], [0.5, 0.0, 0.5, 0.5]], np.float32).reshape(1, 1, 2, 4)
    image = Image(values, channels=tuple("RGBA"), alpha="associated")
    assert threshold(image, value=0.7).array.flatten().tolist() == [1, 0]
    with pytest.raises(OperationError, match="threshold wants R, G, B or Y, the image has Z"):
        threshold(Image(values[..., :1], channels=("Z",), color="data"))

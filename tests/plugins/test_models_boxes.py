"""Showing and cutting out what was found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pipeline_models.vision import crop_by_boxes, draw_boxes, overlay_mask
from pipeline_models.vision.painting import color_of

from pipeline_core import Image, Mask, OperationError, Table

RED = (1.0, 0.0, 0.0, 1.0)


def boxes(*rows: tuple[Any, ...], columns: str = "x y width height") -> Table:
    return Table(tuple(columns.split()), rows)


def gray(width: int = 20, height: int = 16, batch: int = 1, **fields: Any) -> Image:
    return Image(np.full((batch, height, width, 3), 0.5, np.float32), **fields)


def numbered(width: int = 12, height: int = 8, batch: int = 1, **fields: Any) -> Image:
    """Every pixel says where it is: x, y, picture."""
    item, y, x = np.mgrid[:batch, :height, :width]
    return Image(np.stack([x, y, item], -1).astype(np.uint8), **fields)


# --- draw_boxes ---


def test_convention_lines_lie_inside_the_box_and_edges_cover_what_they_cover() -> None:
    drawn = draw_boxes(gray(), boxes((4, 3, 8.5, 6)), color=RED, thickness=1.5).array[0]
    red = (drawn[..., 0] - 0.5) * 2
    np.testing.assert_allclose(red[6, :16], [0, 0, 0, 0, 1, 0.5, 0, 0, 0, 0, 0, 1, 0.5, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(red[2:10, 8], [0, 1, 0.5, 0, 0, 0.5, 1, 0], atol=1e-6)
    filled = draw_boxes(gray(), boxes((4, 3, 8, 6)), color=RED, thickness=1, fill=0.25).array[0]
    assert (filled[6, 8, 0] - 0.5) * 2 == pytest.approx(0.25)


def test_labels_stand_on_the_box_in_their_own_colour_and_can_be_read() -> None:
    image = gray(120, 60)
    table = boxes((10, 30, 40, 20, "disc", 0.9), (60, 2, 40, 20, "star", None), columns="x y width height label score")
    drawn = draw_boxes(image, table).array[0]
    for label, top, left in (("disc", 16, 10), ("star", 3, 61)):  # above; inside, where there is no room
        tag = drawn[top : top + 12, left : left + 24].reshape(-1, 3)
        assert (np.abs(tag - color_of(label)[:3]).max(1) < 1e-5).mean() > 0.4
        assert tag.max() - tag.min() > 0.6
    plain = draw_boxes(image, table, labels=False).array[0]
    assert (plain[16:28, :60] == 0.5).all()
    assert color_of("disc") != color_of("star")


def test_boxes_go_to_their_picture_and_the_first_row_is_on_top() -> None:
    table = boxes((1, 2, 2, 8, 8, "a"), (None, 2, 2, 8, 8, "b"), columns="image x y width height label")
    drawn = draw_boxes(gray(batch=2), table, labels=False).array
    np.testing.assert_allclose(drawn[0, 2, 5], color_of("b")[:3], atol=1e-6)
    np.testing.assert_allclose(drawn[1, 2, 5], color_of("a")[:3], atol=1e-6)
    assert (draw_boxes(gray(), boxes()).array == 0.5).all()


def test_a_box_goes_round_a_picture_that_tiles() -> None:
    table = boxes((16, 4, 8, 6, "disc"), columns="x y width height label")
    round_ = draw_boxes(gray(wrap=(True, False)), table)
    moved = draw_boxes(gray(wrap=(True, False)), boxes((6, 4, 8, 6, "disc"), columns="x y width height label"))
    np.testing.assert_allclose(np.roll(round_.array, -10, 2), moved.array, atol=1e-6)
    assert round_.wrap == (True, False)


@pytest.mark.parametrize("alpha", ["straight", "associated"])
def test_paint_covers_and_the_alpha_state_stays(alpha: Any) -> None:
    pixels = np.zeros((1, 16, 20, 4), np.float32)
    pixels[..., 3] = 0.5
    drawn = draw_boxes(Image(pixels, channels=tuple("RGBA"), alpha=alpha), boxes((4, 3, 8, 6)), color=RED, opacity=0.5)
    assert drawn.alpha == alpha
    over = 0.5 + 0.5 * 0.5  # Porter-Duff: alpha of both, colour times alpha of the paint
    wanted = [0.5, 0, 0, over] if alpha == "associated" else [0.5 / over, 0, 0, over]
    np.testing.assert_allclose(drawn.array[0, 3, 6], wanted, rtol=1e-6)


def test_tables_that_hold_no_boxes_are_refused() -> None:
    with pytest.raises(
        OperationError, match="the table has no width and no height, so it holds no boxes; its columns are x, y"
    ):
        draw_boxes(gray(), boxes(columns="x y"))
    with pytest.raises(OperationError, match="row 1 is no box: x, y, width, height are 1, 2, 3, 0"):
        draw_boxes(gray(), boxes((1, 2, 3, 4), (1, 2, 3, 0)))
    with pytest.raises(OperationError, match="row 0 is a box of picture 3, but there are 0 to 1"):
        draw_boxes(gray(batch=2), boxes((3, 1, 2, 3, 4), columns="image x y width height"))
    with pytest.raises(OperationError, match="the font has no glyph for 猫; set 'font'"):
        draw_boxes(gray(), boxes((1, 2, 3, 4, "猫"), columns="x y width height label"))


# --- overlay_mask ---


def test_a_mask_is_shown_as_a_tint_with_a_line_along_its_edge() -> None:
    inside = np.zeros((1, 16, 20, 1), np.float32)
    inside[:, 4:12, 5:15] = 1
    inside[:, 4:12, 15] = 0.5
    shown = overlay_mask(gray(), Mask(inside), color=RED, opacity=0.4)
    np.testing.assert_allclose((shown.array[0, 8, [2, 9, 15], 0] - 0.5) * 2, [0, 0.4, 0.2], atol=1e-6)
    lined = (overlay_mask(gray(), Mask(inside), color=RED, opacity=0.4, outline=2).array[0, ..., 0] - 0.5) * 2
    np.testing.assert_allclose(lined[8, 3:9], [0, 0, 1, 1, 0.4, 0.4], atol=1e-6)
    np.testing.assert_allclose(lined[3:8, 9], [0, 1, 1, 0.4, 0.4], atol=1e-6)
    everywhere = overlay_mask(gray(), Mask(np.ones_like(inside)), color=RED, outline=3)
    np.testing.assert_allclose((everywhere.array[..., 0] - 0.5) * 2, 0.5, atol=1e-6)  # no line along the frame


def test_one_mask_is_shown_on_every_picture_and_sizes_must_agree() -> None:
    mask = Mask(np.ones((1, 16, 20, 1), np.float32))
    assert overlay_mask(gray(batch=3), mask).batch == 3
    with pytest.raises(OperationError, match="the mask is 20x16, but the image is 10x16"):
        overlay_mask(gray(10), mask)


# --- crop_by_boxes ---


def test_crops_are_exact_in_their_own_dtype() -> None:
    crops = crop_by_boxes(numbered(), boxes((2.2, 3.0, 3.6, 2.0), (5, 1, 4, 2)))
    assert (crops.batch, crops.size, crops.dtype) == (2, (4, 2), "uint8")
    np.testing.assert_array_equal(crops.buffer[0, 0, :, 0], [2, 3, 4, 5])
    np.testing.assert_array_equal(crops.buffer[1, :, 0, 1], [1, 2])
    with_margin = crop_by_boxes(numbered(), boxes((2, 3, 4, 2)), margin=3)
    assert with_margin.size == (9, 8)  # cut at the frame


def test_crops_of_other_sizes_need_a_size_or_an_index() -> None:
    table = boxes((2, 3, 4, 2, "a"), (5, 1, 2, 2, "b"), (1, 1, 2, 2, "b"), columns="x y width height label")
    with pytest.raises(OperationError, match=r"of 2 sizes \(4x2, 2x2\): say a 'size' for all, or the 'index' of one"):
        crop_by_boxes(numbered(), table)
    assert crop_by_boxes(numbered(), table, index=1).buffer[0, 0, 0].tolist() == [5, 1, 0]
    assert crop_by_boxes(numbered(), table, label="b").batch == 2
    sized = crop_by_boxes(numbered(), table, size=(6, 6))
    assert (sized.batch, sized.size, sized.dtype) == (3, (6, 6), "float32")
    with pytest.raises(OperationError, match="there is no row 3: the table has 3"):
        crop_by_boxes(numbered(), table, index=3)
    with pytest.raises(OperationError, match="no box has the label 'c'; there are a, b"):
        crop_by_boxes(numbered(), table, label="c")
    with pytest.raises(OperationError, match="the table has no rows"):
        crop_by_boxes(numbered(), boxes())


def test_boxes_are_cut_out_of_their_picture() -> None:
    table = boxes((1, 2, 3, 2, 2), (0, 2, 3, 2, 2), (1, 0, 0, 2, 2), columns="image x y width height")
    assert crop_by_boxes(numbered(batch=2), table).buffer[:, 0, 0, 2].tolist() == [1, 0, 1]
    assert crop_by_boxes(numbered(batch=2), boxes((2, 3, 2, 2))).buffer[:, 0, 0, 2].tolist() == [0, 1]


def test_convention_a_box_is_widened_into_the_frame_and_then_the_edge_goes_on() -> None:
    def columns(x: float, **params: Any) -> list[int]:
        crop = crop_by_boxes(numbered(**params), boxes((x, 0, 2, 8)), size=(8, 8))
        return [round(value) for value in (crop.array[0, 0, :, 0] * 255).tolist()]

    assert columns(4) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert columns(0) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert columns(0, wrap=(True, False)) == [9, 10, 11, 0, 1, 2, 3, 4]
    assert columns(0, width=6) == [0, 0, 0, 1, 2, 3, 4, 5]
    stretched = crop_by_boxes(numbered(), boxes((4, 0, 2, 8)), size=(8, 8), fit="stretch").array[0, 0, :, 0] * 255
    assert (stretched[0], stretched[-1]) == (pytest.approx(4), pytest.approx(5))


def test_what_lies_outside_is_refused_and_what_reaches_out_is_cut() -> None:
    assert crop_by_boxes(numbered(), boxes((-2, -1, 5, 4))).size == (3, 3)
    with pytest.raises(OperationError, match="the box at 12, 0 of 4x4 lies outside the picture, which is 12x8"):
        crop_by_boxes(numbered(), boxes((12, 0, 4, 4)))
    assert crop_by_boxes(numbered(wrap=(True, True)), boxes((11, 7, 2, 2))).buffer[0, :, :, :2].tolist() == [
        [[11, 7], [0, 7]], [[11, 0], [0, 0]],
    ]  # fmt: skip


def test_transparent_colours_do_not_bleed_into_crops() -> None:
    pixels = np.zeros((1, 8, 8, 4), np.float32)
    pixels[..., 0] = 1  # red, hidden
    pixels[:, :, :4] = (0, 1, 0, 1)
    crop = crop_by_boxes(Image(pixels, channels=tuple("RGBA"), alpha="straight"), boxes((0, 0, 8, 8)), size=(3, 3))
    assert crop.alpha == "straight"
    np.testing.assert_allclose(crop.array[0, 1, 1], (0, 1, 0, 0.5), atol=1e-6)


def test_tensors_are_cut_as_arrays_are() -> None:
    tensor = numbered().with_buffer(torch.from_numpy(numbered().buffer))
    assert torch.equal(
        crop_by_boxes(tensor, boxes((2, 3, 4, 2))).buffer, torch.from_numpy(numbered().buffer[:, 3:5, 2:6])
    )

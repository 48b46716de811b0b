"""polygon_mask, line_mask, text_mask, text, flood_mask, flood_fill."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_draw import (
    ellipse_mask,
    erase,
    fill,
    flood_fill,
    flood_mask,
    line_mask,
    polygon_mask,
    rectangle_mask,
    text,
    text_mask,
)

from pipeline_core import Image, Mask, OperationError

RED, BLUE = (1.0, 0.0, 0.0, 1.0), (0.0, 0.0, 1.0, 1.0)
quick = settings(max_examples=40, deadline=None)
places = st.floats(-8, 24, allow_nan=False)


def inside(mask: Mask) -> np.ndarray[Any, Any]:
    return mask.array[0, ..., 0]


# --- polygons


@quick
@given(places, places, st.floats(0.1, 20), st.floats(0.1, 20))
def test_a_polygon_of_a_rectangle_is_the_rectangle(left: float, top: float, width: float, height: float) -> None:
    right, bottom = left + width, top + height
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    wanted = rectangle_mask(width=16, height=12, left=left, top=top, right=right, bottom=bottom)
    for points in (corners, corners[::-1], corners[2:] + corners[:2]):
        assert inside(polygon_mask(width=16, height=12, points=points)) == pytest.approx(inside(wanted), abs=1e-6)


@quick
@given(st.tuples(places, places), st.tuples(places, places), st.tuples(places, places))
def test_a_triangle_covers_its_area_exactly(a: Any, b: Any, c: Any) -> None:
    found = inside(polygon_mask(width=40, height=40, points=[(x + 8, y + 8) for x, y in (a, b, c)]))
    area = abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])) / 2
    assert found.sum() == pytest.approx(area, abs=1e-3)
    assert found.min() >= 0
    # A pixel at a time: what many small samples say.
    grid = (np.arange(40 * 8) + 0.5) / 8 - 8
    x, y = np.meshgrid(grid, grid)
    sides = [(q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) for p, q in ((a, b), (b, c), (c, a))]
    samples = np.all([side > 0 for side in sides], axis=0) | np.all([side < 0 for side in sides], axis=0)
    assert found == pytest.approx(samples.reshape(40, 8, 40, 8).mean((1, 3)), abs=0.15)


def test_a_polygon_of_many_points_is_the_ellipse() -> None:
    angles = np.linspace(0, math.tau, 2000, endpoint=False)
    points = [(10 + 7 * math.cos(a), 9 + 5 * math.sin(a)) for a in angles]
    wanted = ellipse_mask(width=20, height=18, center=(10.0, 9.0), radius_x=7.0, radius_y=5.0)
    assert inside(polygon_mask(width=20, height=18, points=points)) == pytest.approx(inside(wanted), abs=1e-3)


def test_rules_differ_where_the_outline_goes_round_twice() -> None:
    star = [(10 + 9 * math.sin(i * math.tau * 2 / 5), 10 - 9 * math.cos(i * math.tau * 2 / 5)) for i in range(5)]
    nonzero = inside(polygon_mask(width=20, height=20, points=star))
    even_odd = inside(polygon_mask(width=20, height=20, points=star, rule="even_odd"))
    assert (nonzero[10, 10], even_odd[10, 10]) == (1, 0)
    assert nonzero[3, 10] == even_odd[3, 10] > 0.8
    assert inside(polygon_mask(width=20, height=20, points=star, invert=True)) == pytest.approx(1 - nonzero, abs=1e-6)


def test_polygons_far_outside() -> None:
    assert not inside(polygon_mask(width=5, height=4, points=[(9, 0), (99, 0), (50, 9)])).any()
    huge = [(-1e6, -1e6), (1e6, -1e6), (1e6, 1e6), (-1e6, 1e6)]
    assert (inside(polygon_mask(width=5, height=4, points=huge)) == 1).all()
    with pytest.raises(OperationError, match="finite"):
        polygon_mask(width=5, height=4, points=[(0, 0), (1, math.inf), (2, 2)])


# --- lines


def test_convention_a_level_line_is_a_rectangle_with_round_ends() -> None:
    found = inside(line_mask(width=20, height=9, points=[(5, 4.5), (15, 4.5)], thickness=3.0))
    assert found[:, 10].tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert 0 < found[3, 3] < found[4, 3] <= 1
    assert not found[:, :3].any()


@pytest.mark.parametrize("thickness", [0.1, 0.5, 1.0, 2.5])
def test_a_line_is_as_strong_as_it_is_thick(thickness: float) -> None:
    level = inside(line_mask(width=9, height=9, points=[(-20, 4.3), (30, 4.3)], thickness=thickness))
    assert level.sum(0) == pytest.approx(thickness, abs=1e-5)
    slanted = inside(line_mask(width=40, height=40, points=[(5, 5), (30, 20)], thickness=thickness))
    caps = math.pi * thickness**2 / 4
    assert slanted.sum() == pytest.approx(math.hypot(25, 15) * thickness + caps, rel=0.1)


def test_closed_lines_dots_and_soft_ones() -> None:
    corners: Any = [(3, 3), (12, 3), (12, 12)]
    opened, closed = (inside(line_mask(width=16, height=16, points=corners, closed=c)) for c in (False, True))
    assert opened[7, 7] == 0
    assert closed[7, 7] > 0.5
    dot = inside(line_mask(width=12, height=12, points=[(6, 6)], thickness=8.0))
    disc = inside(ellipse_mask(width=12, height=12, radius_x=4.0))
    assert dot == pytest.approx(disc, abs=0.12)
    soft = inside(line_mask(width=12, height=12, points=[(6, 6)], thickness=8.0, feather=4.0))
    assert 0.4 < soft[6, 2] < 0.65
    assert soft[6, 1] > dot[6, 1]


def test_fill_and_erase_take_them() -> None:
    image = Image(np.ones((1, 16, 16, 3), np.float32))
    mask = polygon_mask(width=16, height=16, points=[(2, 2), (14, 2), (8, 13)])
    assert erase(image, mask).array[0, 4, 8, 3] == 0
    assert fill(image, mask, color=RED).array[0, 4, 8].tolist() == [1, 0, 0]


# --- text


def test_text_stands_where_it_should() -> None:
    def box(**params: Any) -> tuple[int, int, int, int]:
        rows, columns = np.nonzero(inside(text_mask(width=100, height=60, text="Hxg", size=20.0, **params)) > 0.5)
        return int(columns.min()), int(columns.max()), int(rows.min()), int(rows.max())

    left, right, top, bottom = box()
    assert left + right == pytest.approx(99, abs=4)
    assert top + bottom == pytest.approx(59, abs=8)
    assert box(x=10.0, align="left")[0] == pytest.approx(11, abs=2)
    assert box(x=90.0, align="right")[1] == pytest.approx(88, abs=2)
    assert box(y=5.0, level="top")[2] in range(5, 14)
    assert box(y=55.0, level="bottom")[3] in range(48, 56)
    assert (right - left) * 2 == pytest.approx(
        np.ptp(np.nonzero(inside(text_mask(width=100, height=60, text="Hxg", size=40.0)) > 0.5)[1]), abs=3
    )


def test_text_is_antialiased_moves_by_parts_of_pixels_and_takes_lines() -> None:
    params: dict[str, Any] = {"width": 80, "height": 60, "text": "one\ntwo", "size": 18.0}
    plain = inside(text_mask(**params))
    assert len(np.unique(plain)) > 30
    assert plain.max() == 1
    moved = inside(text_mask(**params, x=40.5, y=30.0))
    assert not np.array_equal(plain, moved)
    assert moved.sum() == pytest.approx(plain.sum(), rel=0.05)
    rows = np.flatnonzero(inside(text_mask(**params, line_spacing=1.8)).any(1))
    assert np.ptp(rows) > np.ptp(np.flatnonzero(plain.any(1))) + 8
    assert inside(text_mask(**params, invert=True)) == pytest.approx(1 - plain)


def test_text_with_a_font_of_ones_own(tmp_path: Path) -> None:
    from PIL import ImageFont

    face: Any = ImageFont.load_default(20)
    font = tmp_path / "own.ttf"
    font.write_bytes(face.font_bytes if hasattr(face, "font_bytes") and face.font_bytes else face.path.getvalue())
    params: dict[str, Any] = {"width": 60, "height": 30, "text": "Ag", "size": 20.0}
    assert np.array_equal(inside(text_mask(**params)), inside(text_mask(**params, font=font)))
    font.write_text("no font")
    with pytest.raises(OperationError, match="can't be read as a font"):
        text_mask(**params, font=font)


def test_letters_that_the_font_lacks_are_refused() -> None:
    with pytest.raises(OperationError, match="no glyph for é 中;"):
        text_mask(width=60, height=30, text="Ag é中!")


def test_text_is_painted_over() -> None:
    image = Image(np.zeros((2, 30, 60, 4), np.float32), channels=tuple("RGBA"), alpha="straight")
    written = text(image, text="Ag", size=20.0, color=(1, 0.5, 0, 1), opacity=0.5)
    cover = inside(text_mask(width=60, height=30, text="Ag", size=20.0))
    assert written.array[1, ..., 3] == pytest.approx(cover / 2, abs=1e-6)
    assert written.array[0][cover > 0][:, :3] == pytest.approx(np.tile([1, 0.5, 0], ((cover > 0).sum(), 1)), abs=1e-5)


# --- floods


def picture(rows: list[str], **fields: Any) -> Image:
    values = np.array([[float(c) / 10 for c in row] for row in rows], np.float32)
    return Image(values[None, ..., None].repeat(3, -1), **fields)


ROOM = ["00500", "00500", "55550", "00505"]


def chosen(image: Image, **params: Any) -> list[str]:
    return ["".join("#" if v else "." for v in row) for row in inside(flood_mask(image, **params))]


def test_convention_floods_go_over_sides_not_corners() -> None:
    assert chosen(picture(ROOM), x=0, y=0) == ["##...", "##...", ".....", "....."]
    assert chosen(picture(ROOM), x=4, y=0) == ["...##", "...##", "....#", "....."]
    assert chosen(picture(ROOM), x=4, y=0, diagonal=True) == ["...##", "...##", "....#", "...#."]
    assert chosen(picture(ROOM), x=0, y=0, tolerance=0.5) == ["#####"] * 4


def test_floods_go_over_the_seams_of_a_tile() -> None:
    assert chosen(picture(ROOM, wrap=(True, False)), x=0, y=0) == ["##.##", "##.##", "....#", "....."]
    assert chosen(picture(ROOM, wrap=(False, True)), x=0, y=0) == ["##...", "##...", ".....", "##..."]
    assert chosen(picture(ROOM, wrap=(True, True)), x=0, y=0) == ["##.##", "##.##", "....#", "##.#."]
    assert chosen(picture(["05"], wrap=(True, True)), x=0, y=0) == ["#."]


def test_flood_fill_paints_what_is_selected() -> None:
    image = picture(ROOM)
    painted = flood_fill(image, x=0, y=0, color=BLUE, opacity=0.5)
    assert painted.array[0, 1, 1].tolist() == [0, 0, 0.5]
    assert np.array_equal(painted.array[0, :, 2:], image.array[0, :, 2:])


def test_what_is_not_seen_is_alike() -> None:
    buffer = np.random.default_rng(0).random((1, 3, 3, 4), np.float32)
    buffer[..., 3] = [[0, 0, 1], [0, 0, 1], [1, 1, 1]]
    image = Image(buffer, channels=tuple("RGBA"), alpha="straight")
    assert chosen(image, x=0, y=0, tolerance=0.0) == ["##.", "##.", "..."]
    with pytest.raises(OperationError, match="outside the image"):
        flood_mask(image, x=3, y=0)


@pytest.mark.parametrize(
    ("function", "params"),
    [
        (flood_mask, {"x": 1, "y": 1}),
        (flood_fill, {"x": 1, "y": 1, "color": RED}),
        (text, {"text": "A"}),
        (text_mask, {"text": "A", "width": 5, "height": 4}),
        (line_mask, {"points": [(1, 1)], "width": 5, "height": 4}),
        (polygon_mask, {"points": [(1, 1), (3, 1), (2, 2)], "width": 5, "height": 4}),
    ],
)
def test_inference_says_what_the_run_gives(function: Any, params: dict[str, Any]) -> None:
    buffer = np.full((2, 6, 8, 4), 9, np.uint8)
    image = Image(buffer, channels=tuple("RGBA"), alpha="associated", wrap=(True, False))
    given = () if "width" in params else (image,)
    guess, result = function.__operation__.infer(*given, **params), function(*given, **params)
    assert str(guess) == str(result)
    assert guess.wrap == result.wrap


@quick
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32), st.booleans(), st.booleans(), st.booleans(),
    st.sampled_from([1, 2, 256]),
)  # fmt: skip
def test_a_flood_reaches_what_steps_from_alike_to_alike_reach(
    width: int, height: int, seed: int, across: bool, down: bool, diagonal: bool, near: int
) -> None:
    alike = np.random.default_rng(seed).random((height, width)) < 0.55
    alike[0, 0] = True
    image = Image(np.where(alike, 0.5, 1.0).astype(np.float32)[None, ..., None], channels=("Y",), wrap=(across, down))
    reached, left = {(0, 0)}, [(0, 0)]
    while left:
        row, column = left.pop()
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            y, x = row + dy, column + dx
            if (
                (dy and dx and not diagonal)
                or (not 0 <= y < height and not down)
                or (not 0 <= x < width and not across)
            ):
                continue
            place = y % height, x % width
            if alike[place] and place not in reached:
                reached.add(place)
                left.append(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline_draw.flood.NEAR", near)
        found = inside(flood_mask(image, x=0, y=0, diagonal=diagonal))
    assert {tuple(place) for place in np.argwhere(found).tolist()} == reached

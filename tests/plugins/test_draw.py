"""Pictures and masks from nothing, and painting: exact colours, exact coverage, alpha honoured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_draw import (
    checkerboard,
    constant,
    ellipse_mask,
    erase,
    fill,
    gradient,
    linear_mask,
    operations,
    radial,
    rectangle_mask,
)

from pipeline_core import Image, Mask, OperationError
from pipeline_core.operation import Facts, read

RED, GREEN, BLUE = (1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0, 1.0), (0.0, 0.0, 1.0, 1.0)
BLACK, WHITE, CLEAR = (0.0, 0.0, 0.0, 1.0), (1.0, 1.0, 1.0, 1.0), (0.0, 0.0, 0.0, 0.0)
REFERENCES = Path(__file__).parents[3] / "shared" / "corpora" / "oiio-ops" / "fill"
needs_references = pytest.mark.skipif(not REFERENCES.is_dir(), reason="the reference pictures are not here")
quick = settings(max_examples=40, deadline=None)


def codes(name: str) -> np.ndarray[Any, Any]:
    return np.asarray(OpenImageIO.ImageBuf(str(REFERENCES / name)).get_pixels(OpenImageIO.UINT8))


def noise(channels: str = "RGBA", width: int = 8, height: int = 6, **fields: Any) -> Image:
    buffer = np.random.default_rng(3).random((fields.pop("batch", 1), height, width, len(channels)), np.float32)
    fields.setdefault("alpha", "straight" if "A" in channels else "none")
    return Image(buffer, channels=tuple(channels), **fields)


# --- grounds


@needs_references
def test_constant_and_filled_box_match_the_references() -> None:
    plain = constant(width=64, height=64, color=(0.0, 0.0, 0.5, 1.0)).array[0]
    assert np.array_equal(np.rint(plain * 255), codes("pattern-const.tif"))
    pink = constant(width=256, height=256, color=(1.0, 0.5, 0.5, 1.0))
    boxed = fill(pink, color=GREEN, shape="rectangle", x=100, y=100, width=80, height=80).array[0]
    assert np.array_equal(np.rint(boxed * 255), codes("filled.tif"))


@needs_references
@pytest.mark.parametrize("name", ["fillh.tif", "pattern-gradienth.tif"])
def test_convention_gradient_ends_at_the_outermost_pixels_as_the_references_do(name: str) -> None:
    start, end = (0.1, 0.1, 0.1, 1.0), (0.0, 0.5, 0.0, 1.0)
    ramp = gradient(width=64, height=64, start=start, end=end).array[0] * 255
    assert np.abs(ramp - codes(name)).max() <= 1  # the references are dithered
    assert ramp[5, 0] == pytest.approx([25.5, 25.5, 25.5])
    assert ramp[5, 63] == pytest.approx([0, 127.5, 0])


def test_gradient_by_angle() -> None:
    down = gradient(width=3, height=5, angle=90).array[0, :, :, 0]
    assert down == pytest.approx(np.tile(np.linspace(0, 1, 5)[:, None], 3), abs=1e-6)
    left = gradient(width=5, height=2, angle=180).array[0, 0, :, 0]
    assert left == pytest.approx(np.linspace(1, 0, 5), abs=1e-6)
    across = gradient(width=9, height=9, angle=45).array[0, :, :, 0]
    assert (across[0, 0], across[8, 8]) == pytest.approx((0, 1))
    assert across[0, 8] == pytest.approx(0.5)


def test_gradient_of_one_pixel_is_finite() -> None:
    for angle in (0.0, 45.0, 90.0):
        assert np.isfinite(gradient(width=1, height=1, angle=angle).array).all()
        assert np.isfinite(gradient(width=1, height=4, angle=angle).array).all()


def test_corners_are_exact_and_the_middle_their_mean() -> None:
    four = gradient(width=5, height=3, corners=(RED, GREEN, BLUE, WHITE)).array[0]
    for pixel, color in zip((four[0, 0], four[0, 4], four[2, 0], four[2, 4]), (RED, GREEN, BLUE, WHITE), strict=True):
        assert pixel.tolist() == list(color[:3])
    assert four[1, 2] == pytest.approx([0.5, 0.5, 0.5])


@pytest.mark.parametrize(
    "ramp",
    [
        gradient(width=9, height=9, start=RED, end=CLEAR),
        gradient(width=9, height=9, corners=(RED, CLEAR, RED, CLEAR)),
        radial(width=9, height=9, start=RED, end=CLEAR),
    ],
    ids=["linear", "corners", "radial"],
)
def test_a_ramp_to_transparent_keeps_its_hue(ramp: Image) -> None:
    assert ramp.alpha == "straight"
    visible = ramp.array[ramp.array[..., 3] > 0]
    assert visible[:, :3] == pytest.approx(np.broadcast_to([1, 0, 0], (len(visible), 3)))
    assert len(visible) > 40


def test_convention_radial_is_measured_between_pixel_centres() -> None:
    values = radial(width=5, height=5, start=BLACK, end=WHITE, radius=2.0).array[0, ..., 0]
    assert values[2].tolist() == [1, 0.5, 0, 0.5, 1]
    assert values[1, 1] == pytest.approx(np.sqrt(2) / 2)


def test_checkerboard_starts_with_a() -> None:
    board = checkerboard(width=5, height=4, size=2, a=RED, b=BLUE).array[0]
    assert board[:, :, 0].tolist() == [[1, 1, 0, 0, 1]] * 2 + [[0, 0, 1, 1, 0]] * 2


@pytest.mark.parametrize(
    ("channels", "color", "names", "alpha"),
    [
        ("auto", RED, "RGB", "none"),
        ("auto", (1.0, 0.0, 0.0, 0.5), "RGBA", "straight"),
        ("RGBA", RED, "RGBA", "straight"),
        ("RGB", CLEAR, "RGB", "none"),
        ("YA", RED, "YA", "straight"),
    ],
)
def test_alpha_is_there_when_it_says_something(channels: Any, color: Any, names: str, alpha: str) -> None:
    image = constant(width=2, height=3, color=color, channels=channels, space="lin_rec709_scene")
    assert ("".join(image.channels), image.alpha, image.color) == (names, alpha, "lin_rec709_scene")
    assert image.size == (2, 3)


def test_values_beyond_one_are_painted_as_they_are() -> None:
    assert constant(width=1, height=1, color=(8.0, -1.0, 0.0, 1.0)).array.ravel().tolist() == [8, -1, 0]


# --- masks


@quick
@given(st.floats(-3, 12), st.floats(-3, 12), st.floats(0.05, 12), st.floats(0.05, 12), st.floats(0, 4))
def test_a_rectangle_covers_its_area(left: float, top: float, width: float, height: float, feather: float) -> None:
    box = {"left": left + 20, "top": top + 20, "right": left + width + 20, "bottom": top + height + 20}
    mask = rectangle_mask(width=60, height=60, **box, feather=feather)
    assert mask.array.sum() == pytest.approx(width * height, rel=1e-3)
    assert mask.array.min() >= 0
    assert mask.array.max() <= 1


@quick
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.1, 14), st.floats(0.1, 14))
def test_an_ellipse_covers_its_area(x: float, y: float, radius_x: float, radius_y: float) -> None:
    mask = ellipse_mask(width=32, height=32, center=(16 + x, 16 + y), radius_x=radius_x, radius_y=radius_y)
    assert mask.array.sum(dtype=float) == pytest.approx(np.pi * radius_x * radius_y, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(("x", "y", "radius_x", "radius_y"), [(12, 12, 9, 9), (11.3, 12.6, 10, 3), (2, 3, 8.5, 1)])
def test_convention_coverage_is_the_part_of_the_pixel_inside(
    x: float, y: float, radius_x: float, radius_y: float
) -> None:
    """Against counting 64 x 64 points in each pixel."""
    points = (np.arange(24 * 64) + 0.5) / 64
    inside = ((points[None] - x) / radius_x) ** 2 + ((points[:, None] - y) / radius_y) ** 2 < 1
    counted = inside.reshape(24, 64, 24, 64).mean((1, 3))
    mask = ellipse_mask(width=24, height=24, center=(x, y), radius_x=radius_x, radius_y=radius_y)
    assert mask.array[0, ..., 0] == pytest.approx(counted, abs=0.006)


def test_convention_coverage_of_a_rectangle() -> None:
    mask = rectangle_mask(width=4, height=3, left=0.5, top=1, right=2.25, bottom=2.5)
    assert mask.array[0, ..., 0].tolist() == [[0, 0, 0, 0], [0.5, 1, 0.25, 0], [0.25, 0.5, 0.125, 0]]


def test_convention_half_of_the_feather_is_outside() -> None:
    edges = {"left": 10.0, "top": -20.0, "right": 50.0, "bottom": 40.0}
    row = rectangle_mask(width=20, height=3, **edges, feather=8).array[0, 1, :, 0]
    assert (row[:5] == 0).all()
    assert (row[15:] == 1).all()
    assert row[7:13] == pytest.approx((np.arange(7, 13) + 0.5 - 6) / 8)  # linear between
    round_one = ellipse_mask(width=40, height=40, radius_x=10, feather=8).array[0, 20, :, 0]
    assert round_one[27:33] == pytest.approx((34 - np.arange(27, 33) - 0.5) / 8, abs=0.01)


@pytest.mark.parametrize("feather", [0.0, 5.0])
def test_invert_is_the_rest(feather: float) -> None:
    shape = {"width": 9, "height": 9, "radius_x": 3.0, "feather": feather}
    assert ellipse_mask(**shape).array + ellipse_mask(**shape, invert=True).array == pytest.approx(1)


def test_convention_linear_mask_is_sampled_at_pixel_centres() -> None:
    row = linear_mask(width=6, height=1, start=(1, 0), end=(5, 0)).array.ravel()
    assert row == pytest.approx([0, 0.125, 0.375, 0.625, 0.875, 1])


def test_shapes_without_an_inside_are_refused() -> None:
    with pytest.raises(OperationError, match="right must be above left"):
        rectangle_mask(width=4, height=4, left=3, top=0, right=3, bottom=2)
    with pytest.raises(OperationError, match="two different points"):
        linear_mask(width=4, height=4, start=(1, 1), end=(1, 1))
    with pytest.raises(OperationError, match=r"at \(9, 0\) is outside the image, which is 8x6"):
        erase(noise(), shape="ellipse", x=9)


# --- painting


def test_erase_keeps_the_colours_under_straight_alpha() -> None:
    image = noise()
    erased = erase(image, shape="rectangle", x=2, y=1, width=3, height=2)
    assert erased.alpha == "straight"
    assert np.array_equal(erased.array[..., :3], image.array[..., :3])
    assert (erased.array[0, 1:3, 2:5, 3] == 0).all()
    outside = np.ones((6, 8), bool)
    outside[1:3, 2:5] = False
    assert np.array_equal(erased.array[0][outside], image.array[0][outside])


def test_erase_takes_associated_colours_away() -> None:
    image = noise("RGBAZ", alpha="associated")
    erased = erase(image, shape="rectangle", width=4)
    assert (erased.array[0, :, :4, :4] == 0).all()
    assert np.array_equal(erased.array[..., 4], image.array[..., 4])
    assert np.array_equal(erased.array[0, :, 4:], image.array[0, :, 4:])


def test_erase_gives_alpha_to_an_image_without() -> None:
    image = noise("RGB")
    erased = erase(image, shape="rectangle", width=2.5)
    assert (erased.channels, erased.alpha) == (("R", "G", "B", "A"), "straight")
    assert np.array_equal(erased.array[..., :3], image.array[..., :3])
    assert erased.array[0, 0, :, 3].tolist() == [0, 0, 0.5, 1, 1, 1, 1, 1]


def test_erase_by_mask_and_shape_takes_where_both_are() -> None:
    image = noise("RGB")
    mask = rectangle_mask(width=8, height=6, left=0, top=0, right=8, bottom=3)
    by_mask = erase(image, mask).array[0, ..., 3]
    assert by_mask[:, 0].tolist() == [0, 0, 0, 1, 1, 1]
    both = erase(image, mask, shape="rectangle", width=4).array[0, ..., 3]
    assert both.sum() == 48 - 12
    rest = erase(image, mask, shape="rectangle", width=4, invert=True).array[0, ..., 3]
    assert rest.sum() == 12


def test_erase_wants_to_know_where() -> None:
    with pytest.raises(OperationError, match="link a mask, or set shape"):
        erase(noise())


def test_a_mask_of_another_size_is_refused_with_both_sizes() -> None:
    with pytest.raises(OperationError, match=r"mask is 4x4, but the image is 8x6; 'resize'"):
        fill(noise(), Mask(np.ones((1, 4, 4, 1), np.float32)), color=RED)


def over(image: Image, color: Any, cover: Any) -> np.ndarray[Any, Any]:
    """Porter-Duff over, on associated values: the formula that `fill` must agree with."""
    pixels = image.associate().array
    paint = np.float32([*(part * color[3] for part in color[:3]), color[3]])[: pixels.shape[3]]
    return pixels * (1 - cover * color[3]) + paint * cover


@pytest.mark.parametrize("state", ["straight", "associated"])
def test_fill_is_over(state: Any) -> None:
    image = noise(alpha=state)
    color = (0.2, 0.4, 2.0, 0.5)
    filled = fill(image, color=color, opacity=0.5)
    assert filled.alpha == state
    assert filled.associate().array == pytest.approx(over(image, color, 0.5), abs=1e-6)


def test_fill_without_alpha_and_other_channels() -> None:
    image = noise("RGBZ")
    filled = fill(image, color=(1.0, 0.0, 0.0, 0.25), shape="rectangle", width=4)
    expected = image.array * np.float32([0.75, 0.75, 0.75, 1]) + np.float32([0.25, 0, 0, 0])
    assert filled.array[0, :, :4] == pytest.approx(expected[0, :, :4], abs=1e-6)
    assert np.array_equal(filled.array[0, :, 4:], image.array[0, :, 4:])


def test_opaque_fill_is_the_colour_and_clear_fill_is_nothing() -> None:
    image = noise()
    assert (fill(image, color=RED).array == np.float32(RED)).all()
    assert np.array_equal(fill(image, color=(1.0, 0.0, 0.0, 0.0)).array, image.array)
    hidden = image.with_buffer(image.buffer * np.float32([1, 1, 1, 0]))
    assert np.array_equal(fill(hidden, color=RED, opacity=0.0).array, hidden.array)


@pytest.mark.parametrize("paint", [lambda i, m: fill(i, m, color=(0.5, 0.2, 0.1, 0.7)), erase], ids=["fill", "erase"])
@pytest.mark.parametrize("channels", ["Y", "RGB", "RGBA"])
def test_torch_and_numpy_and_every_dtype_agree_and_inputs_stay(paint: Any, channels: str) -> None:
    codes = np.random.default_rng(2).integers(0, 256, (2, 6, 8, len(channels)))
    states: dict[str, Any] = {"channels": tuple(channels), "alpha": "straight" if "A" in channels else "none"}
    mask = ellipse_mask(width=8, height=6, radius_x=3)
    as_float = Image((codes / 255).astype(np.float32), **states)
    expected = paint(as_float, mask).array
    for buffer in (codes.astype(np.uint8), (codes * 257).astype(np.uint16)):
        before = buffer.copy()
        buffer.setflags(write=False)
        assert paint(Image(buffer, **states), mask).array == pytest.approx(expected, abs=1e-6)
        tensor = Image(torch.from_numpy(before.copy()), **states)
        result = paint(tensor, mask)
        assert isinstance(result.buffer, torch.Tensor)
        assert result.array == pytest.approx(expected, abs=1e-6)
        assert np.array_equal(tensor.buffer, before)
    one = Image(as_float.buffer[:1], **states)
    assert np.array_equal(paint(one, mask).array, expected[:1])


def test_one_picture_with_two_masks_is_two_pictures() -> None:
    masks = Mask(np.random.default_rng(1).random((2, 6, 8, 1), np.float32))
    for channels in ("RGB", "RGBA"):
        assert erase(noise(channels), masks).batch == 2
        assert fill(noise(channels), masks, color=RED).batch == 2


CASES: list[tuple[Any, dict[str, Any]]] = [
    (constant, {"color": RED}),
    (constant, {"color": CLEAR, "channels": "YA"}),
    (gradient, {}),
    (gradient, {"end": CLEAR, "angle": 30.0}),
    (gradient, {"corners": (RED, CLEAR, BLUE, WHITE)}),
    (radial, {"end": CLEAR}),
    (checkerboard, {"space": "lin_rec709_scene"}),
    (rectangle_mask, {"left": 1.0, "top": 1.0, "right": 3.0, "bottom": 3.0}),
    (ellipse_mask, {"radius_x": 2.0}),
    (linear_mask, {"start": (0.0, 0.0), "end": (1.0, 1.0)}),
]


@pytest.mark.parametrize(("function", "params"), CASES)
def test_inference_says_what_is_drawn(function: Any, params: dict[str, Any]) -> None:
    facts: Facts = function.__operation__
    assert facts.infer is not None
    assert str(facts.infer(width=7, height=5, **params)) == str(function(width=7, height=5, **params))


@pytest.mark.parametrize("channels", ["RGB", "RGBA"])
@pytest.mark.parametrize(("function", "params"), [(fill, {"color": RED}), (erase, {"shape": "ellipse"})])
def test_inference_says_what_is_painted(function: Any, params: dict[str, Any], channels: str) -> None:
    image = noise(channels, batch=2)
    result = function(image, **params)
    assert str(function.__operation__.infer(image, **params)) == str(result)
    assert str(function(image.to("meta"), **params)) == str(result)


def test_every_signature_follows_the_rule() -> None:
    described = {read(function, plugin="draw").name for function in operations()}
    others = {"flood_fill", "flood_mask", "line_mask", "polygon_mask", "text", "text_mask"}  # test_draw_shapes
    assert described == {function.__name__ for function, _ in CASES} | {"fill", "erase"} | others


@pytest.mark.parametrize("invert", [False, True])
def test_compiled_paint_and_holes_are_what_formulas_give(invert: bool, as_formulas: Callable[..., None]) -> None:
    def masked(image: Image) -> Mask:
        values = np.random.default_rng(5).integers(-60, 256, (1, *image.buffer.shape[1:3], 1)).clip(0)
        return Mask(values.astype(np.uint8))

    paint: dict[str, Any] = {"color": (0.2, 0.9, 0.4, 0.7), "opacity": 0.6, "invert": invert}
    as_formulas(lambda image: fill(image, masked(image), **paint), ("Y", "RGB", "RGBA", "ABRGZ"))
    as_formulas(lambda image: fill(image, shape="ellipse", feather=2, **paint))
    as_formulas(lambda image: fill(image, **paint))
    as_formulas(lambda image: erase(image, masked(image), invert=invert), ("Y", "RGB", "RGBA", "ABRGZ"))
    as_formulas(lambda image: erase(image, masked(image), shape="rectangle", x=0.5, invert=invert))


@pytest.mark.parametrize("shape", [(40, 700), (3, 3)])
def test_compiled_planes_are_those_of_numpy(
    shape: tuple[int, int], compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = {"height": shape[0], "width": shape[1]}
    found = [ellipse_mask(**size, radius_x=r, invert=i).array for r in (0.2, 17, 500) for i in (False, True)]
    monkeypatch.setattr("pipeline_draw.compiled.load_kernels", lambda file: None)
    expected = [ellipse_mask(**size, radius_x=r, invert=i).array for r in (0.2, 17, 500) for i in (False, True)]
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)

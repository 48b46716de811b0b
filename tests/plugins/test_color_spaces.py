"""Conversions between colour spaces of other primaries, against OpenColorIO's built-in config and published figures."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import OpenImageIO
import pytest
from pipeline_color import color_convert
from pipeline_color.convert import SceneColor
from pipeline_color.primaries import between

from pipeline_core import Image, OperationError

SPACES = get_args(SceneColor)


def colors(color: str, channels: str = "RGB", low: float = 0.0, high: float = 2.0) -> Image:
    values = np.random.default_rng(5).uniform(low, high, (1, 4, 16, len(channels))).astype(np.float32)
    return Image(values, channels=tuple(channels), color=color)


def by_ocio(source: Image, to: str) -> Any:
    found = OpenImageIO.ImageBuf(np.ascontiguousarray(source.array[0]))
    config = OpenImageIO.ColorConfig("ocio://default")
    here, there = config.resolve(source.color), config.resolve(to)
    done = OpenImageIO.ImageBufAlgo.colorconvert(found, here, there, colorconfig="ocio://default")
    assert not done.has_error, done.geterror()
    return done.get_pixels(OpenImageIO.FLOAT)


@pytest.mark.parametrize("space", SPACES)
def test_opencolorio_gives_the_same(space: Any) -> None:
    there = colors("lin_rec709_scene", low=0.05, high=1)
    converted = color_convert(there, to=space)
    np.testing.assert_allclose(converted.array[0], by_ocio(there, space), rtol=1e-4, atol=1e-4)
    back = color_convert(converted, to="lin_rec709_scene")
    np.testing.assert_allclose(back.array[0], by_ocio(converted, "lin_rec709_scene"), rtol=1e-4, atol=1e-4)


def test_published_matrices() -> None:
    # IEC 61966-2-1:1999, to four places; Academy TB-2014-004's AP0 to AP1, to ten.
    srgb = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    np.testing.assert_allclose(between("rec709", "ciexyzd65"), srgb, atol=6e-5)
    aces = [
        [1.4514393161, -0.2365107469, -0.2149285693],
        [-0.0765537734, 1.1762296998, -0.0996759264],
        [0.0083161484, -0.0060324498, 0.9977163014],
    ]
    np.testing.assert_allclose(between("ap0", "ap1"), aces, atol=1e-9)


@pytest.mark.parametrize("space", SPACES)
def test_there_and_back_with_negative_and_hdr_values(space: Any) -> None:
    source = colors("lin_ap0_scene", low=-1, high=20)
    back = color_convert(color_convert(source, to=space), to="lin_ap0_scene")
    assert back.color == "lin_ap0_scene"
    np.testing.assert_allclose(back.array, source.array, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("space", [name for name in SPACES if "xyz" not in name])
def test_convention_white_goes_to_white_and_gray_is_converted_as_its_curve(space: Any) -> None:
    gray = colors("srgb_rec709_scene", "Y")
    as_colors = Image(np.repeat(gray.array, 3, axis=-1))
    found = color_convert(gray, to=space)
    assert found.channels == ("Y",)
    np.testing.assert_allclose(
        np.repeat(found.array, 3, -1), color_convert(as_colors, to=space).array, rtol=1e-5, atol=1e-5
    )


def test_equal_primaries_need_no_matrix() -> None:
    source = Image(np.array([[[[np.inf, -1, 0]]]], np.float32), color="srgb_p3d65_scene")
    assert color_convert(source, to="lin_p3d65_scene").array.tolist() == [[[[np.inf, -1, 0]]]]


def test_layers_are_converted_each_by_itself_wherever_their_channels_stand() -> None:
    source = colors("lin_rec709_scene", "BGR")
    names = ("fire.B", "Z", "R", "G", "fire.R", "B", "fire.G")
    order = [0, 0, 2, 1, 2, 0, 1]
    found = color_convert(
        Image(source.array[..., order].copy(), channels=names, color=source.color), to="lin_ap1_scene"
    )
    once = color_convert(source, to="lin_ap1_scene").array[..., order]
    once[..., 1] = source.array[..., 0]
    np.testing.assert_array_equal(found.array, once)


def test_what_has_no_three_channels_is_refused() -> None:
    with pytest.raises(OperationError, match=r"R, G, B is not there: to_rgb makes them of Y"):
        color_convert(colors("lin_rec709_scene", "Y"), to="lin_ciexyzd65_scene")
    with pytest.raises(OperationError, match="G, B is not there"):
        color_convert(colors("lin_rec709_scene", "R"), to="lin_ap1_scene")

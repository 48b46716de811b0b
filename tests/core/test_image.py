"""Kinds at the border of a node: what is refused, the two views, alpha, devices."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline_core import File, Image, Mask, Table
from pipeline_core.image import KindError

RGBA = ("R", "G", "B", "A")


def picture(dtype: str = "float32", channels: int = 3, batch: int = 1) -> np.ndarray[Any, Any]:
    values = np.random.default_rng(7).random((batch, 3, 4, channels))
    return (
        (values * 255).astype(dtype)
        if dtype == "uint8"
        else (values * 65535).astype(dtype)
        if dtype == "uint16"
        else values.astype(dtype)
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Image([[1]]), "must be a numpy array or torch tensor, not list"),
        (lambda: Image(np.zeros((3, 4, 3), np.float32)), r"must be \(B, H, W, C\), got \(3, 4, 3\)"),
        (lambda: Image(np.zeros((1, 3, 4, 3))), "must be one of uint8, uint16, float16, float32, got float64"),
        (lambda: Image(np.zeros((1, 3, 4, 3), ">f4")), "got >f4"),
        (lambda: Image(torch.zeros((1, 3, 4, 3), dtype=torch.bfloat16)), "got bfloat16"),
        (lambda: Image(np.zeros((1, 0, 4, 3), np.float32)), "the buffer is empty"),
        (lambda: Image(np.zeros((1, 3, 4, 4), np.float32)), "4 channels in the buffer, but 3 names"),
        (lambda: Image(np.zeros((1, 3, 4, 3), np.float32), ("R", "R", "B")), "two channels have one name"),
        (lambda: Image(np.zeros((1, 3, 4, 3), np.float32), alpha="straight"), "alpha is 'straight', but the channels are"),
        (lambda: Image(np.zeros((1, 3, 4, 4), np.float32), RGBA), "alpha is 'none', but the channels are"),
        (lambda: Image(np.zeros((1, 3, 4, 4), np.float32), RGBA, alpha="premultiplied"), "alpha must be one of"),  # type: ignore[arg-type]
        (lambda: Mask(np.zeros((1, 3, 4, 3), np.float32)), "3 channels in the buffer, but 1 names"),
        (lambda: Table(("a", "b"), ((1,),)), "a row of 1 values under 2 columns"),
        (lambda: Image(picture()).with_pixels(torch.zeros(3, 4, 4)), r"pixels must be \(B, C, H, W\)"),
    ],
)  # fmt: skip
def test_what_breaks_a_kind_is_refused(make: Any, message: str) -> None:
    with pytest.raises(KindError, match=message):
        make()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_two_views_of_one_buffer(dtype: str, library: str) -> None:
    buffer = picture(dtype)
    image = Image(buffer if library == "numpy" else torch.from_numpy(buffer))
    scale = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    wanted = (buffer.astype(np.float64) / scale).astype(np.float32)
    assert np.array_equal(image.array, wanted)
    assert np.abs(image.pixels.permute(0, 2, 3, 1).numpy() - wanted).max() <= (0 if library == "numpy" else 1e-7)
    assert image.pixels.shape == (1, 3, 3, 4)
    assert not image.array.flags.writeable
    assert (image.dtype, image.size, image.batch, image.device, image.nbytes) == (
        dtype,
        (4, 3),
        1,
        "cpu",
        buffer.nbytes,
    )


def test_integers_come_back_exactly() -> None:
    for dtype, most in (("uint8", 255), ("uint16", 65535)):
        every = np.arange(most + 1, dtype=dtype).reshape(1, 1, -1, 1)
        image = Image(every, ("Y",))
        assert np.array_equal(np.round(image.array * most).astype(dtype), every)
        assert np.array_equal((image.pixels * most).round().numpy().reshape(-1), every.reshape(-1).astype(np.float32))


def test_values_are_never_clipped() -> None:
    wild = np.array([-1.0, 65504.0, np.inf, np.nan], np.float32).reshape(1, 1, 4, 1)
    assert np.array_equal(Image(wild, ("Y",)).array, wild, equal_nan=True)


def test_other_pixels_keep_everything_else() -> None:
    image = Image(picture(channels=4), RGBA, "lin_rec709_scene", "straight", wrap=(True, False), meta={"a": "b"})
    for other in (
        image.with_pixels(image.pixels.double() * 2),
        image.with_array(image.array.astype(np.float64) * 2),
        image.with_buffer(image.buffer * 2),
    ):
        assert (other.channels, other.color, other.alpha, other.wrap, dict(other.meta)) == (
            RGBA,
            "lin_rec709_scene",
            "straight",
            (True, False),
            {"a": "b"},
        )
        assert other.dtype == "float32"
        assert np.allclose(other.array, image.array * 2)


def test_associating_and_back() -> None:
    image = Image(picture(channels=5), ("R", "G", "B", "A", "Z"), alpha="straight")
    there = image.associate()
    assert there.alpha == "associated"
    assert np.allclose(there.array[..., :3], image.array[..., :3] * image.array[..., 3:4])
    assert np.array_equal(there.array[..., 3:], image.array[..., 3:])  # neither alpha nor depth
    assert np.allclose(there.unassociate().array, image.array, atol=1e-6)
    assert there.associate() is there
    assert image.unassociate() is image
    assert there.with_alpha_state("straight").alpha == "straight"


def test_alpha_of_data_covers_nothing() -> None:
    packed = Image(picture(channels=4), RGBA, color="data", alpha="straight")
    assert packed.coverage == "none"
    there = packed.associate()
    assert (there.alpha, there.unassociate().alpha) == ("associated", "straight")
    assert np.array_equal(there.array, packed.array)
    assert np.array_equal(there.unassociate().array, packed.array)


def test_colour_under_no_alpha_stays_when_unassociated() -> None:
    glow = Image(np.array([0.5, 0.25, 0.1, 0.0], np.float32).reshape(1, 1, 1, 4), RGBA, alpha="associated")
    assert np.array_equal(glow.unassociate().array, glow.array)


def test_channels_by_name() -> None:
    image = Image(picture(channels=2), ["Y", "Z"], wrap=[True, True])  # type: ignore[arg-type]
    assert image.channels == ("Y", "Z")
    assert image.wrap == (True, True)
    assert torch.equal(image.channel("Z"), image.pixels[:, 1:])
    assert image.color_indices == [0]
    with pytest.raises(KindError, match="no channel 'A' in Y, Z"):
        image.channel("A")


def test_images_can_be_pickled_and_copied() -> None:
    for value in (Image(picture(), meta={"a": "b"}), Mask(picture(channels=1)), Table(("a",), ((1,),)), File(b"x")):
        for again in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
            assert type(again) is type(value)
            assert str(again) == str(value)
    assert pickle.loads(pickle.dumps(Image(picture(), meta={"a": "b"}))).meta == {"a": "b"}


def test_the_metadata_can_not_be_changed() -> None:
    given = {"a": "b"}
    image = Image(picture(), meta=given)
    given["a"] = "c"
    assert image.meta["a"] == "b"
    with pytest.raises(TypeError):
        image.meta["a"] = "d"  # type: ignore[index]


def test_to_a_device_and_back() -> None:
    image = Image(picture("uint8"))
    assert image.to("cpu") is image
    meta = image.to("meta")
    assert (meta.device, meta.dtype, meta.size) == ("meta", "uint8", (4, 3))
    assert meta.to("meta") is meta


def test_for_people() -> None:
    assert str(Image(picture("uint8", 4, 2), RGBA, alpha="straight")) == "2 x 4x3 RGBA uint8 srgb_rec709_scene straight"
    assert repr(Mask(picture(channels=1))) == "<Mask 4x3 mask float32>"
    assert str(Image(picture(channels=2), ("diffuse.R", "Z"))) == "4x3 diffuse.R,Z float32 srgb_rec709_scene"


def test_the_y_of_a_coordinate_is_no_brightness() -> None:
    names = ("R", "A", "N.X", "N.Y", "N.Z", "lit.Y")
    image = Image(np.full((1, 1, 1, 6), 0.5, np.float32), channels=names, alpha="straight")
    assert image.color_indices == [0, 5]
    assert image.associate().array[0, 0, 0].tolist() == [0.25, 0.5, 0.5, 0.5, 0.5, 0.25]


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_pixels_of_an_array_that_is_read_backwards(dtype: str) -> None:
    array = np.arange(2 * 3 * 4).reshape(1, 2, 3, 4).astype(dtype)[:, ::-1, ::-1]
    pixels = Image(array, channels=("R", "G", "B", "A"), alpha="straight").pixels
    assert np.array_equal(pixels.numpy(), Image(array.copy(), channels=("R", "G", "B", "A"), alpha="straight").pixels)


def made_of_pixels() -> tuple[Image, np.ndarray[Any, Any]]:
    planes = torch.rand(1, 4, 5, 7)
    image = Image(np.zeros((1, 2, 3, 4), np.float32), channels=("R", "G", "B", "A"), alpha="straight").with_pixels(
        planes
    )
    return image, planes.permute(0, 2, 3, 1).numpy().copy()


def test_an_image_of_pixels_is_the_same_as_one_of_a_buffer() -> None:
    image, pixels = made_of_pixels()
    assert (image.shape, image.size, image.batch) == ((1, 5, 7, 4), (7, 5), 1)
    assert (image.dtype, image.device, image.nbytes) == ("float32", "cpu", 4 * 4 * 5 * 7)
    for other in (
        image,
        replace(image, meta={"a": "b"}),
        pickle.loads(pickle.dumps(image)),
        image.with_buffer(image.buffer),
    ):
        assert np.array_equal(other.buffer, pixels)
        assert np.array_equal(other.array, pixels)
        assert np.array_equal(other.pixels.permute(0, 2, 3, 1), pixels)
    with pytest.raises(AttributeError, match="'Image' has no 'bufer'"):
        image.bufer  # type: ignore[attr-defined]  # noqa: B018  it is what is tried


def test_pixels_are_a_tensor_of_their_own_for_everybody_who_asks() -> None:
    """Who gives his another shape, or has it followed by gradients, changes nothing for others."""
    image, pixels = made_of_pixels()
    first = image.pixels.squeeze_(0).requires_grad_()
    second = image.pixels
    assert image.shape == (1, 5, 7, 4)
    assert not second.requires_grad
    assert np.array_equal(image.buffer, pixels)
    assert second.shape == (1, 4, 5, 7)
    assert second.data_ptr() == first.data_ptr() == image.buffer.data_ptr()


def test_pixels_of_integers_are_read_as_floats() -> None:
    image = made_of_pixels()[0].with_pixels(torch.full((1, 4, 2, 2), 255, dtype=torch.uint8))
    assert image.dtype == "uint8"
    assert torch.equal(image.pixels, torch.ones(1, 4, 2, 2))


@pytest.mark.parametrize("shape", [(1, 3, 2, 2), (1, 4, 0, 2), (4, 2, 2)])
def test_pixels_of_a_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(KindError, match=r"pixels must be|channels in the buffer|is empty"):
        made_of_pixels()[0].with_pixels(torch.zeros(shape))

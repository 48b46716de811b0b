"""Channels: what is moved stays bit for bit the same; expressions compute what they say and reach nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_channel import channel_math, combine_channels, pack_channels, select_channels, shuffle, split_channels
from pipeline_channel.expression import Expression

from pipeline_core import Image, Mask, OperationError, Pipeline, check

DTYPES = ("uint8", "uint16", "float16", "float32")


def picture(channels: tuple[str, ...] | str = "RGBA", *, dtype: str = "float32", seed: int = 0, **fields: Any) -> Image:
    rng = np.random.default_rng(seed)
    values = rng.random((fields.pop("batch", 1), 4, 5, len(channels)))
    buffer = (values * 255).astype(dtype) if dtype.startswith("uint") else values.astype(dtype)
    fields.setdefault("alpha", "straight" if "A" in channels else "none")
    return Image(buffer, channels=tuple(channels), **fields)


def values(raster: Image | Mask) -> np.ndarray[Any, Any]:
    return np.asarray(raster.buffer)


def channel(raster: Image, name: str) -> np.ndarray[Any, Any]:
    return values(raster)[..., raster.index(name)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_split_and_combine_give_back_the_same_image_for_arrays_and_tensors(dtype: str) -> None:
    image = picture(dtype=dtype)
    back = combine_channels(list(split_channels(image)))
    assert (back.channels, back.dtype, back.color, back.alpha) == (tuple("RGBA"), dtype, "data", "straight")
    assert np.array_equal(values(back), values(image))
    tensor = image.with_buffer(torch.from_numpy(values(image).copy()))
    assert np.array_equal(values(combine_channels(list(split_channels(tensor)))), values(image))


def test_split_gives_a_gray_image_three_times_and_full_coverage_where_there_is_no_alpha() -> None:
    image = picture("Y", dtype="uint16")
    parts = split_channels(image)
    assert all(np.array_equal(values(part), values(image)) for part in parts[:3])
    assert parts.a.dtype == "uint16"
    assert (values(parts.a) == 65535).all()


def test_select_orders_drops_and_matches_layers() -> None:
    image = picture(("R", "G", "B", "A", "diffuse.R", "diffuse.G", "Z"), alpha="associated")
    assert select_channels(image, channels=["B", "R"]).channels == ("B", "R")
    assert select_channels(image, channels=["B", "R"]).alpha == "none"
    layer = select_channels(image, channels=["diffuse.*", "A", "diffuse.R"])
    assert (layer.channels, layer.alpha) == (("diffuse.R", "diffuse.G", "A"), "associated")
    assert np.array_equal(channel(layer, "diffuse.G"), channel(image, "diffuse.G"))
    with pytest.raises(OperationError, match="no channel 'N\\.\\*', only R, G, B, A"):
        select_channels(image, channels=["N.*"])


def test_shuffle_takes_from_both_images_and_constants() -> None:
    image, other = picture("RGB", dtype="uint8"), picture("YZ", dtype="uint8", seed=1, color="data")
    made = shuffle(image, other, channels={"R": "B", "G": "1", "B": "0", "A": "other.Z"})
    assert (made.channels, made.alpha, made.dtype, made.color) == (tuple("RGBA"), "straight", "uint8", image.color)
    assert np.array_equal(channel(made, "R"), channel(image, "B"))
    assert (channel(made, "G") == 255).all()
    assert not channel(made, "B").any()
    assert np.array_equal(channel(made, "A"), channel(other, "Z"))


def test_shuffle_of_two_dtypes_is_float_and_a_batch_of_one_spreads() -> None:
    image, mask = picture("RGB", dtype="uint8", batch=2), Mask(np.full((1, 4, 5, 1), 0.25, np.float32))
    made = shuffle(image, mask, channels={"R": "R", "A": "other.M"})
    assert (made.dtype, made.batch) == ("float32", 2)
    assert np.array_equal(made.array[..., 0], image.array[..., 0])
    assert (made.array[..., 1] == 0.25).all()


def test_shuffle_names_what_does_not_fit() -> None:
    image = picture("RGB")
    with pytest.raises(OperationError, match="nothing is wired"):
        shuffle(image, channels={"A": "other.A"})
    with pytest.raises(OperationError, match="no channel 'Q', only R, G, B"):
        shuffle(image, channels={"R": "Q"})
    with pytest.raises(OperationError, match="color_convert"):
        shuffle(image, picture("RGB", color="lin_rec709_scene"), channels={"R": "R", "G": "other.G"})
    with pytest.raises(OperationError, match="premultiply"):
        shuffle(picture(), picture(alpha="associated"), channels={"R": "R", "A": "other.A"})
    with pytest.raises(OperationError, match=r"5x4.*9x4.*resize"):
        shuffle(image, Image(np.zeros((1, 4, 9, 3), np.float32)), channels={"R": "R"})


def test_combine_wants_a_name_for_each_channel() -> None:
    mask = split_channels(picture())[0]
    assert combine_channels([picture("RGB"), mask], names=["R", "G", "B", "Z"]).color == "srgb_rec709_scene"
    with pytest.raises(OperationError, match=r"2 names .* for 4 channels"):
        combine_channels([picture()], names=["R", "G"])
    with pytest.raises(OperationError, match="5 channels have no usual names"):
        combine_channels([picture(), mask])
    with pytest.raises(OperationError, match="the name 'R'"):
        combine_channels([mask, mask], names=["R", "R"])


def test_pack_channels_packs_in_order_and_fills_what_is_missing() -> None:
    gray, mask = picture("Y", dtype="uint8"), Mask(np.full((1, 4, 5, 1), 7, np.uint8))
    packed = pack_channels(gray, None, mask, mask, missing=1.0)
    assert (packed.channels, packed.color, packed.alpha, packed.dtype) == (tuple("RGBA"), "data", "straight", "uint8")
    assert np.array_equal(values(packed)[0, 0, 0], [values(gray)[0, 0, 0, 0], 255, 7, 7])
    with pytest.raises(OperationError, match="'g' has 3 channels"):
        pack_channels(mask, picture("RGB"))


R, G = np.float32(0.25), np.float32(-2.0)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("R + G * 2 - 1", R + G * 2 - 1),
        ("(R - G) / -4", (R - G) / -4),
        ("R ** 2", R**2),
        ("2 ** -1", 0.5),
        ("clamp(G)", 0.0),
        ("clamp(G, -1)", -1.0),
        ("clamp(3, 0, 2)", 2.0),
        ("min(R, G, 9) + max(R, G)", G + R),
        ("abs(G) + sqrt(R)", 2.5),
        ("mix(R, G, 0.5)", (R + G) / 2),
        ("where(R > 0 and not G > 0, 5, 6)", 5.0),
        ("1 if G or 0 else 2", 1.0),
        ("-1 < R < 0", 0.0),
        ("(R == 0.25) + 1", 2.0),
        ("floor(G - 0.5) + ceil(0.1) + exp(0) + log(1) + sin(0) + cos(0)", 0.0),
        ("a.R", 3.0),
        ("1 / 0", np.inf),
        ("9.0 ** 9 ** 9", np.inf),
    ],
)
def test_expressions_compute_what_they_say_in_numpy_and_torch(text: str, wanted: float) -> None:
    expression = Expression(text)
    plane = np.ones((1, 2, 2), np.float32)
    with np.errstate(all="ignore"):
        found = expression.evaluate({"R": plane * R, "G": plane * G, "a.R": plane * 3}, np.float32, np)
    assert found.dtype == np.float32
    assert np.allclose(found, wanted, atol=1e-6)
    tensors = {"R": torch.full((2,), 0.25), "G": torch.full((2,), -2.0), "a.R": torch.full((2,), 3.0)}
    assert np.allclose(expression.evaluate(tensors, torch.tensor, torch), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("__import__('os')", "calls __import__"),
        ("R.__class__()", "calls R.__class__"),
        ("(R + 1).real", "understood"),
        ("[R for R in G]", "understood"),
        ("(lambda: 1)()", "calls"),
        ("'text' * 9", "not a number"),
        ("1j", "not a number"),
        ("R[0]", "understood"),
        ("R if", "can't be read"),
        ("abs(R, G)", "takes 1"),
        ("clamp(x=R)", "calls clamp"),
        ("-" * 900 + "1", "deep|nested"),
        ("(" * 400 + "1" + ")" * 400, "can't be read"),
        ("+".join("1" * 300), "more than 200 parts"),
        ("1" * 1001, "1001 characters"),
        ("R\0", "can't be read"),
        ("", "can't be read"),
        ("R // 2", "understood"),
        ("*R", "can't be read|understood"),
    ],
)
def test_expressions_refuse_all_else(text: str, complaint: str) -> None:
    with pytest.raises(OperationError, match=complaint) as caught:
        channel_math(picture("RG"), expressions={"R": text})
    assert "\n" not in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="RG01.()+-*/<>=,&|~ abscinmxw_[]{}'\":\\\n", max_size=40))
def test_any_text_is_computed_or_refused(text: str) -> None:
    try:
        made = channel_math(picture("RG"), expressions={"R": text})
    except OperationError:
        return
    assert made.dtype == "float32"


def test_channel_math_replaces_adds_and_reads_the_image_as_it_came() -> None:
    image, other = picture("RGB"), picture("Y", seed=1)
    made = channel_math(image, other, expressions={"R": "G", "G": "R", "A": "other.Y", "Z": "0.5"})
    assert (made.channels, made.alpha) == (("R", "G", "B", "A", "Z"), "straight")
    assert np.array_equal(made.array[..., :3], image.array[..., [1, 0, 2]])
    assert np.array_equal(channel(made, "A"), channel(other, "Y"))
    assert (channel(made, "Z") == 0.5).all()
    with pytest.raises(OperationError, match="names 'Q', which is not a channel: R, G, B"):
        channel_math(image, expressions={"R": "Q + 1"})


def test_convention_truth_is_one_and_dividing_by_zero_is_ieee() -> None:
    image = Image(np.array([[[[0.0], [0.75]]]], np.float32), channels=("Y",))
    assert channel_math(image, expressions={"Y": "Y > 0.5"}).array.ravel().tolist() == [0, 1]
    divided = channel_math(image, expressions={"Y": "Y / 0"}).array.ravel()
    assert np.isnan(divided[0])
    assert np.isposinf(divided[1])


def test_expressions_are_checked_before_a_pipeline_runs() -> None:
    pipeline = Pipeline()
    made = pipeline.node("made", "constant", width=4, height=4, color="#ff8000")
    pipeline.output("sum", pipeline.node("sum", "channel_math", image=made, expressions={"R": "R * nothing"}))
    (problem,) = check(pipeline.spec, deep=True)
    assert "node 'sum'" in str(problem)
    assert "'nothing', which is not a channel: R, G, B" in str(problem)

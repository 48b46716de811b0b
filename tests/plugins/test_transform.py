"""crop, pad, offset, flips and turns: exact, in the buffer's own type, for numpy and torch, images and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_transform import crop, flip, flop, offset, operations, pad, resize, rotate, rotate90, transpose

from pipeline_core import Image, Mask, OperationError
from pipeline_core.operation import Facts, read

DTYPES = ("uint8", "uint16", "float16", "float32")
RED = (1.0, 0.0, 0.0, 1.0)


def picture(
    width: int = 5, height: int = 4, *, channels: str = "RGBA", dtype: str = "float32", seed: int = 0, **fields: Any
) -> Image:
    rng = np.random.default_rng(seed)
    values = rng.random((fields.pop("batch", 1), height, width, len(channels)))
    buffer = (values * 255).astype(dtype) if dtype.startswith("uint") else values.astype(dtype)
    fields.setdefault("alpha", "straight" if "A" in channels else "none")
    return Image(buffer, channels=tuple(channels), **fields)


def values(image: Image | Mask) -> np.ndarray[Any, Any]:
    return np.asarray(image.buffer)


def same(a: Image | Mask, b: Image | Mask) -> bool:
    return a.dtype == b.dtype and a.wrap == b.wrap and np.array_equal(values(a), values(b))


pictures = st.builds(
    picture,
    st.integers(1, 6),
    st.integers(1, 6),
    channels=st.sampled_from(["Y", "RGB", "RGBA", "RGBZ"]),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 99),
    batch=st.integers(1, 2),
    wrap=st.tuples(st.booleans(), st.booleans()),
)
quick = settings(max_examples=40, deadline=None)

MOVES = {
    "crop": lambda image: crop(image, x=1, y=1, width=3, height=2),
    "pad": lambda image: pad(image, left=1, right=2, top=3, color=RED),
    "pad edge": lambda image: pad(image, left=1, bottom=2, mode="edge"),
    "pad repeat": lambda image: pad(image, left=7, bottom=9, mode="repeat"),
    "pad mirror": lambda image: pad(image, left=7, bottom=9, mode="mirror"),
    "offset": lambda image: offset(image, x=2, y=-1),
    "flip": flip,
    "flop": flop,
    "transpose": transpose,
    "rotate90": rotate90,
    "rotate90 back": lambda image: rotate90(image, turns=3),
    "rotate nearest": lambda image: rotate(image, angle=30, filter="nearest", fill=RED),
    "rotate half": lambda image: rotate(image, angle=180),
    "resize nearest": lambda image: resize(image, width=9, height=3, filter="nearest"),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_moves_keep_dtype_and_are_the_same_for_torch_and_leave_the_input_alone(move: Any, dtype: str) -> None:
    image = picture(dtype=dtype)
    before = values(image).copy()
    image.buffer.setflags(write=False)
    moved = move(image)
    assert moved.dtype == dtype
    tensor = image.with_buffer(torch.from_numpy(before.copy()))
    assert same(move(tensor), moved)
    assert np.array_equal(values(tensor), before)


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_masks_move_as_their_picture_does(move: Any) -> None:
    image = picture(channels="RGBA")
    mask = Mask(values(image)[..., 3:])
    assert np.array_equal(values(move(mask)), values(move(image))[..., 3:])


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_a_batch_of_two_is_two_of_one(move: Any) -> None:
    one, two = picture(seed=1), picture(seed=2)
    both = one.with_buffer(np.concatenate([one.buffer, two.buffer]))
    assert np.array_equal(values(move(both)), np.concatenate([values(move(one)), values(move(two))]))


@quick
@given(pictures)
def test_turning_round_comes_back(image: Image) -> None:
    assert same(flip(flip(image)), image)
    assert same(flop(flop(image)), image)
    assert same(transpose(transpose(image)), image)
    assert same(rotate90(rotate90(rotate90(rotate90(image)))), image)
    assert same(rotate90(rotate90(image)), rotate90(image, turns=2))
    assert same(rotate90(rotate90(image, turns=3)), image)


@quick
@given(pictures, st.integers(-9, 9), st.integers(-9, 9))
def test_an_offset_comes_back(image: Image, x: int, y: int) -> None:
    assert same(offset(offset(image, x=x, y=y), x=-x, y=-y), image)


@quick
@given(pictures, st.tuples(*[st.integers(0, 8)] * 4), st.sampled_from(["constant", "edge", "repeat", "mirror"]))
def test_crop_of_pad_is_the_image(image: Image, borders: tuple[int, int, int, int], mode: Any) -> None:
    left, right, top, bottom = borders
    padded = pad(image, left=left, right=right, top=top, bottom=bottom, mode=mode)
    assert padded.size == (image.width + left + right, image.height + top + bottom)
    back = crop(padded, x=left, y=top, width=image.width, height=image.height)
    assert back.dtype == image.dtype
    assert np.array_equal(values(back), values(image))


@quick
@given(pictures, st.integers(0, 9), st.sampled_from([("edge", "edge"), ("repeat", "wrap"), ("mirror", "symmetric")]))
def test_pad_modes_agree_with_numpy(image: Image, border: int, modes: tuple[Any, Any]) -> None:
    ours, theirs = modes
    padded = pad(image, left=border, top=border, right=1, mode=ours)
    expected = np.pad(values(image), ((0, 0), (border, 0), (border, 1), (0, 0)), mode=theirs)
    assert np.array_equal(values(padded), expected)


def test_convention_flip_is_upside_down_and_flop_left_to_right() -> None:
    image = Image(np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1), channels=("Y",))
    assert values(flip(image))[0, ..., 0].tolist() == [[3, 4, 5], [0, 1, 2]]
    assert values(flop(image))[0, ..., 0].tolist() == [[2, 1, 0], [5, 4, 3]]


def test_convention_rotate90_is_clockwise() -> None:
    image = Image(np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1), channels=("Y",))
    assert values(rotate90(image))[0, ..., 0].tolist() == [[3, 0], [4, 1], [5, 2]]


def test_convention_mirror_repeats_the_outermost_pixel() -> None:
    image = Image(np.arange(3, dtype=np.uint8).reshape(1, 1, 3, 1), channels=("Y",))
    assert values(pad(image, left=2, right=2, mode="mirror"))[0, 0, :, 0].tolist() == [1, 0, 0, 1, 2, 2, 1]


def test_crop_outside_is_refused_with_the_sizes() -> None:
    with pytest.raises(OperationError, match=r"4x2 at \(2, 1\).*5x4.*'pad'"):
        crop(picture(), x=2, y=1, width=4, height=2)


def test_crop_takes_the_pixels_it_names() -> None:
    image = picture()
    assert np.array_equal(values(crop(image, x=1, y=2, width=3, height=2)), values(image)[:, 2:4, 1:4])


@pytest.mark.parametrize(
    ("image", "color", "expected"),
    [
        (picture(channels="RGB", dtype="uint8"), (1.0, 0.5, -2.0, 0.25), [255, 128, 0]),
        (picture(channels="RGBA", dtype="uint16"), (1.0, 0.5, 3.0, 0.25), [65535, 32768, 65535, 16384]),
        (picture(channels="RGB"), (1.0, 0.5, -2.0, 0.25), [1.0, 0.5, -2.0]),
        (picture(channels="RGBA", alpha="associated"), (1.0, 0.5, 2.0, 0.5), [0.5, 0.25, 1.0, 0.5]),
        (picture(channels="YZ"), (0.5, 0.5, 0.5, 1.0), [0.5, 0.0]),
        (picture(channels="RGBA"), (0.0, 0.0, 0.0, 0.0), [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_pad_encodes_its_colour_for_the_image(image: Image, color: Any, expected: list[float]) -> None:
    assert values(pad(image, left=1, color=color))[0, 0, 0].tolist() == expected


def test_pad_of_a_mask_is_outside_unless_the_colour_is_opaque() -> None:
    mask = Mask(np.full((1, 2, 2, 1), 255, np.uint8))
    assert values(pad(mask, left=1))[0, 0, 0, 0] == 0
    assert values(pad(mask, left=1, color=RED))[0, 0, 0, 0] == 255


@pytest.mark.parametrize(
    ("move", "wrap"),
    [
        (lambda image: crop(image, x=0, y=1, width=5, height=2), (True, False)),
        (lambda image: pad(image, top=1), (True, False)),
        (lambda image: pad(image, left=3, right=2, mode="repeat"), (True, True)),
        (lambda image: pad(image, left=3, mode="repeat"), (False, True)),
        (lambda image: offset(image, x=1), (True, True)),
        (lambda image: rotate(image, angle=10), (False, False)),
    ],
)
def test_wrap_is_kept_where_it_is_still_true(move: Any, wrap: tuple[bool, bool]) -> None:
    assert move(picture(wrap=(True, True))).wrap == wrap


def test_wrap_turns_with_the_picture() -> None:
    image = picture(wrap=(True, False))
    for turned in (transpose(image), rotate90(image), rotate90(image, turns=3), rotate(image, angle=90, expand=True)):
        assert turned.wrap == (False, True)
    assert rotate90(image, turns=2).wrap == (True, False)


INFERRED: dict[str, list[dict[str, Any]]] = {
    "crop": [{"x": 1, "y": 1, "width": 3, "height": 2}, {"x": 0, "y": 0, "width": 5, "height": 2}],
    "pad": [{"left": 2, "mode": mode, "color": RED} for mode in ("constant", "edge", "repeat", "mirror")],
    "offset": [{"x": 1, "y": 1}],
    "flip": [{}],
    "flop": [{}],
    "transpose": [{}],
    "rotate90": [{"turns": turns} for turns in (1, 2, 3)],
    "resize": [
        {"width": 10},
        {"height": 3},
        {"scale": 0.5},
        {"longest": 7, "filter": "nearest"},
        {"width": 5},
        *[{"width": 7, "height": 7, "fit": fit} for fit in ("stretch", "fit", "fill")],
    ],
    "rotate": [
        {"angle": 30.0},
        {"angle": 30.0, "expand": True, "filter": "nearest"},
        {"angle": 90.0},
        {"angle": 90.0, "expand": True},
        {"angle": 180.0},
        {"angle": 180.0, "center": (0.0, 0.0)},
        {"angle": 0.0},
    ],
}
CASES = [(function, params) for function in operations() for params in INFERRED.get(function.__name__, [])]


@pytest.mark.parametrize(("function", "params"), CASES, ids=lambda part: getattr(part, "__name__", str(part)))
@pytest.mark.parametrize(
    "image",
    [
        picture(dtype="uint8", wrap=(True, True)),
        picture(channels="RGB", wrap=(True, False)),
        Mask(picture(channels="Y").buffer),
    ],
    ids=["uint8 RGBA", "float RGB", "mask"],
)
def test_inference_says_what_the_run_gives(function: Any, params: dict[str, Any], image: Any) -> None:
    facts: Facts = function.__operation__
    stand_in = image.with_buffer(np.broadcast_to(np.zeros((), image.dtype), image.buffer.shape))
    assert facts.infer is not None
    result = function(image, **params)
    for guess in (facts.infer(stand_in, **params), function(image.to("meta"), **params)):
        assert str(guess) == str(result)
        assert guess.wrap == result.wrap


def test_every_signature_follows_the_rule() -> None:
    described = {read(function, plugin="transform").name for function in operations()}
    others = {
        "affine",
        "batch_sheet",
        "merge_tiles",
        "split_tiles",
        "corner_pin",
        "lens_distort",
        "mosaic",
        "st_map",
        "translate",
        "trim",
    }  # test_transform_warps
    assert described == set(INFERRED) | others


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("move", [flip, flop, rotate90, lambda image: rotate90(image, turns=3)])
def test_tensors_of_every_dtype_turn_over(move: Any, dtype: str) -> None:
    # torch's own `flip` refuses uint16 for some shapes and axes.
    image = picture(9, 7, channels="Y", dtype=dtype)
    tensor = image.with_buffer(torch.from_numpy(values(image).copy()))
    assert np.array_equal(move(tensor).buffer.contiguous().numpy(), values(move(image)))

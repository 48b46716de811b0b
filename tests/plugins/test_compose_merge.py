"""merge: algebra, alpha states, placing, batches, channels, and what it refuses."""

from __future__ import annotations

import typing
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pipeline_compose import merge, operations
from pipeline_compose.blend import NON_SEPARABLE, SEPARABLE
from pipeline_compose.compiled import BLENDS, can_merge
from pipeline_compose.operators import RULES, Operator

from pipeline_core import Image, Mask, OperationError
from pipeline_core.operation import read

OPERATORS = typing.get_args(Operator)
WITHOUT_GRAINS = [name for name in OPERATORS if not RULES[name].scatters]
RGBA = ("R", "G", "B", "A")


def picture(
    seed: int, channels: str = "RGBA", *, width: int = 5, height: int = 4, batch: int = 1, **fields: Any
) -> Image:
    values = np.random.default_rng(seed).random((batch, height, width, len(channels)), np.float32)
    fields.setdefault("alpha", "associated" if "A" in channels else "none")
    if fields["alpha"] == "associated":
        at = channels.index("A")
        values[..., :at] *= values[..., at : at + 1]
    return Image(values, channels=tuple(channels), **fields)


def mask(seed: int, *, width: int = 5, height: int = 4, batch: int = 1) -> Mask:
    return Mask(np.random.default_rng(seed).random((batch, height, width, 1), np.float32))


def solid(values: list[float], channels: str = "RGBA", **fields: Any) -> Image:
    fields.setdefault("alpha", "associated" if "A" in channels else "none")
    return Image(np.array(values, np.float32).reshape(1, 1, 1, -1), channels=tuple(channels), **fields)


def close(a: Image, b: Image, tolerance: float = 1e-6) -> None:
    assert (a.channels, a.color, a.alpha) == (b.channels, b.color, b.alpha)
    np.testing.assert_allclose(a.array, b.array, atol=tolerance)


seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_over_is_associative(seed: int) -> None:
    a, b, c = (picture(seed + i) for i in range(3))
    close(merge(c, merge(b, a)), merge(merge(c, b), a))


@given(seeds, st.sampled_from(OPERATORS))
def test_opacity_0_is_base(seed: int, operator: Operator) -> None:
    base = picture(seed)
    assert np.array_equal(merge(base, picture(seed + 1), operation=operator, opacity=0).array, base.array)


@given(seeds, st.sampled_from(OPERATORS))
def test_straight_and_associated_inputs_say_the_same(seed: int, operator: Operator) -> None:
    base, top = picture(seed), picture(seed + 1)
    expected = merge(base, top, operation=operator)
    close(merge(base, top.unassociate(), operation=operator), expected)
    close(merge(base.unassociate(), top, operation=operator).associate(), expected)


@given(seeds, st.sampled_from([("over", "under"), ("in", "mask"), ("out", "stencil"), ("atop", "destination-atop")]))
def test_operators_with_base_and_top_exchanged(seed: int, pair: tuple[Operator, Operator]) -> None:
    a, b = picture(seed), picture(seed + 1)
    close(merge(a, b, operation=pair[0]), merge(b, a, operation=pair[1]))


@given(seeds, st.sampled_from(OPERATORS))
def test_a_batch_of_two_is_two_of_one(seed: int, operator: Operator) -> None:
    base, top, matte = picture(seed, batch=2), picture(seed + 1), mask(seed + 2, batch=2)
    together = merge(base, top, matte, operation=operator)
    for i in range(2):
        one = merge(
            base.with_buffer(base.buffer[i : i + 1]),
            top,
            matte.with_buffer(matte.buffer[i : i + 1]),
            operation=operator,
        )
        assert np.array_equal(together.array[i : i + 1], one.array)


@pytest.mark.parametrize("operator", WITHOUT_GRAINS)
def test_strips_are_the_whole_to_the_bit(operator: Operator) -> None:
    base, top, matte = (make(i, width=37, height=31) for i, make in enumerate((picture, picture, mask)))
    base = base.unassociate()
    whole = merge(base, top, matte, operation=operator).array

    def strip(start: int) -> np.ndarray[Any, Any]:
        parts = [value.with_buffer(value.buffer[:, start : start + 7]) for value in (base, top, matte)]
        return merge(*parts, operation=operator).array

    assert np.array_equal(np.concatenate([strip(start) for start in range(0, 31, 7)], axis=1), whole)


COMPILED = [name for name in OPERATORS if RULES[name].fractions]


def test_every_operator_told_by_what_is_seen_is_compiled(compiled: None) -> None:
    top, base = picture(1), picture(2)
    assert [name for name in OPERATORS if can_merge(RULES[name], [["R", "G", "B"]], top, base, None)] == COMPILED
    assert {RULES[name].blend for name in COMPILED} - {None} == {(SEPARABLE | NON_SEPARABLE)[name] for name in BLENDS}


@pytest.mark.parametrize("operator", COMPILED)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_compiled_gives_what_formulas_give(
    operator: Operator, dtype: str, compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(2)
    values = random.integers(0, 256, (2, 24, 7, 4)) / 255
    values[0, :12, :, 3] = values[1, 6:18, :, 3] = 1  # some bands are opaque
    values[:, 20:, :2, 3] = 0
    scale = float(np.iinfo(dtype).max) if dtype.startswith("u") else 1.0
    top, base = (Image((some * scale).astype(dtype)[None], channels=RGBA, alpha="straight") for some in values)
    plain = Image(base.buffer[..., :3])
    twisted = Image(np.ascontiguousarray(base.buffer[..., [3, 2, 0, 1]]), channels=tuple("ABRG"), alpha="straight")
    two = base.with_buffer(np.concatenate([base.buffer, base.buffer[:, ::-1]]))
    inside = Mask(random.random((2, 24, 7, 1), np.float32))
    for below, above in (
        *((below, above) for below in (base, plain, base.associate()) for above in (top, top.associate())),
        (two, top), (base, plain), (plain, plain), (twisted, top),
    ):  # fmt: skip
        for params in ({}, {"opacity": 0.3}, {"mask": inside, "opacity": 0.7}):
            with monkeypatch.context() as patched:
                patched.setattr("pipeline_compose.canvas.can_merge", lambda *_: False)
                expected = merge(below, above, operation=operator, **params)  # type: ignore[arg-type]  # a mix
                patched.undo()
                found = merge(below, above, operation=operator, **params)  # type: ignore[arg-type]  # a mix
                patched.setattr("pipeline_compose.canvas.BAND", 21)
                bands = merge(below, above, operation=operator, **params)  # type: ignore[arg-type]  # a mix
            close(found, expected, 3e-6)
            assert np.array_equal(bands.array, found.array)


@pytest.mark.parametrize("operator", COMPILED)
def test_compiled_meets_light_above_1_and_what_is_no_number_as_formulas_do(
    operator: Operator, compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = np.array([-1, -0.25, 0, 0.25, 0.5, 1, 1.5, 40, np.inf, np.nan], np.float32)
    base, top = (
        np.tile(colors[None, None, :, None], (1, 1, 1, 3)) for colors in (np.repeat(odd, 10), np.tile(odd, 10))
    )
    with monkeypatch.context() as patched:
        patched.setattr("pipeline_compose.canvas.can_merge", lambda *_: False)
        expected = merge(Image(base), Image(top), operation=operator).array
    found = merge(Image(base), Image(top), operation=operator).array
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)
    apart = merge(Image(base, channels=("B", "G", "R")), Image(top), operation=operator).array  # grey: the same colours
    assert np.array_equal(apart, found, equal_nan=True)


def test_light_without_end_stays_where_it_is_blended_with_light() -> None:
    base, top = (Image(np.full((1, 2, 2, 3), value, np.float32)) for value in (np.inf, 0.5))
    assert np.isposinf(merge(base, top, operation="multiply").array).all()


def test_opaque_top_hides_base() -> None:
    top = picture(1, "RGB")
    assert np.array_equal(merge(picture(2, "RGB"), top).array, top.array)


def test_nothing_is_clipped_but_the_alpha_of_plus() -> None:
    result = merge(solid([4, -1, 0.5, 0.75]), solid([8, 0, 0.5, 0.75]), operation="plus")
    assert result.array.ravel().tolist() == [12, -1, 1, 1]


@pytest.mark.parametrize("operator", OPERATORS)
def test_convention_opaque_base_gets_alpha_only_where_it_can_become_transparent(operator: Operator) -> None:
    base, top = solid([0.2, 0.4, 0.6], "RGB"), solid([0.25, 0, 0, 0.5])
    result = merge(base, top, operation=operator)
    # Whether it can is told by the formula: the alpha over an opaque base.
    explicit = merge(solid([0.2, 0.4, 0.6, 1]), top, operation=operator)
    assert (result.alpha == "none") == (RULES[operator].keeps_opaque)
    if RULES[operator].keeps_opaque:
        assert explicit.array[..., 3] == 1
        np.testing.assert_allclose(result.array, explicit.array[..., :3], atol=1e-7)
    else:
        assert explicit.array[..., 3] < 1
        close(result, explicit)
    plain = merge(base, solid([1, 0, 0], "RGB"), operation=operator)
    assert plain.alpha == ("none" if RULES[operator].keeps_opaque else "straight")


@pytest.mark.parametrize("operator", WITHOUT_GRAINS)
def test_convention_mask_and_opacity_mix_with_base(operator: Operator) -> None:
    base, top, matte = picture(1), picture(2), mask(3)
    full = merge(base, top, operation=operator).array
    mixed = merge(base, top, matte, operation=operator, opacity=0.5).array
    weight = matte.array * 0.5
    np.testing.assert_allclose(mixed, base.array * (1 - weight) + full * weight, atol=1e-6)


def test_over_with_opacity_is_a_top_that_much_thinner() -> None:
    base, top = picture(1), picture(2)
    close(merge(base, top, opacity=0.25), merge(base, top.with_array(top.array * np.float32(0.25))))


def test_convention_top_is_transparent_beyond_its_frame() -> None:
    base, top = picture(1), picture(2, width=2, height=2)
    over = merge(base, top, x=1, y=2).array
    changed = np.any(over != base.array, axis=-1)[0]
    assert changed[2:4, 1:3].all()
    assert changed.sum() == 4
    inside = merge(base, top, operation="in", x=1, y=2).array
    assert inside[0, 2:4, 1:3].all()
    assert np.count_nonzero(inside) == 16


@given(st.integers(-8, 8), st.integers(-8, 8), st.integers(1, 8), st.integers(1, 8), st.booleans(), st.booleans())
def test_top_is_placed_cut_off_or_comes_in_on_the_other_side(
    x: int, y: int, width: int, height: int, wrap_x: bool, wrap_y: bool
) -> None:
    width, height = min(width, 5) if wrap_x else width, min(height, 4) if wrap_y else height
    base = Image(np.zeros((1, 4, 5, 4), np.float32), channels=RGBA, alpha="associated", wrap=(wrap_x, wrap_y))
    top = picture(1, width=width, height=height)
    expected = np.zeros((4, 5, 4), np.float32)
    for row in range(height):
        for column in range(width):
            at_y, at_x = y + row, x + column
            at_y, at_x = at_y % 4 if wrap_y else at_y, at_x % 5 if wrap_x else at_x
            if 0 <= at_y < 4 and 0 <= at_x < 5:
                expected[at_y, at_x] = top.array[0, row, column]
    placed = merge(base, top, x=x, y=y)
    assert placed.wrap == base.wrap
    assert np.array_equal(placed.array[0], expected)


def test_convention_channels_that_only_one_has() -> None:
    depth = picture(1, "RGBAZ")
    result = merge(depth, picture(2, "RGBA"))
    assert result.channels == depth.channels
    assert np.array_equal(result.array[..., 4], depth.array[..., 4])
    assert merge(picture(2), depth).channels == RGBA
    assert merge(picture(1, "RGBZ"), picture(2), operation="in").channels == ("R", "G", "B", "A", "Z")
    assert merge(picture(1, "Y"), picture(2, "Y")).channels == ("Y",)


def test_layers_of_base_alone_stay_what_they_are() -> None:
    names = (*RGBA, "glow.R")
    base = Image(np.full((1, 1, 1, 5), 0.5, np.float32), channels=names, alpha="straight")
    result = merge(base, solid([0.25, 0.25, 0.25, 0.25]))
    assert result.array[..., 4] == 0.5
    assert result.array[..., 3] == 0.625


@pytest.mark.parametrize(("base_type", "top_type"), [("uint8", "uint16"), ("float16", "uint8")])
def test_integers_and_halves(base_type: str, top_type: str) -> None:
    def typed(seed: int, dtype: str) -> Image:
        scale = {"uint8": 255, "uint16": 65535, "float16": 1}[dtype]
        straight = picture(seed, alpha="straight")
        return straight.with_buffer((straight.array * scale).astype(dtype))

    base, top = typed(1, base_type), typed(2, top_type)
    expected = merge(base.with_array(base.array.copy()), top.with_array(top.array.copy()))
    assert np.array_equal(merge(base, top).array, expected.array)


def test_inputs_are_untouched_and_torch_buffers_give_the_same() -> None:
    base, top, matte = picture(1), picture(2), mask(3)
    before = [value.buffer.copy() for value in (base, top, matte)]
    expected = merge(base, top, matte, operation="plus", opacity=0.5)
    result = merge(
        base.with_buffer(torch.from_numpy(base.buffer)),
        top.with_buffer(torch.from_numpy(top.buffer)),
        matte.with_buffer(torch.from_numpy(matte.buffer)),
        operation="plus",
        opacity=0.5,
    )
    assert np.array_equal(result.array, expected.array)
    assert all(np.array_equal(a, b.buffer) for a, b in zip(before, (base, top, matte), strict=True))


@pytest.mark.parametrize("operator", OPERATORS)
def test_inference_on_the_meta_device_agrees(operator: Operator) -> None:
    cases = [
        (picture(1, "RGB"), picture(2), None, {}),
        (picture(1, batch=3), picture(2, "RGB"), mask(3), {}),
        (picture(1, "YA", alpha="straight"), picture(2, "Y", width=9, height=2), None, {"x": -3, "y": 40}),
        (picture(1, wrap=(True, True)), picture(2, width=2), None, {"x": 4}),
    ]
    for base, top, matte, where in cases:
        real = merge(base, top, matte, operation=operator, **where)
        guess = merge(base.to("meta"), top.to("meta"), matte and matte.to("meta"), operation=operator, **where)
        facts = ("channels", "color", "alpha", "wrap", "size", "batch", "dtype")
        assert [getattr(guess, name) for name in facts] == [getattr(real, name) for name in facts]
        assert guess.device == "meta"


@pytest.mark.parametrize(
    ("base", "top", "matte", "where", "message"),
    [
        (picture(1), picture(2, width=3), None, {}, "base is 5x4, top is 3x4: resize or pad top, or give x and y"),
        (picture(1), picture(2), mask(3, width=9), {}, "base is 5x4, mask is 9x4: .*set_alpha"),
        (picture(1), picture(2, color="lin_rec709_scene"), None, {}, "top is lin_rec709_scene: .*color_convert"),
        (picture(1), picture(2, "YA"), None, {}, "base has R, G, B, top has Y: convert top with to_rgb"),
        (picture(1, "Y"), picture(2), None, {}, "base has Y, top has R, G, B: convert top with to_gray"),
        (picture(1, "Z"), picture(2), None, {}, "base has no colour channels to merge, only Z"),
        (picture(1, batch=2), picture(2, batch=3), None, {}, "base is a batch of 2, top is a batch of 3"),
        (picture(1, wrap=(True, False)), picture(2, width=6), None, {"x": 0}, "base tiles in x at 5 pixels, top has 6"),
    ],
)  # fmt: skip
def test_refusals_name_the_mend(
    base: Image, top: Image, matte: Mask | None, where: dict[str, int], message: str
) -> None:
    with pytest.raises(OperationError, match=message):
        merge(base, top, matte, **where)


def test_every_operation_reads_as_one() -> None:
    read_ones = {function.__name__: read(function, plugin="pipeline_compose") for function in operations()}
    assert len(read_ones) == len(operations())
    assert all(operation.summary.endswith(".") for operation in read_ones.values())
    assert all(len(operation.summary) < 80 for operation in read_ones.values())
    assert read_ones["merge"].inputs[2].optional

"""layer_stack: merges one after the other, places, masks, clipping, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipeline_compose import layer_stack, merge
from pipeline_compose.stack import Layer

import pipeline_core
from pipeline_core import Image, Mask, OperationError, Table


def picture(seed: int, channels: str = "RGBA", *, size: tuple[int, int] = (6, 5), **fields: Any) -> Image:
    values = np.random.default_rng(seed).random((1, size[1], size[0], len(channels)), np.float32)
    fields.setdefault("alpha", "straight" if "A" in channels else "none")
    return Image(values, channels=tuple(channels), **fields)


def mask(seed: int, size: tuple[int, int] = (6, 5)) -> Mask:
    return Mask(np.random.default_rng(seed).random((1, size[1], size[0], 1), np.float32))


def close(found: Image, expected: Image) -> None:
    assert (found.channels, found.alpha, found.color) == (expected.channels, expected.alpha, expected.color)
    np.testing.assert_allclose(found.associate().array, expected.associate().array, atol=2e-6)


def test_a_stack_is_merges_from_the_bottom_up() -> None:
    base, images, matte = picture(1, "RGB"), [picture(2), picture(3, size=(3, 2)), picture(4)], mask(5)
    layers = [
        Layer(operation="multiply", opacity=0.5),
        Layer(operation="screen", x=4, y=-1),
        Layer(operation="hue", mask=0),
    ]
    expected = merge(base, images[0], operation="multiply", opacity=0.5)
    expected = merge(expected, images[1], operation="screen", x=4, y=-1)
    expected = merge(expected, images[2], matte, operation="hue")
    close(layer_stack(base, images, [matte], layers=layers), expected)


def test_images_without_settings_lie_over() -> None:
    base, images = picture(1), [picture(2), picture(3)]
    close(layer_stack(base, images), merge(merge(base, images[0]), images[1]))
    close(layer_stack(base, images, layers=[Layer(visible=False)]), merge(base, images[1]))


def test_a_mask_goes_with_its_image() -> None:
    base, top, matte = picture(1), picture(2, size=(3, 2)), mask(3, (3, 2))
    thinner = np.concatenate([top.array[..., :3], top.array[..., 3:] * matte.array], axis=-1)
    expected = merge(base, top.with_array(thinner), x=2, y=1)
    close(layer_stack(base, [top], [matte], layers=[Layer(mask=0, x=2, y=1)]), expected)


def test_operators_that_act_beyond_a_frame_do_so_within_the_mask() -> None:
    base, top, matte = picture(1), picture(2, size=(2, 2)), mask(3, (2, 2))
    plain = layer_stack(base, [top], layers=[Layer(operation="in", x=1, y=1)])
    close(plain, merge(base, top, operation="in", x=1, y=1))
    assert np.count_nonzero(plain.array[..., 3]) == 4
    masked = layer_stack(base, [top], [matte], layers=[Layer(operation="in", x=1, y=1, mask=0)]).array
    np.testing.assert_allclose(masked[0, 0], base.array[0, 0], atol=1e-6)


def test_clipped_layers_change_colors_within_the_alpha_below() -> None:
    base, shape, paint, shade = picture(1, "RGB"), picture(2, size=(4, 3)), picture(3), picture(4)
    layers = [
        Layer(operation="screen", opacity=0.75, x=1, y=1),
        Layer(clipping=True, x=-1),
        Layer(clipping=True, operation="multiply", opacity=0.5),
    ]
    found = layer_stack(base, [shape, paint, shade], layers=layers)
    group = shape.with_buffer(shape.array[..., :3], channels=tuple("RGB"), alpha="none")
    group = merge(group, paint, x=-2, y=-1)
    group = merge(group, shade, operation="multiply", opacity=0.5, x=-1, y=-1)
    clipped = np.concatenate([group.array, shape.array[..., 3:]], axis=-1)
    close(found, merge(base, shape.with_array(clipped), operation="screen", opacity=0.75, x=1, y=1))
    hidden = [Layer(visible=False), Layer(clipping=True), Layer(clipping=True)]
    np.testing.assert_array_equal(layer_stack(base, [shape, paint, shade], layers=hidden).array, base.array)


def test_layers_of_a_tile_come_in_on_the_other_side() -> None:
    base, top = picture(1, wrap=(True, True)), picture(2, size=(3, 2))
    close(layer_stack(base, [top], layers=[Layer(x=5, y=4)]), merge(base, top, x=5, y=4))


def test_alpha_and_batches() -> None:
    two = Image(np.concatenate([picture(2).array, picture(3).array]), channels=tuple("RGBA"), alpha="straight")
    found = layer_stack(picture(1, "RGB"), [two, picture(4)], layers=[Layer(operation="stencil")])
    assert (found.batch, found.channels, found.alpha) == (2, tuple("RGBA"), "straight")
    alone = layer_stack(picture(1, "RGB"), [picture(3), picture(4)], layers=[Layer(operation="stencil")])
    np.testing.assert_array_equal(found.array[1:], alone.array)


def test_inputs_are_untouched_and_inference_agrees() -> None:
    base, images, mattes = picture(1, "RGB"), [picture(2, size=(9, 2)), picture(3), picture(4)], [mask(5)]
    layers = [Layer(x=2, operation="dissolve"), Layer(clipping=True), Layer(operation="xor", mask=0, x=1)]
    before = [value.buffer.copy() for value in (base, *images, *mattes)]
    real = layer_stack(base, images, mattes, layers=layers)
    assert all(np.array_equal(a, b.buffer) for a, b in zip(before, (base, *images, *mattes), strict=True))
    guess = layer_stack(base.to("meta"), [i.to("meta") for i in images], [m.to("meta") for m in mattes], layers=layers)
    assert (str(guess), guess.device) == (str(real), "meta")


@pytest.mark.parametrize(
    ("layers", "masks", "message"),
    [
        ([Layer()] * 3, None, "there are 3 layers for 2 images: one at most for each"),
        ([Layer(mask=1)], [mask(1)], "mask 0 belongs to no layer: write 'mask: 0' where it does"),
        ([Layer(mask=0), Layer(mask=1)], [mask(1)], "layer 1 has mask 1, but there are 1 masks"),
        ([Layer(mask=0)], [mask(1, (2, 2))], "image 0 is 6x5, mask is 2x2"),
        ([Layer(clipping=True)], None, "layer 0 is clipped, but no layer below it"),
        ([Layer(), Layer(clipping=True, operation="in")], None, "layer 1 is clipped and its operation is in"),
    ],
)
def test_refusals(layers: list[Layer], masks: list[Mask] | None, message: str) -> None:
    with pytest.raises(OperationError, match=re.escape(message)):
        layer_stack(picture(1), [picture(2), picture(3)], masks, layers=layers)
    with pytest.raises(OperationError, match="base has R, G, B, image 1 has Y: convert image 1 with to_rgb"):
        layer_stack(picture(1), [picture(2), picture(3, "Y")])


def test_written_in_a_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "card.yaml"
    file.write_text(
        """
pipeline: 1
nodes:
  ground: {op: constant, params: {width: 8, height: 6, color: white}}
  dot: {op: constant, params: {width: 2, height: 2, color: "#808080"}}
  card:
    op: layer_stack
    inputs: {base: ground, images: [dot]}
    params: {layers: [{operation: multiply, x: 3, y: 1}]}
outputs: {card: {from: card}}
"""
    )
    found = pipeline_core.run(file)["card"].array[0, ..., 0]
    assert np.count_nonzero(found < 1) == 4
    assert found[1, 3] == pytest.approx(128 / 255)


# --- with a table ---

COLUMNS = ("image", "blend", "opacity", "visible", "clipped", "parent", "kind")


def batch(*seeds: int) -> Image:
    return picture(1).with_buffer(np.concatenate([picture(seed).array for seed in seeds]))


def table(*rows: tuple[Any, ...]) -> Table:
    """Rows of (image, blend) and as many further columns as are written."""
    rest = (1.0, True, False, None, "layer")
    return Table(COLUMNS, tuple((*row, *rest[len(row) - 2 :]) for row in rows))


def test_a_table_says_what_params_say() -> None:
    base, images = picture(1), [picture(2), picture(3), picture(4)]
    layers = [Layer(operation="multiply", opacity=0.5), Layer(operation="screen", clipping=True), Layer(visible=False)]
    told = table((0, "multiply", 0.5), (1, "screen", 1.0, True, True), (2, "over", 1.0, False))
    close(layer_stack(base, [batch(2, 3, 4)], table=told), layer_stack(base, images, layers=layers))


def test_a_group_is_merged_for_itself_and_laid_down_as_a_whole() -> None:
    base = picture(1)
    told = table(
        (0, "over", 1.0, True, False, 2),
        (1, "multiply", 1.0, True, False, 2),
        (None, "screen", 0.5, True, False, None, "group"),
    )
    clear = base.with_array(np.zeros_like(base.array))
    group = merge(merge(clear, picture(2)), picture(3), operation="multiply")
    close(layer_stack(base, [batch(2, 3)], table=told), merge(base, group, operation="screen", opacity=0.5))


def test_a_group_that_lets_through_lays_its_layers_on_what_is_below() -> None:
    base, matte = picture(1), picture(4)
    layers = ((0, "over", 1.0, True, False, 2), (1, "multiply", 1.0, True, False, 2))
    through = merge(merge(base, picture(2)), picture(3), operation="multiply")
    plain = table(*layers, (None, "pass-through", 1.0, True, False, None, "group"))
    close(layer_stack(base, [batch(2, 3)], table=plain), through)
    masked = table(*layers, (2, "pass-through", 0.75, True, False, None, "group"))
    mixed = merge(base, through, Mask(matte.array[..., 3:]), operation="copy", opacity=0.75)
    close(layer_stack(base, [batch(2, 3, 4)], table=masked), mixed)
    hidden = table(*layers, (None, "pass-through", 1.0, False, False, None, "group"))
    close(layer_stack(base, [batch(2, 3)], table=hidden), base)


def test_a_table_under_inference_and_on_a_base_of_another_state() -> None:
    base, told = (
        picture(1, "RGB"),
        table((0, "dissolve"), (1, "over", 1.0, True, False, 2), (2, "hue", 0.5, True, False, None, "group")),
    )
    real = layer_stack(base, [batch(2, 3, 4)], table=told)
    assert real.alpha == "none"
    assert str(layer_stack(base.to("meta"), [batch(2, 3, 4).to("meta")], table=told)) == str(real)
    lit = picture(1).associate()
    close(layer_stack(lit, [batch(2)], table=table((0, "over"))), layer_stack(picture(1), [picture(2)]).associate())


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (Table(("name",), (("a",),)), "a table of layers has a column 'image', this one has name"),
        (table((3, "over")), "row 0 has image 3, but there are 2"),
        (table((0, "soft")), "row 0 has blend 'soft', which merge does not know"),
        (table((0, "over", 2.0)), "row 0 of the table: 'opacity' is 2.0, and should be 0 to 1"),
        (table((0, "over", 1.0, True, True)), "row 0 is clipped, but nothing below it is there"),
        (table((0, "over"), (1, "in", 1.0, True, True)), "row 1 is clipped and its blend is in"),
        (table((0, "over", 1.0, True, False, 0)), "row 0 has parent 0, which is no group above it"),
        (table((None, "over", 1.0, True, False, 0, "group")), "row 0 has parent 0, which is no group above it"),
    ],
)
def test_tables_that_make_no_sense(told: Table, message: str) -> None:
    with pytest.raises(OperationError, match=re.escape(message)):
        layer_stack(picture(1), [batch(2, 3)], table=told)


def test_a_table_wants_one_batch_and_nothing_else() -> None:
    told = table((0, "over"))
    with pytest.raises(OperationError, match="a table tells of the layers of one batch, got 2 images"):
        layer_stack(picture(1), [batch(2), batch(3)], table=told)
    with pytest.raises(OperationError, match="base is 6x5, the layers are 3x2"):
        layer_stack(picture(1), [picture(2, size=(3, 2))], table=told)
    with pytest.raises(OperationError, match="leave masks and layers out"):
        layer_stack(picture(1), [batch(2)], table=told, layers=[Layer()])

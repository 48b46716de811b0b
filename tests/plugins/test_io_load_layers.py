"""All layers of a file at once: Photoshop's put together again by `layer_stack`, OpenEXR's as one image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest
from PIL import Image as Picture
from pipeline_compose import layer_stack
from pipeline_io import load_exr_layers, load_image, load_layers

import pipeline_core
from pipeline_core import Image, OperationError

psd_tools = pytest.importorskip("psd_tools", reason="psd-tools writes the files and composites them")
from psd_tools.constants import BlendMode, Tag  # noqa: E402  after the skip
from psd_tools.psd import descriptor  # noqa: E402  after the skip
from psd_tools.psd.tagged_blocks import TaggedBlock  # noqa: E402  after the skip

SIZE = 120, 90
STACK = """
pipeline: 1
nodes:
  file: {{op: load_layers, params: {{path: {name}}}}}
  again: {{op: layer_stack, inputs: {{base: file.canvas, images: [file.image], table: file.table}}}}
outputs: {{again: {{from: again, path: again.png}}}}
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_CACHE", str(tmp_path / "cache"))


def blob(width: int, height: int, color: tuple[int, int, int]) -> Picture.Image:
    """A soft ellipse."""
    y, x = np.mgrid[:height, :width]
    alpha = np.clip(4 - 4 * np.hypot((x - width / 2) / (width / 2), (y - height / 2) / (height / 2)), 0, 1)
    pixels = np.concatenate([np.full((height, width, 3), color), alpha[..., None] * 255], axis=-1)
    return Picture.fromarray(pixels.round().astype(np.uint8), "RGBA")


def artwork(mode: str = "RGB") -> Any:
    """Groups of both kinds, clipping, a hidden layer, one that juts out; what each is called says what it is."""
    art = psd_tools.PSDImage.new(mode, SIZE)
    if mode == "RGB":
        art.create_pixel_layer(Picture.new("RGB", SIZE, (200, 180, 150)), name="ground")
    apart = art.create_group(name="apart", opacity=180, blend_mode=BlendMode.MULTIPLY)
    art.create_pixel_layer(blob(60, 60, (230, 40, 40)), name="red", top=10, left=5).move_to_group(apart)
    screen = BlendMode.SCREEN
    art.create_pixel_layer(blob(60, 60, (40, 200, 40)), name="green", top=20, left=35, blend_mode=screen).move_to_group(
        apart
    )
    through = art.create_group(name="through", blend_mode=BlendMode.PASS_THROUGH)
    overlay = BlendMode.OVERLAY
    art.create_pixel_layer(blob(50, 50, (60, 60, 250)), name="blue", top=30, left=60, blend_mode=overlay).move_to_group(
        through
    )
    art.create_pixel_layer(blob(40, 40, (250, 250, 60)), name="half out", top=45, left=-10, opacity=200)
    if mode == "RGB":  # over nothing psd-tools takes the lower one's alpha in twice
        dark = Picture.new("RGBA", (40, 40), (0, 0, 0, 255))
        art.create_pixel_layer(dark, name="clipped", top=60, opacity=120).clipping = True
    art.create_pixel_layer(blob(40, 40, (0, 0, 0)), name="hidden", left=80).visible = False
    return art


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_layers_are_put_together_again_by_a_pipeline(tmp_path: Path, mode: str) -> None:
    """Within 3/255 of the file's own flattened picture, and of what another program makes of the layers."""
    art = artwork(mode)
    art.save(tmp_path / "art.psd")
    file = tmp_path / "again.yaml"
    file.write_text(STACK.format(name="art.psd"))
    assert pipeline_core.check(file, deep=True) == []
    again = pipeline_core.run(file, save=True)["again"]
    assert (tmp_path / "again.png").is_file()
    made = again.associate().array[0]
    theirs = np.asarray(art.composite(force=True).convert("RGBA"), np.float32) / 255
    theirs[..., :3] *= theirs[..., 3:]
    assert np.abs(made - theirs).max() * 255 <= 3
    if mode == "RGB":
        flat = load_image(path=tmp_path / "art.psd")
        assert np.abs(again.array[..., :3] - flat.array).max() * 255 <= 1
    assert made[..., :3].std() > 0.1


def test_the_table_says_what_the_file_says(tmp_path: Path) -> None:
    artwork().save(tmp_path / "art.psd")
    image, table, canvas = load_layers(path=tmp_path / "art.psd")
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["name"] for row in rows] == [
        "ground", "red", "green", "apart", "blue", "through", "half out", "clipped", "hidden",
    ]  # fmt: skip
    assert [row["image"] for row in rows] == [0, 1, 2, None, 3, None, 4, 5, 6]
    assert [row["parent"] for row in rows] == [None, 3, 3, None, 5, None, None, None, None]
    assert [row["blend"] for row in rows[2:6]] == ["screen", "multiply", "overlay", "pass-through"]
    assert [row["name"] for row in rows if row["clipped"]] == ["clipped"]
    assert [row["name"] for row in rows if not row["visible"]] == ["hidden"]
    assert (rows[6]["left"], rows[6]["top"], rows[6]["width"], rows[6]["height"]) == (-10, 45, 40, 40)
    assert (image.batch, image.size, image.alpha, image.dtype) == (7, SIZE, "straight", "uint8")
    assert (str(canvas), int(np.asarray(canvas.buffer).max())) == ("120x90 RGBA uint8 srgb_rec709_scene straight", 0)
    guess = load_layers.__operation__.infer(path=tmp_path / "art.psd")  # type: ignore[attr-defined]  # by @operation
    assert (str(guess.image), guess.table, str(guess.canvas)) == (str(image), table, str(canvas))


@pytest.mark.parametrize(("all_on", "one_on"), [(True, True), (True, False), (False, True)])
def test_effects_that_are_on_are_told_of(tmp_path: Path, all_on: bool, one_on: bool) -> None:
    art = artwork()
    shadow = descriptor.Descriptor(classID=b"DrSh", items={b"enab": descriptor.Bool(one_on)})
    block = descriptor.DescriptorBlock2(
        items={b"masterFXSwitch": descriptor.Bool(all_on), b"DrSh": shadow}, data_version=16
    )
    (layer,) = [layer for layer in art if layer.name == "half out"]
    layer.tagged_blocks[Tag.OBJECT_BASED_EFFECTS_LAYER_INFO] = TaggedBlock(
        key=Tag.OBJECT_BASED_EFFECTS_LAYER_INFO, data=block
    )
    art.save(tmp_path / "art.psd")
    _, table, _ = load_layers(path=tmp_path / "art.psd")
    told = [row[table.columns.index("name")] for row in table.rows if row[table.columns.index("effects")]]
    assert told == (["half out"] if all_on and one_on else [])


def test_a_mask_is_in_the_alpha(tmp_path: Path) -> None:
    art = artwork()
    ramp = Picture.linear_gradient("L").resize((60, 40))
    (layer,) = [layer for layer in art if layer.name == "half out"]
    layer.update_mask(ramp, left=0, top=50) if layer.has_mask() else layer.create_mask(ramp, left=0, top=50)
    art.save(tmp_path / "art.psd")
    image, table, canvas = load_layers(path=tmp_path / "art.psd")
    (place,) = [row[0] for row in table.rows if row[1] == "half out"]
    alpha = image.buffer[place, ..., 3]
    assert alpha[:50].max() == 0
    assert alpha[50:, :20].max() > 0
    again = layer_stack(canvas, [image], table=table).array[0, ..., :3]
    theirs = np.asarray(art.composite(force=True).convert("RGB"), np.float32) / 255
    assert np.abs(again - theirs).max() * 255 <= 3


def test_what_it_refuses(tmp_path: Path) -> None:
    Picture.new("RGB", (3, 2)).save(tmp_path / "x.png")
    with pytest.raises(OperationError, match=r"x\.png: load_layers is for psd files, but this is a png"):
        load_layers(path=tmp_path / "x.png")
    with pytest.raises(OperationError, match=r"x\.png: load_exr_layers is for exr files, but this is a png"):
        load_exr_layers(path=tmp_path / "x.png")
    psd_tools.PSDImage.new("RGB", (3, 2)).save(tmp_path / "x.psd")
    with pytest.raises(OperationError, match=r"x\.psd: the psd file has no layers: load_image loads its picture"):
        load_layers(path=tmp_path / "x.psd")


def test_adjustments_are_not_passed_over_in_silence(tmp_path: Path, adjusted: Callable[[Path], None]) -> None:
    path = tmp_path / "x.psd"
    adjusted(path)
    with pytest.raises(OperationError, match="layer 'Levels 1' is an adjustment or a fill, which is not in pixels"):
        load_layers(path=path)
    image, table, _ = load_layers(path=path, strict=False)
    assert image.batch == 1
    assert [(row[0], row[2]) for row in table.rows] == [(0, "layer"), (None, "adjustment")]


@pytest.fixture
def adjusted() -> Callable[[Path], None]:
    """Writes a file whose upper layer changes what is below it."""
    from psd_tools.constants import Tag
    from psd_tools.psd.tagged_blocks import TaggedBlock

    def write(path: Path) -> None:
        art = psd_tools.PSDImage.new("RGB", (8, 8))
        art.create_pixel_layer(Picture.new("RGB", (8, 8), (9, 9, 9)), name="ground")
        levels = art.create_pixel_layer(Picture.new("RGBA", (1, 1)), name="Levels 1")
        record = levels._record
        record.top = record.left = record.bottom = record.right = 0
        record.tagged_blocks[Tag.LEVELS] = TaggedBlock(key=Tag.LEVELS, data=b"\0" * 8)
        for channel in levels._channels:
            channel.data = b""
        art._updated = False
        art.save(path)

    return write


# --- OpenEXR ---


def write_exr(
    path: Path, parts: list[tuple[str, tuple[str, ...], str]], size: tuple[int, int] = (5, 4)
) -> dict[str, Any]:
    """Parts of (name, channels, type), by OpenImageIO; returns the values of each."""
    specs, values = [], {}
    for seed, (name, channels, kind) in enumerate(parts):
        spec = OpenImageIO.ImageSpec(*size, len(channels), kind)
        spec.channelnames = channels
        spec.attribute("oiio:subimagename", name)
        specs.append(spec)
        values[name] = np.random.default_rng(seed).random((size[1], size[0], len(channels))).astype(np.float16)
    out = OpenImageIO.ImageOutput.create(str(path))
    assert out.open(str(path), specs if len(specs) > 1 else specs[0]), out.geterror()
    for i, (spec, pixels) in enumerate(zip(specs, values.values(), strict=True)):
        assert i == 0 or out.open(str(path), spec, "AppendSubimage")
        assert out.write_image(pixels.astype(np.float32))
    out.close()
    return values


def loaded(path: Path, **params: Any) -> Image:
    found = load_exr_layers(path=path, **params)
    guess = load_exr_layers.__operation__.infer(path=path, **params)  # type: ignore[attr-defined]  # by @operation
    assert str(found) == str(guess)
    return found


def test_layers_of_one_part(tmp_path: Path) -> None:
    path = tmp_path / "x.exr"
    values = write_exr(
        path, [("", ("R", "G", "B", "A", "N.X", "N.Y", "N.Z", "diffuse.R", "diffuse.G", "diffuse.B"), "half")]
    )
    found = loaded(path)
    assert (found.channels[:5], found.dtype, found.alpha) == (("R", "G", "B", "A", "N.X"), "float16", "associated")
    some = loaded(path, layers=["N"])
    assert (some.channels, some.color, some.alpha) == (("N.X", "N.Y", "N.Z"), "data", "none")
    np.testing.assert_array_equal(some.buffer[0], values[""][..., 4:7])
    with pytest.raises(OperationError, match="no layer 'n'; the file has a main one, N, diffuse"):
        load_exr_layers(path=path, layers=["n"])


def test_layers_of_several_parts_are_called_after_them(tmp_path: Path) -> None:
    path = tmp_path / "x.exr"
    parts = [("beauty", ("R", "G", "B", "A"), "half"), ("spec", ("R", "G", "B"), "half"), ("depth", ("Z",), "float")]
    values = write_exr(path, parts)
    found = loaded(path)
    assert found.channels == ("R", "G", "B", "A", "spec.R", "spec.G", "spec.B", "depth.Z")
    assert (found.dtype, found.color) == ("float32", "lin_rec709_scene")
    np.testing.assert_array_equal(found.array[0, ..., 4:7], values["spec"].astype(np.float32))
    assert loaded(path, layers=["", "spec"]).channels[-1] == "spec.B"

"""Deep images: loaded, merged, held out, flattened, kept by the cache."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import OpenImageIO
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_depth import deep_flatten, deep_holdout, deep_merge, load_deep
from pipeline_depth.deep_image import DeepImage

import pipeline_core
from pipeline_core import OperationError

POINTS = ("Y", "A", "Z")
VOLUMES = ("Y", "A", "Z", "ZBack")
WIDTH, HEIGHT = 7, 5


def deep(*pixels: list[tuple[float, ...]], channels: tuple[str, ...] = POINTS) -> DeepImage:
    """One row of pixels, each a list of samples."""
    offsets = np.cumsum([0, *(len(samples) for samples in pixels)])
    samples = np.array([sample for samples in pixels for sample in samples], np.float32)
    return DeepImage(offsets, samples.reshape(-1, len(channels)), len(pixels), 1, channels)


def noise(seed: int, channels: tuple[str, ...] = VOLUMES, levels: int = 6) -> DeepImage:
    """Few depths, so that samples often coincide, touch and overlap; some are opaque, some clear."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 5, WIDTH * HEIGHT)
    samples = rng.random((counts.sum(), len(channels)), dtype=np.float32)
    alpha = np.clip(samples[:, 1] * 1.6 - 0.3, 0, 1)
    samples[:, 0] *= alpha
    samples[:, 1] = alpha
    samples[:, 2] = rng.integers(0, levels, len(samples))
    if "ZBack" in channels:
        samples[:, 3] = samples[:, 2] + rng.integers(0, 3, len(samples))
    return DeepImage(np.concatenate([[0], np.cumsum(counts)]), samples, WIDTH, HEIGHT, channels)


def write(path: Path, channels: tuple[str, ...] = ("R", "A", "Z"), tile: int = 0, **spec_fields: object) -> np.ndarray:
    """A deep file made by OpenImageIO; gives the samples that are in it, `(N, C)` in the order of the pixels."""
    spec = OpenImageIO.ImageSpec(WIDTH, HEIGHT, len(channels), OpenImageIO.FLOAT)
    spec.channelnames, spec.deep = channels, True
    spec.tile_width = spec.tile_height = tile
    for name, value in spec_fields.items():
        if name == "compression":
            spec.attribute(name, value)
        else:
            setattr(spec, name, value)
    rng = np.random.default_rng(4)
    samples = OpenImageIO.DeepData()
    samples.init(spec)
    values = []
    for pixel in range(WIDTH * HEIGHT):
        samples.set_samples(pixel, int(rng.integers(0, 4)))
        for index in range(samples.samples(pixel)):
            values.append(rng.random(len(channels), dtype=np.float32))
            for channel, value in enumerate(values[-1]):
                samples.set_deep_value(pixel, channel, index, float(value))
    out = OpenImageIO.ImageOutput.create(str(path))
    assert out.open(str(path), spec), out.geterror()
    assert out.write_deep_image(samples), out.geterror()
    out.close()
    return np.array(values)


@pytest.mark.parametrize("compression", ["none", "rle", "zips"])
@pytest.mark.parametrize("tile", [0, 4])
def test_deep_files_are_read_as_openimageio_wrote_them(tmp_path: Path, compression: str, tile: int) -> None:
    expected = write(tmp_path / "a.exr", compression=compression, tile=tile)
    image = load_deep(path=tmp_path / "a.exr")
    assert (image.size, image.channels, image.color) == ((WIDTH, HEIGHT), ("R", "A", "Z"), "lin_rec709_scene")
    np.testing.assert_array_equal(image.samples, expected)
    assert image.counts.sum() == len(expected)


def test_a_part_is_chosen_by_name_or_number_and_object_ids_are_left_out(tmp_path: Path) -> None:
    path = str(tmp_path / "parts.exr")
    specs = []
    for name in ("left", "right"):
        spec = OpenImageIO.ImageSpec(2, 1, 4, OpenImageIO.FLOAT)
        spec.channelnames, spec.deep = ("Y", "A", "Z", "id"), True
        spec.channelformats = ("half", "half", "float", "uint")
        spec.attribute("oiio:subimagename", name)
        spec.attribute("colorInteropID", f"lin_{name}_scene")
        specs.append(spec)
    out = OpenImageIO.ImageOutput.create(path)
    assert out.open(path, specs), out.geterror()
    for number, spec in enumerate(specs):
        assert not number or out.open(path, spec, "AppendSubimage"), out.geterror()
        samples = OpenImageIO.DeepData()
        samples.init(spec)
        samples.set_samples(1, 1)
        for channel, value in enumerate((0.25, 0.5, number + 1.0)):
            samples.set_deep_value(1, channel, 0, value)
        samples.set_deep_value_uint(1, 3, 0, 7)
        assert out.write_deep_image(samples), out.geterror()
    out.close()
    for part, z in (("", 1), ("right", 2), ("1", 2)):
        image = load_deep(path=Path(path), part=part)
        assert image.channels == ("Y", "A", "Z")
        np.testing.assert_array_equal(image.samples, [[0.25, 0.5, z]])
        np.testing.assert_array_equal(image.offsets, [0, 0, 1])
    assert image.color == "lin_right_scene"
    with pytest.raises(OperationError, match="no deep part 'middle': the file has left, right"):
        load_deep(path=Path(path), part="middle")


def test_convention_a_deep_picture_has_the_size_of_its_display_window(tmp_path: Path) -> None:
    write(tmp_path / "whole.exr")
    write(tmp_path / "part.exr", x=-2, y=1, full_x=0, full_y=0, full_width=3, full_height=4)
    whole, part = (load_deep(path=tmp_path / name) for name in ("whole.exr", "part.exr"))
    assert part.size == (3, 4)
    counts = part.counts.reshape(4, 3)
    assert not counts[0].any()
    np.testing.assert_array_equal(counts[1:], whole.counts.reshape(HEIGHT, WIDTH)[:3, 2:5])
    first = whole.offsets[2]
    np.testing.assert_array_equal(part.samples[: counts[1].sum()], whole.samples[first : first + counts[1].sum()])


def test_damaged_and_cut_off_deep_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    write(path, compression="zips")
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    refused = []
    for trial in range(300):
        bad = bytearray(content)
        if trial % 3:
            bad[rng.integers(len(bad))] ^= 1 << int(rng.integers(8))
        else:
            del bad[int(rng.integers(len(bad))) :]
        path.write_bytes(bad)
        try:
            load_deep(path=path)
        except OperationError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert not [message for message in refused if "\n" in message]


def test_a_flat_file_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    picture = OpenImageIO.ImageBuf(OpenImageIO.ImageSpec(4, 4, 3, OpenImageIO.HALF))
    picture.write(str(tmp_path / "flat.exr"))
    with pytest.raises(OperationError, match="load_image"):
        load_deep(path=tmp_path / "flat.exr")
    with pytest.raises(OperationError, match="not found"):
        load_deep(path=tmp_path / "none.exr")


def test_samples_are_put_over_one_another_by_depth() -> None:
    flat = deep_flatten(deep([(0.0, 1.0, 9.0), (0.5, 0.5, 2.0)], []))
    np.testing.assert_allclose(flat.array[0, 0], [[0.5, 1, 5.5], [0, 0, 1e30]])
    assert flat.alpha == "associated"


def test_the_front_depth_is_of_the_first_sample_that_is_not_clear() -> None:
    image = deep([(0.0, 0.0, 1.0), (0.5, 0.5, 2.0), (0.0, 1.0, 9.0)])
    assert deep_flatten(image, depth="front").array[0, 0, 0, 2] == 2


def test_cutting_a_volume_changes_nothing() -> None:
    whole = deep([(0.6, 0.75, 0.0, 4.0)], channels=VOLUMES)
    cut = deep_merge([whole, deep([(0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 3.0, 3.0)], channels=VOLUMES)])
    assert len(cut.samples) == 5
    np.testing.assert_allclose(cut.samples[0, 1], 1 - 0.25**0.25, rtol=1e-6)
    np.testing.assert_allclose(deep_flatten(cut).array[..., :2], deep_flatten(whole).array[..., :2], rtol=1e-6)


def test_volumes_that_coincide_are_merged_as_openexr_says() -> None:
    first, second = ([(0.5, 0.5, 0.0, 2.0)], [(0.0, 0.75, 0.0, 2.0)])
    flat = deep_flatten(deep(first + second, channels=VOLUMES)).array.ravel()
    u1, u2 = np.log(2), np.log(4)  # optical depths
    np.testing.assert_allclose(flat[:2], [0.875 * u1 / (u1 + u2), 0.875], rtol=1e-6)


def test_a_volume_that_never_ends_is_opaque_nowhere_but_where_it_is() -> None:
    image = deep([(0.5, 0.5, 1.0, np.inf), (0.5, 1.0, 2.0, 2.0)], channels=VOLUMES)
    flat = deep_flatten(image).array.ravel()
    assert np.isfinite(flat).all()
    assert flat[1] == 1


def test_convention_of_points_at_one_depth_the_less_opaque_is_in_front() -> None:
    flat = deep_flatten(deep([(0.0, 1.0, 3.0), (0.25, 0.25, 3.0)])).array.ravel()
    np.testing.assert_allclose(flat[:2], [0.25, 1])


def test_convention_points_of_two_images_that_coincide_share_the_place() -> None:
    merged = deep_merge([deep([(1.0, 1.0, 3.0)]), deep([(0.0, 1.0, 3.0)])])
    np.testing.assert_allclose(merged.samples, [[0.5, 1, 3]])


def test_merging_keeps_what_one_image_alone_has() -> None:
    image = deep([(0.5, 0.5, -np.inf), (0.5, 0.5, 1.0)], [])
    merged = deep_merge([image, deep([], [(0.1, 0.2, 3.0)])])
    np.testing.assert_array_equal(merged.samples[:2], image.samples)
    np.testing.assert_array_equal(merged.offsets, [0, 2, 3])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 3))
def test_merging_does_not_depend_on_the_order(seed: int, count: int) -> None:
    images = [noise(seed + i) for i in range(count)]
    merged = [deep_merge(list(order)) for order in permutations(images)]
    assert len({(image.samples.tobytes(), image.offsets.tobytes()) for image in merged}) == 1
    assert len({deep_flatten(image).array.tobytes() for image in merged}) == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([POINTS, VOLUMES]))
def test_two_images_that_hold_out_each_other_add_up_to_their_merge(seed: int, channels: tuple[str, ...]) -> None:
    first, second = noise(seed, channels), noise(seed + 1)
    parts = deep_flatten(deep_holdout(first, second)).array + deep_flatten(deep_holdout(second, first)).array
    merged = deep_flatten(deep_merge([first, second])).array
    np.testing.assert_allclose(parts[..., :2], merged[..., :2], atol=2e-6)


def test_a_half_transparent_holdout_lets_half_through_at_every_depth() -> None:
    image, mask = deep([(0.5, 0.5, 2.0), (0.5, 0.5, 4.0)]), deep([(9.0, 0.5, 1.0), (9.0, 1.0, 3.0)])
    held = deep_holdout(image, mask)
    np.testing.assert_allclose(held.samples, [[0.25, 0.25, 2], [0, 0, 4]])
    np.testing.assert_allclose(deep_flatten(deep_holdout(image, deep([(9, 0.5, 1)]))).array.ravel()[:2], [0.375, 0.375])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (deep([(1.0, 1.0)], channels=("A", "Y")), "no channel 'Z'"),
        (deep([(1.0, 1.0)], channels=("Z", "Y")), "no channel 'A'"),
        (deep([(1.0, 1.0, 1.0)], channels=("AR", "A", "Z")), "alpha per colour"),
        (deep([(1.0, 1.0, np.nan)]), "NaN"),
    ],
)
def test_what_cannot_be_composited_is_refused(image: DeepImage, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        deep_flatten(image)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (deep([], []), "one size"),
        (deep([(1.0, 1.0, 1.0)], channels=("G", "A", "Z")), "same channels"),
        (replace(deep([]), color="lin_ap1_scene"), "one colour space"),
    ],
)
def test_deep_images_that_do_not_fit_are_refused(other: DeepImage, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        deep_merge([deep([]), other])


def test_a_pipeline_keeps_deep_images_in_its_cache(tmp_path: Path) -> None:
    write(tmp_path / "a.exr")
    spec = tmp_path / "deep.yaml"
    spec.write_text(
        "pipeline: 1\n"
        "nodes:\n"
        "  samples: {op: load_deep, params: {path: a.exr}}\n"
        "  both: {op: deep_merge, inputs: {images: [samples, samples]}}\n"
        "  flat: {op: deep_flatten, inputs: {image: both}}\n"
        "outputs:\n"
        "  both: {from: both}\n"
        "  flat: {from: flat}\n"
    )
    first, again = pipeline_core.run(spec), pipeline_core.run(spec)
    image = load_deep(path=tmp_path / "a.exr")
    merged = deep_merge([image, image])
    for result in (first, again):
        np.testing.assert_array_equal(result["both"].samples, merged.samples)
        np.testing.assert_array_equal(result["flat"].array, deep_flatten(merged).array)

"""Holes filled: what is known stays, what is made fits, and no seam is left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from pipeline_models import networks, weights_file
from pipeline_models.inpaint import inpaint, outpaint, remove_object
from pipeline_models.inpaint.diffusion import diffused
from pipeline_models.inpaint.operations import Method
from pipeline_models.load import load_model

from benchmarks.models import PLENTY, apart
from pipeline_core import Image, Mask, Model, OperationError
from training.holes import irregular
from training.photographs import HELD_BACK, photograph


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Handing out work on pictures as small as these takes longer than doing it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


METHODS: tuple[Method, ...] = get_args(Method)
Array = np.ndarray[Any, Any]


def hole(height: int, width: int, share: float = 0.15, seed: int = 0) -> Array:
    return irregular(height, width, np.random.default_rng(seed), share)


def mask_of(plane: Array, **fields: Any) -> Mask:
    return Mask(plane.astype(np.float32).reshape(-1, *plane.shape[-2:], 1), **fields)


def picture(height: int = 60, width: int = 75, top: int = 100, left: int = 200, name: str = HELD_BACK[0]) -> Array:
    return photograph(name)[None, top : top + height, left : left + width]


def psnr(found: Array, wanted: Array) -> float:
    return float(10 * np.log10(255**2 / ((found.astype(np.float64) - wanted) ** 2).mean()))


# --- what is known --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("method", METHODS)
def test_known_pixels_stay_to_the_bit_and_so_does_the_type(method: Method, dtype: str) -> None:
    given = (picture(33, 41).astype(np.float64) / 255 * {"uint8": 255, "uint16": 65535}.get(dtype, 3) + 0.25).astype(
        dtype
    )
    where = hole(33, 41)
    for buffer in (given, torch.from_numpy(given.copy())):
        found = inpaint(Image(buffer), mask_of(where), method=method)
        assert found.dtype == dtype
        kept = np.asarray(found.buffer)
        assert kept[0][where == 0].tobytes() == given[0][where == 0].tobytes()
        assert (kept[0][where > 0] != given[0][where > 0]).any()


@pytest.mark.parametrize("method", METHODS)
def test_what_is_hidden_by_the_mask_counts_for_nothing(method: Method) -> None:
    where = hole(40, 50)
    clean = picture(40, 50).astype(np.float32) / 255
    spoilt = clean.copy()
    spoilt[0][where > 0] = np.nan
    one, other = (inpaint(Image(part), mask_of(where), method=method).array for part in (clean, spoilt))
    assert np.isfinite(other).all()
    assert np.array_equal(one, other)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_to_fill_and_nothing_known(method: Method) -> None:
    image = Image(picture(20, 30))
    for value in (0, 1):
        found = inpaint(image, mask_of(np.full((20, 30), value)), method=method)
        assert np.array_equal(found.buffer, image.buffer)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (2, 3), (13, 200)])
@pytest.mark.parametrize("method", METHODS)
def test_any_size_and_holes_at_the_border(method: Method, size: tuple[int, int]) -> None:
    where = np.zeros(size)
    where[: size[0] // 2 + 1, : size[1] // 2 + 1] = 1
    for wrap in ((False, False), (True, True)):
        image = Image(np.full((1, *size, 3), 0.5, np.float32), wrap=wrap)
        found = inpaint(image, mask_of(where), method=method)
        np.testing.assert_allclose(found.array, image.array, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_range_of_floats_is_kept(method: Method) -> None:
    given = np.linspace(-5, 40, 48, dtype=np.float32)[None, None, :, None].repeat(32, 1).repeat(3, 3)
    where = np.zeros((32, 48))
    where[10:22, 36:42] = where[10:22, 4:8] = 1
    for color in ("srgb_rec709_scene", "lin_rec709_scene", "data"):
        found = inpaint(Image(given, color=color), mask_of(where), method=method).array
        assert found[0, 10:22, 36:42].min() > 25
        assert found[0, 10:22, 4:8].max() < 5
        assert given.min() - 1e-3 <= found.min()
        assert found.max() <= given.max() + 1e-3


# --- alpha, channels, batches, masks --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_convention_colour_that_alpha_hides_counts_for_nothing_and_alpha_is_filled(method: Method) -> None:
    straight = np.zeros((1, 40, 40, 4), np.float32)
    straight[..., :] = (0.2, 0.4, 0.6, 1)
    straight[:, :, :15] = (1, 0, 1, 0)  # foreign colour, hidden
    where = np.zeros((40, 40))
    where[10:30, 14:26] = 1
    image = Image(straight, channels=("R", "G", "B", "A"), alpha="straight")
    found = inpaint(image, mask_of(where), method=method).array[0]
    np.testing.assert_allclose(found[10:30, 14:26, :3], np.broadcast_to((0.2, 0.4, 0.6), (20, 12, 3)), atol=2e-3)
    assert found[20, 25, 3] > 0.9
    assert found[..., 3].max() <= 1
    associated = inpaint(image.associate(), mask_of(where), method=method)
    assert associated.alpha == "associated"
    np.testing.assert_allclose(associated.unassociate().array[0, 10:30, 20:], found[10:30, 20:], atol=2e-3)


def test_opaque_pixels_fill_a_hole_with_an_alpha_of_one() -> None:
    where = hole(40, 50)
    buffer = np.concatenate([picture(40, 50), np.where(where > 0, 0, 255)[None, ..., None].astype(np.uint8)], 3)
    image = Image(buffer, channels=("R", "G", "B", "A"), alpha="straight")
    for method in METHODS:
        assert (inpaint(image, mask_of(where), method=method).buffer[..., 3] == 255).all(), method


def test_patches_bring_all_channels_with_them() -> None:
    ids = np.arange(40 * 50, dtype=np.float32).reshape(1, 40, 50, 1)
    image = Image(np.concatenate([picture(40, 50).astype(np.float32) / 255, ids], 3), channels=("R", "G", "B", "id"))
    where = hole(40, 50)
    found = inpaint(image, mask_of(where), method="patch").array[0]
    from_there = found[..., 3].astype(int)
    assert not (where.ravel()[from_there.ravel()] > 0).any()
    assert np.array_equal(found[..., :3], image.array[0].reshape(-1, 4)[from_there][..., :3])


@pytest.mark.parametrize("method", METHODS)
def test_an_item_of_a_batch_is_as_it_is_alone(method: Method) -> None:
    buffer = np.concatenate([picture(33, 41), picture(33, 41, 0, 0)])
    masks = np.stack([hole(33, 41, seed=1), hole(33, 41, seed=2)])
    both = inpaint(Image(buffer), mask_of(masks), method=method, seed=3).buffer
    one_mask = inpaint(Image(buffer), mask_of(masks[0]), method=method, seed=3).buffer
    one_image = inpaint(Image(buffer[:1]), mask_of(masks), method=method, seed=3).buffer
    for i in range(2):
        assert np.array_equal(
            both[i], inpaint(Image(buffer[i : i + 1]), mask_of(masks[i]), method=method, seed=3).buffer[0]
        )
    assert np.array_equal(one_mask[0], both[0])
    assert np.array_equal(one_image[0], both[0])
    assert one_image.shape[0] == 2


def test_convention_a_soft_mask_blends_the_fill_in() -> None:
    given = picture(40, 50).astype(np.float32) / 255
    soft = cv2.GaussianBlur(hole(40, 50).astype(np.float32), (0, 0), 2)
    full = inpaint(Image(given), mask_of(soft > 0), method="diffuse").array[0]
    found = inpaint(Image(given), mask_of(soft), method="diffuse").array[0]
    np.testing.assert_allclose(found, given[0] + (full - given[0]) * soft[..., None], atol=1e-5)
    straight = np.concatenate([given, np.full((1, 40, 50, 1), 0.5, np.float32)], 3)
    veiled = inpaint(
        Image(straight, channels=("R", "G", "B", "A"), alpha="straight"), mask_of(soft), method="diffuse"
    ).array[0]
    np.testing.assert_allclose(veiled[..., :3], found, atol=1e-5)


@pytest.mark.parametrize(
    ("image", "mask", "params", "said"),
    [
        (Image(picture(20, 30)), mask_of(np.zeros((30, 20))), {}, "the mask is 20x30, the image 30x20: resize or crop the mask"),
        (Image(np.zeros((2, 4, 4, 3), np.uint8)), mask_of(np.zeros((3, 4, 4))), {}, "batches of 2 images and 3 masks"),
        (Image(picture(8, 8)), mask_of(np.zeros((8, 8))), {"model": load_model(name="photo-x2")}, "does not fill holes"),
        (Image(picture(8, 8)), mask_of(np.zeros((8, 8))), {"model": load_model(name="photo-denoise")}, "does not fill holes"),
        (Image(picture(8, 8)), mask_of(np.zeros((8, 8))), {"model": load_model(name="photo-x2"), "method": "patch"}, "a model is wired, but the method is 'patch'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(image: Image, mask: Mask, params: dict[str, Any], said: str) -> None:
    with pytest.raises(OperationError) as caught:
        inpaint(image, mask, **params)
    assert said in str(caught.value)


# --- seams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["diffuse", "patch", "model"])
def test_an_image_that_tiles_is_filled_across_its_seams(method: Method) -> None:
    x = np.arange(64)
    wave = (0.5 + 0.4 * np.sin(2 * np.pi * (x[None, :] / 64 + x[:, None] / 32))).astype(np.float32)
    image = Image(wave[None, :, :, None].repeat(3, 3), wrap=(True, True))
    where = np.zeros((64, 64))
    where[24:40, :5] = where[24:40, -5:] = 1
    across = inpaint(image, mask_of(where), method=method)
    assert across.wrap == (True, True)
    rolled = np.roll(where, 32, 1)
    middle = inpaint(image.with_buffer(np.roll(image.buffer, 32, 2)), mask_of(rolled), method=method)
    limit = 0.15 if method == "patch" else 1e-4  # patches are picked at random
    assert np.abs(np.roll(middle.array, 32, 2) - across.array).max() < limit
    apart = inpaint(image.with_buffer(image.buffer, wrap=(False, False)), mask_of(where), method=method)
    jump = [np.abs(found.array[0, 24:40, 0] - found.array[0, 24:40, -1]).mean() for found in (across, apart)]
    assert jump[0] < jump[1] / 1.5


@pytest.mark.parametrize("wrap", [(False, False), (True, False)])
def test_tiles_leave_no_seam(wrap: tuple[bool, bool]) -> None:
    given = picture(190, 270).astype(np.float32) / 255
    where = hole(190, 270, 0.2)
    image = Image(given, wrap=wrap)
    whole = inpaint(image, mask_of(where), tile=65536).array
    for side in (64, 104):
        np.testing.assert_allclose(inpaint(image, mask_of(where), tile=side).array, whole, atol=1e-5)


def test_a_network_looks_no_farther_than_it_says() -> None:
    torch.manual_seed(0)
    network: Any = networks.make("gated_inpainter", {"widths": [8, 8, 8]}).eval()
    side = 2 * (network.reach // network.step + 2) * network.step
    pixels, holes = torch.rand(1, 3, side, side), torch.ones(1, 1, side, side)
    with torch.no_grad():
        before = network(pixels, holes)
        pixels[..., 0, :] += 1000
        changed = (network(pixels, holes) != before).any(1)[0].any(1)
    assert 0 < int(torch.nonzero(changed).max()) <= network.reach


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")
@pytest.mark.parametrize(
    ("what", "width", "height"), [("inpaint", 1280, 720), ("inpaint", 640, 360), ("super_resolve", 640, 360)]
)
def test_half_of_the_memory_that_the_whole_takes_is_enough(what: str, width: int, height: int) -> None:
    whole = apart(what, width, height, 0, 0)
    assert whole is not None
    found = apart(what, width, height, PLENTY, whole["peak"] / 2)
    assert found is not None, "it ran out of memory"
    np.testing.assert_allclose(found["pixels"], whole["pixels"], atol=1e-5)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no more"), RuntimeError("could not create a primitive")])
def test_running_out_of_memory_makes_tiles_smaller(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    image, where = Image(picture(300, 400)), hole(300, 400, 0.2)
    whole = inpaint(image, mask_of(where))
    network = networks.build(load_model(name="photo-inpaint"))
    plain = network.forward

    def scarce(pixels: torch.Tensor, holes: torch.Tensor) -> torch.Tensor:
        if pixels.shape[-1] * pixels.shape[-2] > 80_000:
            raise error
        return plain(pixels, holes)

    monkeypatch.setattr(network, "forward", scarce)
    found = inpaint(image, mask_of(where))
    assert np.abs(found.buffer.astype(int) - whole.buffer).max() <= 1


# --- what is made ---------------------------------------------------------------------------------------------------


def test_diffused_is_a_membrane() -> None:
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    plane = (2 * x - 3 * y)[None, None]
    known = 1 - torch.from_numpy(hole(40, 60)).float()[None, None]
    known[..., [0, -1], :] = known[..., [0, -1]] = 1
    found = diffused(plane * known, known, sweeps=200)
    torch.testing.assert_close(found, plane, atol=0.05, rtol=0)


def test_the_network_is_closer_to_unseen_photographs_than_opencv() -> None:
    gains = []
    for number, name in enumerate(HELD_BACK):
        whole = picture(200, 200, 100, 150, name)[0]
        where = hole(200, 200, 0.17, seed=number)
        ours = psnr(inpaint(Image(whole[None]), mask_of(where)).buffer[0], whole)
        theirs = [cv2.inpaint(whole, where, 5, flag) for flag in (cv2.INPAINT_TELEA, cv2.INPAINT_NS)]
        gains.append(ours - max(psnr(found, whole) for found in theirs))
    assert np.mean(gains) > 0.7, gains
    assert min(gains) > 0, gains


def test_telea_and_navier_stokes_are_those_of_opencv() -> None:
    whole, where = picture(60, 75)[0], hole(60, 75)
    for method, flag in (("telea", cv2.INPAINT_TELEA), ("navier-stokes", cv2.INPAINT_NS)):
        found = inpaint(Image(whole[None]), mask_of(where), method=method, radius=5).buffer[0]  # type: ignore[arg-type]  # it is one of them
        assert np.abs(found.astype(int) - cv2.inpaint(whole, where, 5, flag)).mean() < 0.5


def test_patches_continue_a_pattern_exactly() -> None:
    random = np.random.default_rng(0)
    cell = random.random((8, 8, 3), np.float32)
    pattern = np.tile(cell, (12, 12, 1))[None]
    where = np.zeros((96, 96))
    where[40:57, 30:51] = 1
    found = inpaint(Image(pattern), mask_of(where), method="patch").array
    assert (np.abs(found - pattern).max(3) < 1e-6)[0][where > 0].mean() > 0.95


def test_patches_come_from_a_seed() -> None:
    image, where = Image(picture()), mask_of(hole(60, 75))
    one, again, other = (inpaint(image, where, method="patch", seed=seed).buffer for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


# --- on top of it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_outpaint_keeps_the_picture(method: Method) -> None:
    image = Image(picture(40, 50), wrap=(True, True))
    found = outpaint(image, left=9, top=0, right=4, bottom=0, method=method)
    assert found.size == (63, 40)
    assert found.wrap == (False, True)
    assert np.array_equal(found.buffer[:, :, 9:59], image.buffer)
    assert found.buffer[:, :, :9].std() > 0
    assert np.array_equal(outpaint(image).buffer, image.buffer)


def test_remove_object_takes_the_rim_too_and_leaves_the_rest() -> None:
    y, x = np.mgrid[:60, :80]
    ground = (0.3 + 0.4 * x / 80)[None, ..., None].repeat(3, 3).astype(np.float32)
    disc = np.hypot(x - 40, y - 30)
    shown = np.where((disc < 11)[None, ..., None], np.float32(1), ground)  # two pixels more than is marked
    found = remove_object(Image(shown), mask_of(disc < 9), grow=4, feather=3, method="diffuse").array
    assert np.abs(found - ground)[0][disc < 9].max() < 0.06
    assert np.array_equal(found[0][disc > 18], shown[0][disc > 18])
    hard = remove_object(Image(shown), mask_of(disc < 9), grow=4, feather=0, method="diffuse").array
    assert np.array_equal(hard[0][disc > 14.1], shown[0][disc > 14.1])


def test_remove_object_wraps_round() -> None:
    marked = np.zeros((20, 20))
    marked[8:12, 0] = 1
    image = Image(np.random.default_rng(0).random((1, 20, 20, 3), np.float32), wrap=(True, False))
    found = remove_object(image, mask_of(marked), grow=2, feather=0, method="diffuse").array
    changed = (found != image.array).any((0, 3))
    assert changed[:, -2:].any()
    assert not changed[:, 5:-4].any()


def test_a_model_from_a_file_fills_too(tmp_path: Any) -> None:
    torch.manual_seed(0)
    config = {"widths": [4, 4], "down": [1], "middle": 1, "up": [1]}
    model = Model("gated_inpainter", networks.make("gated_inpainter", config).state_dict(), config)
    (tmp_path / "m").write_bytes(weights_file.content_of(model))
    found = inpaint(Image(picture()), mask_of(hole(60, 75)), load_model(path=tmp_path / "m"))
    assert not np.array_equal(found.buffer, inpaint(Image(picture()), mask_of(hole(60, 75))).buffer)


def lama_like(scale: float, sides: list[Any]) -> bytes:
    """An ONNX file with the inputs of LaMa's that fills with a color: image (1 - mask) + 0.25 mask."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *sides])
    mask = helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, *sides])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, *sides])
    numbers = {"one": 1.0, "quarter": 0.25, "scale": scale}
    constants = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in numbers.items()]
    steps = [("Sub", ["one", "mask"], "known"), ("Mul", ["image", "known"], "kept"), ("Mul", ["mask", "quarter"], "fill"),
             ("Add", ["kept", "fill"], "sum"), ("Mul", ["sum", "scale"], "output")]  # fmt: skip
    nodes = [helper.make_node(kind, given, [made]) for kind, given, made in steps]
    graph = helper.make_graph(nodes, "lama", [image, mask], [output], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(made.SerializeToString())


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_a_model_of_others_fills_too(tmp_path: Any, scale: float) -> None:
    (tmp_path / "lama").write_bytes(lama_like(scale, ["h", "w"]))
    where, buffer = hole(33, 41), picture(33, 41).copy()
    buffer[:, :, 20], buffer[:, :, 21] = 0, 255  # a fill stays in the range of what is known
    image = Image(buffer, wrap=(True, False))
    found = inpaint(image, mask_of(where), load_model(path=tmp_path / "lama"))
    assert np.array_equal(found.buffer[0][where == 0], image.buffer[0][where == 0])
    assert np.abs(found.buffer[0][where > 0].astype(int) - 64).max() <= 1


@pytest.mark.parametrize("wrap", [(False, False), (True, True)])
@pytest.mark.parametrize("size", [(33, 41), (24, 16), (100, 90), (3, 2)])
def test_a_model_of_others_of_one_size_fills_in_pieces(
    tmp_path: Any, size: tuple[int, int], wrap: tuple[bool, bool]
) -> None:
    (tmp_path / "lama").write_bytes(lama_like(255, [16, 24]))
    where = hole(*size, 0.3)
    where[0, 0], where[-1, -1] = 1, 0
    buffer = picture(*size).copy()
    buffer[:, -1, -1] = 0
    buffer[:, -1, 0] = 255
    where[-1, 0] = 0  # a fill stays in the range of what is known
    found = inpaint(Image(buffer, wrap=wrap), mask_of(where), load_model(path=tmp_path / "lama"))
    assert np.array_equal(found.buffer[0][where == 0], buffer[0][where == 0])
    assert np.abs(found.buffer[0][where > 0].astype(int) - 64).max() <= 1

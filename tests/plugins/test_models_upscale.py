"""Enlarging: seams, alpha, tiling, range, memory; and that it is better than bicubic."""

from __future__ import annotations

import importlib.resources
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from pipeline_models import networks
from pipeline_models.denoise import denoise_model
from pipeline_models.upscale import tiles
from pipeline_models.upscale.super_resolve import super_resolve
from pipeline_transform.scaling import resize
from torch.nn import functional

from pipeline_core import Image, Model, OperationError
from training.photo import psnr, shrunk
from training.photographs import HELD_BACK, photograph


def picture(width: int = 61, height: int = 47, channels: str = "RGB", seed: int = 1, **fields: Any) -> Image:
    """Smooth shapes with hard edges and some noise."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:height, :width]
    planes = [
        np.clip(0.5 + 0.4 * np.sin(across / (3 + i) + down / (4 + i)) + 0.4 * ((down + 2 * across + 7 * i) % 23 > 11) - 0.2, 0, 1)
        for i in range(len(channels))
    ]  # fmt: skip
    pixels = np.stack(planes, -1) * 0.9 + rng.random((height, width, 1)) * 0.1
    return Image(pixels[None].astype(np.float32), channels=tuple(channels), **fields)


@pytest.fixture(scope="module")
def photo() -> Image:
    return Image(photograph(HELD_BACK[0])[None, 60:196, 80:272])


# --- better than bicubic --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "least"), [(2, 1.0), (4, 0.5)])
@pytest.mark.parametrize("name", HELD_BACK)
def test_it_beats_bicubic_on_photographs_that_it_has_not_seen(name: str, factor: int, least: float) -> None:
    whole = torch.from_numpy(photograph(name).copy()).permute(2, 0, 1)[None].float() / 255
    whole = whole[..., : whole.shape[-2] // factor * factor, : whole.shape[-1] // factor * factor]
    given = shrunk(whole, factor)
    plain = max(
        psnr(functional.interpolate(given, scale_factor=factor, mode="bicubic", antialias=sharper), whole, 2 * factor)
        for sharper in (False, True)
    )
    image = Image((given * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous())
    assert psnr(super_resolve(image, factor=factor).pixels, whole, 2 * factor) >= plain + least  # type: ignore[arg-type]  # 2 and 4 are


@pytest.mark.parametrize("factor", [2, 4])
def test_a_smooth_picture_is_not_made_worse(factor: int) -> None:
    """A micrograph nearly without detail: most of what a network could add to it is its answer to 8 bits."""
    folder = importlib.resources.files("skimage") / "data"
    with (folder / "cell.png").open("rb") as opened, Picture.open(opened) as read:
        whole = torch.from_numpy(np.asarray(read.convert("RGB")).copy()).permute(2, 0, 1)[None, ..., :548] / 255
    given = shrunk(whole, factor)
    plain = max(
        psnr(functional.interpolate(given, scale_factor=factor, mode="bicubic", antialias=sharper), whole, 2 * factor)
        for sharper in (False, True)
    )
    found = super_resolve(Image(given.permute(0, 2, 3, 1).contiguous()), factor=factor).pixels  # type: ignore[arg-type]  # 2 and 4 are
    assert psnr(found, whole, 2 * factor) >= plain


def test_less_than_quiet_is_not_added_and_much_more_stays() -> None:
    torch.manual_seed(0)
    config: dict[str, Any] = {"factor": 2, "width": 4, "blocks": 1}
    loud, quiet = (networks.make("residual_upscaler", {**config, "quiet": level}).eval() for level in (0.0, 0.02))
    quiet.load_state_dict(loud.state_dict())
    pixels = torch.rand(1, 3, 20, 20)
    with torch.no_grad():
        plain = functional.interpolate(pixels, scale_factor=2, mode="bicubic", antialias=True)
        all_, some = loud(pixels) - plain, quiet(pixels) - plain
        assert torch.equal(quiet.train()(pixels), loud(pixels))
    assert 0 < (some == 0).float().mean() < 1
    assert (some[all_.abs() < 0.0199] == 0).all()
    assert (some - all_)[all_.abs() > 0.1].abs().max() < 0.0041


# --- no seams -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [16, 17, 23, 32, 50, 64, 100])
@pytest.mark.parametrize("form", ["RGB", "RGBA", "Y", "wrap"])
def test_tiles_equal_the_whole(side: int, form: str) -> None:
    image = (
        picture(channels="RGB", wrap=(True, True))
        if form == "wrap"
        else picture(channels=form, alpha="straight" if "A" in form else "none")
    )
    whole = super_resolve(image, tile=4096).array
    assert np.abs(super_resolve(image, tile=side).array - whole).max() <= 1e-5


def test_the_network_says_how_far_it_looks() -> None:
    """What lies farther off than `reach` changes nothing; what lies there does."""
    torch.manual_seed(0)
    network: Any = networks.make("residual_upscaler", {"factor": 2, "blocks": 3}).eval()
    side = 2 * network.reach + 5
    pixels = torch.full((1, 3, side, side), 0.5)
    middle = side // 2
    before = network(pixels)[..., 2 * middle : 2 * middle + 2, 2 * middle : 2 * middle + 2]
    for distance, matters in ((network.reach, True), (network.reach + 1, False)):
        other = pixels.clone()
        other[..., middle + distance] = 30.0
        after = network(other)[..., 2 * middle : 2 * middle + 2, 2 * middle : 2 * middle + 2]
        assert (not torch.equal(before, after)) == matters


@pytest.mark.parametrize(
    ("size", "side", "multiple"), [((1080, 1920), 1045, 1), ((31, 45), 16, 8), ((7, 100), 64, 16), ((5, 5), 16, 4)]
)
def test_tiles_cover_the_picture_once_and_evenly(size: tuple[int, int], side: int, multiple: int) -> None:
    found = list(tiles.tiles(size, (side, side), multiple))
    covered = np.zeros(size, int)
    for tile in found:
        covered[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] += 1
        assert max(tile.height, tile.width) <= side
        assert tile.top % multiple == tile.left % multiple == 0
    assert (covered == 1).all()
    assert max(tile.height for tile in found) - min(tile.height for tile in found) <= len(found) + multiple


@pytest.mark.parametrize("size", [(720, 1280), (100, 2000), (16, 16), (4321, 77)])
@pytest.mark.parametrize("multiple", [1, 64])
@pytest.mark.parametrize("column", [0, 2000])
def test_fitting_tiles_fit_and_read_less_than_square_ones(size: tuple[int, int], multiple: int, column: int) -> None:
    margin, cost = 104, tiles.Cost(40, column)

    def read(sides: tuple[int, int]) -> list[tuple[int, int]]:
        """Height and width of what each tile reads."""
        return [(tile.height + 2 * margin, tile.width + 2 * margin) for tile in tiles.tiles(size, sides, multiple)]

    def bytes_of(height: int, width: int) -> int:
        return width * (40 * height + column)

    for side in (320, 500, 900):
        most = bytes_of(side, side)
        found = read(tiles.fitting(size, most, cost, margin, multiple))
        square = (side - 2 * margin) // multiple * multiple
        assert max(bytes_of(*sides) for sides in found) <= most
        assert sum(h * w for h, w in found) <= sum(h * w for h, w in read((square, square)))
    assert tiles.fitting(size, 1, cost, margin, multiple) == (max(16, multiple),) * 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_stays_where_it_is(value: float) -> None:
    image = picture()
    broken = image.array.copy()
    broken[0, 20, 30, 1] = value
    for operation, factor in ((super_resolve, 2), (denoise_model, 1)):
        found = operation(image.with_buffer(broken)).array
        lost = np.argwhere(~np.isfinite(found[0]).all(-1))
        assert len(lost)
        assert (np.abs(lost - [20 * factor, 30 * factor]) <= 2 * factor).all()


def test_overlap_takes_the_place_of_what_the_network_needs() -> None:
    image = picture()
    whole = super_resolve(image, tile=4096).array
    assert np.abs(super_resolve(image, tile=16, overlap=40).array - whole).max() <= 1e-5
    assert np.abs(super_resolve(image, tile=16, overlap=0).array - whole).max() > 1e-3


def test_a_picture_that_tiles_has_no_seam() -> None:
    image = picture(wrap=(True, True))
    rolled = image.with_array(np.roll(image.array, (20, 30), (1, 2)))
    assert np.allclose(np.roll(super_resolve(image).array, (40, 60), (1, 2)), super_resolve(rolled).array, atol=1e-5)
    assert super_resolve(image).wrap == (True, True)
    one_way = super_resolve(picture(wrap=(True, False))).array
    assert np.allclose(one_way[:, 40:50, :4], super_resolve(image).array[:, 40:50, :4], atol=1e-5)
    assert not np.allclose(one_way[:, :2], super_resolve(image).array[:, :2], atol=1e-3)


# --- alpha, range, channels -----------------------------------------------------------------------------------------


def disc(hidden: float, alpha: str = "straight", hard: bool = True) -> Image:
    down, across = np.mgrid[:40, :40]
    far = np.hypot(down - 19.5, across - 19.5)
    cover = (far < 12).astype(np.float32) if hard else np.clip(12.5 - far, 0, 1).astype(np.float32)
    color = np.where(cover[..., None] > 0, np.float32([0.8, 0.5, 0.2]), np.float32(hidden))
    if alpha == "associated":
        color = color * cover[..., None]
    return Image(
        np.concatenate([color, cover[..., None]], -1)[None].astype(np.float32), channels=tuple("RGBA"), alpha=alpha
    )  # type: ignore[arg-type]  # a literal


def test_what_alpha_hides_bleeds_nowhere() -> None:
    black, white = super_resolve(disc(0.0)).array, super_resolve(disc(1.0)).array
    seen = black[..., 3] > 0
    assert np.abs(black[seen] - white[seen]).max() < 1e-6
    assert np.abs(black[seen][:, :3] - [0.8, 0.5, 0.2]).max() < 0.02
    assert (black[..., 3].min(), black[..., 3].max()) == (0, 1)


def test_of_data_an_a_hides_nothing() -> None:
    packed = disc(0.6).with_buffer(disc(0.6).buffer, color="data")
    assert np.allclose(super_resolve(packed).array[0, :4, :4, :3], 0.6, atol=0.02)


def test_associated_is_handed_back_and_agrees_with_straight() -> None:
    straight, associated = disc(0.0, hard=False), disc(0.0, "associated", hard=False)
    found = super_resolve(associated)
    assert found.alpha == "associated"
    assert np.allclose(super_resolve(straight).associate().array, found.array, atol=1e-5)
    assert (found.array[..., :3][found.array[..., 3] == 0] == 0).all()


def test_full_alpha_stays_full_and_colour_is_as_without() -> None:
    plain = picture()
    opaque = Image(
        np.concatenate([plain.array, np.ones((1, 47, 61, 1), np.float32)], -1), channels=tuple("RGBA"), alpha="straight"
    )
    found = super_resolve(opaque).array
    assert (found[..., 3] == 1).all()
    assert np.allclose(found[..., :3], super_resolve(plain).array, atol=1e-5)


def test_light_beyond_one_passes_and_leaves_no_dark_ring() -> None:
    pixels = np.full((1, 32, 32, 3), 0.2, np.float32)
    pixels[0, 14:18, 14:18] = 60
    lamp = super_resolve(Image(pixels, color="lin_rec709_scene"))
    assert 50 < lamp.array.max() < 61
    assert lamp.array.min() > 0
    assert lamp.color == "lin_rec709_scene"
    assert abs(lamp.array.mean() / pixels.mean() - 1) < 0.05
    below = super_resolve(Image(np.full((1, 20, 20, 3), -0.25, np.float32))).array
    assert np.abs(below + 0.25).max() < 0.01


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16"])
def test_every_type_comes_in(dtype: str, photo: Image) -> None:
    full = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    stored = np.round(photo.array * full).astype(dtype) if full > 1 else photo.array.astype(dtype)
    wanted = super_resolve(photo.with_array(photo.array)).array
    for buffer in (stored, torch.from_numpy(stored)):
        found = super_resolve(photo.with_buffer(buffer))
        assert found.dtype == "float32"
        assert np.abs(found.array - wanted).max() < 2e-3


def test_other_channels_come_along() -> None:
    image = picture(channels="RGBZ")
    found = super_resolve(image)
    assert np.array_equal(found.array[..., 3], image.array[..., 3].repeat(2, 1).repeat(2, 2))
    assert np.allclose(found.array[..., :3], super_resolve(picture()).array, atol=0.2)
    layers = Image(
        np.concatenate([picture().array, picture(seed=2).array], -1), channels=("R", "G", "B", "d.R", "d.G", "d.B")
    )
    assert np.allclose(super_resolve(layers).array[..., 3:], super_resolve(picture(seed=2)).array, atol=1e-6)


def test_gray_is_enlarged_as_colour_is() -> None:
    gray = picture(channels="Y")
    color = Image(np.repeat(gray.array, 3, -1))
    assert np.allclose(super_resolve(gray).array[..., 0], super_resolve(color).array.mean(-1), atol=1e-6)


# --- factors and methods --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("method", ["model", "lanczos"])
def test_convention_corners_stay_where_they_are(factor: Any, method: Any) -> None:
    ramp = np.linspace(0.2, 0.8, 40, dtype=np.float32)[None, None, :, None] * np.ones((1, 24, 1, 3), np.float32)
    found = super_resolve(Image(ramp), factor=factor, method=method)
    assert found.size == (40 * factor, 24 * factor)
    centres = (np.arange(40 * factor) + 0.5) / factor - 0.5
    wanted = np.interp(centres, np.arange(40), ramp[0, 0, :, 0])
    inner = slice(4 * factor, -4 * factor)
    assert np.abs(found.array[0, 12, inner, 0] - wanted[inner]).max() < 0.01


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"channels": "RGBA", "alpha": "straight"},
        {"channels": "RGBA", "alpha": "associated"},
        {"wrap": (True, True)},
    ],
)
def test_convention_lanczos_is_that_of_resize(form: Any) -> None:
    image = picture(**form)
    wanted = resize(image, scale=3, filter="lanczos3")
    found = super_resolve(image, method="lanczos", factor=3)
    assert (found.size, found.alpha, found.wrap) == (wanted.size, wanted.alpha, wanted.wrap)
    covered = wanted.array[..., 3] > 0.01 if "A" in image.channels else np.ones(wanted.array.shape[:3], bool)
    assert np.abs(found.array - wanted.array)[covered].max() < 2e-4


def upscaler(factor: int = 2, **config: Any) -> Model:
    torch.manual_seed(3)
    config = {"factor": factor, "width": 4, "blocks": 1, **config}
    return Model("residual_upscaler", networks.make("residual_upscaler", config).state_dict(), config, {"name": "own"})


def test_a_model_of_ones_own_and_its_factor() -> None:
    image = picture()
    assert super_resolve(image, upscaler(3)).size == (183, 141)
    assert super_resolve(image, upscaler(4), factor=3).size == (183, 141)
    wraps = picture(wrap=(True, True))
    rolled = wraps.with_array(np.roll(wraps.array, (20, 30), (1, 2)))
    found, again = (super_resolve(part, upscaler(4), factor=3).array for part in (wraps, rolled))
    assert np.allclose(np.roll(found, (60, 90), (1, 2)), again, atol=1e-4)
    one = super_resolve(image, upscaler(channels=1))
    assert one.channels == ("R", "G", "B")


@pytest.mark.parametrize(
    ("model", "params", "said"),
    [
        (upscaler(2), {"factor": 4}, "the model enlarges 2 times, not 4"),
        (upscaler(2), {"method": "lanczos"}, "a model is wired, but the method is 'lanczos'"),
    ],
)
def test_what_it_refuses(model: Model, params: Any, said: str) -> None:
    with pytest.raises(OperationError, match=said):
        super_resolve(picture(), model, **params)


# --- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [torch.OutOfMemoryError, MemoryError, RuntimeError])
def test_tiles_are_halved_until_they_fit(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that fails above so many pixels: the picture is the same, and what was done is not done again."""
    real, sizes = tiles.enlarged, []

    def scarce(pixels: torch.Tensor, enlarger: tiles.Enlarger) -> torch.Tensor:
        sizes.append(pixels.shape[-1] * pixels.shape[-2])
        if sizes[-1] > 60 * 60:
            raise kind("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried")
        return real(pixels, enlarger)

    wanted = super_resolve(picture()).array
    monkeypatch.setattr("pipeline_models.upscale.photograph.enlarged", scarce)
    assert np.abs(super_resolve(picture(), tile=4096).array - wanted).max() <= 1e-5
    assert sum(size > 60 * 60 for size in sizes) <= 9


def test_where_nothing_fits_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("out of memory\nwith a long story")

    monkeypatch.setattr("pipeline_models.upscale.photograph.enlarged", never)
    with pytest.raises(OperationError, match=r"not even a tile of \d+x\d+ pixels fits into memory: out of memory"):
        super_resolve(picture())


def test_other_failures_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> torch.Tensor:
        raise RuntimeError("some other fault")

    monkeypatch.setattr("pipeline_models.upscale.photograph.enlarged", broken)
    with pytest.raises(RuntimeError, match="some other fault"):
        super_resolve(picture())

"""The bundled spatial generator: parts of a grid give the pixels of the whole, and a grid that tiles a picture that tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pipeline_models.gan import gan_interpolate, gan_sample
from pipeline_models.gan.generators import to_middling_lines
from pipeline_models.load import load_model
from pipeline_models.networks import build
from pipeline_texture.tiling import seam_score
from torch import nn
from torch.nn.functional import pad

from pipeline_core import OperationError

MATERIALS = ("brick", "grass", "gravel")


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return build(load_model(name="textures"))


def noise(network: nn.Module, rows: int, columns: int) -> torch.Tensor:
    chance = torch.Generator().manual_seed(1)
    return torch.randn(1, network.latent_channels, rows, columns, generator=chance)  # type: ignore[call-overload]  # the interface of a generator


def test_it_knows_its_materials_and_says_how_it_was_made() -> None:
    model = load_model(name="textures")
    assert tuple(model.config["labels"]) == MATERIALS
    figures = model.manifest["figures"]
    assert set(figures) == {*MATERIALS, "on"}
    for name in MATERIALS:
        assert figures[name]["made to held back"] <= 2 * figures[name]["real to held back"]
        assert max(figures[name]["seam to interior"].values()) <= 1.1


@pytest.mark.parametrize("label", range(len(MATERIALS)))
@torch.no_grad()
def test_a_part_is_the_part_of_the_whole(network: nn.Module, label: int) -> None:
    margin, stride = network.margin, network.stride
    cells, wanted = noise(network, 20 + 2 * margin, 24 + 2 * margin), torch.tensor([label])
    whole = network(cells, wanted)
    assert whole.shape == (1, 1, 20 * stride, 24 * stride)
    assert whole.min() >= 0
    assert whole.max() <= 1
    assert whole.std() > 0.05
    part = network(cells[:, :, 5 : 5 + 8 + 2 * margin, 9:], wanted)
    assert torch.allclose(part, whole[:, :, 5 * stride : 13 * stride, 9 * stride :], atol=1e-5)


@torch.no_grad()
def test_cells_that_tile_give_a_picture_that_tiles(network: nn.Module) -> None:
    margin, stride, wanted = network.margin, network.stride, torch.tensor([1])
    cells = noise(network, 32, 32)
    around = pad(cells, (margin,) * 4, mode="circular")
    moved = pad(cells.roll((11, 7), (2, 3)), (margin,) * 4, mode="circular")
    found = network(around, wanted).roll((11 * stride, 7 * stride), (2, 3))
    assert torch.allclose(found, network(moved, wanted), atol=1e-5)


def test_sampled_in_tiles_it_is_the_same_and_tiles_when_asked() -> None:
    model = load_model(name="textures")
    whole = gan_sample(model, seed=2, label="gravel", width=128, height=96, wrap=True)
    parts = gan_sample(model, seed=2, label="gravel", width=128, height=96, wrap=True, tile=32)
    assert whole.wrap == (True, True)
    assert whole.channels == ("Y",)
    assert np.allclose(whole.array, parts.array, atol=1e-5)
    # Across the seam neighbours differ as they do anywhere else; with no wrap they are strangers.
    plain = gan_sample(model, seed=2, label="gravel", width=128, height=96).array[0, :, :, 0]
    tiled = whole.array[0, :, :, 0]
    inside = np.abs(np.diff(tiled, axis=1)).mean()
    assert np.abs(tiled[:, 0] - tiled[:, -1]).mean() < 1.5 * inside
    assert np.abs(plain[:, 0] - plain[:, -1]).mean() > 1.5 * inside
    with pytest.raises(OperationError, match="multiples of 16"):
        gan_sample(model, label="gravel", width=130, height=96, wrap=True)


@pytest.mark.parametrize("label", MATERIALS)
def test_seams_are_like_other_lines(label: str) -> None:
    """Also of brick, where a joint might lie on one."""
    for seed in range(4):
        made = gan_sample(load_model(name="textures"), seed=seed, label=label, width=128, height=192, wrap=True)
        for axis, _, _, ratio, rank in seam_score(made).rows:
            assert ratio <= 1.1, (seed, axis)
            assert 0.4 < rank < 0.6, (seed, axis)


def test_convention_a_way_between_pictures_that_tile_is_rolled_as_its_first() -> None:
    model = load_model(name="textures")
    size: dict[str, Any] = {"label": "brick", "width": 128, "height": 128, "wrap": True}
    way = gan_interpolate(model, seeds=[5, 9], frames=1, **size).array[..., 0]
    first, last = (gan_sample(model, seed=seed, **size).array[0, :, :, 0] for seed in (5, 9))
    assert np.array_equal(way[0], first)
    assert not np.array_equal(way[1], last)
    assert np.array_equal(np.sort(way[1], axis=None), np.sort(last, axis=None))  # the same, elsewhere


def test_rolled_a_hard_edge_leaves_the_seam() -> None:
    stairs = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.2, 0.1, 0.8, 0.9]).expand(1, 8, 8)
    down, across = to_middling_lines(stairs)
    rolled = stairs.roll((down, across), (1, 2))
    assert float((rolled[0, 0, 0] - rolled[0, 0, -1]).abs()) == pytest.approx(0.1)
    assert to_middling_lines(torch.zeros(3, 4, 5)) == (-1, -2)


@torch.no_grad()
def test_materials_differ(network: nn.Module) -> None:
    cells = noise(network, 16 + 2 * network.margin, 16 + 2 * network.margin)
    made = [network(cells, torch.tensor([label])) for label in range(len(MATERIALS))]
    assert (made[0] - made[1]).abs().mean() > 0.02
    assert (made[1] - made[2]).abs().mean() > 0.02


@pytest.mark.slow
@pytest.mark.parametrize("label", MATERIALS)
def test_a_large_texture_is_the_same_in_one_go_and_in_tiles(label: str) -> None:
    model = load_model(name="textures")
    whole = gan_sample(model, seed=4, label=label, width=2048, height=2048, wrap=True, tile=2048)
    parts = gan_sample(model, seed=4, label=label, width=2048, height=2048, wrap=True, tile=256)
    assert np.abs(whole.array - parts.array).max() < 1e-4

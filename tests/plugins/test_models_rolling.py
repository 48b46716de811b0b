"""Networks run some rows at a time are as on the whole, and take no more memory for their last rows than for others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pipeline_models import networks
from pipeline_models.rolling import Roll, rolled

SMALL: dict[str, dict[str, Any]] = {
    "gated_inpainter": {"widths": [4, 6, 8]},
    "gated_denoiser": {"widths": [4, 6], "down": [1], "up": [2]},
    "residual_upscaler": {"factor": 3, "width": 4, "blocks": 3, "quiet": 0.002},
}


def made(architecture: str) -> Any:
    torch.manual_seed(1)
    network = networks.make(architecture, SMALL[architecture]).eval().requires_grad_(False)
    for part in network.parameters():
        part.mul_(2)  # so that far rows count
    return networks.in_channels_last(network)


def given(architecture: str, height: int, width: int) -> list[torch.Tensor]:
    pixels = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(2))
    beside = {"gated_inpainter": [(pixels[:, :1] > 0.5).float()], "gated_denoiser": [torch.full((1, 1, 1, 1), 0.2)]}
    return [pixels, *beside.get(architecture, [])]


@pytest.mark.parametrize("rows", [8, 16, 40, 160, 1000])
@pytest.mark.parametrize("height", [8, 16, 24, 160, 168])
@pytest.mark.parametrize("architecture", SMALL)
def test_rows_some_at_a_time_are_those_of_the_whole(architecture: str, height: int, rows: int) -> None:
    network, pixels = made(architecture), given(architecture, height, 24)
    whole = network(*pixels)
    torch.testing.assert_close(network(*pixels, rows=rows), whole, atol=2e-6, rtol=1e-5)


def test_what_comes_late_comes_in_bands_no_larger_than_others() -> None:
    network = made("gated_inpainter")
    pixels = torch.cat(given("gated_inpainter", 400, 24), 1)
    found = list(rolled(network.added, torch.split(pixels, 16, 2), 16))
    assert [top for top, _ in found] == [sum(band.shape[2] for _, band in found[:i]) for i in range(len(found))]
    assert max(band.shape[2] for _, band in found) <= 32
    assert sum(band.shape[2] for _, band in found) == 400


def test_a_network_learns_through_it() -> None:
    network = networks.make("residual_upscaler", SMALL["residual_upscaler"])
    (added,) = network.added(torch.rand(2, 3, 12, 12), Roll())  # type: ignore[operator]  # an architecture's own
    added.square().mean().backward()
    assert all(part.grad is not None and bool(part.grad.any()) for part in network.parameters())

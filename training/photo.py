"""Trains `photo-x2` and `photo-x4`, which enlarge photographs: `python -m training.photo 2` and `... 4`.

Pairs are made from photographs: a crop, turned, mirrored, shrunk by a random factor and with its colours changed, is
what is wanted; the same shrunk by the factor with an antialiased bicubic filter is what is given. One in sixteen pairs is
of stripes, of any direction and width: where photographs are few, a network learns from them to see stripes of its own
in what shrinking leaves of wood or cloth. Two in sixteen are out of focus, so that it learns to leave such pictures as
they are. The loss is the size of the errors at first, then quadratic for small ones
(Charbonnier et al., Deterministic edge-preserving regularization in computed imaging, 1997), so that where the given
leaves several answers open, their mean is learned. The weights kept are a moving average of those trained.

Killed and started again, it goes on from its last checkpoint, in `training/out`. `--device cuda --batch 64` for a GPU.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from pipeline_models.networks import in_channels_last, make
from pipeline_models.networks.residual_upscaler import ResidualUpscaler
from torch import Tensor, nn
from torch.nn import functional

from training.course import OUT, Course, Learner, cost, half, options, prepare
from training.crops import Crops, between, of_photographs, swapped
from training.photographs import HELD_BACK, SOURCE, photograph
from training.weights import write_model

GIVEN = {2: 40, 4: 24}
SCALES = (1.0, 0.8, 0.64, 0.5)
RATE, AVERAGING = 1.5e-3, 0.999
SQUARES_FROM, QUADRATIC = 0.8, (0.001, 0.05)
"""Errors up to about this count by their square, larger ones by their size; at first and then."""

STRIPED, BLURRED = 1 / 16, 2 / 16
"""Shares of pairs that are of stripes, and out of focus."""
QUIET = 0.5 / 255
CONFIG = {
    2: {"factor": 2, "channels": 3, "width": 32, "blocks": 6, "quiet": QUIET},
    4: {"factor": 4, "channels": 3, "width": 32, "blocks": 6, "quiet": QUIET},
}


def shrunk(pixels: Tensor, factor: int) -> Tensor:
    """Antialiased bicubic, then 8 bits: what a camera's picture or a web page's would be."""
    size = (pixels.shape[-2] // factor, pixels.shape[-1] // factor)
    small = functional.interpolate(pixels, size=size, mode="bicubic", antialias=True)
    return small.clamp(0, 1).mul(255).round().div(255)


def wanted_batch(crops: Crops, count: int) -> Tensor:
    """Crops with their colours changed, and stripes among them."""
    striped, blurred = round(count * STRIPED), round(count * BLURRED)
    found = swapped(crops.some(count - striped))
    inverted = torch.rand(len(found), 1, 1, 1, device=found.device) < 0.2
    found = torch.where(inverted, 1 - found, found)
    contrast = between(0.6, 1, len(found), 1, 1, 1, device=found.device)
    found = found * contrast + torch.rand_like(contrast) * (1 - contrast)
    found[:blurred] = out_of_focus(found[:blurred])
    return torch.cat([found, stripes(striped, crops.size, found.device)])


def out_of_focus(pixels: Tensor) -> Tensor:
    """All under one bell, of a random width."""
    size = float(between(math.log(0.6), math.log(2.5), 1, device=torch.device("cpu")).exp())
    places = torch.arange(-8, 9, device=pixels.device)
    bell = (-(places**2) / (2 * size**2)).exp()
    bell = (bell / bell.sum()).expand(pixels.shape[1], 1, 1, -1)
    for weights, pad in ((bell, (8, 8, 0, 0)), (bell.mT, (0, 0, 8, 8))):
        padded = functional.pad(pixels, pad, mode="reflect")
        pixels = functional.conv2d(padded, weights, groups=pixels.shape[1])
    return pixels


def stripes(count: int, size: int, device: torch.device) -> Tensor:
    """Waves between two colours, fine to coarse, more or less steep and bent, under some noise."""

    def one_each(low: float, high: float) -> Tensor:
        return between(low, high, count, 1, 1, 1, device=device)

    places = torch.arange(size, device=device) / size - 0.5
    down, across = places.view(1, 1, -1, 1), places.view(1, 1, 1, -1)
    angle = one_each(0, math.pi)
    bend = torch.randn(3, count, 1, 1, 1, device=device) * 0.3
    along = across * angle.cos() + down * angle.sin()
    along = along + bend[0] * across**2 + bend[1] * across * down + bend[2] * down**2
    cycles = size * one_each(math.log(0.02), math.log(0.5)).exp()
    wave = ((2 * math.pi * (along * cycles + one_each(0, 1))).sin() * one_each(-1, 2).exp()).tanh()
    one, other = torch.rand(2, count, 3, 1, 1, device=device)
    pixels: Tensor = one + (other - one) * (wave / wave.abs().amax((1, 2, 3), keepdim=True) + 1) / 2
    return (pixels + 0.02 * torch.randn_like(pixels)).clamp(0, 1)


def loss_of(found: Tensor, wanted: Tensor, quadratic: float) -> Tensor:
    return (((found - wanted) ** 2 + quadratic**2).sqrt() - quadratic).mean()


def begun(factor: int, device: str) -> ResidualUpscaler:
    """A network that enlarges as bicubic does, nearly."""
    network = make("residual_upscaler", CONFIG[factor])
    assert isinstance(network, ResidualUpscaler)
    with torch.no_grad():
        network.last.weight.mul_(0.1)
        network.last.bias.zero_()  # type: ignore[union-attr]  # it has one
    in_channels_last(network.to(device))
    return network


def luma(pixels: Tensor) -> Tensor:
    """Rec. 601, as the field measures."""
    return (pixels * pixels.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)


def psnr(found: Tensor, wanted: Tensor, shave: int) -> float:
    """Of luma, in 8 bits, borders left out."""
    inner = slice(shave, -shave)
    found, wanted = (luma(part.clamp(0, 1).mul(255).round().div(255))[:, inner, inner] for part in (found, wanted))
    return float(-10 * torch.log10(((found - wanted) ** 2).mean()))


@torch.no_grad()
def measure(network: nn.Module, factor: int) -> dict[str, dict[str, float]]:
    """PSNR of bicubic and of the network on each photograph that was held back."""
    rows = {}
    for name in HELD_BACK:
        whole = torch.from_numpy(photograph(name).copy()).permute(2, 0, 1)[None].float() / 255
        whole = whole[..., : whole.shape[-2] // factor * factor, : whole.shape[-1] // factor * factor]
        given = shrunk(whole, factor)
        # Both cubics; what is to be beaten is the better one.
        plain = max(
            psnr(
                functional.interpolate(given, scale_factor=factor, mode="bicubic", antialias=sharper), whole, 2 * factor
            )
            for sharper in (False, True)
        )
        found = psnr(network(given), whole, 2 * factor)
        rows[name] = {"bicubic": plain, "network": found, "gain": found - plain}
    return rows


def main() -> None:
    parser = options(20, 16, __doc__)
    parser.add_argument("factor", type=int, choices=(2, 4))
    given = parser.parse_args()
    prepare(given)
    factor: int = given.factor
    name = f"photo-x{factor}"
    network = begun(factor, given.device)
    learner = Learner(network, RATE, keep=AVERAGING, clip=0.5)
    crops = of_photographs(GIVEN[factor] * factor, SCALES, given.device)
    course = Course(given.minutes, given.checkpoint or OUT / f"{name}.pt", learner.parts, given.device)
    for step, done in course:
        wanted = wanted_batch(crops, given.batch)
        small = shrunk(wanted, factor).contiguous(memory_format=torch.channels_last)
        with half(given.device):
            found = network(small)
        loss = loss_of(found.float(), wanted, QUADRATIC[done > SQUARES_FROM])
        learner.learn(loss, step, done)
        course.told = {"loss": loss.detach()}
    mean = learner.mean.cpu().eval()
    figures: dict[str, Any] = {
        "psnr_luma_db": {name: {k: round(v, 2) for k, v in row.items()} for name, row in measure(mean, factor).items()},
        "on": "photographs held back from training, shrunk by antialiased bicubic, borders shaved",
    }
    model = write_model(
        name, mean, architecture="residual_upscaler", config=CONFIG[factor], task=f"enlarge photographs {factor} times",
        data=SOURCE, script=f"python -m training.photo {factor}", figures=figures, folder=given.weights,
        **cost(given, course.step),
    )  # fmt: skip
    print(model, figures)


if __name__ == "__main__":
    main()

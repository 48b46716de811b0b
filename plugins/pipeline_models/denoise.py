"""The operation `denoise_model`."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline_core import Image, Model, OperationError, operation
from pipeline_models import networks, weights_file
from pipeline_models.foreign.run import Foreign
from pipeline_models.networks.gated_denoiser import GatedDenoiser
from pipeline_models.precision import PrecisionParam
from pipeline_models.upscale.photograph import color_groups, encoded
from pipeline_models.upscale.super_resolve import MemoryParam, TileParam, enlarge_tiled, fixed_sides
from pipeline_models.upscale.tiles import Enlarger

BUNDLED = "photo-denoise"
STRONGEST = 0.25
"""What the bundled network has seen."""

NORMAL = 0.6745
"""The median size of a standard normal number."""


def _infer(image: Image, model: Model | None = None, *, strength: float | None = None, **_: Any) -> Image:
    return image.like()


@operation(infer=_infer, aliases=("remove_noise", "ffdnet", "dncnn", "NAFNet", "neat", "degrain_model"))
def denoise_model(
    image: Image,
    model: Model | None = None,
    *,
    strength: Annotated[
        float | None,
        Field(ge=0, le=STRONGEST, description="standard deviation of the noise, of 1; left out, it is measured"),
    ] = None,
    tile: TileParam = None,
    memory: MemoryParam = 1024,
    precision: PrecisionParam = "full",
) -> Image:
    """Take noise out of a photograph by a network.

    Without a `model` it is one that comes with the project (`photo-denoise`): for noise that is independent from pixel to
    pixel, as a sensor's, of any strength up to 0.25; `load_model` gives others, which know their strength themselves. More
    `strength` than there is noise makes the picture smooth, less leaves some of it. `denoise` does without a network.

    Colour, alpha, values beyond 0 to 1, wrap and memory are as in `super_resolve`: the result is float32, in tiles without
    seams, colour is seen straight and encoded as sRGB, alpha and channels that are no colour stay.

    Convention: the strength is that of values as the network sees them, encoded as sRGB. Measured, it is the median size of
    the finest diagonal differences over 0.6745 (D. Donoho and I. Johnstone, "Ideal Spatial Adaptation by Wavelet Shrinkage",
    1994): of a picture full of fine texture it is too much.
    """
    network = networks.build(model or _bundled(), image.device)
    if isinstance(network, Foreign) and network.purpose in ("", "restoration") and network.factor == 1:
        if strength is not None:
            raise OperationError("a model of another's is wired, which knows no 'strength'; leave it out")
        enlarger = Enlarger(
            network,
            1,
            network.reach,
            network.channels,
            network.multiple,
            size=fixed_sides(network),
            precision=precision,
        )
        return enlarge_tiled(image, enlarger, tile, memory)
    if not isinstance(network, GatedDenoiser):
        task = (model or _bundled()).manifest.get("task", "of another purpose")
        raise OperationError(f"'{model.name if model else BUNDLED}' ({task}) does not take noise out")
    parts = []
    for item in range(image.batch):
        one = image.with_buffer(image.buffer[item : item + 1])
        level = measured(one) if strength is None else strength
        enlarger = Enlarger(
            _OfStrength(network, level), 1, network.reach, 3, network.step, beyond=4 * level, precision=precision
        )
        parts.append(enlarge_tiled(one, enlarger, tile, memory).buffer)
    return image.with_buffer(torch.cat([torch.as_tensor(part) for part in parts]))


class _OfStrength(nn.Module):
    """The network for one strength."""

    def __init__(self, network: GatedDenoiser, strength: float) -> None:
        super().__init__()
        self.network, self.strength = network, strength
        self.bytes_per_pixel, self.bytes_per_column = network.bytes_per_pixel, network.bytes_per_column

    def forward(self, pixels: Tensor, rows: int | None = None) -> Tensor:
        found: Tensor = self.network(pixels, pixels.new_full((1, 1, 1, 1), self.strength), rows)
        return found


def measured(image: Image) -> float:
    """The noise's standard deviation in one picture, where it is not transparent."""
    straight = image.unassociate()
    color = straight.pixels[:, [i for group in color_groups(straight) for i in group]]
    color = color[..., : color.shape[-2] // 2 * 2, : color.shape[-1] // 2 * 2]
    if color.shape[1] == 0 or min(color.shape[-2:]) == 0:
        return 0.0
    if image.color.startswith("lin_"):
        color = encoded(color)
    diagonal = color[..., ::2, ::2] - color[..., 1::2, ::2] - color[..., ::2, 1::2] + color[..., 1::2, 1::2]
    sizes = diagonal.abs()
    if straight.alpha != "none":
        shown = straight.channel("A")[..., : color.shape[-2] : 2, : color.shape[-1] : 2] > 0
        sizes = sizes[shown.expand_as(sizes)]
    # Each difference is of four numbers, so it is twice as wide as one.
    return min(STRONGEST, float(sizes.nanmedian()) / (2 * NORMAL)) if sizes.numel() else 0.0


def _bundled() -> Model:
    return weights_file.model_of(weights_file.read_bytes(weights_file.FOLDER / f"{BUNDLED}.safetensors"))

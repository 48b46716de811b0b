from typing import Annotated

from pydantic import Field
from torch.nn.functional import avg_pool2d

from pipeline_core import Image, Unit, hookimpl, operation


@operation(support=lambda radius, **_: radius)
def glow(image: Image, *, radius: Annotated[int, Field(ge=1, le=256)] = 12, strength: Unit = 0.5) -> Image:
    """Let light bleed into what is around it; none comes from beyond the frame."""
    lit = image.associate()
    pixels = lit.pixels.clone()
    pixels[:, lit.color_indices] += strength * avg_pool2d(pixels, 2 * radius + 1, 1, radius)[:, lit.color_indices]
    return lit.with_pixels(pixels, wrap=(False, False)).with_alpha_state(image.alpha)


@hookimpl
def operations():
    return [glow]

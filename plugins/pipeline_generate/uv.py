"""A picture of its own coordinates."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Image, operation
from pipeline_generate.sizes import Length

Origin = Annotated[Literal["bottom_left", "top_left"], Field(description="the corner where u and v are 0")]


def _blank(*, width: int, height: int, **_: Any) -> Image:
    return Image.stand_in(width, height, color="data")


@operation(infer=_blank, device="cpu", aliases=("st_map_identity", "uv_gradient", "expression_uv"))
def uv_map(*, width: Length, height: Length, origin: Origin = "bottom_left") -> Image:
    """A map of where each pixel is: u in R, v in G, 0 in B; the `st_map` that changes nothing.

    float32 of colour `data`. Edited (blurred noise added, warped), it bends whatever `st_map` pulls through it.

    Convention: u and v are those of pixel centres, (i + 0.5) / size, so 0 and 1 are the picture's outer edges; v points
    up from the bottom left, as in Nuke and OpenGL, unless `origin` says otherwise.
    """
    buffer = np.zeros((1, height, width, 3), np.float32)
    down = (np.arange(height) + 0.5) / height
    buffer[..., 0] = (np.arange(width) + 0.5) / width
    buffer[..., 1] = (down if origin == "top_left" else 1 - down)[:, None]
    return _blank(width=width, height=height).with_buffer(buffer)

"""Arithmetic between channels."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline_channel.expression import Expression
from pipeline_channel.picking import OTHER
from pipeline_channel.planes import STRIP, check_names, check_sizes, wrap_of
from pipeline_core import Image, Mask, OperationError, each_tile, empty, operation


@operation(
    support=0,
    aliases=(
        "Expression",
        "expr",
        "MergeExpression",
        "channel_expression",
        "channel_mixer",
        "absdiff",
        "maxchan",
        "minchan",
        "maxc",
        "minc",
    ),
)
def channel_math(
    image: Image,
    other: Image | Mask | None = None,
    *,
    expressions: Annotated[
        dict[str, str],
        Field(min_length=1, description="channel: its new value", examples=[{"R": "clamp(R * 1.5 - 0.1)"}]),
    ],
) -> Image:
    """Compute channels from channels by small expressions.

    `{R: "R * 0.5 + G * 0.5", Z: "max(R, G, B)"}` replaces R and adds Z; the other channels stay. All expressions read
    the image as it came in. They know its channels by name (`R`, `diffuse.R`), those of `other` where that is given
    (`other.R`; a mask's is `other.M`), numbers, + - * / **, comparisons, and, or, not, `a if c else b`, and the
    functions abs min max clamp(x, low=0, high=1) where(c, a, b) mix(a, b, t) sqrt exp log sin cos floor ceil.

    Works on the values as they are, in float32: colour is not divided by alpha (`unpremultiply` first for that), and
    nothing is clipped. A new A on an image without alpha is straight.

    Convention: true is 1 and false is 0; a division by 0 gives infinity or NaN, as in IEEE 754 (`fix_nan`).
    """
    check_names(list(expressions))
    given: dict[str, Image | Mask] = {"image": image} if other is None else {"image": image, "other": other}
    check_sizes(given)
    parsed = {name: Expression(text) for name, text in expressions.items()}
    known = _known(image, other)
    for expression in parsed.values():
        unknown = min(expression.names - set(known), default=None)
        if unknown is not None:
            raise OperationError(f"'{expression.text}' names '{unknown}', which is not a channel: {', '.join(known)}")
    names = tuple(dict.fromkeys((*image.channels, *parsed)))
    on_cpu = image.device == "cpu"
    return image.with_buffer(
        (_in_numpy if on_cpu else _in_torch)(image, names, parsed, known),
        channels=names,
        alpha="straight" if "A" in names and image.alpha == "none" else image.alpha,
        wrap=wrap_of(list(given.values())),
    )


Known = dict[str, tuple[Image | Mask, int]]


def _known(image: Image, other: Image | Mask | None) -> Known:
    """Which channel each name stands for."""
    known: Known = {name: (image, i) for i, name in enumerate(image.channels)}
    if other is not None:
        known |= {OTHER + name: (other, i) for i, name in enumerate(other.channels)}
    return known


def _in_numpy(image: Image, names: tuple[str, ...], parsed: dict[str, Expression], known: Known) -> Any:
    needed = {name for expression in parsed.values() for name in expression.names}
    arrays = {name: known[name][0].array[..., known[name][1]] for name in needed}
    given = image.array
    batch = max([image.batch, *(len(plane) for plane in arrays.values())])
    result = empty((batch, image.height, image.width, len(names)))

    def work(rows: slice, columns: slice) -> None:
        # Contiguous planes: numpy's kernels for strided ones may differ in the last bit.
        planes = {name: np.ascontiguousarray(plane[:, rows]) for name, plane in arrays.items()}
        out = result[:, rows]
        if names == image.channels:
            out[:] = given[:, rows]
        with np.errstate(all="ignore"):
            for i, name in enumerate(names):
                if name in parsed:
                    out[..., i] = parsed[name].evaluate(planes, np.float32, np)
                elif names != image.channels:
                    out[..., i] = given[:, rows, :, image.index(name)]

    each_tile(image.width, image.height, (image.width, STRIP), work)
    return result


def _in_torch(image: Image, names: tuple[str, ...], parsed: dict[str, Expression], known: Known) -> Any:
    import torch

    def number(value: float) -> torch.Tensor:
        return torch.tensor(value, dtype=torch.float32, device=image.device)

    needed = {name for expression in parsed.values() for name in expression.names}
    planes = {name: known[name][0].pixels[:, known[name][1]] for name in needed}
    batch = max([image.batch, *(len(plane) for plane in planes.values())])
    shape = (batch, image.height, image.width)
    found = [
        parsed[name].evaluate(planes, number, torch) if name in parsed else image.pixels[:, image.index(name)]
        for name in names
    ]
    return torch.stack([plane.expand(shape) for plane in found], dim=3)

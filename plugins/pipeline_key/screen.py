"""Green, blue and red screens: `chroma_key` and `despill`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline_core import Color, Image, OperationError, Unit, operation
from pipeline_key.extend import push_pull
from pipeline_key.planes import Keyed, check_pair, color_of, keyed, with_color

if TYPE_CHECKING:
    from torch import Tensor

Balance = Annotated[
    Unit, Field(description="what the screen's primary is held against: 0 the smaller of the other two, 1 the larger")
]
"""As Keylight's screen balance."""
LEAST = 1e-6
"""A screen without more excess is none: what rounding leaves must not decide."""


@operation(
    version=2,
    support=lambda refine=True, **_: math.inf if refine else 0,
    aliases=("keylight", "primatte", "chromakey", "green_screen", "blue_screen", "ibk", "ChromaKeyer"),
)
def chroma_key(
    image: Image,
    plate: Image | None = None,
    *,
    screen: Annotated[Color, Field(description="the screen's colour, in the image's colour space")] = (
        0.0,
        0.69,
        0.25,
        1.0,
    ),
    balance: Balance = 0.5,
    black: Annotated[Unit, Field(description="alpha up to this becomes 0: cleans the screen")] = 0.0,
    white: Annotated[Unit, Field(description="alpha from this on becomes 1: fills the figure")] = 1.0,
    refine: Annotated[bool, Field(description="learn the edge's own colour from the solid inside")] = True,
) -> Keyed:
    """Key a figure off a green, blue or red screen.

    Gives the image with alpha, the screen's light taken out of its colours (edges, hair, glass and spill alike), and
    the key as a mask. An alpha that the image has is multiplied in; where it had none the result is straight. A
    picture of the empty screen as `plate` gives the screen's colour for every pixel, for screens that are unevenly lit.

    The colour-difference key (P. Vlahos; A. R. Smith, J. F. Blinn, "Blue Screen Matting", SIGGRAPH 1996): how far the
    screen's primary exceeds a mean of the other two, against how far it does in the screen itself, is the screen's
    share of a pixel; that much of the screen is subtracted. It takes the figure for gray, and makes the edges of red and
    blue ones too solid: refining takes into account how far below gray the nearest solid parts are.

    Convention: values are keyed as they are. Edges mix in linear light: a linear image has the truer ones.
    Convention: the primary is the largest of R, G and B in `screen`, with a plate too. Colour doesn't become negative.
    """
    import torch

    if white <= black:
        raise OperationError(f"black is {black:g}, white is {white:g}: white must be above black")
    color = color_of(image, "chroma_key", ("RGB",))
    if plate is not None:
        check_pair(image, plate)
    primary = max(range(3), key=lambda i: screen[i])
    if screen[primary] <= sorted(screen[:3])[1]:
        raise OperationError("screen has no strongest of red, green and blue: give the colour of the screen")
    ground = color.new_tensor(screen[:3]).view(1, 3, 1, 1) if plate is None else color_of(plate, "chroma_key", ("RGB",))
    excess, full = (_excess(planes, primary, balance) for planes in (color, ground))
    share = _share(excess, full)
    if refine:
        share = _refined(share, excess, full, image.wrap)
    alpha = 1 - share
    own = torch.maximum(color - share * ground, color.clamp(max=0)) / torch.where(alpha > 0, alpha, 1.0)
    return keyed(image, own, ((alpha - black) / (white - black)).clamp(0, 1))


def _share(excess: Tensor, full: Tensor) -> Tensor:
    """How much of a pixel is screen: all where its excess is the screen's, nothing where there is none."""
    import torch

    return torch.where(full > LEAST, excess / full, 0.0).clamp(0, 1)


def _refined(share: Tensor, excess: Tensor, full: Tensor, wrap: tuple[bool, bool]) -> Tensor:
    """The share where the figure's own excess, bled from its solid parts, stands in place of 0."""
    from torch.nn import functional

    solid = 1 - functional.max_pool2d((share > 0.02).to(share.dtype), 3, stride=1, padding=1)
    own = push_pull(excess, solid, wrap).clamp(max=0)
    return _share(excess - own, full - own)


def _excess(color: Tensor, primary: int, balance: float) -> Tensor:
    """How far the primary plane is above the mean of the others."""
    return color[:, primary : primary + 1] - _limit(color, primary, balance)


def _limit(color: Tensor, primary: int, balance: float) -> Tensor:
    import torch

    first, second = (color[:, i : i + 1] for i in range(3) if i != primary)
    return balance * torch.maximum(first, second) + (1 - balance) * torch.minimum(first, second)


@operation(support=0, aliases=("spill_suppress", "remove_spill"))
def despill(
    image: Image,
    *,
    screen: Annotated[Literal["green", "blue", "red"], Field(description="whose light is taken out")] = "green",
    balance: Balance = 0.5,
    amount: Annotated[Unit, Field(description="how much of the excess is taken out")] = 1.0,
    keep_luma: Annotated[bool, Field(description="give the lost light back as gray")] = False,
) -> Image:
    """Take the light of a screen out of a figure: its primary is held down to a mean of the other two.

    Alpha stays as it is, and so do colours without excess.

    Convention: luma is 0.2126 R + 0.7152 G + 0.0722 B (Rec. 709) of the values as they are.
    """
    color = color_of(image, "despill", ("RGB",))
    primary = ("red", "green", "blue").index(screen)
    spill = _excess(color, primary, balance).clamp(min=0) * amount
    clean = color.clone()
    clean[:, primary : primary + 1] -= spill
    if keep_luma:
        clean += (0.2126, 0.7152, 0.0722)[primary] * spill
    return with_color(image, clean)

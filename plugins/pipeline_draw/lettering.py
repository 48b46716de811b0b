"""Text in real fonts, as a mask or painted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont
from pydantic import Field

from pipeline_core import Color, Image, Mask, OperationError, Unit, operation
from pipeline_draw.masks import Invert
from pipeline_draw.paint import Length
from pipeline_draw.painting import fill

Align = Literal["left", "center", "right"]
Level = Literal["top", "middle", "bottom"]
Words = Annotated[str, Field(min_length=1, max_length=10_000, description="may have several lines")]
Size = Annotated[float, Field(ge=1, le=4096, description="pixels of the font's em, about a line's height")]
Font = Annotated[Path, Field(description="a TrueType or OpenType file; one that comes along by default")]
Place = Annotated[float, Field(ge=-(2**20), le=2**20, description="pixels; the middle by default")]
Side = Annotated[Align, Field(description="which side of the text is at x, and how its lines are aligned")]
End = Annotated[Level, Field(description="which part of the text is at y")]
Spacing = Annotated[float, Field(ge=0, le=10, description="from line to line, in line heights")]
NO_LETTER = "\U0010ffff"  # the last code point, which no character may ever have
WHITE = (1.0, 1.0, 1.0, 1.0)
ANCHORS = {"left": "l", "center": "m", "right": "r", "top": "a", "middle": "m", "bottom": "d"}


def _blank(*, width: int, height: int, **_: Any) -> Mask:
    return Mask.stand_in(width, height, dtype="uint8")


def _painted(image: Image, **_: Any) -> Image:
    return image.like()


@operation(version=2, infer=_blank, device="cpu", aliases=("title", "caption_mask"))
def text_mask(
    *,
    width: Length,
    height: Length,
    text: Words,
    size: Size = 48.0,
    font: Font | None = None,
    x: Place | None = None,
    y: Place | None = None,
    align: Side = "center",
    level: End = "middle",
    line_spacing: Spacing = 1.0,
    invert: Invert = False,
) -> Mask:
    """A mask of text, antialiased; what reaches outside is cut off.

    Glyphs are set one after the other by FreeType, with the font's kerning (scripts that
    join or reorder their letters need an image made elsewhere). Without `font` it is Pillow's own, Aileron Regular,
    which has the letters of ASCII alone. A letter that the font lacks is refused.

    Convention: (`x`, `y`) is where `align` and `level` say: the text's left, middle or right, its ascenders' top, its
    middle or its last line's descenders. Coverage has 256 steps, and the mask is uint8.
    """
    face = _face(font, size)
    _need_glyphs(face, text)
    how: dict[str, Any] = {
        "font": face, "anchor": ANCHORS[align] + ANCHORS[level], "align": align,
        "spacing": (line_spacing - 1) * sum(face.getmetrics()),
    }  # fmt: skip
    x, y = (width / 2 if x is None else x, height / 2 if y is None else y)
    inside = np.zeros((1, height, width, 1), np.uint8)
    try:
        box = ImageDraw.Draw(Picture.new("L", (1, 1))).multiline_textbbox((x, y), text, **how)
        left, top = (max(0, math.floor(edge) - 1) for edge in box[:2])
        right, bottom = (min(size, math.ceil(edge) + 1) for size, edge in zip((width, height), box[2:], strict=True))
        if left < right and top < bottom:
            sheet = Picture.new("L", (right - left, bottom - top))
            ImageDraw.Draw(sheet).multiline_text((x - left, y - top), text, 255, **how)
            inside[0, top:bottom, left:right, 0] = np.asarray(sheet)
    except (OSError, ValueError) as error:
        raise OperationError(f"the font can't draw this text: {error}") from error
    return Mask(255 - inside if invert else inside)


@operation(version=2, infer=_painted, device="cpu", aliases=("draw_text", "caption", "label", "watermark", "Text2"))
def text(
    image: Image,
    *,
    text: Words,
    color: Color = WHITE,
    opacity: Unit = 1.0,
    size: Size = 48.0,
    font: Font | None = None,
    x: Place | None = None,
    y: Place | None = None,
    align: Side = "center",
    level: End = "middle",
    line_spacing: Spacing = 1.0,
) -> Image:
    """Write text over a picture.

    Where and how as in `text_mask`, painted as in `fill`: the colour is in the image's own colour space, the alpha
    state stays, the result is float32.
    """
    mask = text_mask(
        width=image.width, height=image.height, text=text, size=size, font=font, x=x, y=y, align=align, level=level,
        line_spacing=line_spacing,
    )  # fmt: skip
    return fill(image, mask, color=color, opacity=opacity)


def _face(font: Path | None, size: float) -> ImageFont.FreeTypeFont:
    """The font at this size, with the layout that every Pillow has, so that all machines draw the same."""
    try:
        if font is not None:
            return ImageFont.truetype(font, size, layout_engine=ImageFont.Layout.BASIC)
        face = ImageFont.load_default(size)
    except OSError as error:
        name = font.name if font else "the default font"
        raise OperationError(f"'{name}' can't be read as a font: {error}") from error
    if not isinstance(face, ImageFont.FreeTypeFont):
        raise OperationError("this Pillow was built without FreeType, so it can't draw text; install another build")
    return face


def _need_glyphs(face: ImageFont.FreeTypeFont, words: str) -> None:
    """Refuse letters that the font would draw as its box for unknown ones."""
    small = face.font_variant(size=24)

    def drawn(letter: str) -> bytes:
        return bytes(small.getmask(letter))

    unknown = drawn(NO_LETTER)
    lacking = sorted(letter for letter in set(words) if not letter.isspace() and drawn(letter) == unknown)
    if lacking:
        raise OperationError(f"the font has no glyph for {' '.join(lacking[:10])}; set 'font' to one that has")

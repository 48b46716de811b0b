"""Showing what was found: boxes with their labels, masks as a tint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont
from pydantic import Field
from torch.nn.functional import max_pool2d

from pipeline_core import Color, Image, Mask, OperationError, Table, Unit, operation
from pipeline_models.vision.boxes import Box, of_picture, read_boxes
from pipeline_models.vision.painting import color_of, laid_over, readable_on

Array = np.ndarray[Any, np.dtype[np.float32]]
NO_LETTER = "\U0010ffff"  # the last code point, which no character may ever have
RED = (1.0, 0.15, 0.15, 1.0)


@operation(aliases=("show_detections", "draw_bounding_boxes", "annotate"))
def draw_boxes(
    image: Image,
    boxes: Table,
    *,
    color: Annotated[Color | None, Field(description="of all boxes; each label's own by default")] = None,
    thickness: Annotated[float, Field(gt=0, le=1024, description="of the lines, in pixels")] = 2.0,
    opacity: Annotated[Unit, Field(description="of lines and labels")] = 1.0,
    fill: Annotated[Unit, Field(description="opacity of the same colour inside the box")] = 0.0,
    labels: Annotated[bool, Field(description="write 'label' and 'score' at the box, where the table has them")] = True,
    size: Annotated[float, Field(ge=4, le=512, description="of the letters, in pixels of the font's em")] = 13.0,
    font: Annotated[
        Path | None, Field(description="a TrueType or OpenType file; one that comes along by default")
    ] = None,
) -> Image:
    """Draw boxes and their labels over a picture.

    The table has columns `x`, `y`, `width`, `height`, and may have `label`, `score`, and `image`: the place of a box's
    picture in the batch; without it all boxes are drawn into every picture. Later rows are painted first, so that the
    surest are on top. Colours are in the image's own colour space and painted over what is there; the alpha state stays;
    the result is float32.

    Convention: lines lie inside the box; edges are antialiased by exact coverage; the label stands on the box, or inside
    where there is no room. What leaves a picture that tiles comes in on the other side.
    """
    found = read_boxes(boxes, image.batch)
    face = _face(font, size) if labels else None
    pictures = []
    for i in range(image.batch):
        pixels = image.pixels[i : i + 1]
        for box in reversed(of_picture(found, i)):
            paint = color or color_of(box.label)
            for cover, over in _covers(box, image, paint, thickness, fill, face):
                covered = torch.from_numpy(cover * np.float32(opacity)).to(pixels.device)[None, None]
                pixels = laid_over(image, pixels, covered, over)
        pictures.append(pixels)
    return image.with_pixels(torch.cat(pictures))


def _covers(
    box: Box, image: Image, color: Color, thickness: float, fill: float, face: ImageFont.FreeTypeFont | None
) -> Iterator[tuple[Array, Color]]:
    """What is painted for a box, from below to above: coverage `(H, W)` and colour."""
    right, bottom = box.x + box.width, box.y + box.height
    outer = _rectangle(image, box.x, box.y, right, bottom)
    inner = _rectangle(image, box.x + thickness, box.y + thickness, right - thickness, bottom - thickness)
    yield np.maximum(outer - inner, 0) + inner * np.float32(fill), color
    words = " ".join(part for part in (box.label, "" if box.score is None else f"{box.score:.2f}") if part)
    if face is None or not words:
        return
    letters = _letters(face, words)
    margin = max(1, round(letters.shape[0] / 6))
    height, width = (length + 2 * margin for length in letters.shape)
    left, top = round(box.x), round(box.y) - height
    if top < 0 and not image.wrap[1]:
        top = max(0, round(box.y))
    if not image.wrap[0]:
        left = min(max(0, left), max(0, image.width - width))
    yield _rectangle(image, left, top, left + width, top + height), color
    yield _placed(image, letters, left + margin, top + margin), readable_on(color)


def _rectangle(image: Image, left: float, top: float, right: float, bottom: float) -> Array:
    """Coverage of a rectangle, exact."""
    across = _span(left, right, image.width, image.wrap[0])
    down = _span(top, bottom, image.height, image.wrap[1])
    return down[:, None] * across[None, :]


def _span(start: float, end: float, length: int, wraps: bool) -> Array:
    """How much of each of `length` pixels lies between two places; round and round where it tiles, at most 1."""
    turns = range(int(start // length), int(end // length) + 1) if wraps and end > start else (0,)
    edges = np.arange(length + 1, dtype=np.float64)
    covered = np.zeros(length)
    for turn in turns:
        covered += np.diff(np.clip(edges + turn * length, start, max(start, end)))
    return np.minimum(covered, 1).astype(np.float32)


def _placed(image: Image, letters: Array, left: int, top: int) -> Array:
    """The letters on an empty sheet of the image's size; what leaves it is cut off, or comes in where it tiles."""
    sheet = np.zeros((image.height, image.width), np.float32)
    rows, columns = np.arange(top, top + letters.shape[0]), np.arange(left, left + letters.shape[1])
    if image.wrap[1]:
        rows %= image.height
    if image.wrap[0]:
        columns %= image.width
    inside = np.ix_((rows >= 0) & (rows < image.height), (columns >= 0) & (columns < image.width))
    target = np.ix_(rows[inside[0].ravel()], columns[inside[1].ravel()])
    np.maximum.at(sheet, target, letters[inside])
    return sheet


def _letters(face: ImageFont.FreeTypeFont, words: str) -> Array:
    """Coverage of a line of text, as high as the font's lines. OperationError for letters that the font lacks."""
    unknown = bytes(face.getmask(NO_LETTER))
    lacking = sorted(letter for letter in set(words) if not letter.isspace() and bytes(face.getmask(letter)) == unknown)
    if lacking:
        raise OperationError(f"the font has no glyph for {' '.join(lacking[:10])}; set 'font' to one that has")
    width, height = round(face.getlength(words)) + 1, sum(face.getmetrics())
    sheet = Picture.new("L", (width, height))
    ImageDraw.Draw(sheet).text((0, 0), words, 255, face)
    return np.asarray(sheet, np.float32) / np.float32(255)


def _face(font: Path | None, size: float) -> ImageFont.FreeTypeFont:
    """The font at this size, with the layout that every Pillow has, so that all machines draw the same."""
    try:
        if font is not None:
            return ImageFont.truetype(font, size, layout_engine=ImageFont.Layout.BASIC)
        face = ImageFont.load_default(size)
    except OSError as error:
        raise OperationError(
            f"'{font.name if font else 'the default font'}' can't be read as a font: {error}"
        ) from error
    if not isinstance(face, ImageFont.FreeTypeFont):
        raise OperationError("this Pillow was built without FreeType, so it can't draw text; install another build")
    return face


def _tinted(image: Image, mask: Mask, **_: Any) -> Image:
    _check_mask(image, mask)
    return image.with_buffer(
        Image.stand_in(
            image.width, image.height, image.channels, batch=max(image.batch, mask.batch), alpha=image.alpha
        ).buffer
    )


@operation(infer=_tinted, aliases=("show_mask", "highlight", "mask_overlay", "rubylith"))
def overlay_mask(
    image: Image,
    mask: Mask,
    *,
    color: Color = RED,
    opacity: Annotated[Unit, Field(description="of the colour where the mask is 1")] = 0.5,
    outline: Annotated[int, Field(ge=0, le=256, description="pixels of a solid line along the mask's edge")] = 0,
) -> Image:
    """Show where a mask is, as a tint over a picture.

    The colour is in the image's own colour space and is painted over what is there, as much as the mask says; the alpha
    state stays; the result is float32. One mask is shown on every picture, or one picture under every mask.

    Convention: the line lies inside the mask; along the frame there is none.
    """
    _check_mask(image, mask)
    batch = max(image.batch, mask.batch)
    pixels, inside = (part.pixels.expand(batch, -1, -1, -1) for part in (image, mask))
    inside = inside.to(pixels.device).clamp(0, 1)
    if not outline:
        return image.with_pixels(laid_over(image, pixels, inside * opacity, color))
    line = inside - _shrunk(inside, outline, image.wrap)
    return image.with_pixels(laid_over(image, pixels, torch.maximum(inside * opacity, line), color))


def _shrunk(inside: torch.Tensor, radius: int, wrap: tuple[bool, bool]) -> torch.Tensor:
    """The least of each pixel's square; beyond the frame the edge goes on, or the picture tiles."""
    for axis, (length, wraps) in enumerate(zip(inside.shape[:1:-1], wrap, strict=True)):
        places = torch.arange(-radius, length + radius, device=inside.device)
        places = places % length if wraps else places.clamp(0, length - 1)
        inside = inside.index_select(3 - axis, places)
    size = 2 * radius + 1
    inside = -max_pool2d(-inside, (1, size), 1)
    return -max_pool2d(-inside, (size, 1), 1)


def _check_mask(image: Image, mask: Mask) -> None:
    if mask.size != image.size:
        raise OperationError(
            f"the mask is {mask.width}x{mask.height}, but the image is {image.width}x{image.height}; "
            "'resize' or 'crop' one of them"
        )
    if 1 not in (mask.batch, image.batch) and mask.batch != image.batch:
        raise OperationError(f"{mask.batch} masks for {image.batch} images; give one mask, or one for each")

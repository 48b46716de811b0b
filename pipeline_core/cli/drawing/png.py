"""A sheet as PNG, drawn with Pillow at twice the size asked for and halved: smooth edges everywhere."""

from __future__ import annotations

import io
import unicodedata
from functools import cache
from itertools import pairwise
from math import cos, pi, sin, sqrt
from typing import TYPE_CHECKING, cast

from .layout import HEAD_WIDTH, HEADER, Card, Curve, Layout, Point, Text, lay_out
from .sheet import Sheet
from .style import LIGHT, MUTED, SEMIBOLD, SIZES, accent

if TYPE_CHECKING:
    from PIL import Image, ImageFont

_MOST_PIXELS = 16_000_000
_FINER = 2
# Pillow's own face holds ASCII alone; for the rest, the first of these that is installed and knows the letter.
_FACES = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "segoeui.ttf"),
    *("NotoSansCJK-Regular.ttc", "NotoSansCJKjp-Regular.otf", "wqy-microhei.ttc", "PingFang.ttc", "msgothic.ttc"),
    *("Arial Unicode.ttf", "Symbola.ttf", "seguisym.ttf"),
)


def png(sheet: Sheet, scale: float = 2.0) -> bytes:
    """The picture as PNG, `scale` pixels to the CSS pixel; less where it would be more than 16 million pixels."""
    layout = lay_out(sheet)
    scale = min(scale, sqrt(_MOST_PIXELS / (layout.width * layout.height)))
    picture = _Canvas(layout, scale).picture
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


class _Canvas:
    def __init__(self, layout: Layout, scale: float) -> None:
        from PIL import Image, ImageDraw  # only this form of the picture needs it

        self.layout = layout
        self.unit = scale * _FINER
        size = tuple(max(1, round(side * scale)) * _FINER for side in (layout.width, layout.height))
        image = Image.new("RGB", (size[0], size[1]), LIGHT.page)
        self.draw = ImageDraw.Draw(image)
        if layout.heading:
            self.text(layout.heading, LIGHT.ink)
        for curve in layout.curves:
            self.curve(curve)
        for card in layout.cards:
            self.card(card)
        for curve in layout.curves:
            if curve.label:
                self.text(curve.label, LIGHT.muted, halo=LIGHT.page)
        for swatch in layout.legend:
            self.draw.circle(self.at((swatch.x, swatch.y)), 5 * self.unit, accent(swatch.plugin, layout.sheet.plugins))
            self.text(swatch.text, LIGHT.muted)
        self.picture: Image.Image = image.reduce(_FINER)

    def at(self, point: Point) -> Point:
        return point[0] * self.unit, point[1] * self.unit

    def card(self, card: Card) -> None:
        role = card.box.role
        colour = accent("" if role == "unused" else card.box.plugin, self.layout.sheet.plugins)
        whole = self.outline(card, card.height, card.radii)
        self.draw.polygon(whole, LIGHT.output if role == "output" else LIGHT.card)
        if role != "output":
            bar = self.outline(card, HEADER, (*card.radii[:2], 0.0, 0.0))
            self.draw.polygon(bar, _mixed(colour, LIGHT.card, LIGHT.tint))
            rim = max(1, round(1.2 * self.unit))
            for line in _dashes([*whole, whole[0]], 4 * self.unit) if role == "unused" else [[*whole, *whole[:2]]]:
                self.draw.line(line, colour, rim, joint="curve")
        for text in card.texts:
            muted = text.style in MUTED
            if role == "output":
                self.text(text, LIGHT.output_muted if muted else LIGHT.output_ink)
            else:
                self.text(text, LIGHT.muted if muted or role == "unused" else LIGHT.ink)

    def outline(self, card: Card, height: float, radii: tuple[float, ...]) -> list[Point]:
        left, top, right, bottom = card.x, card.y, card.x + card.width, card.y + height
        corners = ((left, top, 1, 1), (right, top, -1, 1), (right, bottom, -1, -1), (left, bottom, 1, -1))
        points = []
        for turn, ((x, y, inwards_x, inwards_y), radius) in enumerate(zip(corners, radii, strict=True)):
            for step in range(13) if radius else range(1):
                angle = pi + (turn + step / 12) * pi / 2
                middle = (x + inwards_x * radius, y + inwards_y * radius)
                points.append(self.at((middle[0] + radius * cos(angle), middle[1] + radius * sin(angle))))
        return points

    def curve(self, curve: Curve) -> None:
        points = [curve.start]
        for first, second, end in curve.pieces:
            level = points[-1][1] == end[1]
            points += [end] if level else _flattened(points[-1], first, second, end)
        self.draw.line([self.at(point) for point in points], LIGHT.arrow, max(1, round(1.5 * self.unit)), joint="curve")
        x, y = curve.tip
        root = points[-1][0]
        head = [(x, y), (root, y - HEAD_WIDTH / 2), (root, y + HEAD_WIDTH / 2)]
        self.draw.polygon([self.at(point) for point in head], LIGHT.arrow)

    def text(self, text: Text, colour: str, halo: str | None = None) -> None:
        size = SIZES[text.style] * self.unit
        runs = _runs(text.text, size)
        x, y = self.at((text.x, text.y))
        if text.anchor != "start":
            x -= sum(font.getlength(run) for run, font in runs) / (2 if text.anchor == "middle" else 1)
        weight = size * 0.022 if text.style in SEMIBOLD else 0
        for run, font in runs:
            if halo:
                self.draw.text((x, y), run, halo, font, "ls", stroke_width=1.5 * self.unit, stroke_fill=halo)
            self.draw.text((x, y), run, colour, font, "ls", stroke_width=weight, stroke_fill=colour)
            x += font.getlength(run)


def _flattened(start: Point, first: Point, second: Point, end: Point, steps: int = 24) -> list[Point]:
    points = []
    for step in range(1, steps + 1):
        t = step / steps
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        points.append(
            (
                a * start[0] + b * first[0] + c * second[0] + d * end[0],
                a * start[1] + b * first[1] + c * second[1] + d * end[1],
            )
        )
    return points


def _dashes(points: list[Point], length: float) -> list[list[Point]]:
    """The line through the points cut into dashes, with gaps of three quarters of their length."""
    dashes: list[list[Point]] = []
    travelled, period = 0.0, length * 1.75
    for (x, y), (next_x, next_y) in pairwise(points):
        distance = sqrt((next_x - x) ** 2 + (next_y - y) ** 2)
        reached = 0.0
        while reached < distance:
            phase = travelled % period
            step = min(distance - reached, max((length if phase < length else period) - phase, length / 8))
            if phase < length:
                ends = ((reached / distance), (reached + step) / distance)
                dashes.append([(x + (next_x - x) * end, y + (next_y - y) * end) for end in ends])
            reached, travelled = reached + step, travelled + step
    return dashes


def _mixed(colour: str, ground: str, share: float) -> tuple[int, int, int]:
    above, below = bytes.fromhex(colour[1:]), bytes.fromhex(ground[1:])
    red, green, blue = (round(a * share + b * (1 - share)) for a, b in zip(above, below, strict=True))
    return red, green, blue


def _runs(text: str, size: float) -> list[tuple[str, ImageFont.FreeTypeFont]]:
    """The text cut wherever another face is needed."""
    runs: list[tuple[str, str]] = []
    for letter in text:
        face, drawn = _face(letter)
        if runs and runs[-1][1] == face:
            runs[-1] = (runs[-1][0] + drawn, face)
        else:
            runs.append((drawn, face))
    return [(run, _font(face, size)) for run, face in runs]


@cache
def _face(letter: str) -> tuple[str, str]:
    """The face that has a letter, and the letter; where none has it, its plain letters (`é`: `e`) or an empty box."""
    if letter.isascii():
        return "", letter
    for face in _FACES:
        try:
            font = _font(face, 16)
        except OSError:
            continue  # not installed here
        if bytes(font.getmask(letter)) != bytes(font.getmask("\U0010fffe")):
            return face, letter
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return "", plain or letter


@cache
def _font(face: str, size: float) -> ImageFont.FreeTypeFont:
    """A font of Pillow's own face, or of an installed one by its file name: OSError where that is missing."""
    from PIL import ImageFont  # only this form of the picture needs it

    if face:
        return ImageFont.truetype(face, size)
    # Pillow is typed for builds without FreeType too; none of its wheels is one.
    return cast("ImageFont.FreeTypeFont", ImageFont.load_default(size))

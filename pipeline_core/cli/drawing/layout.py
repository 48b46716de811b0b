"""Where everything on a sheet stands: cards in columns from left to right, curves between them.

Both painters, SVG and PNG, draw exactly this.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal

from .coordinates import coordinates
from .layers import arrange
from .lettering import shorten, width
from .sheet import Arrow, Box, Sheet, printable
from .style import SIZES, TextStyle

Point = tuple[float, float]
Cubic = tuple[Point, Point, Point]

MARGIN = 32.0
HEADER = 27.0
_PAD = 13.0
_LINE: dict[TextStyle, float] = {"name": 18, "operation": 17, "detail": 14.5}
_NARROWEST, _WIDEST = 112.0, 264.0
_LABEL_WIDEST = 132.0
_PORT = 19.0
_BETWEEN_CARDS, _BETWEEN_LINES, _BETWEEN_PARTS = 26.0, 16.0, 44.0
_CURVE = 42.0
HEAD_LENGTH, HEAD_WIDTH = 8.0, 7.0


@dataclass(frozen=True, slots=True)
class Text:
    """One line: `x` is its left end, middle or right end as `anchor` says, `y` the baseline."""

    x: float
    y: float
    text: str
    style: TextStyle
    anchor: Literal["start", "middle", "end"] = "start"


@dataclass(frozen=True, slots=True)
class Card:
    """A box in its place; `radii` of the corners clockwise from the top left."""

    box: Box
    x: float
    y: float
    width: float
    height: float
    texts: tuple[Text, ...]

    @property
    def radii(self) -> tuple[float, float, float, float]:
        """What begins is round on the left, what ends is round altogether."""
        if self.box.role == "output":
            return (min(self.height / 2, 24.0),) * 4
        left = 15.0 if self.box.role == "source" else 6.0
        return (left, 6.0, 6.0, left)


@dataclass(frozen=True, slots=True)
class Curve:
    """An arrow: cubic Bezier pieces from `start` to the root of the head, whose point is `tip`."""

    arrow: Arrow
    start: Point
    pieces: tuple[Cubic, ...]
    tip: Point
    label: Text | None


@dataclass(frozen=True, slots=True)
class Swatch:
    """A plugin's colour in the legend, a dot at (x, y), and its name."""

    plugin: str
    x: float
    y: float
    text: Text


@dataclass(frozen=True)
class Layout:
    """A sheet with every place decided."""

    sheet: Sheet
    width: float
    height: float
    heading: Text | None
    cards: tuple[Card, ...]
    curves: tuple[Curve, ...]
    legend: tuple[Swatch, ...]


def lay_out(sheet: Sheet) -> Layout:
    """The places of a sheet's boxes and arrows, the same for the same sheet. ValueError if the arrows form a loop."""
    parts = [_Part(part) for part in sheet.parts()]
    heading = Text(MARGIN, MARGIN + 12, shorten(printable(sheet.title), "heading", 640), "heading")
    top = MARGIN + (34 if sheet.title else 0)
    corners, across, bottom = _shelves([(part.width, part.height) for part in parts], top)
    across = max(across, MARGIN * 2 + (width(heading.text, "heading") if sheet.title else 0), 240)
    legend = _legend(sheet.plugins, across, bottom + 34)
    return Layout(
        sheet,
        across,
        (legend[-1].y if legend else bottom) + MARGIN,
        heading if sheet.title else None,
        tuple(card for part, corner in zip(parts, corners, strict=True) for card in part.cards(corner)),
        tuple(curve for part, corner in zip(parts, corners, strict=True) for curve in part.curves(corner)),
        legend,
    )


def _shelves(sizes: Sequence[tuple[float, float]], top: float) -> tuple[list[Point], float, float]:
    """Corners of the parts, set in rows like words in a paragraph; the width and the lower edge of it all."""
    area = sum((across + _BETWEEN_PARTS) * (down + _BETWEEN_PARTS) for across, down in sizes)
    limit = MARGIN + max([sqrt(area * 1.8), *(across for across, _ in sizes)])
    corners = []
    x, y, tallest, widest = MARGIN, top, 0.0, 0.0
    for across, down in sizes:
        if x > MARGIN and x + across > limit:
            x, y, tallest = MARGIN, y + tallest + _BETWEEN_PARTS, 0.0
        corners.append((x, y))
        x, tallest = x + across + _BETWEEN_PARTS, max(tallest, down)
        widest = max(widest, x - _BETWEEN_PARTS)
    return corners, widest + MARGIN, y + tallest


def _legend(plugins: tuple[str, ...], across: float, y: float) -> tuple[Swatch, ...]:
    swatches = []
    x = MARGIN
    for plugin in plugins:
        name = shorten(printable(plugin), "legend", _WIDEST)
        advance = 14 + width(name, "legend") + 20
        if x > MARGIN and x + advance > across:
            x, y = MARGIN, y + 20
        swatches.append(Swatch(plugin, x + 5, y, Text(x + 15, y + 3.8, name, "legend")))
        x += advance
    return tuple(swatches)


class _Part:
    """One connected part of a sheet, laid out with its upper left corner at the origin."""

    def __init__(self, sheet: Sheet) -> None:
        self.boxes, self.arrows, self.edges = sheet.boxes, sheet.arrows, sheet.links
        self.layers = arrange(len(self.boxes), self.edges)
        self.ports = self._ports()
        self._place_down()
        self._place_across()

    def _ports(self) -> list[float]:
        """How far from its card's middle each arrow ends, in the order the arrows come from."""
        place = {node: index for layer in self.layers.order for index, node in enumerate(layer)}
        arriving: dict[int, list[int]] = defaultdict(list)
        for number, (_, target) in enumerate(self.edges):
            arriving[target].append(number)
        ports = [0.0] * len(self.edges)
        for numbers in arriving.values():
            numbers.sort(key=lambda number: place[(self.edges[number][0], *self.layers.ways[number])[-1]])
            for row, number in enumerate(numbers):
                ports[number] = (row - (len(numbers) - 1) / 2) * _PORT
        self.inputs = {target: len(numbers) for target, numbers in arriving.items()}
        return ports

    def _place_down(self) -> None:
        layers = self.layers
        self.heights = [_height(box, self.inputs.get(number, 0)) for number, box in enumerate(self.boxes)]
        sizes = self.heights + [0.0] * (len(layers.rank) - layers.nodes)
        ends: dict[tuple[int, int], list[float]] = defaultdict(list)
        for (source, target), way, port in zip(self.edges, layers.ways, self.ports, strict=True):
            ends[way[-1] if way else source, target].append(port)
        offsets = {link: sum(ports) / len(ports) for link, ports in ends.items()}

        def gap(above: int, below: int) -> float:
            return _BETWEEN_CARDS if above < layers.nodes and below < layers.nodes else _BETWEEN_LINES

        self.middles = coordinates(layers, sizes, gap, lambda a, b: offsets.get((a, b), 0.0))
        tops = [middle - size / 2 for middle, size in zip(self.middles, sizes, strict=True)]
        highest = min(tops)
        self.middles = [middle - highest for middle in self.middles]
        self.height = max(middle + size / 2 for middle, size in zip(self.middles, sizes, strict=True))

    def _place_across(self) -> None:
        """Columns as wide as their widest card; between them room for the labels and for curves to swing."""
        layers = self.layers
        columns = len(layers.order)
        widths, labels, travel = [0.0] * columns, [0.0] * columns, [0.0] * columns
        for number, box in enumerate(self.boxes):
            widths[layers.rank[number]] = max(widths[layers.rank[number]], _natural_width(box))
        for (source, target), arrow, way in zip(self.edges, self.arrows, layers.ways, strict=True):
            column = layers.rank[target]
            if arrow.label:
                labels[column] = max(labels[column], width(_label(arrow), "label") + 8)
            for here, there in zip((source, *way), (*way, target), strict=True):
                far = abs(self.middles[here] - self.middles[there])
                travel[layers.rank[there]] = max(travel[layers.rank[there]], far)
        self.widths, self.lefts, self.runs = widths, [0.0] * columns, labels
        for column in range(1, columns):
            swing = _CURVE + min(140.0, travel[column] * 0.12)
            self.lefts[column] = self.lefts[column - 1] + widths[column - 1] + swing + labels[column] + HEAD_LENGTH
        self.width = self.lefts[-1] + widths[-1]

    def cards(self, corner: Point) -> list[Card]:
        """The cards, moved to the corner."""
        result = []
        for number, box in enumerate(self.boxes):
            column = self.layers.rank[number]
            height = self.heights[number]
            x, y = corner[0] + self.lefts[column], corner[1] + self.middles[number] - height / 2
            bare = Card(box, x, y, self.widths[column], height, ())
            result.append(replace(bare, texts=_texts(bare)))
        return result

    def curves(self, corner: Point) -> list[Curve]:
        """The arrows, moved to the corner."""
        return [self._curve(number, corner) for number in range(len(self.edges))]

    def _curve(self, number: int, corner: Point) -> Curve:
        (source, target), arrow = self.edges[number], self.arrows[number]
        left, top = corner
        column = self.layers.rank[source]
        start = here = (left + self.lefts[column] + self.widths[column], top + self.middles[source])
        pieces = []
        for bend in self.layers.ways[number]:
            column = self.layers.rank[bend]
            x, y = left + self.lefts[column], top + self.middles[bend]
            there = (x + self.widths[column], y)
            pieces += [_swing(here, (x, y)), _swing((x, y), there)]
            here = there
        column = self.layers.rank[target]
        tip = (left + self.lefts[column], top + self.middles[target] + self.ports[number])
        root = (tip[0] - HEAD_LENGTH, tip[1])
        run = (root[0] - self.runs[column], tip[1])
        pieces.append(_swing(here, run))
        if run != root:
            pieces.append(_swing(run, root))
        label = Text(root[0] - 2, tip[1] - 4, _label(arrow), "label", "end") if arrow.label else None
        return Curve(arrow, start, tuple(pieces), tip, label)


def _swing(here: Point, there: Point) -> Cubic:
    """A curve that leaves and arrives level."""
    half = (there[0] - here[0]) / 2
    return ((here[0] + half, here[1]), (there[0] - half, there[1]), there)


def _label(arrow: Arrow) -> str:
    return shorten(printable(arrow.label), "label", _LABEL_WIDEST)


def _lines(box: Box) -> list[tuple[str, TextStyle]]:
    """What stands under the name."""
    note = ("unused",) if box.role == "unused" else ()
    lines: list[tuple[str, TextStyle]] = [(box.title, "operation")] if box.title else []
    lines += [(detail, "detail") for detail in (*box.detail, *note)]
    return [(shorten(printable(text), style, _WIDEST - 2 * _PAD), style) for text, style in lines]


def _name(box: Box) -> str:
    return shorten(printable(box.name), "name", _WIDEST - 2 * _PAD)


def _natural_width(box: Box) -> float:
    widest = max([width(_name(box), "name"), *(width(text, style) for text, style in _lines(box))])
    return max(_NARROWEST, widest + 2 * _PAD)


def _height(box: Box, inputs: int) -> float:
    below = sum(_LINE[style] for _, style in _lines(box))
    own = below + _LINE["name"] + 16 if box.role == "output" else HEADER + (below + 12 if below else 6)
    return max(own, inputs * _PORT + 10)


def _texts(card: Card) -> tuple[Text, ...]:
    """The name in the title bar and the lines under it; an output has no title bar and is centred."""
    lines = _lines(card.box)
    anchor: Literal["start", "middle"]
    if card.box.role == "output":
        lines = [(_name(card.box), "name"), *lines]
        y = card.y + (card.height - sum(_LINE[style] for _, style in lines)) / 2
        x, anchor = card.x + card.width / 2, "middle"
        texts: list[Text] = []
    else:
        y = card.y + HEADER + 6
        x, anchor = card.x + _PAD, "start"
        texts = [Text(x, card.y + HEADER / 2 + SIZES["name"] * 0.35, _name(card.box), "name")]
    for text, style in lines:
        texts.append(Text(x, y + _LINE[style] / 2 + SIZES[style] * 0.35, text, style, anchor))
        y += _LINE[style]
    return tuple(texts)

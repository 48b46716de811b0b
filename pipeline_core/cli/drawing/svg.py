"""A sheet as SVG: one file, no script, light or dark as the reader's screen is."""

from __future__ import annotations

from html import escape

from .layout import HEAD_WIDTH, HEADER, Card, Curve, Layout, Swatch, Text, lay_out
from .sheet import Sheet, printable
from .style import DARK, LIGHT, MUTED, SEMIBOLD, SIZES, Theme, accent

_FONTS = "Inter,'Segoe UI',Roboto,'Helvetica Neue',Arial,'Noto Sans',sans-serif"


def svg(sheet: Sheet) -> str:
    """The picture as SVG text; hovering over a card shows its unshortened text."""
    layout = lay_out(sheet)
    wide, high = _number(layout.width), _number(layout.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pipeline" width="{wide}" height="{high}" '
        f'viewBox="0 0 {wide} {high}" role="img">',
        f"<title>{_escape(sheet.title)}</title>",
        f"<style>{_stylesheet()}</style>",
        '<rect class="page" width="100%" height="100%"/>',
    ]
    if layout.heading:
        parts.append(_text(layout.heading))
    parts += [_curve(curve) for curve in layout.curves]
    parts += [_card(card, layout) for card in layout.cards]
    parts += [_text(curve.label) for curve in layout.curves if curve.label]
    parts += [_swatch(swatch, layout) for swatch in layout.legend]
    return "\n".join([*parts, "</svg>\n"])


def _stylesheet() -> str:
    sizes = "".join(f".pipeline .{style}{{font-size:{size}px}}" for style, size in SIZES.items())
    weights = "".join(f".pipeline .{style}{{font-weight:600}}" for style in sorted(SEMIBOLD))
    return (
        f".pipeline text{{font-family:{_FONTS}}}{sizes}{weights}"
        ".pipeline .arrow{fill:none;stroke-width:1.5}"
        ".pipeline .card{stroke-width:1.2}"
        ".pipeline .unused .card{stroke-dasharray:4 3}.pipeline .unused text{opacity:.75}"
        ".pipeline .label{paint-order:stroke;stroke-width:3px;stroke-linejoin:round}"
        f"{_colours(LIGHT)}@media (prefers-color-scheme:dark){{{_colours(DARK)}}}"
    )


def _colours(theme: Theme) -> str:
    muted = ",".join(f".pipeline .{style}" for style in sorted(MUTED))
    return (
        f".pipeline .page{{fill:{theme.page}}}.pipeline .card{{fill:{theme.card}}}"
        f".pipeline .bar{{fill-opacity:{theme.tint}}}"
        f".pipeline text{{fill:{theme.ink}}}{muted}{{fill:{theme.muted}}}.pipeline .label{{stroke:{theme.page}}}"
        f".pipeline .arrow{{stroke:{theme.arrow}}}.pipeline .head{{fill:{theme.arrow}}}"
        f".pipeline .output .card{{fill:{theme.output};stroke:none}}"
        f".pipeline .output text{{fill:{theme.output_ink}}}.pipeline .output .detail{{fill:{theme.output_muted}}}"
    )


def _card(card: Card, layout: Layout) -> str:
    box = card.box
    colour = accent("" if box.role == "unused" else box.plugin, layout.sheet.plugins)
    hint = "\n".join(line for line in (box.name, box.title, *box.detail, box.plugin) if line)
    parts = [f'<g class="box {box.role}" data-id="{_escape(box.id)}"><title>{_escape(hint, lines=True)}</title>']
    parts.append(f'<path class="card" stroke="{colour}" d="{_outline(card, card.height, card.radii)}"/>')
    if box.role != "output":
        top_left, top_right, *_ = card.radii
        parts.append(f'<path class="bar" fill="{colour}" d="{_outline(card, HEADER, (top_left, top_right, 0, 0))}"/>')
    return "".join([*parts, *(_text(text) for text in card.texts), "</g>"])


def _outline(card: Card, height: float, radii: tuple[float, ...]) -> str:
    """A rectangle from the card's upper left corner, its corners rounded clockwise from there."""
    left, top, right, bottom = card.x, card.y, card.x + card.width, card.y + height
    corners = ((left, top, 0, -1), (right, top, 1, 0), (right, bottom, 0, 1), (left, bottom, -1, 0))
    steps: list[str] = []
    for (x, y, along_x, along_y), radius in zip(corners, radii, strict=True):
        # Each side is entered along (along_x, along_y) and left a quarter turn to the right.
        arrive = f"{_number(x - along_x * radius)} {_number(y - along_y * radius)}"
        leave = f"{_number(x - along_y * radius)} {_number(y + along_x * radius)}"
        arc = f"A{_number(radius)} {_number(radius)} 0 0 1 {leave}" if radius else ""
        steps.append(f"{'L' if steps else 'M'}{arrive}{arc}")
    return f"{''.join(steps)}Z"


def _curve(curve: Curve) -> str:
    pieces = "".join(
        "C" + " ".join(f"{_number(x)} {_number(y)}" for x, y in (first, second, end))
        for first, second, end in curve.pieces
    )
    x, y = curve.tip
    root = curve.pieces[-1][-1][0]
    head = f"M{_number(x)} {_number(y)}L{_number(root)} {_number(y - HEAD_WIDTH / 2)}v{_number(HEAD_WIDTH)}Z"
    return (
        f'<g data-from="{_escape(curve.arrow.source)}" data-to="{_escape(curve.arrow.target)}">'
        f'<path class="arrow" d="M{_number(curve.start[0])} {_number(curve.start[1])}{pieces}"/>'
        f'<path class="head" d="{head}"/></g>'
    )


def _swatch(swatch: Swatch, layout: Layout) -> str:
    colour = accent(swatch.plugin, layout.sheet.plugins)
    dot = f'<circle cx="{_number(swatch.x)}" cy="{_number(swatch.y)}" r="5" fill="{colour}"/>'
    return dot + _text(swatch.text)


def _text(text: Text) -> str:
    anchor = "" if text.anchor == "start" else f' text-anchor="{text.anchor}"'
    place = f'x="{_number(text.x)}" y="{_number(text.y)}"'
    return f'<text class="{text.style}" {place}{anchor}>{_escape(text.text)}</text>'


def _escape(text: str, lines: bool = False) -> str:
    return escape("\n".join(map(printable, text.split("\n"))) if lines else printable(text))


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

"""How wide a text is, by a table: close enough for boxes, and no font has to be loaded."""

from __future__ import annotations

import unicodedata

from .style import SEMIBOLD, SIZES, TextStyle

# Advance widths in em of common sans-serif faces: the mean of Helvetica, Segoe UI and Aileron, rounded up.
_WIDTHS = {
    character: width
    for width, characters in {
        0.27: "ijlI.,:;'!| ",
        0.35: 'frt()[]{}/\\"`-',
        0.50: "csvxyzkJ*^",
        0.58: "abdeghnopqu0123456789?_L#$+<=>~FEZTSPBAKVXY",
        0.70: "CDGHNORUQ&w",
        0.90: "mMW%@",
    }.items()
    for character in characters
}
_BOLDER = 1.05
# Verdana and DejaVu Sans, which an SVG falls back to where no other is installed, are that much wider.
_ROOM = 1.1


def width(text: str, style: TextStyle) -> float:
    """Width in pixels, a little on the generous side."""
    ems = sum(_WIDTHS.get(character) or _exotic(character) for character in text)
    return ems * SIZES[style] * _ROOM * (_BOLDER if style in SEMIBOLD else 1)


def _exotic(character: str) -> float:
    if unicodedata.combining(character):
        return 0.0
    return 1.0 if unicodedata.east_asian_width(character) in "WF" else 0.65


def shorten(text: str, style: TextStyle, limit: float) -> str:
    """The text, its middle replaced by an ellipsis where it is wider than `limit`: names differ at both ends."""
    if width(text, style) <= limit:
        return text
    room = limit - width("…", style)
    head = _fitting(text, style, room * 0.6)
    tail = _fitting(text[::-1], style, room - width(head, style))[::-1]
    return f"{head.rstrip()}…{tail.lstrip()}"


def _fitting(text: str, style: TextStyle, room: float) -> str:
    for end, character in enumerate(text):
        room -= width(character, style)
        if room < 0:
            return text[:end]
    return text

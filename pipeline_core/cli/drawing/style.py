"""Colours and sizes shared by the SVG and the PNG. Lengths are in CSS pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TextStyle = Literal["heading", "name", "operation", "detail", "label", "legend"]

# Okabe and Ito's palette for colour-blind readers (jfly.uni-koeln.de/color, 2008), the most distinct first.
ACCENTS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442")
NEUTRAL = "#8b949e"

SIZES: dict[TextStyle, float] = {
    "heading": 17,
    "name": 13,
    "operation": 12,
    "detail": 10.5,
    "label": 10.5,
    "legend": 11,
}
SEMIBOLD: frozenset[TextStyle] = frozenset({"heading", "name"})
MUTED: frozenset[TextStyle] = frozenset({"detail", "label", "legend"})


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of everything that is not a plugin's; `tint` is the opacity of a plugin's colour in a title bar."""

    page: str
    card: str
    ink: str
    muted: str
    arrow: str
    output: str
    output_ink: str
    output_muted: str
    tint: float


LIGHT = Theme("#f7f8fa", "#ffffff", "#1b2430", "#5d6875", "#8592a0", "#2b3646", "#ffffff", "#c3ccd6", 0.20)
DARK = Theme("#0f141a", "#1a212a", "#e8edf3", "#9aa6b3", "#667483", "#dfe6ee", "#131a22", "#4b5866", 0.34)


def accent(plugin: str, plugins: tuple[str, ...]) -> str:
    """The colour of a plugin; grey for what no plugin offers."""
    return ACCENTS[plugins.index(plugin) % len(ACCENTS)] if plugin in plugins else NEUTRAL

"""Pictures of a pipeline's graph: SVG, PNG, Mermaid and DOT, without torch, numpy or any tool installed.

sheet -> layers -> coordinates -> layout -> svg, png
sheet -> notation (Mermaid, DOT)
"""

from __future__ import annotations

from .notation import dot, mermaid
from .png import png
from .sheet import Arrow, Box, Role, Sheet
from .svg import svg

SUFFIXES = (".svg", ".png", ".mmd", ".dot")

__all__ = ["SUFFIXES", "Arrow", "Box", "Role", "Sheet", "dot", "draw", "mermaid", "png", "svg"]


def draw(sheet: Sheet, suffix: str) -> bytes:
    """The bytes of a file with this suffix, one of `SUFFIXES`, in either case; ValueError for another."""
    match suffix.lower():
        case ".png":
            return png(sheet)
        case ".svg":
            return svg(sheet).encode()
        case ".mmd":
            return mermaid(sheet).encode()
        case ".dot":
            return dot(sheet).encode()
    raise ValueError(f"pictures of a graph are {', '.join(SUFFIXES)} (got {suffix!r})")

"""A sheet as text that other tools draw: Mermaid (in Markdown) and DOT (Graphviz)."""

from __future__ import annotations

import json
import re
from html import escape

from .sheet import Box, Sheet, printable
from .style import LIGHT, accent

# Mermaid's brackets by role; the text goes in between, quoted.
_BRACKETS = {"source": ("(", ")"), "step": ("[", "]"), "output": ("([", "])"), "unused": ("[", "]")}


def mermaid(sheet: Sheet) -> str:
    """A Mermaid flowchart, as GitHub shows it inside a ```mermaid block (which takes 500 arrows at most)."""
    number = {box.id: index for index, box in enumerate(sheet.boxes)}
    lines = [f"---\ntitle: {json.dumps(printable(sheet.title), ensure_ascii=False)}\n---"] if sheet.title else []
    lines.append("flowchart LR")
    for box in sheet.boxes:
        opening, closing = _BRACKETS[box.role]
        text = "<br/>".join([f"<b>{_coded(box.name)}</b>", *(_coded(line) for line in _below(box))])
        lines.append(f'  n{number[box.id]}{opening}"{text}"{closing}')
    for arrow in sheet.arrows:
        label = f'|"{_coded(arrow.label)}"|' if arrow.label.strip() else ""
        lines.append(f"  n{number[arrow.source]} -->{label} n{number[arrow.target]}")
    for place, plugin in enumerate(sheet.plugins):
        members = [f"n{number[box.id]}" for box in sheet.boxes if box.plugin == plugin and box.role != "unused"]
        if members:
            colour = accent(plugin, sheet.plugins)
            lines.append(f"  classDef plugin{place} fill:{colour}33,stroke:{colour}")
            lines.append(f"  class {','.join(members)} plugin{place}")
    for role, look in (("output", f"fill:{LIGHT.output},color:{LIGHT.output_ink}"), ("unused", "stroke-dasharray:4 3")):
        members = [f"n{number[box.id]}" for box in sheet.boxes if box.role == role]
        if members:
            lines.append(f"  classDef {role} {look}")
            lines.append(f"  class {','.join(members)} {role}")
    return "\n".join([*lines, ""])


def _coded(text: str) -> str:
    """ASCII signs as Mermaid's `#35;` codes, so that none of them means anything."""
    return re.sub(r"[^\w \u0080-\U0010ffff]", lambda sign: f"#{ord(sign[0])};", printable(text)).strip() or "#32;"


def dot(sheet: Sheet) -> str:
    """A digraph for Graphviz."""
    number = {box.id: index for index, box in enumerate(sheet.boxes)}
    lines = [
        f"digraph {_quoted(sheet.title)} {{",
        f"  graph [rankdir=LR, label={_quoted(sheet.title)}, labelloc=t, labeljust=l, fontname=Helvetica, ranksep=0.7]",
        '  node [shape=box, style="rounded,filled", fontname=Helvetica, fontsize=11, fillcolor=white]',
        f'  edge [fontname=Helvetica, fontsize=9, color="{LIGHT.arrow}", fontcolor="{LIGHT.muted}", arrowsize=0.7]',
    ]
    for box in sheet.boxes:
        colour = accent("" if box.role == "unused" else box.plugin, sheet.plugins)
        look = f'color="{colour}", fillcolor="{colour}33"'
        if box.role == "output":
            look = f'color="{LIGHT.output}", fillcolor="{LIGHT.output}", fontcolor=white, margin="0.25,0.1"'
        elif box.role == "unused":
            look = f'color="{colour}", style="rounded,dashed"'
        rows = [f"<b>{_marked(box.name)}</b>", *(_marked(line) for line in _below(box))]
        lines.append(f"  n{number[box.id]} [label=<{'<br/>'.join(rows)}>, {look}]")
    for arrow in sheet.arrows:
        label = f" [label={_quoted(arrow.label)}]" if arrow.label else ""
        lines.append(f"  n{number[arrow.source]} -> n{number[arrow.target]}{label}")
    return "\n".join([*lines, "}", ""])


def _below(box: Box) -> list[str]:
    return [line for line in (box.title, *box.detail, *(("unused",) if box.role == "unused" else ())) if line]


def _marked(text: str) -> str:
    return escape(printable(text)) or " "


def _quoted(text: str) -> str:
    """A DOT string; a backslash is doubled, for Graphviz reads `\\N` and the like as codes."""
    escaped = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

"""What a catalogue says of its operations, for people: the words that `ops` prints, and a page of them all.

`python -m pipeline_core.pages > docs/operations.md` writes the page of the operations that come with pipeline-core; the
pictures in it are made by docs/pictures/make.py.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from pipeline_core.examples import example_yaml
from pipeline_core.operation import Input, Operation, Output, Param, show_kind
from pipeline_core.plugins import Catalogue, catalogue
from pipeline_core.schema import describe, show

DISTRIBUTION = "pipeline-core"
PICTURES = Path(__file__).parents[1] / "docs" / "pictures" / "operations"
"""Where the pictures of the page are, in a checkout."""


def input_text(part: Input) -> str:
    """`image`, `image or mask, optional`, `list of image`."""
    kinds = " or ".join(show_kind(kind).lower() for kind in part.kinds)
    return f"{'list of ' if part.many else ''}{kinds}{', optional' if part.optional else ''}"


def output_text(part: Output) -> str:
    """`mask`, or where it varies `same kind as input image`."""
    return f"same kind as input {part.like}" if part.like else show_kind(part.kind).lower()


def default_text(param: Param) -> str:
    """The default as a file would hold it; `nothing`; or `required`."""
    return "required" if param.required else "nothing" if param.default is None else show(param.default)


def operations_page(offered: Catalogue, distribution: str = DISTRIBUTION, pictures: Collection[str] = ()) -> str:
    """A page in Markdown: a section per plugin of a distribution, with all its operations; some have a picture."""
    plugins = [plugin for plugin in offered.plugins if plugin.distribution == distribution and plugin.operations]
    operations = {(operation.plugin, operation.name): operation for operation in offered}
    parts = [
        "# Operations",
        "<!-- Written by `python -m pipeline_core.pages`; a test compares it with the operations. Do not edit. -->",
        "`pipeline ops` lists what is installed on your machine, `pipeline ops NAME` shows one of them.",
    ]
    parts += [
        f"- {plugin.name}: " + ", ".join(f"[{name}](#{name})" for name in sorted(plugin.operations))
        for plugin in plugins
    ]
    for plugin in plugins:
        parts.append(f"## {plugin.name}")
        parts += [_section(operations[plugin.name, name], name in pictures) for name in sorted(plugin.operations)]
    return "\n\n".join(parts) + "\n"


def _section(operation: Operation, has_picture: bool) -> str:
    summary, _, rest = operation.doc.partition("\n\n")
    parts = [f"### {operation.name}", summary]
    if has_picture:
        parts.append(f"![{operation.name}](pictures/operations/{operation.name}.webp)")
    elif all(out.kind != "Image" and out.kind != "Mask" and not out.like for out in operation.outputs):
        kinds = ", ".join(dict.fromkeys(output_text(out) for out in operation.outputs))
        parts.append(f"Without a picture: it gives a {kinds}.")
    parts += [rest] if rest else []
    if operation.aliases:
        parts.append(f"Also known as: {', '.join(operation.aliases)}.")
    if operation.inputs:
        parts.append(_table(["input", "kind"], [[f"`{part.name}`", input_text(part)] for part in operation.inputs]))
    if operation.params:
        rows = [
            [f"`{param.name}`", describe(param.schema), _default_cell(param), param.help] for param in operation.params
        ]
        parts.append(_table(["param", "type", "default", "help"], rows))
    parts.append(_table(["output", "kind"], [[f"`{part.name}`", output_text(part)] for part in operation.outputs]))
    parts.append(f"```yaml\n{example_yaml(operation)}\n```")
    return "\n\n".join(parts)


def _default_cell(param: Param) -> str:
    text = default_text(param)
    return text if param.required or param.default is None else f"`{text}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(operations_page(catalogue(), pictures={path.stem for path in PICTURES.glob("*.webp")}))

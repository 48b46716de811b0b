"""Values and nodes made from a signature alone: what `ops` shows to paste, and what the contract calls with.

An author who knows better writes `Field(examples=[...])`: the first example is taken, for optional params too.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from pipeline_core.operation import Operation

FRAME = (1024, 1024)
"""Width and height of the picture that example values are made for."""

# Words that every image program uses alike, as shares of the frame: a box that lies inside it and is not all of it.
_SHARES = {
    "width": (0, 1 / 2), "height": (1, 1 / 2), "x": (0, 1 / 4), "y": (1, 1 / 4),
    "left": (0, 1 / 8), "top": (1, 1 / 8), "right": (0, 3 / 8), "bottom": (1, 3 / 8),
    "start": (0, 1 / 8), "end": (0, 3 / 8),
}  # fmt: skip
_WORDS: dict[str, Any] = {"angle": 30, "channel": "R"}
PATH = "art/picture.png"
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)
_NUMBER, _COLOR, _TEXT = 2, "#4080c0", "text"


def example_node(operation: Operation) -> dict[str, Any]:
    """A node of this operation: required inputs linked to nodes of their names, required params filled in."""
    node: dict[str, Any] = {"op": operation.name}
    links = {part.name: _link(part.name, operation.name) for part in operation.inputs if not part.optional}
    if links:
        many = {part.name for part in operation.inputs if part.many}
        node["inputs"] = {name: [link] if name in many else link for name, link in links.items()}
    params = {
        param.name: example_value(param.name, param.schema)
        for param in operation.params
        if param.required or given_examples(param.schema)
    }
    return {**node, "params": params} if params else node


def _link(name: str, operation: str) -> str:
    return f"{name}_in" if name == operation else name  # the node is named like the operation, and must not feed itself


def example_yaml(operation: Operation) -> str:
    """The example node as lines of a pipeline file, under `nodes:`."""
    lines = [f"{operation.name}:"]
    lines += [f"  {key}: {_flow(value)}" for key, value in example_node(operation).items()]
    return "\n".join(lines)


def _flow(value: Any) -> str:
    """A value on one line of YAML: as JSON, without the quotes that it can do without."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in ("true", "false", "null"):
        return value
    return json.dumps(value, ensure_ascii=False)


def given_examples(schema: dict[str, Any]) -> list[Any]:
    """What the author wrote as `Field(examples=[...])`, on the param or on one of the types it may have."""
    found = list(schema.get("examples", ()))
    for option in schema.get("anyOf", ()):
        found += given_examples(option)
    return found


def example_value(name: str, schema: dict[str, Any], frame: tuple[float, float] = FRAME, path: str = PATH) -> Any:
    """A value that the schema takes: the author's example, else one that the name, type and limits suggest."""
    return _Examples(name, schema.get("$defs", {}), frame, path).of(schema)


class _Examples:
    def __init__(self, name: str, defs: dict[str, Any], frame: tuple[float, float], path: str) -> None:
        self.name, self.defs, self.frame, self.path = name, defs, frame, path

    def of(self, schema: dict[str, Any]) -> Any:
        if "$ref" in schema:
            return self.of(self.defs[schema["$ref"].rpartition("/")[2]])
        for known in (given_examples(schema), schema.get("enum"), [schema["const"]] if "const" in schema else None):
            if known:
                return known[0]
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return self.of(next((option for option in options if option.get("type") != "null"), options[0]))
        form = str(schema.get("format", ""))
        if form == "color":
            return _COLOR
        make = getattr(self, f"_{schema.get('type')}", None)
        return make(schema, form) if make else _TEXT

    def _string(self, schema: dict[str, Any], form: str) -> str:
        if form.endswith("path"):
            return self.path
        word = str(_WORDS.get(self.name, _TEXT))
        return word.ljust(schema.get("minLength", 0), "_")[: schema.get("maxLength")]

    def _integer(self, schema: dict[str, Any], form: str) -> int:
        return math.floor(self._number(schema, form))

    def _number(self, schema: dict[str, Any], form: str) -> float:
        step = 1 if schema["type"] == "integer" else 1e-3
        low = schema.get("minimum", schema.get("exclusiveMinimum", -math.inf - step) + step)
        high = schema.get("maximum", schema.get("exclusiveMaximum", math.inf) - step)
        axis, share = _SHARES.get(self.name, (0, 0))
        wanted = share * self.frame[axis] if share else float(_WORDS.get(self.name, _NUMBER))
        if not low <= wanted <= high:
            wanted = (low + high) / 2 if math.isfinite(low) and math.isfinite(high) else low if wanted < low else high
        multiple = schema.get("multipleOf")
        return float(math.ceil(wanted / multiple) * multiple if multiple else wanted)

    def _boolean(self, schema: dict[str, Any], form: str) -> bool:
        return True

    def _null(self, schema: dict[str, Any], form: str) -> None:
        return None

    def _array(self, schema: dict[str, Any], form: str) -> list[Any]:
        parts = schema.get("prefixItems")
        if parts is None:
            parts = [schema.get("items", {})] * max(1, schema.get("minItems", 1))
        return [self.of(part) for part in parts]

    def _object(self, schema: dict[str, Any], form: str) -> dict[str, Any]:
        return {name: self.of(schema["properties"][name]) for name in schema.get("required", ())}

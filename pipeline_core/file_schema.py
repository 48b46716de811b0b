"""The JSON Schema of a pipeline file, with every operation of a catalogue in it: editors complete and check with it.

Draft 2020-12. The frame comes from the models in `spec`, the nodes from the operations' own signatures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline_core.operation import Input, Operation, Param, show_kind
from pipeline_core.plugins import Catalogue
from pipeline_core.spec import Spec

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# `spec.Name` without \w, which knows no letter beyond ASCII in the regular expressions of editors.
NAME = r"^[^\x00-@\[-\^`\{-\x7f][^\x00-,./:-@\[-\^`\{-\x7f]*$"

REFERENCE: Schema = {"$ref": "#/$defs/reference"}

_SHARED: dict[str, Schema] = {
    "reference": {
        "description": "${name}: a param of the pipeline; $${ stands for ${",
        "type": "string",
        "pattern": r"\$\{",
    },
    "link": {
        "description": "the node that the value comes from, or node.output",
        "type": "string",
        "pattern": r"^[^.]+(\.[^.]+)?$",
    },
    "color": {
        "description": "#rgb, #rrggbb, #rrggbbaa, a CSS name, or 3 or 4 numbers",
        "anyOf": [
            {"type": "string"},
            {
                "type": "array",
                "items": {"anyOf": [{"type": "number"}, REFERENCE]},
                "minItems": 3,
                "maxItems": 4,
            },
        ],
    },
}


def file_schema(catalogue: Catalogue) -> Schema:
    """What a pipeline file may hold when these operations are installed."""
    return _FileSchema(catalogue).whole()


class _FileSchema:
    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.defs: dict[str, Schema] = dict(_SHARED)

    def whole(self) -> Schema:
        schema = Spec.model_json_schema(by_alias=True)
        frame = schema.pop("$defs")
        for section in ("params", "nodes", "outputs"):
            (item,) = schema["properties"][section].pop("patternProperties").values()
            schema["properties"][section] |= {
                "additionalProperties": item,
                "propertyNames": {"pattern": NAME, "maxLength": 200},
            }
        self.defs["ParamSpec"] = frame["ParamSpec"]
        self.defs["NodeSpec"] = self.node(frame["NodeSpec"])
        self.defs["OutputSpec"] = self.output(frame["OutputSpec"])
        return {"$schema": DIALECT, **schema, "title": "pipeline file", "$defs": dict(sorted(self.defs.items()))}

    # --- nodes ---

    def node(self, frame: Schema) -> Schema:
        """`op` decides what else a node may hold: one `if` per operation, so that a mistake is told where it is."""
        names: list[Schema] = []
        cases: list[Schema] = []
        for operation in sorted(self.catalogue, key=lambda operation: (operation.name, operation.plugin)):
            full = f"{operation.plugin}.{operation.name}"
            written = [full] if operation.name in self.catalogue.conflicts else [operation.name, full]
            names.append({"const": written[0], "description": f"{operation.summary} ({operation.plugin})"})
            names += [{"const": other} for other in written[1:]]
            self.defs[f"op {full}"] = self.fields(operation)
            asked = {"properties": {"op": {"enum": written}}, "required": ["op"]}
            cases.append({"if": asked, "then": _reference(f"op {full}")})
        frame["properties"]["op"] = {"description": "the operation", "anyOf": names} if names else False
        return {**frame, "allOf": cases} if cases else frame

    def fields(self, operation: Operation) -> Schema:
        inputs = {part.name: _input(part) for part in operation.inputs}
        needed = [part.name for part in operation.inputs if not part.optional]
        params = self.params(operation, operation.params)
        properties = {"inputs": _mapping(inputs, needed), "params": params}
        return {
            "description": operation.doc,
            "properties": properties,
            "required": [name for name, part in properties.items() if part["required"]],
        }

    def params(self, operation: Operation, params: Iterable[Param]) -> Schema:
        offered = {param.name: self.param(operation, param) for param in params}
        return _mapping(offered, [param.name for param in params if param.required])

    def param(self, operation: Operation, param: Param) -> Schema:
        schema = dict(param.schema)
        prefix = f"{operation.plugin}.{operation.name}.{param.name}."
        for name, part in schema.pop("$defs", {}).items():
            self.defs[prefix + name] = _writable(part, prefix)
        made = _writable(schema, prefix)
        return made if param.required else {**made, "default": param.default}

    # --- outputs ---

    def output(self, frame: Schema) -> Schema:
        """The path's suffix decides which operation encodes, and with it the params."""
        encoders: dict[str, dict[str, Operation]] = {}
        for kind in sorted({kind for operation in self.catalogue for part in operation.inputs for kind in part.kinds}):
            for suffix, operations in self.catalogue.encoders(kind).items():
                encoders.setdefault(suffix, {}).update({f"encode {op.plugin}.{op.name}": op for op in operations})
        suffixes: dict[tuple[str, ...], list[str]] = {}
        for suffix, found in sorted(encoders.items()):
            suffixes.setdefault(tuple(found), []).append(suffix)
            for name, operation in found.items():
                self.defs[name] = self.params(operation, [p for p in operation.params if p.name != "format"])
        cases = []
        for names, written in suffixes.items():
            asked = {"properties": {"path": {"type": "string", "pattern": _ending(written)}}, "required": ["path"]}
            params = {"anyOf": [_reference(name) for name in names]}
            cases.append({"if": asked, "then": {"properties": {"params": params}}})
        frame["properties"]["from"] = _reference("link")
        frame["properties"]["path"] = {
            "description": "where to save it; the suffix decides the format",
            "anyOf": [{"type": "null"}, {"type": "string", "pattern": _ending(encoders)}, REFERENCE],
        }
        return {**frame, "allOf": cases} if cases else frame


def _reference(name: str) -> Schema:
    return {"$ref": "#/$defs/" + name.replace(" ", "%20")}


def _mapping(properties: Mapping[str, Schema], required: list[str]) -> Schema:
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}


def _input(part: Input) -> Schema:
    link = _reference("link")
    kinds = " or ".join(show_kind(kind).lower() for kind in part.kinds)
    if part.many:
        return {"description": f"{kinds}, any number", "anyOf": [link, {"type": "array", "items": link}]}
    return {"description": kinds, **link}


def _writable(schema: Schema, prefix: str) -> Schema:
    """The schema of a value as a file may write it: `${name}` may stand for it, or for any value in it.

    `prefix` is what the names of the value's own definitions begin with in the whole.
    """
    said: Schema = {key: schema[key] for key in ("description", "title", "default", "examples") if key in schema}
    rest = {key: part for key, part in schema.items() if key not in said}
    if not rest:
        return said
    made = _inside(rest, prefix)
    if made.keys() == {"type"} and made["type"] == "string":
        return {**said, **made}  # any text will do, references among them
    options = made["anyOf"] if made.keys() == {"anyOf"} else [made]
    return {**said, "anyOf": [*options, REFERENCE]}


def _inside(schema: Schema, prefix: str) -> Schema:
    """The schema with `${name}` allowed in place of every part of the value."""
    if schema.get("format") == "color":
        return _reference("color")
    made = dict(schema)
    for key, part in schema.items():
        if key == "$ref":
            made[key] = _reference(prefix + part.rpartition("/")[2])["$ref"]
        elif key in ("anyOf", "oneOf"):
            made[key] = [_inside(option, prefix) for option in part]
        elif key == "prefixItems":
            made[key] = [_writable(item, prefix) for item in part]
        elif key == "properties":
            made[key] = {name: _writable(item, prefix) for name, item in part.items()}
        elif key in ("items", "additionalProperties") and isinstance(part, dict):
            made[key] = _writable(part, prefix)
    return made


def _ending(suffixes: Iterable[str]) -> str:
    """A pattern for paths with these suffixes, in any case."""
    words = ["".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in suffix) for suffix in suffixes]
    return rf"\.(?:{'|'.join(sorted(words))})$"

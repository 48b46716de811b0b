"""Param types: from an annotation to JSON Schema, and from JSON Schema back to a validator.

The catalogue on disk holds each param's JSON Schema, so that `check` validates without importing a plugin (and torch
with it). What is outside the subset understood here validates as anything; the annotation itself decides at the run.
"""

from __future__ import annotations

import json
import math
from enum import Enum
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Optional, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    create_model,
)

from pipeline_core.colors import parse_color
from pipeline_core.errors import did_you_mean, listing, one_line

Color = Annotated[
    tuple[float, float, float, float],
    BeforeValidator(parse_color),
    WithJsonSchema({"type": ["string", "array"], "format": "color"}),
]
"""A colour as `#rgb`, `#rrggbb`, `#rrggbbaa`, a CSS name, or 3 or 4 numbers; arrives as (r, g, b, a) floats.

Numbers are taken as they are, in the colour space of the image they are painted into; 1.0 is full scale.
"""

Unit = Annotated[float, Field(ge=0, le=1)]
"""A float from 0 to 1."""

Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""Where the random numbers of an operation start. Same seed, same result."""


def schema_of(annotation: Any) -> dict[str, Any]:
    """The JSON Schema of a param's annotation (pydantic's, in validation mode)."""
    return TypeAdapter(annotation).json_schema(mode="validation")


def has_paths(schema: Any) -> bool:
    """Whether a value of this schema may hold a path."""
    return '-path"' in (text := json.dumps(schema)) or '"path"' in text


_ALREADY_PLAIN = frozenset((str, int, float, bool, type(None)))


def plain(value: Any) -> Any:
    """A value given from Python as a JSON-like one: enums by value, paths as strings, tuples as lists."""
    if type(value) in _ALREADY_PLAIN:
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):  # in an order that does not change from process to process
        return sorted((plain(v) for v in value), key=repr)
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):  # numpy's scalars
        return value.item()
    return value


class Checker:
    """Validates plain values against one JSON Schema and says what is wrong in the project's words."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        self._adapter = TypeAdapter(_Reader(schema).type_of(schema))
        self.paths = has_paths(schema)

    def __call__(self, value: Any) -> Any:
        """The canonical value (defaults filled, ints widened to floats where a float is wanted, paths as Path).

        Raises ValueError with one line that says what would be right.
        """
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(explain(error, value)) from None


@lru_cache(maxsize=4096)
def _checker(text: str) -> Checker:
    return Checker(json.loads(text))


def checker(schema: dict[str, Any]) -> Checker:
    """The checker of a schema; equal schemas share one."""
    return _checker(json.dumps(schema))


def describe(schema: dict[str, Any], defs: dict[str, Any] | None = None) -> str:
    """A type for people: `float, 0 to 1`, `one of over, under`, `path`, `list of integers`."""
    defs = schema.get("$defs", defs) or {}
    if "$ref" in schema:
        return describe(defs.get(schema["$ref"].rpartition("/")[2], {}), defs)
    if "enum" in schema:
        return "one of " + ", ".join(str(v) for v in schema["enum"])
    if "const" in schema:
        return repr(schema["const"])
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return " or ".join(dict.fromkeys(describe(option, defs) for option in options))
    kind = schema.get("type")
    form = schema.get("format", "")
    if form.endswith("path"):
        return "path"
    if form == "color":
        return "colour (#rrggbb[aa], a name, or 3 to 4 numbers)"
    if kind == "array":
        parts = schema.get("prefixItems")
        if parts:
            return "[" + ", ".join(describe(part, defs) for part in parts) + "]"
        return f"list of {describe(schema.get('items', {}), defs)}"
    if kind == "object":
        names = schema.get("properties")
        return "mapping of " + ", ".join(names) if names else "mapping"
    word = {"number": "float", "integer": "int", "string": "text", "boolean": "true or false", "null": "nothing"}
    return word.get(str(kind), "anything") + _limits(schema)


def _limits(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    words = [
        f"at least {low}" if low is not None else "",
        f"above {above}" if above is not None else "",
        f"at most {high}" if high is not None else "",
        f"below {below}" if below is not None else "",
    ]
    said = " and ".join(word for word in words if word)
    return f", {said}" if said else ""


def explain(error: ValidationError, value: Any) -> str:
    """One line in the project's words for what pydantic found; the deepest, most specific complaint."""
    found = error.errors(include_url=False)
    inside = found[0]["loc"] if len(found) == 1 else ()
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in inside).lstrip(".")
    given = found[0]["input"] if len(found) == 1 and found[0]["type"] != "missing" else value
    # A union complains once per member; the wanted types together say more than any one of them.
    choices = [choice for item in found if item["type"] in _CHOICES for choice in _choices(item)]
    wanted = [_complaint(item) for item in found if item["type"] not in _CHOICES]
    if choices:
        wanted.insert(0, f"must be one of {listing(dict.fromkeys(choices), 60)}")
    if len(found) == 1 and found[0]["type"] == "value_error":
        return wanted[0]
    quoted = isinstance(given, str) and not choices and any(item["type"].endswith("_type") for item in found)
    got = json.dumps(one_line(given, 60), ensure_ascii=False) if quoted else show(given)
    hint = did_you_mean(given, choices).removeprefix(".") if choices and isinstance(given, str) else ""
    joined = " or ".join(dict.fromkeys(wanted)).replace(" or must be ", " or ")
    return f"{where + ': ' if where else ''}{joined} (got {got}){'.' + hint if hint else ''}"


_CHOICES = ("literal_error", "enum")


def _choices(item: Any) -> list[str]:
    return [choice.strip("'") for choice in str(item["ctx"]["expected"]).replace(" or ", ", ").split(", ")]


def show(value: Any, limit: int = 60) -> str:
    """A value as the file would hold it, cut to a line."""
    try:
        text = json.dumps(plain(value), ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    text = text[1:-1] if isinstance(value, str) and text == f'"{value}"' and value.strip() == value and value else text
    return text if len(text) <= limit else text[: limit - 3] + "..."


_COMPLAINTS = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be above {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be below {lt}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "path_type": "must be a path",
    "none_required": "must be empty",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "value_error": "{error}",
}


def _complaint(item: Any) -> str:
    pattern = _COMPLAINTS.get(item["type"])
    if pattern is None:
        return str(item["msg"][:1].lower() + item["msg"][1:])
    given = dict(item.get("ctx", {}))
    for name, value in given.items():
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
            given[name] = int(value)
    return pattern.format(**given)


class _Reader:
    """Builds a pydantic type from the JSON Schema that pydantic wrote."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.defs: dict[str, Any] = schema.get("$defs", {})
        self.open: set[str] = set()

    def type_of(self, schema: dict[str, Any]) -> Any:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            if name in self.open or name not in self.defs:  # recursive: the annotation decides at the run
                return Any
            self.open.add(name)
            try:
                return self.type_of(self.defs[name])
            finally:
                self.open.discard(name)
        if "enum" in schema:
            return Literal[tuple(schema["enum"])]
        if "const" in schema:
            return Literal[schema["const"]]
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return Union[tuple(self.type_of(option) for option in options)]  # noqa: UP007  built at run time
        form = schema.get("format", "")
        if form == "color":
            return Color
        read = getattr(self, f"_{schema.get('type')}", None)
        return read(schema, form) if read else Any

    def _string(self, schema: dict[str, Any], form: str) -> Any:
        if form.endswith("path"):
            return Annotated[Path, BeforeValidator(_path_text)]
        if form:
            return Any
        return _constrained(StrictStr, schema, min_length="minLength", max_length="maxLength", pattern="pattern")

    def _integer(self, schema: dict[str, Any], form: str) -> Any:
        return _constrained(StrictInt, schema, **_NUMERIC)

    def _number(self, schema: dict[str, Any], form: str) -> Any:
        strict = Annotated[float, Field(strict=True), AfterValidator(_a_number)]
        return _constrained(strict, schema, **_NUMERIC)

    def _boolean(self, schema: dict[str, Any], form: str) -> Any:
        return StrictBool

    def _null(self, schema: dict[str, Any], form: str) -> Any:
        return None

    def _array(self, schema: dict[str, Any], form: str) -> Any:
        if "prefixItems" in schema:
            return tuple[tuple(self.type_of(item) for item in schema["prefixItems"])]  # type: ignore[misc]  # run time
        item = self.type_of(schema.get("items", {}))
        return _constrained(list[item], schema, min_length="minItems", max_length="maxItems")  # type: ignore[valid-type]  # run time

    def _object(self, schema: dict[str, Any], form: str) -> Any:
        properties = schema.get("properties")
        if properties is None:
            extra = schema.get("additionalProperties", True)
            return dict[str, self.type_of(extra) if isinstance(extra, dict) else Any]  # type: ignore[misc]  # run time
        required = set(schema.get("required", ()))
        fields: dict[str, Any] = {}
        for index, (name, part) in enumerate(properties.items()):
            kind = self.type_of(part)
            # Field names are aliased, so that no property can shadow a method of the model.
            if name in required:
                fields[f"f{index}"] = (kind, Field(alias=name))
            else:
                default = part.get("default")
                fields[f"f{index}"] = (Optional[kind] if default is None else kind, Field(default, alias=name))  # noqa: UP045  built at run time
        others: Literal["forbid", "ignore"] = "forbid" if schema.get("additionalProperties") is False else "ignore"
        config = ConfigDict(extra=others, validate_default=True)
        model = create_model(schema.get("title", "Mapping"), __config__=config, **fields)
        return Annotated[model, _as_mapping(model)]


_NUMERIC = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}


def _constrained(kind: Any, schema: dict[str, Any], **names: str) -> Any:
    limits = {ours: schema[theirs] for ours, theirs in names.items() if theirs in schema}
    return Annotated[kind, Field(**limits)] if limits else kind


def _as_mapping(model: type[BaseModel]) -> Any:
    return AfterValidator(lambda value: value.model_dump(by_alias=True) if isinstance(value, model) else value)


def _a_number(value: float) -> float:
    if math.isnan(value):
        raise ValueError("must be a number (got NaN)")
    return value


def _path_text(value: Any) -> Any:
    if isinstance(value, str) and not value:
        raise ValueError('must be a path (got "")')
    if isinstance(value, str) and "\0" in value:
        raise ValueError("a path can't hold a NUL character")
    return value

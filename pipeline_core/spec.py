"""What does the file say? YAML or JSON into frozen models. No torch, no plugins.

A `Spec` is what the file says, not whether it makes sense: that is `graph`'s question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pipeline_core.document import Document, read_document
from pipeline_core.errors import MAX_PROBLEMS, TOO_MANY, Location, Problem, SpecError, did_you_mean, listing
from pipeline_core.garbage import held
from pipeline_core.schema import checker, explain, plain, show

MAX_SECTION = {"params": 1_000, "nodes": 10_000, "outputs": 1_000}
MAX_EXPANDED = 1 << 20
"""Characters that references may add to one value."""

Name = Annotated[str, StringConstraints(pattern=r"^[^\W\d][\w-]*$", max_length=200)]
CachePolicy = Literal["auto", "always", "never"]


_TYPES: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "path": {"type": "string", "format": "path"},
    "color": {"type": ["string", "array"], "format": "color"},
}


def _mistake(message: str) -> PydanticCustomError:
    return PydanticCustomError("mistake", "{message}", {"message": message})


def _links(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(part, str) for part in value)):
        return value
    raise _mistake("must be a link like 'node' or 'node.output', or a list of links")


def _limit(value: Any) -> Any:
    if value is None or type(value) in (int, float):
        return value
    raise _mistake(f"must be a number (got {show(value)})")


Limit = Annotated[int | float | None, PlainValidator(_limit, json_schema_input_type=float | None)]
Links = Annotated[str | list[str], PlainValidator(_links, json_schema_input_type=str | list[str])]
# One complaint for a bad value, where a union of types has one for each way in which it could have been good.


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ParamSpec(_Frozen):
    """A setting of the whole pipeline, given by the caller."""

    type: Literal["str", "int", "float", "bool", "path", "color"]
    default: Any = None
    minimum: Limit = None
    maximum: Limit = None
    choices: list[Any] | None = None
    help: str = ""

    @model_validator(mode="after")
    def _limits_fit(self) -> Self:
        limits = [limit for limit in (self.minimum, self.maximum) if limit is not None]
        if limits and self.type not in ("int", "float"):
            raise _mistake(f"'minimum' and 'maximum' are for int and float, not for {self.type}")
        if any(limit != limit or (self.type == "int" and limit % 1) for limit in limits):
            raise _mistake(f"the limits of {'an int' if self.type == 'int' else 'a float'} must be numbers like it")
        if len(limits) == 2 and limits[0] > limits[1]:
            raise _mistake(f"'minimum' {limits[0]} is above 'maximum' {limits[1]}")
        if self.choices is None:
            return self
        if limits or not self.choices:
            raise _mistake("'choices' can't be empty" if not limits else "'choices' and limits; give one of them")
        check = checker(_TYPES[self.type])
        for choice in self.choices:
            try:
                check(choice)
            except ValueError as error:
                raise _mistake(f"'choices': {error}") from None
        return self

    @property
    def required(self) -> bool:
        return "default" not in self.model_fields_set

    @property
    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of a value."""
        if self.choices:
            return {"enum": self.choices, "description": self.help}
        schema = dict(_TYPES[self.type])
        for name in ("minimum", "maximum"):
            if (limit := getattr(self, name)) is not None:
                schema[name] = limit
        return {**schema, "description": self.help}


class NodeSpec(_Frozen):
    """One use of an operation."""

    op: str
    inputs: dict[str, Links] = Field(default_factory=dict)
    params: dict[str, Any] = Field(default_factory=dict)
    cache: CachePolicy | None = None


class OutputSpec(_Frozen):
    """What is asked for: a link, and where to save it. `params` are those of the encoding operation."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    from_: str = Field(alias="from")
    path: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)


class Spec(_Frozen):
    """A whole pipeline as its file says it. `$schema` is for the editor and means nothing to a run."""

    pipeline: Literal[1]
    params: dict[Name, ParamSpec] = Field(default_factory=dict)
    nodes: dict[Name, NodeSpec]
    outputs: dict[Name, OutputSpec] = Field(default_factory=dict)
    editor_schema: str | None = Field(default=None, alias="$schema")

    _document: Document | None = PrivateAttr(default=None)
    _folder: Path = PrivateAttr(default=Path())
    _holes: frozenset[tuple[str, str]] = PrivateAttr(default=frozenset())

    @property
    def file(self) -> str:
        """The file's name as the user gave it; empty for a pipeline built in Python."""
        return self._document.file if self._document else ""

    @property
    def folder(self) -> Path:
        """What relative paths in the pipeline start from."""
        return self._folder

    @property
    def holes(self) -> frozenset[tuple[str, str]]:
        """(section, name) of what the file has but could not be read; to refer to it is no further mistake."""
        return self._holes

    def where(self, *path: str | int, key: bool = False) -> Location | None:
        """File, line and column of the value at `path` (`"nodes", "card", "params", "opacity"`), or of its key."""
        return self._document.locate(path, key=key) if self._document else None


def load_spec(path: str | Path) -> Spec:
    """The pipeline in a file. SpecError with every problem found, sorted by line."""
    spec, problems = read_spec(path)
    if problems or spec is None:
        raise SpecError(problems=problems)
    return spec


def read_spec(path: str | Path) -> tuple[Spec | None, list[Problem]]:
    """As much of the pipeline as can be read, and what is wrong with the rest, so that `check` can go on."""
    file = str(path)
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise SpecError(problems=[Problem("file not found", Location(file))]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(problems=[Problem(f"can't be read: {reason}", Location(file))]) from None
    return parse_spec(raw, file, folder=Path(path).parent)


@held()
def parse_spec(raw: bytes, file: str, *, folder: Path | None = None) -> tuple[Spec | None, list[Problem]]:
    """As `read_spec`, from bytes; `file` names them in messages and tells JSON by its ending."""
    document = read_document(raw, file)
    problems = list(document.problems)
    for section, most in MAX_SECTION.items():
        found = document.value.get(section) if isinstance(document.value, dict) else None
        if isinstance(found, dict) and len(found) > most:
            message = f"{len(found):,} {section}; a file may have {most:,}"
            raise SpecError(problems=[*problems, Problem(message, document.locate([section], key=True))])
    spec, holes = _read_models(document, problems)
    if spec is not None:
        spec._document, spec._folder, spec._holes = document, folder or Path(), frozenset(holes)
    return spec, problems


def spec_of(value: Mapping[str, Any], *, folder: Path | None = None) -> Spec:
    """The pipeline that plain values describe, as a file would hold them. SpecError with every problem."""
    problems: list[Problem] = []
    spec, _ = _read_models(Document(plain(value), ""), problems)
    if problems or spec is None:
        raise SpecError(problems=problems)
    spec._folder = folder or Path()
    return spec


def _read_models(document: Document, problems: list[Problem]) -> tuple[Spec | None, set[tuple[str, str]]]:
    value = document.value
    if not isinstance(value, dict):
        found = "is empty" if value is None else f"holds {show(value)}"
        message = f"a pipeline file is a mapping with 'pipeline: 1', 'nodes' and 'outputs', but this one {found}"
        raise SpecError(problems=[*problems, Problem(message, document.locate([]))])
    try:
        return Spec.model_validate(value), set()
    except ValidationError as error:
        items = error.errors(include_url=False)
        problems += [_problem(item, document) for item in items[:MAX_PROBLEMS]]
        if len(items) > MAX_PROBLEMS:
            raise SpecError(problems=[*problems, TOO_MANY]) from None
    # What is left when every part with a mistake is taken out, so that the rest can be checked too.
    rest: dict[str, Any] = {"pipeline": 1, "nodes": {}}
    holes: set[tuple[str, str]] = set()
    for section, model in (("params", ParamSpec), ("nodes", NodeSpec), ("outputs", OutputSpec)):
        part = value.get(section)
        if not isinstance(part, dict):
            continue
        good = rest[section] = {}
        for name, item in part.items():
            try:
                good[name] = model.model_validate(item)
                Spec.model_validate({"pipeline": 1, "nodes": {}, section: {name: good[name]}})
            except ValidationError:
                good.pop(name, None)
                holes.add((section, name))
    return Spec.model_validate(rest), holes


_SECTIONS = {"nodes": "node", "params": "param", "outputs": "output"}
_MODELS: dict[str, type[BaseModel]] = {"nodes": NodeSpec, "params": ParamSpec, "outputs": OutputSpec}


def _problem(item: Any, document: Document) -> Problem:
    is_key = item["loc"][-1:] == ("[key]",)  # how pydantic says that a mapping's key is wrong, not its value
    loc = list(item["loc"][:-1] if is_key else item["loc"])
    kind, last = item["type"], str(loc[-1]) if loc else ""
    owner = f"{_SECTIONS[loc[0]]} '{loc[1]}'" if len(loc) > 1 and loc[0] in _SECTIONS else ""
    inner = ".".join(str(part) for part in (loc[2:] if owner else loc))
    if kind == "missing":
        example = {"pipeline": "write 'pipeline: 1' at the top", "nodes": "a pipeline has nodes"}.get(last, "")
        message = f"'{last}' is missing{'; ' + example if example and not owner else ''}"
        return Problem(f"{owner}: {message}" if owner else message, document.locate(loc[:-1], key=bool(owner)))
    if kind == "extra_forbidden":
        model = _MODELS[loc[0]] if owner else Spec
        names = [f.alias or name for name, f in model.model_fields.items()]
        hint = did_you_mean(last, names) or f"; known are {listing(names)}"
        return Problem(f"{owner + ': ' if owner else ''}unknown key '{last}'{hint}", document.locate(loc, key=True))
    if is_key and kind != "missing":
        message = f"'{loc[-1]}' is no name: a name begins with a letter and has letters, digits, _ and -"
        return Problem(message, document.locate(loc, key=True))
    if kind == "mistake":
        subject = f"{owner}, input '{loc[3]}'" if len(loc) > 3 else f"{owner}, '{inner}'" if inner else owner
        return Problem(f"{subject}: {item['msg']}", document.locate(loc))
    if loc == ["pipeline"]:
        message = f"'pipeline' is the version of the file format and must be 1 (got {show(item['input'])})"
        return Problem(message, document.locate(loc))
    single = ValidationError.from_exception_data(
        "", [{"type": item["type"], "loc": (), "input": item["input"], "ctx": item.get("ctx", {})}]
    )
    subject = ", ".join(part for part in (owner, f"'{inner}'" if inner else "") if part)
    return Problem(f"{subject}: {explain(single, item['input'])}", document.locate(loc))


# --- references to pipeline params ----------------------------------------------------------------------------------

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}")


def substitute(value: Any, params: Mapping[str, Any]) -> Any:
    """`${name}` replaced in every string of a value; a whole-string reference keeps the param's type.

    `$${` stands for `${`. Raises ValueError that names an unknown param, or if the value grows out of all bounds.
    """
    room = MAX_EXPANDED

    def written(name: str) -> str:
        text = _format(_lookup(name, params))
        spend(len(text))
        return text

    def spend(count: int) -> None:
        nonlocal room
        room -= count
        if room < 0:
            raise ValueError(f"more than {MAX_EXPANDED:,} characters once the references are filled in")

    def fill(part: Any) -> Any:
        if isinstance(part, str):
            if "${" not in part:
                return part
            whole = _REFERENCE.fullmatch(part)
            if whole and whole.group(1) is not None:
                found = _lookup(whole.group(1), params)
                spend(len(found) if isinstance(found, str) else 0)
                return found
            return _REFERENCE.sub(lambda m: "${" if m.group(1) is None else written(m.group(1)), part)
        if isinstance(part, dict):
            return {key: fill(inner) for key, inner in part.items()}
        if isinstance(part, list):
            return [fill(inner) for inner in part]
        return part

    return fill(value)


def references(value: Any) -> set[str]:
    """The params that a value refers to."""
    if isinstance(value, str):
        return {match.group(1) for match in _REFERENCE.finditer(value) if match.group(1) is not None}
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*(references(part) for part in parts))


def _lookup(name: str, params: Mapping[str, Any]) -> Any:
    if name not in params:
        known = f"; the pipeline's params are {listing(params)}" if params else "; the pipeline has no params"
        raise ValueError(f"no param '{name}' for ${{{name}}}{did_you_mean(name, params) or known}")
    return params[name]


def _format(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value) if isinstance(value, (int, float)) else show(value)


def given_params(spec: Spec, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The value of every pipeline param: given, else its default; and what is wrong with the others, which have none.

    A relative path that was given is taken from the working directory; one in the file from the file's folder.
    """
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    for name in given:
        if name not in spec.params:
            known = f"; it has {listing(spec.params)}" if spec.params else "; it has none"
            problems.append(Problem(f"the pipeline has no param '{name}'{did_you_mean(name, spec.params) or known}"))
    for name, param in spec.params.items():
        if name not in given and param.required:
            place = spec.where("params", name, key=True)
            problems.append(Problem(f"param '{name}' has no default and was not given", place))
        elif name not in given and param.default is None:
            values[name] = None
        else:
            try:
                value = checker(param.json_schema)(plain(given[name]) if name in given else param.default)
                if isinstance(value, Path):
                    value = str(Path.cwd() / expand_home(value)) if name in given else str(value)
                values[name] = list(value) if isinstance(value, tuple) else value
            except ValueError as error:
                place = None if name in given else spec.where("params", name, "default")
                problems.append(Problem(f"param '{name}': {error}", place))
    return values, problems


def expand_home(path: Path) -> Path:
    """`~/x` as the user's folder means it. ValueError where there is no such user."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"no home folder for '{path.parts[0]}'") from None

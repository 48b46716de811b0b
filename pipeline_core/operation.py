"""An operation is a plain typed function: what comes before the `*` is wired, what comes after it is set.

`read` turns a function into an `Operation`: a description that fits into JSON (the catalogue on disk holds it) and,
where the plugin is loaded, the function itself. Everything else derives from it: validation, help, schema, keys.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, overload

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic refuses typing's before Python 3.12

from pipeline_core.errors import PluginError
from pipeline_core.schema import Color, checker, explain, plain, schema_of

Function = TypeVar("Function", bound=Callable[..., Any])
CachePolicy = Literal["auto", "always", "never"]
Batch = Literal["items", "set"]
Support = float | Callable[..., Any]
EMPTY = inspect.Parameter.empty

CORE_KINDS = dict.fromkeys(("Image", "Mask", "ImageSet", "Table", "File"), "pipeline_core.image") | {
    "Model": "pipeline_core.model"
}
"""The core's own kinds, and where each is defined."""


@dataclass(frozen=True)
class Facts:
    """What a signature can't hold; `@operation(...)` leaves it on the function."""

    version: int = 1
    support: Support | None = None
    device: Literal["cpu"] | None = None
    cache: CachePolicy = "auto"
    infer: Callable[..., Any] | None = None
    aliases: tuple[str, ...] = ()
    batch: Batch = "items"
    rows: Callable[..., Any] | None = None


@overload
def operation(function: Function) -> Function: ...
@overload
def operation(
    *,
    version: int = 1,
    support: Support | None = None,
    device: Literal["cpu"] | None = None,
    cache: CachePolicy = "auto",
    infer: Callable[..., Any] | None = None,
    aliases: tuple[str, ...] = (),
    batch: Batch = "items",
    rows: Callable[..., Any] | None = None,
) -> Callable[[Function], Function]: ...
def operation(function: Any = None, **facts: Any) -> Any:
    """Facts about an operation that its signature can't hold. All are optional, and so is the decorator.

    version  raised when the same inputs give other pixels than before
    support  which input pixels one output pixel needs: 0 pointwise; a radius; a function of the params; absent: all
    device   "cpu" for an operation that can't run on an accelerator
    cache    "always" or "never" keep results on disk, against the engine's own judgement ("auto")
    infer    same signature as the operation; takes and gives stand-ins (`image.like(...)`, `Image.stand_in`) to say
             size, channels, colour and alpha before anything runs. Absent: a pointwise operation is tried on one
             pixel, any other on torch's meta device
    aliases  names under which people from other programs look for it
    batch    "set" where a batch is one thing, such as what a network learns from; else every picture is on its own
    rows     how it is carried out a few rows at a time where `support` can't say it: a change of size or place, a file
             that is read or written. Same signature as `infer`; gives `Rows`, `RowFile` or None
    """

    def mark(target: Any) -> Any:
        target.__operation__ = Facts(**facts)
        return target

    return mark if function is None else mark(function)


@dataclass(frozen=True)
class Input:
    """A named place where a value enters. `kinds` holds more than one where the operation takes either."""

    name: str
    kinds: tuple[str, ...]
    optional: bool = False
    many: bool = False


@dataclass(frozen=True)
class Param:
    """A named setting. `default` is canonical JSON; `required` params have none."""

    name: str
    schema: dict[str, Any]
    required: bool
    default: Any = None

    @property
    def help(self) -> str:
        return str(self.schema.get("description", ""))


@dataclass(frozen=True)
class Output:
    """A named place where a value leaves. `like` names the input whose kind this output has, where they vary."""

    name: str
    kind: str
    like: str | None = None


@dataclass(frozen=True)
class Operation:
    """What a plugin offers."""

    name: str
    plugin: str
    plugin_version: str
    doc: str
    inputs: tuple[Input, ...]
    params: tuple[Param, ...]
    outputs: tuple[Output, ...]
    version: int = 1
    device: Literal["cpu"] | None = None
    cache: CachePolicy = "auto"
    pointwise: bool = False
    tiles: bool = False
    aliases: tuple[str, ...] = ()
    source: str = ""
    function: Callable[..., Any] | None = field(default=None, compare=False, repr=False)

    @property
    def summary(self) -> str:
        return self.doc.partition("\n")[0]

    @property
    def facts(self) -> Facts:
        return getattr(self.function, "__operation__", Facts())

    def output(self, name: str | None) -> int | None:
        """The position of an output; the first where no name is given; None where there is no such output."""
        if name is None:
            return 0
        return next((i for i, output in enumerate(self.outputs) if output.name == name), None)

    def arguments(self, values: Mapping[str, Sequence[Any]]) -> list[Any]:
        """The values of inputs in the order in which the function, or its rule, takes them."""
        ordered: list[Any] = []
        for wanted in self.inputs:
            found = values.get(wanted.name, ())
            if wanted.many:
                ordered.append(None if wanted.optional and not found else list(found))
            else:
                ordered.append(found[0] if found else None)
        return ordered

    def to_json(self) -> dict[str, Any]:
        found = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "function"}
        for name in ("inputs", "params", "outputs"):
            found[name] = [dataclasses.asdict(part) for part in found[name]]
        return found

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Operation:
        given = dict(found)
        given["inputs"] = tuple(Input(**{**part, "kinds": tuple(part["kinds"])}) for part in given["inputs"])
        given["params"] = tuple(Param(**part) for part in given["params"])
        given["outputs"] = tuple(Output(**part) for part in given["outputs"])
        given["aliases"] = tuple(given["aliases"])
        return cls(**given)


def kind_name(kind: type) -> str:
    """How a kind is named in an `Operation`: `Image` for the core's own, `module:Name` for a plugin's."""
    return (
        kind.__name__ if CORE_KINDS.get(kind.__name__) == kind.__module__ else f"{kind.__module__}:{kind.__qualname__}"
    )


_HUMP = re.compile("(?<=[a-z])(?=[A-Z])")


def show_kind(name: str) -> str:
    """A kind's name for people: `Image`, `Deep Image`."""
    return _HUMP.sub(" ", name.rpartition(":")[2])


def a_kind(shown: str) -> str:
    """With its article: `an image`, `a Mask`."""
    return f"an {shown}" if shown[:1].lower() in "aeiou" else f"a {shown}"


def is_kind(annotation: Any) -> bool:
    """A kind is a frozen dataclass."""
    parameters = getattr(annotation, "__dataclass_params__", None)
    return isinstance(annotation, type) and parameters is not None and parameters.frozen


def read(function: Callable[..., Any], *, plugin: str, plugin_version: str = "0") -> Operation:
    """The operation that a function is. PluginError, with the line and what to write instead, if it breaks the rule."""
    return _Signature(function, plugin).operation(plugin_version)


def support_radius(operation: Operation, params: Mapping[str, Any]) -> float:
    """The radius that `support` gives for these params; infinite where it does not say. Needs a loaded operation."""
    support = operation.facts.support
    found = support(**params) if callable(support) else support
    return math.inf if found is None else float(found)


def bind(operation: Operation, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Canonical params as the function's own annotations want them (enum members, models); ValueError if they refuse."""
    assert operation.function is not None, "bind needs a loaded operation"
    adapter = _adapter(operation.function)
    if adapter is None:
        return params
    try:
        bound: dict[str, Any] = adapter.validate_python(dict(params))
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0]) if error.errors()[0]["loc"] else ""
        raise ValueError(f"param '{name}': {explain(error, params.get(name))}") from None
    return bound


_ADAPTERS: dict[Any, TypeAdapter[dict[str, Any]] | None] = {}


def _adapter(function: Callable[..., Any]) -> TypeAdapter[dict[str, Any]] | None:
    if function not in _ADAPTERS:
        hints = typing.get_type_hints(function, include_extras=True)
        set_ones = {
            name: hints[name]
            for name, parameter in inspect.signature(function).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        if all(_arrives_as_written(hint) for hint in set_ones.values()):
            _ADAPTERS[function] = None
        else:
            _ADAPTERS[function] = TypeAdapter(TypedDict("Params", set_ones))  # type: ignore[operator]  # run time
    return _ADAPTERS[function]


def _arrives_as_written(hint: Any) -> bool:
    """Whether the canonical value is already what the function wants: no enum, model or validator of the author's."""
    if hint == Color or hint in (int, float, str, bool, type(None), Path, Any):
        return True
    origin = get_origin(hint)
    if origin is Literal:
        return not any(isinstance(value, Enum) for value in get_args(hint))
    if origin in (Union, types.UnionType, list):
        return all(_arrives_as_written(part) for part in get_args(hint))
    if origin is typing.Annotated:
        plain_metadata = all(
            type(m).__module__.split(".")[0] in ("pydantic", "annotated_types") for m in hint.__metadata__
        )
        validators = any("Validator" in type(m).__name__ for m in hint.__metadata__)
        return plain_metadata and not validators and _arrives_as_written(get_args(hint)[0])
    return False


class _Signature:
    """Reads one function; every complaint names the plugin, the place and the mend."""

    def __init__(self, function: Callable[..., Any], plugin: str) -> None:
        self.function, self.plugin = function, plugin
        if not callable(function) or not hasattr(function, "__name__"):
            raise PluginError(f"plugin '{plugin}': operations() must return functions, not {function!r}")
        self.name = function.__name__
        try:
            self.hints = typing.get_type_hints(function, include_extras=True)
        except NameError as error:
            self.refuse(
                f"an annotation can't be read: {error}",
                "import the type at the top of the module, not under TYPE_CHECKING",
            )
        except Exception as error:  # annotations are code
            self.refuse(f"an annotation can't be read: {type(error).__name__}: {error}", "annotate with types")

    def refuse(self, what: str, instead: str) -> typing.NoReturn:
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        place = f" ({code.co_filename.rpartition('/')[2]}:{code.co_firstlineno})" if code else ""
        raise PluginError(f"plugin '{self.plugin}': operation '{self.name}'{place}: {what}; {instead}")

    def operation(self, plugin_version: str) -> Operation:
        doc = inspect.getdoc(self.function) or ""
        if not doc.strip():
            self.refuse("it has no docstring", "write one: its first line is the summary in the catalogue")
        if inspect.iscoroutinefunction(self.function) or inspect.isgeneratorfunction(self.function):
            self.refuse("it is async or a generator", "write a plain 'def' that returns its result")
        inputs: list[Input] = []
        params: list[Param] = []
        variables: dict[Any, str] = {}
        for parameter in self.signature(self.function).parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:
                self.refuse(
                    f"'*{parameter.name}' takes any number of values",
                    f"write '{parameter.name}: list[Image]' before a bare '*'",
                )
            if parameter.kind is parameter.VAR_KEYWORD:
                self.refuse(f"'**{parameter.name}' can't be validated", "name every param after the '*', with its type")
            if parameter.name not in self.hints:
                example = "float = 1.0" if parameter.kind is parameter.KEYWORD_ONLY else "Image"
                self.refuse(f"'{parameter.name}' has no annotation", f"write '{parameter.name}: {example}'")
            if parameter.kind is parameter.KEYWORD_ONLY:
                params.append(self.param(parameter))
            else:
                inputs.append(self.input(parameter, variables))
        facts = self.facts(inputs, params)
        return Operation(
            name=self.name,
            plugin=self.plugin,
            plugin_version=plugin_version,
            doc=doc.strip(),
            inputs=tuple(inputs),
            params=tuple(params),
            outputs=self.outputs(variables),
            version=facts.version,
            device=facts.device,
            cache=facts.cache,
            pointwise=facts.support == 0,
            tiles=facts.support is not None or facts.rows is not None,
            aliases=facts.aliases,
            function=self.function,
        )

    def signature(self, function: Callable[..., Any]) -> inspect.Signature:
        try:
            return inspect.signature(function)
        except (TypeError, ValueError) as error:
            self.refuse(f"its signature can't be read: {error}", "offer a plain Python function")

    def facts(self, inputs: Sequence[Input], params: Sequence[Param]) -> Facts:
        facts: Facts = getattr(self.function, "__operation__", Facts())
        if type(facts.version) is not int or facts.version < 1:
            self.refuse(f"version={facts.version!r}", "write a whole number from 1 on")
        if facts.cache not in get_args(CachePolicy):
            self.refuse(f"cache={facts.cache!r}", "write 'auto', 'always' or 'never'")
        if facts.device not in (None, "cpu"):
            self.refuse(f"device={facts.device!r}", "write 'cpu', or leave it out")
        if facts.batch not in get_args(Batch):
            self.refuse(f"batch={facts.batch!r}", "write 'items' or 'set'")
        if isinstance(facts.aliases, str) or not all(isinstance(alias, str) for alias in facts.aliases):
            self.refuse(f"aliases={facts.aliases!r}", "write a tuple of names")
        for name, rule, wired in (
            ("infer", facts.infer, inputs),
            ("support", facts.support, ()),
            ("rows", facts.rows, inputs),
        ):
            if callable(rule):
                try:
                    self.signature(rule).bind(*wired, **{param.name: param for param in params})
                except TypeError as error:
                    takes = "the params" if name == "support" else "the inputs and params"
                    self.refuse(f"its '{name}' rule can't be called: {error}", f"let it take {takes} of the operation")
        return facts

    def input(self, parameter: inspect.Parameter, variables: dict[Any, str]) -> Input:
        name, hint = parameter.name, self.hints[parameter.name]
        listed = [part for part in self.members(hint) if get_origin(part) is list]
        many = bool(listed)
        may_be_none = type(None) in self.members(hint)
        if many:
            hint = get_args(listed[0])[0]
        optional = parameter.default is not EMPTY
        if optional and parameter.default is not None:
            self.refuse(
                f"input '{name}' has a default that is not None",
                f"write '{name}: Image | None = None', or move it after the '*'",
            )
        kinds = [part for part in self.members(hint) if part is not type(None)]
        wrong = next((kind for kind in kinds if not is_kind(kind)), None)
        if wrong is not None or not kinds:
            shown = getattr(wrong, "__name__", str(wrong))
            if isinstance(wrong, type) and dataclasses.is_dataclass(wrong):
                self.refuse(
                    f"input '{name}' is a {shown}, which is not frozen", "write '@dataclass(frozen=True)' on the kind"
                )
            self.refuse(
                f"'{name}' comes before the '*', so it is an input, but {shown} is not a kind",
                f"move it after the '*': 'def {self.name}(..., *, {name}: {shown})', or annotate it with Image, Mask, ...",
            )
        if may_be_none and not optional:
            self.refuse(f"input '{name}' may be None but has no default", f"write '{name}: ... | None = None'")
        if isinstance(hint, TypeVar):
            variables.setdefault(hint, name)
        return Input(name, tuple(kind_name(kind) for kind in kinds), optional, many)

    def param(self, parameter: inspect.Parameter) -> Param:
        name, hint = parameter.name, self.hints[parameter.name]
        if any(is_kind(part) and kind_name(part) in CORE_KINDS for part in self.members(hint)):
            self.refuse(
                f"'{name}' comes after the '*', so it is a param, but {hint} travels on links", "move it before the '*'"
            )
        try:
            schema = schema_of(hint)
            if parameter.default is EMPTY:
                return Param(name, schema, required=True)
            TypeAdapter(hint).validate_python(parameter.default)
            default = plain(parameter.default)
            json.dumps(default)  # TypeError: what a file can't hold
            checker(schema)(default)
            return Param(name, schema, required=False, default=default)
        except (ValueError, ValidationError) as error:
            reason = explain(error, parameter.default) if isinstance(error, ValidationError) else str(error)
            self.refuse(f"the default of param '{name}' does not fit its type: {reason}", "change one of them")
        except Exception as error:  # pydantic has a family of errors for types it can't handle
            self.refuse(
                f"param '{name}' has a type that can't be written in a file: {str(error).splitlines()[0]}",
                "use int, float, bool, str, Path, Literal, an Enum, Color, list, tuple or a pydantic model",
            )

    def outputs(self, variables: dict[Any, str]) -> tuple[Output, ...]:
        hint = self.hints.get("return", EMPTY)
        if hint is EMPTY or hint is type(None):
            self.refuse("it does not say what it returns", "write '-> Image', or a NamedTuple of kinds")
        if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
            parts = typing.get_type_hints(hint)
            return tuple(self.output(name, parts[name], variables) for name in hint._fields)
        return (self.output(None, hint, variables),)

    def output(self, name: str | None, hint: Any, variables: dict[Any, str]) -> Output:
        if isinstance(hint, TypeVar):
            like = variables.get(hint)
            if like is None:
                self.refuse(f"it returns {hint}, but no input has that type", "annotate an input with it too")
            return Output(name or like, kind_name(self.members(hint)[0]), like)
        if not is_kind(hint):
            self.refuse(
                f"it returns {getattr(hint, '__name__', hint)}, which is not a kind",
                "return Image, Mask, ... or a NamedTuple of kinds",
            )
        return Output(name or hint.__name__.lower(), kind_name(hint))

    def members(self, hint: Any) -> tuple[Any, ...]:
        if isinstance(hint, TypeVar):
            return hint.__constraints__ or ((hint.__bound__,) if hint.__bound__ else ())
        if get_origin(hint) in (Union, types.UnionType):
            return tuple(part for member in get_args(hint) for part in self.members(member))
        if get_origin(hint) is typing.Annotated:
            return self.members(get_args(hint)[0])
        return (hint,)

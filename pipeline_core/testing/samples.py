"""Small values and params that an operation can be tried with, made from its signature alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from pipeline_core.examples import example_value, given_examples
from pipeline_core.image import FULL_SCALE, Alpha, File, Image, ImageSet, Mask, Table
from pipeline_core.keys import canonical, paths_in
from pipeline_core.operation import Operation, Param
from pipeline_core.schema import checker, plain

WIDTH, HEIGHT = 40, 32
"""Large enough for a small neighbourhood, small enough for thousands of runs."""


@dataclass(frozen=True)
class Form:
    """A state in which an image may arrive."""

    channels: str = "RGB"
    dtype: str = "float32"
    alpha: Alpha = "none"
    wrap: bool = False

    def __str__(self) -> str:
        words = [self.channels, self.dtype, self.alpha if self.alpha != "none" else "", "tiling" if self.wrap else ""]
        return " ".join(word for word in words if word)


FORMS = (
    Form(),
    Form("RGBA", "uint8", "straight"),
    Form("RGBA", "float32", "associated"),
    Form("Y", "uint16"),
    Form("RGBZ"),
    Form("RGB", wrap=True),
)


@dataclass(frozen=True)
class Trial:
    """One way to call an operation: kinds for the inputs that are given, and canonical params."""

    form: Form
    kinds: Mapping[str, str]
    many: frozenset[str]
    params: Mapping[str, Any]
    note: str = ""
    own: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        inputs = f" of {self.form}" if "Image" in self.kinds.values() else ""
        given = ", ".join(self.kinds) or "no inputs"
        return f"{given}{inputs}{'; ' + self.note if self.note else ''}"

    def inputs(self, item: int = 0) -> dict[str, list[Any]]:
        """Fresh values; the same again for the same `item`, other pixels for another."""
        return {
            name: [
                make_value(kind, self.form, f"{name} {i} {item}", self.own)
                for i in range(2 if name in self.many else 1)
            ]
            for name, kind in self.kinds.items()
        }


def make_value(kind: str, form: Form, seed: str, own: Mapping[str, Sequence[Any]]) -> Any:
    """A value of a kind: taken from `own`, the core's else made up. LookupError where there is none."""
    rng = np.random.default_rng(crc32(seed.encode()))
    wrap = (form.wrap, form.wrap)
    if kind in own:
        return own[kind][crc32(seed.encode()) % len(own[kind])]
    if kind == "Image":
        return Image(_pixels(form, rng), channels=tuple(form.channels), alpha=form.alpha, wrap=wrap)
    if kind == "Mask":
        coverage = (rng.random((1, HEIGHT, WIDTH, 1)) * 3 - 1).clip(0, 1)  # a third outside, a third inside, soft edges
        return Mask(_stored(coverage, form.dtype), wrap=wrap)
    if kind == "Table":
        return Table(("name", "value"), (("a", 1), ("b", float(rng.random()))))
    if kind == "ImageSet":
        return ImageSet({name: make_value("Image", form, f"{seed} {name}", own) for name in ("one", "two")})
    if kind == "File":
        return File(rng.bytes(100))
    raise LookupError(kind)


def _pixels(form: Form, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    shape = (1, HEIGHT, WIDTH, len(form.channels))
    down, across = np.ogrid[:HEIGHT, :WIDTH]
    disc = (((down - HEIGHT / 2) ** 2 + (across - WIDTH / 2) ** 2) < (HEIGHT / 4) ** 2)[None, ..., None]
    pixels = rng.random(shape) * 0.5 + disc * 0.5  # noise, and something to be found in it
    if form.dtype in FULL_SCALE:
        return _stored(pixels, form.dtype)
    pixels = pixels * 1.6 - 0.1  # light above 1 and a little below 0 are values like others
    if form.alpha != "none":
        alpha = (rng.random((*shape[:3], 1)) * 3 - 1).clip(0, 1)
        pixels = np.concatenate([pixels[..., :-1] * (alpha if form.alpha == "associated" else 1), alpha], axis=-1)
    return _stored(pixels, form.dtype)


def _stored(pixels: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    return np.rint(pixels * FULL_SCALE[dtype]).astype(dtype) if dtype in FULL_SCALE else pixels.astype(dtype)


def sample_files(folder: str | Path) -> tuple[Path, Path]:
    """Two small pictures for params that name a file: RGBA, 8 bits, PNG."""
    from PIL import Image as Picture

    paths = Path(folder) / "one.png", Path(folder) / "two.png"
    for path in paths:
        pixels = _stored(np.random.default_rng(crc32(path.name.encode())).random((HEIGHT, WIDTH, 4)), "uint8")
        Picture.fromarray(pixels).save(path)
    return paths


# --- trials ---------------------------------------------------------------------------------------------------------


def trials(
    operation: Operation, file: Path, params: Mapping[str, Any], own: Mapping[str, Sequence[Any]]
) -> Iterator[Trial]:
    """Every form of the inputs with the plain params, with and without the optional inputs; then other params.

    Each other choice or number of one param meets two of the forms, and all forms have their turn.
    """
    first, *others = param_sets(operation, file, params)
    for kinds in _kinds(operation, own):
        forms = FORMS if "Image" in kinds.values() else (FORMS[0], FORMS[1], FORMS[-1]) if kinds else FORMS[:1]
        many = frozenset(part.name for part in operation.inputs if part.many)
        required = {part.name: kinds[part.name] for part in operation.inputs if not part.optional}
        for form in forms:
            yield Trial(form, kinds, many, first[1], own=own)
            if len(required) < len(kinds):
                yield Trial(form, required, many, first[1], own=own)
        for i, (note, chosen) in enumerate(others):
            for form in dict.fromkeys((forms[i % len(forms)], forms[(i + 2) % len(forms)])):
                yield Trial(form, kinds, many, chosen, note, own)


def _kinds(operation: Operation, own: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, str]]:
    """Kinds for all inputs; more than once where they take several kinds."""
    known = {"Image", "Mask", "ImageSet", "Table", "File", *own}
    choices: list[list[tuple[str, str]]] = []
    for part in operation.inputs:
        makeable = [kind for kind in part.kinds if kind in known]
        if makeable:
            choices.append([(part.name, kind) for kind in makeable])
        elif not part.optional:
            return
    for i in range(max(map(len, choices), default=1)):
        yield dict(options[min(i, len(options) - 1)] for options in choices)


def param_sets(operation: Operation, file: Path, given: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(what is special, canonical params): first the plain ones, then others with one param changed.

    Every choice of a param that has a few, and one other number or colour for a param that has a default.
    """
    checks = {param.name: checker(param.schema) for param in operation.params}
    start = {p.name: checks[p.name](plain(given.get(p.name, _start(p, file)))) for p in operation.params}
    found = [("", start)]
    for param in operation.params:
        if param.name not in given:
            found += [(f"{param.name}={value}", {**start, param.name: value}) for value in _others(param, start)]
    return found


def _others(param: Param, start: Mapping[str, Any]) -> list[Any]:
    now = start[param.name]
    check = checker(param.schema)
    few = [check(choice) for choice in choices(param.schema)]
    if few or param.required or isinstance(now, (str, Path)):
        return [value for value in few if value != now]
    other = changed(param, now, (Path(), Path()))
    return [] if other is now else [other]


def _start(param: Param, file: Path) -> Any:
    if param.required or given_examples(param.schema):
        return example_value(param.name, param.schema, (WIDTH, HEIGHT), str(file))
    return param.default


def choices(schema: Mapping[str, Any]) -> list[Any]:
    """The values of a param that has a few: enums, literals, truth values."""
    if "$ref" in schema:
        return choices(schema.get("$defs", {}).get(schema["$ref"].rpartition("/")[2], {}))
    if schema.get("type") == "boolean":
        return [False, True]
    found = list(schema.get("enum", ())) + ([schema["const"]] if "const" in schema else [])
    return found + [choice for option in schema.get("anyOf", ()) for choice in choices(option)]


def changed(param: Param, value: Any, files: tuple[Path, Path]) -> Any:
    """Another canonical value of a param; the same one where there is no other."""
    check = checker(param.schema)
    digests = {path: str(i) for i, path in enumerate(files)}
    for other in _nearby(param, value, files):
        try:
            made = check(plain(other))
        except ValueError:
            continue
        if any(path not in digests for path in paths_in([made, value])):
            return value  # a file of the author's: there is no other like it
        if canonical(made, digests) != canonical(value, digests):
            return made
    return value


def _nearby(param: Param, value: Any, files: tuple[Path, Path]) -> Iterator[Any]:
    yield from choices(param.schema)
    if isinstance(value, bool):
        return
    if isinstance(value, (int, float)):
        yield from (value + 1, value - 1, value / 2, value + 0.25, value - 0.25)
        yield from (value + param.schema.get("multipleOf", 0), value - param.schema.get("multipleOf", 0))
    elif isinstance(value, Path):
        yield files[1]
    elif isinstance(value, str):
        yield from (value + "x", value[:-1])
    elif isinstance(value, (list, tuple)):
        for i, part in enumerate(value):
            for other in itertools.islice(_nearby(Param(param.name, {}, True), part, files), 4):
                yield [*value[:i], other, *value[i + 1 :]]
        yield [*value, *value[-1:]]
    yield from (example_value(param.name, param.schema, (WIDTH, HEIGHT), str(files[0])), None, 0, 1, 0.5, "#102030")

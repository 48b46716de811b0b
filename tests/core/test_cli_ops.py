"""`pipeline ops`, `plugins`, `schema` and `completion`: what is installed, told without importing any of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline_core.document import read_document
from pipeline_core.errors import GraphError, Problem
from pipeline_core.examples import example_node, example_value, example_yaml
from pipeline_core.file_schema import file_schema
from pipeline_core.graph import build
from pipeline_core.image import File, Image, Mask, Table
from pipeline_core.plugins import Catalogue, catalogue
from pipeline_core.schema import checker
from pipeline_core.spec import Spec, parse_spec

ROOT = Path(__file__).parents[2]
PIPELINES = sorted(path for path in (ROOT / "pipelines").glob("*") if path.suffix in (".yaml", ".json"))

WATCHED = """
import sys
from pipeline_core.cli import main
try:
    main()
finally:
    heavy = sorted(name for name in sys.modules if name in ("torch", "numpy", "cv2") or name in sys.argv[0].split(","))
    sys.stderr.write(f"imported: {heavy}")
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def offered(cache: Path) -> Catalogue:
    return catalogue(cache / "catalogue")


def pipeline(cache: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PIPELINE_CACHE": str(cache), "COLUMNS": "100", **environment}
    command = [sys.executable, "-c", "from pipeline_core.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def install(folder: Path, module: str, source: str) -> None:
    """A plugin of one module, installed in a folder that is put on the path."""
    (folder / f"{module}.py").write_text(source)
    facts = folder / f"{module}-2.1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 2.1\n")
    (facts / "entry_points.txt").write_text(f"[pipeline_core]\n{module} = {module}\n")


OTHER = '''
from typing import Annotated, Literal

from pydantic import Field

from pipeline_core import Image, Mask, Unit, hookimpl, operation


def flip(image: Image) -> Image:
    """Another flip."""
    return image


@operation(version=3, aliases=("haze", "mist"))
def veil(
    base: Image,
    tops: list[Image],
    mask: Mask | None = None,
    *,
    radius: Annotated[int, Field(ge=1, le=9, description="pixels")],
    shape: Literal["round", "square"] = "round",
    amount: Unit = 0.5,
    limit: float | None = None,
) -> Image:
    """Hang a thin cloth before a picture.

    Light from behind comes through.
    """
    return base


@hookimpl
def operations():
    return [flip, veil]
'''

VEIL = """\
veil  (pipeline_other 2.1, version 3)
also known as haze, mist

Hang a thin cloth before a picture.

Light from behind comes through.

inputs
  base             image
  tops             list of image
  mask             mask, optional

params
  radius           int, 1 to 9; required
                   pixels
  shape            one of round, square; default round
  amount           float, 0 to 1; default 0.5
  limit            float or nothing; default nothing

outputs
  image            image

example
  veil:
    op: veil
    inputs: {base: base, tops: [tops]}
    params: {radius: 2}
"""


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user with a broken plugin, and one that offers a name of ours among others."""
    folder = tmp_path_factory.mktemp("others")
    install(folder, "pipeline_broken", "import no_such_module\n")
    install(folder, "pipeline_other", OTHER)
    return {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


# --- ops ---


def test_ops_lists_names_and_summaries_by_plugin(cache: Path, offered: Catalogue) -> None:
    said = pipeline(cache, "ops")
    blocks = {block.splitlines()[0]: block for block in said.stdout.rstrip().split("\n\n")}
    assert said.returncode == 0
    for operation in offered:
        (line,) = [line for line in blocks[operation.plugin].splitlines() if line.split()[0] == operation.name]
        assert line.endswith(operation.summary)


def test_ops_with_a_name_shows_everything(cache: Path, others: Mapping[str, str]) -> None:
    assert pipeline(cache, "ops", "veil", **others).stdout == VEIL


def test_ops_json_is_for_programs(cache: Path, others: Mapping[str, str]) -> None:
    veil = json.loads(pipeline(cache, "ops", "veil", "--json", **others).stdout)
    assert [part["name"] for part in veil["params"] if part["required"]] == ["radius"]
    assert [(part["kinds"], part["optional"], part["many"]) for part in veil["inputs"]] == [
        (["Image"], False, False), (["Image"], False, True), (["Mask"], True, False),
    ]  # fmt: skip
    assert veil["params"][2]["default"] == 0.5
    assert veil["params"][2]["type"] == "float, 0 to 1"
    every = json.loads(pipeline(cache, "ops", "--json", **others).stdout)
    assert veil in every["operations"]
    assert every["broken"]["pipeline_broken"] == "No module named 'no_such_module'"


def test_an_unknown_name_exits_2_and_says_what_is_near(cache: Path, others: Mapping[str, str]) -> None:
    said = pipeline(cache, "ops", "viel", **others)
    assert said.returncode == 2
    assert said.stderr.startswith("unknown operation 'viel'. Did you mean 'veil'?")
    assert "It is called 'veil' here" in pipeline(cache, "ops", "mist", **others).stderr


@pytest.mark.parametrize("words", ["veil", "THIN cloth", "mis cloth"])
def test_search_takes_operations_that_have_all_words(cache: Path, others: Mapping[str, str], words: str) -> None:
    found = json.loads(pipeline(cache, "ops", "--search", words, "--json", **others).stdout)["operations"]
    assert [operation["name"] for operation in found] == ["veil"]


def test_search_says_when_there_is_nothing(cache: Path) -> None:
    assert pipeline(cache, "ops", "--search", "zzz").stdout.startswith("no operation has 'zzz' in its name")
    assert pipeline(cache, "ops", "crop", "--search", "x").returncode == 2


def test_broken_and_doubled_plugins_are_named_at_the_end(cache: Path, others: Mapping[str, str]) -> None:
    said = pipeline(cache, "ops", **others)
    assert said.returncode == 0
    assert "plugin 'pipeline_broken' did not load: No module named 'no_such_module'" in said.stderr
    assert "Write 'pipeline_other.flip' or 'pipeline_transform.flip'" in said.stderr
    assert pipeline(cache, "ops", "pipeline_other.flip", **others).stdout.startswith("flip  (pipeline_other 2.1,")


# --- plugins ---


def test_plugins_says_where_each_comes_from(cache: Path, others: Mapping[str, str]) -> None:
    lines = pipeline(cache, "plugins", **others).stdout.splitlines()
    rows = {line.split()[0]: line.split() for line in lines}
    assert rows["pipeline_other"] == ["pipeline_other", "pipeline-other", "2.1", "installed", "2"]
    assert rows["pipeline_broken"][-3:] == ["did", "not", "load"]
    assert rows["pipeline_io"][1] == "pipeline-core"
    assert any(line.startswith("operation 'flip' is offered by 2 plugins: ") for line in lines)
    told = json.loads(pipeline(cache, "plugins", "--json", **others).stdout)
    problems = {plugin["name"]: plugin["problem"] for plugin in told["plugins"]}
    assert problems["pipeline_broken"] == "No module named 'no_such_module'"
    assert problems["pipeline_io"] is None
    assert told["conflicts"] == {"flip": ["pipeline_other", "pipeline_transform"]}


def test_plugins_says_whose_kernels_are_built(cache: Path, others: Mapping[str, str], compiled: None) -> None:
    told = json.loads(pipeline(cache, "plugins", "--json", **others).stdout)
    kernels = {plugin["name"]: plugin["kernels"] for plugin in told["plugins"]}
    assert kernels["pipeline_compose"] == "built"
    assert kernels["pipeline_measure"] is kernels["pipeline_other"] is None  # have none
    assert "built" in pipeline(cache, "plugins", **others).stdout


# --- schema ---


@pytest.fixture(scope="module")
def validator(offered: Catalogue) -> jsonschema.Draft202012Validator:
    schema = file_schema(offered)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def read(path: Path) -> Any:
    return read_document(path.read_bytes(), path.name).value


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.name)
def test_every_pipeline_of_the_project_is_valid(validator: jsonschema.Draft202012Validator, path: Path) -> None:
    assert [error.message for error in validator.iter_errors(read(path))] == []


def card(**changes: Any) -> dict[str, Any]:
    """A pipeline in which one thing is as given: `card(cut__params__x=-1)`."""
    made: dict[str, Any] = {
        "pipeline": 1,
        "params": {"size": {"type": "int", "default": 4, "minimum": 1}},
        "nodes": {
            "ground": {"op": "constant", "params": {"width": "${size}", "height": 8, "color": [0, 0.5, "${size}"]}},
            "cut": {"op": "crop", "inputs": {"image": "ground"}, "params": {"x": 0, "y": 0, "width": 2, "height": 2}},
            "turned": {"op": "pipeline_transform.flip", "inputs": {"image": "cut.image"}, "cache": "never"},
        },
        "outputs": {"card": {"from": "turned", "path": "out/card.PNG", "params": {"compression": 9}}},
    }
    for place, value in changes.items():
        *path, last = full(place)
        inside = made
        for part in path:
            inside = inside[part]
        inside[last] = value
    return made


def full(place: str) -> list[str]:
    """Where `cut__params__x` is in a file."""
    path = place.split("__")
    return ["nodes", *path] if len(path) > 1 and path[0] not in ("params", "outputs") else path


def checked(offered: Catalogue, made: dict[str, Any]) -> list[Problem]:
    """What `check` says to a pipeline."""
    spec, problems = parse_spec(json.dumps(made).encode(), "card.json")
    assert spec is not None
    try:
        build(spec, offered, known=problems)
    except GraphError as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ground__params__color": "#ff8000"},
        {"cut__params__x": "${size}"},
        {"params__ext": {"type": "str", "default": "png"}, "outputs__card__path": "out/${size}.${ext}"},
        {"outputs__card__path": None, "outputs__card__params": {"any": 1}},
        {"params__größe": {"type": "float", "default": 1}},
        {"params__size": {"type": "int", "default": 4, "choices": [4, 8]}},
    ],
)
def test_the_schema_takes_what_check_takes(
    validator: jsonschema.Draft202012Validator, offered: Catalogue, changes: Mapping[str, Any]
) -> None:
    assert checked(offered, card(**changes)) == []
    assert [error.message for error in validator.iter_errors(card(**changes))] == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("pipeline", 2),
        ("extra", 1),
        ("params__size__type", "integer"),
        ("params__9size", {"type": "int"}),
        ("cut__op", "croop"),
        ("cut__inputs", {}),
        ("cut__inputs__image", ["ground"]),
        ("cut__inputs__picture", "ground"),
        ("cut__inputs__image", "a.b.c"),
        ("cut__params__x", -1),
        ("cut__params__x", 1.5),
        ("cut__params__x", "left"),
        ("cut__params__z", 1),
        ("cut__params", {"x": 1}),
        ("cut__cache", "sometimes"),
        ("turned__params", {"axis": 1}),
        ("ground__params__color", [1, 2]),
        ("ground__params__channels", "RGBY"),
        ("outputs__card", {"path": "x.png"}),
        ("outputs__card__path", "out/card.pong"),
        ("outputs__card__params", {"qualty": 3}),
        ("outputs__card__params", {"compression": 12}),
    ],
)
def test_the_schema_refuses_mistakes(
    validator: jsonschema.Draft202012Validator, offered: Catalogue, place: str, value: Any
) -> None:
    made = card(**{place: value})
    found = [list(error.absolute_path) for error in validator.iter_errors(made)]
    where = full(place)
    assert checked(offered, made)
    assert any(path in (where, where[:-1]) for path in found), found


def test_schema_tells_editors_help_and_defaults(offered: Catalogue) -> None:
    fields = file_schema(offered)["$defs"]["op pipeline_transform.pad"]["properties"]
    mode = fields["params"]["properties"]["mode"]
    assert (mode["description"], mode["default"]) == ("what the new pixels show", "constant")
    assert fields["inputs"]["required"] == ["image"]


def test_definitions_of_models_and_enums_stay_apart() -> None:
    from enum import Enum

    from pydantic import BaseModel

    class Side(Enum):
        left = "left"
        right = "right"

    class Box(BaseModel):
        side: Side
        width: int

    def boxed(*, box: Box, boxes: list[Box] = []) -> Image:  # noqa: B006  never called
        """Boxes."""
        raise NotImplementedError

    boxed.__annotations__ = {"box": Box, "boxes": list[Box], "return": Image}
    check = jsonschema.Draft202012Validator(file_schema(Catalogue.of([boxed], plugin="p")))

    def errors(**params: Any) -> list[str]:
        nodes = {"a": {"op": "boxed", "params": params}}
        return [error.message for error in check.iter_errors({"pipeline": 1, "nodes": nodes})]

    assert errors(box={"side": "left", "width": "${w}"}, boxes=["${box}", {"side": "${side}", "width": 2}]) == []
    assert errors(box={"side": "top", "width": 1})
    assert errors(box={"side": "left", "width": 1}, boxes=[{"side": "left"}])


def test_schema_is_written_whole_or_not_at_all(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.schema.json"
    done = pipeline(cache, "schema", "-o", str(path))
    assert done.returncode == 0
    assert path.read_text(encoding="utf-8") == pipeline(cache, "schema").stdout
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    refused = pipeline(cache, "schema", "-o", str(tmp_path / "missing" / "x.json"))
    assert refused.returncode == 2
    assert refused.stderr.endswith("No such file or directory\n")


# --- completion ---


def test_completion_prints_the_line_of_the_shell(cache: Path) -> None:
    assert pipeline(cache, "completion", "bash").stdout == 'eval "$(_PIPELINE_COMPLETE=bash_source pipeline)"\n'
    assert pipeline(cache, "completion", SHELL="/usr/bin/fish").stdout.startswith("_PIPELINE_COMPLETE=fish_source")
    unknown = pipeline(cache, "completion", SHELL="/bin/tcsh")
    assert unknown.returncode == 2
    assert "bash, zsh, fish" in unknown.stderr


@pytest.mark.parametrize(
    ("words", "position", "wanted"),
    [
        ("pipeline pl", 1, {"plain,plan", "plain,plugins"}),
        ("pipeline ops checkerb", 2, {"plain,checkerboard"}),
        ("pipeline completion z", 2, {"plain,zsh"}),
    ],
)
def test_the_shell_completes_commands_and_operations(cache: Path, words: str, position: int, wanted: set[str]) -> None:
    asked = {"_PIPELINE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(position)}
    assert set(pipeline(cache, **asked).stdout.split()) == wanted


# --- examples ---


def frame(offered: Catalogue) -> tuple[Catalogue, dict[str, Any]]:
    """The operations, and a node giving each kind."""

    def give_image() -> Image:
        """An image."""
        raise NotImplementedError

    def give_mask() -> Mask:
        """A mask."""
        raise NotImplementedError

    def give_table() -> Table:
        """A table."""
        raise NotImplementedError

    def give_file() -> File:
        """A file."""
        raise NotImplementedError

    for function, kind in ((give_image, Image), (give_mask, Mask), (give_table, Table), (give_file, File)):
        function.__annotations__ = {"return": kind}
    with_sources = Catalogue(dict(offered.operations), _by_plugin=dict(offered._by_plugin))
    with_sources.add([give_image, give_mask, give_table, give_file], plugin="test")
    return with_sources, {kind: {"op": f"give_{kind.lower()}"} for kind in ("Image", "Mask", "Table", "File")}


def test_every_example_is_a_good_node(offered: Catalogue, validator: jsonschema.Draft202012Validator) -> None:
    with_sources, sources = frame(offered)
    for operation in offered:  # a plugin's own kind comes from an operation that needs no input
        needs_none = all(part.optional for part in operation.inputs)
        if needs_none and (kind := operation.outputs[0].kind) not in sources:
            sources[kind] = example_node(operation)
    for operation in offered:
        node = example_node(operation)
        assert read_document(example_yaml(operation).encode(), "x.yaml").value == {operation.name: node}
        nodes = {"it": node}
        for part in operation.inputs:
            link = node.get("inputs", {}).get(part.name, [])
            nodes |= dict.fromkeys([link] if isinstance(link, str) else link, sources[part.kinds[0]])
        spec = {"pipeline": 1, "nodes": nodes, "outputs": {"out": {"from": "it"}}}
        build(Spec.model_validate(spec), with_sources)
        alone = {"pipeline": 1, "nodes": {"it": node}}
        assert list(validator.iter_errors(alone)) == [], operation.name


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 4, "multipleOf": 8}, 8),
        ({"type": "number", "minimum": 0, "maximum": 1}, 0.5),
        ({"type": "number", "exclusiveMaximum": 0}, -0.001),
        ({"type": "string", "minLength": 6}, "text__"),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
        ({"type": "array", "items": {"const": 3}, "minItems": 2}, [3, 3]),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"enum": ["x", "y"]}}}, "x"),
        ({"anyOf": [{"type": "integer", "examples": [640]}, {"type": "null"}]}, 640),
    ],
)
def test_example_values_fit_their_schema(schema: dict[str, Any], wanted: Any) -> None:
    found = example_value("count", schema)
    assert found == wanted
    checker(schema)(found)


def test_an_example_does_not_feed_itself() -> None:
    def mask(mask: Mask) -> Mask:
        """Itself."""
        raise NotImplementedError

    mask.__annotations__ = {"mask": Mask, "return": Mask}
    assert example_yaml(Catalogue.of([mask]).find("mask")) == "mask:\n  op: mask\n  inputs: {mask: mask_in}"


# --- weight ---


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cold")


@pytest.mark.parametrize(
    ("arguments", "warm"),
    [
        (["ops", "crop"], False),
        (["ops"], True),
        (["ops", "crop"], True),
        (["ops", "--json"], True),
        (["plugins"], True),
        (["schema"], True),
        (["completion", "bash"], True),
    ],
)
def test_no_command_imports_torch_numpy_or_a_plugin(
    cold: Path, cache: Path, offered: Catalogue, arguments: list[str], warm: bool
) -> None:
    watched = ",".join(plugin.name for plugin in offered.plugins)
    code = WATCHED.replace("sys.argv[0]", repr(watched))
    environment = {**os.environ, "PIPELINE_CACHE": str(cache if warm else cold)}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0
    assert done.stderr.endswith("imported: []")

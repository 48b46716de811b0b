"""What README and docs/ show is run: pipelines checked, commands and Python executed, lists compared with the code.

How a block is treated follows from its language:

    yaml      a pipeline file where it has `pipeline: 1`: must be good, unless its first line says "(has mistakes)". A first
              line `# name.yaml` writes it to the folder that the other blocks of the page run in. Else: must be YAML.
    json      a pipeline file; must be good
    toml      must be TOML
    console   lines after `$ ` are run; the lines below must be among what the command says. Times, sizes and keys may
              differ; `...` stands for anything.
    python    is run; a comment behind a `print(...)` is what it prints
    c         is compiled by tests/core/test_kernels.py
    text, or under `<!-- not run: reason -->`: nothing is done

`<!-- file: path -->` above a block says that it is that file, word for word.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

import pipeline_core
from pipeline_core.cli import COMMANDS, group

ROOT = Path(__file__).parents[1]
GENERATED = {"operations.md"}
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if path.name not in GENERATED
)
LANGUAGES = {"yaml", "json", "toml", "console", "python", "text", "sh", "c"}
_BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    mark: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def runs(self) -> bool:
        return not self.mark.startswith("not run: ")

    @property
    def name(self) -> str:
        """The file name in a first line like `# card.yaml`, or nothing."""
        found = re.match(r"# ([\w.-]+\.(?:yaml|json))\b", self.text)
        return found[1] if found else ""


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start("text")), found["mark"] or "", found["language"], found["text"])
        for found in _BLOCK.finditer(text)
    ]


def of(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language in languages and block.runs]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of somebody who reads on: the lessons, the photographs, and what earlier blocks wrote."""
    folder = tmp_path_factory.mktemp("reader")
    runpy.run_path(str(ROOT / "pipelines" / "photos.py"))["copy_photos"](folder / "photos")
    for path in (ROOT / "pipelines").glob("*.yaml"):
        shutil.copyfile(path, folder / path.name)
    for block in of("yaml"):
        if block.name:
            (folder / block.name).write_text(block.text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.chdir(folder)
        yield folder


def test_every_block_says_what_it_is() -> None:
    found = [block for page in PAGES for block in blocks(page)]
    assert len(found) > 20
    assert [str(block) for block in found if block.language not in LANGUAGES] == []
    assert [str(block) for block in found if block.language == "sh" and block.runs] == [], "use console, or say why not"
    names = [block.name for block in found if block.name]
    assert len(names) == len(set(names)), "two blocks write one file"


@pytest.mark.parametrize("block", of("yaml", "json"), ids=str)
def test_pipelines_are_good(block: Block, reader: Path) -> None:
    found = json.loads(block.text) if block.language == "json" else yaml.safe_load(block.text)
    if not isinstance(found, dict) or "pipeline" not in found:
        return
    file = reader / f"block.{block.language}"
    file.write_text(block.text, encoding="utf-8")
    problems = pipeline_core.check(file)
    if "(has mistakes)" in block.text.partition("\n")[0]:
        assert problems
    else:
        assert problems == []


@pytest.mark.parametrize("block", of("toml"), ids=str)
def test_toml_is_toml(block: Block) -> None:
    assert tomllib.loads(block.text)


@pytest.mark.parametrize("block", of("console"), ids=str)
def test_commands_say_what_is_shown(block: Block, reader: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        command, _, shown = part.partition("\n")
        done = subprocess.run(
            ["bash", "-c", command], cwd=reader, env=environment, text=True, timeout=300, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said = [_masked(line) for line in done.stdout.splitlines()]
        for line in shown.splitlines():
            wanted = _masked(line)
            assert wanted in said or _matches(wanted, said), (
                f"{block}: '{command}' does not say {line!r}:\n{done.stdout}"
            )


def _masked(line: str) -> str:
    """A line without what differs from run to run: times, sizes, keys, and the width of columns."""
    line = re.sub(r"\b\d+(\.\d+)? (ms|s|B|KiB|MiB|GiB)\b", "N", line)
    line = re.sub(r"\b[0-9a-f]{12}\b", "KEY", line)
    return " ".join(line.split())


def _matches(wanted: str, said: list[str]) -> bool:
    return "..." in wanted and any(fnmatchcase(line, wanted.replace("[", "[[]").replace("...", "*")) for line in said)


@pytest.mark.parametrize("block", [block for block in of("python") if not block.mark], ids=str)
def test_python_runs_and_prints_what_is_shown(block: Block, reader: Path) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block.text, str(block), "exec"), {"__name__": "page"})
    assert out.getvalue().splitlines() == re.findall(r"^print\(.*\)  # (.*)$", block.text, re.M)


def test_files_are_shown_word_for_word() -> None:
    shown = [block for page in PAGES for block in blocks(page) if block.mark.startswith("file: ")]
    assert len(shown) >= 3
    for block in shown:
        assert block.text == (ROOT / block.mark.removeprefix("file: ")).read_text(encoding="utf-8"), str(block)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_options_that_are_named_exist(page: str) -> None:
    """Every `--option` in the text belongs to the command, and so does every `pipeline word`."""
    import click

    context = click.Context(group)
    commands = {name: group.get_command(context, name) for name in COMMANDS}
    options = {
        "--help",
        "--version",
        *_options(group),
        *(o for command in commands.values() for o in _options(command)),
    }
    text = _without_other_tools((ROOT / page).read_text(encoding="utf-8"))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - options == set()
    assert set(re.findall(r"(?:`|\$ )pipeline ([a-z-]+)", text)) - set(COMMANDS) == set()


def _options(command: object) -> set[str]:
    params = [*getattr(command, "params", ())]
    for inner in getattr(command, "commands", {}).values():
        params += inner.params
    return {option for param in params for option in param.opts + param.secondary_opts}


def _without_other_tools(text: str) -> str:
    return re.sub(r"(pip|ruff|pytest|git|rsync|cp|python -m)\b[^`\n]*", "", text)


def test_readme_shows_exactly_two_commands_to_set_up() -> None:
    setting_up = [block for block in blocks("README.md") if block.language == "sh"]
    assert [block.text.splitlines() for block in setting_up] == [["make demo", "make test"]]
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^demo:", makefile, re.M)
    assert re.search(r"^test:", makefile, re.M)
    assert re.search(r"^make test$", (ROOT / ".ci" / "run").read_text(), re.M)


def test_readme_names_every_command() -> None:
    table = re.findall(r"^\| `pipeline ([\w-]+)", (ROOT / "README.md").read_text(), re.M)
    assert sorted(table) == sorted(COMMANDS)


def test_design_names_every_module() -> None:
    text = (ROOT / "docs" / "design.md").read_text()
    package = ROOT / "pipeline_core"
    modules = {path.name for path in package.glob("*.py")} | {path.name for path in (package / "cache").glob("*.py")}
    folders = {f"{path.parent.name}/" for path in package.rglob("__init__.py")} - {"pipeline_core/"}
    named = set(re.findall(r"`(?:\w+/)*(\w+(?:\.py|/))`", text))
    assert modules | folders <= named
    assert {name for name in named if name.endswith(".py")} <= modules


def test_the_limits_are_those_of_the_code() -> None:
    from pipeline_core import document, errors, spec

    text = (ROOT / "docs" / "pipeline-files.md").read_text()
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([\d,]+)", text, re.M))
    assert {name: int(number.replace(",", "")) for name, number in rows.items()} == {
        "size of the file": document.MAX_BYTES >> 20,
        "nesting": document.MAX_DEPTH,
        "aliases": document.MAX_ALIASES,
        "values, with aliases counted in full": document.MAX_VALUES,
        "keys of one mapping": document.MAX_KEYS,
        "characters of one text": document.MAX_TEXT,
        "digits of a number": document.MAX_DIGITS,
        **spec.MAX_SECTION,
        "problems that are told": errors.MAX_PROBLEMS,
    }


def test_the_tables_of_keys_are_those_of_the_models() -> None:
    from pipeline_core.spec import NodeSpec, OutputSpec, ParamSpec

    text = (ROOT / "docs" / "pipeline-files.md").read_text()
    for title, model in (("## Nodes", NodeSpec), ("## Outputs", OutputSpec), ("## Params and references", ParamSpec)):
        section = text[text.index(title) :].split("\n## ")[0]
        named = {name for row in re.findall(r"^\| (`[^|]*) \|", section, re.M) for name in re.findall(r"`(\w+)`", row)}
        assert named == {field.alias or name for name, field in model.model_fields.items()}


def test_the_exit_codes_are_those_of_the_command() -> None:
    assert "0 done" in (group.help or "")
    readme = " ".join((ROOT / "README.md").read_text().split())
    for code, meaning in re.findall(r"(\d+) ([^,.]+)", re.search(r"Exit codes: ([^.]+)\.", group.help or "")[1]):  # type: ignore[index]  # it is there
        assert f"{code} {meaning}" in readme


def test_the_project_names_no_place_of_its_makers() -> None:
    """No absolute path of a machine, no registry, in what people read."""
    for page in [*PAGES, "Makefile", "constraints.txt", "pyproject.toml", ".ci/run"]:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.])/(home|root|tmp|work|Users)/", text), page
        assert not re.search(r"index-url|://[^\s/]*pypi|pythonhosted", text), page

"""The architecture is a test: imports run one way, and every contract is proven to fail when it is violated."""

from __future__ import annotations

import ast
import configparser
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline_core

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PLUGINS = sorted(PROJECT["project"]["entry-points"]["pipeline_core"].values())


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--config", str(root / ".importlinter")],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "plugins")])},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("pipeline_core", "plugins"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / ".importlinter", folder)
    return folder


def test_the_contracts_are_kept() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


VIOLATIONS = {
    "errors imports image": ("pipeline_core/errors.py", "import pipeline_core.image", "Imports run one way"),
    "image imports operation": ("pipeline_core/image.py", "from pipeline_core.operation import read", "Imports run one way"),
    "operation imports plugins": ("pipeline_core/operation.py", "from pipeline_core import plugins", "Imports run one way"),
    "spec imports operation": ("pipeline_core/spec.py", "from pipeline_core.operation import read", "Imports run one way"),
    "plugins imports graph": ("pipeline_core/plugins.py", "from pipeline_core.graph import build", "Imports run one way"),
    "graph imports the cache": ("pipeline_core/graph.py", "import pipeline_core.cache.disk", "Imports run one way"),
    "the cache imports graph": ("pipeline_core/cache/disk.py", "import pipeline_core.graph", "Imports run one way"),
    "plan imports run": ("pipeline_core/plan.py", "def late():\n    from pipeline_core.run import execute", "Imports run one way"),
    "run imports cli": ("pipeline_core/run.py", "import pipeline_core.cli.tables", "Imports run one way"),
    "a module without a place": ("pipeline_core/misplaced.py", "x = 1", "Imports run one way"),
    "the library imports a plugin": ("pipeline_core/image.py", "import pipeline_io", "The library never imports a plugin"),
    "the command imports a plugin": ("pipeline_core/cli/run.py", "def late():\n    import pipeline_draw", "The library never imports a plugin"),
    "a plugin imports another": ("plugins/pipeline_draw/paint.py", "from pipeline_io import operations", "No plugin imports another"),
}  # fmt: skip


@pytest.mark.parametrize("case", VIOLATIONS)
def test_a_violated_contract_fails(case: str, copy: Path) -> None:
    name, line, contract = VIOLATIONS[case]
    file = copy / name
    before = file.read_bytes() if file.exists() else None
    try:
        file.write_text((before or b"").decode() + f"\n{line}\n")
        done = lint(copy)
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_bytes(before)
    assert done.returncode == 1, done.stdout + done.stderr
    verdicts = " ".join(done.stdout.partition("Broken contracts")[0].split())
    assert f"{contract}" in verdicts
    assert "BROKEN" in verdicts.partition(contract)[2].split("KEPT")[0]


def test_the_contracts_name_every_plugin() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    for section, option in (
        ("importlinter", "root_packages"),
        ("importlinter:contract:core-knows-no-plugin", "forbidden_modules"),
        ("importlinter:contract:plugins-apart", "modules"),
    ):
        assert sorted(set(config[section][option].split()) - {"pipeline_core"}) == PLUGINS
    assert sorted(path.name for path in (ROOT / "plugins").glob("*/__init__.py") for path in [path.parent]) == PLUGINS


# --- the front door -------------------------------------------------------------------------------------------------


def behind_the_door(source: str) -> Iterator[str]:
    """What a plugin's source imports of the library, other than the names that the front door lists."""
    for part in ast.walk(ast.parse(source)):
        if isinstance(part, ast.Import):
            yield from (alias.name for alias in part.names if alias.name.startswith("pipeline_core."))
        elif isinstance(part, ast.ImportFrom) and (part.module or "").startswith("pipeline_core."):
            yield str(part.module)
        elif isinstance(part, ast.ImportFrom) and part.module == "pipeline_core":
            yield from (alias.name for alias in part.names if alias.name not in pipeline_core.__all__)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_uses_the_front_door_alone(plugin: str) -> None:
    for file in (ROOT / "plugins" / plugin).rglob("*.py"):
        assert list(behind_the_door(file.read_text())) == [], file.name


@pytest.mark.parametrize(
    "line",
    [
        "from pipeline_core.operation import read", "import pipeline_core.image", "from pipeline_core import plugins",
        "from pipeline_core import *", "def f():\n    from pipeline_core.cache import Cache",
    ],
)  # fmt: skip
def test_a_plugin_that_goes_round_the_house_is_found(line: str) -> None:
    assert list(behind_the_door(f"from pipeline_core import Image, operation\n{line}\n")) != []


def test_modules_have_names_that_say_something() -> None:
    refused = {"manager", "engine", "handler", "helper", "helpers", "util", "utils", "context", "process", "data", "obj", "common", "base", "misc"}  # fmt: skip
    files = [*(ROOT / "pipeline_core").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    assert [file for file in files if file.stem.strip("_") in refused] == []
    classes = {
        part.name.strip("_").lower()
        for file in files
        for part in ast.walk(ast.parse(file.read_text()))
        if isinstance(part, ast.ClassDef)
    }
    assert classes & refused == set()

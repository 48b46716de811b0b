"""Plugins as strangers install them: found, read once, remembered; a broken one costs only its own operations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from pipeline_core import PluginError, installed, plugins
from pipeline_core.plugins import catalogue, import_operations

GOOD = '''
from pipeline_core import Image, hookimpl

def glow(image: Image, *, amount: float = 1.0) -> Image:
    """Glow."""
    return image.with_array(image.array * amount)

def source(*, size: int = 2) -> Image:
    """A source."""
    import numpy as np
    return Image(np.full((1, size, size, 3), 0.5, np.float32))

@hookimpl
def operations():
    return [glow, source]
'''


class Site:
    """A folder with distributions that were never installed, in front of the import path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()

    def add(
        self,
        name: str,
        code: str,
        *,
        version: str = "1.0",
        editable: bool = False,
        record: str = "",
        metadata: bool = True,
    ) -> None:
        (self.folder / f"{name}.py").write_text(textwrap.dedent(code))
        info = self.folder / f"{name}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "entry_points.txt").write_text(f"[pipeline_core]\n{name} = {name}\n")
        if metadata:
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text(record)
        if editable:
            (info / "direct_url.json").write_text(json.dumps({"url": "file:///x", "dir_info": {"editable": True}}))

    def remove(self, name: str, version: str = "1.0") -> None:
        for file in (self.folder / f"{name}-{version}.dist-info").iterdir():
            file.unlink()
        (self.folder / f"{name}-{version}.dist-info").rmdir()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Only what the test adds is installed, here and in the processes that read plugins."""
    made = Site(tmp_path / "site")
    monkeypatch.syspath_prepend(str(made.folder))
    monkeypatch.setattr(installed, "GROUP", "pipeline_core")
    real = installed.importlib.metadata.entry_points
    mine = str(made.folder)

    def only_mine(**given: Any) -> Any:
        return [e for e in real(**given) if e.dist is not None and str(e.dist.locate_file("")) == mine]

    monkeypatch.setattr(installed.importlib.metadata, "entry_points", only_mine)
    return made


@pytest.fixture
def forget(site: Site) -> Callable[[], None]:
    """Makes this process see what changed on disk."""

    def run() -> None:
        import importlib

        importlib.invalidate_caches()
        from pipeline_core import sources

        sources._locations.cache_clear()
        sources._is_local.cache_clear()

    return run


def test_a_plugin_is_found_and_read_without_being_imported_here(site: Site, tmp_path: Path) -> None:
    site.add("strangers_glow", GOOD)
    found = catalogue(tmp_path / "c")
    assert sorted(found.operations) == ["glow", "source"]
    assert "strangers_glow" not in sys.modules
    assert [(p.name, p.distribution, p.version, p.operations) for p in found.plugins] == [
        ("strangers_glow", "strangers_glow", "1.0", ("glow", "source"))
    ]
    assert found.operations["glow"].plugin_version == "1.0"


def test_it_is_read_once_until_it_changes(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]
) -> None:
    reads: list[list[str]] = []
    real = plugins._read_apart
    monkeypatch.setattr(plugins, "_read_apart", lambda names: reads.append(list(names)) or real(names))  # type: ignore[func-returns-value]
    site.add("pa", GOOD, editable=True)
    site.add("pb", GOOD.replace("glow", "gleam").replace("source", "origin"), record="pb.py,sha256=1,10\n")
    first = catalogue(tmp_path / "c")
    catalogue(tmp_path / "c")
    assert [names for names in reads if names] == [["pa", "pb"]]

    site.add("pa", GOOD + "\n# one byte more\n", editable=True)
    forget()
    second = catalogue(tmp_path / "c")
    assert reads[-1] == ["pa"]
    assert first.operations["glow"].source != second.operations["glow"].source

    site.remove("pb")
    site.add("pb", GOOD.replace("glow", "gleam").replace("source", "origin"), version="1.1")
    forget()
    assert catalogue(tmp_path / "c").operations["gleam"].plugin_version == "1.1"
    assert reads[-1] == ["pb"]

    site.add(
        "pb", GOOD.replace("glow", "shimmer").replace("source", "origin"), version="1.1", record="pb.py,sha256=2,11\n"
    )
    forget()
    assert "shimmer" in catalogue(tmp_path / "c").operations  # installed anew under its old version
    assert reads[-1] == ["pb"]


def test_a_helper_module_of_an_editable_plugin_counts(site: Site, tmp_path: Path, forget: Callable[[], None]) -> None:
    (site.folder / "glow_maths.py").write_text("FACTOR = 2\n")
    site.add("pa", "import glow_maths\n" + GOOD, editable=True)
    before = catalogue(tmp_path / "c").operations["glow"].source
    assert catalogue(tmp_path / "c").operations["glow"].source == before
    (site.folder / "glow_maths.py").write_text("FACTOR = 3\n")
    forget()
    assert catalogue(tmp_path / "c").operations["glow"].source != before


BROKEN = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "misses": ("import heavy_thing_that_is_not_there", "No module named 'heavy_thing_that_is_not_there'"),
    "syntax": ("def (", "SyntaxError"),
    "exits": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "ends": ("import os; os._exit(7)", "importing it ended the process (exit code 7)"),
    "crashes": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "importing it ended the process (exit code -11)"),
    "hookless": ("x = 1", "it offers nothing; write '@hookimpl def operations(): return [...]'"),
    "hook_raises": ("from pipeline_core import hookimpl\n@hookimpl\ndef operations(): raise KeyError('x')", "its hook failed: KeyError: 'x'"),
    "hook_gives_none": ("from pipeline_core import hookimpl\n@hookimpl\ndef operations(): return None", "it offers nothing"),
    "hook_gives_number": ("from pipeline_core import hookimpl\n@hookimpl\ndef operations(): return 3", "its hook failed: TypeError"),
    "hook_gives_text": ("from pipeline_core import hookimpl\n@hookimpl\ndef operations(): return ['x']", "operations() must return functions, not 'x'"),
    "wrong_hook": ("from pipeline_core import hookimpl\n@hookimpl\ndef operation(): return []", "its hook failed"),
    "hook_with_argument": ("from pipeline_core import hookimpl\n@hookimpl\ndef operations(x): return []", "its hook failed"),
    "breaks_the_rule": (GOOD.replace("image: Image, *", "image, *"), "operation 'glow' (breaks_the_rule.py:4): 'image' has no annotation"),
    "twice": (GOOD.replace("[glow, source]", "[glow, glow]"), "it offers 'glow' twice"),
    "many_lines": ("raise RuntimeError('a\\nb\\x1b[31m')", "RuntimeError: a\\nb\\x1b[31m"),
}  # fmt: skip


def test_broken_plugins_cost_only_their_own_operations(site: Site, tmp_path: Path) -> None:
    for name, (code, _) in BROKEN.items():
        site.add(name, code)
    site.add("good", "print('noise without an end', end='')\n" + GOOD)
    found = catalogue(tmp_path / "c")
    assert sorted(found.operations) == ["glow", "source"]
    problems = {plugin.name: plugin.problem for plugin in found.broken}
    assert sorted(problems) == sorted(BROKEN)
    for name, (_, wanted) in BROKEN.items():
        assert wanted in problems[name], name
        assert "\n" not in problems[name]


def test_a_broken_plugin_is_named_where_its_operation_is_missed(site: Site, tmp_path: Path) -> None:
    site.add("heavy", "import heavy_thing_that_is_not_there")
    found = catalogue(tmp_path / "c")
    with pytest.raises(PluginError, match=r"unknown operation 'bloom' \(plugin 'heavy' did not load: No module named"):
        found.find("bloom")


def test_a_plugin_that_hangs_is_given_up(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "IMPORT_SECONDS", 3)
    site.add("hangs", "import time; time.sleep(600)")
    site.add("worthy", GOOD)
    started = time.monotonic()
    found = catalogue(tmp_path / "c")
    assert time.monotonic() - started < 20
    assert "importing it took more than 3 s" in found.broken[0].problem
    assert "glow" in found.operations


def test_one_name_in_two_plugins(site: Site, tmp_path: Path) -> None:
    site.add("one", GOOD)
    site.add("two", GOOD)
    found = catalogue(tmp_path / "c")
    assert found.operations == {}
    with pytest.raises(PluginError, match=r"offered by two plugins: one, two\. Write 'one\.glow' or 'two\.glow'"):
        found.find("glow")
    assert found.find("two.glow").plugin == "two"
    assert found.load(found.find("one.glow")).function is not found.load(found.find("two.glow")).function


def test_names_from_other_programs_are_told_ours(site: Site, tmp_path: Path) -> None:
    code = GOOD.replace("def glow", "@operation(aliases=('Bloom',))\ndef glow").replace(
        "import Image", "import operation, Image"
    )
    site.add("one", code)
    with pytest.raises(PluginError, match=r"unknown operation 'bloom'\. It is called 'glow' here"):
        catalogue(tmp_path / "c").find("bloom")


def test_damaged_metadata_harms_nothing(site: Site, tmp_path: Path) -> None:
    site.add("bare", GOOD, metadata=False)
    (site.folder / "bare-1.0.dist-info" / "direct_url.json").write_text("{not json")
    assert "glow" in catalogue(tmp_path / "c").operations


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff", b'{"operations": 3}', b'{"operations": [{}]}'])
def test_a_damaged_catalogue_is_read_anew(site: Site, tmp_path: Path, damage: bytes) -> None:
    site.add("one", GOOD)
    catalogue(tmp_path / "c")
    (file,) = (tmp_path / "c").iterdir()
    file.write_bytes(damage)
    assert "glow" in catalogue(tmp_path / "c").operations


def test_a_folder_that_can_not_be_written_costs_time_only(site: Site, tmp_path: Path) -> None:
    site.add("one", GOOD)
    (tmp_path / "c").write_text("a file, not a folder")
    assert "glow" in catalogue(tmp_path / "c").operations


def test_files_beside_the_user_are_no_modules_of_ours(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("one", GOOD)
    (tmp_path / "here").mkdir()
    for name in ("blake3", "pydantic", "one", "pluggy"):
        (tmp_path / "here" / f"{name}.py").write_text("raise RuntimeError('taken from the working directory')")
    monkeypatch.chdir(tmp_path / "here")
    assert "glow" in catalogue(tmp_path / "c").operations


def test_what_import_gives_is_what_the_catalogue_says(site: Site, tmp_path: Path) -> None:
    site.add("glow_once", GOOD)
    found = catalogue(tmp_path / "c")
    imported = import_operations("glow_once")
    assert imported["glow"].inputs == found.operations["glow"].inputs
    assert imported["glow"].params == found.operations["glow"].params
    assert found.load(found.operations["source"]).function is not None


def test_a_plugin_that_lost_an_operation_is_named(site: Site, tmp_path: Path) -> None:
    site.add("fickle", GOOD)
    found = catalogue(tmp_path / "c")
    site.add("fickle", GOOD.replace("[glow, source]", "[source]"))
    with pytest.raises(PluginError, match="plugin 'fickle' no longer offers 'glow'"):
        found.load(found.operations["glow"])


# --- through the command ----------------------------------------------------------------------------------------------


def strangers(folder: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(folder), "PIPELINE_CACHE": str(folder / "cache")}


def test_the_command_runs_a_strangers_operation_and_traces_the_hook(tmp_path: Path, command: Command) -> None:
    site = Site(tmp_path / "site")
    site.add("strangers_glow", GOOD)
    site.add("broken_glow", "import heavy_thing_that_is_not_there")
    (tmp_path / "x.yaml").write_text(
        "pipeline: 1\nnodes:\n  a: {op: strangers_glow.source}\n  b: {op: strangers_glow.glow, inputs: {image: a}}\n"
        "outputs: {o: {from: b, path: o.png}}\n"
    )
    done = command("run", "x.yaml", cwd=tmp_path, PIPELINE_TRACE="1", **strangers(site.folder))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.png").is_file()
    assert "hook operations: strangers_glow" in done.stderr
    listed = command("plugins", cwd=tmp_path, **strangers(site.folder)).stdout
    assert "broken_glow" in listed
    assert "strangers_glow" in listed


def test_import_pipeline_core_is_light() -> None:
    code = "import sys, pipeline_core; print(sorted({'torch', 'numpy', 'pydantic', 'networkx', 'yaml', 'click'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["check", "x.yaml"], ["ops"], ["ops", "constant"], ["schema"], ["plugins"], ["run", "--help"]])  # fmt: skip
def test_commands_that_move_no_pixels_do_not_import_torch(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "pipeline: 1\nnodes: {a: {op: constant, params: {width: 4, height: 4, color: red}}}\noutputs: {o: {from: a, path: o.png}}\n"
    )
    code = (
        "import sys\ncode = 0\nfrom pipeline_core.cli import main\nsys.argv = ['pipeline', *sys.argv[1:]]\n"
        "try: main()\nexcept SystemExit as done: code = done.code\n"
        "heavy = sorted({'torch', 'cv2', 'OpenImageIO', 'PIL', 'rich'} & set(sys.modules))\n"
        "print(); print(code or 0, heavy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ},
    )
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr

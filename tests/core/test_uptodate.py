"""The answer "up to date": given without torch or any plugin, and only while it is true."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import call, make_project, save_photo

HEAVY = ("torch", "numpy", "cv2", "OpenImageIO", "PIL", "networkx", "pluggy", "pydantic", "rich")
WATCHED = """
import atexit, sys
def report():
    found = [name for name in sys.modules if name.split(".")[0] in {heavy!r} or name.startswith("pipeline_")]
    print("imported:", *sorted(name for name in found if not name.startswith("pipeline_core")), file=sys.stderr)
atexit.register(report)
sys.argv = ["pipeline", *sys.argv[1:]]
from pipeline_core.cli import main
main()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def said(file: Path, cache: Path, *more: object) -> str:
    done = call("run", file, "--cache", cache, "--device", "cpu", *more)
    assert done.code == 0, done.err
    return done.out


def test_nothing_heavy_is_imported(file: Path, cache: Path) -> None:
    said(file, cache)
    watched = [sys.executable, "-c", WATCHED.format(heavy=HEAVY), "run", str(file), "--cache", str(cache)]
    done = subprocess.run(watched, capture_output=True, text=True, check=True)
    assert "up to date" in done.stdout
    assert done.stderr == "imported:\n"


def test_a_whole_run_imports_what_it_uses(file: Path, cache: Path) -> None:
    """The test above would see it."""
    watched = [sys.executable, "-c", WATCHED.format(heavy=HEAVY), "run", str(file), "--cache", str(cache), "-q"]
    done = subprocess.run(watched, capture_output=True, text=True, check=True)
    assert "pipeline_transform" in done.stderr
    assert "numpy" in done.stderr


def test_it_names_the_outputs(file: Path, cache: Path) -> None:
    said(file, cache)
    lines = said(file, cache).splitlines()
    assert lines[0] == f"card -> {file.parent / 'out' / 'card.png'}"
    assert lines[-1] == f"{file}: up to date"
    assert said(file, cache, "-q") == ""
    assert '"up_to_date": true' in said(file, cache, "--json")


def change_input(file: Path) -> None:
    save_photo(file.parent / "art" / "photo.png", seed=2)


def change_input_in_silence(file: Path) -> None:
    photo = file.parent / "art" / "photo.png"
    save_photo(photo, compress_level=0)
    said(file, file.parent.parent / "kept")
    before = photo.stat()
    save_photo(photo, seed=3, compress_level=0)
    os.utime(photo, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert photo.stat().st_size == before.st_size


def change_file(file: Path) -> None:
    file.write_text(file.read_text().replace("width: 9", "width: 8"))


def remove_input(file: Path) -> None:
    (file.parent / "art" / "photo.png").rename(file.parent / "art" / "face.png")
    file.write_text(file.read_text().replace("photo.png", "face.png"))


def change_output(file: Path) -> None:
    path = file.parent / "out" / "aside.png"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def remove_output(file: Path) -> None:
    (file.parent / "out" / "aside.png").unlink()


CHANGES = [change_input, change_input_in_silence, change_file, remove_input, change_output, remove_output]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_any_change_ends_it(change: Callable[[Path], None], file: Path, cache: Path) -> None:
    said(file, cache)
    assert "up to date" in said(file, cache)
    change(file)
    assert "up to date" not in said(file, cache)
    assert "up to date" in said(file, cache)


def test_what_the_command_line_gives_counts(file: Path, cache: Path) -> None:
    said(file, cache)
    for more in (["-p", "left=4"], ["--only", "card"], ["-o", f"card={file.parent / 'else.png'}"], ["--no-metadata"]):
        assert "up to date" not in said(file, cache, *more), more
        assert "up to date" in said(file, cache, *more), more


def test_a_missing_input_is_told(file: Path, cache: Path) -> None:
    said(file, cache)
    (file.parent / "art" / "photo.png").unlink()
    done = call("run", file, "--cache", cache)
    assert done.code == 2
    assert "file not found" in done.err


def test_without_a_cache_every_run_runs(file: Path, cache: Path) -> None:
    said(file, cache)
    assert "14 computed" in said(file, cache, "--no-cache")


def test_an_output_without_a_path_is_never_up_to_date(file: Path, cache: Path) -> None:
    file.write_text(file.read_text().replace(", path: out/aside.png", ""))
    said(file, cache)
    assert "up to date" not in said(file, cache)

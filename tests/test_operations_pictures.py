"""The pictures in docs/operations.md: every operation that gives a picture has one, and it shows what it does."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image as Picture

from pipeline_core.document import read_document
from pipeline_core.pages import PICTURES
from pipeline_core.plugins import Catalogue, catalogue

ROOT = Path(__file__).parents[1]
DEMOS = ROOT / "docs" / "pictures"


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return catalogue(tmp_path_factory.mktemp("catalogue"))


@pytest.fixture(scope="module")
def make() -> ModuleType:
    """docs/pictures/make.py."""
    spec = importlib.util.spec_from_file_location("make_pictures", DEMOS / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["make_pictures"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_operation_that_gives_a_picture_has_one_and_no_other(offered: Catalogue, make: ModuleType) -> None:
    pictures = {path.stem: path.stat().st_size for path in PICTURES.glob("*.webp")}
    assert set(pictures) == set(make.shown(offered)), "run: make pictures"
    assert max(pictures.values()) <= 6 * 1024
    assert sum(pictures.values()) <= 1_500_000
    assert set(make.WITHOUT) <= {operation.name for operation in offered}


def test_the_pictures_show_what_the_operations_do(offered: Catalogue, make: ModuleType, tmp_path: Path) -> None:
    """Made anew, each looks as it does in the page."""
    for module in ("skimage", "psd_tools", "PyOpenColorIO"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"the pictures begin with what {module} gives, which is not installed")
    folder = tmp_path / "docs" / "pictures"
    folder.mkdir(parents=True)
    files = runpy.run_path(str(ROOT / "pipelines" / "files.py"))
    files["make_files"](tmp_path / "pipelines" / "files")
    document: dict[str, Any] = read_document((DEMOS / "operations.yaml").read_bytes(), "operations.yaml").value
    for node in document["nodes"].values():  # what lies in tests/ stays there
        path = node.get("params", {}).get("path", "")
        if path.startswith("../../tests/"):
            node["params"]["path"] = str(ROOT / path.removeprefix("../../"))
    wanted = make.links(document, offered)
    found = make.values(document, wanted, folder)
    apart = {}
    for name in wanted:
        committed = Picture.open(PICTURES / f"{name}.webp")
        apart[name] = make.difference(make.picture_of(name, wanted[name], found), committed)
    stale = {name: round(value, 1) for name, value in apart.items() if value > 2 * make.ALIKE}
    assert not stale, f"run: make pictures ({stale})"

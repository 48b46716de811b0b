"""Hostile files: loaded whole or refused in one line, with little time and memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pipeline_io import load_image

from pipeline_core import OperationError

CORPUS = Path(__file__).parents[3] / "shared" / "corpora" / "malformed-images"
FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file() and path.suffix not in (".md", ""))
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus malformed-images is not here")

# One file in a process of its own: what it took beyond an idle one, and how it ended.
ALONE = """
import json, resource, sys, time
from pathlib import Path
from pipeline_core import OperationError
from pipeline_io import load_image
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
peak = lambda who: resource.getrusage(who).ru_maxrss
idle, start, said, shape = peak(resource.RUSAGE_SELF), time.monotonic(), "", ()
try:
    shape = load_image(path=Path(sys.argv[1])).buffer.shape
except OperationError as error:
    said = str(error)
seconds = time.monotonic() - start
from pipeline_io import apart
apart._close_all()
used = peak(resource.RUSAGE_SELF) - idle + peak(resource.RUSAGE_CHILDREN)
print(json.dumps([said, shape, seconds, used]))
"""


def test_malformed_files_are_loaded_or_refused() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(FILES) > 100
    reasons = {}
    for path in FILES:
        start = time.monotonic()
        try:
            image = load_image(path=path)
        except OperationError as error:
            reasons[path] = str(error)
        else:
            assert np.isfinite(image.array).all(), path.name
        assert time.monotonic() - start < 5, path.name
    assert all(reason.startswith(f"{path}: ") and "\n" not in reason for path, reason in reasons.items())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20, "more than 1 GiB"


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name[-60:])
def test_each_alone(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ALONE, path], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]
    said, shape, seconds, used = json.loads(done.stdout)
    assert seconds < 10
    assert used < 2**20, "more than 1 GiB"
    if shape:
        assert min(shape) >= 1
    else:
        assert said.startswith(f"{path}: ")
        assert "\n" not in said


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def _run(path: Path, folder: Path, cache: Path) -> tuple[int, list[str], float, int]:
    """A pipeline that loads and saves one file, by the command: exit code, what it said, seconds, kilobytes."""
    outputs = {"out": {"from": "picture", "path": "out.tif", "params": {"depth": "float", "nan": "zero"}}}
    nodes = {"picture": {"op": "load_image", "params": {"path": str(path)}}}
    file = folder / "pipeline.json"
    file.write_text(json.dumps({"pipeline": 1, "nodes": nodes, "outputs": outputs}))
    command = [Path(sys.executable).with_name("pipeline"), "run", file, "--cache", cache]
    start = time.monotonic()
    with (folder / "said").open("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (8 << 30, 8 << 30))
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        return process.returncode, said.read().splitlines(), time.monotonic() - start, used.ru_maxrss


@pytest.mark.slow
def test_the_command_names_node_and_file_in_one_line(tmp_path: Path, cache: Path) -> None:
    good = tmp_path / "good.pgm"
    good.write_bytes(b"P5 2 1 255\n\x00\xff")
    _run(good, tmp_path, cache)  # reads the catalogue of operations
    code, _, _, idle = _run(good, tmp_path, cache)
    assert code == 0
    for path in FILES:
        code, said, seconds, used = _run(path, tmp_path, cache)
        assert code in (0, 1), (path, code, said)
        assert seconds < 10, path
        assert used - idle < 2**20, f"{path}: more than 1 GiB"
        if code:
            assert len(said) == 1, (path, said)
            (line,) = said
            assert "node 'picture'" in line
            assert str(path) in line

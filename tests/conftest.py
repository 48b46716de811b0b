"""What every test may count on: the user's own cache folder is left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run of the checks, and no deadline: the machines that run them are shared and noisy.
settings.register_profile("checks", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "checks"))

Command = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Catalogue and results go to a folder of this test session."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("PIPELINE_CACHE")
    os.environ["PIPELINE_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["PIPELINE_CACHE"]
    else:
        os.environ["PIPELINE_CACHE"] = before


@pytest.fixture(scope="session")
def command() -> Command:
    """Runs the command `pipeline` in a process of its own, as a user would."""

    def run(
        *arguments: object, cwd: Path | None = None, timeout: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("pipeline")
        return subprocess.run(
            [str(program), *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def compiled() -> None:
    """What the kernels in C are needed for; skipped where nothing can have built them."""
    from pipeline_core import load_kernels

    sources = [ROOT / "pipeline_core" / "kernels.c", *ROOT.glob("plugins/*/kernels.c")]
    if all(load_kernels(str(source)) is not None for source in sources):
        return
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here, and no kernels")
    pytest.fail("the kernels are not built of what kernels.c says now: run 'make setup'")

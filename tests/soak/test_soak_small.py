"""The attacks of benchmarks/soak in small counts, and, marked slow, in full; by the command that people type."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = ("r1", "r2", "r4", "r5", "r6", "r8", "r9", "r10", "r17")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the attacks need fork and signals")


def soak(*arguments: str) -> dict[str, str]:
    """The line of every row, and the failures below it."""
    command = [sys.executable, "-m", "benchmarks.soak", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found: dict[str, str] = {}
    row = ""
    for line in done.stdout.splitlines():
        row = row if line.startswith(" ") else line.partition(" ")[0].lower()
        found[row] = f"{found.get(row, '')}{line}\n"
    assert found, done.stderr
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return soak("all", "--small", "--work", str(tmp_path_factory.mktemp("soak")))


@pytest.mark.parametrize("row", ROWS)
def test_withstood(row: str, small: dict[str, str]) -> None:
    assert row in small, "the harness did not get so far"
    if "skipped:" in small[row]:
        pytest.skip(small[row].strip())
    assert " ok: " in small[row], small[row]


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_withstood_in_full(row: str, tmp_path: Path) -> None:
    found = soak(row, "--work", str(tmp_path))
    if "skipped:" in found[row]:
        pytest.skip(found[row].strip())
    assert " ok: " in found[row], found[row]

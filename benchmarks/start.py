"""What the commands cost that move no pixels: `python -m benchmarks.start`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.timing import Comparison, process, table

NODES = 20


def twenty(folder: Path) -> Path:
    """A file of 20 nodes that runs without torch."""
    lines = ["pipeline: 1", "nodes:", "  n0: {op: gradient, params: {width: 64, height: 64, angle: 20}}"]
    lines += [f"  n{i}: {{op: {('flip', 'flop')[i % 2]}, inputs: {{image: n{i - 1}}}}}" for i in range(1, NODES)]
    lines += ["outputs:", f"  last: {{from: n{NODES - 1}, path: out/last.png}}"]
    file = folder / "twenty.yaml"
    file.write_text("\n".join(lines) + "\n")
    return file


def comparisons(small: bool = False) -> Iterator[Comparison]:
    """As they are however `small`."""
    pipeline = Path(sys.executable).with_name("pipeline")
    imports, light = "`import click, pydantic`", "`import pydantic, yaml, sqlite3`"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file, kept = twenty(folder), {"PIPELINE_CACHE": str(folder / "cache")}
        beside = {imports: process([sys.executable, "-c", "import click, pydantic"])}
        yield Comparison("`pipeline --help`", process([pipeline, "--help"]), beside, {imports: "3"})
        yield Comparison(
            f"`pipeline check`, {NODES} nodes", process([pipeline, "check", file], **kept), beside, {imports: "600 ms"}
        )
        yield Comparison("`pipeline ops`", process([pipeline, "ops"], **kept), beside)
        yield Comparison(
            f"`pipeline run` again, {NODES} nodes",
            process([pipeline, "run", file, "--device", "cpu"], **kept),
            {light: process([sys.executable, "-c", "import pydantic, yaml, sqlite3"])},
            {light: "2"},
        )


if __name__ == "__main__":
    table("start", comparisons)

"""What the commands cost that move no pixels: `python -m benchmarks.start`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.timing import HEAD, machine, medians, process, row

ROUNDS = 9
NODES = 20


def twenty(folder: Path) -> Path:
    """A file of 20 nodes that runs without torch."""
    lines = ["pipeline: 1", "nodes:", "  n0: {op: gradient, params: {width: 64, height: 64, angle: 20}}"]
    lines += [f"  n{i}: {{op: {('flip', 'flop')[i % 2]}, inputs: {{image: n{i - 1}}}}}" for i in range(1, NODES)]
    lines += ["outputs:", f"  last: {{from: n{NODES - 1}, path: out/last.png}}"]
    file = folder / "twenty.yaml"
    file.write_text("\n".join(lines) + "\n")
    return file


def main() -> None:
    pipeline = Path(sys.executable).with_name("pipeline")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file, kept = twenty(folder), {"PIPELINE_CACHE": str(folder / "cache")}
        process([pipeline, "run", file, "--device", "cpu"], **kept)()  # also reads the plugins into the catalogue
        found = medians(
            {
                "python": process([sys.executable, "-c", "pass"]),
                "imports": process([sys.executable, "-c", "import click, pydantic"]),
                "light": process([sys.executable, "-c", "import pydantic, yaml, sqlite3"]),
                "help": process([pipeline, "--help"]),
                "check": process([pipeline, "check", file], **kept),
                "ops": process([pipeline, "ops"], **kept),
                "again": process([pipeline, "run", file, "--device", "cpu"], **kept),
            },
            ROUNDS,
        )
    print(f"{machine()}; medians of {ROUNDS} alternating runs; python alone {found['python'] * 1e3:.1f} ms\n\n{HEAD}")
    print(row("`pipeline --help`", found["help"], "`import click, pydantic`", found["imports"], "<= 3"))
    print(
        row(
            f"`pipeline check`, {NODES} nodes",
            found["check"],
            "`import click, pydantic`",
            found["imports"],
            "<= 600 ms",
        )
    )
    print(row("`pipeline ops`", found["ops"], "`import click, pydantic`", found["imports"], ""))
    print(
        row(
            f"`pipeline run` again, {NODES} nodes",
            found["again"],
            "`import pydantic, yaml, sqlite3`",
            found["light"],
            "<= 2",
        )
    )


if __name__ == "__main__":
    main()

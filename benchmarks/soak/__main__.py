"""python -m benchmarks.soak ROW... [--count N] [--small]

One line of figures per row; exit code 1 where an attack was not withstood, or where a harness did not catch its control.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from pathlib import Path

# row -> (module, attacks in full, attacks in small, what it does)
ROWS = {
    "r1": ("kill", 1000, 3, "SIGKILL while results are stored, then run again"),
    "r2": ("damage", 1500, 15, "15 kinds of damage to entries"),
    "r4": ("full", 40, 2, "cache, and output, on a full disk"),
    "r5": ("share", 1600, 16, "8 processes and a collector on one cache that is too small"),
    "r6": ("change", 77, 11, "typed values pairwise, changes that must miss and that must hit"),
    "r8": ("trespass", 300, 8, "plugins that write into their inputs or keep references"),
    "r9": ("stale", 200, 4, "inputs overwritten with the same name, size and mtime"),
    "r10": ("repeat", 40, 2, "the same file in fresh processes"),
    "r17": ("kill", 300, 6, "SIGKILL and rivals while an output is saved"),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description="Attacks on the cache and on saved files.",
        epilog="\n".join(f"{row:4} {text}; {full:,} times" for row, (_, full, _, text) in ROWS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="+", choices=["all", *ROWS], metavar="ROW", help="all, or some of those below")
    parser.add_argument("--count", type=int, help="attacks, instead of the full count")
    parser.add_argument("--small", action="store_true", help="the small count, as in the tests")
    parser.add_argument("--work", type=Path, help="a folder to work in (default: a temporary one)")
    given = parser.parse_args()
    if not hasattr(os, "fork"):
        print("skipped: needs fork and signals")
        return 0
    from benchmarks.soak.children import import_everything

    good = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.work or Path(temporary)).absolute()
        os.environ["PIPELINE_CACHE"] = str(folder / "home")
        import_everything()
        for row in ROWS if "all" in given.rows else given.rows:
            module, full, small, _ = ROWS[row]
            count = given.count or (small if given.small else full)
            (folder / row).mkdir(parents=True, exist_ok=True)
            began = time.perf_counter()
            outcome = getattr(importlib.import_module(f"benchmarks.soak.{module}"), row)(count, folder / row)
            print("\n".join(outcome.lines(time.perf_counter() - began)), flush=True)
            good = good and outcome.good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

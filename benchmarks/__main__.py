"""Every figure that is a ratio to somebody else, in one table: `python -m benchmarks [--rounds N] [--small] [NAME ...]`.

Runs alternate; what is given is the median of the ratios round by round, the least and the most, and the median by
processor time of all threads and children. Each NAME has a process of its own. A peer that is not there has a line that
says so. `--comfyui PATH` adds ComfyUI's executor from a checkout of it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from benchmarks import comfyui
from benchmarks.timing import HEAD, arguments, machine, missing, tell

NAMES = ("asset", "strips", "scheduler", "comfyui", "cache", "codecs", "memory", "operations", "models", "start")


def main() -> None:
    parser = arguments("python -m benchmarks")
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--comfyui", type=Path, metavar="PATH", help="a checkout of ComfyUI")
    parser.add_argument("--lines-of", choices=NAMES, help=argparse.SUPPRESS)
    given = parser.parse_intermixed_args()  # names may come after options, too
    if given.lines_of:
        raise SystemExit(not printed(given))
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    if given.comfyui and (fault := comfyui.unfit(given.comfyui)):
        parser.error(f"--comfyui: {fault}")
    print(f"{machine()}; medians of {given.rounds} alternating runs\n\n{HEAD}", flush=True)
    again = [sys.executable, "-m", "benchmarks", *sys.argv[1:]]
    well = [subprocess.call([*again, "--lines-of", name]) == 0 for name in given.names or NAMES]
    raise SystemExit(not all(well))


def printed(given: argparse.Namespace) -> bool:
    """The lines of one benchmark. Whether all is well."""
    name = given.lines_of
    try:
        module = import_module("benchmarks.operations.__main__" if name == "operations" else f"benchmarks.{name}")
        path = [given.comfyui] if name == "comfyui" else []
        return tell(module.comparisons(given.small, *path), given.rounds)
    except Exception as error:  # the others have lines all the same
        line = missing(name, "all of it", error)
        print(line, flush=True)
        return not line.wrong


if __name__ == "__main__":
    main()

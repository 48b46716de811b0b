"""The table: ours beside the peer with float pixels that works least, and the same with 8-bit ones. Runs alternate.

The verdict goes by processor time, all threads together, since other programs on the machine distort the clock's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from importlib import import_module

from benchmarks.operations.scene import EIGHT_BITS, Row, Scene
from benchmarks.timing import Comparison, Taken, alternate, machine
from benchmarks.timing import median as seconds

FAMILIES = ("moving", "filtering", "coloring", "composing", "making")
FLOAT_LIMIT, EIGHT_BIT_LIMIT = 1.5, 4.0
OURS, SLOW = "", "slow"
HEAD = """\
| operation | | ours, ms | of CPU | float peer, ms, of CPU | ratio | of CPU | 8-bit peer | ratio | of CPU | |
|---|---|---|---|---|---|---|---|---|---|---|"""


def rows(scene: Scene, names: list[str]) -> list[Row]:
    found = [row for family in FAMILIES for row in import_module(f"{__package__}.{family}").rows(scene)]
    return [row for row in found if not names or row.operation in names]


def measured(row: Row, runs: int) -> dict[str, list[Taken]]:
    """What each takes; one more run, first, is not counted."""
    return alternate({OURS: row.ours, **row.peers}, runs)


def work(taken: list[Taken]) -> float:
    return statistics.median(one.work for one in taken)


def line(row: Row, taken: dict[str, list[Taken]]) -> str:
    ours = taken[OURS]
    cells = [row.operation, row.detail, f"{seconds(ours) * 1e3:.0f}", f"{work(ours) * 1e3:.0f}"]
    verdict = ""
    for coarse, limit in ((False, FLOAT_LIMIT), (True, EIGHT_BIT_LIMIT)):
        peers = {name: found for name, found in taken.items() if name and name.endswith(EIGHT_BITS) == coarse}
        if not peers:
            cells += [""] * 3
            continue
        best = min(peers, key=lambda name: work(peers[name]))
        theirs = peers[best]
        ratios = sorted(one.work / other.work for one, other in zip(ours, theirs, strict=True))
        ratio = work(ours) / work(theirs)
        cells += [
            f"{best.removesuffix(EIGHT_BITS)} {seconds(theirs) * 1e3:.0f}, {work(theirs) * 1e3:.0f}",
            f"{seconds(ours) / seconds(theirs):.2f}",
            f"{ratio:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})",
        ]
        # The 8-bit figure counts where nobody has the operation for floats.
        verdict = verdict or ("ok" if ratio <= limit else SLOW)
    return f"| {' | '.join([*cells, verdict])} |"


SOME = {
    ("resize", "half, lanczos3"),
    ("rotate", "bilinear"),
    ("blur", "sigma 3"),
    ("median", "5x5"),
    ("merge", "over"),
    ("grade", ""),
    ("color_convert", "sRGB to linear"),
}
"""What the one table of all benchmarks shows."""


def comparisons(small: bool = False) -> Iterator[Comparison]:
    for row in rows(Scene(*((480, 270) if small else (3840, 2160))), [name for name, _ in SOME]):
        if (row.operation, row.detail) not in SOME:
            continue
        peers, goals = {}, {}
        floats = any(not name.endswith(EIGHT_BITS) for name in row.peers)
        for name, call in row.peers.items():
            coarse = name.endswith(EIGHT_BITS)
            shown = f"{name.removesuffix(EIGHT_BITS)}, 8 bits" if coarse else name
            peers[shown] = call
            if not coarse or not floats:  # 8 bits count where nobody has floats
                goals[shown] = f"{EIGHT_BIT_LIMIT if coarse else FLOAT_LIMIT}"
        yield Comparison(f"`{row.operation}` {row.detail}".strip(), row.ours, peers, goals)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operations", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="operations; all by default")
    parser.add_argument("--runs", type=int, default=7, help="of each, taking turns (7)")
    parser.add_argument("--size", type=int, nargs=2, default=(3840, 2160), metavar=("W", "H"), help="3840 2160")
    parser.add_argument("--all-peers", action="store_true", help="also the medians of every peer")
    given = parser.parse_args()
    print(
        f"{machine()}; {given.size[0]}x{given.size[1]}, medians of {given.runs} alternating runs\n\n{HEAD}", flush=True
    )
    slow = 0
    for row in rows(Scene(*given.size), given.names):
        taken = measured(row, given.runs)
        text = line(row, taken)
        slow += text.endswith(f"{SLOW} |")
        print(text, flush=True)
        if given.all_peers:
            found = (f"{name or 'ours'} {seconds(one) * 1e3:.0f}, {work(one) * 1e3:.0f}" for name, one in taken.items())
            print("; ".join(found), file=sys.stderr)
    print(
        f"\n{slow} slower than {FLOAT_LIMIT} times the best with floats, or {EIGHT_BIT_LIMIT:.0f} times the best with 8 bits"
    )


if __name__ == "__main__":
    main()

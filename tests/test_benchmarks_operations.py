"""The table of what operations cost: every row runs, ours and each peer's, and every row of it can be printed."""

from __future__ import annotations

import pytest

pytest.importorskip("pyvips", reason="libvips is not here")

from benchmarks.operations.__main__ import OURS, line, measured, rows
from benchmarks.operations.scene import Scene


@pytest.mark.slow
def test_every_row_runs() -> None:
    for row in rows(Scene(480, 270), []):
        assert line(row, measured(row, 1)).startswith(f"| {row.operation} |")


def test_a_row_of_the_table_has_our_figures_and_the_best_peers() -> None:
    (row,) = rows(Scene(480, 270), ["flip"])
    assert {"cv2", "vips", "oiio"} == set(row.peers)
    taken = measured(row, 3)
    assert len(taken[OURS]) == 3
    cells = line(row, taken).split("|")
    assert cells[1].strip() == "flip"
    assert cells[5].split()[0] in row.peers

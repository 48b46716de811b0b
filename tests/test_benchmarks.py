"""The one table of benchmarks: what is measured, what is told where something can't be, and that the command prints it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import comfyui
from benchmarks.timing import HEAD, Absent, Comparison, Line, Taken, alternate, lines, medians, tell

ROOT = Path(__file__).parents[1]


def command(*given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *given], cwd=ROOT, capture_output=True, text=True, check=False
    )


def cells(line: str) -> list[str]:
    assert line.startswith("| ")
    assert line.endswith(" |")
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_the_command_prints_one_table_with_a_line_for_every_peer() -> None:
    done = command("--small", "--rounds", "1", "scheduler", "comfyui")
    assert done.returncode == 0, done.stderr
    above, _, below = done.stdout.partition(HEAD)
    assert "medians of 1 alternating runs" in above
    rows = [cells(line) for line in below.strip().splitlines()]
    assert {len(row) for row in rows} == {len(cells(HEAD.splitlines()[0]))}
    *measured, comfy = rows
    peers = {row[2].split(":")[0] for row in measured}
    assert {"networkx", "dask", "`yaml.safe_load`"} <= peers
    for _, ours, beside, middle, least, most, work, _ in measured:
        assert {ours.split()[1], beside.split()[-1]} <= {"us", "ms"}
        assert 0 < float(least) <= float(middle) <= float(most)
        assert float(work) > 0
    assert comfy[2] == "ComfyUI: not measured, since no --comfyui PATH is given"


@pytest.mark.parametrize("given", [["assets"], ["comfyui", "--comfyui", ".", "assets"]])
def test_a_name_that_is_none_is_refused(given: list[str]) -> None:
    done = command(*given)
    assert done.returncode == 2
    assert "no benchmark 'assets'; there are asset, " in done.stderr


def test_a_path_that_is_no_checkout_of_comfyui_is_refused(tmp_path: Path) -> None:
    done = command("--comfyui", str(tmp_path), "comfyui")
    assert done.returncode == 2
    assert (
        f"{tmp_path} is no checkout of ComfyUI 0.3: it has no execution.py and no comfy_execution/graph.py"
        in (done.stderr.splitlines()[-1])
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import quite_missing", "ComfyUI 0.3.99 needs quite_missing, which is not installed"),
        ("from nodes import Quite\nQuite.other", "ComfyUI 0.3.99 does not fit: AttributeError: "),
    ],
)
def test_a_checkout_that_does_not_fit_is_told_in_its_line(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "comfy_execution").mkdir()
    (tmp_path / "comfy_execution" / "graph.py").touch()
    (tmp_path / "comfy").mkdir()
    (tmp_path / "comfyui_version.py").write_text('__version__ = "0.3.99"\n')
    (tmp_path / "execution.py").write_text(source)
    assert comfyui.unfit(tmp_path) == ""
    done = command("--small", "--rounds", "1", "--comfyui", str(tmp_path), "comfyui")
    assert done.returncode == 0, done.stderr
    assert said in cells(done.stdout.splitlines()[-1])[2]


def test_jobs_take_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []
    taken = alternate({name: lambda name=name: order.append(name) for name in "ab"}, 2)
    assert order == ["a", "b"] * 3
    assert {name: len(found) for name, found in taken.items()} == {"a": 2, "b": 2}


def test_a_job_that_measures_itself_is_believed() -> None:
    def job() -> Taken:
        time.sleep(0.01)
        return Taken(0.5, 0.25)

    assert medians({"itself": job}, 3) == {"itself": 0.5}


def test_ratios_are_of_the_runs_of_one_round() -> None:
    ours, theirs = iter([9.0, 1.0, 6.0, 2.0]), iter([9.0, 2.0, 3.0, 8.0])
    found = lines(
        Comparison(
            "f",
            lambda: Taken(next(ours), 1.0, 100.0),
            {"peer": lambda: Taken(next(theirs), 2.0, 50.0)},
            {"peer": "0.50"},
            {"peer": "1.8"},
            each=1000,
        ),
        3,
    )
    assert [str(line) for line in found] == [
        "| f | 2.0 ms | peer: 3.0 ms | 0.50 | 0.25 | 2.00 | 0.50 | 0.50 |",
        "| f, peak memory | 100 MiB | peer: 50 MiB | 2.00 | 2.00 | 2.00 |  | 1.8 |",
    ]


def test_a_peer_that_is_missing_or_fails_leaves_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def absent() -> None:
        raise Absent("no command magick")

    def not_installed() -> None:
        import quite_missing  # noqa: F401

    peers = {"here": lambda: None, "absent": absent, "not installed": not_installed}
    assert tell([Comparison("f", lambda: None, peers)], 1)
    beside = [cells(line)[2] for line in capsys.readouterr().out.splitlines()]
    assert beside[0].startswith("here: ")
    assert beside[1:] == [
        "absent: not measured, no command magick",
        "not installed: not measured, not installed: quite_missing",
    ]

    def broken() -> None:
        raise ValueError("a | b\nc")

    assert not tell([Comparison("f", lambda: None, {"broken": broken}), Line("g", "", "")], 1)
    assert cells(capsys.readouterr().out.splitlines()[0])[2] == "broken: not measured, ValueError: a / b c"
    assert not tell([Comparison("f", broken, {"here": lambda: None})], 1)
    assert cells(capsys.readouterr().out.strip())[2] == "pipeline-core: not measured, ValueError: a / b c"

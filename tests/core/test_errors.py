"""Errors: one tree, one line each, in the order of the file."""

from __future__ import annotations

import pickle

import pytest

from pipeline_core import errors
from pipeline_core.errors import (
    MAX_PROBLEMS,
    Cancelled,
    GraphError,
    Location,
    NodeError,
    OperationError,
    OutputError,
    PipelineError,
    PluginError,
    Problem,
    SpecError,
    did_you_mean,
    in_file_order,
    listing,
    one_line,
)

NODE = NodeError(
    "card",
    "merge",
    "pipeline_compose",
    "sizes differ",
    Location("x.yaml", 3, 5),
    {"base": "4x4"},
    {"n": 2, "s": "x" * 200},
)


def test_one_tree() -> None:
    assert all(issubclass(kind, PipelineError) for kind in (SpecError, GraphError, PluginError, NodeError, OutputError))
    assert issubclass(OperationError, ValueError)
    assert not issubclass(Cancelled, Exception)


def test_problems_are_sorted_and_said_once() -> None:
    given = [
        Problem("d"),
        Problem("c", Location("x", 10, 1)),
        Problem("b", Location("x", 9, 20)),
        Problem("a", Location("x", 9, 3)),
        Problem("d"),
    ]
    assert [problem.message for problem in in_file_order(given)] == ["a", "b", "c", "d"]
    assert str(GraphError(problems=given)).splitlines() == ["x:9:3: a", "x:9:20: b", "x:10:1: c", "d"]


def test_thousands_of_problems_are_cut_short() -> None:
    lines = str(SpecError(problems=[Problem(f"p{i}", Location("x", i)) for i in range(1, 5000)])).splitlines()
    assert len(lines) == MAX_PROBLEMS + 2
    assert lines[-1] == "... and 4,798 more"


def test_places() -> None:
    assert [str(Location("x", *rest)) for rest in ((), (3,), (3, 4))] == ["x", "x:3", "x:3:4"]
    assert str(Problem("m", Location(""))) == "m"
    assert str(Problem("m", Location("x", 1), warning=True)) == "x:1: warning: m"


def test_a_node_error_is_one_line_with_everything() -> None:
    assert str(NODE).startswith(
        "x.yaml:3:5: node 'card': operation 'merge' (plugin 'pipeline_compose') failed: sizes differ [base: 4x4, n=2, s='xxx"
    )
    assert len(str(NODE)) < 250


@pytest.mark.parametrize(
    "error", [NODE, GraphError(problems=[Problem("m", Location("x", 1))]), PluginError("p"), OperationError("o")]
)
def test_errors_can_be_pickled_and_hashed(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
    assert getattr(again, "problems", ()) == getattr(error, "problems", ())
    assert error in {error}


def test_did_you_mean() -> None:
    assert did_you_mean("merg", ["merge", "crop"]) == ". Did you mean 'merge'?"
    assert did_you_mean("xyz", ["merge"]) == ""
    assert did_you_mean("", []) == ""


def test_listings() -> None:
    assert listing("abc") == "a, b, c"
    assert listing(range(20)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ... (20 in all)"
    assert listing(iter(range(13)), 2) == "0, 1, ... (13 in all)"


def test_one_line() -> None:
    assert one_line("grün 🙂") == "grün 🙂"
    assert one_line("a\nb\x1b[31m\u202e\ud800\0") == "a\\nb\\x1b[31m\\u202e\\ud800\\x00"
    assert one_line("x" * 2000) == "x" * 997 + "..."
    assert len(one_line("\n" * 5000)) == 1000


def test_the_module_says_what_it_has() -> None:
    assert errors.__doc__

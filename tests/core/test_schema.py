"""Params: colours, canonical values, and what people are told."""

from __future__ import annotations

import subprocess
import sys
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from pipeline_core import Color, Seed, Unit
from pipeline_core.colors import NAMES, parse_color
from pipeline_core.schema import checker, describe, has_paths, plain, schema_of, show


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("#f00", (1, 0, 0, 1)), ("#f008", (1, 0, 0, 0x88 / 255)), ("#ff8000", (1, 0x80 / 255, 0, 1)), ("ff800080", (1, 0x80 / 255, 0, 0x80 / 255)),
        ("Orange", (1, 0xA5 / 255, 0, 1)), ("transparent", (0, 0, 0, 0)), ([1, 2, 3], (1, 2, 3, 1)), ((0, 0, 0, 0.5), (0, 0, 0, 0.5)),
        (0.25, (0.25, 0.25, 0.25, 1)), ([-1, 0, 65504], (-1, 0, 65504, 1)), ([0.5], (0.5, 0.5, 0.5, 1)),
    ],
)  # fmt: skip
def test_colours(text: Any, wanted: tuple[float, ...]) -> None:
    assert parse_color(text) == wanted
    assert all(type(part) is float for part in parse_color(text))


@pytest.mark.parametrize(
    "text", ["", "#", "#12", "#12345", "#1234567", "#gggggg", "re d", "#ff8000\n", None, True, [], [1, 2], [1, 2, 3, 4, 5], ["1", 0, 0], [True, 0, 0], {}, float("nan"), [0, 0, float("inf")]]
)  # fmt: skip
def test_what_is_no_colour(text: Any) -> None:
    with pytest.raises(ValueError, match=r"colour"):
        parse_color(text)


@given(st.sampled_from(sorted(NAMES)))
def test_names_of_colours_have_no_case(name: str) -> None:
    assert parse_color(name) == parse_color(name.upper()) == parse_color("#" + NAMES[name])


class Mode(Enum):
    A = "a"


class Level(IntEnum):
    LOW = 1


def test_plain_values() -> None:
    given_value = {
        "m": Mode.A,
        "l": Level.LOW,
        "p": Path("x"),
        "t": (1, (2,)),
        "s": {"b", "a"},
        "n": np.float32(0.5),
        "i": np.int64(3),
        "z": None,
    }
    wanted = {"m": "a", "l": 1, "p": "x", "t": [1, [2]], "s": ["a", "b"], "n": 0.5, "i": 3, "z": None}
    assert plain(given_value) == wanted
    assert [type(value) for value in plain(given_value).values()] == [type(value) for value in wanted.values()]


def test_a_set_has_one_order_in_every_process() -> None:
    code = "from pipeline_core.schema import plain; print(plain({'a', 'b', 'c', 'd', 'e'}))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (Unit, 2, "must be at most 1 (got 2)"), (Unit, "x", 'must be a number (got "x")'), (Unit, float("nan"), "must be a number (got NaN)"), (Seed, -1, "must be at least 0 (got -1)"),
        (int, 1.0, "must be a whole number (got 1.0)"), (int, True, "must be a whole number (got true)"), (bool, "true", 'must be true or false (got "true")'),
        (int | None, "x", 'must be a whole number (got "x")'), (list[int], [1, "a"], '[1]: must be a whole number (got "a")'), (list[int], 3, "must be a list (got 3)"),
        (tuple[int, int], [1], "[1]: is missing (got [1])"), (dict[str, int], {"a": "b"}, 'a: must be a whole number (got "b")'), (Literal["a", "b"], "c", "must be one of a, b (got c)"),
        (Annotated[str, Field(min_length=2)], "a", "must have at least 2 characters (got a)"), (Annotated[str, Field(pattern="^x")], "a", "must match ^x (got a)"), (str, 3, "must be text (got 3)"),
        (Annotated[list[int], Field(max_length=1)], [1, 2], "must have at most 1 items (got [1, 2])"), (Path, "", 'must be a path (got "")'), (Path, 3, "must be a path (got 3)"),
        (Annotated[int, Field(gt=0, lt=5)], 5, "must be below 5 (got 5)"), (Annotated[float, Field(multiple_of=0.5)], 0.3, "must be a multiple of 0.5 (got 0.3)"),
        (Color, "x", "must be a colour like #ff8000, #ff800080, orange or [1, 0.5, 0] (got x)"), (str, "x" * 500, None), (int, "x" * 500, "..."),
    ],
)  # fmt: skip
def test_complaints_are_in_the_projects_words(annotation: Any, value: Any, message: str | None) -> None:
    check = checker(schema_of(annotation))
    if message is None:
        assert check(value) == value
        return
    with pytest.raises(ValueError, match=r".+") as caught:
        check(value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_canonical_values() -> None:
    assert type(checker(schema_of(float))(1)) is float
    assert checker(schema_of(Path))("a/b") == Path("a/b")
    assert checker(schema_of(list[Path]))(["a"]) == [Path("a")]
    assert checker(schema_of(dict[str, Path]))({"x": "a"}) == {"x": Path("a")}
    assert checker(schema_of(float))(float("inf")) == float("inf")
    assert checker(schema_of(float)) is checker(schema_of(float))


def test_where_paths_may_be() -> None:
    assert has_paths(schema_of(list[Path | None]))
    assert not has_paths(schema_of(dict[str, str]))


def test_values_and_types_for_people() -> None:
    assert show("a b") == "a b"
    assert show(" a") == '" a"'
    assert show("") == '""'
    assert show(None) == "null"
    assert show(list(range(100))).endswith("...")
    assert describe(schema_of(Unit)) == "float, 0 to 1"
    assert describe(schema_of(list[int])) == "list of int"
    assert describe(schema_of(Annotated[int, Field(gt=0, lt=5)])) == "int, above 0 and below 5"

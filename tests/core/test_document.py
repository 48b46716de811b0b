"""Reading files: places of everything, limits, and 2,000 damaged files without a single traceback."""

from __future__ import annotations

import json
import math
import random
import time
from pathlib import Path
from typing import Any

import pytest
import specimens
import yaml
import yamlcore
from conftest import Command
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_core.document import MAX_ALIASES, MAX_DEPTH, MAX_KEYS, MAX_TEXT, plain_scalar, read_document, read_value
from pipeline_core.errors import MAX_PROBLEMS, GraphError, SpecError
from pipeline_core.graph import build
from pipeline_core.plugins import Catalogue
from pipeline_core.spec import parse_spec

CATALOGUE = Catalogue.of(specimens.ALL)
SECONDS = 0.5


def checked(raw: bytes, file: str) -> str:
    """What `check` says of these bytes; empty if they are good. The way of the command, in this process."""
    seconds = []
    while not seconds or (min(seconds) > SECONDS and len(seconds) < 3):  # again, lest a busy machine is blamed on us
        started = time.process_time()
        said = told(raw, file)
        seconds.append(time.process_time() - started)
    assert min(seconds) <= SECONDS, f"{min(seconds):.2f} s for {raw[:200]!r}"
    return said


def told(raw: bytes, file: str) -> str:
    try:
        spec, problems = parse_spec(raw, file)
        if spec is None:
            raise SpecError(problems=problems)
        build(spec, CATALOGUE, known=problems)
    except (SpecError, GraphError) as error:
        return str(error)
    return ""


# --- places -------------------------------------------------------------------------------------------------------

PLACED = """\
pipeline: 1
nodes:
  a: {op: flat, params: {value: 1}}
  b:
    op: total
    inputs:
      images: [a, "a",
        a]
outputs: {out: {from: b}}
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_value_and_key_has_its_place(end: str) -> None:
    found = read_document(PLACED.replace("\n", end).encode(), "x.yaml")
    assert str(found.locate(["nodes", "a", "params", "value"])) == "x.yaml:3:33"
    assert str(found.locate(["nodes", "a", "params", "value"], key=True)) == "x.yaml:3:26"
    assert str(found.locate(["nodes", "b", "inputs", "images", 2])) == "x.yaml:8:9"
    assert str(found.locate(["nodes", "b", "inputs", "nothing"])) == "x.yaml:7:7"
    assert str(found.locate([])) == "x.yaml:1:1"


@pytest.mark.parametrize("indent", [None, 0, 3])
def test_json_has_places_too(indent: int | None) -> None:
    text = json.dumps({"pipeline": 1, "nodes": {'a"}{': {"params": {"x": [1, "two", {"é": None}]}}}}, indent=indent)
    found = read_document(text.encode(), "x.json")
    for path, word in (
        (["pipeline"], "1"),
        (["nodes", 'a"}{', "params", "x", 1], '"two"'),
        (["nodes", 'a"}{', "params", "x", 2, "é"], "null"),
    ):
        place = found.locate(path)
        line = text.splitlines()[place.line - 1]
        assert line[place.column - 1 :].startswith(word)


def test_columns_count_characters_not_bytes() -> None:
    assert "x.yaml:1:10:" in checked("é: [ü, \t]x".encode(), "x.yaml")
    assert checked("é: \0".encode(), "x.yaml").startswith("x.yaml:1:4: not YAML")
    assert checked("pipeline: é\nnodes: é\xff".encode("latin-1"), "x.yaml").startswith("x.yaml:1:11: not UTF-8")


# --- values -------------------------------------------------------------------------------------------------------


@given(
    st.one_of(
        st.integers(-(10**30), 10**30).map(str),
        st.floats().map(repr),
        st.from_regex(r"[-+]?[0-9.eExoa-f_]{1,12}", fullmatch=True),
        st.sampled_from(
            ["on", "no", "y", "NULL", "~", "True", ".inf", "-.INF", ".NaN", "0o17", "0x1F", "1_000", "1:30", "+.5"]
        ),
    )
)
@settings(max_examples=300, deadline=None)
def test_scalars_mean_what_the_yaml_1_2_core_schema_says(text: str) -> None:
    wanted = yaml.load(text, Loader=yamlcore.CoreLoader)
    got = plain_scalar(text)
    if isinstance(wanted, float) and math.isnan(wanted):
        assert math.isnan(got)
    else:
        assert (type(got), got) == (type(wanted), wanted)


def test_quoted_scalars_and_keys_are_text() -> None:
    found = read_document(b"'1': \"2\"\nnull: ''\nyes: ! 3\non: off\nb: |\n  7\n", "x.yaml").value
    assert found == {"1": "2", "null": "", "yes": "3", "on": "off", "b": "7\n"}


def test_aliases_within_limits_are_values() -> None:
    found = read_document(b"a: &a {x: [1, 2]}\nb: *a\nc: [*a, *a]\n", "x.yaml").value
    assert found["b"] == {"x": [1, 2]}
    assert found["c"] == [{"x": [1, 2]}] * 2


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("true", True), ("[1, 0.5]", [1, 0.5]), ("", ""), ("a: b: c", "a: b: c"), ("{", "{"), ("\udcff", "\udcff"),
     ("1" * 200, "1" * 200), ("*x", "*x"), ("!!python/none", "!!python/none"), ("null", "null")],
)  # fmt: skip
def test_values_on_a_command_line(text: str, value: Any) -> None:
    assert read_value(text) == value


# --- what is refused at once ------------------------------------------------------------------------------------------


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


def merge_bomb(levels: int) -> str:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}], k{i}: 1}}" for i in range(1, levels)]
    return "\n".join(lines)


HEAD = "pipeline: 1\nnodes:\n"
MANY = 9_000
REFUSED: dict[str, tuple[str, str, str]] = {
    "merge-key bomb": ("y", merge_bomb(22), "x.yaml:2:10: merge keys"),
    "alias bomb": ("y", bomb(9), "more than 100,000 values, aliases counted in full"),
    "too many aliases": ("y", f"a: &a 1\nb: [{'*a, ' * (MAX_ALIASES + 1)}]", "more than 100 aliases"),
    "alias to itself": ("y", HEAD + "  a: &a {x: *a}", "x.yaml:3:13: '*a' contains itself"),
    "list in itself": ("y", "a: &a [1, *a]", "x.yaml:1:11: '*a' contains itself"),
    "unknown alias": ("y", "a: *b", "x.yaml:1:4:"),
    "alias as key": ("y", "a: &a x\n*a : 1", "x.yaml:2:1: an alias can't be a key"),
    "flow depth": ("y", "[" * 100_000, f"x.yaml:1:{MAX_DEPTH + 1}: nested deeper than {MAX_DEPTH}"),
    "flow mapping depth": ("y", "{a: " * 100_000, "nested deeper than 64"),
    "block depth": ("y", "".join(" " * i + "a:\n" for i in range(1400)), "x.yaml:65:65: nested deeper than 64"),
    "block sequence depth": ("y", "- " * 300_000, "x.yaml:1:129: nested deeper than 64"),
    "complex keys": ("y", "? " * 300_000, "x.yaml:1:3: a key must be a name"),
    "duplicate keys": ("y", HEAD + "  a: {op: flat, op: double}", "x.yaml:3:17: key 'op' is there twice (first in line 3)"),
    "long integer": ("y", "pipeline: " + "9" * 5000, "x.yaml:1:11: a number of 5,000 digits; 100 are allowed"),
    "long negative integer": ("y", "pipeline: -" + "9" * 5000, "x.yaml:1:11: a number of 5,000 digits"),
    "long hexadecimal": ("y", "pipeline: 0x" + "f" * 5000, "x.yaml:1:11: a number of"),
    "long octal": ("y", "pipeline: 0o" + "7" * 5000, "x.yaml:1:11: a number of"),
    "long exponent": ("y", "pipeline: 1e" + "9" * 5000, "x.yaml:1:11: 'pipeline' is the version"),
    "long fraction": ("y", "pipeline: 1." + "9" * 5000, "x.yaml:1:11: 'pipeline' is the version"),
    "NUL": ("y", "pipeline: 1\nnodes: \0", "x.yaml:2:8: not YAML"),
    "escape": ("y", "pipeline: \x1b[31m", "x.yaml:1:11: not YAML"),
    "tab": ("y", "pipeline: 1\nnodes:\n\ta: 1", "x.yaml:3:1: not YAML"),
    "tag": ("y", "a: !!python/object/apply:os.system [ls]", "x.yaml:1:4: tags are not supported"),
    "own tag": ("y", "a: !x 1", "x.yaml:1:4: tags are not supported (!x)"),
    "tag directive": ("y", "%TAG ! tag:x,2000:\n---\na: !y 1", "x.yaml:3:4: tags are not supported"),
    "two documents": ("y", "pipeline: 1\n---\npipeline: 1\n", "x.yaml:2:1: more than one YAML document"),
    "empty": ("y", "", "x.yaml: a pipeline file is a mapping"),
    "only a comment": ("y", "# pipeline: 1\n", "is empty"),
    "a list": ("y", "[1, 2]", "x.yaml:1:1: a pipeline file is a mapping"),
    "a huge line": ("y", "pipeline: 1 # " + "x" * 1_000_000, "'nodes' is missing"),
    "too large": ("y", " " * ((1 << 20) + 1), "1,048,577 bytes; a pipeline file may have 1,048,576"),
    "long text": ("y", "a: '" + "x" * (MAX_TEXT + 1) + "'", "x.yaml:1:4: a text of 65,537 characters"),
    "many keys": ("y", "".join(f"k{i}: 1\n" for i in range(MAX_KEYS + 1)), "x.yaml:10001:1: more than 10,000 keys"),
    "many values": ("y", "a: [" + "1," * 300_000 + "]", "more than 100,000 values"),
    "list as a key": ("y", "[1]: 2", "x.yaml:1:1: a key must be a name"),
    "unclosed quote": ("y", "a: '" + "\n" * 300_000, "not YAML"),
    "only quotes": ("y", "'" * 500_001, "not YAML"),
    "only exclamation marks": ("y", "!" * 500_000, "tags are not supported"),
    "unknown operations": ("y", HEAD + "".join(f"  n{i}: {{op: o{i}}}\n" for i in range(MANY)), "more than 200 problems"),
    "bad nodes": ("y", HEAD + "".join(f"  n{i}: 1\n" for i in range(MANY)), "more than 200 problems"),
    "bad links": ("y", HEAD + "".join(f"  n{i}: {{op: double, inputs: {{image: m{i}}}}}\n" for i in range(MANY)), "more than 200 problems"),
    "unknown params": ("y", HEAD + "  a:\n    op: flat\n    params:\n" + "".join(f"      k{i}: 1\n" for i in range(MANY)), "more than 200 problems"),
    "unknown keys": ("y", HEAD + "  a:\n    op: flat\n" + "".join(f"    k{i}: 1\n" for i in range(MANY)), "more than 200 problems"),
    "too many outputs": ("y", HEAD + "  a: {op: flat}\noutputs:\n" + "".join(f"  o{i}: {{from: a}}\n" for i in range(1001)), "x.yaml:4:1: 1,001 outputs"),
    "too many params": ("y", "params:\n" + "".join(f"  o{i}: {{type: int}}\n" for i in range(1001)), "x.yaml:1:1: 1,001 params"),
    "links that are numbers": ("y", HEAD + "  a: {op: total, inputs: {images: [" + "1, " * 9000 + "]}}", "x.yaml:3:35: node 'a', input 'images': must be a link"),
    "references without end": ("y", "params: {p: {type: str, default: '" + "x" * 60_000 + "'}}\n" + HEAD + "  a: {op: from_file, params: {path: '" + "${p}" * 10_000 + "'}}\n", "more than 1,048,576 characters"),
    "a loop of thousands": ("y", HEAD + "".join(f"  n{i}: {{op: double, inputs: {{image: n{(i + 1) % 4000}}}}}\n" for i in range(4000)), "x.yaml:3:3: nodes feed each other in a loop: n0 -> n3999 -> "),
    "json depth": ("j", "[" * 100_000, f"x.json:1:{MAX_DEPTH + 1}: nested deeper than 64"),
    "json mapping depth": ("j", '{"a":' * 100_000, "nested deeper than 64"),
    "json closed depth": ("j", "[" * 70 + "]" * 70, "x.json:1:65: nested deeper than 64"),
    "json duplicate": ("j", '{"pipeline": 1,\n "nodes": {"a": {"op": "flat", "op": "x"}}}', "x.json:2:32: key 'op' is there twice (first in line 2)"),
    "json long integer": ("j", '{"x": "' + "1" * 5000 + '",\n"pipeline": ' + "1" * 5000 + "}", "x.json:2:13: a number of 5,000 digits"),
    "json long negative integer": ("j", '{"pipeline": -' + "1" * 5000 + "}", "x.json:1:14: a number of 5,000 digits"),
    "json NaN": ("j", '{"pipeline": NaN}', "x.json:1:14: not JSON: NaN"),
    "json lone surrogate": ("j", '{"pipeline": 1, "nodes": {"\\ud800": {}}}', "x.json:1:27: half of a surrogate pair"),
    "json surrogate in a value": ("j", '{"pipeline": "\\udfff"}', "x.json:1:14: half of a surrogate pair"),
    "json tab in a text": ("j", '{"pipeline": "a\tb"}', "x.json:1:16: not JSON"),
    "json NUL": ("j", '{"pipeline": 1,\0}', "x.json:1:16: not JSON"),
    "json trailing": ("j", '{"pipeline": 1} x', "x.json:1:17: not JSON"),
    "json empty": ("j", "", "x.json:1:1: not JSON"),
    "json unclosed text": ("j", '"' + '\\"' * 400_000, "x.json:1:1: not JSON"),
    "json with comments": ("j", '{"pipeline": 1} // x', "x.json:1:17: not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_files_are_refused_at_once_with_their_place(case: str) -> None:
    kind, text, wanted = REFUSED[case]
    said = checked(text.encode(), "x.json" if kind == "j" else "x.yaml")
    assert wanted in said
    assert len(said.splitlines()) <= MAX_PROBLEMS + 1
    assert len(said) <= 400 * MAX_PROBLEMS


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_other_encodings_are_refused(encoding: str) -> None:
    assert "x.yaml:1:" in checked("pipeline: 1 # é\nnodes: {}\n".encode(encoding), "x.yaml")


def test_a_byte_order_mark_is_no_mistake() -> None:
    good = "pipeline: 1\nnodes: {a: {op: flat}}\noutputs: {o: {from: a}}\n"
    assert checked(b"\xef\xbb\xbf" + good.encode(), "x.yaml") == ""
    as_json = json.dumps(yaml.safe_load(good)).encode()
    assert checked(b"\xef\xbb\xbf" + as_json, "x.json") == ""
    assert checked(as_json.replace(b" ", b"\t\r\n "), "x.json") == ""
    assert checked(as_json, "x.yaml") == ""


def test_names_from_a_file_cannot_break_the_line_or_colour_the_terminal() -> None:
    said = checked(b'pipeline: 1\nnodes: {a: {op: "x\\ny\\e[31m\\u202e"}}', "x.yaml")
    assert said == "x.yaml:2:17: node 'a': unknown operation 'x\\ny\\x1b[31m\\u202e'"


# --- damage ---------------------------------------------------------------------------------------------------------

SEEDS = [
    PLACED,
    "pipeline: 1\nparams:\n  light: {type: float, default: 0.5, minimum: 0, maximum: 1, help: how light}\n"
    "  where: {type: path, default: art/x.png}\n  paint: {type: color, default: '#ff8000'}\n"
    "nodes:\n  # a comment\n  ground: {op: flat, params: {value: \"${light}\", width: 8}}\n"
    "  file: {op: from_file, params: {path: \"${where}\"}}\n  parts: {op: split, inputs: {image: ground}, cache: never}\n"
    "  card: {op: tinted, inputs: {image: parts, mask: parts.coverage}, params: {color: \"${paint}\", mode: over}}\n"
    "outputs:\n  card: {from: card, path: \"out/${light}-x.txt\", params: {digits: 4}}\n  table: {from: card}\n",
]  # fmt: skip
TOKENS = ["{", "}", "[", "]", ":", ",", "&a ", "*a", "<<: ", "!", "!!int ", "|", ">", "'", '"', "#", "%", "---\n", "...\n", "? ", "- ",
          "\t", "\n", "\r", "\0", "\ufeff", "\x85", "\u2028", "\ud7ff", "~", ".nan", ".inf", "-1", "1e999", "9" * 120, "0x", "${", "${light}", "$${",
          "null", "true", "\\ud800", "\\", "nodes", "from", "op", ".", "é", "🙂"]  # fmt: skip


def mutant(source: random.Random, text: str) -> bytes:
    raw = bytearray(text.encode())
    for _ in range(source.choice([1, 1, 2, 4, 16])):
        place = source.randrange(len(raw) + 1)
        end = min(len(raw), place + source.choice([0, 1, 1, 3, 20]))
        kind = source.randrange(5)
        if kind == 0:
            raw[place:end] = source.choice(TOKENS).encode("utf-8", "surrogatepass")
        elif kind == 1:
            raw[place:end] = source.randbytes(source.choice([1, 1, 4]))
        elif kind == 2:
            raw[place:place] = raw[place : place + 40]
        elif kind == 3:
            del raw[place:end]
        else:
            lines = bytes(raw).split(b"\n")
            source.shuffle(lines)
            raw[:] = b"\n".join(lines)
    return bytes(raw[: source.choice([1 << 20, 1 << 20, place + 1])])


def real_pipelines() -> list[str]:
    folder = Path(__file__).parents[2] / "pipelines"
    return [file.read_text() for file in sorted(folder.glob("*.yaml"))]


def test_two_thousand_damaged_files_give_no_traceback() -> None:
    source = random.Random(20261120)
    texts = [*SEEDS, *real_pipelines()]
    as_json = [json.dumps(yaml.load(text, Loader=yamlcore.CoreLoader), indent=1) for text in texts]
    refused = 0
    for i in range(2000):
        if i % 2:
            said = checked(mutant(source, source.choice(as_json)), "x.json")
        else:
            said = checked(mutant(source, source.choice(texts)), "x.yaml")
        assert all(line.startswith(("x.yaml", "x.json", "...", "more than")) for line in said.splitlines()), said
        refused += bool(said)
    assert refused > 1000  # the others are right as they are: a comment was hit, or the order of lines


@pytest.mark.parametrize(
    "case", ["merge-key bomb", "alias bomb", "long integer", "flow depth", "NUL", "json lone surrogate"]
)
def test_the_command_refuses_them_too(case: str, tmp_path: Path, command: Command) -> None:
    kind, text, wanted = REFUSED[case]
    file = tmp_path / ("x.json" if kind == "j" else "x.yaml")
    file.write_bytes(text.encode())
    for word in ("check", "run"):
        done = command(word, file.name, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert wanted in done.stderr
        assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name]

"""Keys: what must change them, what must not (reliability R6), as far as they alone decide."""

from __future__ import annotations

import itertools
import json
import os
import time
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import specimens
import yaml

from pipeline_core.graph import build
from pipeline_core.keys import canonical, content_key, identity, key, operation_key, read_state, unchanged
from pipeline_core.operation import operation, read
from pipeline_core.plan import make_plan
from pipeline_core.plugins import Catalogue
from pipeline_core.spec import parse_spec

# --- values -----------------------------------------------------------------------------------------------------------


def typed_values() -> list[Any]:
    """200 values that a careless key takes for one another."""
    basic: list[Any] = [
        None, True, False, 0, 1, -1, 2, 10, 100, 2**31, 2**53, 2**53 + 1, 2**63, -(2**63), 10**99,
        0.0, -0.0, 1.0, -1.0, 0.1, 0.1 + 2**-56, 1e-308, 5e-324, 1e308, float("inf"), float("-inf"), float("nan"), 2.0**53, 2.0**63,
        "", " ", "0", "1", "1.0", "-0.0", "True", "true", "None", "null", "[]", "{}", "nan", "i1;", "s1:1", "n", "b1", "l0:", "d0:",
        "a", "A", "aa", "a\0", "\0a", "\0", "\n", "a\n", "é", unicodedata.normalize("NFD", "é"), "\ufb01", "fi", "\u212b", "\u00c5", "K", "\u212a", "🙂", "\ud800",
        [], {}, [[]], [{}], {"": None}, {"a": None}, {"a": []}, {"a": {}}, [None], [None, None], [0], [1], [1.0], [True], ["1"], [""], ["", ""], ["a", "b"], ["ab"], ["a", "", "b"],
        [["a"], "b"], ["a", ["b"]], [["a", "b"]], [[1, 2], 3], [1, [2, 3]], [1, 2, 3], [3, 2, 1], [[1], [2], [3]],
        {"a": 1}, {"a": 1.0}, {"a": True}, {"a": "1"}, {"b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 1}, {"a": {"b": 1}}, {"a": {"b": {}}}, {"ab": 1}, {"a": [1, 2]}, {"a": [[1], 2]}, ["a", 1], [["a", 1]],
    ]  # fmt: skip
    basic += range(1000, 1000 + (200 - len(basic)) // 2)
    basic += [float(n) + 0.5 for n in range(200 - len(basic))]
    return basic


def test_two_hundred_typed_values_are_pairwise_different() -> None:
    values = typed_values()
    assert len(values) == 200
    found = [canonical(value) for value in values]
    clashes = [(values[i], values[j]) for i, j in itertools.combinations(range(200), 2) if found[i] == found[j]]
    assert clashes == []


def test_two_values_never_run_together() -> None:
    assert canonical(["a", "b"]) != canonical(["ab"])
    assert canonical({"a": "b", "c": "d"}) != canonical({"a": "bc", "": "d"})
    assert canonical(["s1:a", "s1:b"]) != canonical(["s1:as1:b"])


def test_what_means_the_same_is_the_same() -> None:
    assert canonical((1, (2, "x"))) == canonical([1, [2, "x"]])
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})
    assert canonical(float("nan")) == canonical(-float("nan"))


def test_what_has_no_canonical_form_is_refused() -> None:
    for value in (object(), {1, 2}, 1j, Path):
        with pytest.raises(TypeError, match="has no canonical form"):
            canonical(value)


def test_a_path_counts_by_its_content_alone() -> None:
    assert canonical(Path("a"), {Path("a"): "x"}) == canonical(Path("b"), {Path("b"): "x"})
    assert canonical(Path("a"), {Path("a"): "x"}) != canonical("a")


def test_a_key_and_a_content_key_are_never_the_same() -> None:
    keys = ["k", "l"]
    assert key("x", [("image", [(0, 0)])], keys) != content_key("x", [("image", ["k"])])
    assert key("x", [("image", [(0, 0)])], keys) != key("x", [("image", [(0, 1)])], keys)
    assert key("x", [("a", [(0, 0), (1, 0)])], keys) != key("x", [("a", [(1, 0), (0, 0)])], keys)
    assert key("x", [("a", [(0, 0)]), ("b", [(1, 0)])], keys) != key("x", [("a", [(1, 0)]), ("b", [(0, 0)])], keys)


# --- pipelines ----------------------------------------------------------------------------------------------------------

TEXT = """\
pipeline: 1
params:
  light: {type: float, default: 0.5}
nodes:
  file: {op: from_file, params: {path: art/in.txt}}
  ground: {op: flat, params: {value: "${light}", width: 8}}
  tint: {op: tinted, inputs: {image: ground}, params: {color: red, mode: under, seed: 7}}
  sum: {op: total, inputs: {images: [file, tint]}}
  other: {op: double, inputs: {image: ground}}
outputs:
  card: {from: sum, path: out/card.txt}
  other: {from: other}
"""


def keys(
    folder: Path, text: str = TEXT, *, suffix: str = "yaml", catalogue: Catalogue | None = None, **params: Any
) -> dict[str, str]:
    spec, problems = parse_spec(text.encode(), f"x.{suffix}", folder=folder)
    assert spec is not None
    graph = build(spec, catalogue or Catalogue.of(specimens.ALL), params, known=problems)
    return {step.name: step.key for step in make_plan(graph, with_facts=False).steps}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "art").mkdir()
    (tmp_path / "art/in.txt").write_bytes(b"some bytes")
    return tmp_path


SAME: dict[str, Callable[[str], str]] = {
    "comments": lambda text: "# a comment\n" + text.replace("nodes:", "nodes: # more\n"),
    "order of nodes": lambda text: text.replace("  other: {op: double, inputs: {image: ground}}\n", "").replace(
        "nodes:\n", "nodes:\n  other: {op: double, inputs: {image: ground}}\n"
    ),
    "order of params": lambda text: text.replace(
        "color: red, mode: under, seed: 7", "seed: 7, mode: under, color: red"
    ),
    "a node's name": lambda text: text.replace("ground", "backdrop"),
    "block style": lambda text: yaml.safe_dump(yaml.safe_load(text), default_flow_style=False, sort_keys=False),
    "sorted keys": lambda text: yaml.safe_dump(yaml.safe_load(text), sort_keys=True),
    "quotes": lambda text: text.replace("color: red", "'color': \"red\""),
    "a default written out": lambda text: text.replace("width: 8", "width: 8, height: 3"),
    "another spelling of a float": lambda text: text.replace("default: 0.5", "default: 5.0e-1"),
    "another spelling of a colour": lambda text: text.replace("color: red", "color: '#f00'"),
    "a param's name": lambda text: text.replace("light", "brightness"),
    "a value in place of a reference": lambda text: text.replace('"${light}"', "0.5"),
    "a sibling": lambda text: text.replace("op: double, inputs: {image: ground}", "op: same, inputs: {raster: ground}"),
    "a node more": lambda text: text.replace("outputs:", "  extra: {op: flat, params: {value: 3}}\noutputs:"),
    "help": lambda text: text.replace("default: 0.5", "default: 0.5, help: how light"),
    "where it is saved": lambda text: text.replace("out/card.txt", "elsewhere/deep/poster.txt"),
    "an output less": lambda text: text.replace("  other: {from: other}\n", ""),
    "cache policy": lambda text: text.replace(
        "inputs: {images: [file, tint]}", "inputs: {images: [file, tint]}, cache: never"
    ),
    "line ends": lambda text: text.replace("\n", "\r\n"),
    "how the path is written": lambda text: text.replace("art/in.txt", "./art/../art/in.txt"),
}


@pytest.mark.parametrize("case", SAME)
def test_what_must_hit(case: str, folder: Path) -> None:
    changed = SAME[case](TEXT)
    assert changed != TEXT
    before, after = keys(folder), keys(folder, changed)
    assert after["sum"] == before["sum"]
    assert after.get("card.txt") == before["card.txt"]


def test_json_is_the_same_as_yaml(folder: Path) -> None:
    assert keys(folder, json.dumps(yaml.safe_load(TEXT)), suffix="json") == keys(folder)


def test_moving_touching_and_renaming_files_hits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(folder)
    os.utime(folder / "art/in.txt", (0, 0))
    assert keys(folder) == before
    moved = folder.rename(folder.with_name("moved elsewhere"))
    assert keys(moved) == before
    (moved / "art/in.txt").rename(moved / "art/renamed.bin")
    assert keys(moved, TEXT.replace("in.txt", "renamed.bin")) == before
    monkeypatch.chdir(moved)
    assert keys(Path(), TEXT.replace("in.txt", "renamed.bin")) == before


def test_the_device_and_the_caller_do_not_count(folder: Path) -> None:
    spec, _ = parse_spec(TEXT.encode(), "x.yaml", folder=folder)
    assert spec is not None
    made = [
        make_plan(build(spec, Catalogue.of(specimens.ALL)), device=device, with_facts=False)
        for device in ("cpu", "cuda")
    ]
    assert [step.key for step in made[0].steps] == [step.key for step in made[1].steps]
    assert keys(folder, light=0.5) == keys(folder)


OTHER: dict[str, Callable[[str], str]] = {
    "a value": lambda text: text.replace("width: 8", "width: 9"),
    "the last bit of a float": lambda text: text.replace("default: 0.5", "default: 0.50000000000000011"),
    "the sign of zero": lambda text: text.replace("default: 0.5", "default: -0.0"),
    "a colour": lambda text: text.replace("color: red", "color: '#fe0000'"),
    "alpha": lambda text: text.replace("color: red", "color: '#ff0000fe'"),
    "a choice": lambda text: text.replace("mode: under", "mode: over"),
    "a seed": lambda text: text.replace("seed: 7", "seed: 8"),
    "a param left out": lambda text: text.replace(", seed: 7", ""),
    "the order of a list": lambda text: text.replace("[file, tint]", "[tint, file]"),
    "a link more": lambda text: text.replace("[file, tint]", "[file, tint, tint]"),
    "another input": lambda text: text.replace("[file, tint]", "[file, ground]"),
    "another operation": lambda text: text.replace("op: tinted, inputs: {image: ground}, params: {color: red, mode: under, seed: 7}", "op: double, inputs: {image: ground}"),
    "another file": lambda text: text.replace("art/in.txt", "art/other.txt"),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHER)
def test_what_must_miss(case: str, folder: Path) -> None:
    (folder / "art/other.txt").write_bytes(b"some bytez")
    changed = OTHER[case](TEXT)
    assert changed != TEXT
    before, after = keys(folder), keys(folder, changed)
    assert after["sum"] != before["sum"]
    assert after["card.txt"] != before["card.txt"]


def test_the_encoders_params_count_for_its_own_step_only(folder: Path) -> None:
    before, after = (
        keys(folder),
        keys(folder, TEXT.replace("path: out/card.txt", "path: out/card.txt, params: {digits: 5}")),
    )
    assert after["card.txt"] != before["card.txt"]
    assert after["sum"] == before["sum"]


def test_another_output_of_a_node_misses(folder: Path) -> None:
    text = "pipeline: 1\nnodes:\n  a: {op: flat}\n  s: {op: split, inputs: {image: a}}\n  t: {op: same, inputs: {raster: s.image}}\noutputs: {o: {from: t}}\n"
    assert keys(folder, text)["t"] != keys(folder, text.replace("s.image", "s.coverage"))["t"]


FILE_CHANGES: dict[str, Callable[[Path], object]] = {
    "one bit": lambda file: file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:]),
    "one byte more": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "emptied": lambda file: file.write_bytes(b""),
}


@pytest.mark.parametrize("case", FILE_CHANGES)
def test_a_changed_file_misses_whatever_its_size_and_time(case: str, folder: Path) -> None:
    file = folder / "art/in.txt"
    before, found = keys(folder), file.stat()
    FILE_CHANGES[case](file)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    after = keys(folder)
    assert after["sum"] != before["sum"]
    assert after["tint"] == before["tint"]


def test_a_file_overwritten_two_hundred_times_with_one_size_and_time_is_never_stale(tmp_path: Path) -> None:
    file = tmp_path / "x"
    seen = set()
    for i in range(200):
        file.write_bytes(i.to_bytes(4, "big") * 8)
        os.utime(file, (0, 0))
        seen.add(read_state(file).digest)
    assert len(seen) == 200


def test_a_file_changed_and_put_back_between_two_looks_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"one")
    state, found = read_state(file), file.stat()
    assert unchanged(file, state)
    file.write_bytes(b"two")
    file.write_bytes(b"one")
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert not unchanged(file, state)
    file.unlink()
    assert not unchanged(file, state)


def test_a_folder_counts_by_its_files_and_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_bytes(b"1")
    (folder / "deep/b").write_bytes(b"2")
    before = read_state(folder).digest
    folder.rename(tmp_path / "g")
    folder = tmp_path / "g"
    assert read_state(folder).digest == before
    (folder / "a").rename(folder / "c")
    assert read_state(folder).digest != before
    (folder / "c").rename(folder / "a")
    (folder / "deep/b").write_bytes(b"3")
    assert read_state(folder).digest != before


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_state(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="neither a file nor a folder"):
        read_state(tmp_path / "pipe")


# --- operations -------------------------------------------------------------------------------------------------------


def test_what_makes_an_operation_another() -> None:
    found = replace(read(specimens.tinted, plugin="one", plugin_version="1.0"), source="abc")
    changes: list[dict[str, Any]] = [
        {"plugin": "two"}, {"plugin_version": "1.1"}, {"source": "abd"}, {"source": ""}, {"name": "tint"}, {"version": 2},
    ]  # fmt: skip
    made = {identity(found), *(identity(replace(found, **change)) for change in changes)}
    assert len(made) == len(changes) + 1
    assert identity(replace(found, doc="other help", aliases=("x",), device="cpu")) == identity(found)


def test_a_default_that_changes_misses() -> None:
    who = identity(read(specimens.flat, plugin="one"))
    assert operation_key(who, {"value": 0.5}, {}) != operation_key(who, {"value": 0.6}, {})


def test_the_source_of_a_plain_function_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib
    import sys

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def source(code: str, maths: str) -> str:
        from pipeline_core import sources

        (tmp_path / "my_script.py").write_text(code)
        (tmp_path / "my_maths.py").write_text(maths)
        for name in ("my_script", "my_maths"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        sources._locations.cache_clear()
        sources._is_local.cache_clear()
        module = importlib.import_module("my_script")
        return Catalogue.of([module.lit]).operations["lit"].source

    code = "import my_maths\nfrom pipeline_core import Image\ndef lit(image: Image) -> Image:\n    '''Lit.'''\n    return image\n"
    first = source(code, "F = 2\n")
    assert source(code, "F = 2\n") == first
    assert source(code + "#\n", "F = 2\n") != first
    assert source(code, "F = 3\n") != first


def test_what_a_function_closes_over_counts() -> None:
    def make(factor: Any) -> Any:
        def scaled(image: specimens.Image) -> specimens.Image:
            """Scaled."""
            return image.with_array(image.array * factor)

        return scaled

    def source(factor: Any) -> str:
        return Catalogue.of([make(factor)]).operations["scaled"].source

    assert source(2) == source(2)
    assert source(2) != source(3)
    assert source(2) != source(2.0)
    assert source(object()) != source(object())  # nothing tells whether it is the same
    assert Catalogue.of([operation(version=2)(make(2))]).operations["scaled"].version == 2


def test_a_function_typed_at_a_prompt_is_never_taken_for_another() -> None:
    code = "from pipeline_core import Image\ndef lit(image: Image) -> Image:\n    '''Lit.'''\n    return image\n"
    made = []
    for _ in range(2):
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(code, "<stdin>", "exec"), names)
        made.append(Catalogue.of([names["lit"]]).operations["lit"].source)
    assert made[0] != made[1]


def test_every_file_of_a_plugin_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights and tables give its pixels as much as its code does; what Python and editors leave there does not."""
    from pipeline_core import sources

    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "plugin_with_weights"
    (package / "weights").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "weights" / "small.safetensors").write_bytes(b"\1")
    first = sources.digest_of_sources("plugin_with_weights")
    for left in ("__pycache__/x.pyc", ".hidden.swp", "notes.txt~"):
        (package / left).parent.mkdir(exist_ok=True)
        (package / left).write_bytes(b"")
    assert sources.digest_of_sources("plugin_with_weights") == first
    (package / "weights" / "small.safetensors").write_bytes(b"\2")
    assert sources.digest_of_sources("plugin_with_weights") != first


def test_sources_are_read_again_where_anything_about_them_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline_core import sources

    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "plugin_under_work"
    package.mkdir()
    code = package / "__init__.py"
    code.write_text("A = 1\n")
    read: list[str] = []
    real = sources._read
    monkeypatch.setattr(sources, "_read", lambda path: (read.append(path), real(path))[1])

    def again() -> tuple[str, bool]:
        read.clear()
        return sources.digest_of_sources("plugin_under_work"), bool(read)

    first = again()[0]
    assert again() == (first, True)  # so young that it may be written once more in the same tick of the clock
    monkeypatch.setattr(sources, "TICK", 0)
    time.sleep(0.05)
    again()
    assert again() == (first, False)
    before = os.stat(code)
    code.write_text("A = 2\n")
    os.utime(code, ns=(before.st_atime_ns, before.st_mtime_ns))  # as `cp -p` and `rsync -t` do
    second, was_read = again()
    assert was_read
    assert second != first
    (package / "more.py").write_text("")
    assert again()[0] != second


def test_every_file_of_an_installed_plugin_counts() -> None:
    from pipeline_core.sources import digest_of_recorded

    record = "glow/__init__.py,sha256=a,1\nglow/weights.bin,sha256=b,1\n"
    first = digest_of_recorded(record)
    notes = "glow-1.dist-info/RECORD,,\n../../bin/glow,sha256=c,1\nglow/__pycache__/x.pyc,,\n"
    assert digest_of_recorded(record + notes) == first
    assert digest_of_recorded(record.replace("sha256=b", "sha256=d")) != first

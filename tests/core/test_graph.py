"""What check says: every mistake with its place, what is near, and what would be right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import specimens
from conftest import Command

from pipeline_core import File, Image, PluginError
from pipeline_core.errors import GraphError, SpecError
from pipeline_core.graph import Graph, Link, build
from pipeline_core.plugins import Catalogue
from pipeline_core.spec import parse_spec, substitute

CATALOGUE = Catalogue.of(specimens.ALL)
A = "a: {op: flat}"


def graph(
    text: str,
    *,
    folder: Path | None = None,
    catalogue: Catalogue = CATALOGUE,
    paths: dict[str, str] | None = None,
    **params: Any,
) -> Graph:
    spec, problems = parse_spec(text.encode(), "x.yaml", folder=folder)
    if spec is None:
        raise SpecError(problems=problems)
    return build(spec, catalogue, params, paths=paths, known=problems)


def nodes(*lines: str, outputs: str = "{o: {from: a}}", params: str = "") -> str:
    head = f"params: {params}\n" if params else ""
    return f"pipeline: 1\n{head}nodes:\n" + "".join(f"  {line}\n" for line in lines) + f"outputs: {outputs}\n"


def said(text: str, **given: Any) -> list[str]:
    with pytest.raises((GraphError, SpecError)) as caught:
        graph(text, **given)
    return str(caught.value).splitlines()


# --- one mistake, one line ------------------------------------------------------------------------------------------

MISTAKES = {
    "unknown operation": (["a: {op: flaat}"], "x.yaml:3:11: node 'a': unknown operation 'flaat'. Did you mean 'flat'?"),
    "no operation": (["a: {}"], "x.yaml:3:3: node 'a': 'op' is missing"),
    "node is a text": (["a: flat"], "x.yaml:3:6: node 'a': must be a mapping (got \"flat\")"),
    "unknown key": (["a: {op: flat, parms: {}}"], "x.yaml:3:17: node 'a': unknown key 'parms'. Did you mean 'params'?"),
    "bad name": ([A, "1x: {op: flat}"], "x.yaml:4:3: '1x' is no name: a name begins with a letter and has letters, digits, _ and -"),
    "name with a dot": ([A, "a.b: {op: flat}"], "x.yaml:4:3: 'a.b' is no name"),
    "bad cache": (["a: {op: flat, cache: perhaps}"], "x.yaml:3:24: node 'a', 'cache': must be one of auto, always, never (got perhaps)"),
    "no such node": ([A, "b: {op: double, inputs: {image: aa}}"], "x.yaml:4:35: node 'b', input 'image': no node 'aa'. Did you mean 'a'?"),
    "nothing near": ([A, "b: {op: double, inputs: {image: xyz}}"], "no node 'xyz'; the nodes are a, b"),
    "no such output": (["s: {op: split, inputs: {image: a}}", A, "b: {op: double, inputs: {image: s.imag}}"], "x.yaml:5:35: node 'b', input 'image': 's' has no output 'imag'. Did you mean 'image'?"),
    "empty output": ([A, "b: {op: double, inputs: {image: a.}}"], "'a' has no output ''; 'flat' has image"),
    "no such input": ([A, "b: {op: double, inputs: {img: a, image: a}}"], "x.yaml:4:28: node 'b': 'double' has no input 'img'. Did you mean 'image'?"),
    "input of a source": (["a: {op: flat, inputs: {x: a}}"], "'flat' has no input 'x'; it takes none"),
    "missing input": ([A, "b: {op: double}"], "x.yaml:4:3: node 'b', input 'image': is missing; 'double' wants an image there"),
    "missing list": ([A, "b: {op: total}"], "node 'b', input 'images': is missing; 'total' wants an image there"),
    "either kind missing": ([A, "b: {op: same}"], "'same' wants an image or mask there"),
    "list for one": ([A, "b: {op: double, inputs: {image: [a, a]}}"], "x.yaml:4:35: node 'b', input 'image': takes one link, got a list of 2"),
    "number as a link": ([A, "b: {op: double, inputs: {image: 3}}"], "x.yaml:4:35: node 'b', input 'image': must be a link like 'node' or 'node.output', or a list of links"),
    "wrong kind": ([A, "b: {op: whole, inputs: {mask: a}}"], "x.yaml:4:33: node 'b', input 'mask': wants a mask, but 'a' gives an image"),
    "wrong kind, another output fits": ([A, "s: {op: split, inputs: {image: a}}", "b: {op: whole, inputs: {mask: s}}"], "wants a mask, but 's.image' gives an image; write 's.coverage'?"),
    "wrong kind in a list": ([A, "s: {op: split, inputs: {image: a}}", "b: {op: total, inputs: {images: [a, s.coverage]}}"], "input 'images': wants an image, but 's.coverage' gives a mask"),
    "kinds pass through a variable": ([A, "s: {op: split, inputs: {image: a}}", "m: {op: same, inputs: {raster: s.coverage}}", "b: {op: double, inputs: {image: m}}"], "x.yaml:6:35: node 'b', input 'image': wants an image, but 'm' gives a mask"),
    "table for a picture": ([A, "t: {op: measured, inputs: {image: a}}", "b: {op: double, inputs: {image: t}}"], "wants an image, but 't' gives a table"),
    "unknown param": (["a: {op: flat, params: {valeu: 1}}"], "x.yaml:3:26: node 'a': 'flat' has no param 'valeu'. Did you mean 'value'?"),
    "no params": ([A, "b: {op: double, inputs: {image: a}, params: {x: 1}}"], "'double' has no param 'x'; it has none"),
    "param among inputs": (["a: {op: flat, inputs: {value: a}}"], "x.yaml:3:26: node 'a': 'value' is a param of 'flat', not an input; write it under 'params'"),
    "input among params": ([A, "b: {op: double, params: {image: a}}"], "'image' is an input of 'double', not a param; write it under 'inputs'"),
    "missing param": (["a: {op: from_file}"], "x.yaml:3:3: node 'a': 'from_file' wants param 'path'"),
    "above": (["a: {op: flat, params: {width: 65}}"], "x.yaml:3:33: node 'a', param 'width': must be at most 64 (got 65)"),
    "below": (["a: {op: flat, params: {width: 0}}"], "node 'a', param 'width': must be at least 1 (got 0)"),
    "text for a number": (["a: {op: flat, params: {width: '4'}}"], "must be a whole number (got \"4\")"),
    "truth for a number": (["a: {op: flat, params: {width: true}}"], "must be a whole number (got true)"),
    "fraction for a whole number": (["a: {op: flat, params: {width: 1.5}}"], "must be a whole number (got 1.5)"),
    "not a number": (["a: {op: flat, params: {value: .nan}}"], "x.yaml:3:33: node 'a', param 'value': must be a number (got NaN)"),
    "nothing": (["a: {op: flat, params: {value: null}}"], "must be a number (got null)"),
    "choice": ([A, "b: {op: tinted, inputs: {image: a}, params: {mode: ove}}"], "param 'mode': must be one of over, under (got ove)"),
    "color": ([A, "b: {op: tinted, inputs: {image: a}, params: {color: redd}}"], "param 'color': must be a colour like"),
    "color, infinite": ([A, "b: {op: tinted, inputs: {image: a}, params: {color: [.inf, 0, 0]}}"], "a colour's parts must be finite"),
    "no user's home": (["a: {op: from_file, params: {path: ~nobody-of-that-name/x}}"], "x.yaml:3:37: node 'a', param 'path': no home folder for '~nobody-of-that-name'"),
    "empty path": (["a: {op: from_file, params: {path: ''}}"], "param 'path': must be a path (got \"\")"),
    "NUL in a path": (['a: {op: from_file, params: {path: "x\\0y"}}'], "a path can't hold a NUL character"),
    "unknown reference": (["a: {op: flat, params: {value: '${x}'}}"], "param 'value': no param 'x' for ${x}; the pipeline has no params"),
    "loop": ([A, "b: {op: double, inputs: {image: c}}", "c: {op: double, inputs: {image: d}}", "d: {op: add, inputs: {base: a, top: b}}"], "x.yaml:4:3: nodes feed each other in a loop: b -> d -> c -> b"),
    "own food": ([A, "b: {op: double, inputs: {image: b}}"], "x.yaml:4:3: nodes feed each other in a loop: b -> b"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_with_its_place(case: str) -> None:
    lines, wanted = MISTAKES[case]
    found = said(nodes(*lines))
    assert len(found) == 1, found
    assert wanted in found[0]


OUTPUTS = {
    "none": ("{}", "x.yaml:4:1: the pipeline has no outputs, so there is nothing to do"),
    "no such node": ("{o: {from: b}}", "x.yaml:4:21: output 'o': no node 'b'; the nodes are a"),
    "no such output": ("{o: {from: a.alpha}}", "output 'o': 'a' has no output 'alpha'; 'flat' has image"),
    "no from": ("{o: {path: x.txt}}", "x.yaml:4:11: output 'o': 'from' is missing"),
    "unknown key": ("{o: {from: a, pth: x.txt}}", "output 'o': unknown key 'pth'. Did you mean 'path'?"),
    "suffix": ("{o: {from: a, path: x.tx}}", "x.yaml:4:30: output 'o': can't save an image as '.tx'. Did you mean 'txt'?"),
    "far suffix": ("{o: {from: a, path: x.jpeg}}", "can't save an image as '.jpeg'; known for an image: dat, txt"),
    "no suffix": ("{o: {from: a, path: x}}", "can't save an image without a suffix; known for an image: dat, txt"),
    "a folder's name": ("{o: {from: a, path: out/}}", "x.yaml:4:30: output 'o', 'path': must name a file (got out/)"),
    "here": ("{o: {from: a, path: .}}", "must name a file, but"),
    "empty": ("{o: {from: a, path: ''}}", "must name a file"),
    "a number": ("{o: {from: a, path: 3}}", "output 'o', 'path': must be text (got 3)"),
    "param of the encoder": ("{o: {from: a, path: x.txt, params: {digits: 10}}}", "output 'o', param 'digits': must be at most 9 (got 10)"),
    "unknown param of it": ("{o: {from: a, path: x.txt, params: {digit: 1}}}", "output 'o': 'as_file' has no param 'digit'. Did you mean 'digits'?"),
    "format given": ("{o: {from: a, path: x.txt, params: {format: dat}}}", "output 'o': the format comes from the path's suffix"),
    "the same file": ("{o: {from: a, path: x.txt}, p: {from: a, path: ./y/../x.txt}}", "x.yaml:4:57: output 'p': writes the same file as output 'o'"),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTPUTS)
def test_mistakes_of_outputs(case: str, tmp_path: Path) -> None:
    text, wanted = OUTPUTS[case]
    found = said(nodes(A, outputs=text), folder=tmp_path)
    assert len(found) == 1, found
    assert wanted in found[0]


def test_an_output_that_is_a_folder_is_found_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "x.txt").mkdir()
    assert "is a folder" in said(nodes(A, outputs="{o: {from: a, path: x.txt}}"), folder=tmp_path)[0]


def test_what_a_mistake_hides_is_no_second_mistake() -> None:
    text = nodes(
        "a: {op: flaat}",
        "b: {op: double, inputs: {image: a}}",
        "c: 3",
        "d: {op: add, inputs: {base: b, top: c}}",
        outputs="{o: {from: d}, p: {from: c}, q: {from: a}}",
    )
    assert [line.partition(" ")[0] for line in said(text)] == ["x.yaml:3:11:", "x.yaml:5:6:"]


# --- all at once ------------------------------------------------------------------------------------------------------

TEN = """\
pipeline: 1
params:
  light: {type: float, default: 2, maximum: 1}
nodes:
  a: {op: flatt}
  b: {op: double, inputs: {image: x}}
  c: {op: double, inputs: {}, cache: no}
  d: {op: tinted, inputs: {image: e}, params: {opacity: 2, mode: atop}}
  e: {op: double, inputs: {image: f}}
  f: {op: double, inputs: {image: e}}
  1g: {op: flat}
  h: {op: flat, params: {widht: 3}, inputs: {value: b}}
outputs:
  o: {from: z, path: x.txt}
  p: {from: b, path: x.xyz}
"""


def test_ten_mistakes_are_all_told_in_the_order_of_the_file() -> None:
    found = said(TEN)
    places = [tuple(int(n) for n in line.split(": ")[0].split(":")[1:]) for line in found]
    assert len(found) == 12
    assert places == sorted(places)
    assert [line for line, _ in places] == [3, 5, 6, 7, 8, 8, 9, 11, 12, 12, 14, 15]


def test_the_command_tells_all_ten_and_ends_with_two(tmp_path: Path, command: Command) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(
        "pipeline: 2\n"
        "params: {p: {type: integer}}\n"
        "nodes:\n"
        "  a: {op: constnat}\n"
        "  b: {op: constant, params: {width: 0, height: x, color: redd}}\n"
        "  c: {op: flip, inputs: {image: d}}\n"
        "  d: {op: flip, inputs: {image: c}}\n"
        "  e: {op: flip, inputs: {image: nowhere}}\n"
        "outputs:\n"
        "  o: {from: b, path: x.nix}\n"
        "  p: {frm: c}\n"
    )
    done = command("check", "bad.yaml", cwd=tmp_path)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("bad.yaml:")]
    assert [int(line.split(":")[1]) for line in lines] == [1, 2, 4, 5, 5, 5, 6, 8, 10, 11, 11]
    assert all(line.split(":")[2].isdigit() for line in lines)
    assert "Traceback" not in done.stderr
    assert "11 problems" in done.stderr


# --- what a good file means ---------------------------------------------------------------------------------------------


def test_links_of_all_forms() -> None:
    made = graph(
        nodes(
            A,
            "s: {op: split, inputs: {image: a}}",
            "t: {op: total, inputs: {images: [s.image, a, s]}}",
            "one: {op: total, inputs: {images: a}}",
            "m: {op: tinted, inputs: {mask: s.coverage, image: s}}",
            outputs="{o: {from: t}, p: {from: s.coverage}, q: {from: one}, r: {from: m}}",
        )
    )
    assert made.nodes["t"].links == {"images": (Link("s", 0), Link("a", 0), Link("s", 0))}
    assert made.nodes["one"].links == {"images": (Link("a"),)}
    assert list(made.nodes["m"].links) == ["image", "mask"]
    assert made.targets["p"].link == Link("s", 1)
    assert made.warnings == []
    assert made.order.index("a") < made.order.index("s") < made.order.index("t")


def test_the_graph_is_there_for_networkx() -> None:
    import networkx

    made = graph(
        nodes(A, "s: {op: split, inputs: {image: a}}", "t: {op: total, inputs: {images: [s.image, a, s]}}", outputs="{o: {from: t}}")
    )  # fmt: skip
    assert sorted(made.network.edges) == [("a", "s"), ("a", "t"), ("s", "t")]
    assert made.order == tuple(networkx.topological_sort(made.network))


def test_defaults_are_filled_in_and_values_canonical() -> None:
    made = graph(
        nodes("a: {op: flat, params: {value: 1}}", "b: {op: tinted, inputs: {image: a}, params: {color: '#ff0000'}}")
    )
    assert made.nodes["a"].params == {"value": 1.0, "width": 4, "height": 3}
    assert type(made.nodes["a"].params["value"]) is float
    assert made.nodes["b"].params["color"] == (1.0, 0.0, 0.0, 1.0)


def test_a_node_that_no_output_needs_is_warned_of() -> None:
    made = graph(nodes(A, "b: {op: double, inputs: {image: a}}"))
    assert [str(warning) for warning in made.warnings] == ["x.yaml:4:3: warning: node 'b' is not used by any output"]


PARAMS = "{n: {type: int, default: 3}, f: {type: float, default: 2}, s: {type: str, default: x}, yes: {type: bool, default: true}, where: {type: path, default: in/x.png}, c: {type: color, default: red}, none: {type: int, default: null}}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${n}", 3), ("${f}", 2.0), ("a-${n}", "a-3"), ("${n}${n}", "33"), ("${yes}", True), ("is ${yes}", "is true"),
        ("$${n}", "${n}"), ("$n", "$n"), ("a$${n}b${n}", "a${n}b3"), ("${none}", None), ("${where}", "in/x.png"), ("$", "$"), ("$$", "$$"),
        (["${n}", {"k": "${s}"}], [3, {"k": "x"}]), (4, 4), ("${c}", [1.0, 0.0, 0.0, 1.0]),
    ],
)  # fmt: skip
def test_references_keep_their_type_when_they_stand_alone(text: Any, value: Any) -> None:
    given = graph(nodes(A, params=PARAMS)).params
    found = substitute(text, given)
    assert (type(found), found) == (type(value), value)


def test_a_param_of_the_pipeline_that_is_nothing_is_refused_where_a_value_is_wanted() -> None:
    text = nodes("a: {op: flat, params: {width: '${none}'}}", params=PARAMS)
    assert said(text) == ["x.yaml:4:33: node 'a', param 'width': must be a whole number (got null)"]


def test_a_mistake_in_a_param_of_the_pipeline_is_told_once() -> None:
    text = nodes("a: {op: flat, params: {width: '${n}'}}", "b: {op: tinted, inputs: {image: a}, params: {color: ['${n}', 0, 0]}}", params="{n: {type: int}}", outputs="{o: {from: a, path: '${n}.txt'}}")  # fmt: skip
    assert said(text) == ["x.yaml:2:10: param 'n' has no default and was not given"]
    assert said(text, n="3") == ["param 'n': must be a whole number (got \"3\")"]
    assert graph(text, n=3).nodes["a"].params["width"] == 3


PARAM_MISTAKES = {
    "{n: {type: integer}}": "x.yaml:2:20: param 'n', 'type': must be one of str, int, float, bool, path, color (got integer)",
    "{n: {default: 3}}": "x.yaml:2:10: param 'n': 'type' is missing",
    "{n: {type: int, default: 1.5}}": "x.yaml:2:34: param 'n': must be a whole number (got 1.5)",
    "{n: {type: int, default: 1, minimum: 2}}": "param 'n': must be at least 2 (got 1)",
    "{n: {type: int, default: 1, minimum: 3, maximum: 2}}": "x.yaml:2:13: param 'n': 'minimum' 3 is above 'maximum' 2",
    "{n: {type: int, default: 1, minimum: a}}": "x.yaml:2:46: param 'n', 'minimum': must be a number (got a)",
    "{n: {type: int, default: 1, maximum: 2.5}}": "the limits of an int must be numbers like it",
    "{n: {type: float, default: 1, maximum: .nan}}": "the limits of a float must be numbers like it",
    "{n: {type: str, default: a, minimum: 1}}": "'minimum' and 'maximum' are for int and float, not for str",
    "{n: {type: int, default: 3, choices: [1, 2]}}": "x.yaml:2:34: param 'n': must be one of 1, 2 (got 3)",
    "{n: {type: int, default: 1, choices: []}}": "'choices' can't be empty",
    "{n: {type: int, default: 1, choices: [1, b]}}": "'choices': must be a whole number (got \"b\")",
    "{n: {type: int, default: 1, choices: [1], minimum: 0}}": "'choices' and limits; give one of them",
    "{n: {type: str, default: [1]}}": "param 'n': must be text (got [1])",
    "{n: {type: path, default: ''}}": "must be a path",
    "{n: {type: color, default: redd}}": "must be a colour like",
    "{n: {type: bool, default: 1}}": "must be true or false (got 1)",
    "{n: {type: int, default: 1, hlep: x}}": "unknown key 'hlep'. Did you mean 'help'?",
}  # fmt: skip


@pytest.mark.parametrize("params", PARAM_MISTAKES)
def test_mistakes_of_the_pipelines_own_params(params: str) -> None:
    found = said(nodes(A, params=params))
    assert len(found) == 1, found
    assert PARAM_MISTAKES[params] in found[0]


def test_an_unknown_param_given_by_the_caller_is_named() -> None:
    assert said(nodes(A, params="{light: {type: int, default: 1}}"), ligth=3) == [
        "the pipeline has no param 'ligth'. Did you mean 'light'?"
    ]


def test_paths_in_a_file_start_from_its_folder_and_given_ones_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    text = nodes("a: {op: from_file, params: {path: '${where}'}}", params="{where: {type: path, default: art/x.png}}", outputs="{o: {from: a, path: out/x.txt}}")  # fmt: skip
    there = Path("..") / "there"
    made = graph(text, folder=there)
    assert made.nodes["a"].params["path"].resolve() == tmp_path / "there/art/x.png"
    assert made.nodes["a"].params["path"].is_absolute()
    assert made.targets["o"].path is not None
    assert made.targets["o"].path.resolve() == tmp_path / "there/out/x.txt"
    made = graph(text, folder=there, where="art/y.png", paths={"o": "z.dat"})
    assert made.nodes["a"].params["path"] == tmp_path / "here/art/y.png"
    assert made.targets["o"].path == tmp_path / "here/z.dat"
    assert made.targets["o"].encoder == "o.dat"


def test_the_suffix_chooses_the_encoder_whatever_its_case(tmp_path: Path) -> None:
    made = graph(nodes(A, outputs="{o: {from: a, path: X.TXT, params: {digits: 2}}, p: {from: a}}"), folder=tmp_path)
    assert made.nodes["o.txt"].params == {"digits": 2, "format": "txt"}
    assert made.targets["p"].encoder is None


def other_file(image: Image, *, format: Literal["txt"]) -> File:  # noqa: A002
    """Another."""
    return File(b"")


def test_two_plugins_that_save_one_format_are_both_named() -> None:
    two = Catalogue.of(specimens.ALL, plugin="one")
    two.add([other_file], plugin="two")
    found = said(nodes(A, outputs="{o: {from: a, path: x.txt}}"), catalogue=two)
    assert "two plugins save an image as '.txt': one.as_file, two.other_file" in found[0]


def test_two_plugins_with_one_name_are_both_named_and_neither_wins() -> None:
    two = Catalogue.of([specimens.flat], plugin="one")
    two.add([specimens.flat, specimens.double], plugin="two")
    found = said(nodes(A), catalogue=two)
    assert "operation 'flat' is offered by two plugins: one, two. Write 'one.flat' or 'two.flat'" in found[0]
    made = graph(
        nodes("a: {op: two.flat}", "b: {op: double, inputs: {image: a}}", outputs="{o: {from: b}}"), catalogue=two
    )
    assert made.nodes["a"].operation.plugin == "two"


def test_two_functions_of_one_name_are_refused() -> None:
    def make(factor: float) -> Callable[..., Any]:
        def scaled(image: Image) -> Image:
            """Scaled."""
            return image.with_array(image.array * factor)

        return scaled

    both: Sequence[Callable[..., Any]] = [make(2), make(3)]
    with pytest.raises(PluginError, match="two functions are named 'scaled'"):
        Catalogue.of(both)


def test_ten_thousand_nodes_in_a_chain_need_no_recursion() -> None:
    lines = [A, "n0: {op: double, inputs: {image: a}}"]
    lines += [f"n{i}: {{op: double, inputs: {{image: n{i - 1}}}}}" for i in range(1, 9_000)]
    made = graph(nodes(*reversed(lines), outputs="{o: {from: n8999}}"))
    assert made.order[-1] == "n8999"

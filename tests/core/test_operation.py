"""Operations from signatures: what is accepted, and every refusal with its place and its mend."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import pytest
from pydantic import BaseModel, Field

from pipeline_core import AnyRaster, Color, Image, Mask, PluginError, Seed, Table, Unit, operation
from pipeline_core.operation import Operation, bind, read
from pipeline_core.schema import checker, describe


class Mode(Enum):
    OVER = "over"
    UNDER = "under"


class Stop(BaseModel):
    at: Unit
    color: Color = (0.0, 0.0, 0.0, 1.0)


class Both(NamedTuple):
    image: Image
    mask: Mask


@dataclass(frozen=True)
class Network:
    weights: Any


@dataclass
class Loose:
    x: int


def rich(
    base: Image,
    tops: list[Image],
    either: Image | Mask,
    network: Network,
    mask: Mask | None = None,
    more: list[Mask] | None = None,
    *,
    size: tuple[int, int],
    mode: Mode = Mode.OVER,
    filter: Literal["box", "cubic"] = "box",  # noqa: A002  the name that pipelines use
    amount: Annotated[float, Field(ge=0, lt=10, multiple_of=0.5, description="how much")] = 1,
    seed: Seed = 0,
    color: Color = (1.0, 0.0, 0.0, 1.0),
    file: Path | None = None,
    files: list[Path] = [],  # noqa: B006  as a plugin's author may write it
    stops: list[Stop] = [Stop(at=0)],  # noqa: B006, B008
    flag: bool = False,
    table: dict[str, float] = {},  # noqa: B006
    names: set[str] = {"b", "a"},  # noqa: B006
    anything: Any = None,
) -> Both:
    """Everything that a signature may hold.

    More help.
    """
    return Both(base, mask or Mask(base.buffer[..., :1]))


def test_everything_that_a_signature_may_hold_is_read() -> None:
    found = read(rich, plugin="test")
    assert (found.name, found.summary) == ("rich", "Everything that a signature may hold.")
    assert [(i.name, i.optional, i.many) for i in found.inputs] == [
        ("base", False, False), ("tops", False, True), ("either", False, False), ("network", False, False),
        ("mask", True, False), ("more", True, True),
    ]  # fmt: skip
    assert found.inputs[2].kinds == ("Image", "Mask")
    assert found.inputs[3].kinds == (f"{__name__}:Network",)
    assert [(o.name, o.kind) for o in found.outputs] == [("image", "Image"), ("mask", "Mask")]
    params = {param.name: param for param in found.params}
    assert [name for name, param in params.items() if param.required] == ["size"]
    assert params["mode"].default == "over"
    assert params["amount"].help == "how much"
    assert params["names"].default == ["a", "b"]
    assert params["stops"].default == [{"at": 0.0, "color": [0.0, 0.0, 0.0, 1.0]}]


def test_a_description_survives_the_catalogue_on_disk() -> None:
    import json

    found = read(rich, plugin="test")
    again = Operation.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    assert again.function is None


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("size", [[3, 4]], [[3], [3, 4, 5], 3, "3x4", [3, 4.5]]),
        ("mode", ["over", "under"], ["Over", "OVER", 1, None]),
        ("filter", ["cubic"], ["", "lanczos", 0]),
        ("amount", [0, 9.5, 3], [-1, 10, 0.3, "1", True, None, float("nan")]),
        ("seed", [0, 2**63 - 1], [-1, 2**63, 1.0]),
        (
            "color",
            ["#123", "Red", [1, 2, 3], [0, 0, 0, 0], 0.5],
            ["#12", "", [1, 2], [1, 2, "3"], None, True, [True, 1, 1]],
        ),
        ("file", ["a.png", None], ["", 3, "a\0b"]),
        ("files", [[], ["a", "b"]], ["a", [3]]),
        ("stops", [[], [{"at": 0.5}], [{"at": 1, "color": "red"}]], [[{}], [{"at": 2}], {"at": 1}]),
        ("flag", [True, False], [1, "yes", None]),
        ("table", [{}, {"a": 1}], [{"a": "b"}, []]),
        ("anything", [None, 1, "x", {"a": [1]}], []),
    ],
)
def test_params_are_validated_from_the_catalogue_alone(name: str, good: list[Any], bad: list[Any]) -> None:
    import json

    found = Operation.from_json(json.loads(json.dumps(read(rich, plugin="test").to_json())))
    check = checker(next(param.schema for param in found.params if param.name == name))
    for value in good:
        check(value)
    for value in bad:
        with pytest.raises(ValueError, match=r".+"):
            check(value)


def test_params_arrive_as_the_function_wants_them() -> None:
    found = read(rich, plugin="test")
    given: dict[str, Any] = {}
    for param in found.params:
        given[param.name] = checker(param.schema)([1, 2] if param.required else param.default)
    given["mode"], given["stops"] = "under", [{"at": 0.5, "color": "red"}]
    bound = bind(found, given)
    assert bound["mode"] is Mode.UNDER
    assert bound["stops"] == [Stop(at=0.5, color=(1.0, 0.0, 0.0, 1.0))]
    assert bound["size"] == (1, 2)
    assert bound["color"] == (1.0, 0.0, 0.0, 1.0)
    assert bound["names"] == {"a", "b"}


def test_an_output_may_have_the_kind_of_an_input() -> None:
    def same(raster: AnyRaster, *, n: int = 1) -> AnyRaster:
        """Same."""
        return raster

    found = read(same, plugin="test")
    assert found.inputs[0].kinds == ("Image", "Mask")
    assert (found.outputs[0].name, found.outputs[0].like) == ("raster", "raster")


def test_facts_of_the_decorator() -> None:
    @operation(version=3, support=lambda radius: radius, device="cpu", cache="never", aliases=("gauss",))
    def soft(image: Image, *, radius: float = 1) -> Image:
        """Soft."""
        return image

    @operation
    def plain(image: Image) -> Image:
        """Plain."""
        return image

    found = read(soft, plugin="test")
    assert (found.version, found.tiles, found.pointwise, found.device, found.cache) == (3, True, False, "cpu", "never")
    assert read(plain, plugin="test").version == 1
    assert read(operation(support=0)(plain), plugin="test").pointwise


def test_types_for_people() -> None:
    params = {param.name: describe(param.schema) for param in read(rich, plugin="test").params}
    assert params["seed"].startswith("int, at least 0")
    assert params["size"] == "[int, int]"
    assert params["filter"] == "one of box, cubic"
    assert params["file"] == "path or nothing"
    assert params["color"].startswith("colour")
    assert params["files"] == "list of path"


# --- refusals -------------------------------------------------------------------------------------------------------

Lost = TypeVar("Lost", Image, Mask)


def undocumented(image: Image) -> Image:
    return image


def unannotated(image) -> Image:  # type: ignore[no-untyped-def]
    """X."""
    return image  # type: ignore[no-any-return]


def unannotated_param(image: Image, *, n=1) -> Image:  # type: ignore[no-untyped-def]
    """X."""
    return image


def param_before_the_star(image: Image, radius: float) -> Image:
    """X."""
    return image


def kind_after_the_star(image: Image, *, mask: Mask) -> Image:
    """X."""
    return image


def input_with_default(image: Image = Image.stand_in(1, 1)) -> Image:  # noqa: B008
    """X."""
    return image


def none_without_default(image: Image, mask: Mask | None) -> Image:
    """X."""
    return image


def many(*images: Image) -> Image:
    """X."""
    return images[0]


def anyway(image: Image, **params: float) -> Image:
    """X."""
    return image


def nothing(image: Image):  # type: ignore[no-untyped-def]
    """X."""


def none(image: Image) -> None:
    """X."""


def number(image: Image) -> float:
    """X."""
    return 1.0


def perhaps(image: Image) -> Image | None:
    """X."""
    return image


def pair(image: Image) -> tuple[Image, Image]:
    """X."""
    return image, image


def lost(image: Image) -> Lost:
    """X."""
    return image  # type: ignore[return-value]


def loose(x: Loose) -> Image:
    """X."""
    return Image.stand_in(1, 1)


def bad_default(image: Image, *, amount: Unit = 2) -> Image:
    """X."""
    return image


def bad_choice(image: Image, *, mode: Literal["a", "b"] = "c") -> Image:  # type: ignore[assignment]
    """X."""
    return image


def callback(image: Image, *, rule: Callable[[int], int]) -> Image:
    """X."""
    return image


def raw(image: Image, *, content: bytes = b"x") -> Image:
    """X."""
    return image


def unknown(image: Image, *, t: Missing = 1) -> Image:  # type: ignore[name-defined]  # noqa: F821
    """X."""
    return image


def broken(image: Image, *, t: Path.nowhere = 1) -> Image:  # type: ignore[name-defined]
    """X."""
    return image


async def later(image: Image) -> Image:
    """X."""
    return image


def stream(image: Image) -> Iterator[Image]:
    """X."""
    yield image


def fine(image: Image, *, n: int = 1) -> Image:
    """X."""
    return image


def marked(**facts: Any) -> Callable[..., Any]:
    return operation(**facts)(functools.wraps(fine)(lambda image, *, n=1: image))


REFUSALS: list[tuple[Any, str]] = [
    (undocumented, "operation 'undocumented' (test_operation.py:"),
    (undocumented, "it has no docstring; write one: its first line is the summary in the catalogue"),
    (unannotated, "'image' has no annotation; write 'image: Image'"),
    (unannotated_param, "'n' has no annotation; write 'n: float = 1.0'"),
    (param_before_the_star, "'radius' comes before the '*', so it is an input, but float is not a kind; move it after the '*'"),
    (kind_after_the_star, "'mask' comes after the '*', so it is a param, but"),
    (input_with_default, "input 'image' has a default that is not None; write 'image: Image | None = None'"),
    (none_without_default, "input 'mask' may be None but has no default; write 'mask: ... | None = None'"),
    (many, "'*images' takes any number of values; write 'images: list[Image]' before a bare '*'"),
    (anyway, "'**params' can't be validated; name every param after the '*', with its type"),
    (nothing, "it does not say what it returns; write '-> Image', or a NamedTuple of kinds"),
    (none, "it does not say what it returns"),
    (number, "it returns float, which is not a kind; return Image, Mask, ... or a NamedTuple of kinds"),
    (perhaps, "which is not a kind"),
    (pair, "which is not a kind"),
    (lost, "but no input has that type; annotate an input with it too"),
    (loose, "input 'x' is a Loose, which is not frozen; write '@dataclass(frozen=True)' on the kind"),
    (bad_default, "the default of param 'amount' does not fit its type: must be at most 1 (got 2); change one of them"),
    (bad_choice, "the default of param 'mode' does not fit its type: must be one of a, b (got c)"),
    (callback, "param 'rule' has a type that can't be written in a file"),
    (raw, "param 'content' has a type that can't be written in a file"),
    (unknown, "an annotation can't be read: name 'Missing' is not defined; import the type at the top of the module"),
    (broken, "an annotation can't be read: AttributeError"),
    (later, "it is async or a generator; write a plain 'def' that returns its result"),
    (stream, "it is async or a generator"),
    (3, "operations() must return functions, not 3"),
    (functools.partial(fine, n=2), "operations() must return functions, not functools.partial"),
    (marked(version=0), "version=0; write a whole number from 1 on"),
    (marked(version="2"), "version='2'; write a whole number"),
    (marked(cache="sometimes"), "cache='sometimes'; write 'auto', 'always' or 'never'"),
    (marked(device="cuda"), "device='cuda'; write 'cpu', or leave it out"),
    (marked(aliases="blur"), "aliases='blur'; write a tuple of names"),
    (marked(infer=lambda image: image), "its 'infer' rule can't be called: got an unexpected keyword argument 'n'; let it take the inputs and params"),
    (marked(support=lambda radius: radius), "its 'support' rule can't be called: missing a required argument: 'radius'"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "wanted"), REFUSALS, ids=range(len(REFUSALS)))
def test_a_signature_that_breaks_the_rule_is_refused_with_its_mend(function: Any, wanted: str) -> None:
    with pytest.raises(PluginError) as caught:
        read(function, plugin="glow")
    assert wanted in str(caught.value)
    assert str(caught.value).startswith("plugin 'glow'")
    assert "\n" not in str(caught.value)


def test_the_front_door_lists_what_it_opens() -> None:
    import pipeline_core

    assert sorted(pipeline_core._HOME) == sorted(set(pipeline_core.__all__) - {"__version__"})
    assert dir(pipeline_core) == sorted(pipeline_core.__all__)
    assert all(getattr(pipeline_core, name) is not None for name in pipeline_core.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'imgae'"):
        pipeline_core.imgae  # noqa: B018
    assert Table is pipeline_core.Table

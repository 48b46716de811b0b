"""The contract finds what it is there to find."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pytest
import torch
from pydantic import Field

from pipeline_core import AnyRaster, File, Image, Mask, OperationError, PluginError, Table, Unit, operation
from pipeline_core.operation import read
from pipeline_core.testing import ContractError, check_operation, contract, contract_cases


@dataclass(frozen=True)
class Palette:
    colors: tuple[tuple[float, float, float], ...]


class Parts(NamedTuple):
    image: Image
    mask: Mask


def blurred(pixels: torch.Tensor, radius: int) -> torch.Tensor:
    size = 2 * radius + 1
    padded = torch.nn.functional.pad(pixels, (radius,) * 4, mode="replicate")
    return torch.nn.functional.avg_pool2d(padded, size, stride=1)


@operation(support=lambda radius, **_: radius)
def glow(
    image: AnyRaster, mask: Mask | None = None, *, radius: Annotated[int, Field(ge=0)] = 2, amount: Unit = 0.5
) -> AnyRaster:
    """Add a soft copy."""
    soft = blurred(image.pixels, radius) * amount
    return image.with_pixels(image.pixels + (soft if mask is None else soft * mask.pixels), wrap=(False, False))


def mixed(images: list[Image], *, weights: list[float] | None = None) -> Parts:
    """The mean of several images, and where they differ."""
    shares = torch.tensor(weights or [1.0] * len(images)).reshape(-1, 1, 1, 1, 1)
    if len(shares) != len(images):
        raise OperationError(f"{len(images)} images, but {len(shares)} weights: give as many")
    stack = torch.stack([image.pixels for image in images])
    mean = (stack * shares / shares.sum()).sum(0)
    differing = (stack - stack[0]).abs().amax((0, 2)).unsqueeze(1)
    return Parts(images[0].with_pixels(mean), Mask(differing.permute(0, 2, 3, 1)))


@operation(device="cpu")
def size_of(*, path: Path) -> Table:
    """How many bytes a file has."""
    return Table(("bytes",), ((path.stat().st_size,),))


def brightness(image: Image) -> Table:
    """How bright each picture of a batch is."""
    means = image.pixels.mean(dim=(1, 2, 3)).tolist()
    return Table(("image", "mean"), tuple(enumerate(means)))


@operation(batch="set")
def brightest(image: Image) -> Image:
    """The brightest picture of a batch."""
    return image.with_pixels(image.pixels[image.pixels.mean(dim=(1, 2, 3)).argmax()][None])


@pytest.mark.parametrize("function", [glow, mixed, size_of, brightness, brightest])
def test_good_operations_pass(function: Any) -> None:
    check_operation(function)


# --- one operation per rule that can be broken ---


def writes(image: Image) -> Image:
    """Half as bright."""
    image.buffer[...] = image.buffer // 2
    return image


def writes_arrays(image: Image) -> Image:
    """Sorts in place."""
    if isinstance(image.buffer, np.ndarray):
        image.buffer.sort(axis=1)
    return image


KEPT = np.zeros((1, 4, 4, 3), np.float32)


def keeps(*, width: int = 4) -> Image:
    """Black."""
    return Image(KEPT)


COUNTER = itertools.count()


def changes(image: Image) -> Image:
    """Another time, another picture."""
    return image.with_pixels(image.pixels + next(COUNTER))


def lies_about_kind(image: Image) -> Mask:
    """A mask."""
    return image  # type: ignore[return-value]  # the mistake under test


def raises(image: Image) -> Image:
    """Fails."""
    raise ValueError("no")


def talks(image: Image) -> Image:
    """Refuses at length."""
    raise OperationError("first\nsecond")


def refuses(image: Image) -> Image:
    """Refuses all."""
    raise OperationError("never")


def mixes_items(image: Image) -> Image:
    """Brightness relative to the whole batch."""
    return image.with_pixels(image.pixels - image.pixels.mean())


def merges_items(image: Image) -> Image:
    """One picture of many."""
    return image.with_pixels(image.pixels.mean(0, keepdim=True))


def ranks_items(image: Image) -> Table:
    """Pictures of a batch, by brightness."""
    means = image.pixels.mean(dim=(1, 2, 3))
    return Table(("image", "rank"), tuple(enumerate(means.argsort().argsort().tolist())))


@operation(support=1)
def reaches_further(image: Image) -> Image:
    """A blur of radius 2 that says 1."""
    return image.with_pixels(blurred(image.pixels, 2))


@operation(support=0)
def depends_on_place(image: Image) -> Image:
    """A ramp, said to be pointwise."""
    down = torch.arange(image.height, device=image.pixels.device)[:, None]
    return image.with_pixels(image.pixels + down + torch.arange(image.width, device=image.pixels.device))


@operation(support=2)
def ignores_the_seam(image: Image) -> Image:
    """A blur that does not read across the seam of a picture that tiles, and says that it still tiles."""
    return image.with_pixels(blurred(image.pixels, 2))


@operation(support=lambda radius: 1 / radius)
def support_fails(image: Image, *, radius: int = 0) -> Image:
    """A support that can't be told."""
    return image.with_pixels(image.pixels * 2)


@operation(infer=lambda image: image)
def infers_wrongly(image: Image) -> Image:
    """Turned on its side."""
    return image.with_pixels(image.pixels.transpose(2, 3))


def _refusing(image: Image) -> Image:
    raise OperationError("no")


@operation(infer=_refusing)
def infers_refusal(image: Image) -> Image:
    """Refused before the run only."""
    return image


@operation(infer=lambda image: image.with_pixels(image.sizes))
def infer_fails(image: Image) -> Image:
    """A rule with a mistake in it."""
    return image


def prefers_arrays(image: Image) -> Image:
    """Twice as bright, for arrays."""
    return image.with_pixels(image.pixels * 2) if isinstance(image.buffer, np.ndarray) else image


@dataclass(frozen=True)
class Handle:
    inside: Any


def holds_an_object(image: Image) -> Handle:
    """A kind with something in it that is no value."""
    return Handle(object())


@pytest.mark.parametrize(
    ("function", "check", "words"),
    [
        (writes, "leaves_inputs_alone", "wrote into its input 'image'"),
        (writes_arrays, "leaves_inputs_alone", "'image' (numpy)"),
        (keeps, "keeps_no_buffer", "keeps a buffer"),
        (changes, "gives_the_same_twice", "a second call gives another result"),
        (lies_about_kind, "gives_what_it_says", "output 'mask' must be a Mask"),
        (raises, "gives_what_it_says", "raised ValueError: no"),
        (talks, "gives_what_it_says", "in one line"),
        (refuses, "gives_what_it_says", "refuses all of 6 trials, the last with: never"),
        (mixes_items, "treats_a_batch_as_its_items", "item 0 of a batch differs"),
        (merges_items, "treats_a_batch_as_its_items", "a batch of two gave a batch of 1"),
        (ranks_items, "treats_a_batch_as_its_items", "differs from the same image alone"),
        (reaches_further, "runs_in_tiles", "a tile with a margin of 1 pixels differs"),
        (depends_on_place, "runs_in_tiles", "a tile with a margin of 0 pixels differs"),
        (depends_on_place, "runs_in_strips", "made of strips of 1 rows it differs from the whole"),
        (reaches_further, "runs_in_strips", "made of strips of 1 rows it differs from the whole"),
        (ignores_the_seam, "runs_in_strips", "image of RGB float32 tiling: made of strips of 1 rows it differs"),
        (support_fails, "runs_in_strips", "support(**params) raised ZeroDivisionError"),
        (support_fails, "runs_in_tiles", "support(**params) raised ZeroDivisionError"),
        (infers_wrongly, "infers_what_it_gives", "is inferred as 40x32 RGB float32"),
        (infers_refusal, "infers_what_it_gives", "refused before the run, taken by the run"),
        (infer_fails, "infers_what_it_gives", "the infer rule raised AttributeError"),
        (prefers_arrays, "takes_arrays_and_tensors_alike", "tensors give another result than arrays"),
        (holds_an_object, "can_be_stored", "can't be stored: Handle.inside is a object"),
    ],
)
def test_a_broken_rule_is_found(function: Any, check: str, words: str) -> None:
    cases = {case.check.__name__: case for case in contract_cases([read(function, plugin="local")])}
    with pytest.raises(ContractError) as caught:
        cases[check]()
    assert words in str(caught.value)


def test_check_operation_tells_all_that_is_broken() -> None:
    with pytest.raises(ContractError) as caught:
        check_operation(mixes_items)
    assert str(caught.value).startswith("treats_a_batch_as_its_items: image of RGB float32: ")


def recolored(image: Image, palette: Palette, *, table: Path) -> Image:
    """An image in the first colour of a palette."""
    if table.suffix != ".cube":
        raise OperationError(f"{table.name} is no table: give a .cube file")
    color = torch.tensor(palette.colors[0]).reshape(1, 3, 1, 1)
    return Image(image.pixels[:, :1].mul(color).permute(0, 2, 3, 1), wrap=image.wrap)


def test_authors_give_what_cannot_be_made_up(tmp_path: Path) -> None:
    table = tmp_path / "warm.cube"
    table.write_text("LUT_3D_SIZE 2\n")
    with pytest.raises(ContractError, match="nothing to try it with"):
        check_operation(recolored)
    with pytest.raises(ContractError, match="is no table"):
        check_operation(recolored, values={Palette: [Palette(((0.5, 0.2, 0.1),))]})
    check_operation(recolored, params={"table": table}, values={Palette: [Palette(((0.5, 0.2, 0.1),))]})


def labelled(image: Image, *, label: Annotated[str, Field(examples=["grass"])]) -> File:
    """Knows one word."""
    if label != "grass":
        raise OperationError(f"no label '{label}'")
    return File(label.encode())


def test_examples_of_the_author_are_taken() -> None:
    check_operation(labelled)


def test_a_contract_is_a_test_with_a_case_for_every_operation_and_check() -> None:
    test = contract("pipeline_draw")
    (mark,) = test.pytestmark  # type: ignore[attr-defined]  # pytest's own mark on the function
    names = [parameters.id for parameters in mark.args[1]]
    assert "pipeline_draw.constant-gives_the_same_twice" in names
    assert len(names) == len(set(names))


def test_a_plugin_that_does_not_load_is_a_failing_case() -> None:
    (mark,) = contract("pipeline_missing").pytestmark  # type: ignore[attr-defined]  # as above
    (case,) = mark.args[1]
    assert case.id == "pipeline_missing-loads"
    with pytest.raises(PluginError, match="No module named 'pipeline_missing'"):
        case.values[0]()

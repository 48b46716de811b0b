"""Files read and written row by row inside a group: the same files as whole, errors that name the node, nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_core import Image, NodeError, OutputError, Pipeline, operation
from pipeline_core import frames as frames_module
from pipeline_core import groups as groups_module
from pipeline_core import strips as strips_module
from pipeline_core.api import run_plan
from pipeline_core.build import Ref
from pipeline_core.cache import Cache
from pipeline_core.events import Event, Finished
from pipeline_core.groups import form
from pipeline_core.plan import make_plan

WIDTH, HEIGHT = 61, 143


@pytest.fixture(autouse=True)
def _small_pictures_count_as_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (groups_module, strips_module):
        monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(groups_module, "STREAMED", 0)
    monkeypatch.setattr("pipeline_io.rows._PAYS_FROM", 0)
    monkeypatch.setattr(frames_module, "STRIP", 1)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A TIFF with a text."""
    pixels = np.random.default_rng(3).integers(0, 256, (1, HEIGHT, WIDTH, 4), np.uint8)
    pixels[..., :3] = np.sort(pixels[..., :3], axis=1)
    made = Pipeline(folder=tmp_path)

    @operation
    def noise() -> Image:
        """Noise."""
        return Image(pixels, channels=("R", "G", "B", "A"), alpha="straight", meta={"artist": "nobody"})

    for name in ("in.tif", "in.png"):
        made.output(name.replace(".", "-"), made.node(name.replace(".", "-"), noise), path=name)
    run_plan(make_plan(made.graph()))
    return tmp_path / "in.tif"


def chain(source: Path, *steps: tuple[Any, dict[str, Any]], out: str = "out.tif", **params: Any) -> Pipeline:
    made = Pipeline(folder=source.parent)
    node = made.node("src", "load_image", path=str(source))
    for i, (name, given) in enumerate(steps):
        node = made.node(f"n{i}", name, image=node, **given)
    made.output("out", node, path=out, **params)
    return made


def ran(made: Pipeline, **given: Any) -> set[str]:
    """The nodes that ran in strips."""
    events: list[Event] = []
    run_plan(make_plan(made.graph(), values=False), listeners=[events.append], **given)
    return {event.node for event in events if isinstance(event, Finished) and event.strips}


STEPS = (("grade", {"gain": 1.2}), ("blur", {"sigma": 1.0}), ("resize", {"scale": 0.5, "filter": "lanczos3"}))


@pytest.mark.parametrize("out", ["out.tif", "out.png", "out.exr"])
@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_the_file_is_what_it_is_when_made_whole(source: Path, out: str, jobs: int, suffix: str) -> None:
    params = {} if out.endswith("exr") else {"depth": 8}
    made = chain(source.with_suffix(suffix), *STEPS, out=out, **params)
    assert ran(made, jobs=jobs) == {"src", "n0", "n1", "n2", f"{out}"}
    found = (source.parent / out).read_bytes()
    assert ran(made, strips=False) == set()
    assert found == (source.parent / out).read_bytes()
    assert {path.name for path in source.parent.iterdir()} == {"in.tif", "in.png", out}


def test_a_file_that_still_is_what_was_written_is_not_made_again(source: Path, tmp_path: Path) -> None:
    made = chain(source, *STEPS, depth=8)
    with Cache.open(tmp_path / "cache", memory=0) as cache:
        assert ran(made, cache=cache)
        cache.flush()
        assert run_plan(make_plan(made.graph(), values=False), cache=cache).computed == 0
        time = (source.parent / "out.tif").stat().st_mtime_ns
    ran(made)
    assert (source.parent / "out.tif").stat().st_mtime_ns == time  # the same bytes: the file keeps its time


def test_two_files_and_a_value_of_one_picture(source: Path) -> None:
    made = chain(source, *STEPS, depth=8)
    made.output("other", made.node("more", "grade", image=Ref("n1"), gain=0.5), path="other.png", depth=8)
    assert {"src", "n0", "n1", "n2", "more", "out.tif", "other.png"} >= ran(made) > {"src", "n0", "n1"}
    found = [(source.parent / name).read_bytes() for name in ("out.tif", "other.png")]
    ran(made, strips=False)
    assert found == [(source.parent / name).read_bytes() for name in ("out.tif", "other.png")]


def test_what_is_turned_over_is_not_read_from_the_top_over_and_over(source: Path) -> None:
    def grouped(path: Path) -> list[list[str]]:
        made = chain(path, ("grade", {"gain": 1.2}), ("flip", {}), ("grade", {"gain": 0.9}), depth=8)
        plan = make_plan(made.graph(), values=False)
        load = plan.graph.catalogue.load
        groups = form(plan, range(len(plan.steps)), lambda step: load(step.node.operation), writes=True)
        return [[plan.steps[i].name for i in group.steps] for group in groups]

    assert grouped(source) == [["src", "n0", "n1", "n2", "out.tif"]]
    assert grouped(source.with_suffix(".png")) == [["src", "n0"], ["n1", "n2", "out.tif"]]


def test_a_damaged_file_is_named(source: Path) -> None:
    content = bytearray(source.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
    source.write_bytes(content)
    with pytest.raises(NodeError, match=r"'src'.*in\.tif: damaged tiff file"):
        ran(chain(source, *STEPS, depth=8))
    assert {path.name for path in source.parent.iterdir()} == {"in.tif", "in.png"}


@operation(support=0)
def spoiled(image: Image) -> Image:
    """Makes what no file of integers can hold."""
    array = image.array.copy()
    array[array > 0.95] = np.nan
    return image.with_array(array)


def test_what_a_file_can_not_hold_is_told_of_the_output(source: Path) -> None:
    (source.parent / "out.tif").write_bytes(b"before")
    with pytest.raises(NodeError, match=r"out\.tif.*not finite|out\.tif.*NaN"):
        ran(chain(source, (spoiled, {}), depth=8))
    assert (source.parent / "out.tif").read_bytes() == b"before"
    assert {path.name for path in source.parent.iterdir()} == {"in.tif", "in.png", "out.tif"}


def test_an_output_that_can_not_be_written_is_named(source: Path) -> None:
    with pytest.raises(OutputError, match=r"output 'out': can't write .*out\.tif: "):
        ran(chain(source, *STEPS, out="in.png/out.tif", depth=8))

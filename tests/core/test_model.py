"""The kind Model: what it holds, what it is called, and what its digest counts."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

import pipeline_core
from pipeline_core import Image, Model, operation
from pipeline_core.image import KindError
from pipeline_core.infer import infer
from pipeline_core.testing.compare import difference
from pipeline_core.values import buffers, change_buffers, fingerprint, move, nbytes, put_together, take_apart


def model(**changes: object) -> Model:
    fields = {
        "architecture": "line",
        "tensors": {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7)},
        "config": {"width": 3, "sizes": [1, 2]},
        "manifest": {"name": "ruler", "task": "draw lines", "licence": "CC0-1.0"},
    }
    return Model(**{**fields, **changes})  # type: ignore[arg-type]  # by name


def test_what_it_says_of_itself() -> None:
    assert str(model()) == "model ruler (line), 7 numbers"
    assert str(Model("onnx", {"file": np.zeros(2_000_000, np.uint8)})) == "model onnx, 2,000,000 numbers"


def test_it_is_made_of_what_the_cache_the_guard_and_devices_understand() -> None:
    import torch

    one = model()
    tree, parts = take_apart(one)
    again = put_together(tree, parts)
    assert again.digest == one.digest
    assert again.manifest == one.manifest
    assert difference(one, again) == ""
    assert "weight" in difference(one, change_buffers(one, lambda buffer: np.asarray(buffer + 1)))
    assert nbytes(one) == one.nbytes == 32
    assert len(buffers(one)) == 2
    before = fingerprint(one)
    one.tensors["weight"][0, 0] = 5
    assert fingerprint(one) != before
    moved = move(model(), "meta")
    assert (moved.device, model().device) == ("meta", "cpu")
    assert isinstance(moved.tensors["weight"], torch.Tensor)
    assert pickle.loads(pickle.dumps(model())).digest == model().digest


def test_its_digest_counts_what_it_computes_and_nothing_else() -> None:
    import torch

    wanted = model().digest
    as_torch = {name: torch.from_numpy(part) for name, part in model().tensors.items()}
    other_order = dict(reversed(list(model().tensors.items())))
    for same in (
        {"manifest": {}}, {"tensors": as_torch}, {"tensors": other_order}, {"config": {"sizes": (1, 2), "width": 3}},
    ):  # fmt: skip
        assert model(**same).digest == wanted, same
    weight, steps = model().tensors["weight"], model().tensors["steps"]
    for other in (
        {"architecture": "curve"},
        {"config": {"width": 3.0, "sizes": [1, 2]}},
        {"config": {"width": 3}},
        {"tensors": {"weight": weight + 1, "steps": steps}},
        {"tensors": {"weight": weight.reshape(3, 2), "steps": steps}},
        {"tensors": {"weight": weight.view(np.int32), "steps": steps}},
        {"tensors": {"other": weight, "steps": steps}},
        {"tensors": {"weight": weight}},
    ):
        assert model(**other).digest != wanted, other


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"architecture": ""}, "the architecture has no name"),
        ({"tensors": {"w": [1, 2]}}, "'w' must be an array or a torch tensor, not list"),
        ({"config": {"width": np.float32(2)}}, "the config must be of plain values"),
        ({"manifest": {"made": object()}}, "the manifest must be of plain values"),
    ],
)
def test_what_it_refuses(fields: dict[str, object], said: str) -> None:
    with pytest.raises(KindError, match=said):
        model(**fields)


# --- on links -------------------------------------------------------------------------------------------------------


def _infer_ruler() -> Model:
    return Model("line", {}, {"factor": 3})


@operation(infer=_infer_ruler)
def ruler() -> Model:
    """A model."""
    return Model("line", {"weight": np.ones(1, np.float32)}, {"factor": 3})


@operation
def unknown_ruler() -> Model:
    """A model of which nothing is known before the run."""
    return ruler()


def _infer_enlarge(image: Image, model: Model) -> Image:
    return image.like(width=image.width * model.config["factor"])


@operation(infer=_infer_enlarge)
def enlarge(image: Image, model: Model) -> Image:
    """As many columns as the model says."""
    return image.with_array(np.repeat(image.array, model.config["factor"], 2) * model.tensors["weight"])


@operation(infer=lambda: Image.stand_in(2, 2))
def ground() -> Image:
    """A small gray image."""
    return Image(np.full((1, 2, 2, 3), 0.5, np.float32))


@pytest.mark.parametrize(("source", "known"), [(ruler, "6x2 RGB float32 srgb_rec709_scene"), (unknown_ruler, "None")])
def test_models_travel_on_links_and_tell_what_comes_out(source: Callable[[], Model], known: str) -> None:
    made = pipeline_core.Pipeline()
    big = made.node("big", enlarge, image=made.node("g", ground), model=made.node("m", source))
    made.output("out", big)
    graph = made.graph()
    assert [str(fact) for fact in infer(graph, ["g", "m", "big"])["big"]] == [known]
    assert str(made.run()["out"]) == "6x2 RGB float32 srgb_rec709_scene"


def test_a_link_of_the_wrong_kind_is_refused() -> None:
    made = pipeline_core.Pipeline()
    made.output("out", made.node("big", enlarge, image=made.node("g", ground), model=made.node("h", ground)))
    with pytest.raises(pipeline_core.GraphError, match="input 'model': wants a model, but 'h' gives an image"):
        made.graph()


def test_importing_the_kind_imports_no_torch() -> None:
    code = "import sys; from pipeline_core import Model; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

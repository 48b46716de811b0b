"""The foundation of the models: files within limits, bundled models, networks shared by digest."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pipeline_models import networks, weights_file
from pipeline_models.load import load_model
from pipeline_models.tensor_file import MAX_HEADER, read_header, read_tensors, write_tensors
from safetensors import safe_open
from safetensors.numpy import save

import pipeline_core
from pipeline_core import Model, OperationError

CONFIG = {"factor": 2, "width": 4, "blocks": 1}


def tiny(seed: int = 0, **changes: Any) -> Model:
    torch.manual_seed(seed)
    state = networks.make("residual_upscaler", CONFIG).state_dict()
    fields = {"architecture": "residual_upscaler", "tensors": state, "config": CONFIG, "manifest": {"name": "tiny"}}
    return Model(**{**fields, **changes})


# --- files ----------------------------------------------------------------------------------------------------------

TYPES = {np.dtype(t).name: t for t in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")}


def test_the_reference_reads_what_is_written_and_the_other_way_round(tmp_path: Path) -> None:
    tensors = {name: (np.arange(6) % 2).astype(dtype).reshape(1, 2, 3) for name, dtype in TYPES.items()}
    tensors |= {"scalar": np.array(1.5), "empty": np.zeros((0, 3), np.float32)}
    (tmp_path / "ours").write_bytes(write_tensors(tensors, {"a": "ü"}))
    with safe_open(tmp_path / "ours", "np") as file:
        assert file.metadata() == {"a": "ü"}
        assert {name: file.get_tensor(name).tolist() for name in file.keys()} == {  # noqa: SIM118  it is no mapping
            name: part.tolist() for name, part in tensors.items()
        }
    found, metadata = read_tensors(np.frombuffer(save(tensors, {"a": "ü"}), np.uint8))
    assert metadata == {"a": "ü"}
    assert {n: (p.dtype, p.tolist()) for n, p in found.items()} == {
        n: (p.dtype, p.tolist()) for n, p in tensors.items()
    }


def test_types_that_numpy_lacks_come_as_torch() -> None:
    half = torch.arange(6).to(torch.bfloat16).reshape(2, 3)
    found, _ = read_tensors(np.frombuffer(write_tensors({"w": half, "x": half.float()}), np.uint8))
    assert found["w"].dtype == torch.bfloat16
    assert torch.equal(found["w"], half)
    assert isinstance(found["x"], np.ndarray)


def header(told: Any, data: bytes = b"", size: int | None = None) -> bytes:
    text = told if isinstance(told, bytes) else json.dumps(told).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + data


def entry(shape: list[Any] = [2], offsets: list[Any] = [0, 8], dtype: str = "F32") -> dict[str, Any]:  # noqa: B006  read only
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


MALFORMED = {
    "empty": b"",
    "a header of 2**63 bytes": header({}, size=1 << 63),
    "a header above the limit": header(b"{" + b" " * MAX_HEADER + b"}"),
    "a header beyond the end": header({"w": entry()}, b"12345678", size=1000),
    "no JSON": header(b"{nonsense"),
    "no UTF-8": header(b'{"\xff": 1}'),
    "a list": header([1, 2]),
    "deep": header(b'{"a":' + b"[" * 200_000),
    "too many tensors": header({str(i): entry([0], [0, 0]) for i in range(10_001)}),
    "a name twice": header(b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"1234"),
    "cut off": header({"w": entry()}, b"1234"),
    "more bytes than tensors": header({"w": entry()}, b"123456789"),
    "overlap": header({"w": entry(), "v": entry(offsets=[4, 12])}, b"123456789012"),
    "a gap": header({"w": entry(offsets=[4, 12])}, b"123456789012"),
    "another size than its shape": header({"w": entry([3])}, b"12345678"),
    "a negative side": header({"w": entry([-2])}, b"12345678"),
    "a side that is no number": header({"w": entry([True, 2])}, b"12345678"),
    "an enormous shape": header({"w": entry([1 << 40, 1 << 40])}, b"12345678"),
    "an unknown type": header({"w": entry(dtype="PICKLE")}, b"12345678"),
    "no place": header({"w": {"dtype": "F32", "shape": [2]}}, b"12345678"),
    "metadata that are no texts": header({"__metadata__": {"a": 1}}),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_refused_within_a_second(case: str) -> None:
    began = time.process_time()
    with pytest.raises(OperationError, match="this is not a safetensors file that can be read: "):
        read_header(MALFORMED[case])
    assert time.process_time() - began < 1


# --- models ---------------------------------------------------------------------------------------------------------


def test_a_saved_model_is_loaded_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "tiny.bin"  # what a file is, its content says
    file.write_bytes(weights_file.content_of(tiny()))
    found = load_model(path=file)
    assert (found.digest, found.manifest, found.config) == (tiny().digest, {"name": "tiny"}, CONFIG)
    assert weights_file.content_of(found) == file.read_bytes()


@pytest.mark.parametrize("name", weights_file.bundled())
def test_a_bundled_model_is_what_its_page_says(name: str) -> None:
    model = load_model(name=name)
    told = json.loads((weights_file.FOLDER / f"{name}.json").read_text())
    assert told == {
        "architecture": model.architecture,
        "config": model.config,
        "digest": model.digest,
        **model.manifest,
    }
    assert {"name", "task", "licence", "source", "data", "script", "figures"} <= set(model.manifest)
    assert (Path(__file__).parents[2] / f"{told['script'].split()[2].replace('.', '/')}.py").is_file()
    assert networks.build(model).training is False


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "say which model"),
        ({"name": "photo-x2", "path": Path("x")}, "say which model"),
        ({"name": "photo-x22"}, "no model 'photo-x22' comes with the project; did you mean 'photo-x2'?"),
        ({"path": Path("nowhere.safetensors")}, "'nowhere.safetensors' can't be read: No such file"),
        ({"path": Path(__file__)}, "is no model that is known"),
    ],
)
def test_what_can_not_be_loaded_is_told(given: dict[str, Any], said: str) -> None:
    with pytest.raises(OperationError) as caught:
        load_model(**given)
    assert said in str(caught.value)


def test_an_output_of_a_pipeline_may_be_a_model(tmp_path: Path) -> None:
    made = pipeline_core.Pipeline(folder=tmp_path)
    made.output("kept", made.node("m", "load_model", name="photo-x2"), path="kept.safetensors")
    made.run(save=True)
    found, wanted = load_model(path=tmp_path / "kept.safetensors"), load_model(name="photo-x2")
    assert (found.digest, found.manifest) == (wanted.digest, wanted.manifest)


# --- networks -------------------------------------------------------------------------------------------------------


def test_a_network_is_shared_by_content_and_apart_from_the_value() -> None:
    networks.forget()
    network = networks.build(tiny())
    assert networks.build(tiny(manifest={})) is network
    assert networks.build(tiny(seed=1)) is not network
    assert not any(part.requires_grad for part in network.parameters())
    model = tiny()
    before = networks.build(model)(torch.ones(1, 3, 4, 4))
    model.tensors["first.weight"].add_(1)  # a trespass: the network is not what was written to
    assert torch.equal(network(torch.ones(1, 3, 4, 4)), before)


def test_networks_beyond_the_budget_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    networks.forget()
    monkeypatch.setitem(networks.BUDGET, "cpu", 2 * tiny().nbytes)
    first, second = networks.build(tiny(0)), networks.build(tiny(1))
    assert networks.build(tiny(0)) is first
    networks.build(tiny(2))  # the second is the one longest unused
    assert networks.build(tiny(0)) is first
    assert networks.build(tiny(1)) is not second


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "os"}, "no architecture 'os' is known; there are "),
        ({"config": {"factor": 2, "depth": 3}}, "can't be built with"),
        ({"config": {**CONFIG, "width": 10**9}}, "too large"),
        ({"config": {**CONFIG, "width": 60000}}, "the numbers of 'tiny' are not those of a residual_upscaler"),
        ({"tensors": {}}, "the numbers of 'tiny' are not those of a residual_upscaler"),
    ],
)
def test_a_model_that_can_not_be_built_is_told(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(OperationError) as caught:
        networks.build(tiny(**changes))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_looking_at_pipelines_of_models_imports_no_torch(command: Any, tmp_path: Path) -> None:
    assert "torch" in sys.modules
    file = tmp_path / "m.yaml"
    file.write_text("pipeline: 1\nnodes: {m: {op: load_model, params: {name: photo-x2}}}\noutputs: {m: {from: m}}\n")
    command("ops")  # reads the catalogue, in a process of its own
    code = (
        f"import sys, pipeline_core; assert pipeline_core.check({str(file)!r}) == []; sys.exit('torch' in sys.modules)"
    )
    import subprocess

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def checked(tmp_path: Path, name: str, **how: bool) -> list[str]:
    text = f"""
pipeline: 1
nodes:
  photo: {{op: checkerboard, params: {{width: 8, height: 8}}}}
  model: {{op: load_model, params: {{name: {name}}}}}
  large: {{op: super_resolve, inputs: {{image: photo, model: model}}}}
outputs:
  large: {{from: large, path: large.png}}
"""
    (tmp_path / "large.yaml").write_text(text)
    return [str(problem) for problem in pipeline_core.check(tmp_path / "large.yaml", **how)]


def test_a_misspelled_model_is_found_before_anything_runs(tmp_path: Path) -> None:
    (said,) = checked(tmp_path, "photo-x44")
    assert said.endswith("(got photo-x44). Did you mean 'photo-x4'?")
    assert checked(tmp_path, "photo-x4", deep=True) == []


def test_a_model_of_another_purpose_is_found_by_a_deep_check(tmp_path: Path) -> None:
    for name in ("digits", "photo-denoise"):
        (said,) = checked(tmp_path, name, deep=True)
        assert "does not enlarge pictures" in said
        assert len(said) < 300 + len(str(tmp_path))

"""Models of others: by content and not by name, and without running anything that a file brings along."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import struct
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from pipeline_models import networks
from pipeline_models.foreign.recognise import format_of
from pipeline_models.load import convert_model, encode_model, load_model
from pipeline_models.pickled import follow
from pipeline_models.upscale.super_resolve import super_resolve
from torch import nn

from pipeline_core import Image, Model, OperationError, PipelineError


class Doubler(nn.Module):
    """Enlarges twice; small, with a bias so that a wrong number shows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv = nn.Conv2d(3, 12, 3, padding=1)
        self.register_buffer("shift", torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> Any:
        return nn.functional.pixel_shuffle(self.conv(pixels), 2).relu() + self.shift


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    size = {2: torch.export.Dim("h", min=2, max=4096), 3: torch.export.Dim("w", min=2, max=4096)}
    program = torch.export.export(Doubler(), (torch.zeros(1, 3, 16, 20),), dynamic_shapes=(size,))
    file = tmp_path_factory.mktemp("pt2") / "doubler.safetensors"  # what it is, its content says
    with file.open("wb") as opened:
        torch.export.save(program, opened)
    return file


def onnx_doubler(**changes: Any) -> bytes:
    network = Doubler()
    weights = {"w": network.conv.weight, "b": network.conv.bias, "s": network.shift}
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("DepthToSpace", ["c"], ["d"], blocksize=2, mode="CRD"),
        helper.make_node("Relu", ["d"], ["r"]),
        helper.make_node("Add", ["r", "s"], ["y"]),
    ]
    shape: list[Any] = changes.get("shape", [1, 3, "h", "w"])
    graph = helper.make_graph(
        nodes, "doubler",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, "h2", "w2"])],
        [numpy_helper.from_array(part.detach().numpy(), name) for name, part in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if changes.get("external"):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "../../etc/passwd"
    return bytes(model.SerializeToString())


def picture() -> Image:
    rng = np.random.default_rng(1)
    return Image(rng.random((1, 31, 45, 3), dtype=np.float32))


def refused(path: Path) -> str:
    with pytest.raises(OperationError) as caught:
        load_model(path=path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what can be loaded ---------------------------------------------------------------------------------------------


def doubled(image: Image) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        return (
            Doubler()(nn.functional.pad(image.pixels, (32,) * 4, "replicate"))[0, :, 64:-64, 64:-64]
            .permute(1, 2, 0)
            .numpy()
        )  # type: ignore[no-any-return]  # a network's answer


def test_a_program_of_torch_export_gives_what_its_network_gives(exported: Path) -> None:
    model = load_model(path=exported)
    assert str(model).startswith("model torch_export, ")
    network = networks.build(model)
    pixels = picture().pixels
    with torch.no_grad():
        assert torch.allclose(network(pixels), Doubler()(pixels), atol=1e-6)
    assert np.allclose(super_resolve(picture(), model).array[0], doubled(picture()), atol=1e-5)


def test_an_onnx_model_gives_what_its_network_gives(tmp_path: Path) -> None:
    file = tmp_path / "doubler.pth"
    file.write_bytes(onnx_doubler())
    model = load_model(path=file)
    assert str(model).startswith("model onnx, ")
    assert np.allclose(super_resolve(picture(), model).array[0], doubled(picture()), atol=1e-5)
    with pytest.raises(OperationError, match="the model takes 1 inputs \\(x\\), not 2"):
        networks.build(model)(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
    with pytest.raises(OperationError, match="can't work with"):
        networks.build(model)(torch.zeros(1, 5, 8, 8))


@pytest.mark.parametrize("size", [(45, 31), (48, 40), (97, 111), (1, 5)])
def test_a_model_of_one_size_runs_in_tiles_of_that(tmp_path: Path, size: tuple[int, int]) -> None:
    """Its tiles overlap by a quarter at most, which is more than this one looks."""
    (tmp_path / "free").write_bytes(onnx_doubler())
    (tmp_path / "fixed").write_bytes(onnx_doubler(shape=[1, 3, 40, 48]))
    free, fixed = (load_model(path=tmp_path / name) for name in ("free", "fixed"))
    pixels = np.random.default_rng(3).random((2, size[1], size[0], 4), dtype=np.float32)
    for image in (Image(pixels[..., :3]), Image(pixels, channels=tuple("RGBA"), alpha="straight", wrap=(True, False))):
        wanted = super_resolve(image, free, overlap=40).array
        assert np.allclose(super_resolve(image, fixed).array, wanted, atol=1e-5)
        assert np.allclose(super_resolve(image, fixed, overlap=3).array, wanted, atol=1e-5)
    with pytest.raises(OperationError, match=r"the model takes pictures of 48x40 alone; leave 'tile' out"):
        super_resolve(image, fixed, tile=64)
    with pytest.raises(OperationError, match=r"'overlap' may be 10 at most, not 11"):
        super_resolve(image, fixed, overlap=11)


@pytest.mark.parametrize("shape", [[1, 3, 0, 0], [1, 3, -1, -1], [1, 3, "h", 40]])
def test_a_size_that_is_none_is_none(tmp_path: Path, shape: list[Any]) -> None:
    (tmp_path / "m").write_bytes(onnx_doubler(shape=shape))
    assert getattr(networks.build(load_model(path=tmp_path / "m")), "size", 0) is None


def test_a_size_that_no_memory_holds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(onnx_doubler(shape=[1, 3, 100_000, 100_000]))
    with pytest.raises(OperationError, match="takes pictures of 100000x100000 alone"):
        super_resolve(picture(), load_model(path=tmp_path / "m"))


def test_a_program_of_one_size_runs_in_tiles_of_that(tmp_path: Path) -> None:
    program = torch.export.export(Doubler(), (torch.zeros(1, 3, 16, 20),))
    torch.export.save(program, tmp_path / "fixed.pt2")
    model = load_model(path=tmp_path / "fixed.pt2")
    assert getattr(networks.build(model), "size", None) == (20, 16)
    assert np.allclose(super_resolve(picture(), model).array[0], doubled(picture()), atol=1e-5)


def test_a_model_of_gray_pictures_takes_them_one_by_one(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 24, 24])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 48, 48])],
        [numpy_helper.from_array(np.float32([1, 1, 2, 2]), "scales")],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "gray").write_bytes(made.SerializeToString())
    found = super_resolve(picture(), load_model(path=tmp_path / "gray")).array
    assert np.array_equal(found, picture().array.repeat(2, 1).repeat(2, 2))


def test_an_onnx_model_that_names_other_files_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "doubler.onnx"
    file.write_bytes(onnx_doubler(external=True))
    with pytest.raises(OperationError, match="keeps its numbers in another file"):
        networks.build(load_model(path=file))


def test_a_network_that_does_not_enlarge_is_told(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 10])], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])],
    )  # fmt: skip
    file = tmp_path / "m.onnx"
    file.write_bytes(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    )
    with pytest.raises(OperationError, match="'onnx' \\(onnx\\) does not enlarge pictures"):
        super_resolve(picture(), load_model(path=file))


@pytest.fixture(scope="module")
def spandrel() -> Iterator[Any]:
    """spandrel beside a torch for CPUs: torchvision's wheel misses two operations that it only names."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        with contextlib.suppress(RuntimeError):  # a torchvision that has it
            library.define(name)
    yield pytest.importorskip("spandrel", exc_type=(ImportError, RuntimeError))
    del library


def esrgan() -> dict[str, torch.Tensor]:
    """The numbers of a small ESRGAN, under the names that its authors gave them."""
    torch.manual_seed(2)
    width, grow = 8, 32
    state: dict[str, torch.Tensor] = {}

    def conv(name: str, given: int, made: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.randn(made, given, 3, 3) * 0.05, torch.zeros(made)

    conv("conv_first", 3, width)
    for block in (1, 2, 3):
        for i in range(5):
            conv(f"body.0.rdb{block}.conv{i + 1}", width + i * grow, grow if i < 4 else width)
    for name, made in (
        ("conv_body", width),
        ("conv_up1", width),
        ("conv_up2", width),
        ("conv_hr", width),
        ("conv_last", 3),
    ):
        conv(name, width, made)
    return state


def test_a_network_is_known_by_its_numbers(spandrel: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(esrgan(), tmp_path / "esrgan.bin")
    model = load_model(path=tmp_path / "esrgan.bin")
    network: Any = networks.build(model)
    assert (network.factor, network.channels, network.purpose) == (4, 3, "sr")
    assert super_resolve(picture(), model).size == (180, 124)
    wanted = spandrel.ModelLoader().load_from_state_dict(esrgan()).eval()(picture().pixels)
    assert torch.allclose(network(picture().pixels), wanted, atol=1e-6)


def test_numbers_of_no_known_network_are_told(spandrel: Any) -> None:
    with pytest.raises(OperationError, match="no network is known for these numbers"):
        networks.build(Model("state_dict", {"w": np.zeros((2, 2), np.float32)}))


# --- pickles --------------------------------------------------------------------------------------------------------


class Trap:
    """Unpickled, it writes a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return Path.write_text, (self.proof, "run")


def disguises(folder: Path, exported: Path) -> dict[str, bytes]:
    """A pickle that shows when it is run, in many forms."""
    trap = Trap(folder / "proof")
    plain = {f"protocol {protocol}": pickle.dumps(trap, protocol) for protocol in range(6)}
    shell = f"cos\nsystem\n(S'touch {folder / 'proof'}'\ntR.".encode()
    buffer = io.BytesIO()
    torch.save({"state_dict": {"w": torch.zeros(2)}, "trap": trap}, buffer)
    old = io.BytesIO()
    torch.save({"w": torch.zeros(2), "trap": trap}, old, _use_new_zipfile_serialization=False)
    forms = {**plain, "by hand": shell, "torch zip": buffer.getvalue(), "torch legacy": old.getvalue()}
    tensors = (8).to_bytes(8, "little") + b"{}      "
    forms["after a safetensors header"] = tensors + plain["protocol 2"]
    forms["before a zip"] = plain["protocol 2"] + buffer.getvalue()
    forms["as the metadata of safetensors"] = _safetensors(
        {"__metadata__": {"pipeline_core": plain["protocol 0"].decode("latin-1")}}
    )
    forms["as the numbers of safetensors"] = _safetensors(
        {"w": {"dtype": "U8", "shape": [len(shell)], "data_offsets": [0, len(shell)]}}, shell
    )
    for name in ("archive/data.pkl", "data.pkl", "model.pt", "x/archive_format", "weights.npy"):
        forms[f"zip of {name}"] = _zip({name: plain["protocol 2"]})
    forms["tar"] = _tar({"model.pkl": plain["protocol 2"]})
    pt2 = {info.filename: zipfile.ZipFile(exported).read(info) for info in zipfile.ZipFile(exported).infolist()}
    for part in pt2:
        if part.endswith(("sample_inputs/model.pt", "weights/weight_0", "constants/tensor_0")):
            forms[f"pt2 {part}"] = _zip({**pt2, part: buffer.getvalue()})
    for part in ("weights", "constants"):
        name = next(n for n in pt2 if n.endswith(f"{part}/model_{part}_config.json"))
        config = {
            "config": {"conv.weight": {"path_name": "evil", "is_param": True, "use_pickle": True, "tensor_meta": None}}
        }
        forms[f"pt2 pickled {part}"] = _zip(
            {**pt2, name: json.dumps(config).encode(), f"{name.rpartition('/')[0]}/evil": buffer.getvalue()}
        )
    graph = next(n for n in pt2 if n.endswith("models/model.json"))
    code = f"__import__('pathlib').Path({str(folder / 'proof')!r}).write_text('run')"
    forms["pt2 code in a size"] = _zip(
        {**pt2, graph: pt2[graph].replace(b"Symbol('s", code.replace('"', "'").encode() + b" or Symbol('s")}
    )
    forms["pt2 call of another function"] = _zip(
        {**pt2, graph: pt2[graph].replace(b"torch.ops.aten.relu.default", b"torch.ops.aten.from_file.default")}
    )
    forms["pt2 call of os"] = _zip({**pt2, graph: pt2[graph].replace(b"torch.ops.aten.relu.default", b"os.system")})
    onnx_model = onnx.load_model_from_string(onnx_doubler())
    onnx_model.metadata_props.add(key="trap", value=plain["protocol 0"].decode("latin-1"))
    forms["onnx with a pickle in its notes"] = onnx_model.SerializeToString()
    custom = onnx.load_model_from_string(onnx_doubler())
    custom.graph.node[2].op_type, custom.graph.node[2].domain = "PyOp", "ai.onnx.contrib"
    forms["onnx with an operator of Python"] = custom.SerializeToString()
    return forms


def _safetensors(header: Any, content: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


def _zip(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _tar(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_the_trap_shows_when_it_is_sprung(tmp_path: Path) -> None:
    """The control: read by Python itself, it runs."""
    pickle.loads(pickle.dumps(Trap(tmp_path / "proof")))
    assert (tmp_path / "proof").read_text() == "run"


SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".pkl", ".safetensors", ".onnx", ".pt2", ".zip", ".png", "")


def test_no_disguised_pickle_is_run(tmp_path: Path, exported: Path) -> None:
    tried = 0
    forms = disguises(tmp_path, exported)
    for i, (form, content) in enumerate(forms.items()):
        for suffix in (SUFFIXES[i % len(SUFFIXES)], SUFFIXES[(i + 5) % len(SUFFIXES)]):
            file = tmp_path / f"model{suffix}"
            file.write_bytes(content)
            for use in (_load_and_build, lambda path: _build(convert_model(path=path))):
                began = time.process_time()
                said = answer(use, file)
                assert "\n" not in said, form
                assert "weights_only" not in said, form
                assert time.process_time() - began < 2, form
                assert not (tmp_path / "proof").exists(), form
                tried += 1
    assert tried >= 64
    assert len(forms) >= 25


def answer(use: Callable[..., Any], *given: Any) -> str:
    """What it is refused with; empty where it is taken."""
    try:
        use(*given)
    except OperationError as error:
        return str(error)
    return ""


def _load_and_build(path: Path) -> None:
    _build(load_model(path=path))


def _build(model: Model) -> None:
    if model.architecture != "state_dict":  # what spandrel says of them is its own test
        networks.build(model)(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("form", ["protocol 2", "protocol 5", "by hand", "torch zip", "torch legacy"])
def test_a_pickle_is_refused_in_a_sentence_with_the_safe_way(form: str, tmp_path: Path, exported: Path) -> None:
    file = tmp_path / "esrgan.safetensors"
    file.write_bytes(disguises(tmp_path, exported)[form])
    assert refused(file) == (
        "'esrgan.safetensors' is a pickle, which can run any program when it is read; "
        "'pipeline convert-model esrgan.safetensors esrgan.safetensors' makes a safe file of its tensors"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no model that is known"),
        (b"hello, I am a text", "is no model that is known"),
        (b"\x89PNG\r\n\x1a\n", "is no model that is known"),
        (_zip({"readme.txt": b"hi"}), "is an archive"),
        (_zip({"m/archive_format": b"pt2"}), "has 0 programs of torch.export"),
        (b"PK\x03\x04 cut off", "is a damaged zip"),
        (_zip({"a/data.pkl": bytes(100)}), "is a pickle"),
    ],
)
def test_what_is_no_model_is_told(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "x.onnx"
    file.write_bytes(content)
    with pytest.raises(OperationError) as caught:
        _load_and_build(file)
    assert said in str(caught.value)


def test_a_zip_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(1 << 26))
    file = tmp_path / "bomb.pth"
    file.write_bytes(buffer.getvalue())
    with pytest.raises(OperationError, match="says it holds far more"):
        convert_model(path=file)


# --- converting -----------------------------------------------------------------------------------------------------


class Hyper:
    """Something of the author's own in a checkpoint."""


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("wrap", ["", "params_ema", "state_dict", "model"])
def test_converting_takes_the_tensors_and_leaves_the_rest(wrap: str, as_zip: bool, tmp_path: Path) -> None:
    shared = torch.arange(12.0).reshape(3, 4)
    state = {
        "a.weight": shared, "a.turned": shared.T, "a.part": shared[1:, 2], "half": torch.ones(2).half(), "scalar": torch.tensor(3),
        "bf": torch.tensor([1.5, 2.5]).bfloat16(), "empty": torch.zeros(0, 3), "parameter": nn.Parameter(torch.ones(2)),
        "flags": torch.tensor([True, False]),
    }  # fmt: skip
    file = tmp_path / "model.pth"
    whole = {wrap: state, "epoch": 3, "hyper": Hyper(), "sizes": torch.Size([1])} if wrap else state
    torch.save(whole, file, _use_new_zipfile_serialization=as_zip)
    found = convert_model(path=file)
    assert found.architecture == "state_dict"
    assert set(found.tensors) == set(state)
    for name, wanted in state.items():
        tensor = found.tensors[name]
        assert torch.equal(
            tensor if isinstance(tensor, torch.Tensor) else torch.from_numpy(np.array(tensor)), wanted.detach()
        )
    again = tmp_path / "model.safetensors"
    again.write_bytes(encode_model(found, format="safetensors").content)
    assert load_model(path=again).digest == found.digest


def test_the_command_converts(command: Callable[..., Any], tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2, 3)}, tmp_path / "in.pth")
    done = command("convert-model", "in.pth", "out.safetensors", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "out.safetensors: 1 tensors, 24 bytes\n")
    assert np.array_equal(load_model(path=tmp_path / "out.safetensors").tensors["w"], np.ones((2, 3)))
    (tmp_path / "trap.pth").write_bytes(pickle.dumps(Trap(tmp_path / "proof")))
    done = command("convert-model", "trap.pth", "out.safetensors", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "this pickle was not written by torch.save; only tensors that it wrote can be converted\n"
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("in.pth", "out.pth"), "OUT is written as safetensors; call it 'out.safetensors'"),
        (("none.pth", "out.safetensors"), "'none.pth' can't be read: No such file or directory"),
        (
            ("text.pth", "out.safetensors"),
            "'text.pth' is no model that is known, not a pickle; there is nothing to convert",
        ),
        (("in.pth", "none/out.safetensors"), "can't be written: No such file or directory"),
    ],
)
def test_what_the_command_can_not_convert_is_told(
    arguments: tuple[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline_core.cli import group

    monkeypatch.chdir(tmp_path)
    torch.save({"w": torch.ones(2, 3)}, "in.pth")
    Path("text.pth").write_text("hello")
    with pytest.raises((PipelineError, click.UsageError)) as caught:
        group.main(["convert-model", *arguments], standalone_mode=False)
    assert said in str(caught.value)


def test_following_a_pickle_looks_nothing_up_and_calls_nothing() -> None:
    value = follow(pickle.dumps({"a": Hyper(), "b": [1, 2.5, "x", 2**80, None, True, (1,), {2}], "c": slice(1)}, 2))
    assert value["b"][:7] == [1, 2.5, "x", 2**80, None, True, (1,)]
    for hostile in (b"cnowhere\nmissing\n.", b"\x80\x02cos\nsystem\n(S'x'\ntR.", b"\x80\x02(iposix\nsystem\n."):
        answer(follow, hostile)
    assert "nowhere" not in sys.modules


BOMBS = {
    "a billion laughs": b"\x80\x02]q\x00" + b"".join(b"](h%sh%se" % (struct.pack("B", i), struct.pack("B", i)) + b"q" + struct.pack("B", i + 1) for i in range(100)) + b".",
    "deep": b"\x80\x02" + b"K\x01" + b"\x85" * 900_000 + b".",
    "marks": b"\x80\x02" + b"(" * 900_000 + b".",
    "many steps": b"\x80\x02N" + b"20" * 1_000_000 + b".",
    "a long number": b"I" + b"9" * 1_000_000 + b"\n.",
    "a long binary number": b"\x80\x02\x8b" + struct.pack("<i", 30_000_000) + b"\x7f" * 30_000_000 + b".",
    "a length beyond the end": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"x.",
    "no stop": b"\x80\x02N",
    "nothing on the stack": b"\x80\x02.",
    "no such memo": b"\x80\x02h\x07.",
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_pickle_can_not_take_time_or_memory(bomb: str) -> None:
    began = time.process_time()
    assert "pickle" in (answer(follow, BOMBS[bomb]) or "a pickle that is taken")
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "given",
    [
        (("storage", "float", "0", "cpu", 2), 0, (1 << 40,), (0,)),
        (("storage", "float", "0", "cpu", 2), 0, (2, 2), (2, 1)),
        (("storage", "float", "0", "cpu", 2), -1, (1,), (1,)),
        (("storage", "float", "0", "cpu", 2), 0, (2,), (-1,)),
        (("storage", "float", "9", "cpu", 2), 0, (2,), (1,)),
    ],
)
def test_a_tensor_beyond_its_numbers_is_refused(given: Any, tmp_path: Path) -> None:
    file = tmp_path / "x.pth"
    buffer = io.BytesIO()

    class Writer(pickle._Pickler):  # type: ignore[name-defined]  # the one in Python can be told to write anything
        def persistent_id(self, part: Any) -> Any:
            return (
                ("storage", torch.FloatStorage, *part[2:])
                if isinstance(part, tuple) and part[:1] == ("storage",) and part[1] == "float"
                else None
            )

    class Tensor:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (*given, False, {})

    Writer(buffer, 2).dump({"w": Tensor()})
    file.write_bytes(_zip({"a/data.pkl": buffer.getvalue(), "a/data/0": bytes(8)}))
    with pytest.raises(OperationError, match=r"of this file|the file lacks|not one of tensors"):
        convert_model(path=file)


def test_formats_are_told_apart() -> None:
    assert format_of(onnx_doubler()) == "onnx"
    assert format_of(b"\x08\x08" + b"\x3a\x02\x0a") == "unknown"
    assert format_of(pickle.dumps([1], 0)) == "pickle"

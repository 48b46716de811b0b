"""Models from files and from what comes with the project, and to files."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, WithJsonSchema

from pipeline_core import File, Model, OperationError, operation
from pipeline_models import pickled, weights_file
from pipeline_models.foreign.recognise import Format, format_of
from pipeline_models.tensor_file import read_header, read_tensors

_Bundled = Annotated[str, WithJsonSchema({"type": "string", "enum": weights_file.bundled()})]
NameParam = Annotated[_Bundled | None, Field(description="one that comes with the project", examples=["photo-x2"])]
PathParam = Annotated[
    Path | None, Field(description="a file of a model: safetensors, ONNX or a program of torch.export")
]
FormatParam = Annotated[Literal["safetensors"], Field(description="the kind of file, by its suffix")]


def _infer_model(*, name: str | None = None, path: Path | None = None) -> Model:
    if name is not None and path is None:
        return weights_file.stand_in_of(_bundled(name))
    content, found = _content(name, path)
    if found != "safetensors":
        return Model(found, {"file": np.broadcast_to(np.zeros((), np.uint8), content.shape)})
    header = read_header(content)
    return weights_file.model_from(header.metadata, {entry.name: entry.stand_in() for entry in header.entries})


@operation(infer=_infer_model, cache="never", aliases=("LoadModel", "UpscaleModelLoader", "CheckpointLoader"))
def load_model(*, name: NameParam = None, path: PathParam = None) -> Model:
    """Load a network: one that comes with the project, by `name`, or that of a file, by `path`.

    A file is taken for what its content is, not for what its name says: safetensors of our own (`encode_model`) or with
    numbers of a network that spandrel knows (ESRGAN, SwinIR, LaMa and some forty more; extra `models`), ONNX (extra
    `onnx`), programs of torch.export. Nothing that a file brings along is run as code.

    Pickles (.pth, .pt, .ckpt) are refused: reading one can run any program. `pipeline convert-model` makes safetensors
    of its tensors without doing so.
    """
    if name is not None and path is None:
        return weights_file.model_of(weights_file.read_bytes(_bundled(name)))
    content, found = _content(name, path)
    if found != "safetensors":
        return Model(found, {"file": content})
    tensors, metadata = read_tensors(content)
    return weights_file.model_from(metadata, tensors)


def _infer_file(model: Model, *, format: str) -> File:  # noqa: A002  as below
    return File(b"")


@operation(infer=_infer_file, aliases=("save_model",))
def encode_model(
    model: Model,
    *,
    format: FormatParam,  # noqa: A002  what the run looks for
) -> File:
    """A model as a file: safetensors, with what the network is built from and where it comes from in its metadata.

    Equal models give equal bytes. `load_model` reads it back.
    """
    return File(weights_file.content_of(model))


@operation(cache="never")
def convert_model(*, path: Annotated[Path, Field(description="a file of torch.save: .pth, .pt, .ckpt")]) -> Model:
    """Take the tensors out of a pickle of PyTorch, without running anything of it.

    The pickle is followed by a reader of our own that knows containers, plain values and tensors; every other thing in it
    is left out. What network the numbers are for is found out when they are used. `pipeline convert-model` does this
    and saves the result as safetensors.
    """
    content = _read(path)
    found = format_of(content)
    if found != "pickle":
        raise OperationError(f"'{path.name}' is {_NAMES[found]}, not a pickle; there is nothing to convert")
    return Model("state_dict", pickled.tensors_of(content))


_NAMES: dict[Format, str] = {
    "safetensors": "a safetensors file, which load_model reads",
    "onnx": "an ONNX model, which load_model reads",
    "torch_export": "a program of torch.export, which load_model reads",
    "pickle": "a pickle",
    "archive": "an archive",
    "unknown": "no model that is known",
}


def _content(name: str | None, path: Path | None) -> tuple[np.ndarray[Any, Any], Format]:
    if path is None or name is not None:
        raise OperationError("say which model: one that comes with the project by 'name', or a file by 'path'")
    content = _read(path)
    found = format_of(content)
    if found == "pickle":
        raise OperationError(
            f"'{path.name}' is a pickle, which can run any program when it is read; 'pipeline convert-model "
            f"{path.name} {path.stem}.safetensors' makes a safe file of its tensors"
        )
    if found in ("archive", "unknown"):
        raise OperationError(
            f"'{path.name}' is {_NAMES[found]}; safetensors, ONNX and programs of torch.export can be loaded"
        )
    return content, found


def _read(path: Path) -> np.ndarray[Any, Any]:
    try:
        return weights_file.read_bytes(path)
    except OSError as error:
        raise OperationError(f"'{path.name}' can't be read: {error.strerror}") from None


def _bundled(name: str) -> Path:
    known = weights_file.bundled()
    if name in known:
        return weights_file.FOLDER / f"{name}.safetensors"
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known) or 'none'}"
    raise OperationError(f"no model '{name}' comes with the project; {hint}")

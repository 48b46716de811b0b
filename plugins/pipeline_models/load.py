"""Models from files and from what comes with the project."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline_core import Model, OperationError, operation
from pipeline_models import weights_file
from pipeline_models.tensor_file import is_tensor_file

NameParam = Annotated[
    str | None, Field(description="one that comes with the project", examples=[*weights_file.bundled(), None][:1])
]
PathParam = Annotated[Path | None, Field(description="a file of a model: safetensors")]


def _infer_model(*, name: str | None = None, path: Path | None = None) -> Model:
    return weights_file.stand_in_of(_file(name, path))


@operation(infer=_infer_model, cache="never", aliases=("LoadModel", "UpscaleModelLoader", "CheckpointLoader"))
def load_model(*, name: NameParam = None, path: PathParam = None) -> Model:
    """Load a network: one that comes with the project, by `name`, or that of a file, by `path`.

    A file is taken for what its content is, not for what its name says.
    """
    return weights_file.model_of(weights_file.read_bytes(_file(name, path)))


def _file(name: str | None, path: Path | None) -> Path:
    """The file that is asked for. OperationError if it is none, and where both or neither are."""
    if (name is None) == (path is None):
        raise OperationError("say which model: one that comes with the project by 'name', or a file by 'path'")
    if name is not None:
        return _bundled(name)
    assert path is not None
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except OSError as error:
        raise OperationError(f"'{path.name}' can't be read: {error.strerror}") from None
    if not is_tensor_file(start):
        raise OperationError(f"'{path.name}' is not a model that can be loaded; safetensors can")
    return path


def _bundled(name: str) -> Path:
    known = weights_file.bundled()
    if name in known:
        return weights_file.FOLDER / f"{name}.safetensors"
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known) or 'none'}"
    raise OperationError(f"no model '{name}' comes with the project; {hint}")

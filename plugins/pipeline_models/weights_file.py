"""Our own model files: safetensors whose metadata say how the network is built and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_core import Model, OperationError
from pipeline_models.tensor_file import Header, read_header, read_tensors, write_tensors

FOLDER = Path(__file__).with_name("weights")
"""The models that come with the project: NAME.safetensors, and NAME.json with what is told of it."""

_KEY = "pipeline_core"


def bundled() -> list[str]:
    """Names of the models that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def content_of(model: Model) -> bytes:
    """A model as the content of a file. Equal models give equal bytes."""
    facts = {"architecture": model.architecture, "config": _plain(model.config), "manifest": _plain(model.manifest)}
    return write_tensors(model.tensors, {_KEY: json.dumps(facts, sort_keys=True, ensure_ascii=False)})


def model_of(content: np.ndarray[Any, Any]) -> Model:
    """The model in a file's content; its tensors are views of it. OperationError if it is none of ours."""
    tensors, metadata = read_tensors(content)
    return Model(tensors=tensors, **_facts(metadata))


def stand_in_of(path: Path) -> Model:
    """The model in a file, its numbers without memory: reads the header alone."""
    header = header_of(path)
    tensors = {entry.name: entry.stand_in() for entry in header.entries}
    return Model(tensors=tensors, **_facts(header.metadata))


def header_of(path: Path) -> Header:
    """The header of a file."""
    with open(path, "rb") as file:
        start = file.read(8)
        length = file.seek(0, 2)
        file.seek(0)
        return read_header(file.read(8 + min(int.from_bytes(start, "little"), length)), length)


def read_bytes(path: Path) -> np.ndarray[Any, Any]:
    """A file's content in memory of our own, aligned, read at once."""
    with open(path, "rb", buffering=0) as file:
        content = np.empty(file.seek(0, 2), np.uint8)
        file.seek(0)
        place = 0
        while place < len(content) and (count := file.readinto(content[place:].data)):
            place += count
    return content[:place]


def model_from(metadata: Mapping[str, str], tensors: Mapping[str, Any]) -> Model:
    """The model of a safetensors file, ours or another's: of the latter only the numbers are known."""
    if _KEY in metadata:
        return Model(tensors=tensors, **_facts(metadata))
    told = {name: metadata[f"modelspec.{key}"] for name, key in _SPEC.items() if f"modelspec.{key}" in metadata}
    return Model("state_dict", tensors, manifest=told)


_SPEC = {"name": "title", "licence": "license", "source": "author"}
"""What the metadata of others say, by the names of Stability AI's ModelSpec."""


def _facts(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        told = json.loads(metadata[_KEY])
        architecture, config, manifest = told["architecture"], told["config"], told["manifest"]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise OperationError("this safetensors file tells in no readable way what network it is for") from None
    if not (isinstance(architecture, str) and isinstance(config, dict) and isinstance(manifest, dict)):
        raise OperationError("this safetensors file tells in no readable way what network it is for")
    return {"architecture": architecture, "config": config, "manifest": manifest}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value

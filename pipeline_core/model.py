"""The kind Model: a network on a link, like an image. See docs/data.md.

It is a value and no machinery: the numbers of a network, what it is built from, and where it comes from. A plugin
builds the network from it; here is no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from blake3 import blake3

from pipeline_core.devices import torch_if_loaded
from pipeline_core.image import KindError


@dataclass(frozen=True, eq=False)
class Model:
    """A network: how it is built, its numbers, and what is known of it.

    architecture  by what name it is built: 'residual_upscaler', ..., or a file format, 'onnx'
    tensors       its numbers by name, arrays or torch tensors on any device; of a file format one array of bytes, 'file'
    config        what the architecture is built with: plain values
    manifest      what people want to know: name, task, licence, source, data, script, figures; changes no result
    """

    architecture: str
    tensors: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.architecture:
            raise KindError("Model: the architecture has no name")
        for name, tensor in self.tensors.items():
            if not (isinstance(tensor, np.ndarray) or _is_tensor(tensor)):
                raise KindError(f"Model: '{name}' must be an array or a torch tensor, not {type(tensor).__name__}")
        for name in ("config", "manifest"):
            try:
                json.dumps(dict(getattr(self, name)), default=_as_dict)
            except (TypeError, ValueError) as error:
                raise KindError(f"Model: the {name} must be of plain values ({error})") from None
        for name in ("tensors", "config", "manifest"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.architecture, dict(self.tensors), dict(self.config), dict(self.manifest))

    @property
    def name(self) -> str:
        """What people call it; the architecture where it has no name of its own."""
        return str(self.manifest.get("name") or self.architecture)

    @property
    def nbytes(self) -> int:
        return sum(int(tensor.nbytes) for tensor in self.tensors.values())

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return sum(int(np.prod(tensor.shape)) for tensor in self.tensors.values())

    @property
    def device(self) -> str:
        """Where its tensors are; 'cpu' for arrays and where it has none."""
        return next((str(tensor.device) for tensor in self.tensors.values() if _is_tensor(tensor)), "cpu")

    @cached_property
    def digest(self) -> str:
        """blake3 of what it computes: architecture, config and tensors, wherever they are; not of the manifest."""
        config = json.dumps(dict(self.config), sort_keys=True, default=_as_dict)
        hasher = blake3(json.dumps([self.architecture, config]).encode())
        for name in sorted(self.tensors):
            tensor = self.tensors[name]
            dtype = str(tensor.dtype).removeprefix("torch.")
            hasher.update(json.dumps([name, dtype, list(tensor.shape)]).encode())
            hasher.update(_content(tensor))
        return hasher.hexdigest()

    def __str__(self) -> str:
        own = "" if self.name == self.architecture else f" ({self.architecture})"
        return f"model {self.name}{own}, {self.parameters:,} numbers"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


def _is_tensor(value: Any) -> bool:
    torch = torch_if_loaded()
    return torch is not None and isinstance(value, torch.Tensor)


def _as_dict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is none")


def _content(tensor: Any) -> Any:
    """The bytes of a tensor in the order of its axes."""
    if not isinstance(tensor, np.ndarray):
        import torch

        # As bytes: numpy lacks some of torch's types.
        tensor = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return np.ascontiguousarray(tensor).reshape(-1).view(np.uint8)

"""Networks of others: ONNX files, programs of torch.export, and bare numbers whose network spandrel knows.

Each module here has `network(model, device)`. None of them runs code that a file brings along.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pipeline_core import Model

if TYPE_CHECKING:
    from torch import nn

FORMATS = {"onnx": "onnx_file", "torch_export": "exported", "state_dict": "state_dict"}
"""Values of `Model.architecture` that name a format of a file, and the module for it."""


def network(model: Model, device: str) -> nn.Module:
    """The network of a model in one of the `FORMATS`."""
    made: nn.Module = importlib.import_module(f"{__name__}.{FORMATS[model.architecture]}").network(model, device)
    return made

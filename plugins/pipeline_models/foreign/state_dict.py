"""Bare numbers: what network they are for is told by their names and shapes, to spandrel, which knows some forty."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline_core import Model, OperationError
from pipeline_models.foreign.run import Foreign


def network(model: Model, device: str) -> Foreign:
    """The network of a model that is numbers alone."""
    try:
        from spandrel import MaskedImageModelDescriptor, ModelLoader, UnsupportedModelError
    except ImportError as error:
        raise OperationError(
            f"networks of others from safetensors need spandrel: pip install 'pipeline-core[models]' ({error})"
        ) from None
    except (RuntimeError, AttributeError, OSError) as error:  # a torchvision that was built for another torch
        raise OperationError(f"spandrel does not load: {str(error).partition(chr(10))[0]}") from None
    state = {
        name: torch.from_numpy(np.array(part)) if isinstance(part, np.ndarray) else part.detach().clone()
        for name, part in model.tensors.items()
    }
    try:
        found = ModelLoader(device=device).load_from_state_dict(state)
    except UnsupportedModelError:
        raise OperationError("no network is known for these numbers; an ONNX file tells its network itself") from None
    except Exception as error:  # its detection and the networks' own checks raise whatever they like
        raise OperationError(f"these numbers do not make a network: {str(error).partition(chr(10))[0][:200]}") from None
    found.model.eval().requires_grad_(False)

    def run(*given: Tensor) -> Any:
        made = found(*given)
        return made.clone() if isinstance(made, Tensor) and made.is_inference() else made

    masked = isinstance(found, MaskedImageModelDescriptor)
    return Foreign(
        run,
        channels=found.input_channels,
        multiple=found.size_requirements.multiple_of or 1,
        factor=None if masked else found.scale,
        purpose=found.purpose.lower(),
    )

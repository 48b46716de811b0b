"""What a network makes of pictures, as vectors."""

from __future__ import annotations

import torch

from pipeline_core import Image, Model, OperationError
from pipeline_models.vision.reading import Reading, reader


def features(image: Image, model: Model) -> torch.Tensor:
    """`(B, D)`: what the network's `features` give where it has them, else its answer; maps are averaged."""
    reads = reader(model, Reading())
    network = reads.network(image.device)
    ask = getattr(network, "features", network)
    rows = []
    for window in reads.windows(image):
        found = ask(window.pixels)
        if isinstance(found, (list, tuple)):
            found = found[0]
        if not isinstance(found, torch.Tensor) or found.ndim < 2:
            raise OperationError(f"'{model.name}' gives no features: it answers with {type(found).__name__}")
        found = found.float()
        rows.append(found.mean(dim=(2, 3)) if found.ndim == 4 else found.flatten(1))
    return torch.cat(rows)

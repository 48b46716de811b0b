"""Writes a trained model where the plugin finds it, with what is told of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline_models.weights_file import FOLDER, content_of
from torch import nn

from pipeline_core import Model

LICENCE = "Apache-2.0"


def write_model(
    name: str,
    network: nn.Module | Mapping[str, Any],
    *,
    architecture: str,
    config: Mapping[str, Any],
    task: str,
    data: str,
    script: str,
    figures: Mapping[str, Any],
    half: bool = True,
    folder: Path | None = None,
    **told: Any,
) -> Model:
    """Writes NAME.safetensors and NAME.json and returns the model. With `half` the numbers are kept in 16 bits.

    data     what it was trained on, in a sentence
    script   how to make it again: `python -m training.NAME`
    figures  what was measured, and on what
    told     whatever else people should know
    """
    state = network.state_dict() if isinstance(network, nn.Module) else network
    tensors = {
        key: (part.half() if half and part.is_floating_point() else part).detach().cpu().numpy()
        for key, part in state.items()
    }
    manifest = {
        "name": name, "task": task, "licence": LICENCE, "source": "trained by this project", "data": data,
        "script": script, "figures": dict(figures), **told,
    }  # fmt: skip
    model = Model(architecture, tensors, config, manifest)
    folder = folder or FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.safetensors").write_bytes(content_of(model))
    facts = {"architecture": architecture, "config": dict(config), "digest": model.digest, **manifest}
    (folder / f"{name}.json").write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return model

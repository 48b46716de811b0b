"""Every operation of every installed plugin keeps the contract; no operation can skip it."""

from pathlib import Path

import numpy as np
import torch
from pipeline_depth.deep_image import DeepImage
from pipeline_models import networks

from pipeline_core import Model
from pipeline_core.testing import contract


def deep_image(seed: int) -> DeepImage:
    """Points and volumes, at depths so few that many coincide and overlap."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, 6 * 5)
    samples = rng.random((counts.sum(), 4), dtype=np.float32)
    samples[:, 0] *= samples[:, 1]
    samples[:, 2] = rng.integers(0, 5, len(samples))
    samples[:, 3] = samples[:, 2] + rng.integers(0, 3, len(samples))
    return DeepImage(np.concatenate([[0], np.cumsum(counts)]), samples, 6, 5, ("Y", "A", "Z", "ZBack"))


def tiny_upscaler() -> Model:
    config = {"factor": 2, "width": 4, "blocks": 1}
    torch.manual_seed(1)
    return Model("residual_upscaler", networks.make("residual_upscaler", config).state_dict(), config)


test_contract = contract(
    params={
        "compare_sets": {"patches": 256, "projections": 8},
        "apply_lut": {"path": str(Path(__file__).with_name("warm.cube"))},
        "load_model": {"name": "photo-x2"},
        "load_deep": {"path": str(Path(__file__).with_name("deep.exr"))},  # 4x3 YAZ, 12 samples of noise
        "remove_background": {"x": 6, "y": 4, "width": 28, "height": 24},
        "resize": {"width": 24},
        "stack_layers": {"names": ["figure", "ground"]},
    },
    values={
        "super_resolve": {Model: [tiny_upscaler()]},
        DeepImage: [deep_image(1), deep_image(2)],
    },
)
